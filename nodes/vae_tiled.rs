//! Pictures to latents and back in tiles: less memory than the whole takes.

use crate::{
    Image, Latent, Vae,
    tiles::{self, Tiles},
    vae,
};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Axis, concatenate};
use std::sync::Arc;
use tensor::OutOfMemory;

/// Of a tile's side, in latent pixels: smaller ones see too little of the picture.
const SMALLEST: usize = 8;

/// What a VAE made of a whole picture; if memory was not enough for it, what it makes of tiles, told in a
/// note. `side` is the picture's longer one in latent pixels, which tiles are counted in.
pub fn or_in_tiles<T>(
    ctx: &mut Context,
    whole: Result<T>,
    side: usize,
    in_tiles: impl Fn(&mut Context, Tiles) -> Result<T>,
) -> Result<T> {
    let error = match whole {
        Err(error) if side > SMALLEST => error,
        result => return result,
    };
    let Some(why) = error.downcast_ref::<OutOfMemory>().cloned() else { return Err(error) };
    let first = Tiles::square(side).smaller();
    let (made, tiles) =
        tiles::smaller_until_they_fit(first, SMALLEST, |tiles| in_tiles(ctx, tiles))?;
    let Tiles { height, width, .. } = tiles;
    let OutOfMemory { what, wanted, given, by } = why;
    ctx.note(format!(
        "done in tiles of {width}x{height} latent pixels, as the whole does not fit into memory ({what}: \
         {wanted} bytes wanted, {given} given by {by})"
    ));
    Ok(made)
}

/// As [`Vae::decode`], in tiles.
pub fn decode(
    ctx: &mut Context,
    vae: &Vae,
    latent: &Array4<f32>,
    tiles: Tiles,
) -> Result<Array4<f32>> {
    let latent = latent.view().permuted_axes([0, 2, 3, 1]).to_owned();
    let decode =
        |ctx: &Context, tile: Array4<f32>| vae.decode_whole(ctx, &tile.permuted_axes([0, 3, 1, 2]));
    Ok(vae::shown(tiled(ctx, &latent, tiles, vae.scale() as f64, decode)?))
}

/// As [`Vae::encode`], in tiles.
pub fn encode(
    ctx: &mut Context,
    vae: &Vae,
    pictures: &Array4<f32>,
    tiles: Tiles,
) -> Result<Array4<f32>> {
    let pictures = vae::cut_to_multiple(pictures, vae.scale());
    let encode = |ctx: &Context, tile: Array4<f32>| {
        Ok(vae.encode_whole(ctx, &tile)?.permuted_axes([0, 2, 3, 1]))
    };
    let latent = tiled(ctx, &pictures, tiles, 1.0 / vae.scale() as f64, encode)?;
    Ok(latent.permuted_axes([0, 3, 1, 2]).as_standard_layout().into_owned())
}

/// Each of `x` `[n, h, w, c]` by way of square tiles, tall ones and wide ones: the mean of all three
/// shows no seams.
fn tiled(
    ctx: &mut Context,
    x: &Array4<f32>,
    tiles: Tiles,
    scale: f64,
    f: impl Fn(&Context, Array4<f32>) -> Result<Array4<f32>>,
) -> Result<Array4<f32>> {
    let Tiles { height, width, .. } = tiles;
    let ways = [
        Tiles { height: height * 2, width: width / 2, ..tiles },
        Tiles { height: height / 2, width: width * 2, ..tiles },
        tiles,
    ];
    let (batch, h, w, _) = x.dim();
    let total = batch * ways.iter().map(|tiles| tiles.places(h, w).len()).sum::<usize>();
    let (mut done, mut made) = (0, Vec::with_capacity(batch));
    for one in x.axis_chunks_iter(Axis(0), 1) {
        let mut sum: Option<Array4<f32>> = None;
        for tiles in ways {
            let way = tiles.map(&one.to_owned(), scale, &mut |tile| {
                let tile = f(ctx, tile)?;
                done += 1;
                ctx.step(done, total)?;
                Ok(tile)
            })?;
            sum = Some(match sum {
                Some(sum) => sum + way,
                None => way,
            });
        }
        made.extend(sum.map(|sum| sum / ways.len() as f32));
    }
    let views: Vec<_> = made.iter().map(|one| one.view()).collect();
    Ok(concatenate(Axis(0), &views)?)
}

/// Turns a latent into a picture piece by piece, where memory is not enough for the whole.
#[derive(Inputs)]
pub struct VAEDecodeTiled {
    /// What the sampler made.
    pub samples: Latent,
    /// Knows how latents look.
    pub vae: Vae,
    /// Pixels of a tile's side.
    #[widget(number(512).range(64..=4096).step(32))]
    pub tile_size: usize,
    /// Pixels that neighbouring tiles share.
    #[widget(number(64).range(0..=4096).step(32))]
    pub overlap: usize,
    /// Frames of a tile, for videos.
    #[widget(number(64).range(8..=4096).step(4))]
    pub temporal_size: usize,
    /// Frames that neighbouring tiles share, for videos.
    #[widget(number(8).range(4..=4096).step(4))]
    pub temporal_overlap: usize,
}

impl Node for VAEDecodeTiled {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "VAE Decode (Tiled)";
    type Output = Image;

    fn run(self, ctx: &mut Context) -> Result<Image> {
        let scale = self.vae.scale();
        let side = self.tile_size / scale;
        let overlap = self.overlap.min(self.tile_size / 4);
        let tiles = Tiles { height: side, width: side, overlap: overlap / scale };
        let (picture, _) = tiles::smaller_until_they_fit(tiles, SMALLEST, |tiles| {
            decode(ctx, &self.vae, &self.samples.samples, tiles)
        })?;
        Ok(Image(Arc::new(picture)))
    }
}

/// Turns a picture into a latent piece by piece, where memory is not enough for the whole.
#[derive(Inputs)]
pub struct VAEEncodeTiled {
    /// The picture.
    pub pixels: Image,
    /// Knows how latents look.
    pub vae: Vae,
    /// Pixels of a tile's side.
    #[widget(number(512).range(64..=4096).step(64))]
    pub tile_size: usize,
    /// Pixels that neighbouring tiles share.
    #[widget(number(64).range(0..=4096).step(32))]
    pub overlap: usize,
    /// Frames of a tile, for videos.
    #[widget(number(64).range(8..=4096).step(4))]
    pub temporal_size: usize,
    /// Frames that neighbouring tiles share, for videos.
    #[widget(number(8).range(4..=4096).step(4))]
    pub temporal_overlap: usize,
}

impl Node for VAEEncodeTiled {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "VAE Encode (Tiled)";
    type Output = Latent;

    fn run(self, ctx: &mut Context) -> Result<Latent> {
        // More would leave nothing of the narrowest tiles.
        let overlap = self.overlap.min(self.tile_size / 4);
        let scale = self.vae.scale();
        let side = self.tile_size / scale;
        let tiles = Tiles { height: side, width: side, overlap: overlap / scale };
        let (latent, _) = tiles::smaller_until_they_fit(tiles, SMALLEST, |tiles| {
            encode(ctx, &self.vae, &self.pixels.0, tiles.times(scale))
        })?;
        Ok(Latent::new(latent))
    }
}
