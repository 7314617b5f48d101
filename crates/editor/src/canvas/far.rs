//! Links, and nodes from afar: headers and sockets only.

use super::{
    Canvas, CanvasContext,
    brush::{Brush, Line},
    scene::{Hit, Placed},
};
use crate::doc::{Doc, History};
use egui::{Align2, Pos2, pos2};

impl Canvas {
    pub(super) fn paint_links(&self, brush: &Brush, doc: &Doc) {
        let drawn = self.drawn();
        let lifted = self.lifted();
        let dragging =
            lifted.is_some() || matches!(self.gesture, super::gestures::Gesture::Link(_));
        for (id, route) in self.scene.links.iter().filter(|(_, r)| r.bounds().intersects(drawn)) {
            let Some(link) = doc.links.get(id).filter(|_| lifted != Some(*id)) else { continue };
            let hovered =
                matches!(self.hover, Hit::Link(h) | Hit::Middle(h) if h == *id) && !dragging;
            let chosen = self.selection.contains(&link.from) || self.selection.contains(&link.to);
            if self.links_hidden && !self.is_shown(link) {
                continue;
            }
            let color = brush
                .theme
                .socket(&link.ty)
                .lerp_to_gamma(brush.theme.canvas, if chosen || hovered { 0.0 } else { 0.25 });
            let width = (if chosen || hovered { 3.0 } else { 2.2 } * brush.zoom).clamp(1.0, 6.0);
            let to_screen = |p: Pos2| self.view.to_screen(p);
            let on_screen = route.mapped(to_screen, brush.zoom);
            brush.painter.extend(on_screen.shapes(width, color));
            if brush.zoom > 0.6 {
                let radius = if hovered { 5.0 } else { 3.0 } * brush.zoom;
                brush.painter.circle_filled(on_screen.middle(), radius, color);
            }
        }
    }

    /// Where links are hidden: whether this one leads to or from a node that is chosen or pointed at.
    fn is_shown(&self, link: &crate::doc::Link) -> bool {
        let meant = |id| self.selection.contains(&id) || self.hover.node() == Some(id);
        meant(link.from) || meant(link.to)
    }

    pub(super) fn paint_far(&self, brush: &Brush, history: &History, cx: &CanvasContext) {
        let drawn = self.drawn();
        for placed in self.scene.nodes.iter().filter(|n| n.rect().intersects(drawn)) {
            let Some(look) = self.look(history.file(), placed, cx) else { continue };
            let brush = &brush.faded(look.opacity());
            look.paint_body(brush);
            look.paint_pictures(brush);
            self.paint_far_sockets(brush, &look, placed);
            far_title(brush, placed, &look.title);
        }
    }

    fn paint_far_sockets(&self, brush: &Brush, look: &super::nodes::Look, placed: &Placed) {
        let sockets = self.sockets(placed.id);
        for (socket, at) in placed.sockets() {
            let side = if socket.output { &look.node.outputs } else { &look.node.inputs };
            let linked = (sockets.linked)(socket.slot, socket.output);
            if let Some(slot) = side.get(socket.slot).filter(|_| linked) {
                let color = brush.theme.socket(&slot.ty);
                let lit = (sockets.lit)(socket.slot, socket.output);
                let radius = (4.0 * brush.zoom).max(1.2);
                let at = self.view.to_screen(at);
                let square = egui::Rect::from_center_size(at, egui::Vec2::splat(2.0 * radius));
                brush.painter.rect_filled(square, 0.0, if lit { color } else { brush.theme.muted });
            }
        }
    }
}

/// The title, as small as can be read, if there is room for it.
fn far_title(brush: &Brush, placed: &Placed, title: &str) {
    const SMALLEST: f32 = 9.0;
    let frame = placed.rect();
    let room = frame.width() - 6.0 / brush.zoom;
    if room * brush.zoom < 36.0 || frame.height() * brush.zoom < SMALLEST {
        return;
    }
    let size = crate::theme::TEXT.max(SMALLEST / brush.zoom);
    let at = pos2(
        frame.left() + 3.0 / brush.zoom,
        frame.top() + placed.layout.title.max(size * 1.3) / 2.0,
    );
    let color = brush.theme.text;
    brush.text(Line { at, anchor: Align2::LEFT_CENTER, size, color, width: room }, title);
}
