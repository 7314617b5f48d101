//! Changes to how a model computes.

use crate::{Clip, Model, resize};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use models::{FreeU as Strengths, HyperTile as Tiling, Shrink, TokenMerging};
use sampling::Patch;

/// Strengthens what the model makes of the whole picture, and weakens what it copies from earlier layers.
#[derive(Inputs)]
pub struct FreeU {
    /// The model.
    pub model: Model,
    /// Strengthens the lowest resolution.
    #[widget(number(1.1).range(0.0..=10.0).step(0.01))]
    pub b1: f64,
    /// Strengthens the resolution above it.
    #[widget(number(1.2).range(0.0..=10.0).step(0.01))]
    pub b2: f64,
    /// Scales the coarse part of what is copied at the lowest resolution.
    #[widget(number(0.9).range(0.0..=10.0).step(0.01))]
    pub s1: f64,
    /// Scales it at the resolution above.
    #[widget(number(0.2).range(0.0..=10.0).step(0.01))]
    pub s2: f64,
}

impl Node for FreeU {
    const CATEGORY: &str = "model_patches/unet";
    const TITLE: &str = "FreeU";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(with_freeu(&self.model, [self.b1, self.b2], [self.s1, self.s2], false))
    }
}

/// FreeU that strengthens each place by how much it stands out.
#[derive(Inputs)]
#[expect(non_camel_case_types, reason = "the name in files")]
pub struct FreeU_V2 {
    /// The model.
    pub model: Model,
    /// Strengthens the lowest resolution.
    #[widget(number(1.3).range(0.0..=10.0).step(0.01))]
    pub b1: f64,
    /// Strengthens the resolution above it.
    #[widget(number(1.4).range(0.0..=10.0).step(0.01))]
    pub b2: f64,
    /// Scales the coarse part of what is copied at the lowest resolution.
    #[widget(number(0.9).range(0.0..=10.0).step(0.01))]
    pub s1: f64,
    /// Scales it at the resolution above.
    #[widget(number(0.2).range(0.0..=10.0).step(0.01))]
    pub s2: f64,
}

impl Node for FreeU_V2 {
    const CATEGORY: &str = "model_patches/unet";
    const TITLE: &str = "FreeU_V2";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(with_freeu(&self.model, [self.b1, self.b2], [self.s1, self.s2], true))
    }
}

fn with_freeu(model: &Model, backbone: [f64; 2], skip: [f64; 2], by_place: bool) -> Model {
    let [backbone, skip] = [backbone, skip].map(|pair| pair.map(|x| x as f32));
    let unet =
        model.unet.tweaked(|tweaks| tweaks.freeu = Some(Strengths { backbone, skip, by_place }));
    Model { unet, ..model.clone() }
}

/// Attends within tiles of the picture only, where it is largest: faster for large pictures.
#[derive(Inputs)]
pub struct HyperTile {
    /// The model.
    pub model: Model,
    /// Pixels of a tile's side, at least.
    #[widget(number(256).range(1..=2048))]
    pub tile_size: usize,
    /// How many sizes of tiles are considered; from 3 on layers take turns among all but the largest.
    #[widget(number(2).range(1..=128))]
    pub swap_size: usize,
    /// Down to which halving of the picture there are tiles.
    #[widget(number(0).range(0..=10))]
    pub max_depth: usize,
    /// Whether tiles grow with each halving.
    #[widget(toggle(false))]
    pub scale_depth: bool,
}

impl Node for HyperTile {
    const CATEGORY: &str = "model_patches/unet";
    const TITLE: &str = "HyperTile";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let tiling = Tiling {
            side: self.tile_size.max(32) / 8,
            options: self.swap_size,
            depth: self.max_depth,
            grows: self.scale_depth,
        };
        let unet = self.model.unet.tweaked(|tweaks| tweaks.tiles = Some(tiling));
        Ok(Model { unet, ..self.model })
    }
}

