//! Pictures: resized, put together, turned into masks.

use crate::{Image, Mask, composite::opaque, resize};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Axis, concatenate};
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
        Ok(Image(Arc::new(resize::resize(
            &self.image.0,
            &self.upscale_method,
            height,
            width,
            &self.crop,
        )?)))
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
        Ok(Image(Arc::new(resize::resize(
            &self.image.0,
            &self.upscale_method,
            size(h),
            size(w),
            "disabled",
        )?)))
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
        Ok(Image(Arc::new(Array4::from_shape_fn((n, h, w, 3), |(b, y, x, _)| {
            self.mask.0[[b, y, x]]
        }))))
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
        let channel =
            ["red", "green", "blue", "alpha"].iter().position(|c| *c == self.channel).unwrap_or(0);
        let channels = self.image.0.dim().3;
        anyhow::ensure!(
            channel < channels,
            "the picture has no {} channel, only {channels} channels",
            self.channel
        );
        Ok(Mask(Arc::new(self.image.0.index_axis(Axis(3), channel).to_owned())))
    }
}
