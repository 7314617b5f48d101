//! Batches of pictures: made, measured, taken apart, repeated.

use crate::Image;
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Axis, s};
use sampling::noise::Generator;
use std::sync::Arc;

/// Numbers in a batch at most, 4 GiB of them: several copies are made on the way.
const MOST: usize = 1 << 30;

fn bounded(shape: [usize; 4]) -> Result<[usize; 4]> {
    let numbers = shape.iter().fold(1, |product: usize, n| product.saturating_mul(*n));
    ensure!(
        numbers <= MOST,
        "pictures of {shape:?} take {} GB, too much",
        4 * (numbers / 1_000_000_000)
    );
    Ok(shape)
}

/// A picture of one colour.
#[derive(Inputs)]
pub struct EmptyImage {
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub width: usize,
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub height: usize,
    /// How many of them.
    #[widget(number(1).range(1..=4096))]
    pub batch_size: usize,
    /// The colour, as the number 0xRRGGBB.
    #[widget(number(0).range(0..=0xff_ffff).step(1).with("display", "color"))]
    pub color: u32,
}

impl Node for EmptyImage {
    const CATEGORY: &str = "image";
    const TITLE: &str = "EmptyImage";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let [_, red, green, blue] = self.color.to_be_bytes();
        let color = [red, green, blue].map(|byte| f32::from(byte) / 255.0);
        let shape = bounded([self.batch_size, self.height, self.width, 3])?;
        Ok(Image(Arc::new(Array4::from_shape_fn(shape, |(_, _, _, c)| color[c]))))
    }
}

/// A batch of copies of a picture.
#[derive(Inputs)]
pub struct RepeatImageBatch {
    /// The picture, or batch of them.
    pub image: Image,
    /// How often.
    #[widget(number(1).range(1..=4096))]
    pub amount: usize,
}

impl Node for RepeatImageBatch {
    const CATEGORY: &str = "image/batch";
    const TITLE: &str = "RepeatImageBatch";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (n, h, w, c) = self.image.0.dim();
        bounded([n.saturating_mul(self.amount), h, w, c])?;
        let order: Vec<usize> = (0..n * self.amount).map(|i| i % n).collect();
        Ok(Image(Arc::new(self.image.0.select(Axis(0), &order))))
    }
}

/// Takes some pictures out of a batch.
#[derive(Inputs)]
pub struct ImageFromBatch {
    /// The batch.
    pub image: Image,
    /// The first picture, from 0.
    #[widget(number(0).range(0..=4095))]
    pub batch_index: usize,
    /// How many.
    #[widget(number(1).range(1..=4096))]
    pub length: usize,
}

impl Node for ImageFromBatch {
    const CATEGORY: &str = "image/batch";
    const TITLE: &str = "ImageFromBatch";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let entries = self.image.0.dim().0;
        let first = self.batch_index.min(entries - 1);
        let end = first + self.length.min(entries - first);
        Ok(Image(Arc::new(self.image.0.slice(s![first..end, .., .., ..]).to_owned())))
    }
}

/// The size of a picture, and how many there are.
#[derive(Inputs)]
pub struct GetImageSize {
    /// The picture, or batch of them.
    pub image: Image,
}

impl Node for GetImageSize {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Get Image Size";
    const OUTPUT_NAMES: &[&str] = &["width", "height", "batch_size"];
    type Output = (usize, usize, usize);

    fn run(self, ctx: &mut Context) -> Result<Self::Output> {
        let (n, h, w, _) = self.image.0.dim();
        ctx.note(format!("{w}x{h}, {n} in the batch"));
        Ok((w, h, n))
    }
}

/// Adds noise to a picture.
#[derive(Inputs)]
pub struct ImageAddNoise {
    /// The picture.
    pub image: Image,
    /// The same seed gives the same noise.
    #[widget(seed())]
    pub seed: u64,
    /// The standard deviation of the noise.
    #[widget(number(0.5).range(0.0..=1.0).step(0.01))]
    pub strength: f64,
}

impl Node for ImageAddNoise {
    const CATEGORY: &str = "image";
    const TITLE: &str = "ImageAddNoise";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let noise = Generator::cpu(self.seed).randn(self.image.0.len());
        let strength = self.strength as f32;
        let mut noisy = self.image.0.as_standard_layout().into_owned();
        let add = |(x, noise): (&mut f32, f32)| *x = (*x + strength * noise).clamp(0.0, 1.0);
        noisy.iter_mut().zip(noise).for_each(add);
        Ok(Image(Arc::new(noisy)))
    }
}
