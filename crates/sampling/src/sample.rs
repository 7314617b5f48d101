//! A whole sampling run: noise, guidance, masks and a sampler put together.

use crate::guidance::{Guidance, Guider, Network};
use crate::noise::{Generator, draw_noise, prepare_noise};
use crate::samplers::{Denoiser, Guess, NoiseKind};
use crate::{BrownianTree, Latent, LatentFormat, Method, ModelSampling, Sampler, mask};
use anyhow::{Result, ensure};
use ndarray::{Array3, Array4};

/// Which machine's noise the samplers draw during a run. The initial noise is always the CPU's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamplerNoise {
    /// As on a CUDA device (Philox), where most shared workflows were made.
    #[default]
    Cuda,
    /// As with `--cpu`. The first draw equals the initial noise, as in ComfyUI 0.3.64.
    Cpu,
}

impl SamplerNoise {
    fn generator(self) -> fn(u64) -> Generator {
        match self {
            Self::Cuda => Generator::cuda,
            Self::Cpu => Generator::cpu,
        }
    }
}

/// Which noise levels are visited, how, and with which noise.
#[derive(Clone, Debug)]
pub struct Run {
    pub sampler: Sampler,
    /// None returns the latent as it is, one only adds noise. They fall, as a rule.
    pub sigmas: Vec<f32>,
    pub seed: u64,
    /// Adds no initial noise, to go on with a latent that still has some.
    pub disable_noise: bool,
    pub sampler_noise: SamplerNoise,
}

impl Run {
    /// What networks draw from that leave something to chance: PyTorch's own generator of the device,
    /// which a CPU has already made the initial noise with.
    pub fn generator(&self, latent: &LatentInput) -> Result<Generator> {
        let mut generator = self.sampler_noise.generator()(self.seed);
        if self.sampler_noise == SamplerNoise::Cpu && !self.disable_noise {
            draw_noise(&mut generator, latent.samples.dim().into(), latent.batch_index)?;
        }
        Ok(generator)
    }
}

/// What a run starts from.
pub struct LatentInput<'a> {
    /// As it came from an image, not scaled.
    pub samples: &'a Latent,
    /// How they lie for the network.
    pub format: LatentFormat,
    /// `[batch, height, width]` of any size: 1 is sampled, 0 kept as it is.
    pub noise_mask: Option<&'a Array3<f32>>,
    /// The number of each image within the batch that it was taken from.
    pub batch_index: Option<&'a [usize]>,
}

impl LatentInput<'_> {
    /// The initial noise, or none.
    pub fn noise(&self, seed: u64, disabled: bool) -> Result<Latent> {
        let shape: [usize; 4] = self.samples.dim().into();
        if disabled {
            Ok(Latent::zeros(shape))
        } else {
            prepare_noise(shape, seed, self.batch_index)
        }
    }

    /// The generator behind the initial noise; that of another machine than the CPU has drawn none.
    fn generator(&self, run: &Run) -> Result<Generator> {
        let mut generator = run.sampler_noise.generator()(run.seed);
        if run.sampler_noise == SamplerNoise::Cpu && !run.disable_noise {
            draw_noise(&mut generator, self.samples.dim().into(), self.batch_index)?;
        }
        Ok(generator)
    }
}

/// What a run ends with, not scaled.
pub struct Sampled {
    pub samples: Latent,
    /// The last guess of the clean latent, which differs where the last level is not 0.
    pub denoised: Latent,
}

/// Samples a latent of the input's shape.
///
/// `progress` is told in each step its number from 0, how many there are, and the denoised latent
/// (scaled), for a preview. Its error, or the network's, ends the run.
pub fn sample<N: Network>(
    run: &Run,
    model: &ModelSampling,
    network: &mut N,
    guider: &Guider<N::Cond>,
    latent: &LatentInput,
    progress: &mut dyn FnMut(usize, usize, &Latent) -> Result<()>,
) -> Result<Sampled> {
    let (_, _, height, width) = latent.samples.dim();
    ensure!(
        !latent.samples.is_empty(),
        "the latent is empty: its shape is {:?}",
        latent.samples.dim()
    );
    let odd = run.sigmas.iter().find(|sigma| !sigma.is_finite() || **sigma < 0.0);
    ensure!(odd.is_none(), "a noise level is {}: expected 0 or more", odd.unwrap_or(&0.0));
    let Some(first) = run.sigmas.first() else {
        return Ok(Sampled { samples: latent.samples.clone(), denoised: latent.samples.clone() });
    };
    let mut start = Start::new(run, latent)?;
    start.differential =
        guider.differential.map(|strength| Differential::new(run, model, strength));
    let wants_uncond = run.sampler.method.wants_uncond();
    let mut guidance = Guidance::new(model, guider, wants_uncond, (height, width))?;
    let mut guided = |x: &Latent, sigma: f32| guidance.denoise(network, model, x, sigma);
    let mut denoise = |x: &Latent, sigma: f32| start.denoise_masked(model, &mut guided, x, sigma);
    let total = run.sigmas.len() - 1;
    let mut last = None;
    // An adaptive sampler may take more steps than were planned.
    let mut report = |i: usize, denoised: &Latent| {
        last = Some(denoised.clone());
        progress(i.min(total - 1), total, denoised)
    };
    let mut denoiser = Denoiser::new(model, &mut denoise, &mut report);
    if let Method::LcmUpscale(_) = run.sampler.method {
        denoiser = denoiser.drawing_from(latent.generator(run)?);
    }
    let x = model.noise_latent(*first, &start.noise, &start.latent);
    let mut noise = start.sampler_noise(run);
    let samples = run.sampler.run(&mut denoiser, &mut noise, x, &run.sigmas)?;
    let samples = model.handed_on(run.sigmas[total], samples)?;
    let samples = latent.format.leave(&samples);
    let denoised = last.map_or_else(|| samples.clone(), |last| latent.format.leave(&last));
    Ok(Sampled { samples, denoised })
}

