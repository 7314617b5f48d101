//! The picture under the brush: what the pointer does to its mask, and how both are shown.

use super::Tool;
use crate::{
    brush::{Area, Brush, Mask, Patch, Stroke, Touch, Undo, corners},
    lens::{Lens, pixel_at},
    pictures,
    theme::Theme,
};
use egui::{
    Color32, ColorImage, CursorIcon, Event, PointerButton, Pos2, Rect, Response, TextureHandle,
    TextureOptions, Ui,
};
use image::RgbaImage;

/// Large pixels are squares.
const SHARP: TextureOptions =
    TextureOptions { magnification: egui::TextureFilter::Nearest, ..TextureOptions::LINEAR };
/// How much of the mask's colour lies over the picture.
const VEIL: f32 = 0.62;

/// The open picture.
pub struct Canvas {
    pub pixels: RgbaImage,
    /// The picture without its transparency, and over it the mask.
    pub texture: TextureHandle,
    pub veil: TextureHandle,
    /// What the mask is shown in.
    tint: Color32,
    pub mask: Mask,
    pub undo: Undo,
    pub stroke: Option<Stroke>,
    /// Where a rectangle begins, or the last stroke ended; pixels.
    anchor: Option<Pos2>,
}

impl Canvas {
    pub fn new(pixels: RgbaImage, ui: &Ui, tint: Color32) -> Self {
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        let mut mask = Mask::new(width, height);
        for (value, pixel) in mask.values.iter_mut().zip(pixels.pixels()) {
            *value = 255 - pixel.0[3];
        }
        let mut opaque = pixels.clone();
        opaque.pixels_mut().for_each(|pixel| pixel.0[3] = 255);
        let load = |name, image| ui.ctx().load_texture(name, image, SHARP);
        let texture = load("masked picture", pictures::color_image(&opaque));
        let veil = load("mask", veil(&mask, mask.all(), tint));
        Self {
            pixels,
            texture,
            veil,
            tint,
            mask,
            undo: Undo::default(),
            stroke: None,
            anchor: None,
        }
    }

    /// Shows the mask in another colour.
    pub fn tint(&mut self, tint: Color32) {
        self.tint = tint;
        self.show(self.mask.all());
    }

    /// Changes the mask as one step to undo; gives what changed.
    pub fn step(&mut self, change: impl FnOnce(&mut Mask) -> Option<Patch>) -> Option<Area> {
        let patch = change(&mut self.mask)?;
        let area = patch.area;
        self.undo.push(patch);
        Some(area)
    }

    pub fn show(&mut self, area: Area) {
        self.veil.set_partial(area.min, veil(&self.mask, area, self.tint), SHARP);
    }

    /// What the pointer does with the tool.
    pub fn touch(&mut self, ui: &Ui, view: &Response, lens: &Lens, tool: Tool, brush: Brush) {
        let pointer = view.interact_pointer_pos().map(|point| lens.to_pixel(view.rect, point));
        let down = view.is_pointer_button_down_on()
            && ui.input(|i| i.pointer.button_down(PointerButton::Primary));
        let shift = ui.input(|i| i.modifiers.shift);
        let changed = match (tool, pointer) {
            (Tool::Brush | Tool::Eraser, _) => {
                // All of a quick stroke may be in one frame, which for egui is no drag.
                let pressed = ui.input(|i| i.pointer.primary_pressed()) && view.contains_pointer();
                let begun = view.is_pointer_button_down_on() || pressed;
                let goes_on = begun || self.stroke.is_some();
                let changed = goes_on.then(|| self.paint(ui, view, lens, brush, shift)).flatten();
                if !down {
                    self.lift();
                }
                changed
            }
            (Tool::Rectangle, Some(at)) if down => {
                let start = ui.input(|i| i.pointer.press_origin());
                self.anchor = Some(start.map_or(at, |point| lens.to_pixel(view.rect, point)));
                None
            }
            (Tool::Rectangle, Some(at)) if view.drag_stopped() => {
                let start = self.anchor.take().unwrap_or(at);
                self.step(|mask| mask.rectangle(corners(start, at, shift), brush))
            }
            (Tool::Fill, Some(at)) if view.clicked() => {
                let size = [self.mask.width as u32, self.mask.height as u32];
                let pixel = pixel_at(at, size).map(|[x, y]| [x as usize, y as usize]);
                pixel.and_then(|pixel| self.step(|mask| Some(mask.fill(pixel, brush))))
            }
            _ => None,
        };
        if let Some(area) = changed {
            self.show(area);
        }
    }

