//! Models that are told pictures beside words (Ramesh et al. 2022, "unCLIP"; Stable Diffusion 2.1 unCLIP).

use crate::{Clip, ClipVision, ClipVisionOutput, Conditioning, Model, Vae, loaders};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use models::Seen;
use sampling::{NoiseAugmentation, SamplerNoise, noise::Generator};
use std::sync::Arc;

/// Pictures that a model is told.
#[derive(Clone, Debug)]
pub struct Unclip {
    seen: Arc<Seen>,
    strength: f32,
    /// 0 tells the pictures as they are, 1 next to nothing of them.
    noise: f64,
}

/// The noise on several pictures told at once, as in the original.
const MERGED_NOISE: f64 = 0.05;
/// The noise is that of a seed so much below the run's, as in the original.
const SEED_BELOW: u64 = 10;

/// Loads a checkpoint that is told pictures: also what looks at them.
#[derive(Inputs)]
#[allow(non_camel_case_types, reason = "the name in files")]
pub struct unCLIPCheckpointLoader {
    /// A file in models/checkpoints.
    #[widget(file("checkpoints"))]
    pub ckpt_name: String,
}

impl Node for unCLIPCheckpointLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "unCLIPCheckpointLoader";
    type Output = (Model, Clip, Vae, ClipVision);

    fn run(self, ctx: &mut Context) -> Result<(Model, Clip, Vae, ClipVision)> {
        let (model, clip, vae, vision) = loaders::checkpoint(ctx, &self.ckpt_name)?;
        let network = vision.with_context(|| {
            format!(
                "{} has no picture encoder: it is no unCLIP checkpoint, load it with CheckpointLoaderSimple",
                self.ckpt_name
            )
        })?;
        Ok((model, clip, vae, ClipVision { network }))
    }
}

/// Tells an unCLIP model pictures; other models do not hear it. Of several, all are told at once.
#[derive(Inputs)]
#[allow(non_camel_case_types, reason = "the name in files")]
pub struct unCLIPConditioning {
    /// What to add the pictures to.
    pub conditioning: Conditioning,
    /// The pictures.
    pub clip_vision_output: ClipVisionOutput,
    /// How strongly.
    #[widget(number(1.0).range(-10.0..=10.0).step(0.01))]
    pub strength: f64,
    /// How freely: with more noise the result is less like the pictures.
    #[widget(number(0.0).range(0.0..=1.0).step(0.01))]
    pub noise_augmentation: f64,
}

impl Node for unCLIPConditioning {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "unCLIPConditioning";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        if self.strength == 0.0 {
            return Ok(self.conditioning);
        }
        let told = Unclip {
            seen: self.clip_vision_output.0,
            strength: self.strength as f32,
            noise: self.noise_augmentation,
        };
        Ok(self.conditioning.map(|e| e.payload.unclip.push(told.clone())))
    }
}

/// What an unCLIP model of so many label channels is told: the pictures' embedding, noised, then the level
/// of the noise. Without pictures nothing, which means zeros.
pub fn label(
    told: &[Unclip],
    channels: usize,
    seed: u64,
    sampler_noise: SamplerNoise,
) -> Result<Vec<f32>> {
    let width = channels / 2;
    let seed = seed.wrapping_sub(SEED_BELOW);
    let augmentation = NoiseAugmentation::default();
    let noised = |x: &[f32], strength: f64, noise: &[f32]| {
        let level = NoiseAugmentation::level(strength);
        let mut label = augmentation.noised(x, level, noise);
        label.extend(models::sinusoid(level as f32, width));
        label
    };
    // Every picture gets the same noise.
    let mut generator = Generator::cpu(seed);
    let noise = generator.randn(width);
    let mut labels = Vec::new();
    for Unclip { seen, strength, noise: augmented } in told {
        let found = seen.embeds.len() / seen.batch.max(1);
        anyhow::ensure!(
            found == width,
            "the picture encoder gives {found} numbers for a picture, the model reads {width}: it \
             wants the encoder that comes with it (unCLIPCheckpointLoader)"
        );
        let pictures = seen.embeds.chunks_exact(width);
        labels.extend(pictures.map(|x| {
            let label = noised(x, *augmented, &noise);
            label.into_iter().map(|x| x * strength).collect::<Vec<f32>>()
        }));
    }
    if labels.len() < 2 {
        return Ok(labels.pop().unwrap_or_default());
    }
    let sum: Vec<f32> = (0..width).map(|i| labels.iter().map(|label| label[i]).sum()).collect();
    // The original draws this noise where the model is.
    let noise = match sampler_noise {
        SamplerNoise::Cpu => generator.randn(width),
        SamplerNoise::Cuda => Generator::cuda(seed).randn(width),
    };
    Ok(noised(&sum, MERGED_NOISE, &noise))
}
