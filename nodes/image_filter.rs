//! Pictures blurred, sharpened, and freed of or reduced to their small details.

use crate::Image;
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Axis, Slice, Zip, concatenate};
use std::sync::Arc;

/// Blurs a picture.
#[derive(Inputs)]
pub struct ImageBlur {
    /// The picture.
    pub image: Image,
    /// How far a pixel is blurred, in pixels.
    #[widget(number(1).range(1..=31).step(1))]
    pub blur_radius: usize,
    /// The standard deviation of the blur, in radii.
    #[widget(number(1.0).range(0.1..=10.0).step(0.1))]
    pub sigma: f64,
}

impl Node for ImageBlur {
    const CATEGORY: &str = "image/postprocessing";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        Ok(Image(Arc::new(blurred(&self.image.0, &bell(self.blur_radius, self.sigma)))))
    }
}

/// Sharpens a picture: adds what a blur takes away.
#[derive(Inputs)]
pub struct ImageSharpen {
    /// The picture.
    pub image: Image,
    /// The size of what counts as a detail, in pixels.
    #[widget(number(1).range(1..=31).step(1))]
    pub sharpen_radius: usize,
    /// The standard deviation of the blur, in radii.
    #[widget(number(1.0).range(0.1..=10.0).step(0.01))]
    pub sigma: f64,
    /// How strongly, in tenths of what the blur takes away.
    #[widget(number(1.0).range(0.0..=5.0).step(0.01))]
    pub alpha: f64,
}

impl Node for ImageSharpen {
    const CATEGORY: &str = "image/postprocessing";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let blurred = blurred(&self.image.0, &bell(self.sharpen_radius, self.sigma));
        let strength = 10.0 * self.alpha as f32;
        let sharp = |x: &f32, soft: &f32| (x + strength * (x - soft)).clamp(0.0, 1.0);
        Ok(Image(Arc::new(Zip::from(&*self.image.0).and(&blurred).map_collect(sharp))))
    }
}

