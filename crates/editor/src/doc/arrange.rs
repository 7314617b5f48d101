//! Putting nodes in order: in lines, at equal distances, or the whole graph in layers. Functions of frames
//! and links alone; what is pinned is for the caller to leave out.

mod graph;
mod layers;

use super::{Group, Id};
use layers::{Edge, GAP};
use std::collections::BTreeMap;

/// A box: left, top, right, bottom.
pub type Frame = [f32; 4];
/// The nodes' boxes as they are drawn, title bars included.
pub type Frames = BTreeMap<Id, Frame>;
/// Groups' boxes: each keeps the nodes together whose middle it holds.
pub type GroupFrames = BTreeMap<usize, Frame>;

/// What nodes have in common after [`align`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Left,
    Center,
    Right,
    Top,
    Middle,
    Bottom,
}

/// A direction on the canvas: the place of its coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Horizontal = 0,
    Vertical = 1,
}

/// Nodes that are distributed come no nearer to each other.
const NEAREST: f32 = 10.0;

/// The frames moved so that all have one edge, or their middles, on one line.
pub fn align(frames: &Frames, line: Line) -> Frames {
    let Some([left, top, right, bottom]) = around(frames.values().copied()) else {
        return Frames::new();
    };
    let moved = |[l, t, r, b]: Frame| match line {
        Line::Left => [left - l, 0.0],
        Line::Center => [(left + right - l - r) / 2.0, 0.0],
        Line::Right => [right - r, 0.0],
        Line::Top => [0.0, top - t],
        Line::Middle => [0.0, (top + bottom - t - b) / 2.0],
        Line::Bottom => [0.0, bottom - b],
    };
    frames.iter().map(|(id, frame)| (*id, shift(*frame, moved(*frame)))).collect()
}

/// The frames moved along an axis so that the gaps between them are equal; the outermost edges stay if there
/// is room.
pub fn distribute(frames: &Frames, axis: Axis) -> Frames {
    let Some(bounds) = around(frames.values().copied()) else { return Frames::new() };
    let (from, to) = (axis as usize, axis as usize + 2);
    let mut order: Vec<(Id, Frame)> = frames.iter().map(|(id, frame)| (*id, *frame)).collect();
    order.sort_by(|(_, a), (_, b)| (a[from] + a[to]).total_cmp(&(b[from] + b[to])));
    let filled: f32 = order.iter().map(|(_, frame)| frame[to] - frame[from]).sum();
    let gap = (bounds[to] - bounds[from] - filled) / (order.len().max(2) - 1) as f32;
    let mut at = bounds[from];
    let place = |(id, frame): (Id, Frame)| {
        let mut by = [0.0; 2];
        by[axis as usize] = at - frame[from];
        at += frame[to] - frame[from] + gap.max(NEAREST);
        (id, shift(frame, by))
    };
    order.into_iter().map(place).collect()
}

/// What [`layered`] puts in order.
pub struct Scope {
    pub nodes: Frames,
    pub groups: GroupFrames,
    /// Node and place of an output, node and place of an input.
    pub links: Vec<(Id, usize, Id, usize)>,
    /// What stays where it is, and is not to be covered.
    pub fixed: Vec<Frame>,
}

/// Nodes and groups in their new places.
#[derive(Debug, Default, PartialEq)]
pub struct Arranged {
    pub nodes: Frames,
    pub groups: GroupFrames,
}

/// The graph in layers from left to right, each node right of those that feed it (Sugiyama, Tagawa, Toda
/// 1981: layers, then orders with few crossings by barycentres, then heights). A group is arranged by
/// itself, then as if it were one node. The left upper corner stays.
pub fn layered(scope: &Scope) -> Arranged {
    let old = around(scope.nodes.values().chain(scope.groups.values()).copied());
    let Some([left, top, ..]) = old else { return Arranged::default() };
    let mut arranged = Level::of(scope, None).arrange(scope);
    arranged.shift([left, top]);
    while let Some(down) = arranged.covers(&scope.fixed) {
        arranged.shift([0.0, down]);
    }
    arranged
}

impl Arranged {
    fn frames(&self) -> impl Iterator<Item = Frame> {
        self.nodes.values().chain(self.groups.values()).copied()
    }

    fn shift(&mut self, by: [f32; 2]) {
        for frame in self.nodes.values_mut().chain(self.groups.values_mut()) {
            *frame = shift(*frame, by);
        }
    }

    /// How far down a socket is, from 0 to 1: about, as only the order counts.
    fn port(&self, node: Id, slot: usize) -> f32 {
        let [_, top, _, bottom] = self.nodes[&node];
        let down = 1.0 - 1.0 / (slot as f32 + 2.0);
        (top + (bottom - top) * down) / size(self.frames())[1].max(1.0)
    }

