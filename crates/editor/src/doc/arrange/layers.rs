//! Boxes with links between them, in layers from left to right.

use std::collections::{BTreeMap, BTreeSet};

/// A link between two boxes, by their places; and how far down on each its socket is, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub ports: [f32; 2],
}

/// Space between layers, where links run, and between boxes above each other.
pub const GAP: [f32; 2] = [90.0, 40.0];
/// Height of the way that a link has through a layer in which it does not end.
const WAY: f32 = 6.0;
/// Boxes without links fill columns of this height.
const COLUMN: f32 = 1200.0;
/// More sweeps change little.
const SWEEPS: usize = 12;

/// The left upper corners of the boxes: no two overlap, and links lead from left to right unless they make
/// a ring. Parts without a link between them come below each other, boxes without links last.
pub fn arrange(sizes: &[[f32; 2]], edges: &[Edge]) -> Vec<[f32; 2]> {
    let mut places = vec![[0.0; 2]; sizes.len()];
    let (mut bottom, mut width): (f32, f32) = (0.0, 0.0);
    let (linked, alone): (Vec<_>, Vec<_>) =
        components(sizes.len(), edges).into_iter().partition(|part| part.len() > 1);
    for part in linked {
        let inner = Layers::new(&part, edges).places(sizes);
        let mut end: f32 = bottom;
        for (i, [x, y]) in inner {
            places[i] = [x, bottom + y];
            width = width.max(x + sizes[i][0]);
            end = end.max(bottom + y + sizes[i][1]);
        }
        bottom = end + 2.0 * GAP[1];
    }
    // Below a graph in rows; else in columns, as what feeds one node would stand.
    let (along, limit) = if width > 0.0 { (0, width) } else { (1, COLUMN) };
    let (mut at, mut line): ([f32; 2], f32) = ([0.0, bottom], 0.0);
    for i in alone.into_iter().flatten() {
        if at[along] > 0.0 && at[along] + sizes[i][along] > limit {
            at[1 - along] += line + GAP[1];
            (at[along], line) = (0.0, 0.0);
        }
        places[i] = at;
        at[along] += grid(sizes[i][along]) + GAP[1];
        line = line.max(grid(sizes[i][1 - along]));
    }
    places
}

/// The parts that hang together, in the order of their first boxes.
fn components(count: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let mut near = vec![Vec::new(); count];
    for edge in edges {
        near[edge.from].push(edge.to);
        near[edge.to].push(edge.from);
    }
    let mut seen = vec![false; count];
    let mut parts = Vec::new();
    for first in 0..count {
        let (mut part, mut open) = (Vec::new(), vec![first]);
        while let Some(i) = open.pop() {
            if !std::mem::replace(&mut seen[i], true) {
                part.push(i);
                open.extend(&near[i]);
            }
        }
        part.sort_unstable();
        parts.extend((!part.is_empty()).then_some(part));
    }
    parts
}

/// What stands in a layer: a box, or the way of links that pass through it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stop {
    boxed: Option<usize>,
    layer: usize,
}

/// A part of a graph in layers.
struct Layers {
    stops: Vec<Stop>,
    /// The stops of each layer from top to bottom.
    order: Vec<Vec<usize>>,
    /// Between stops of neighbouring layers.
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    from: usize,
    to: usize,
    ports: [f32; 2],
}

impl Layers {
    fn new(part: &[usize], edges: &[Edge]) -> Self {
        let inside: BTreeSet<usize> = part.iter().copied().collect();
        let edges: Vec<Edge> = edges.iter().filter(|e| inside.contains(&e.from)).copied().collect();
        let forward = forward(part, &edges);
        let ranks = ranks(part, &forward);
        let stops = part.iter().map(|i| Stop { boxed: Some(*i), layer: ranks[i] }).collect();
        let mut layers = Self { stops, order: Vec::new(), steps: Vec::new() };
        layers.lay(part, &forward);
        layers.order = vec![Vec::new(); ranks.values().max().map_or(0, |last| last + 1)];
        for (i, stop) in layers.stops.iter().enumerate() {
            layers.order[stop.layer].push(i);
        }
        layers.untangle();
        layers
    }

