//! Pictures made to fit: to a number of pixels, to a longest side, into a frame.

use crate::{Image, resize};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array4, s};
use std::sync::Arc;

const METHODS: [&str; 5] = resize::IMAGE_METHODS;

/// The methods in the order in which the node offers them.
const METHODS_OF_MAX: [&str; 5] = ["area", "lanczos", "bilinear", "nearest-exact", "bicubic"];

/// The methods in the order in which the node offers them.
const METHODS_OF_PAD: [&str; 5] = ["area", "bicubic", "nearest-exact", "bilinear", "lanczos"];

/// Makes a picture larger or smaller, to a number of pixels; the proportions stay.
#[derive(Inputs)]
pub struct ImageScaleToTotalPixels {
    /// The picture.
    pub image: Image,
    /// How values between old ones are found.
    #[widget(one_of(METHODS))]
    pub upscale_method: String,
    /// Millions of pixels, of 1024 x 1024 each.
    #[widget(number(1.0).range(0.01..=16.0).step(0.01))]
    pub megapixels: f64,
}

impl Node for ImageScaleToTotalPixels {
    const CATEGORY: &str = "image/upscaling";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (_, h, w, _) = self.image.0.dim();
        let factor = (self.megapixels * 1024.0 * 1024.0 / (h * w) as f64).sqrt();
        let size = |n: usize| (n as f64 * factor).round_ties_even() as usize;
        scaled(&self.image, &self.upscale_method, size(h), size(w))
    }
}

/// Makes a picture larger or smaller, until its longer side has a length; the proportions stay.
#[derive(Inputs)]
pub struct ImageScaleToMaxDimension {
    /// The picture.
    pub image: Image,
    /// How values between old ones are found.
    #[widget(one_of(METHODS_OF_MAX))]
    pub upscale_method: String,
    /// The longer side, in pixels.
    #[widget(number(512).range(0..=16384).step(1))]
    pub largest_size: usize,
}

impl Node for ImageScaleToMaxDimension {
    const CATEGORY: &str = "image/upscaling";
    const TITLE: &str = "ImageScaleToMaxDimension";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (_, h, w, _) = self.image.0.dim();
        let longest = h.max(w) as f64;
        let size =
            |n: usize| (n as f64 / longest * self.largest_size as f64).round_ties_even() as usize;
        scaled(&self.image, &self.upscale_method, size(h), size(w))
    }
}

fn scaled(image: &Image, method: &str, height: usize, width: usize) -> Result<Image> {
    Ok(Image(Arc::new(resize::resize(&image.0, method, height, width, "disabled")?)))
}

/// Makes a picture fit into a frame, and pads what it leaves free.
#[derive(Inputs)]
pub struct ResizeAndPadImage {
    /// The picture.
    pub image: Image,
    /// The frame's width in pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub target_width: usize,
    /// The frame's height in pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub target_height: usize,
    /// The colour of what the picture leaves free.
    #[widget(one_of(["white", "black"]))]
    pub padding_color: String,
    /// How values between old ones are found.
    #[widget(one_of(METHODS_OF_PAD))]
    pub interpolation: String,
}

impl Node for ResizeAndPadImage {
    const CATEGORY: &str = "image/transform";
    const TITLE: &str = "ResizeAndPadImage";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (n, h, w, c) = self.image.0.dim();
        let (height, width) = (self.target_height, self.target_width);
        let factor = (width as f64 / w as f64).min(height as f64 / h as f64);
        let [h, w] = [h, w].map(|n| (n as f64 * factor) as usize);
        ensure!(h > 0 && w > 0, "in a frame of {width}x{height} nothing is left of the picture");
        let picture = resize::resize(&self.image.0, &self.interpolation, h, w, "disabled")?;
        let padding = if self.padding_color == "black" { 0.0 } else { 1.0 };
        let mut framed = Array4::from_elem((n, height, width, c), padding);
        let (y, x) = ((height - h) / 2, (width - w) / 2);
        framed.slice_mut(s![.., y..y + h, x..x + w, ..]).assign(&picture);
        Ok(Image(Arc::new(framed)))
    }
}
