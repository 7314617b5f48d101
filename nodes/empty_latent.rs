//! Latents of nothing, for samplers to begin with.

use crate::Latent;
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::Array4;

/// Numbers in a latent at most, 4 GiB of them: several copies are made on the way.
const MOST: usize = 1 << 30;

/// A latent of nothing, to be painted whole.
#[derive(Inputs)]
pub struct EmptyLatentImage {
    /// In pixels.
    #[widget(number(512).range(16..=16384).step(8))]
    pub width: usize,
    /// In pixels.
    #[widget(number(512).range(16..=16384).step(8))]
    pub height: usize,
    /// How many pictures at once.
    #[widget(number(1).range(1..=4096))]
    pub batch_size: usize,
}

impl Node for EmptyLatentImage {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "Empty Latent Image";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        empty([self.batch_size, 4, self.height / 8, self.width / 8])
    }
}

/// Zeros; an error for so many that no memory would hold them.
fn empty(shape: [usize; 4]) -> Result<Latent> {
    let numbers: usize = shape.iter().product();
    ensure!(
        numbers <= MOST,
        "a latent of {shape:?} takes {} GB, too much",
        4 * numbers / 1_000_000_000
    );
    Ok(Latent::new(Array4::zeros(shape)))
}

/// A latent of nothing for models whose latents have 16 channels: Stable Diffusion 3 and Flux.
#[derive(Inputs)]
pub struct EmptySD3LatentImage {
    /// In pixels.
    #[widget(number(1024).range(16..=16384).step(16))]
    pub width: usize,
    /// In pixels.
    #[widget(number(1024).range(16..=16384).step(16))]
    pub height: usize,
    /// How many pictures at once.
    #[widget(number(1).range(1..=4096))]
    pub batch_size: usize,
}

impl Node for EmptySD3LatentImage {
    const CATEGORY: &str = "latent/sd3";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        empty([self.batch_size, 16, self.height / 8, self.width / 8])
    }
}

/// A latent of nothing for HunyuanImage, whose latents have 64 channels.
#[derive(Inputs)]
pub struct EmptyHunyuanImageLatent {
    /// In pixels.
    #[widget(number(2048).range(64..=16384).step(32))]
    pub width: usize,
    /// In pixels.
    #[widget(number(2048).range(64..=16384).step(32))]
    pub height: usize,
    /// How many pictures at once.
    #[widget(number(1).range(1..=4096))]
    pub batch_size: usize,
}

impl Node for EmptyHunyuanImageLatent {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "EmptyHunyuanImageLatent";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        empty([self.batch_size, 64, self.height / 32, self.width / 32])
    }
}

/// Latents of nothing for the two stages of Stable Cascade.
#[derive(Inputs)]
#[expect(non_camel_case_types, reason = "the name in files")]
pub struct StableCascade_EmptyLatentImage {
    /// In pixels.
    #[widget(number(1024).range(256..=16384).step(8))]
    pub width: usize,
    /// In pixels.
    #[widget(number(1024).range(256..=16384).step(8))]
    pub height: usize,
    /// How many pixels a pixel of the first stage stands for in each direction.
    #[widget(number(42).range(4..=128).step(1))]
    pub compression: usize,
    /// How many pictures at once.
    #[widget(number(1).range(1..=4096))]
    pub batch_size: usize,
}

impl Node for StableCascade_EmptyLatentImage {
    const CATEGORY: &str = "latent/stable_cascade";
    const OUTPUT_NAMES: &[&str] = &["stage_c", "stage_b"];
    type Output = (Latent, Latent);

    fn run(self, _: &mut Context) -> Result<(Latent, Latent)> {
        let by = |channels, scale: usize| {
            empty([self.batch_size, channels, self.height / scale, self.width / scale])
        };
        Ok((by(16, self.compression)?, by(4, 4)?))
    }
}
