//! A mask and what a brush does to it: plain arithmetic, no screen.

use egui::{Pos2, Rect, Vec2, pos2};
use std::collections::VecDeque;

/// A mask of a picture: 255 where it is masked, row by row.
#[derive(Clone)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    pub values: Vec<u8>,
}

/// Pixels from `min` up to but without `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub min: [usize; 2],
    pub max: [usize; 2],
}

/// A round brush.
#[derive(Clone, Copy, Debug)]
pub struct Brush {
    /// In pixels of the picture.
    pub radius: f32,
    /// From 0, soft from the middle on, to 1, sharp.
    pub hardness: f32,
    /// From 0 to 1; a stroke never adds more than this.
    pub opacity: f32,
    /// Takes away instead of adding.
    pub erase: bool,
}

/// A place of the pointer: where, and how hard it is pressed, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    pub at: Pos2,
    pub pressure: f32,
}

/// How much of a pixel the brush covers whose middle is `distance` away: 1 within, 0 outside, falling
/// smoothly between. Even the hardest brush has an edge a pixel wide, so that it is not jagged.
pub fn coverage(distance: f32, radius: f32, hardness: f32) -> f32 {
    let outer = radius + 0.5;
    let inner = (radius * hardness).min(radius - 0.5);
    let t = ((outer - distance) / (outer - inner)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The distance of a point from a line between two places, and how far along the line it is nearest.
fn from_line(point: Pos2, start: Pos2, end: Pos2) -> (f32, f32) {
    let line = end - start;
    let length = line.length_sq();
    let along =
        if length > 0.0 { ((point - start).dot(line) / length).clamp(0.0, 1.0) } else { 0.0 };
    (point.distance(start + line * along), along)
}

/// A stroke under way: the mask under it, and the most that the brush has covered of each pixel.
pub struct Stroke {
    brush: Brush,
    before: Mask,
    covered: Vec<f32>,
    last: Option<Touch>,
    area: Option<Area>,
}

impl Stroke {
    pub fn new(mask: &Mask, brush: Brush) -> Self {
        let covered = vec![0.0; mask.values.len()];
        Self { brush, before: mask.clone(), covered, last: None, area: None }
    }

    /// Goes on to a place, in a straight line, so that there are no gaps; gives what changed.
    pub fn to(&mut self, mask: &mut Mask, touch: Touch) -> Option<Area> {
        let from = self.last.replace(touch).unwrap_or(touch);
        let reach = self.brush.radius + 1.0;
        let area = mask.area(Rect::from_two_pos(from.at, touch.at).expand(reach))?;
        for (y, x) in area.pixels() {
            let middle = pos2(x as f32 + 0.5, y as f32 + 0.5);
            let (distance, along) = from_line(middle, from.at, touch.at);
            let pressure = from.pressure + (touch.pressure - from.pressure) * along;
            let new = coverage(distance, self.brush.radius * pressure, self.brush.hardness);
            let i = y * mask.width + x;
            if new > self.covered[i] {
                self.covered[i] = new;
                mask.values[i] = self.brush.laid_over(self.before.values[i], new);
            }
        }
        self.area = Some(self.area.map_or(area, |all| all.union(area)));
        Some(area)
    }

    /// What was under the stroke.
    pub fn end(self) -> Option<Patch> {
        Some(Patch::of(&self.before, self.area?))
    }
}

impl Brush {
    /// A value of the mask after the brush has covered so much of its pixel.
    fn laid_over(&self, value: u8, covered: f32) -> u8 {
        let goal = if self.erase { 0.0 } else { 255.0 };
        let value = f32::from(value);
        (value + (goal - value) * covered * self.opacity).round() as u8
    }
}

impl Area {
    pub fn pixels(self) -> impl Iterator<Item = (usize, usize)> {
        (self.min[1]..self.max[1])
            .flat_map(move |y| (self.min[0]..self.max[0]).map(move |x| (y, x)))
    }

    pub fn union(self, other: Self) -> Self {
        let least = |i: usize| self.min[i].min(other.min[i]);
        let most = |i: usize| self.max[i].max(other.max[i]);
        Self { min: [least(0), least(1)], max: [most(0), most(1)] }
    }

    pub fn width(self) -> usize {
        self.max[0] - self.min[0]
    }

    pub fn height(self) -> usize {
        self.max[1] - self.min[1]
    }
}

impl Mask {
    /// An empty one.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, values: vec![0; width * height] }
    }

    pub fn all(&self) -> Area {
        Area { min: [0, 0], max: [self.width, self.height] }
    }

    /// The pixels that a rectangle touches, if there are any.
    pub fn area(&self, rect: Rect) -> Option<Area> {
        let clamp = |v: f32, n: usize| v.clamp(0.0, n as f32) as usize;
        let min = [clamp(rect.left().floor(), self.width), clamp(rect.top().floor(), self.height)];
        let max =
            [clamp(rect.right().ceil(), self.width), clamp(rect.bottom().ceil(), self.height)];
        (min[0] < max[0] && min[1] < max[1]).then_some(Area { min, max })
    }

    /// Lays the brush's opacity over a rectangle, sharp-edged; gives what was there.
    pub fn rectangle(&mut self, rect: Rect, brush: Brush) -> Option<Patch> {
        let round = |p: Pos2| pos2(p.x.round(), p.y.round());
        let area = self.area(Rect { min: round(rect.min), max: round(rect.max) })?;
        let patch = Patch::of(self, area);
        for (y, x) in area.pixels() {
            let value = &mut self.values[y * self.width + x];
            *value = brush.laid_over(*value, 1.0);
        }
        Some(patch)
    }

    /// Fills the place around a pixel up to where the mask changes, and a pixel beyond, under the soft
    /// edge; gives what was there.
    pub fn fill(&mut self, [x, y]: [usize; 2], brush: Brush) -> Patch {
        let patch = Patch::of(self, self.all());
        let empty = |value: u8| (value < 128) != brush.erase;
        let mut reached = vec![false; self.values.len()];
        let mut next = VecDeque::from([(x, y)]);
        while let Some((x, y)) = next.pop_front() {
            let i = y * self.width + x;
            if std::mem::replace(&mut reached[i], true) || !empty(patch.values[i]) {
                continue;
            }
            let (right, bottom) = (x + 1 < self.width, y + 1 < self.height);
            next.extend((x > 0).then(|| (x - 1, y)).into_iter().chain(right.then_some((x + 1, y))));
            next.extend(
                (y > 0).then(|| (x, y - 1)).into_iter().chain(bottom.then_some((x, y + 1))),
            );
        }
        for (value, _) in self.values.iter_mut().zip(reached).filter(|(_, reached)| *reached) {
            *value = brush.laid_over(*value, 1.0);
        }
        patch
    }

    /// Changes every value; gives what was there.
    pub fn map(&mut self, change: impl Fn(u8) -> u8) -> Patch {
        let patch = Patch::of(self, self.all());
        self.values.iter_mut().for_each(|value| *value = change(*value));
        patch
    }
}

/// Part of a mask as it was or will be.
pub struct Patch {
    pub area: Area,
    values: Vec<u8>,
}

impl Patch {
    fn of(mask: &Mask, area: Area) -> Self {
        Self { area, values: area.pixels().map(|(y, x)| mask.values[y * mask.width + x]).collect() }
    }

    /// Puts it in its place; it becomes what was there.
    fn swap(&mut self, mask: &mut Mask) {
        for ((y, x), value) in self.area.pixels().zip(&mut self.values) {
            std::mem::swap(value, &mut mask.values[y * mask.width + x]);
        }
    }
}

/// What can be undone and done again.
#[derive(Default)]
pub struct Undo {
    done: VecDeque<Patch>,
    undone: Vec<Patch>,
}

/// Steps to undo take no more memory than this together, in bytes; the last one always stays.
const UNDO_BYTES: usize = 256 << 20;

impl Undo {
    /// A step was made; `patch` is what was there before.
    pub fn push(&mut self, patch: Patch) {
        self.undone.clear();
        self.done.push_back(patch);
        let bytes = |done: &VecDeque<Patch>| done.iter().map(|p| p.values.len()).sum::<usize>();
        while self.done.len() > 1 && bytes(&self.done) > UNDO_BYTES {
            self.done.pop_front();
        }
    }

    pub fn can_undo(&self) -> bool {
        !self.done.is_empty()
    }

    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    /// Takes the last step back; gives what changed.
    pub fn undo(&mut self, mask: &mut Mask) -> Option<Area> {
        let mut patch = self.done.pop_back()?;
        patch.swap(mask);
        let area = patch.area;
        self.undone.push(patch);
        Some(area)
    }

    /// Makes the step again that was taken back; gives what changed.
    pub fn redo(&mut self, mask: &mut Mask) -> Option<Area> {
        let mut patch = self.undone.pop()?;
        patch.swap(mask);
        let area = patch.area;
        self.done.push_back(patch);
        Some(area)
    }
}

/// The next larger or smaller size of a brush.
pub fn resized(radius: f32, larger: bool) -> f32 {
    let factor = if larger { 1.2 } else { 1.0 / 1.2 };
    (radius * factor).clamp(RADII.0, RADII.1)
}

/// Smallest and largest radius of a brush, in pixels.
pub const RADII: (f32, f32) = (0.5, 500.0);

/// The rectangle between two corners; a square if `square`.
pub fn corners(start: Pos2, end: Pos2, square: bool) -> Rect {
    let mut size = end - start;
    if square {
        let side = size.x.abs().max(size.y.abs());
        size = Vec2::new(side.copysign(size.x), side.copysign(size.y));
    }
    Rect::from_two_pos(start, start + size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFT: Brush = Brush { radius: 10.0, hardness: 0.3, opacity: 1.0, erase: false };

    fn touch(x: f32, y: f32) -> Touch {
        Touch { at: pos2(x, y), pressure: 1.0 }
    }

    fn stroke(mask: &mut Mask, brush: Brush, path: &[(f32, f32)]) -> Option<Patch> {
        let mut stroke = Stroke::new(mask, brush);
        for (x, y) in path {
            stroke.to(mask, touch(*x, *y));
        }
        stroke.end()
    }

    #[test]
    fn a_soft_brush_falls_off_from_its_middle_to_its_edge_and_no_further() {
        assert_eq!(coverage(0.0, 10.0, 0.5), 1.0);
        assert_eq!(coverage(5.0, 10.0, 0.5), 1.0);
        assert_eq!(coverage(10.5, 10.0, 0.5), 0.0);
        let falling: Vec<f32> = (0..=20).map(|d| coverage(d as f32 * 0.525, 10.0, 0.0)).collect();
        assert!(falling.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(
            (coverage(10.0, 10.0, 1.0) - 0.5).abs() < 1e-6,
            "a hard edge is half at the radius"
        );
    }

    #[test]
    fn fast_strokes_have_no_gaps() {
        let mut mask = Mask::new(400, 40);
        let hard = Brush { radius: 3.0, hardness: 1.0, ..SOFT };
        stroke(&mut mask, hard, &[(5.0, 20.0), (395.0, 20.0)]);
        assert!(mask.values[20 * 400 + 5..20 * 400 + 395].iter().all(|value| *value == 255));
    }

    #[test]
    fn opacity_does_not_build_up_within_a_stroke_but_does_with_the_next() {
        let half = Brush { opacity: 0.5, ..SOFT };
        let mut mask = Mask::new(50, 50);
        stroke(&mut mask, half, &[(25.0, 25.0), (30.0, 25.0), (25.0, 25.0), (20.0, 25.0)]);
        let middle = 25 * 50 + 25;
        assert_eq!(mask.values[middle], 128);
        stroke(&mut mask, half, &[(25.0, 25.0)]);
        assert_eq!(mask.values[middle], 192);
        stroke(&mut mask, Brush { erase: true, ..SOFT }, &[(25.0, 25.0)]);
        assert_eq!(mask.values[middle], 0);
    }

    #[test]
    fn a_light_touch_is_a_thin_line() {
        let mut mask = Mask::new(60, 60);
        let mut line = Stroke::new(&mask, Brush { hardness: 1.0, ..SOFT });
        line.to(&mut mask, Touch { at: pos2(30.5, 30.5), pressure: 0.2 });
        let wide = mask.values.iter().filter(|value| **value > 127).count();
        assert!((9..=21).contains(&wide), "{wide} pixels within a radius of 2");
    }

    #[test]
    fn strokes_beyond_the_edge_touch_only_what_is_inside() {
        let mut mask = Mask::new(20, 20);
        assert!(stroke(&mut mask, SOFT, &[(-100.0, -100.0)]).is_none());
        stroke(&mut mask, SOFT, &[(-5.0, 10.0), (500.0, 10.0)]);
        assert!(mask.values[10 * 20..11 * 20].iter().all(|value| *value == 255));
    }

    #[test]
    fn a_fill_stops_at_what_is_painted() {
        let mut mask = Mask::new(40, 40);
        let pen = Brush { radius: 1.5, hardness: 1.0, ..SOFT };
        stroke(
            &mut mask,
            pen,
            &[(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0), (10.0, 10.0)],
        );
        mask.fill([20, 20], SOFT);
        assert_eq!(mask.values[20 * 40 + 20], 255);
        assert_eq!(mask.values[2 * 40 + 2], 0);
        mask.fill([20, 20], Brush { erase: true, ..SOFT });
        assert_eq!(mask.values[20 * 40 + 20], 0);
    }

    #[test]
    fn everything_can_be_undone_and_done_again() {
        let (mut mask, mut undo) = (Mask::new(64, 48), Undo::default());
        let empty = mask.values.clone();
        undo.push(stroke(&mut mask, SOFT, &[(10.0, 10.0), (50.0, 40.0)]).unwrap());
        let rect = Rect::from_two_pos(pos2(3.0, 3.0), pos2(20.0, 9.0));
        undo.push(mask.rectangle(rect, SOFT).unwrap());
        undo.push(mask.map(|value| 255 - value));
        undo.push(mask.fill([0, 0], SOFT));
        let last = mask.values.clone();
        while undo.undo(&mut mask).is_some() {}
        assert_eq!(mask.values, empty);
        while undo.redo(&mut mask).is_some() {}
        assert_eq!(mask.values, last);
        undo.undo(&mut mask);
        undo.push(mask.map(|_| 0));
        assert!(!undo.can_redo(), "a new step ends what could be done again");
    }

    #[test]
    fn a_rectangle_covers_whole_pixels() {
        let mut mask = Mask::new(8, 8);
        mask.rectangle(corners(pos2(5.8, 6.1), pos2(2.2, 4.4), false), SOFT);
        let set = mask.values.iter().filter(|value| **value == 255).count();
        assert_eq!(set, 4 * 2);
        assert_eq!(corners(pos2(5.0, 5.0), pos2(2.0, 6.0), true).size(), Vec2::splat(3.0));
    }
}
