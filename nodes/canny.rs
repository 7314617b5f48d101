//! Canny's edges, as kornia finds them.

use crate::{Image, image_filter::blurred};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array2, Array4, Axis};
use std::sync::Arc;

/// Draws the edges of a picture (Canny 1986): white lines of one pixel, on black.
#[derive(Inputs)]
pub struct Canny {
    /// The picture.
    pub image: Image,
    /// What is less steep is no edge.
    #[widget(number(0.4).range(0.01..=0.99).step(0.01))]
    pub low_threshold: f64,
    /// What is steeper is an edge; between the two, if it touches one.
    #[widget(number(0.8).range(0.01..=0.99).step(0.01))]
    pub high_threshold: f64,
}

impl Node for Canny {
    const CATEGORY: &str = "image/preprocessors";
    type Output = Image;

    fn run(self, ctx: &mut Context) -> Result<Image> {
        let (low, high) = (self.low_threshold as f32, self.high_threshold as f32);
        ensure!(low <= high, "low_threshold {low} is over high_threshold {high}");
        let (n, h, w, c) = self.image.0.dim();
        ensure!(c >= 3, "the picture has {c} channels; it needs the three of a colour");
        let grey = Array4::from_shape_fn((n, h, w, 1), |(b, y, x, _)| {
            let of = |c: usize| self.image.0[[b, y, x, c]];
            0.299 * of(0) + 0.587 * of(1) + 0.114 * of(2)
        });
        let soft = blurred(&grey, &bell());
        let mut edges = Array4::zeros((n, h, w, 3));
        for (picture, mut out) in soft.outer_iter().zip(edges.outer_iter_mut()) {
            ctx.check()?;
            let thin = thinned(&picture.index_axis(Axis(2), 0).to_owned());
            let drawn = connected(&thin, low, high);
            out.axis_iter_mut(Axis(2)).for_each(|mut channel| channel.assign(&drawn));
        }
        Ok(Image(Arc::new(edges)))
    }
}

/// Gauss's bell of deviation 1 over five places.
fn bell() -> [f32; 5] {
    let bell = [-2.0f32, -1.0, 0.0, 1.0, 2.0].map(|x| (-x * x / 2.0).exp());
    bell.map(|x| x / bell.iter().sum::<f32>())
}

/// The eight neighbours, clockwise from the right, as `(dy, dx)`.
const AROUND: [(isize, isize); 8] =
    [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)];

/// How steep each pixel is; 0 unless it is steeper than its neighbours up and down the slope.
fn thinned(grey: &Array2<f32>) -> Array2<f32> {
    let (h, w) = grey.dim();
    let at = |y: usize, x: usize, dy: isize, dx: isize| {
        let clamp = |i: usize, d: isize, n: usize| i.saturating_add_signed(d).min(n - 1);
        grey[[clamp(y, dy, h), clamp(x, dx, w)]]
    };
    // Sobel's differences.
    let slope = |y: usize, x: usize| {
        let across = |d: isize| at(y, x, d, 1) - at(y, x, d, -1);
        let down = |d: isize| at(y, x, 1, d) - at(y, x, -1, d);
        let dx = across(-1) + 2.0 * across(0) + across(1);
        let dy = down(-1) + 2.0 * down(0) + down(1);
        (dy, dx)
    };
    let slopes = Array2::from_shape_fn((h, w), |(y, x)| slope(y, x));
    let steep = slopes.mapv(|(dy, dx)| (dx * dx + dy * dy + 1e-6).sqrt());
    Array2::from_shape_fn((h, w), |(y, x)| {
        let (dy, dx) = slopes[[y, x]];
        let eighth = (dy.atan2(dx).to_degrees() / 45.0).round_ties_even() as i32;
        let own = steep[[y, x]];
        let higher = |turn: i32| {
            let (dy, dx) = AROUND[(eighth + turn).rem_euclid(8) as usize];
            own > neighbour(&steep, y, x, dy, dx).unwrap_or(0.0)
        };
        if higher(0) && higher(4) { own } else { 0.0 }
    })
}

fn neighbour<T: Copy>(of: &Array2<T>, y: usize, x: usize, dy: isize, dx: isize) -> Option<T> {
    of.get([y.checked_add_signed(dy)?, x.checked_add_signed(dx)?]).copied()
}

/// 1 for what is over `high`, and for what is over `low` and reaches such a pixel.
fn connected(steep: &Array2<f32>, low: f32, high: f32) -> Array2<f32> {
    let mut edges = steep.mapv(|s| if s > high { 1.0 } else { 0.0 });
    let mut open: Vec<(usize, usize)> =
        edges.indexed_iter().filter(|(_, e)| **e > 0.0).map(|(at, _)| at).collect();
    while let Some((y, x)) = open.pop() {
        for (dy, dx) in AROUND {
            let (Some(y), Some(x)) = (y.checked_add_signed(dy), x.checked_add_signed(dx)) else {
                continue;
            };
            if steep.get([y, x]).is_some_and(|s| *s > low) && edges[[y, x]] == 0.0 {
                edges[[y, x]] = 1.0;
                open.push((y, x));
            }
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(image: Array4<f32>) -> Array4<f32> {
        let node = Canny { image: Image(Arc::new(image)), low_threshold: 0.4, high_threshold: 0.8 };
        Context::bare(|ctx| node.run(ctx)).unwrap().0.as_ref().clone()
    }

    #[test]
    fn the_border_of_a_square_is_one_thin_closed_line() {
        // Its outermost pixels are half as bright: there the slope is steepest.
        let depth = |i: usize| i.min(31 - i).saturating_sub(7).min(2) as f32 / 2.0;
        let edges =
            edges(Array4::from_shape_fn((1, 32, 32, 3), |(_, y, x, _)| depth(y).min(depth(x))));
        let white =
            |along: usize| (0..32).filter(|i| edges[[0, along, *i, 0]] == 1.0).collect::<Vec<_>>();
        assert!((12..20).all(|row| white(row) == [8, 23]), "{:?}", white(12));
        assert!(white(8).len() > 8 && white(4).is_empty());
        assert_eq!(edges.index_axis(Axis(3), 0), edges.index_axis(Axis(3), 2));
    }

    #[test]
    fn an_even_picture_has_no_edges() {
        assert!(edges(Array4::from_elem((1, 9, 9, 3), 0.5)).iter().all(|e| *e == 0.0));
    }
}