    /// How far down it must go because of one of the fixed frames.
    fn covers(&self, fixed: &[Frame]) -> Option<f32> {
        let pairs = self.frames().flat_map(|a| fixed.iter().map(move |b| (a, *b)));
        pairs.into_iter().find(|(a, b)| overlap(*a, *b)).map(|(a, b)| b[3] + GAP[1] - a[1])
    }
}

/// What lies directly in a group, or in none.
struct Level {
    nodes: Vec<Id>,
    groups: Vec<usize>,
}

impl Level {
    fn of(scope: &Scope, home: Option<usize>) -> Self {
        let inner = |frame: Frame, own: Option<usize>| smallest(&scope.groups, frame, own) == home;
        let nodes = scope.nodes.iter().filter(|(_, frame)| inner(middle(**frame), None));
        let groups = scope.groups.iter().filter(|(i, frame)| inner(**frame, Some(**i)));
        Self {
            nodes: nodes.map(|(id, _)| *id).collect(),
            groups: groups.map(|(i, _)| *i).collect(),
        }
    }

    /// Arranged about a left upper corner at zero.
    fn arrange(&self, scope: &Scope) -> Arranged {
        let groups = self.groups.iter().map(|group| arrange_group(*group, scope));
        let nodes = self.nodes.iter().map(|id| {
            let [l, t, ..] = scope.nodes[id];
            Arranged {
                nodes: [(*id, shift(scope.nodes[id], [-l, -t]))].into(),
                ..Arranged::default()
            }
        });
        let mut items: Vec<Arranged> = groups.chain(nodes).collect();
        // A graph is read in the order that its nodes were made in.
        items.sort_by_key(|item| item.nodes.keys().next().copied().unwrap_or(Id::MAX));
        let sizes: Vec<[f32; 2]> = items.iter().map(|item| size(item.frames())).collect();
        let places = layers::arrange(&sizes, &edges(&items, &scope.links));
        let mut whole = Arranged::default();
        for (mut item, place) in items.into_iter().zip(places) {
            item.shift(place);
            whole.nodes.append(&mut item.nodes);
            whole.groups.append(&mut item.groups);
        }
        whole
    }
}

fn arrange_group(group: usize, scope: &Scope) -> Arranged {
    let mut arranged = Level::of(scope, Some(group)).arrange(scope);
    let old = scope.groups[&group];
    let inner = around(arranged.frames()).map(Group::frame_around);
    let [x, y, w, h] = inner.unwrap_or([0.0, 0.0, old[2] - old[0], old[3] - old[1]]);
    arranged.groups.insert(group, [x, y, x + w, y + h]);
    arranged.shift([-x, -y]);
    arranged
}

/// The smallest group that holds the frame; of equal ones the last. `own` is the frame's own group.
fn smallest(groups: &GroupFrames, frame: Frame, own: Option<usize>) -> Option<usize> {
    let area = |[l, t, r, b]: Frame| (r - l) * (b - t);
    let around = groups.iter().filter(|(i, outer)| {
        let equal = own.is_some() && **outer == frame;
        Some(**i) != own && holds(**outer, frame) && (!equal || Some(**i) < own)
    });
    let smallest = around.min_by(|(i, a), (j, b)| area(**a).total_cmp(&area(**b)).then(j.cmp(i)));
    smallest.map(|(i, _)| *i)
}

/// The links between items, each of which is a node or a group of nodes.
fn edges(items: &[Arranged], links: &[(Id, usize, Id, usize)]) -> Vec<Edge> {
    let all = items.iter().enumerate();
    let homes: BTreeMap<Id, usize> =
        all.flat_map(|(i, item)| item.nodes.keys().map(move |id| (*id, i))).collect();
    let edge = |(from, from_slot, to, to_slot): &(Id, usize, Id, usize)| {
        let (i, j) = (*homes.get(from)?, *homes.get(to)?);
        let ports = || [items[i].port(*from, *from_slot), items[j].port(*to, *to_slot)];
        (i != j).then(|| Edge { from: i, to: j, ports: ports() })
    };
    links.iter().filter_map(edge).collect()
}

/// Whether one frame lies in another.
pub fn holds(outer: Frame, inner: Frame) -> bool {
    let [l, t, r, b] = outer;
    l <= inner[0] && t <= inner[1] && r >= inner[2] && b >= inner[3]
}

/// The middle of a frame, as one without a size.
fn middle([l, t, r, b]: Frame) -> Frame {
    let [x, y] = [(l + r) / 2.0, (t + b) / 2.0];
    [x, y, x, y]
}

fn overlap(a: Frame, b: Frame) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

fn shift([l, t, r, b]: Frame, [x, y]: [f32; 2]) -> Frame {
    [l + x, t + y, r + x, b + y]
}

/// The box around all.
pub fn around(frames: impl Iterator<Item = Frame>) -> Option<Frame> {
    frames.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
}

fn size(frames: impl Iterator<Item = Frame>) -> [f32; 2] {
    around(frames).map_or([0.0; 2], |[l, t, r, b]| [r - l, b - t])
}

#[cfg(test)]
mod tests;
