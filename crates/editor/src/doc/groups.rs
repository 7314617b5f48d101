//! Groups: coloured frames that nodes lie in.

use super::{Doc, Group, Part};
use crate::theme::TITLE;
use serde_json::json;
use std::collections::BTreeSet;

/// Space between a group's frame and what it was made around.
const PADDING: f32 = 20.0;
/// The colour of a new group, as the usual front end has it.
const COLOR: &str = "#3f789e";

impl Group {
    /// The frame around a box: from left, top, right, bottom to left, top, width, height.
    pub fn frame_around([left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let (x, y) = (left - PADDING, top - PADDING - TITLE);
        [x, y, right + PADDING - x, bottom + PADDING - y]
    }

    /// Left, top, right, bottom.
    pub fn bounds(&self) -> [f32; 4] {
        let [x, y, w, h] = self.bounding;
        [x, y, x + w, y + h]
    }
}

impl Doc {
    /// Adds a group with this frame, behind all groups that lie in it; its place among them.
    pub fn add_group(&mut self, title: &str, bounding: [f32; 4]) -> usize {
        let id = self.next_group_id();
        let mut group = Group::from_json(&json!({"id": id, "title": title, "color": COLOR,
            "bounding": super::json::coordinates(&bounding), "font_size": 24, "flags": {}}));
        group.bounding = bounding;
        let inner =
            self.groups.iter().position(|g| super::arrange::holds(group.bounds(), g.bounds()));
        let place = inner.unwrap_or(self.groups.len());
        self.groups.insert(place, group);
        place
    }

    /// Adds a copy of a group, `by` from where it is, in front of all others.
    pub(super) fn push_group(&mut self, group: &Group, [dx, dy]: [f32; 2]) {
        let mut group = group.clone();
        let [x, y, w, h] = group.bounding;
        group.bounding = [x + dx, y + dy, w, h];
        if group.raw.0.contains_key("id") {
            group.raw.0["id"] = self.next_group_id().into();
        }
        self.groups.push(group);
    }

    fn next_group_id(&self) -> i64 {
        let ids = self.groups.iter().filter_map(|group| group.raw.0.get("id")?.as_i64());
        ids.max().unwrap_or(0).saturating_add(1)
    }

    /// Removes groups by their places; nodes stay.
    pub fn remove_groups(&mut self, places: &BTreeSet<usize>) {
        let mut place = 0..;
        self.groups.retain(|_| !place.next().is_some_and(|place| places.contains(&place)));
    }

    /// Changes those of the groups that are there.
    pub fn each_group(&mut self, places: &BTreeSet<usize>, mut change: impl FnMut(&mut Group)) {
        let groups = self.groups.iter_mut().enumerate();
        groups.filter(|(i, _)| places.contains(i)).for_each(|(_, group)| change(group));
    }

    /// Moves nodes that are not pinned, and groups.
    pub fn move_part(&mut self, part: &Part, by: [f32; 2]) {
        self.move_by(&part.nodes, by);
        self.each_group(&part.groups, |group| {
            group.bounding = [
                group.bounding[0] + by[0],
                group.bounding[1] + by[1],
                group.bounding[2],
                group.bounding[3],
            ];
        });
    }

    /// Removes nodes and groups.
    pub fn remove_part(&mut self, part: &Part) {
        self.remove(&part.nodes);
        self.remove_groups(&part.groups);
    }
}
