//! Pictures enlarged by networks made for that.

use crate::{
    Image,
    tiles::{self, Tiles},
};
use anyhow::{Context as _, Result, ensure};
use graph::{Context, Inputs, Node};
use models::Upscaler;
use ndarray::{Array4, Axis, concatenate, s};
use std::sync::Arc;
use tensor::Device;

/// A network that enlarges pictures.
#[derive(Clone)]
pub struct UpscaleModel(pub Upscaler);

/// Tiles of the original: a picture that fits one is not cut.
const TILE: usize = 512;
const OVERLAP: usize = 32;
/// Smaller tiles would be mostly overlap.
const SMALLEST: usize = 128;
/// Bytes of activations that one tile may take; where it would take more, tiles are halved, as the
/// original does where memory is full.
const MEMORY: u64 = 4 << 30;

/// Loads a network that enlarges pictures: ESRGAN, Real-ESRGAN.
#[derive(Inputs)]
pub struct UpscaleModelLoader {
    /// A file in models/upscale_models.
    #[widget(file("upscale_models"))]
    pub model_name: String,
}

impl Node for UpscaleModelLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load Upscale Model";
    type Output = UpscaleModel;

    fn run(self, ctx: &mut Context) -> Result<UpscaleModel> {
        let weights = crate::loaders::weights(ctx, "upscale_models", &self.model_name)?;
        Ok(UpscaleModel(Upscaler::load(&weights)?))
    }
}

/// Enlarges pictures with a network; large ones in tiles that overlap.
#[derive(Inputs)]
pub struct ImageUpscaleWithModel {
    /// The network; it knows how much it enlarges.
    pub upscale_model: UpscaleModel,
    /// The pictures.
    pub image: Image,
}

impl Node for ImageUpscaleWithModel {
    const CATEGORY: &str = "image/upscaling";
    const TITLE: &str = "Upscale Image (using Model)";
    type Output = Image;

    fn run(self, ctx: &mut Context) -> Result<Image> {
        let pictures = &*self.image.0;
        let (_, height, width, channels) = pictures.dim();
        ensure!(channels >= 3, "the picture has {channels} channels, the network reads 3");
        let model = &self.upscale_model.0;
        let tiles = tiles(model, height, width)?;
        let (made, _) = tiles::smaller_until_they_fit(tiles, SMALLEST, |tiles| {
            enlarge_all(ctx, model, pictures, tiles)
        })?;
        Ok(Image(Arc::new(made)))
    }
}

fn enlarge_all(
    ctx: &mut Context,
    model: &Upscaler,
    pictures: &Array4<f32>,
    tiles: Tiles,
) -> Result<Array4<f32>> {
    let (batch, height, width, _) = pictures.dim();
    let (mut done, total) = (0, batch * tiles.places(height, width).len());
    let mut made = Vec::with_capacity(batch);
    for picture in pictures.axis_chunks_iter(Axis(0), 1) {
        let picture = picture.slice(s![.., .., .., ..3]).to_owned();
        let enlarged = tiles.map(&picture, model.scale as f64, &mut |tile| {
            ctx.check()?;
            let tile = enlarge(ctx, model, &tile)?;
            done += 1;
            ctx.step(done, total)?;
            Ok(tile)
        })?;
        made.push(enlarged.mapv(|x| x.clamp(0.0, 1.0)));
    }
    let views: Vec<_> = made.iter().map(|picture| picture.view()).collect();
    concatenate(Axis(0), &views).context("there is no picture to enlarge")
}

/// The largest tiles that the memory is enough for.
fn tiles(model: &Upscaler, height: usize, width: usize) -> Result<Tiles> {
    let mut tile = TILE;
    while tile > SMALLEST && model.memory([height.min(tile), width.min(tile)])? > MEMORY {
        tile /= 2;
    }
    Ok(Tiles { height: tile, width: tile, overlap: OVERLAP })
}

fn enlarge(ctx: &Context, model: &Upscaler, tile: &Array4<f32>) -> Result<Array4<f32>> {
    let (_, height, width, _) = tile.dim();
    let device = ctx.services.get::<Device>();
    let numbers = tile.as_slice().context("a tile lies in one piece")?;
    let enlarged = model.enlarge(&device, numbers, [height, width])?;
    Ok(Array4::from_shape_vec((1, height * model.scale, width * model.scale, 3), enlarged)?)
}
