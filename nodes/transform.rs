//! Pictures and latents turned, flipped and cut: the same for both, along other axes.

use crate::{Image, Latent, Mask};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Axis, s};
use std::sync::Arc;

/// Quarter turns, clockwise, by name.
const ROTATIONS: [&str; 4] = ["none", "90 degrees", "180 degrees", "270 degrees"];

/// Ways to flip, by name.
const FLIPS: [&str; 2] = ["x-axis: vertically", "y-axis: horizontally"];

/// The axes of height and width.
type Plane = [usize; 2];

const OF_IMAGE: Plane = [1, 2];
const OF_LATENT: Plane = [2, 3];

fn rotated(x: &Array4<f32>, [height, width]: Plane, rotation: &str) -> Array4<f32> {
    let mut view = x.view();
    let quarters = ROTATIONS.iter().position(|name| *name == rotation).unwrap_or(0);
    for _ in 0..quarters {
        view.swap_axes(height, width);
        view.invert_axis(Axis(width));
    }
    view.as_standard_layout().into_owned()
}

fn flipped(x: &Array4<f32>, [height, width]: Plane, method: &str) -> Array4<f32> {
    let mut view = x.view();
    view.invert_axis(Axis(if method == FLIPS[0] { height } else { width }));
    view.as_standard_layout().into_owned()
}

/// Turns a picture clockwise.
#[derive(Inputs)]
pub struct ImageRotate {
    /// The picture.
    pub image: Image,
    /// By how much.
    #[widget(one_of(ROTATIONS))]
    pub rotation: String,
}

impl Node for ImageRotate {
    const CATEGORY: &str = "image/transform";
    const TITLE: &str = "ImageRotate";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        Ok(Image(Arc::new(rotated(&self.image.0, OF_IMAGE, &self.rotation))))
    }
}

/// Mirrors a picture.
#[derive(Inputs)]
pub struct ImageFlip {
    /// The picture.
    pub image: Image,
    /// Upside down, or left to right.
    #[widget(one_of(FLIPS))]
    pub flip_method: String,
}

impl Node for ImageFlip {
    const CATEGORY: &str = "image/transform";
    const TITLE: &str = "ImageFlip";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        Ok(Image(Arc::new(flipped(&self.image.0, OF_IMAGE, &self.flip_method))))
    }
}

/// Turns a latent clockwise.
#[derive(Inputs)]
pub struct LatentRotate {
    /// The latent.
    pub samples: Latent,
    /// By how much.
    #[widget(one_of(ROTATIONS))]
    pub rotation: String,
}

impl Node for LatentRotate {
    const CATEGORY: &str = "latent/transform";
    const TITLE: &str = "Rotate Latent";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        Ok(self.samples.with(rotated(&self.samples.samples, OF_LATENT, &self.rotation)))
    }
}

/// Mirrors a latent.
#[derive(Inputs)]
pub struct LatentFlip {
    /// The latent.
    pub samples: Latent,
    /// Upside down, or left to right.
    #[widget(one_of(FLIPS))]
    pub flip_method: String,
}

impl Node for LatentFlip {
    const CATEGORY: &str = "latent/transform";
    const TITLE: &str = "Flip Latent";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        Ok(self.samples.with(flipped(&self.samples.samples, OF_LATENT, &self.flip_method)))
    }
}

/// Cuts a rectangle out of a picture; what would lie outside of it is left away.
#[derive(Inputs)]
pub struct ImageCrop {
    /// The picture.
    pub image: Image,
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub width: usize,
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub height: usize,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(1))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(1))]
    pub y: usize,
}

impl Node for ImageCrop {
    const CATEGORY: &str = "image/transform";
    const TITLE: &str = "Image Crop";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (_, h, w, _) = self.image.0.dim();
        let (x, y) = (self.x.min(w - 1), self.y.min(h - 1));
        let (right, bottom) = ((x + self.width).min(w), (y + self.height).min(h));
        let cut = self.image.0.slice(s![.., y..bottom, x..right, ..]);
        Ok(Image(Arc::new(cut.to_owned())))
    }
}

/// Cuts a rectangle out of a mask; what would lie outside of it is left away.
#[derive(Inputs)]
pub struct CropMask {
    /// The mask.
    pub mask: Mask,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(1))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(1))]
    pub y: usize,
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub width: usize,
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub height: usize,
}

impl Node for CropMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "CropMask";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        let (_, h, w) = self.mask.0.dim();
        anyhow::ensure!(
            self.x < w && self.y < h,
            "the corner {}, {} lies outside of the mask of {w}x{h}",
            self.x,
            self.y
        );
        let (right, bottom) = ((self.x + self.width).min(w), (self.y + self.height).min(h));
        Ok(Mask(Arc::new(self.mask.0.slice(s![.., self.y..bottom, self.x..right]).to_owned())))
    }
}

/// Latents are not cut smaller than this, 64 pixels.
const LEAST: usize = 8;

/// Cuts a rectangle out of a latent; what would lie outside of it is left away.
#[derive(Inputs)]
pub struct LatentCrop {
    /// The latent.
    pub samples: Latent,
    /// In pixels.
    #[widget(number(512).range(64..=16384).step(8))]
    pub width: usize,
    /// In pixels.
    #[widget(number(512).range(64..=16384).step(8))]
    pub height: usize,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(8))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(8))]
    pub y: usize,
}

impl Node for LatentCrop {
    const CATEGORY: &str = "latent/transform";
    const TITLE: &str = "Crop Latent";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let (_, _, h, w) = self.samples.samples.dim();
        let (x, y) =
            ((self.x / 8).min(w.saturating_sub(LEAST)), (self.y / 8).min(h.saturating_sub(LEAST)));
        let (right, bottom) = ((x + self.width / 8).min(w), (y + self.height / 8).min(h));
        let cut = self.samples.samples.slice(s![.., .., y..bottom, x..right]);
        Ok(self.samples.with(cut.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_is_clockwise_and_four_are_none() {
        let picture = Array4::from_shape_fn((1, 2, 3, 1), |(_, y, x, _)| (10 * y + x) as f32);
        let once = rotated(&picture, OF_IMAGE, "90 degrees");
        assert_eq!(once.iter().copied().collect::<Vec<_>>(), [10., 0., 11., 1., 12., 2.]);
        let back = rotated(&once, OF_IMAGE, "270 degrees");
        assert_eq!(back, picture);
    }
}
