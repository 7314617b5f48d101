//! Sampling put together from its parts: noise, guider, sampler and noise levels.

use crate::{Conditioning, Guider, Latent, Model, Noise, Options, Sampler, Sigmas, ksampler};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use sampling::Run;

/// Denoises a latent with any sampler over any noise levels.
#[derive(Inputs)]
pub struct SamplerCustom {
    /// Predicts the noise.
    pub model: Model,
    /// Whether noise is added first; a latent with leftover noise wants none.
    #[widget(toggle(true))]
    pub add_noise: bool,
    /// The same seed gives the same noise.
    #[widget(seed())]
    pub noise_seed: u64,
    /// How strongly the prompts pull; 1 ignores the negative one.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    pub cfg: f64,
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// How one step leads to the next.
    pub sampler: Sampler,
    /// The noise levels that are visited.
    pub sigmas: Sigmas,
    /// Where to start from.
    pub latent_image: Latent,
}

impl Node for SamplerCustom {
    const CATEGORY: &str = "sampling/custom_sampling";
    const TITLE: &str = "SamplerCustom";
    const OUTPUT_NAMES: &[&str] = &["output", "denoised_output"];
    type Output = (Latent, Latent);

    fn run(self, ctx: &mut Context) -> Result<(Latent, Latent)> {
        let noise = Noise { seed: self.noise_seed, disabled: !self.add_noise };
        let guider = Guider::cfg(self.model, self.cfg, self.positive, self.negative);
        let run = run(ctx, noise, self.sampler, &self.sigmas);
        ksampler::sample(ctx, &guider, &run, &self.latent_image)
    }
}

/// Denoises a latent with any noise, guider and sampler over any noise levels.
#[derive(Inputs)]
pub struct SamplerCustomAdvanced {
    /// What is added to the latent first.
    pub noise: Noise,
    /// The model, and what it is told.
    pub guider: Guider,
    /// How one step leads to the next.
    pub sampler: Sampler,
    /// The noise levels that are visited.
    pub sigmas: Sigmas,
    /// Where to start from.
    pub latent_image: Latent,
}

impl Node for SamplerCustomAdvanced {
    const CATEGORY: &str = "sampling/custom_sampling";
    const TITLE: &str = "SamplerCustomAdvanced";
    const OUTPUT_NAMES: &[&str] = &["output", "denoised_output"];
    type Output = (Latent, Latent);

    fn run(self, ctx: &mut Context) -> Result<(Latent, Latent)> {
        let run = run(ctx, self.noise, self.sampler, &self.sigmas);
        ksampler::sample(ctx, &self.guider, &run, &self.latent_image)
    }
}

fn run(ctx: &Context, noise: Noise, sampler: Sampler, sigmas: &Sigmas) -> Run {
    Run {
        sampler: sampler.0,
        sigmas: sigmas.0.to_vec(),
        seed: noise.seed,
        disable_noise: noise.disabled,
        sampler_noise: ctx.services.get::<Options>().sampler_noise,
    }
}