/// Lets places of the picture that are much alike look at the rest of it together: faster for large pictures.
/// Which places others join is drawn from the seed of the sampler.
#[derive(Inputs)]
pub struct TomePatchModel {
    /// The model.
    pub model: Model,
    /// How many of the places join others.
    #[widget(number(0.3).range(0.0..=1.0).step(0.01))]
    pub ratio: f64,
}

impl Node for TomePatchModel {
    const CATEGORY: &str = "model_patches/unet";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let merging = TokenMerging { ratio: self.ratio };
        let unet = self.model.unet.tweaked(|tweaks| tweaks.merging = Some(merging));
        Ok(Model { unet, ..self.model })
    }
}

/// Makes the picture smaller inside the model for the first steps, so that large pictures keep one subject.
#[derive(Inputs)]
pub struct PatchModelAddDownscale {
    /// The model.
    pub model: Model,
    /// The input block from which the picture is smaller.
    #[widget(number(3).range(1..=32).step(1))]
    pub block_number: usize,
    /// How much smaller.
    #[widget(number(2.0).range(0.1..=9.0).step(0.001))]
    pub downscale_factor: f64,
    /// From this part of the run on; 0 is the beginning.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// To this part of the run; 1 is the end.
    #[widget(number(0.35).range(0.0..=1.0).step(0.001))]
    pub end_percent: f64,
    /// Whether what the block hands to the output blocks is still large.
    #[widget(toggle(true))]
    pub downscale_after_skip: bool,
    /// How it is made smaller.
    #[widget(one_of(["bicubic", "nearest-exact", "bilinear", "area", "bislerp"]))]
    pub downscale_method: String,
    /// How it is made large again.
    #[widget(one_of(["bicubic", "nearest-exact", "bilinear", "area", "bislerp"]))]
    pub upscale_method: String,
}

impl Node for PatchModelAddDownscale {
    const CATEGORY: &str = "model_patches/unet";
    const TITLE: &str = "PatchModelAddDownscale (Kohya Deep Shrink)";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let shrink = Shrink {
            block: self.block_number,
            factor: self.downscale_factor,
            after_skip: self.downscale_after_skip,
            down: resize::resampler(&self.downscale_method)?,
            up: resize::resampler(&self.upscale_method)?,
        };
        let unet = self.model.unet.tweaked(|tweaks| tweaks.shrink = Some(shrink));
        Ok(Model { unet, shrink: Some((self.start_percent, self.end_percent)), ..self.model })
    }
}

/// Leads away from pictures whose parts do not go together: from what the model says without attention in
/// its middle.
#[derive(Inputs)]
pub struct PerturbedAttentionGuidance {
    /// The model.
    pub model: Model,
    /// How strongly; every step takes half as long again.
    #[widget(number(3.0).range(0.0..=100.0).step(0.01).round(0.01))]
    pub scale: f64,
}

impl Node for PerturbedAttentionGuidance {
    const CATEGORY: &str = "model_patches/unet";
    const TITLE: &str = "Perturbed-Attention Guidance";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::Perturbed(self.scale as f32)))
    }
}

/// Leads away from pictures that are blurred where the model looks.
#[derive(Inputs)]
pub struct SelfAttentionGuidance {
    /// The model.
    pub model: Model,
    /// How strongly; every step takes half as long again.
    #[widget(number(0.5).range(-2.0..=5.0).step(0.01))]
    pub scale: f64,
    /// How wide the blur is, in latent pixels.
    #[widget(number(2.0).range(0.0..=10.0).step(0.1))]
    pub blur_sigma: f64,
}

impl Node for SelfAttentionGuidance {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "Self-Attention Guidance";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let (scale, blur) = (self.scale as f32, self.blur_sigma as f32);
        Ok(self.model.guided(Patch::SelfAttention { scale, blur }))
    }
}

/// Lets a mask of greys say from which part of the run on each place is painted anew: white ones from the
/// beginning.
#[derive(Inputs)]
pub struct DifferentialDiffusion {
    /// The model.
    pub model: Model,
    /// How hard the mask is cut in each step; below 1 greys also mix.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub strength: Option<f64>,
}

