//! What is selected, and what is done to it as a whole.

use super::{Canvas, GRID, scene::Hit};
use crate::doc::{
    Doc, Group, History, Id, LinkId, Node, Part,
    arrange::{Frame, Frames},
};
use egui::Modifiers;
use std::collections::BTreeSet;

impl Canvas {
    /// What is selected; with a group all that lies in it.
    pub fn part(&self) -> Part {
        let mut part = Part { nodes: self.selection.clone(), groups: self.groups.clone() };
        for frame in self.groups.iter().filter_map(|group| self.scene.groups.get(*group)) {
            part.nodes.extend(self.scene.inside(*frame));
            part.groups.extend(self.groups_inside(*frame));
        }
        part
    }

    /// Selects this and nothing else.
    pub fn select(&mut self, part: Part) {
        self.selection = part.nodes;
        self.groups = part.groups;
        self.reroutes.clear();
    }

    /// The one node that is selected, if it is all.
    pub fn only_node(&self) -> Option<Id> {
        let one = self.selection.len() == 1 && self.groups.is_empty();
        self.selection.first().copied().filter(|_| one)
    }

    /// The one group that is selected, if it is all.
    pub fn only_group(&self) -> Option<usize> {
        let one = self.groups.len() == 1 && self.selection.is_empty();
        self.groups.first().copied().filter(|_| one)
    }

    /// The boxes of the nodes as they are drawn.
    pub fn frames(&self, doc: &Doc) -> Frames {
        let frame = |node: &Node| match self.scene.get(node.id) {
            Some(placed) => {
                let rect = placed.layout.frame().translate(egui::Vec2::from(node.pos));
                [rect.left(), rect.top(), rect.right(), rect.bottom()]
            }
            None => node.bounds(),
        };
        doc.nodes().map(|node| (node.id, frame(node))).collect()
    }

    /// The boxes of the selected nodes and groups.
    pub fn selected_frames(&self, doc: &Doc) -> Vec<Frame> {
        let part = self.part();
        let nodes = self.frames(doc).into_iter().filter(|(id, _)| part.nodes.contains(id));
        let groups = part.groups.iter().filter_map(|group| doc.groups.get(*group));
        nodes.map(|(_, frame)| frame).chain(groups.map(|group| group.bounds())).collect()
    }

    /// A group's frame around what lies in it; `None` if nothing does.
    pub fn fitted(&self, group: usize) -> Option<Frame> {
        let frame = *self.scene.groups.get(group)?;
        let nodes = self.scene.inside(frame);
        let nodes = nodes.iter().filter_map(|id| Some(self.scene.get(*id)?.rect()));
        let groups = self.groups_inside(frame).filter(|other| *other != group);
        let groups = groups.map(|other| self.scene.groups[other]);
        let around = nodes.chain(groups).reduce(egui::Rect::union)?;
        let [min, max] = [around.min, around.max];
        Some(Group::frame_around([min.x, min.y, max.x, max.y]))
    }

    /// A distance in whole steps of the grid, if nodes keep to it.
    pub fn whole_steps(&self, by: [f32; 2]) -> [f32; 2] {
        if self.snapping { by.map(|x| (x / GRID).round() * GRID) } else { by }
    }

    /// Copies what is selected and selects the copies, which are then moved; with Shift they are fed by
    /// what feeds the originals.
    pub(super) fn pull_copies(&mut self, modifiers: Modifiers, history: &mut History) {
        let (part, linked) = (self.part(), modifiers.shift);
        let copies = history
            .edit_merged("Duplicate", self.key(), |doc| doc.duplicate(&part, [0.0; 2], linked));
        self.select(copies);
    }

    /// The link that a node without links goes into if it is left where it is.
    pub(super) fn link_under(&self, id: Id, doc: &Doc) -> Option<LinkId> {
        if doc.links.values().any(|link| link.from == id || link.to == id) {
            return None;
        }
        let rect = self.scene.get(id)?.rect();
        let reach = rect.size().min_elem() / 2.0;
        let distance = |(link, route): &(LinkId, super::route::Route)| {
            let near = route.bounds().intersects(rect);
            near.then(|| (*link, route.distance(rect.center())))
        };
        let mut links: Vec<(LinkId, f32)> = self.scene.links.iter().filter_map(distance).collect();
        links.retain(|(_, distance)| *distance < reach);
        links.sort_by(|a, b| a.1.total_cmp(&b.1));
        links.into_iter().map(|(link, _)| link).find(|link| doc.clone().insert_on(*link, id))
    }

    /// Selects the node or the group, or what was selected with it stays selected.
    pub(super) fn select_for_moving(&mut self, hit: Hit, modifiers: Modifiers) {
        let (node, group) = (hit.node(), hit.group());
        let selected = node.is_some_and(|id| self.selection.contains(&id))
            || group.is_some_and(|group| self.groups.contains(&group));
        if !selected {
            if !modifiers.command && !modifiers.shift {
                self.select(Part::default());
            }
            self.selection.extend(node);
            self.groups.extend(group);
        }
    }

    /// Selects what was clicked; with Ctrl or Shift into or out of what is selected.
    pub(super) fn select_clicked(&mut self, hit: Hit, modifiers: Modifiers) {
        let more = modifiers.command || modifiers.shift;
        if !more {
            self.select(Part::default());
        }
        if let Some(id) = hit.node() {
            toggle(&mut self.selection, id);
        } else if let Some(group) = hit.group() {
            toggle(&mut self.groups, group);
        }
    }
}

/// Takes it into the set, or out of it.
pub(super) fn toggle<T: Ord>(set: &mut BTreeSet<T>, it: T) {
    if let Some(it) = Some(it).filter(|it| !set.remove(it)) {
        set.insert(it);
    }
}
