//! Native reroutes on the canvas: points that links run through.

use super::{
    Canvas,
    brush::Brush,
    gestures::Gesture,
    pending::PendingLink,
    scene::{Hit, Socket},
};
use crate::doc::{Doc, History, LinkId, Part, RerouteId};
use egui::{Pos2, Rect, Sense, Stroke, Ui, Vec2, accesskit::Role};
use std::collections::BTreeSet;

/// Size of the dot, in canvas units.
const DOT: f32 = 5.5;

impl Canvas {
    pub(super) fn paint_reroutes(&self, brush: &Brush) {
        if self.links_hidden {
            return;
        }
        let drawn = self.drawn();
        for dot in self.scene.reroutes.iter().filter(|dot| drawn.contains(dot.at)) {
            let at = self.view.to_screen(dot.at);
            let hovered = self.hover == Hit::Reroute(dot.id);
            let radius = (if hovered { DOT * 1.3 } else { DOT } * brush.zoom).max(2.0);
            let chosen = self.reroutes.contains(&dot.id);
            let edge = if chosen { brush.theme.accent } else { brush.theme.canvas };
            brush.painter.circle_filled(at, radius, brush.theme.socket(&dot.ty));
            let width = (if chosen { 2.0 } else { 1.0 } * brush.zoom).max(1.0);
            brush.painter.circle_stroke(at, radius, Stroke::new(width, edge));
        }
    }

    /// Names the points for tests and screen readers.
    pub(super) fn name_reroutes(&self, ui: &Ui) {
        let drawn = self.drawn();
        for dot in self.scene.reroutes.iter().filter(|dot| drawn.contains(dot.at)) {
            let size = Vec2::splat(2.0 * DOT * self.view.zoom());
            let place = Rect::from_center_size(self.view.to_screen(dot.at), size);
            let id = ui.scope_id().with(("reroute", dot.id));
            let response = ui.interact(place, id, Sense::hover());
            let name = || format!("Reroute {} ({})", dot.id, dot.ty);
            response.widget_info(|| egui::WidgetInfo::labeled(Role::Unknown, true, name()));
        }
    }

    /// Puts a point on a link where the pointer is.
    pub(super) fn add_reroute(&self, doc: &mut Doc, link: LinkId, at: Pos2) -> Option<RerouteId> {
        let place = self.scene.route(link)?.piece(at);
        doc.add_reroute(link, place, at.into())
    }

    /// A point on a link, which then follows the pointer.
    pub(super) fn pull_reroute(
        &mut self,
        link: LinkId,
        at: Pos2,
        history: &mut History,
    ) -> Gesture {
        let made =
            history.edit_merged("Add a reroute", self.key(), |doc| self.add_reroute(doc, link, at));
        let Some(id) = made else { return Gesture::Pan };
        self.select(Part::default());
        self.reroutes = BTreeSet::from([id]);
        let (nodes, groups) = (Vec::new(), Vec::new());
        Gesture::Move { from: at, nodes, groups, reroutes: vec![(id, at)], onto: None }
    }

    /// Another link through the point, by the output that the others come from; it follows the pointer.
    pub(super) fn branch(&self, id: RerouteId, doc: &Doc) -> Option<PendingLink> {
        let through = doc.links_through();
        let link = &doc.links[through.get(&id)?.first()?];
        let from = Socket { node: link.from, slot: link.from_slot, output: true };
        let mut pending = PendingLink::new(doc, from, None);
        pending.via = Some(id);
        Some(pending)
    }
}