impl Node for DifferentialDiffusion {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "Differential Diffusion";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(Model { differential: Some(self.strength.unwrap_or(1.0) as f32), ..self.model })
    }
}

macro_rules! attention_multiply { ($($(#[$doc:meta])* $node:ident: $attention:literal;)*) => {$(
    $(#[$doc])*
    #[derive(Inputs)]
    pub struct $node {
        /// The model.
        pub model: Model,
        /// The queries.
        #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
        pub q: f64,
        /// The keys.
        #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
        pub k: f64,
        /// The values.
        #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
        pub v: f64,
        /// What comes out.
        #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
        pub out: f64,
    }

    impl Node for $node {
        const CATEGORY: &str = "_for_testing/attention_experiments";
        const TITLE: &str = stringify!($node);
        type Output = Model;

        fn run(self, _: &mut Context) -> Result<Model> {
            let parts = UNET.map(|part| format!(concat!($attention, ".{}."), part));
            Ok(multiplied(&self.model, &parts, [self.q, self.k, self.v, self.out]))
        }
    }
)*}}

attention_multiply! {
    /// Multiplies the parts of the model's attention to its own picture.
    UNetSelfAttentionMultiply: "attn1";
    /// Multiplies the parts of the model's attention to the text.
    UNetCrossAttentionMultiply: "attn2";
}

/// Multiplies what comes out of the model's attention; attention over time is in models of videos only.
#[derive(Inputs)]
pub struct UNetTemporalAttentionMultiply {
    /// The model.
    pub model: Model,
    /// To its own picture.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub self_structural: f64,
    /// To its own picture over time.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub self_temporal: f64,
    /// To the text.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub cross_structural: f64,
    /// To the text over time.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub cross_temporal: f64,
}

impl Node for UNetTemporalAttentionMultiply {
    const CATEGORY: &str = "_for_testing/attention_experiments";
    const TITLE: &str = "UNetTemporalAttentionMultiply";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let parts = ["attn1.to_out.0.", "attn2.to_out.0."].map(str::to_owned);
        Ok(multiplied(&self.model, &parts, [self.self_structural, self.cross_structural]))
    }
}

/// Multiplies the parts of a text encoder's attention.
#[derive(Inputs)]
pub struct CLIPAttentionMultiply {
    /// The text encoder.
    pub clip: Clip,
    /// The queries.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub q: f64,
    /// The keys.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub k: f64,
    /// The values.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub v: f64,
    /// What comes out.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub out: f64,
}

impl Node for CLIPAttentionMultiply {
    const CATEGORY: &str = "_for_testing/attention_experiments";
    const TITLE: &str = "CLIPAttentionMultiply";
    type Output = Clip;

    fn run(self, _: &mut Context) -> Result<Clip> {
        let parts =
            ["q_proj", "k_proj", "v_proj", "out_proj"].map(|part| format!("self_attn.{part}."));
        let factors = [self.q, self.k, self.v, self.out];
        let encoder = self.clip.encoder.scaled(&|key| factor(key, &parts, &factors))?;
        Ok(Clip { encoder, ..self.clip })
    }
}

/// The layers of an attention in a UNet: queries, keys, values, what comes out.
const UNET: [&str; 4] = ["to_q", "to_k", "to_v", "to_out.0"];

fn multiplied<const N: usize>(model: &Model, parts: &[String; N], factors: [f64; N]) -> Model {
    let unet = model.unet.scaled(&|key| factor(key, parts, &factors));
    Model { unet, ..model.clone() }
}

/// For the weights and biases of the layers.
fn factor(key: &str, parts: &[String], factors: &[f64]) -> Option<f64> {
    let layer = key.trim_end_matches("weight").trim_end_matches("bias");
    let place = parts.iter().position(|part| layer.ends_with(part.as_str()))?;
    Some(factors[place])
}
