//! Prompts for families that are told more than a prompt, and what they are told.

use crate::{Clip, Conditioning, text::conditioning, values::Extra};
use anyhow::{Result, bail};
use graph::{Context, Inputs, Node};

const CATEGORY: &str = "advanced/conditioning";

/// Encodes a prompt for the refiner of SDXL, with how good the picture should be and its size.
#[derive(Inputs)]
pub struct CLIPTextEncodeSDXLRefiner {
    /// How good the picture should be: 6 is usual, 2.5 for a negative prompt.
    #[widget(number(6.0).range(0.0..=1000.0).step(0.01))]
    pub ascore: f64,
    /// Pixels of the picture as it is thought to have been found.
    #[widget(number(1024).range(0..=16384))]
    pub width: usize,
    /// Pixels of the picture as it is thought to have been found.
    #[widget(number(1024).range(0..=16384))]
    pub height: usize,
    /// What the picture should, or should not, show.
    #[widget(prompt())]
    pub text: String,
    /// The text encoder.
    pub clip: Clip,
}

impl Node for CLIPTextEncodeSDXLRefiner {
    const CATEGORY: &str = CATEGORY;
    type Output = Conditioning;

    fn run(self, ctx: &mut Context) -> Result<Conditioning> {
        let size = |n: usize| Extra::Number(n as f64);
        Ok(conditioning(ctx, &self.clip, &self.text)?.with_extra(&[
            ("aesthetic_score", Extra::Number(self.ascore)),
            ("width", size(self.width)),
            ("height", size(self.height)),
        ]))
    }
}

/// Encodes a prompt for PixArt, with the size of the picture.
#[derive(Inputs)]
pub struct CLIPTextEncodePixArtAlpha {
    /// Pixels of the picture.
    #[widget(number(1024).range(0..=16384))]
    pub width: usize,
    /// Pixels of the picture.
    #[widget(number(1024).range(0..=16384))]
    pub height: usize,
    /// What the picture should, or should not, show.
    #[widget(prompt())]
    pub text: String,
    /// The text encoder.
    pub clip: Clip,
}

impl Node for CLIPTextEncodePixArtAlpha {
    const CATEGORY: &str = CATEGORY;
    type Output = Conditioning;

    fn run(self, ctx: &mut Context) -> Result<Conditioning> {
        let size = |n: usize| Extra::Number(n as f64);
        let facts = [("width", size(self.width)), ("height", size(self.height))];
        Ok(conditioning(ctx, &self.clip, &self.text)?.with_extra(&facts))
    }
}

/// Encodes a prompt for each of the two text encoders of SDXL, with sizes.
#[derive(Inputs)]
pub struct CLIPTextEncodeSDXL {
    /// The text encoders.
    pub clip: Clip,
    /// Pixels of the picture as it is thought to have been found.
    #[widget(number(1024).range(0..=16384))]
    pub width: usize,
    /// Pixels of the picture as it is thought to have been found.
    #[widget(number(1024).range(0..=16384))]
    pub height: usize,
    /// Pixels thought to have been cut off at the left.
    #[widget(number(0).range(0..=16384))]
    pub crop_w: usize,
    /// Pixels thought to have been cut off at the top.
    #[widget(number(0).range(0..=16384))]
    pub crop_h: usize,
    /// Pixels of the picture to be made.
    #[widget(number(1024).range(0..=16384))]
    pub target_width: usize,
    /// Pixels of the picture to be made.
    #[widget(number(1024).range(0..=16384))]
    pub target_height: usize,
    /// What the larger encoder reads.
    #[widget(prompt())]
    pub text_g: String,
    /// What the smaller encoder reads.
    #[widget(prompt())]
    pub text_l: String,
}

impl Node for CLIPTextEncodeSDXL {
    const CATEGORY: &str = CATEGORY;
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        bail!("{}", several_encoders("SDXL", "CLIP L and CLIP G"))
    }
}

/// Encodes a prompt for each of the three text encoders of Stable Diffusion 3.
#[derive(Inputs)]
pub struct CLIPTextEncodeSD3 {
    /// The text encoders.
    pub clip: Clip,
    /// What the smallest encoder reads.
    #[widget(prompt())]
    pub clip_l: String,
    /// What the encoder of medium size reads.
    #[widget(prompt())]
    pub clip_g: String,
    /// What the largest encoder reads.
    #[widget(prompt())]
    pub t5xxl: String,
    /// What encoders read whose text is empty: nothing, or an empty prompt.
    #[widget(one_of(["none", "empty_prompt"]))]
    pub empty_padding: String,
}

impl Node for CLIPTextEncodeSD3 {
    const CATEGORY: &str = CATEGORY;
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        bail!("{}", several_encoders("Stable Diffusion 3", "CLIP L, CLIP G and T5"))
    }
}

/// Encodes a prompt for each of the two text encoders of Flux, with how closely it is followed.
#[derive(Inputs)]
pub struct CLIPTextEncodeFlux {
    /// The text encoders.
    pub clip: Clip,
    /// What the smaller encoder reads.
    #[widget(prompt())]
    pub clip_l: String,
    /// What the larger encoder reads.
    #[widget(prompt())]
    pub t5xxl: String,
    /// How closely the prompt is followed.
    #[widget(number(3.5).range(0.0..=100.0).step(0.1))]
    pub guidance: f64,
}

impl Node for CLIPTextEncodeFlux {
    const CATEGORY: &str = "advanced/conditioning/flux";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        bail!("{}", several_encoders("Flux", "CLIP L and T5"))
    }
}

/// Why a prompt for several encoders cannot be read: what loads gives one.
fn several_encoders(family: &str, encoders: &str) -> String {
    format!(
        "this text encoder is one of Stable Diffusion 1 or 2; prompts of {family} want {encoders}, which do not run \
         yet. CLIPTextEncode reads a prompt with this one"
    )
}

/// Says how closely models are to follow the prompt that were trained with that; others take no notice.
#[derive(Inputs)]
pub struct FluxGuidance {
    /// What the model is told.
    pub conditioning: Conditioning,
    /// How closely.
    #[widget(number(3.5).range(0.0..=100.0).step(0.1))]
    pub guidance: f64,
}

impl Node for FluxGuidance {
    const CATEGORY: &str = "advanced/conditioning/flux";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        Ok(self.conditioning.with_extra(&[("guidance", Extra::Number(self.guidance))]))
    }
}

/// Takes back what FluxGuidance said.
#[derive(Inputs)]
pub struct FluxDisableGuidance {
    /// What the model is told.
    pub conditioning: Conditioning,
}

impl Node for FluxDisableGuidance {
    const CATEGORY: &str = "advanced/conditioning/flux";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        Ok(self.conditioning.map(|entry| drop(entry.payload.extra.remove("guidance"))))
    }
}

/// Sets how T5 fills short prompts up; text encoders without a T5, such as Stable Diffusion's, stay as they are.
#[derive(Inputs)]
pub struct T5TokenizerOptions {
    /// The text encoder.
    pub clip: Clip,
    /// How many fillers there are at least.
    #[widget(number(0).range(0..=10_000).step(1))]
    pub min_padding: usize,
    /// How many tokens there are at least.
    #[widget(number(0).range(0..=10_000).step(1))]
    pub min_length: usize,
}

impl Node for T5TokenizerOptions {
    const CATEGORY: &str = "_for_testing/conditioning";
    type Output = Clip;

    fn run(self, _: &mut Context) -> Result<Clip> {
        Ok(self.clip)
    }
}