    /// Makes the steps that links take; links from one box share their ways.
    fn lay(&mut self, part: &[usize], edges: &[Edge]) {
        let place: BTreeMap<usize, usize> = part.iter().enumerate().map(|(i, b)| (*b, i)).collect();
        let mut ways: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for edge in edges {
            let (from, to) = (place[&edge.from], place[&edge.to]);
            let (mut at, mut out) = (from, edge.ports[0]);
            for layer in self.stops[from].layer + 1..self.stops[to].layer {
                let new = self.stops.len();
                let way = *ways.entry((from, layer)).or_insert(new);
                if way == new {
                    self.stops.push(Stop { boxed: None, layer });
                    self.steps.push(Step { from: at, to: way, ports: [out, 0.5] });
                }
                (at, out) = (way, 0.5);
            }
            self.steps.push(Step { from: at, to, ports: [out, edge.ports[1]] });
        }
    }

    /// Orders the layers by the barycentres of what they are linked to, in sweeps to the left and to the
    /// right; the order with the fewest crossings stays.
    fn untangle(&mut self) {
        let mut best = (usize::MAX, self.order.clone());
        for sweep in 0..SWEEPS {
            let leftwards = sweep % 2 == 0;
            let last = self.order.len() - 1;
            for layer in 0..last {
                self.sort(if leftwards { last - 1 - layer } else { layer + 1 }, leftwards);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.order.clone());
            }
        }
        self.order = best.1;
    }

    /// Sorts a layer by where the links on one side of it lead.
    fn sort(&mut self, layer: usize, by_right: bool) {
        let heights = self.heights();
        let mut sums: BTreeMap<usize, (f32, f32)> = BTreeMap::new();
        for step in &self.steps {
            let (own, far, port) = if by_right {
                (step.from, step.to, step.ports[1])
            } else {
                (step.to, step.from, step.ports[0])
            };
            if self.stops[own].layer == layer {
                let sum = sums.entry(own).or_default();
                *sum = (sum.0 + heights[far] + port, sum.1 + 1.0);
            }
        }
        let key = |stop: &usize| sums.get(stop).map_or(heights[*stop], |(sum, count)| sum / count);
        self.order[layer].sort_by(|a, b| key(a).total_cmp(&key(b)));
    }

    /// Where each stop stands in its layer.
    fn heights(&self) -> Vec<f32> {
        let mut heights = vec![0.0; self.stops.len()];
        for layer in &self.order {
            layer.iter().enumerate().for_each(|(place, stop)| heights[*stop] = place as f32);
        }
        heights
    }

    fn crossings(&self) -> usize {
        let heights = self.heights();
        let mut between = vec![Vec::new(); self.order.len()];
        for step in &self.steps {
            let ends = [heights[step.from] + step.ports[0], heights[step.to] + step.ports[1]];
            between[self.stops[step.from].layer].push(ends);
        }
        let count = |mut ends: Vec<[f32; 2]>| {
            ends.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
            inversions(&mut ends.into_iter().map(|end| end[1]).collect::<Vec<_>>())
        };
        between.into_iter().map(count).sum()
    }

    /// The corners of the boxes.
    fn places(&self, sizes: &[[f32; 2]]) -> Vec<(usize, [f32; 2])> {
        let tops = self.tops(sizes);
        let mut x = 0.0;
        let mut places = Vec::new();
        for layer in &self.order {
            let boxes = layer.iter().filter_map(|stop| Some((*stop, self.stops[*stop].boxed?)));
            let mut width: f32 = 0.0;
            for (stop, i) in boxes {
                places.push((i, [x, tops[stop]]));
                width = width.max(sizes[i][0]);
            }
            x += grid(width) + GAP[0];
        }
        let top = places.iter().map(|(_, [_, y])| *y).fold(f32::INFINITY, f32::min);
        places.iter_mut().for_each(|(_, [_, y])| *y -= top);
        places
    }

    /// How high each stop begins: near what it is linked to, as far as its layer leaves room.
    fn tops(&self, sizes: &[[f32; 2]]) -> Vec<f32> {
        let height = |stop: usize| self.stops[stop].boxed.map_or(WAY, |i| grid(sizes[i][1]));
        let mut near = vec![[Vec::new(), Vec::new()]; self.stops.len()];
        for step in &self.steps {
            near[step.to][0].push(step.from);
            near[step.from][1].push(step.to);
        }
        let mut tops = vec![0.0; self.stops.len()];
        for sweep in 0..4 {
            let layers: Box<dyn Iterator<Item = &Vec<usize>>> = if sweep % 2 == 0 {
                Box::new(self.order.iter())
            } else {
                Box::new(self.order.iter().rev())
            };
            for layer in layers {
                let wish = |stop: &usize| {
                    let far: Vec<f32> = near[*stop][sweep % 2].iter().map(|i| tops[*i]).collect();
                    let mean = far.iter().sum::<f32>() / far.len().max(1) as f32;
                    if far.is_empty() { (tops[*stop], 0.01) } else { (mean, far.len() as f32) }
                };
                let wishes: Vec<(f32, f32)> = layer.iter().map(wish).collect();
                let heights: Vec<f32> = layer.iter().map(|stop| height(*stop) + GAP[1]).collect();
                for (stop, top) in layer.iter().zip(settle(&wishes, &heights)) {
                    tops[*stop] = top;
                }
            }
        }
        tops.into_iter().map(|top| (top / 10.0).round() * 10.0).collect()
    }
}

