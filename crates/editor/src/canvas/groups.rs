//! Groups: coloured frames behind nodes.

use super::{
    Canvas,
    brush::{Brush, Line, hex},
    scene::group_title,
};
use crate::{doc::Doc, theme::RADIUS};
use egui::{Align2, CornerRadius, Rect, Stroke, StrokeKind, pos2, vec2};

impl Canvas {
    pub(super) fn paint_groups(&self, brush: &Brush, doc: &Doc) {
        let drawn = self.drawn();
        for (i, (group, rect)) in doc.groups.iter().zip(&self.scene.groups).enumerate() {
            if !rect.intersects(drawn) {
                continue;
            }
            let theme = brush.theme;
            let color = group.color.as_deref().and_then(hex).unwrap_or(theme.muted);
            let frame = self.view.rect_to_screen(*rect);
            let radius = CornerRadius::same((RADIUS * brush.zoom).clamp(2.0, 24.0) as u8);
            let height = group_title(brush.zoom);
            let bar = Rect::from_min_size(rect.min, vec2(rect.width(), height));
            let bar = self.view.rect_to_screen(bar);
            let stroke = match self.groups.contains(&i) {
                true => Stroke::new(2.0, theme.accent),
                false => Stroke::new(1.0, color.gamma_multiply(0.7)),
            };
            brush.painter.rect(
                frame,
                radius,
                color.gamma_multiply(0.13),
                stroke,
                StrokeKind::Inside,
            );
            let top = CornerRadius { sw: 0, se: 0, ..radius };
            brush.painter.rect_filled(bar, top, color.gamma_multiply(0.3));
            let at = pos2(rect.left() + height * 0.35, rect.top() + height / 2.0);
            let look = Line {
                at,
                anchor: Align2::LEFT_CENTER,
                size: height * 0.55,
                color: theme.text,
                width: rect.width() - height,
            };
            brush.text(look, &group.title);
            let corner = frame.max - vec2(4.0, 4.0);
            let side = (9.0 * brush.zoom).clamp(4.0, 14.0);
            let grip = [corner, corner - vec2(side, 0.0), corner - vec2(0.0, side)];
            brush.painter.add(egui::Shape::convex_polygon(
                grip.to_vec(),
                stroke.color,
                Stroke::NONE,
            ));
        }
    }
}
