//! Links as curves: where they run, how far a point is from one, how they are painted.

use egui::{Color32, Pos2, Rect, Shape, Stroke, Vec2, vec2};

/// How far the lines that are drawn may be from the curve, in the unit of its ends; and those a pixel thin, of
/// which there may be thousands.
const FLATNESS: f32 = 0.25;
const FLATNESS_THIN: f32 = 0.8;

/// A link's way from an output to an input, in any coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    pub from: Pos2,
    pub to: Pos2,
    /// How far the curve leaves its ends sideways.
    reach: f32,
}

impl Curve {
    /// `scale` is the zoom of the coordinates.
    pub fn new(from: Pos2, to: Pos2, scale: f32) -> Self {
        let distance = (to - from).abs();
        // Links that run backwards swing out further, or they would hide behind their nodes.
        let back = ((from.x - to.x) * 0.25).clamp(0.0, 120.0 * scale);
        let reach = (distance.x * 0.5).max(distance.y * 0.25).min(180.0 * scale) + back;
        Self { from, to, reach }
    }

    /// The point at `t` from 0 to 1.
    pub fn at(&self, t: f32) -> Pos2 {
        let (a, d) = (self.from.to_vec2(), self.to.to_vec2());
        let (b, c) = (a + vec2(self.reach, 0.0), d - vec2(self.reach, 0.0));
        let s = 1.0 - t;
        (a * (s * s * s) + b * (3.0 * s * s * t) + c * (3.0 * s * t * t) + d * (t * t * t))
            .to_pos2()
    }

    pub fn middle(&self) -> Pos2 {
        self.at(0.5)
    }

    /// Holds the whole curve.
    pub fn bounds(&self) -> Rect {
        Rect::from_two_pos(self.from, self.to).expand2(vec2(self.reach, 0.0))
    }

    /// As a chain of straight lines that near to the curve. A piece `dt` long is at most
    /// `dt²/8 · |B″|` away, and `B″ = 6 · bend · (1 - 2t)`: the curve bends at its ends and is straight in
    /// its middle, so that pieces are shorter towards the ends.
    pub fn points(&self, flatness: f32) -> Vec<Pos2> {
        let bend = (self.to - self.from - vec2(3.0 * self.reach, 0.0)).length();
        let count = ((0.75 * bend / flatness).sqrt() * 2.0 / 3.0).ceil().clamp(2.0, 64.0) as usize;
        let place = |i: usize| {
            let side = 1.0 - 2.0 * i as f32 / count as f32;
            self.at((1.0 - side.signum() * side.abs().powf(2.0 / 3.0)) / 2.0)
        };
        (0..=count).map(place).collect()
    }

    pub fn distance(&self, point: Pos2) -> f32 {
        let points = self.points(FLATNESS);
        let pieces = points.windows(2).map(|pair| to_segment(point, pair[0], pair[1]));
        pieces.fold(f32::INFINITY, f32::min)
    }

    pub fn shape(&self, width: f32, color: Color32) -> Shape {
        let flatness = if width > 1.0 { FLATNESS } else { FLATNESS_THIN };
        Shape::line(self.points(flatness), Stroke::new(width, color))
    }
}

/// How far a point is from a straight piece.
pub fn to_segment(point: Pos2, a: Pos2, b: Pos2) -> f32 {
    let along: Vec2 = b - a;
    let t = ((point - a).dot(along) / along.length_sq().max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
    point.distance(a + along * t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;

    #[test]
    fn a_point_on_the_curve_has_no_distance_and_one_beside_it_has() {
        let curve = Curve::new(pos2(0.0, 0.0), pos2(300.0, 120.0), 1.0);
        assert!(curve.distance(curve.at(0.37)) < 1.0);
        assert!(curve.distance(curve.middle()) < 1.0);
        assert!(curve.distance(curve.middle() + vec2(0.0, 40.0)) > 15.0);
    }

    #[test]
    fn a_straight_link_measures_like_a_line() {
        let curve = Curve::new(pos2(0.0, 0.0), pos2(200.0, 0.0), 1.0);
        assert!((curve.distance(pos2(100.0, 25.0)) - 25.0).abs() < 0.01);
        assert!((curve.distance(pos2(-30.0, 0.0)) - 30.0).abs() < 0.01);
    }

    #[test]
    fn the_lines_keep_near_the_curve_and_are_few() {
        for to in [pos2(300.0, 200.0), pos2(-300.0, 200.0), pos2(20.0, 5.0), pos2(900.0, 10.0)] {
            let curve = Curve::new(pos2(0.0, 0.0), to, 1.0);
            let furthest = (0..=500).map(|i| curve.distance(curve.at(i as f32 / 500.0)));
            let furthest = furthest.fold(0.0, f32::max);
            assert!(furthest <= FLATNESS, "{to:?}: {furthest}");
            assert!(curve.points(FLATNESS).len() < 45, "{to:?}: {}", curve.points(FLATNESS).len());
        }
    }

    #[test]
    fn the_bounds_hold_curves_in_every_direction() {
        for to in [pos2(300.0, 200.0), pos2(-300.0, 200.0), pos2(0.0, -500.0), pos2(5.0, 0.0)] {
            let curve = Curve::new(pos2(0.0, 0.0), to, 1.0);
            assert!(
                curve.points(FLATNESS).iter().all(|p| curve.bounds().expand(0.01).contains(*p))
            );
        }
    }
}
