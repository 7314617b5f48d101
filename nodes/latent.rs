//! Latents: batches, and one laid over another.

use crate::{Latent, Mask, composite, resize};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Axis, s};
use std::sync::Arc;

/// Takes some entries out of a batch.
#[derive(Inputs)]
pub struct LatentFromBatch {
    /// The batch.
    pub samples: Latent,
    /// The first entry, from 0.
    #[widget(number(0).range(0..=63))]
    pub batch_index: usize,
    /// How many.
    #[widget(number(1).range(1..=64))]
    pub length: usize,
}

impl Node for LatentFromBatch {
    const CATEGORY: &str = "latent/batch";
    const TITLE: &str = "Latent From Batch";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let entries = self.samples.samples.dim().0;
        let first = self.batch_index.min(entries - 1);
        let end = first + self.length.min(entries - first);
        let mut latent =
            self.samples.with(self.samples.samples.slice(s![first..end, .., .., ..]).to_owned());
        if let Some(mask) = &mut latent.noise_mask {
            let masks = mask.0.dim().0;
            if masks > 1 {
                let chosen: Vec<usize> = (first..end).map(|i| i % masks).collect();
                mask.0 = Arc::new(mask.0.select(Axis(0), &chosen));
            }
        }
        latent.batch_index = Some(Arc::new(self.samples.places()[first..end].to_vec()));
        Ok(latent)
    }
}

/// The same latent several times, as one batch.
#[derive(Inputs)]
pub struct RepeatLatentBatch {
    /// The latent.
    pub samples: Latent,
    /// How often.
    #[widget(number(1).range(1..=64))]
    pub amount: usize,
}

impl Node for RepeatLatentBatch {
    const CATEGORY: &str = "latent/batch";
    const TITLE: &str = "Repeat Latent Batch";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let entries = self.samples.samples.dim().0;
        let order: Vec<usize> = (0..entries * self.amount).map(|i| i % entries).collect();
        let mut latent = self.samples.with(self.samples.samples.select(Axis(0), &order));
        if let Some(mask) = &mut latent.noise_mask {
            let masks = mask.0.dim().0;
            if masks > 1 {
                let order: Vec<usize> = order.iter().map(|i| i % masks).collect();
                mask.0 = Arc::new(mask.0.select(Axis(0), &order));
            }
        }
        if let Some(places) = &latent.batch_index {
            // Repeated entries get places, and so noise, of their own.
            let offset = places.iter().max().unwrap_or(&0) - places.iter().min().unwrap_or(&0) + 1;
            let repeated =
                (0..self.amount).flat_map(|i| places.iter().map(move |p| p + offset * i));
            latent.batch_index = Some(Arc::new(repeated.collect()));
        }
        Ok(latent)
    }
}

/// Lays a latent over another.
#[derive(Inputs)]
pub struct LatentComposite {
    /// What lies below.
    pub samples_to: Latent,
    /// What is laid over it.
    pub samples_from: Latent,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(8))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(8))]
    pub y: usize,
    /// Pixels over which the edges fade.
    #[widget(number(0).range(0..=16384).step(8))]
    pub feather: usize,
}

impl Node for LatentComposite {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "Latent Composite";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let (x, y, feather) = (self.x / 8, self.y / 8, self.feather / 8);
        let from = &self.samples_from.samples;
        let mut to = (*self.samples_to.samples).clone();
        let (_, _, h, w) = to.dim();
        let (entries, _, fh, fw) = from.dim();
        let (y_end, x_end) = ((y + fh).min(h), (x + fw).min(w));
        if y >= h || x >= w {
            return Ok(self.samples_to);
        }
        // Edges that lie inside the picture below fade; those at its border do not.
        let fade = |d: usize, inside: bool| {
            if inside && d < feather { (d + 1) as f32 / feather as f32 } else { 1.0 }
        };
        for ((b, c, py, px), out) in to.slice_mut(s![.., .., y..y_end, x..x_end]).indexed_iter_mut()
        {
            let across = fade(px, x > 0) * fade(fw - 1 - px, x + fw < w);
            let m = across * fade(py, y > 0) * fade(fh - 1 - py, y + fh < h);
            *out = from[[b % entries, c, py, px]] * m + *out * (1.0 - m);
        }
        Ok(self.samples_to.with(to))
    }
}

/// Lays a latent over another, through a mask.
#[derive(Inputs)]
pub struct LatentCompositeMasked {
    /// What lies below.
    pub destination: Latent,
    /// What is laid over it.
    pub source: Latent,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(8))]
    pub x: i64,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(8))]
    pub y: i64,
    /// Whether the source takes the size of the destination first.
    #[widget(toggle(false))]
    pub resize_source: bool,
    /// 1 where the source shows; all of it without a mask.
    pub mask: Option<Mask>,
}

impl Node for LatentCompositeMasked {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "LatentCompositeMasked";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let mut below = (*self.destination.samples).clone();
        let (_, _, h, w) = below.dim();
        let mut above = self.source.samples;
        if self.resize_source {
            above = Arc::new(resize::resize_latent(&above, "bilinear", h, w, "disabled")?);
        }
        let last = [0, 2, 3, 1];
        let corner = [self.y.div_euclid(8), self.x.div_euclid(8)];
        composite::lay_over(
            below.view_mut().permuted_axes(last),
            &above.view().permuted_axes(last),
            corner,
            self.mask.as_ref(),
        )?;
        Ok(self.destination.with(below))
    }
}
