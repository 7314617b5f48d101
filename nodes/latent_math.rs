//! Latents calculated with, joined and cut.

use crate::{Latent, resize};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array4, ArrayView4, Axis, Slice, Zip, concatenate};
use std::sync::Arc;

/// `x` at the size of `like`, its entries repeated or left away until there are as many.
fn fitted(x: &Array4<f32>, like: &Array4<f32>, method: &str) -> Result<Array4<f32>> {
    let (n, c, h, w) = like.dim();
    let channels = x.dim().1;
    ensure!(channels == c, "one latent has {c} channels, the other {channels}");
    let resized = resize::resize_latent(x, method, h, w, "center")?;
    Ok(entries(&resized, n))
}

/// The first `n` entries, begun again where there are fewer.
fn entries(x: &Array4<f32>, n: usize) -> Array4<f32> {
    let order: Vec<usize> = (0..n).map(|i| i % x.dim().0).collect();
    x.select(Axis(0), &order)
}

/// The first latent, number by number, with the second at its size.
fn both(a: &Latent, b: &Latent, f: impl Fn(f32, f32) -> f32) -> Result<Latent> {
    let b = fitted(&b.samples, &a.samples, "bilinear")?;
    Ok(a.with(Zip::from(&*a.samples).and(&b).map_collect(|a, b| f(*a, *b))))
}

/// The sum of two latents.
#[derive(Inputs)]
pub struct LatentAdd {
    /// The first latent, whose size the sum has.
    pub samples1: Latent,
    /// The second latent.
    pub samples2: Latent,
}

impl Node for LatentAdd {
    const CATEGORY: &str = "latent/advanced";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        both(&self.samples1, &self.samples2, |a, b| a + b)
    }
}

/// The difference of two latents.
#[derive(Inputs)]
pub struct LatentSubtract {
    /// What is taken from, whose size the difference has.
    pub samples1: Latent,
    /// What is taken away.
    pub samples2: Latent,
}

impl Node for LatentSubtract {
    const CATEGORY: &str = "latent/advanced";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        both(&self.samples1, &self.samples2, |a, b| a - b)
    }
}

/// A latent times a number.
#[derive(Inputs)]
pub struct LatentMultiply {
    /// The latent.
    pub samples: Latent,
    /// The factor.
    #[widget(number(1.0).range(-10.0..=10.0).step(0.01))]
    pub multiplier: f64,
}

impl Node for LatentMultiply {
    const CATEGORY: &str = "latent/advanced";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let factor = self.multiplier as f32;
        Ok(self.samples.with(self.samples.samples.mapv(|x| x * factor)))
    }
}

/// A mixture of two latents, number by number.
#[derive(Inputs)]
pub struct LatentBlend {
    /// The first latent, whose size the mixture has.
    pub samples1: Latent,
    /// The second latent.
    pub samples2: Latent,
    /// The share of the first.
    #[widget(number(0.5).range(0.0..=1.0).step(0.01))]
    pub blend_factor: f64,
}

impl Node for LatentBlend {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "Latent Blend";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let share = self.blend_factor as f32;
        let (a, b) = (&self.samples1.samples, &self.samples2.samples);
        let b = fitted(b, a, "bicubic")?;
        let mixed = Zip::from(&**a).and(&b).map_collect(|a, b| a * share + b * (1.0 - share));
        Ok(self.samples1.with(mixed))
    }
}

/// A mixture of two latents in which directions and lengths of pixels are mixed apart: contrast stays.
#[derive(Inputs)]
pub struct LatentInterpolate {
    /// The first latent, whose size the mixture has.
    pub samples1: Latent,
    /// The second latent.
    pub samples2: Latent,
    /// The share of the first.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub ratio: f64,
}

impl Node for LatentInterpolate {
    const CATEGORY: &str = "latent/advanced";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let share = self.ratio as f32;
        let mut mixed = (*self.samples1.samples).clone();
        let other = fitted(&self.samples2.samples, &mixed, "bilinear")?;
        let length = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
        let unit = |x: f32, length: f32| if length == 0.0 { 0.0 } else { x / length };
        for (mut a, b) in mixed.lanes_mut(Axis(1)).into_iter().zip(other.lanes(Axis(1))) {
            let (from, to) = (a.to_vec(), b.to_vec());
            let (m, n) = (length(&from), length(&to));
            let towards = |(a, b): (&f32, &f32)| unit(*a, m) * share + unit(*b, n) * (1.0 - share);
            let direction: Vec<f32> = from.iter().zip(&to).map(towards).collect();
            let (norm, wanted) = (length(&direction), m * share + n * (1.0 - share));
            a.iter_mut().zip(direction).for_each(|(a, d)| *a = unit(d, norm) * wanted);
        }
        Ok(self.samples1.with(mixed))
    }
}

/// Two latents, or batches of them, as one batch; the second takes the size of the first.
#[derive(Inputs)]
pub struct LatentBatch {
    /// What comes first.
    pub samples1: Latent,
    /// What comes after.
    pub samples2: Latent,
}

