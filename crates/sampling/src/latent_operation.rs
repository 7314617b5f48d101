//! Changes to a latent that guidance, too, can be put through.

use crate::Latent;
use ndarray::{Array3, ArrayView2, ArrayViewMut3, Axis, Zip};

/// One change, picture by picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LatentOperation {
    /// Shortens long pixels by Reinhard's curve (2002, equation 3): so strong guidance does not glare. The
    /// curve's top is this many times the mean length and five deviations.
    Tonemap { multiplier: f32 },
    /// Adds what a blur takes from the pixels' directions; their lengths stay.
    Sharpen {
        /// Pixels to each side.
        radius: usize,
        /// The blur's standard deviation, in radii.
        sigma: f32,
        /// How much, in tenths.
        alpha: f32,
    },
}

impl LatentOperation {
    #[must_use]
    pub fn apply(&self, latent: &Latent) -> Latent {
        match *self {
            Self::Tonemap { multiplier } => tonemapped(latent, multiplier),
            Self::Sharpen { radius, sigma, alpha } => sharpened(latent, radius, sigma, alpha),
        }
    }
}

/// The length of each pixel over its channels, and a little more: `[batch, height, width]`.
fn lengths(latent: &Latent, more: f32) -> Array3<f32> {
    (latent * latent).sum_axis(Axis(1)).mapv(|square| square.sqrt() + more)
}

/// Multiplies all channels of each pixel.
fn scale(mut picture: ArrayViewMut3<f32>, by: &ArrayView2<f32>) {
    picture.outer_iter_mut().for_each(|mut channel| channel *= by);
}

fn tonemapped(latent: &Latent, multiplier: f32) -> Latent {
    let lengths = lengths(latent, 1e-10);
    let mut out = latent.clone();
    for (picture, lengths) in out.outer_iter_mut().zip(lengths.outer_iter()) {
        let top = (lengths.std(1.0) * 5.0 + lengths.mean().unwrap_or(0.0)) * multiplier;
        let shorter = |length: f32| {
            let part = length / top;
            part / (part + 1.0) * top / length
        };
        scale(picture, &lengths.mapv(shorter).view());
    }
    out
}

fn sharpened(latent: &Latent, radius: usize, sigma: f32, alpha: f32) -> Latent {
    let lengths = lengths(latent, 1e-6);
    let direct = latent / &lengths.clone().insert_axis(Axis(1));
    let bell = bell(radius, sigma);
    let soft = blurred(&blurred(&direct, Axis(2), &bell), Axis(3), &bell);
    let sharp = |x: &f32, soft: &f32| x + 10.0 * alpha * (x - soft);
    let mut out = Zip::from(&direct).and(&soft).map_collect(sharp);
    let pictures = out.outer_iter_mut().zip(lengths.outer_iter());
    pictures.for_each(|(picture, lengths)| scale(picture, &lengths));
    out
}

/// Gauss's bell over `2 radius + 1` places from -1 to 1, with the sum 1.
fn bell(radius: usize, sigma: f32) -> Vec<f32> {
    let at = |i: usize| i as f32 / radius.max(1) as f32 - 1.0;
    let bell: Vec<f32> =
        (0..=2 * radius).map(|i| (-at(i).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f32 = bell.iter().sum();
    bell.iter().map(|x| x / sum).collect()
}

/// Weighted sums of neighbours along an axis; edges mirror the picture, as often as it takes.
pub(crate) fn blurred(x: &Latent, axis: Axis, weights: &[f32]) -> Latent {
    let (size, radius) = (x.len_of(axis) as isize, weights.len() as isize / 2);
    let mirrored = |i: isize| {
        let period = (2 * (size - 1)).max(1);
        let i = i.rem_euclid(period);
        i.min(period - i).min(size - 1) as usize
    };
    let mut y = Latent::zeros(x.raw_dim());
    for (i, mut y) in y.axis_iter_mut(axis).enumerate() {
        for (offset, weight) in (-radius..).zip(weights) {
            y.scaled_add(*weight, &x.index_axis(axis, mirrored(i as isize + offset)));
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sin(0.7 i) in rows.
    fn latent() -> Latent {
        let numbers = (0..36).map(|i| (i as f32 * 0.7).sin()).collect();
        Latent::from_shape_vec((1, 3, 3, 4), numbers).unwrap()
    }

    /// What PyTorch makes of it.
    #[test]
    fn the_first_numbers_are_those_of_pytorch() {
        let tonemap = LatentOperation::Tonemap { multiplier: 0.8 };
        let sharpen = LatentOperation::Sharpen { radius: 2, sigma: 0.6, alpha: 0.25 };
        let cases = [
            (tonemap, [0.0, 0.29522, 0.45138, 0.39179, 0.15165, -0.1601, -0.39999, -0.44797]),
            (sharpen, [-0.12603, 2.14986, 3.38315, 2.97514, 1.20177, -1.17549, -2.95448, -3.31927]),
        ];
        for (operation, expected) in cases {
            let got = operation.apply(&latent());
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() < 2e-5, "{operation:?}: {got}, not {expected}");
            }
        }
    }

    #[test]
    fn what_is_the_same_everywhere_stays_when_sharpened() {
        let x = Latent::from_elem((1, 4, 3, 9), 0.5);
        let y = LatentOperation::Sharpen { radius: 9, sigma: 1.0, alpha: 2.0 }.apply(&x);
        assert!(y.iter().all(|y| (y - 0.5).abs() < 1e-4));
    }
}