    /// The stroke goes on; with Shift it begins where the last one ended, as a straight line.
    fn paint(
        &mut self,
        ui: &Ui,
        view: &Response,
        lens: &Lens,
        brush: Brush,
        shift: bool,
    ) -> Option<Area> {
        let begins = self.stroke.is_none();
        let mut touches = touches(ui, !begins);
        for touch in &mut touches {
            touch.at = lens.to_pixel(view.rect, touch.at);
        }
        let last = *touches.last()?;
        let line = self.anchor.filter(|_| begins && shift).map(|at| Touch { at, ..last });
        let stroke = self.stroke.get_or_insert_with(|| Stroke::new(&self.mask, brush));
        let mut changed = None;
        for touch in line.into_iter().chain(touches) {
            if let Some(area) = stroke.to(&mut self.mask, touch) {
                changed = Some(changed.map_or(area, |all: Area| all.union(area)));
            }
        }
        self.anchor = Some(last.at);
        changed
    }

    /// The stroke is over.
    fn lift(&mut self) {
        if let Some(patch) = self.stroke.take().and_then(Stroke::end) {
            self.undo.push(patch);
        }
    }

    /// What the tool would touch: the brush's size as a circle, a rectangle under way.
    pub fn cursor(
        &self,
        ui: &Ui,
        view: &Response,
        lens: &Lens,
        tool: Tool,
        brush: Brush,
        theme: &Theme,
    ) {
        let painter = ui.painter_at(view.rect);
        let rings = [(3.0, Color32::from_black_alpha(140)), (1.5, Color32::WHITE)];
        match tool {
            Tool::Brush | Tool::Eraser => {
                // While its size is dragged the brush stays where that began.
                let held = view.dragged_by(PointerButton::Secondary);
                let origin = ui.input(|i| i.pointer.press_origin()).filter(|_| held);
                let point = origin.or(view.hover_pos()).or(view.interact_pointer_pos());
                let Some(point) = point else { return };
                ui.set_cursor_icon(CursorIcon::None);
                for (width, color) in rings {
                    painter.circle_stroke(point, brush.radius * lens.scale, (width, color));
                }
                let soft = brush.radius * brush.hardness * lens.scale;
                painter.circle_stroke(point, soft, (1.0, Color32::from_white_alpha(70)));
                painter.circle_filled(
                    point,
                    1.5,
                    if brush.erase { theme.text } else { theme.accent },
                );
            }
            Tool::Rectangle => {
                ui.set_cursor_icon(CursorIcon::Crosshair);
                let pointer = view.interact_pointer_pos().filter(|_| view.dragged());
                let Some((start, point)) = self.anchor.zip(pointer) else { return };
                let square = ui.input(|i| i.modifiers.shift);
                let rect = corners(start, lens.to_pixel(view.rect, point), square);
                let rect = Rect::from_two_pos(
                    lens.to_screen(view.rect, rect.min),
                    lens.to_screen(view.rect, rect.max),
                );
                painter.rect_filled(rect, 0.0, theme.accent.gamma_multiply(0.3));
                painter.rect_stroke(rect, 0.0, rings[1], egui::StrokeKind::Middle);
            }
            Tool::Fill => ui.set_cursor_icon(CursorIcon::Crosshair),
        }
    }
}

/// Where the pointer touched since the last frame, on the screen, `down` as it was then. A frame may bring
/// several places, and the beginning and the end of a stroke too; all of them count.
fn touches(ui: &Ui, mut down: bool) -> Vec<Touch> {
    let mut all = Vec::new();
    // How hard a pen is pressed comes before where it is; a mouse tells nothing.
    let mut pressure = 1.0;
    ui.input(|input| {
        for event in &input.events {
            let at = match event {
                Event::Touch { force, .. } => {
                    pressure = force.filter(|force| *force > 0.0).unwrap_or(1.0);
                    continue;
                }
                Event::PointerMoved(at) if down => *at,
                Event::PointerButton { pos, button: PointerButton::Primary, pressed, .. }
                    if *pressed || down =>
                {
                    down = *pressed;
                    *pos
                }
                _ => continue,
            };
            all.push(Touch { at, pressure });
        }
    });
    all
}

/// Part of the mask in its colour.
fn veil(mask: &Mask, area: Area, tint: Color32) -> ColorImage {
    let [r, g, b, _] = tint.to_array();
    let shades: Vec<Color32> = (0..=255u8)
        .map(|value| Color32::from_rgba_unmultiplied(r, g, b, (f32::from(value) * VEIL) as u8))
        .collect();
    let pixels = area.pixels().map(|(y, x)| shades[usize::from(mask.values[y * mask.width + x])]);
    ColorImage::new([area.width(), area.height()], pixels.collect())
}
