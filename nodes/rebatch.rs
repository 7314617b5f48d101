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
    /// `[1, 8 height, 8 width]`
    mask: Array3<f32>,
    place: usize,
}

/// The latents one by one. Those without places of their own are numbered on.
fn entries(latents: &[Latent]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for latent in latents {
        let (n, _, h, w) = latent.samples.dim();
        let places = match &latent.batch_index {
            Some(places) => places.to_vec(),
            None => (entries.len()..entries.len() + n).collect(),
        };
        let mask = match &latent.noise_mask {
            Some(mask) => sampling::mask::resize(&mask.0, 8 * h, 8 * w),
            None => Array3::ones((1, 8 * h, 8 * w)),
        };
        let samples = latent.samples.axis_chunks_iter(Axis(0), 1).zip(places);
        entries.extend(samples.enumerate().map(|(i, (samples, place))| Entry {
            samples: samples.to_owned(),
            mask: mask.select(Axis(0), &[i % mask.dim().0]),
            place,
        }));
    }
    entries
}

/// A batch of latents of one size; without a mask if all of it may be painted.
fn joined(entries: &[Entry]) -> Result<Latent> {
    let samples: Vec<_> = entries.iter().map(|e| e.samples.view()).collect();
    let masks: Vec<_> = entries.iter().map(|e| e.mask.view()).collect();
    let mask = concatenate(Axis(0), &masks)?;
    let masked = mask.iter().any(|m| *m != 1.0);
    Ok(Latent {
        samples: Arc::new(concatenate(Axis(0), &samples)?),
        noise_mask: masked.then(|| Mask(Arc::new(mask))),
        batch_index: Some(Arc::new(entries.iter().map(|e| e.place).collect())),
    })
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
        assert!(batches.len() == 1 && mask.dim() == (2, 64, 64));
    }

    #[test]
    fn pictures_of_several_batches_become_batches_of_one_length() {
        let picture = |n| Image(Arc::new(Array4::zeros((n, 2, 2, 3))));
        let node = RebatchImages { images: List(vec![picture(3), picture(2)]), batch_size: 2 };
        let List(batches) = Context::bare(|ctx| node.run(ctx)).unwrap();
        assert_eq!(batches.iter().map(|b| b.0.dim().0).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
