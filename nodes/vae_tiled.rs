//! Pictures to latents and back in tiles: less memory than the whole takes.

use crate::{Image, Latent, Vae};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Zip, s};
use std::{ops::Range, sync::Arc};

/// How a picture is cut: the tiles' height and width, and by how much they overlap.
#[derive(Clone, Copy)]
struct Tiling {
    height: usize,
    width: usize,
    overlap: usize,
}

impl Tiling {
    /// Square tiles, tall ones and wide ones: the mean of all three shows no seams.
    fn kinds(size: usize, overlap: usize) -> [Self; 3] {
        let tile = |height, width| Self { height, width, overlap };
        [tile(size * 2, size / 2), tile(size / 2, size * 2), tile(size, size)]
    }

    /// `f` of each tile of `x` `[n, h, w, c]`, put together; sizes change by `scale` (to, from).
    fn map(
        self,
        x: &Array4<f32>,
        scale: (usize, usize),
        mut f: impl FnMut(&Array4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let (n, h, w, _) = x.dim();
        if h <= self.height && w <= self.width {
            return f(x);
        }
        let to = |size: usize| size * scale.0 / scale.1;
        let mut weights = Array4::<f32>::zeros((1, to(h), to(w), 1));
        let mut sum: Option<Array4<f32>> = None;
        for rows in spans(h, self.height, self.overlap) {
            for columns in spans(w, self.width, self.overlap) {
                let tile = f(&x.slice(s![.., rows.clone(), columns.clone(), ..]).to_owned())?;
                let (_, th, tw, c) = tile.dim();
                let (top, left) = (to(rows.start), to(columns.start));
                let place = s![.., top..top + th, left..left + tw, ..];
                let mask = mask(th, tw, to(self.overlap));
                let sum = sum.get_or_insert_with(|| Array4::zeros((n, to(h), to(w), c)));
                sum.slice_mut(place).scaled_add(1.0, &(tile * &mask));
                weights.slice_mut(place).scaled_add(1.0, &mask);
            }
        }
        Ok(sum.context("no tiles")? / weights)
    }
}

/// How much each place of a tile counts: towards the edges less.
fn mask(height: usize, width: usize, fade: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, height, width, 1), |(_, y, x, _)| {
        edge(y, height, fade) * edge(x, width, fade)
    })
}

/// How much a tile counts `at` a place, towards its ends less.
fn edge(at: usize, size: usize, fade: usize) -> f32 {
    let ramp = |distance: usize| ((distance + 1) as f32 / fade as f32).min(1.0);
    if fade == 0 || fade >= size { 1.0 } else { ramp(at) * ramp(size - 1 - at) }
}

/// The tiles' places along a side.
fn spans(size: usize, tile: usize, overlap: usize) -> Vec<Range<usize>> {
    if size <= tile {
        return std::iter::once(0..size).collect();
    }
    let starts = (0..size - overlap).step_by(tile - overlap);
    starts
        .map(|start| start.min(size - overlap))
        .map(|start| start..(start + tile).min(size))
        .collect()
}

/// The mean of `f` over all kinds of tiles.
fn tiled(
    x: &Array4<f32>,
    kinds: [Tiling; 3],
    scale: (usize, usize),
    mut f: impl FnMut(&Array4<f32>) -> Result<Array4<f32>>,
) -> Result<Array4<f32>> {
    let [first, second, third] = kinds;
    let mut sum = first.map(x, scale, &mut f)?;
    for kind in [second, third] {
        Zip::from(&mut sum).and(&kind.map(x, scale, &mut f)?).for_each(|sum, x| *sum += x);
    }
    Ok(sum / 3.0)
}

/// Turns a latent into a picture, in tiles.
#[derive(Inputs)]
pub struct VAEDecodeTiled {
    /// What the sampler made.
    pub samples: Latent,
    /// Knows how latents look.
    pub vae: Vae,
    /// The side of a tile, in pixels.
    #[widget(number(512).range(64..=4096).step(32))]
    pub tile_size: usize,
    /// Pixels that neighbours have in common.
    #[widget(number(64).range(0..=4096).step(32))]
    pub overlap: usize,
    /// Frames at a time; for video.
    #[widget(number(64).range(8..=4096).step(4))]
    pub temporal_size: usize,
    /// Frames in common; for video.
    #[widget(number(8).range(4..=4096).step(4))]
    pub temporal_overlap: usize,
}

impl Node for VAEDecodeTiled {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "VAE Decode (Tiled)";
    type Output = Image;

    fn run(self, ctx: &mut Context) -> Result<Image> {
        let overlap = self.overlap.min(self.tile_size / 4);
        let scale = self.vae.scale();
        let kinds = Tiling::kinds(self.tile_size / scale, overlap / scale);
        let latent = self.samples.samples.view().permuted_axes([0, 2, 3, 1]);
        let latent = latent.as_standard_layout().into_owned();
        let decode = |tile: &Array4<f32>| {
            let tile = tile.view().permuted_axes([0, 3, 1, 2]).as_standard_layout().into_owned();
            self.vae.decode_raw(ctx, &tile)
        };
        let picture = tiled(&latent, kinds, (scale, 1), decode)?;
        Ok(Image(Arc::new(picture.mapv(crate::vae::shown))))
    }
}

/// Turns a picture into a latent, in tiles.
#[derive(Inputs)]
pub struct VAEEncodeTiled {
    /// The picture.
    pub pixels: Image,
    /// Knows how latents look.
    pub vae: Vae,
    /// The side of a tile, in pixels.
    #[widget(number(512).range(64..=4096).step(64))]
    pub tile_size: usize,
    /// Pixels that neighbours have in common.
    #[widget(number(64).range(0..=4096).step(32))]
    pub overlap: usize,
    /// Frames at a time; for video.
    #[widget(number(64).range(8..=4096).step(4))]
    pub temporal_size: usize,
    /// Frames in common; for video.
    #[widget(number(8).range(4..=4096).step(4))]
    pub temporal_overlap: usize,
}

impl Node for VAEEncodeTiled {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "VAE Encode (Tiled)";
    type Output = Latent;

    fn run(self, ctx: &mut Context) -> Result<Latent> {
        let scale = self.vae.scale();
        let pixels = crate::vae::cut_to_multiple(&self.pixels.0, scale);
        // The narrow kind has half the side: it too must be whole in latent pixels, and more than overlap.
        let overlap = self.overlap.min(self.tile_size / 4);
        let encode = |tile: &Array4<f32>| {
            let latent = self.vae.encode(ctx, tile)?;
            Ok(latent.permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned())
        };
        let latent = tiled(&pixels, Tiling::kinds(self.tile_size, overlap), (1, scale), encode)?;
        Ok(Latent::new(latent.permuted_axes([0, 3, 1, 2]).as_standard_layout().into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_everything_and_add_up() {
        let x = Array4::from_shape_fn((1, 23, 41, 2), |(_, y, x, c)| (y * 41 + x + c) as f32);
        for kind in Tiling::kinds(8, 3) {
            let same = kind.map(&x, (1, 1), |tile| Ok(tile.clone())).unwrap();
            let off = (&same - &x).mapv(f32::abs).fold(0.0, |a: f32, b| a.max(*b));
            assert!(off < 1e-3, "{off}");
        }
    }
}