/// Gauss's bell over `2 radius + 1` places from -1 to 1, with the sum 1.
fn bell(radius: usize, sigma: f64) -> Vec<f32> {
    let at = |i: usize| i as f64 / radius.max(1) as f64 - 1.0;
    let bell: Vec<f64> =
        (0..=2 * radius).map(|i| (-at(i).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = bell.iter().sum();
    bell.iter().map(|x| (x / sum) as f32).collect()
}

/// The weighted sums of each pixel's neighbours; beyond the edges the picture is mirrored.
pub fn blurred(x: &Array4<f32>, weights: &[f32]) -> Array4<f32> {
    let radius = weights.len() as i64 / 2;
    [1, 2].into_iter().fold(x.clone(), |x, axis| {
        let size = x.len_of(Axis(axis));
        let mut y = Array4::zeros(x.raw_dim());
        for (i, mut y) in y.axis_iter_mut(Axis(axis)).enumerate() {
            for (offset, weight) in (-radius..).zip(weights) {
                y.scaled_add(*weight, &x.index_axis(Axis(axis), mirrored(i as i64 + offset, size)));
            }
        }
        y
    })
}

/// The place that a place beyond the edges mirrors; the edge itself is not repeated.
fn mirrored(at: i64, size: usize) -> usize {
    let period = (2 * (size as i64 - 1)).max(1);
    let at = at.rem_euclid(period);
    at.min(period - at).min(size as i64 - 1) as usize
}

/// Lets bright or dark places grow, shrinks them, or takes out what is smaller than the square.
#[derive(Inputs)]
pub struct Morphology {
    /// The picture.
    pub image: Image,
    /// erode: dark grows; dilate: bright grows; open and close take small bright or dark places away;
    /// gradient: the edges; top_hat and bottom_hat: what open and close take away.
    #[widget(one_of(["erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"]))]
    pub operation: String,
    /// The side of the square, in pixels.
    #[widget(number(3).range(3..=999).step(1))]
    pub kernel_size: usize,
}

impl Node for Morphology {
    const CATEGORY: &str = "image/postprocessing";
    const TITLE: &str = "ImageMorphology";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let size = self.kernel_size;
        let erode = |x: &Array4<f32>| extreme(x, size, f32::min, f32::INFINITY);
        let dilate = |x: &Array4<f32>| extreme(x, size, f32::max, f32::NEG_INFINITY);
        let x = &*self.image.0;
        Ok(Image(Arc::new(match &*self.operation {
            "erode" => erode(x),
            "dilate" => dilate(x),
            "open" => dilate(&erode(x)),
            "close" => erode(&dilate(x)),
            "gradient" => dilate(x) - erode(x),
            "bottom_hat" => erode(&dilate(x)) - x,
            "top_hat" => x - dilate(&erode(x)),
            other => anyhow::bail!("there is no operation {other}"),
        })))
    }
}

/// The smallest or largest value under a square around each pixel, as far as it lies inside; `least`
/// is what any value is chosen over.
fn extreme(x: &Array4<f32>, size: usize, choose: fn(f32, f32) -> f32, least: f32) -> Array4<f32> {
    let (before, after) = (size / 2, size - size / 2 - 1);
    [1, 2].into_iter().map(Axis).fold(x.clone(), |x, axis| {
        let outside = |places: usize| {
            let mut shape = x.raw_dim();
            shape[axis.index()] = places;
            Array4::from_elem(shape, least)
        };
        let (start, end) = (outside(before), outside(after));
        let mut window = concatenate![axis, start, x, end];
        // Two windows side by side, or overlapping, are a longer one.
        let mut length = 1;
        while length < size {
            let step = length.min(size - length);
            let rest = window.slice_axis(axis, Slice::from(step..)).to_owned();
            window.slice_axis_inplace(axis, Slice::from(..rest.len_of(axis)));
            window.zip_mut_with(&rest, |a, b| *a = choose(*a, *b));
            length += step;
        }
        window
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_do_not_repeat_the_edge() {
        assert_eq!([-2, -1, 0, 3, 4, 5].map(|at| mirrored(at, 4)), [2, 1, 0, 3, 2, 1]);
        assert_eq!([-5, 0, 7].map(|at| mirrored(at, 1)), [0, 0, 0]);
    }

    #[test]
    fn extremes_are_those_of_every_window() {
        let x = Array4::from_shape_fn((1, 3, 11, 1), |(_, y, x, _)| ((7 * x + 5 * y) % 11) as f32);
        for size in [3, 4, 7, 40] {
            let largest = extreme(&x, size, f32::max, f32::NEG_INFINITY);
            let near =
                |i: usize, n: usize| i.saturating_sub(size / 2)..(i + size - size / 2).min(n);
            for ((_, y, c, _), got) in largest.indexed_iter() {
                let all = near(y, 3).flat_map(|y| near(c, 11).map(move |c| (y, c)));
                let expected = all.map(|(y, c)| x[[0, y, c, 0]]).fold(f32::MIN, f32::max);
                assert_eq!(*got, expected, "{size}: {y}, {c}");
            }
        }
    }

    #[test]
    fn a_blur_keeps_the_mean_of_an_even_picture_and_a_sharpened_one_stays() {
        let grey = Image(Arc::new(Array4::from_elem((1, 5, 7, 3), 0.25)));
        let node = ImageBlur { image: grey.clone(), blur_radius: 9, sigma: 1.0 };
        let soft = Context::bare(|ctx| node.run(ctx)).unwrap();
        assert!(soft.0.iter().all(|x| (x - 0.25).abs() < 1e-6));
        let node = ImageSharpen { image: grey, sharpen_radius: 2, sigma: 1.0, alpha: 1.0 };
        let sharp = Context::bare(|ctx| node.run(ctx)).unwrap();
        assert!(sharp.0.iter().all(|x| (x - 0.25).abs() < 1e-5));
    }
}