/// The edges that lead on in some order of the boxes: all, unless there are rings.
fn forward(part: &[usize], edges: &[Edge]) -> Vec<Edge> {
    let mut waiting: BTreeMap<usize, usize> = part.iter().map(|i| (*i, 0)).collect();
    let mut next: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for edge in edges {
        *waiting.get_mut(&edge.to).expect("an edge ends in its part") += 1;
        next.entry(edge.from).or_default().push(edge.to);
    }
    let mut ready: BTreeSet<usize> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(i, _)| *i).collect();
    let mut place = BTreeMap::new();
    // A ring is cut before its first box.
    while let Some(i) = ready.pop_first().or_else(|| waiting.keys().next().copied()) {
        waiting.remove(&i);
        place.insert(i, place.len());
        for to in next.get(&i).into_iter().flatten() {
            let Some(count) = waiting.get_mut(to) else { continue };
            *count -= 1;
            if *count == 0 {
                ready.insert(*to);
            }
        }
    }
    let mut forward: Vec<Edge> =
        edges.iter().filter(|edge| place[&edge.from] < place[&edge.to]).copied().collect();
    forward.sort_by_key(|edge| place[&edge.from]);
    forward
}

/// The layer of each box: the first one right of all that feed it; what nothing feeds comes directly before
/// the first that it feeds. Edges are in the order of their beginnings.
fn ranks(part: &[usize], edges: &[Edge]) -> BTreeMap<usize, usize> {
    let mut ranks: BTreeMap<usize, usize> = part.iter().map(|i| (*i, 0)).collect();
    for edge in edges {
        ranks.insert(edge.to, ranks[&edge.to].max(ranks[&edge.from] + 1));
    }
    let fed: BTreeSet<usize> = edges.iter().map(|edge| edge.to).collect();
    let sources = part.iter().filter(|i| !fed.contains(i));
    let later: Vec<(usize, usize)> = sources
        .filter_map(|i| {
            let first = edges.iter().filter(|e| e.from == *i).map(|e| ranks[&e.to]).min()?;
            Some((*i, first - 1))
        })
        .collect();
    ranks.extend(later);
    ranks
}

/// The places nearest to what is wished (each with its weight) at which each is at least the height of the
/// one before below it: isotonic regression by pooling adjacent violators.
fn settle(wishes: &[(f32, f32)], heights: &[f32]) -> Vec<f32> {
    // Blocks of neighbours that touch: sum of weights, weighted sum of places, how many.
    let mut blocks: Vec<(f32, f32, usize)> = Vec::new();
    let offsets: Vec<f32> = heights
        .iter()
        .scan(0.0, |at, height| {
            let here = *at;
            *at += height;
            Some(here)
        })
        .collect();
    for ((wish, weight), offset) in wishes.iter().zip(&offsets) {
        let mut new = (*weight, weight * (wish - offset), 1);
        while let Some((w, sum, count)) = blocks.pop_if(|(w, sum, _)| *sum / *w >= new.1 / new.0) {
            new = (w + new.0, sum + new.1, count + new.2);
        }
        blocks.push(new);
    }
    let bases = blocks.into_iter().flat_map(|(w, sum, count)| std::iter::repeat_n(sum / w, count));
    bases.zip(offsets).map(|(base, offset)| base + offset).collect()
}

/// How many pairs stand in the wrong order; sorts on the way.
fn inversions(list: &mut [f32]) -> usize {
    if list.len() < 2 {
        return 0;
    }
    let middle = list.len() / 2;
    let (left, right) = list.split_at_mut(middle);
    let mut count = inversions(left) + inversions(right);
    for value in &*left {
        count += right.partition_point(|other| other < value);
    }
    list.sort_by(f32::total_cmp);
    count
}

/// Up to the next line of the grid.
fn grid(length: f32) -> f32 {
    (length / 10.0).ceil() * 10.0
}
