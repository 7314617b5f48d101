//! The whole graph, small, in a corner; dragging there moves the view.

use super::{
    Canvas,
    brush::{Brush, hex},
};
use crate::doc::Doc;
use egui::{Color32, Mesh, Pos2, Rect, Stroke, StrokeKind, Vec2, vec2};

const SIZE: Vec2 = vec2(200.0, 130.0);
const MARGIN: f32 = 12.0;
/// Fewer nodes than this need no map.
const FEW: usize = 12;

impl Canvas {
    /// Its place on screen, if it is shown.
    pub(super) fn minimap_rect(&self) -> Option<Rect> {
        let shown = self.minimap && self.scene.nodes.len() >= FEW;
        let max = self.view.screen.max - Vec2::splat(MARGIN);
        (shown && self.view.screen.width() > 3.0 * SIZE.x)
            .then(|| Rect::from_min_max(max - SIZE, max))
    }

    /// The map's place, the part of the canvas it shows and its scale.
    fn map(&self) -> Option<(Rect, Rect, f32)> {
        let place = self.minimap_rect()?;
        let all = self.scene.bounds?.expand(100.0);
        let scale = ((place.size() - Vec2::splat(8.0)) / all.size()).min_elem();
        Some((place, all, scale))
    }

    pub(super) fn paint_minimap(&self, brush: &Brush, doc: &Doc) {
        let Some((place, all, scale)) = self.map() else { return };
        let theme = brush.theme;
        let painter = brush.painter.with_clip_rect(place);
        let fill = theme.panel.gamma_multiply(0.92);
        painter.rect(place, 6.0, fill, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
        let to_map = |rect: Rect| {
            let min = place.center() + (rect.min - all.center()) * scale;
            Rect::from_min_size(min, (rect.size() * scale).max(Vec2::splat(1.5)))
        };
        for (group, rect) in doc.groups.iter().zip(&self.scene.groups) {
            let color = group.color.as_deref().and_then(hex).unwrap_or(theme.muted);
            painter.rect_filled(to_map(*rect), 0.0, color.gamma_multiply(0.3));
        }
        let mut nodes = Mesh::default();
        let plain = theme.dim.gamma_multiply(0.75);
        for node in &self.scene.nodes {
            let chosen = self.selection.contains(&node.id);
            nodes.add_colored_rect(to_map(node.rect()), if chosen { theme.accent } else { plain });
        }
        painter.add(nodes);
        let seen = to_map(self.view.visible());
        painter.rect(
            seen,
            2.0,
            Color32::TRANSPARENT,
            Stroke::new(1.5, theme.accent),
            StrokeKind::Inside,
        );
    }

    /// Brings what the pointer shows on the map into the middle.
    pub(super) fn look_at_minimap(&mut self, pointer: Pos2) {
        let Some((place, all, scale)) = self.map() else { return };
        let on_screen = self.view.to_screen(pointer);
        self.view.center(all.center() + (on_screen - place.center()) / scale);
    }
}
