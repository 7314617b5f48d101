//! Painting at the view's zoom: every length here is in canvas units.

use super::view::View;
use crate::theme::{Shape as Form, TEXT, Theme};
use egui::{
    Align2, Color32, CornerRadius, FontId, Painter, Pos2, Rect, Shape, Stroke, Vec2,
    epaint::text::{LayoutJob, TextFormat},
    vec2,
};
use egui_material_icons::MaterialIcon;

/// Paints canvas things onto the screen.
#[derive(Clone)]
pub struct Brush<'a> {
    pub painter: Painter,
    pub theme: &'a Theme,
    pub view: &'a View,
    pub zoom: f32,
}

/// Where a line of text goes and how.
#[derive(Clone, Copy)]
pub struct Line {
    pub at: Pos2,
    pub anchor: Align2,
    pub size: f32,
    pub color: Color32,
    /// What is longer ends in dots.
    pub width: f32,
}

impl<'a> Brush<'a> {
    pub fn new(painter: Painter, theme: &'a Theme, view: &'a View) -> Self {
        Self { painter, theme, view, zoom: view.zoom() }
    }

    /// The same, paler.
    pub fn faded(&self, opacity: f32) -> Self {
        let mut brush = self.clone();
        brush.painter.multiply_opacity(opacity);
        brush
    }

    pub fn text(&self, line: Line, text: &str) {
        let mut job = LayoutJob::default();
        let font = FontId::proportional(line.size * self.zoom);
        job.append(text, 0.0, TextFormat::simple(font, line.color));
        job.wrap.max_width = (line.width * self.zoom).max(1.0);
        job.wrap.max_rows = 1;
        job.wrap.break_anywhere = true;
        let galley = self.painter.layout_job(job);
        let rect = line.anchor.anchor_size(self.view.to_screen(line.at), galley.size());
        self.painter.galley(rect.min, galley, line.color);
    }

    pub fn icon(&self, icon: MaterialIcon, at: Pos2, size: f32, color: Color32) {
        let font = FontId::new(size * self.zoom, icon.font_family());
        let at = self.view.to_screen(at);
        self.painter.text(at, Align2::CENTER_CENTER, icon.codepoint, font, color);
    }

    /// A socket: filled if something is linked to it, and only a dot if it is a widget's and free.
    pub fn socket(&self, at: Pos2, ty: &str, linked: bool, lit: bool, dot: bool) {
        let color = self.theme.socket(ty);
        let color = if lit { color } else { color.lerp_to_gamma(self.theme.node, 0.8) };
        let at = self.view.to_screen(at);
        if dot {
            let color = color.lerp_to_gamma(self.theme.node, 0.35);
            self.painter.circle_filled(at, (2.5 * self.zoom).max(1.0), color);
            return;
        }
        let radius = (5.0 * self.zoom).max(1.5);
        let fill = if linked { color } else { self.theme.node.lerp_to_gamma(color, 0.15) };
        let stroke = Stroke::new((1.5 * self.zoom).max(1.0), color);
        self.painter.add(form(crate::theme::shape(ty), at, radius, fill, stroke));
    }

    /// A radius at the zoom.
    pub fn corner(&self, radius: f32) -> CornerRadius {
        CornerRadius::same((radius * self.zoom).round().clamp(0.0, 32.0) as u8)
    }

    /// A frame around a screen rectangle.
    pub fn outline(&self, rect: Rect, radius: f32, width: f32, color: Color32) {
        let stroke = Stroke::new(width, color);
        self.painter.rect_stroke(rect, radius, stroke, egui::StrokeKind::Outside);
    }
}

/// One line at the default size.
pub fn line(at: Pos2, anchor: Align2, color: Color32, width: f32) -> Line {
    Line { at, anchor, size: TEXT, color, width }
}

fn form(form: Form, at: Pos2, radius: f32, fill: Color32, stroke: Stroke) -> Shape {
    let corners = |n: usize, turn: f32, r: f32| {
        let angle = move |i| (i as f32 / n as f32 + turn) * std::f32::consts::TAU;
        (0..n).map(|i| at + Vec2::angled(angle(i)) * r).collect::<Vec<_>>()
    };
    let block = |size: Vec2| {
        let rect = Rect::from_center_size(at, size * radius);
        egui::epaint::RectShape::new(rect, 1.0, fill, stroke, egui::StrokeKind::Middle).into()
    };
    match form {
        Form::Circle => egui::epaint::CircleShape { center: at, radius, fill, stroke }.into(),
        Form::Square => block(vec2(1.8, 1.8)),
        Form::Bar => block(vec2(1.2, 2.5)),
        Form::Diamond => Shape::convex_polygon(corners(4, 0.0, radius * 1.3), fill, stroke),
        Form::Triangle => Shape::convex_polygon(corners(3, 0.0, radius * 1.4), fill, stroke),
        Form::Down => Shape::convex_polygon(corners(3, 0.25, radius * 1.4), fill, stroke),
        Form::Hexagon => Shape::convex_polygon(corners(6, 0.0, radius * 1.2), fill, stroke),
    }
}

/// A colour written `#rgb` or `#rrggbb`.
pub fn hex(text: &str) -> Option<Color32> {
    let digits = text.strip_prefix('#')?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    let byte = |shift: u32| (number >> shift) as u8;
    let nibble = |shift: u32| ((number >> shift) & 0xf) as u8 * 0x11;
    match digits.len() {
        3 => Some(Color32::from_rgb(nibble(8), nibble(4), nibble(0))),
        6 => Some(Color32::from_rgb(byte(16), byte(8), byte(0))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_three_and_of_six_digits_are_read() {
        assert_eq!(hex("#233"), Some(Color32::from_rgb(0x22, 0x33, 0x33)));
        assert_eq!(hex("#3f789e"), Some(Color32::from_rgb(0x3f, 0x78, 0x9e)));
        assert_eq!(hex("red"), None);
        assert_eq!(hex("#ééé"), None);
    }
}