impl Node for LatentBatch {
    const CATEGORY: &str = "latent/batch";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let (first, second) = (&self.samples1, &self.samples2);
        let (_, _, h, w) = first.samples.dim();
        let resized = resize::resize_latent(&second.samples, "bilinear", h, w, "center")?;
        let places = [first.places(), second.places()].concat();
        let samples = joined(&[first.samples.view(), resized.view()], 0)?;
        Ok(Latent { batch_index: Some(Arc::new(places)), ..first.with(samples) })
    }
}

fn joined(parts: &[ArrayView4<f32>], axis: usize) -> Result<Array4<f32>> {
    let shapes: Vec<&[usize]> = parts.iter().map(|part| part.shape()).collect();
    concatenate(Axis(axis), parts)
        .map_err(|_| anyhow::anyhow!("latents of {shapes:?} cannot be joined along axis {axis}"))
}

/// The axis that a direction names. A picture has no time: there the original takes the channels.
fn axis(dim: &str) -> usize {
    match dim.trim_start_matches('-') {
        "x" => 3,
        "y" => 2,
        _ => 1,
    }
}

/// Puts two latents side by side.
#[derive(Inputs)]
pub struct LatentConcat {
    /// The first latent.
    pub samples1: Latent,
    /// The second latent.
    pub samples2: Latent,
    /// The direction in which the second follows the first: x to the right, y downwards, with a minus
    /// the other way; t joins channels.
    #[widget(one_of(["x", "-x", "y", "-y", "t", "-t"]))]
    pub dim: String,
}

impl Node for LatentConcat {
    const CATEGORY: &str = "latent/advanced";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let first = &self.samples1.samples;
        let second = entries(&self.samples2.samples, first.dim().0);
        let mut parts = [first.view(), second.view()];
        if self.dim.starts_with('-') {
            parts.reverse();
        }
        Ok(self.samples1.with(joined(&parts, axis(&self.dim))?))
    }
}

/// Cuts a strip out of a latent.
#[derive(Inputs)]
pub struct LatentCut {
    /// The latent.
    pub samples: Latent,
    /// Across which direction: x counts columns, y rows, t channels.
    #[widget(one_of(["x", "y", "t"]))]
    pub dim: String,
    /// Where the strip begins, in latent pixels; below zero from the end.
    #[widget(number(0).range(-16384..=16384).step(1))]
    pub index: i64,
    /// How wide it is.
    #[widget(number(1).range(1..=16384).step(1))]
    pub amount: usize,
}

impl Node for LatentCut {
    const CATEGORY: &str = "latent/advanced";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let axis = Axis(axis(&self.dim));
        let size = self.samples.samples.len_of(axis);
        let from_end = usize::try_from(self.index.unsigned_abs())?;
        let start =
            if self.index < 0 { size.saturating_sub(from_end) } else { from_end.min(size - 1) };
        let strip = Slice::from(start..(start + self.amount).min(size));
        Ok(self.samples.with(self.samples.samples.slice_axis(axis, strip).to_owned()))
    }
}

/// Whether the pictures of a batch begin from noise of their own or all from the same.
#[derive(Inputs)]
pub struct LatentBatchSeedBehavior {
    /// The batch.
    pub samples: Latent,
    /// Each its own noise, or all that of the first.
    #[widget(one_of(["random", "fixed"]).with("default", "fixed"))]
    pub seed_behavior: String,
}

impl Node for LatentBatchSeedBehavior {
    const CATEGORY: &str = "latent/advanced";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let entries = self.samples.samples.dim().0;
        let same = || self.samples.batch_index.as_ref().map_or(0, |places| places[0]);
        let fixed = self.seed_behavior == "fixed";
        let batch_index = fixed.then(|| Arc::new(vec![same(); entries]));
        Ok(Latent { batch_index, ..self.samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latent(shape: (usize, usize, usize, usize)) -> Latent {
        Latent::new(Array4::from_shape_fn(shape, |(n, c, y, x)| {
            (64 * n + 16 * c + 4 * y + x) as f32
        }))
    }

    #[test]
    fn strips_count_from_either_end() {
        let cut = |index, amount| {
            let node = LatentCut { samples: latent((1, 1, 1, 4)), dim: "x".into(), index, amount };
            let cut = Context::bare(|ctx| node.run(ctx)).unwrap();
            cut.samples.iter().copied().collect::<Vec<_>>()
        };
        assert_eq!(cut(1, 2), [1.0, 2.0]);
        assert_eq!(cut(-1, 9), [3.0]);
        assert_eq!(cut(99, 9), [3.0]);
    }

    #[test]
    fn a_batch_remembers_the_places_of_both() {
        let node = LatentBatch { samples1: latent((2, 1, 2, 2)), samples2: latent((3, 1, 2, 2)) };
        let batch = Context::bare(|ctx| node.run(ctx)).unwrap();
        assert_eq!(batch.samples.dim(), (5, 1, 2, 2));
        assert_eq!(*batch.batch_index.unwrap(), [0, 1, 0, 1, 2]);
    }

    #[test]
    fn channels_that_differ_are_an_error() {
        let node = LatentAdd { samples1: latent((1, 4, 2, 2)), samples2: latent((1, 16, 2, 2)) };
        let error = Context::bare(|ctx| node.run(ctx)).unwrap_err();
        assert_eq!(error.to_string(), "one latent has 4 channels, the other 16");
    }
}
