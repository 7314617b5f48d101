//! The way of a link over the canvas: through its reroutes, in the style that a person likes.

use super::links::Curve;
use egui::{Color32, Pos2, Rect, Shape, Stroke, pos2, vec2};
use serde::{Deserialize, Serialize};

/// How far a link in straight lines leaves its sockets sideways, in canvas units.
const STUB: f32 = 14.0;

/// How links are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
    #[default]
    Spline,
    /// In a straight line from socket to socket.
    Linear,
    /// In level and upright lines.
    Straight,
}

impl Style {
    pub const ALL: [(Self, &str); 3] =
        [(Self::Spline, "Curves"), (Self::Linear, "Lines"), (Self::Straight, "Right angles")];

    /// The one after it, and after the last the first.
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|(style, _)| *style == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()].0
    }
}

/// A link's way, in any coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its output, the points that it runs through, and its input.
    points: Vec<Pos2>,
    style: Style,
    /// The way from each point to the next.
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Curve(Curve),
    Lines(Vec<Pos2>),
}

impl Route {
    /// `scale` is the zoom of the coordinates. There must be two points or more.
    pub fn new(points: Vec<Pos2>, style: Style, scale: f32) -> Self {
        let last = points.len() - 2;
        let pairs = points.windows(2).enumerate();
        let piece = |(i, pair): (usize, &[Pos2])| {
            let stubs = [i == 0, i == last].map(|end| if end { STUB * scale } else { 0.0 });
            Piece::new(pair[0], pair[1], style, scale, stubs)
        };
        let pieces = pairs.map(piece).collect();
        Self { points, style, pieces }
    }

    /// The same in other coordinates.
    pub fn mapped(&self, to: impl Fn(Pos2) -> Pos2, scale: f32) -> Self {
        Self::new(self.points.iter().map(|point| to(*point)).collect(), self.style, scale)
    }

    /// Holds the whole way.
    pub fn bounds(&self) -> Rect {
        self.pieces.iter().map(Piece::bounds).reduce(Rect::union).unwrap_or(Rect::NOTHING)
    }

    /// The middle of its middle piece.
    pub fn middle(&self) -> Pos2 {
        self.pieces[self.pieces.len() / 2].middle()
    }

    pub fn distance(&self, point: Pos2) -> f32 {
        self.pieces.iter().map(|piece| piece.distance(point)).fold(f32::INFINITY, f32::min)
    }

    /// Which of its pieces runs nearest to the point.
    pub fn piece(&self, point: Pos2) -> usize {
        let distances = self.pieces.iter().map(|piece| piece.distance(point)).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(piece, _)| piece)
    }

    pub fn shapes(&self, width: f32, color: Color32) -> impl Iterator<Item = Shape> {
        self.pieces.iter().map(move |piece| match piece {
            Piece::Curve(curve) => curve.shape(width, color),
            Piece::Lines(points) => Shape::line(points.clone(), Stroke::new(width, color)),
        })
    }
}

impl Piece {
    fn new(a: Pos2, b: Pos2, style: Style, scale: f32, stubs: [f32; 2]) -> Self {
        let (from, to) = (a + vec2(stubs[0], 0.0), b - vec2(stubs[1], 0.0));
        match style {
            Style::Spline => Self::Curve(Curve::new(a, b, scale)),
            Style::Linear => Self::Lines(vec![a, from, to, b]),
            Style::Straight if from.x <= to.x => {
                let middle = (from.x + to.x) / 2.0;
                Self::Lines(vec![a, pos2(middle, a.y), pos2(middle, b.y), b])
            }
            // Backwards: around both ends.
            Style::Straight => {
                let middle = (a.y + b.y) / 2.0;
                let turns = [pos2(from.x, a.y), pos2(from.x, middle), pos2(to.x, middle)];
                Self::Lines([&[a], &turns[..], &[pos2(to.x, b.y), b]].concat())
            }
        }
    }

    fn bounds(&self) -> Rect {
        match self {
            Self::Curve(curve) => curve.bounds(),
            Self::Lines(points) => Rect::from_points(points),
        }
    }

    fn middle(&self) -> Pos2 {
        match self {
            Self::Curve(curve) => curve.middle(),
            Self::Lines(points) => {
                let [a, b] = [points[(points.len() - 1) / 2], points[points.len() / 2]];
                a + (b - a) / 2.0
            }
        }
    }

    fn distance(&self, point: Pos2) -> f32 {
        match self {
            Self::Curve(curve) => curve.distance(point),
            Self::Lines(points) => {
                let pieces =
                    points.windows(2).map(|pair| super::links::to_segment(point, pair[0], pair[1]));
                pieces.fold(f32::INFINITY, f32::min)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::Vec2;

    fn route(style: Style) -> Route {
        let points = [(0.0, 0.0), (100.0, 80.0), (60.0, 160.0), (300.0, 0.0)];
        Route::new(points.map(|(x, y)| pos2(x, y)).to_vec(), style, 1.0)
    }

    #[test]
    fn a_link_runs_through_its_points_in_every_style() {
        for (style, _) in Style::ALL {
            let route = route(style);
            for point in &route.points {
                assert!(route.distance(*point) < 0.01, "{style:?}");
                assert!(route.bounds().expand(0.01).contains(*point));
            }
            assert!(route.distance(route.middle()) < 1.0);
            assert!(route.distance(pos2(150.0, 300.0)) > 20.0);
            let moved = route.mapped(|p| p * 2.0 + Vec2::splat(5.0), 2.0);
            assert!(moved.distance(route.middle() * 2.0 + Vec2::splat(5.0)) < 2.0);
        }
    }

    #[test]
    fn the_nearest_piece_is_found() {
        let route = route(Style::Linear);
        assert_eq!(
            [pos2(40.0, 30.0), pos2(85.0, 125.0), pos2(200.0, 60.0)].map(|p| route.piece(p)),
            [0, 1, 2]
        );
    }

    #[test]
    fn styles_go_round() {
        assert_eq!(Style::Spline.next().next().next(), Style::Spline);
        assert_ne!(Style::Spline.next(), Style::Spline);
    }
}
