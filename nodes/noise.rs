//! What a custom run starts from.

use crate::{Latent, Model, Noise, Sigmas, ksampler};
use anyhow::Result;
use graph::{Context, Inputs, Node};

/// Random noise.
#[derive(Inputs)]
pub struct RandomNoise {
    /// The same seed gives the same noise.
    #[widget(seed())]
    pub noise_seed: u64,
}

impl Node for RandomNoise {
    const CATEGORY: &str = "sampling/custom_sampling/noise";
    const TITLE: &str = "RandomNoise";
    type Output = Noise;

    fn run(self, _: &mut Context) -> Result<Noise> {
        Ok(Noise { seed: self.noise_seed, disabled: false })
    }
}

/// No noise, to go on with a latent that still has some.
#[derive(Inputs)]
pub struct DisableNoise {}

impl Node for DisableNoise {
    const CATEGORY: &str = "sampling/custom_sampling/noise";
    const TITLE: &str = "DisableNoise";
    type Output = Noise;

    fn run(self, _: &mut Context) -> Result<Noise> {
        Ok(Noise { seed: 0, disabled: true })
    }
}

/// Adds as much noise as there is between the first and the last of the levels.
#[derive(Inputs)]
pub struct AddNoise {
    /// Says how its latents are scaled.
    pub model: Model,
    /// What is added.
    pub noise: Noise,
    /// The noise levels; of one alone, that level.
    pub sigmas: Sigmas,
    /// What it is added to.
    pub latent_image: Latent,
}

impl Node for AddNoise {
    const CATEGORY: &str = "_for_testing/custom_sampling/noise";
    const TITLE: &str = "AddNoise";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let level = match self.sigmas.0.as_slice() {
            [] => return Ok(self.latent_image),
            [only] => *only,
            [first, .., last] => (first - last).abs(),
        };
        let (noise, format) = (self.noise, self.model.latent);
        let input = ksampler::input(&self.latent_image, format);
        let noise = input.noise(noise.seed, noise.disabled)?;
        let noisy = self.model.sampling.noised(level, &noise, &format.enter(input.samples));
        let noisy = format.leave(&noisy);
        let finite = |x: f32| if x.is_finite() { x } else { 0.0 };
        Ok(self.latent_image.with(noisy.mapv(finite)))
    }
}