/// What stays the same during a run.
struct Start {
    /// Scaled.
    latent: Latent,
    noise: Latent,
    /// The mask for each image and channel, and the noise for what it keeps.
    mask: Option<(Array4<f32>, Latent)>,
    differential: Option<Differential>,
}

/// How a mask is read that says when each place is sampled: strong ones from the beginning on.
struct Differential {
    model: ModelSampling,
    strength: f32,
    /// The timesteps between which the run goes.
    from: f32,
    to: f32,
}

impl Differential {
    fn new(run: &Run, model: &ModelSampling, strength: f32) -> Self {
        let [first, last] =
            [run.sigmas.first(), run.sigmas.last()].map(|s| s.copied().unwrap_or(0.0));
        let (from, to) = (model.timestep(first), model.timestep(last.max(model.sigma_min())));
        Self { model: model.clone(), strength, from, to }
    }

    /// The mask at this level: whole, or nothing, or between the two where the strength is below 1.
    fn at(&self, mask: &Array4<f32>, sigma: f32) -> Array4<f32> {
        let threshold = (self.model.timestep(sigma) - self.to) / (self.from - self.to);
        let hard = |m: f32| if m >= threshold { 1.0 } else { 0.0 };
        match self.strength {
            s if s > 0.0 && s < 1.0 => mask.mapv(|m| s * hard(m) + (1.0 - s) * m),
            _ => mask.mapv(hard),
        }
    }
}

impl Start {
    fn new(run: &Run, input: &LatentInput) -> Result<Self> {
        let shape: [usize; 4] = input.samples.dim().into();
        let noise = input.noise(run.seed, run.disable_noise)?;
        let mask_noise = || match run.sampler.redraws_mask_noise {
            true => Generator::cpu(run.seed.wrapping_add(1)).latent(shape),
            false => noise.clone(),
        };
        let mask = input.noise_mask.map(|mask| (mask::for_latent(mask, shape), mask_noise()));
        let latent = input.format.enter(input.samples);
        Ok(Self { latent, mask, noise, differential: None })
    }

    /// Shows the denoiser the original, noised to this level, outside the mask, and keeps the
    /// original there in what it answers (Lugmayr et al. 2022, "RePaint", without resampling).
    fn denoise_masked(
        &self,
        model: &ModelSampling,
        denoise: &mut dyn FnMut(&Latent, f32) -> Result<Guess>,
        x: &Latent,
        sigma: f32,
    ) -> Result<Guess> {
        let Some((mask, noise)) = &self.mask else { return denoise(x, sigma) };
        ensure!(
            x.dim() == self.latent.dim(),
            "a sampler that makes the latent larger cannot go with a mask"
        );
        let mask = self.differential.as_ref().map_or_else(|| mask.clone(), |d| d.at(mask, sigma));
        let mask = &mask;
        let original = model.noised(sigma, noise, &self.latent);
        let guess = denoise(&mask::mix(mask, x, &original), sigma)?;
        Ok(Guess { denoised: mask::mix(mask, &guess.denoised, &self.latent), ..guess })
    }

    /// The noise that the sampler draws between steps.
    fn sampler_noise(&self, run: &Run) -> Box<dyn FnMut(f32, f32) -> Latent> {
        let shape: [usize; 4] = self.latent.dim().into();
        let device = run.sampler_noise.generator();
        let tree = |generator: fn(u64) -> Generator| {
            let mut tree = BrownianTree::new(shape, &run.sigmas, run.seed, generator);
            Box::new(move |sigma, next| tree.noise(sigma, next))
        };
        match run.sampler.noise {
            NoiseKind::Brownian => tree(Generator::cpu),
            NoiseKind::BrownianOnDevice => tree(device),
            NoiseKind::Independent => {
                let mut generator = device(run.seed);
                Box::new(move |_, _| generator.latent(shape))
            }
        }
    }
}

#[cfg(test)]
mod tests;
