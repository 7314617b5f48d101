//! Links, and nodes from afar: headers and sockets only.

use super::{
    Canvas, CanvasContext,
    brush::{Brush, Line},
    nodes::Look,
    scene::{Hit, Placed, Wire},
};
use crate::doc::History;
use egui::{Align2, Mesh, Pos2, Rect, Vec2, emath::GuiRounding as _, pos2};

/// Below this zoom round corners and shadows cannot be seen.
const FLAT: f32 = 0.3;
/// Below this zoom sockets are smaller than a pixel and a half.
const SOCKETS: f32 = 0.19;

impl Canvas {
    pub(super) fn paint_links(&self, brush: &Brush) {
        let drawn = self.drawn();
        let lifted = self.lifted();
        let dragging =
            lifted.is_some() || matches!(self.gesture, super::gestures::Gesture::Link(_));
        for wire in self.scene.links.iter().filter(|wire| wire.bounds.intersects(drawn)) {
            let Wire { id, link, route, .. } = wire;
            if lifted == Some(*id) {
                continue;
            }
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
            let look = self.look(history.file(), placed, cx);
            let brush = &brush.faded(look.opacity());
            let mut flat = Mesh::default();
            if brush.zoom > FLAT {
                look.paint_body(brush);
            } else {
                flat_body(brush, &look, &mut flat);
            }
            self.far_sockets(brush, &look, &mut flat);
            brush.painter.add(flat);
            look.paint_pictures(brush);
            far_title(brush, placed, look.title);
        }
    }

    fn far_sockets(&self, brush: &Brush, look: &Look, flat: &mut Mesh) {
        if brush.zoom < SOCKETS {
            return;
        }
        let sockets = self.sockets(look.node.id);
        let side = 2.0 * (4.0 * brush.zoom).max(1.2);
        for (socket, at) in look.placed.sockets() {
            let slots = if socket.output { &look.node.outputs } else { &look.node.inputs };
            let linked = (sockets.linked)(socket.slot, socket.output);
            if let Some(slot) = slots.get(socket.slot).filter(|_| linked) {
                let color = brush.theme.socket(&slot.ty);
                let lit = (sockets.lit)(socket.slot, socket.output);
                let square = Rect::from_center_size(self.view.to_screen(at), Vec2::splat(side));
                flat.add_colored_rect(square, if lit { color } else { brush.theme.muted });
            }
        }
    }
}

/// Frame, body and title bar as plain rectangles, whole pixels each: triangles that need no further work,
/// for there may be thousands of them.
fn flat_body(brush: &Brush, look: &Look, flat: &mut Mesh) {
    let pixels = brush.painter.pixels_per_point();
    let on_screen = |rect| brush.view.rect_to_screen(rect).round_to_pixels(pixels);
    let (title, body) = look.colors(brush);
    let (width, outline) = look.outline(brush);
    let frame = on_screen(look.placed.rect());
    flat.add_colored_rect(frame.expand(width), outline);
    flat.add_colored_rect(frame, body);
    flat.add_colored_rect(on_screen(look.bar()), title);
}

/// The title, as small as can be read, if there is room for it.
fn far_title(brush: &Brush, placed: &Placed, title: &str) {
    const SMALLEST: f32 = 9.0;
    let frame = placed.rect();
    let room = frame.width() - 6.0 / brush.zoom;
    if room * brush.zoom < 60.0 || frame.height() * brush.zoom < SMALLEST {
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
