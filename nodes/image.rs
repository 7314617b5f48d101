//! Pictures: resized, put together, turned into masks.

use crate::{Image, Mask, resize};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Array3, Array4, Axis, concatenate, s};
use std::sync::Arc;

const METHODS: [&str; 5] = resize::IMAGE_METHODS;
const CROPS: [&str; 2] = resize::CROPS;

/// Makes a picture larger or smaller, to a size.
#[derive(Inputs)]
pub struct ImageScale {
    /// The picture.
    pub image: Image,
    /// How values between old ones are found.
    #[widget(one_of(super::image::METHODS))]
    pub upscale_method: String,
    /// In pixels; 0 keeps the proportions.
    #[widget(number(512).range(0..=16384).step(1))]
    pub width: usize,
    /// In pixels; 0 keeps the proportions.
    #[widget(number(512).range(0..=16384).step(1))]
    pub height: usize,
    /// Whether what does not fit the proportions is cut off.
    #[widget(one_of(super::image::CROPS))]
    pub crop: String,
}

impl Node for ImageScale {
    const CATEGORY: &str = "image/upscaling";
    const TITLE: &str = "Upscale Image";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (_, h, w, _) = self.image.0.dim();
        let (width, height) = resize::keep_aspect(self.width, self.height, w, h);
        Ok(Image(Arc::new(resize::resize(&self.image.0, &self.upscale_method, height, width, &self.crop)?)))
    }
}

/// Makes a picture larger or smaller, by a factor.
#[derive(Inputs)]
pub struct ImageScaleBy {
    /// The picture.
    pub image: Image,
    /// How values between old ones are found.
    #[widget(one_of(super::image::METHODS))]
    pub upscale_method: String,
    /// The factor.
    #[widget(number(1.0).range(0.01..=8.0).step(0.01))]
    pub scale_by: f64,
}

impl Node for ImageScaleBy {
    const CATEGORY: &str = "image/upscaling";
    const TITLE: &str = "Upscale Image By";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (_, h, w, _) = self.image.0.dim();
        let size = |n: usize| (n as f64 * self.scale_by).round_ties_even() as usize;
        Ok(Image(Arc::new(resize::resize(&self.image.0, &self.upscale_method, size(h), size(w), "disabled")?)))
    }
}

/// Turns every colour into its opposite.
#[derive(Inputs)]
pub struct ImageInvert {
    /// The picture.
    pub image: Image,
}

impl Node for ImageInvert {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Invert Image";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        Ok(Image(Arc::new(self.image.0.mapv(|x| 1.0 - x))))
    }
}

/// Two pictures, or batches of them, as one batch; the second takes the size of the first.
#[derive(Inputs)]
pub struct ImageBatch {
    /// What comes first.
    pub image1: Image,
    /// What comes after.
    pub image2: Image,
}

impl Node for ImageBatch {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Batch Images";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (_, h, w, c) = self.image1.0.dim();
        let channels = c.max(self.image2.0.dim().3);
        let second = resize::resize(&self.image2.0, "bilinear", h, w, "center")?;
        let both = [opaque(&self.image1.0, channels), opaque(&second, channels)];
        Ok(Image(Arc::new(concatenate![Axis(0), both[0], both[1]])))
    }
}

/// The picture with this many channels, the new ones 1.
fn opaque(x: &Array4<f32>, channels: usize) -> Array4<f32> {
    let (n, h, w, _) = x.dim();
    Array4::from_shape_fn((n, h, w, channels), |(b, y, x_at, c)| x.get([b, y, x_at, c]).copied().unwrap_or(1.0))
}

/// Lays a picture over another, through a mask.
#[derive(Inputs)]
pub struct ImageCompositeMasked {
    /// What lies below.
    pub destination: Image,
    /// What is laid over it.
    pub source: Image,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(1))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(1))]
    pub y: usize,
    /// Whether the source takes the size of the destination first.
    #[widget(toggle(false))]
    pub resize_source: bool,
    /// 1 where the source shows; all of it without a mask.
    pub mask: Option<Mask>,
}

impl Node for ImageCompositeMasked {
    const CATEGORY: &str = "image";
    const TITLE: &str = "ImageCompositeMasked";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (batch, h, w, c) = self.destination.0.dim();
        let mut source = (*self.source.0).clone();
        if self.resize_source {
            source = resize::resize(&source, "bilinear", h, w, "disabled")?;
        }
        let (entries, sh, sw, _) = source.dim();
        let source = opaque(&source, c.max(source.dim().3));
        let mask = self.mask.map_or_else(|| Array3::ones((1, sh, sw)), |m| sampling::mask::resize(&m.0, sh, sw));
        let mut image = (*self.destination.0).clone();
        let (x, y) = (self.x.min(w), self.y.min(h));
        for ((b, py, px, ch), out) in image.slice_mut(s![.., y..(y + sh).min(h), x..(x + sw).min(w), ..]).indexed_iter_mut() {
            let m = mask[[b % mask.dim().0, py, px]];
            *out = m * source[[b % entries, py, px, ch]] + (1.0 - m) * *out;
        }
        debug_assert_eq!(image.dim().0, batch);
        Ok(Image(Arc::new(image)))
    }
}

/// Shows a mask as a grey picture.
#[derive(Inputs)]
pub struct MaskToImage {
    /// The mask.
    pub mask: Mask,
}

impl Node for MaskToImage {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "Convert Mask to Image";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (n, h, w) = self.mask.0.dim();
        Ok(Image(Arc::new(Array4::from_shape_fn((n, h, w, 3), |(b, y, x, _)| self.mask.0[[b, y, x]]))))
    }
}

/// Takes one channel of a picture as a mask.
#[derive(Inputs)]
pub struct ImageToMask {
    /// The picture.
    pub image: Image,
    /// The channel.
    #[widget(one_of(["red", "green", "blue", "alpha"]))]
    pub channel: String,
}

impl Node for ImageToMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "Convert Image to Mask";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        let channel = ["red", "green", "blue", "alpha"].iter().position(|c| *c == self.channel).unwrap_or(0);
        let channels = self.image.0.dim().3;
        anyhow::ensure!(channel < channels, "the picture has no {} channel, only {channels} channels", self.channel);
        Ok(Mask(Arc::new(self.image.0.index_axis(Axis(3), channel).to_owned())))
    }
}
