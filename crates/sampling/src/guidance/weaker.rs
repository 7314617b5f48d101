//! Guidance away from what a weaker network says.

use super::{Guidance, Network, Patch};
use crate::{Latent, ModelSampling, latent_operation::blurred};
use anyhow::Result;
use ndarray::{Array3, Axis};

/// Smaller latents have no room for the blur.
const SMALLEST: usize = 5;
/// A place that is looked at more than the average counts.
const THRESHOLD: f32 = 1.0;
/// Pixels to each side over which the blur reaches.
const REACH: usize = 4;

/// What the network was asked.
pub(super) struct Ask<'a> {
    pub model: &'a ModelSampling,
    pub x: &'a Latent,
    pub sigma: f32,
}

impl<C> Guidance<'_, C> {
    /// What `patch` adds to the guided guess; `positive` and `uncond` are what each side came to.
    pub(super) fn away_from<N: Network<Cond = C>>(
        &self,
        patch: &Patch,
        network: &mut N,
        ask: &Ask,
        [positive, uncond]: [&Latent; 2],
    ) -> Result<Latent> {
        match *patch {
            Patch::Perturbed(scale) if scale != 0.0 => {
                network.perturb(true);
                let weaker = self.side(network, ask, ask.x, 0);
                network.perturb(false);
                Ok((positive - &weaker?) * scale)
            }
            Patch::SelfAttention { scale, blur } => {
                let negative = self.entries.iter().rev().find(|entry| entry.side == 1);
                let looked_at = negative.and_then(|entry| network.looked_at(entry.cond));
                let (_, _, height, width) = uncond.dim();
                let Some(looked_at) = looked_at.filter(|_| height.min(width) >= SMALLEST) else {
                    return Ok(Latent::zeros(uncond.raw_dim()));
                };
                let degraded = blurred_where(uncond, &looked_at, blur);
                let noised = &degraded + ask.x - uncond;
                Ok((degraded - self.side(network, ask, &noised, 1)?) * scale)
            }
            _ => Ok(Latent::zeros(positive.raw_dim())),
        }
    }

    fn side<N: Network<Cond = C>>(
        &self,
        network: &mut N,
        ask: &Ask,
        x: &Latent,
        side: usize,
    ) -> Result<Latent> {
        let mut sides = self.denoise_sides(network, ask.model, x, ask.sigma, Some(side))?;
        Ok(sides.swap_remove(side))
    }
}

/// The latent, blurred at the places that are looked at more than others.
fn blurred_where(x: &Latent, looked_at: &Array3<f32>, blur: f32) -> Latent {
    let (_, _, height, width) = x.dim();
    let (_, rows, columns) = looked_at.dim();
    let bell = bell(blur);
    let soft = blurred(&blurred(x, Axis(2), &bell), Axis(3), &bell);
    let mut y = x.clone();
    for ((b, c, row, column), y) in y.indexed_iter_mut() {
        if looked_at[[b, row * rows / height, column * columns / width]] > THRESHOLD {
            *y = soft[[b, c, row, column]];
        }
    }
    y
}

/// A Gaussian that is cut off.
fn bell(sigma: f32) -> Vec<f32> {
    let bell = |i: usize| (-0.5 * ((i as f32 - REACH as f32) / sigma).powi(2)).exp();
    let bell: Vec<f32> = (0..=2 * REACH).map(bell).collect();
    let total: f32 = bell.iter().sum();
    bell.iter().map(|weight| weight / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_that_are_looked_at_are_blurred() {
        let x = Latent::from_shape_fn((1, 1, 8, 8), |(_, _, y, x)| ((y + x) % 2) as f32);
        let looked_at =
            Array3::from_shape_fn((1, 2, 2), |(_, y, _)| if y == 0 { 1.5 } else { 0.5 });
        let y = blurred_where(&x, &looked_at, 2.0);
        for ((_, _, row, column), y) in y.indexed_iter() {
            let plain = x[[0, 0, row, column]];
            if row < 4 { assert!((y - 0.5).abs() < 0.1) } else { assert_eq!(*y, plain) }
        }
    }
}
