//! The graph that is put in order: which of it moves, and what comes of that.

use super::{
    Arranged, Frame, Frames, GroupFrames, Scope, around, holds, layered, middle, smallest,
};
use crate::doc::{Doc, Group, Part};
use std::collections::BTreeSet;

impl Doc {
    /// Brings nodes from their old frames to new ones; those that are pinned stay.
    pub fn bring(&mut self, old: &Frames, new: &Frames) {
        for (id, [x, y, ..]) in new {
            let Some([left, top, ..]) = old.get(id) else { continue };
            self.move_by(&BTreeSet::from([*id]), [x - left, y - top]);
        }
    }

    /// Arranges the part, or everything if it is empty, in layers. Groups that are not of the part grow
    /// where a node of theirs would leave them; one with a pinned node in it stays, with all its nodes.
    pub fn arrange(&mut self, part: &Part, frames: &Frames) {
        let groups = self.groups.iter().map(Group::bounds).enumerate().collect();
        let scope = self.scope(part, frames, &groups);
        let new = layered(&scope);
        self.bring(&scope.nodes, &new.nodes);
        self.reframe(&groups, &scope.nodes, &new);
    }

    fn scope(&self, part: &Part, frames: &Frames, groups: &GroupFrames) -> Scope {
        let is_pin = |id| self.node(id).is_some_and(|node| node.pinned);
        let (pins, loose): (Frames, Frames) =
            frames.iter().map(|(id, frame)| (*id, *frame)).partition(|(id, _)| is_pin(*id));
        let pinned = |group: &Frame| pins.values().any(|pin| holds(*group, middle(*pin)));
        let still: Vec<Frame> = groups.values().copied().filter(pinned).collect();
        let free = |frame: Frame| !still.iter().any(|group| holds(*group, frame));
        let mut nodes = loose;
        nodes.retain(|id, frame| {
            free(middle(*frame)) && (part.is_empty() || part.nodes.contains(id))
        });
        let moves = |i: &usize, group: Frame| {
            let inner = frames.iter().filter(|(_, frame)| holds(group, middle(**frame)));
            let inner: Vec<bool> = inner.map(|(id, _)| nodes.contains_key(id)).collect();
            let whole = !inner.is_empty() && !inner.contains(&false);
            part.is_empty() || part.groups.contains(i) || whole
        };
        let mut groups = groups.clone();
        groups.retain(|i, group| free(*group) && moves(i, *group));
        let links = self.links.values().map(|l| (l.from, l.from_slot, l.to, l.to_slot)).collect();
        let fixed = still.into_iter().chain(pins.into_values()).collect();
        Scope { nodes, groups, links, fixed }
    }

    /// Gives groups their new frames; those that have none grow to hold what they held.
    fn reframe(&mut self, groups: &GroupFrames, nodes: &Frames, new: &Arranged) {
        for (i, old) in groups {
            let held = |frame: Frame| smallest(groups, middle(frame), None) == Some(*i);
            let inner = nodes.iter().filter(|(_, frame)| held(**frame));
            let grown = around(inner.map(|(id, _)| new.nodes[id])).map(|inner| {
                let [x, y, w, h] = Group::frame_around(inner);
                [x.min(old[0]), y.min(old[1]), (x + w).max(old[2]), (y + h).max(old[3])]
            });
            if let Some([l, t, r, b]) = new.groups.get(i).copied().or(grown) {
                self.groups[*i].bounding = [l, t, r - l, b - t];
            }
        }
    }
}
