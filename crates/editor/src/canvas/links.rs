//! Links as curves: where they run, how far a point is from one, how they are painted.

use egui::{Color32, Pos2, Rect, Shape, Stroke, Vec2, vec2};

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

    /// As a chain of straight lines, more of them the longer it is.
    pub fn points(&self) -> Vec<Pos2> {
        let length = (self.to - self.from).length() + self.reach;
        let count = (length / 14.0).clamp(4.0, 32.0) as usize;
        (0..=count).map(|i| self.at(i as f32 / count as f32)).collect()
    }

    pub fn distance(&self, point: Pos2) -> f32 {
        let points = self.points();
        let pieces = points.windows(2).map(|pair| to_segment(point, pair[0], pair[1]));
        pieces.fold(f32::INFINITY, f32::min)
    }

    pub fn shape(&self, width: f32, color: Color32) -> Shape {
        Shape::line(self.points(), Stroke::new(width, color))
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
    fn the_bounds_hold_curves_in_every_direction() {
        for to in [pos2(300.0, 200.0), pos2(-300.0, 200.0), pos2(0.0, -500.0), pos2(5.0, 0.0)] {
            let curve = Curve::new(pos2(0.0, 0.0), to, 1.0);
            assert!(curve.points().iter().all(|p| curve.bounds().expand(0.01).contains(*p)));
        }
    }
}
