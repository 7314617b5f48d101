//! Lists of batches, cut and joined to batches of one length.

use crate::{Image, Latent, Mask};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, List, Node};
use ndarray::{Array3, Array4, ArrayView3, Axis, concatenate, stack};
use std::sync::Arc;

/// Cuts and joins batches of pictures until each has the same length; the last may be shorter.
#[derive(Inputs)]
pub struct RebatchImages {
    /// The pictures.
    pub images: List<Image>,
    /// How many pictures a batch has.
    #[widget(number(1).range(1..=4096))]
    pub batch_size: usize,
}

impl Node for RebatchImages {
    const CATEGORY: &str = "image/batch";
    const TITLE: &str = "Rebatch Images";
    const OUTPUT_NAMES: &[&str] = &["IMAGE"];
    type Output = List<Image>;

    fn run(self, _: &mut Context) -> Result<List<Image>> {
        let pictures: Vec<ArrayView3<f32>> =
            self.images.0.iter().flat_map(|i| i.0.outer_iter()).collect();
        let joined = |pictures: &[ArrayView3<f32>]| {
            let batch = stack(Axis(0), pictures).context("the pictures differ in size")?;
            Ok(Image(Arc::new(batch)))
        };
        let size = self.batch_size.max(1);
        Ok(List(pictures.chunks(size).map(joined).collect::<Result<_>>()?))
    }
}

/// Cuts and joins batches of latents until each has the same length; latents of another size begin
/// a new batch.
#[derive(Inputs)]
pub struct RebatchLatents {
    /// The latents.
    pub latents: List<Latent>,
    /// How many latents a batch has.
    #[widget(number(1).range(1..=4096))]
    pub batch_size: usize,
}

impl Node for RebatchLatents {
    const CATEGORY: &str = "latent/batch";
    const TITLE: &str = "Rebatch Latents";
    const OUTPUT_NAMES: &[&str] = &["LATENT"];
    type Output = List<Latent>;

    fn run(self, _: &mut Context) -> Result<List<Latent>> {
        let entries = entries(&self.latents.0);
        let same = |a: &Entry, b: &Entry| a.samples.shape() == b.samples.shape();
        let alike = entries.chunk_by(same);
        let batches = alike.flat_map(|run| run.chunks(self.batch_size.max(1)));
        Ok(List(batches.map(joined).collect::<Result<_>>()?))
    }
}

/// One latent out of a batch.
struct Entry {
    /// `[1, channels, height, width]`
    samples: Array4<f32>,
    /// In pixels; `None` if its batch had none.
    mask: Option<Array3<f32>>,
    place: usize,
}

/// The latents one by one. Those without places of their own get places that no earlier one has.
fn entries(latents: &[Latent]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for latent in latents {
        let first = entries.iter().map(|e| e.place + 1).max().unwrap_or(0);
        let places = match &latent.batch_index {
            Some(places) => places.to_vec(),
            None => (first..first + latent.samples.dim().0).collect(),
        };
        let masks = latent.noise_mask.as_ref().map(|mask| &mask.0);
        entries.extend(latent.samples.axis_chunks_iter(Axis(0), 1).zip(places).enumerate().map(
            |(i, (samples, place))| Entry {
                samples: samples.to_owned(),
                mask: masks.map(|m| m.select(Axis(0), &[i % m.dim().0])),
                place,
            },
        ));
    }
    entries
}

/// A batch of latents of one size. Where only some have a mask, the others may be painted whole.
fn joined(entries: &[Entry]) -> Result<Latent> {
    let samples: Vec<_> = entries.iter().map(|e| e.samples.view()).collect();
    let samples = concatenate(Axis(0), &samples)?;
    let (_, _, h, w) = samples.dim();
    let masked = entries.iter().any(|e| e.mask.is_some());
    let noise_mask = masked.then(|| {
        let size =
            entries.iter().filter_map(|e| e.mask.as_ref()).map(|m| (m.dim().1, m.dim().2)).next();
        let (h, w) = size.unwrap_or((8 * h, 8 * w));
        let mask = |e: &Entry| match &e.mask {
            Some(mask) => sampling::mask::resize(mask, h, w),
            None => Array3::ones((1, h, w)),
        };
        let masks: Vec<_> = entries.iter().map(mask).collect();
        let views: Vec<_> = masks.iter().map(|m| m.view()).collect();
        Mask(Arc::new(concatenate(Axis(0), &views).expect("masks of one size")))
    });
    let places = entries.iter().map(|e| e.place).collect();
    Ok(Latent { samples: Arc::new(samples), noise_mask, batch_index: Some(Arc::new(places)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latent(n: usize, side: usize) -> Latent {
        Latent::new(Array4::zeros((n, 4, side, side)))
    }

    #[test]
    fn batches_are_cut_and_joined_but_not_over_a_change_of_size() {
        let latents = List(vec![latent(2, 8), latent(3, 8), latent(1, 4)]);
        let node = RebatchLatents { latents, batch_size: 4 };
        let List(batches) = Context::bare(|ctx| node.run(ctx)).unwrap();
        let counts: Vec<_> =
            batches.iter().map(|b| (b.samples.dim().0, b.samples.dim().2)).collect();
        assert_eq!(counts, [(4, 8), (1, 8), (1, 4)]);
        assert_eq!(*batches[0].batch_index.clone().unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn masks_go_with_their_latents() {
        let mask = Mask(Arc::new(Array3::zeros((1, 64, 64))));
        let masked = Latent { noise_mask: Some(mask), ..latent(1, 8) };
        let node = RebatchLatents { latents: List(vec![masked, latent(1, 8)]), batch_size: 2 };
        let List(batches) = Context::bare(|ctx| node.run(ctx)).unwrap();
        let mask = &batches[0].noise_mask.as_ref().unwrap().0;
        assert_eq!([mask[[0, 5, 5]], mask[[1, 5, 5]]], [0.0, 1.0]);
    }

    #[test]
    fn pictures_of_several_batches_become_batches_of_one_length() {
        let picture = |n| Image(Arc::new(Array4::zeros((n, 2, 2, 3))));
        let node = RebatchImages { images: List(vec![picture(3), picture(2)]), batch_size: 2 };
        let List(batches) = Context::bare(|ctx| node.run(ctx)).unwrap();
        assert_eq!(batches.iter().map(|b| b.0.dim().0).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
