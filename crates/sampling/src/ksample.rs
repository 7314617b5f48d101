//! A whole sampling run, as the KSampler nodes ask for it.

use crate::guidance::{Cond, Guidance, Network};
use crate::noise::{Generator, prepare_noise};
use crate::samplers::{Denoiser, NoiseKind};
use crate::{BrownianTree, Latent, ModelSampling, Sampler, Scheduler, mask};
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

/// The settings of a KSampler or KSamplerAdvanced node.
pub struct KSample {
    pub sampler: &'static Sampler,
    pub scheduler: &'static Scheduler,
    /// Steps to take, 1..=10 000.
    pub steps: usize,
    pub cfg: f64,
    pub seed: u64,
    /// 0..=1: which last part of a full run the steps make up. 0 returns the latent as it is.
    pub denoise: f64,
    /// The steps that are taken, of those that `steps` and `denoise` plan. `None` is all.
    pub start_at_step: Option<usize>,
    pub end_at_step: Option<usize>,
    /// Removes all noise in the last step even where the run ends early.
    pub force_full_denoise: bool,
    /// Adds no initial noise, to go on with a latent that still has some.
    pub disable_noise: bool,
    pub sampler_noise: SamplerNoise,
}

impl KSample {
    /// What KSampler asks for: all steps, with noise.
    pub fn new(sampler: &'static Sampler, scheduler: &'static Scheduler, steps: usize) -> Self {
        Self {
            sampler,
            scheduler,
            steps,
            cfg: 8.0,
            seed: 0,
            denoise: 1.0,
            start_at_step: None,
            end_at_step: None,
            force_full_denoise: false,
            disable_noise: false,
            sampler_noise: SamplerNoise::default(),
        }
    }

    /// The falling sigmas of the run; fewer than 2 mean that there is nothing to do.
    pub fn sigmas(&self, model: &ModelSampling) -> Result<Vec<f32>> {
        let mut sigmas = self.planned_sigmas(model)?;
        if let Some(end) = self.end_at_step.filter(|end| end + 1 < sigmas.len()) {
            sigmas.truncate(end + 1);
            if self.force_full_denoise {
                sigmas[end] = 0.0;
            }
        }
        let start = self.start_at_step.unwrap_or(0);
        Ok(if start + 1 < sigmas.len() { sigmas.split_off(start) } else { Vec::new() })
    }

    /// Those for `steps` and `denoise`: a longer schedule, of which the last steps are taken.
    fn planned_sigmas(&self, model: &ModelSampling) -> Result<Vec<f32>> {
        if self.denoise > 0.9999 {
            return self.full_sigmas(model, self.steps);
        }
        if self.denoise <= 0.0 {
            return Ok(Vec::new());
        }
        let total = (self.steps as f64 / self.denoise) as usize;
        let sigmas = self.full_sigmas(model, total)?;
        Ok(sigmas[sigmas.len().saturating_sub(self.steps + 1)..].to_vec())
    }

    fn full_sigmas(&self, model: &ModelSampling, steps: usize) -> Result<Vec<f32>> {
        let drops = self.sampler.drops_penultimate_sigma;
        let mut sigmas = self.scheduler.sigmas(model, steps + usize::from(drops))?;
        if drops && sigmas.len() > 1 {
            sigmas.remove(sigmas.len() - 2);
        }
        let name = self.scheduler.name;
        ensure!(!sigmas[0].is_nan(), "the {name} schedule cannot do with {steps} steps: take more");
        Ok(sigmas)
    }
}

/// What a run starts from.
pub struct LatentInput<'a> {
    /// As it came from an image, not scaled.
    pub samples: &'a Latent,
    /// What the model's latents are multiplied by: 0.18215 for SD 1 and 2. The result of a run is
    /// divided by it again.
    pub scale: f32,
    /// `[batch, height, width]` of any size: 1 is sampled, 0 kept as it is.
    pub noise_mask: Option<&'a Array3<f32>>,
    /// The number of each image within the batch that it was taken from.
    pub batch_index: Option<&'a [usize]>,
}

/// Samples a latent of the input's shape.
///
/// `progress` is told in each step its number from 0, how many there are, and the denoised latent
/// (scaled), for a preview. Its error, or the network's, ends the run.
pub fn ksample<N: Network>(
    settings: &KSample,
    model: &ModelSampling,
    network: &mut N,
    [positive, negative]: [&[Cond<N::Cond>]; 2],
    latent: &LatentInput,
    progress: &mut dyn FnMut(usize, usize, &Latent) -> Result<()>,
) -> Result<Latent> {
    let (_, _, height, width) = latent.samples.dim();
    ensure!(
        !latent.samples.is_empty(),
        "the latent is empty: its shape is {:?}",
        latent.samples.dim()
    );
    let sigmas = settings.sigmas(model)?;
    if sigmas.is_empty() {
        return Ok(latent.samples.clone());
    }
    let run = Run::new(settings, latent, sigmas)?;
    let guidance = Guidance::new(model, [positive, negative], settings.cfg, (height, width))?;
    let mut guided = |x: &Latent, sigma: f32| guidance.denoise(network, model, x, sigma);
    let mut denoise = |x: &Latent, sigma: f32| run.denoise_masked(&mut guided, x, sigma);
    let total = run.sigmas.len() - 1;
    let mut report = |i: usize, denoised: &Latent| progress(i, total, denoised);
    let mut denoiser = Denoiser::new(&mut denoise, &mut report);
    let x = model.noise_latent(run.sigmas[0], &run.noise, &run.latent);
    let samples = settings.sampler.run(&mut denoiser, &mut run.sampler_noise(), x, &run.sigmas)?;
    Ok(samples / latent.scale)
}

/// What stays the same during a run.
struct Run<'a> {
    settings: &'a KSample,
    sigmas: Vec<f32>,
    /// Scaled.
    latent: Latent,
    noise: Latent,
    /// The mask for each image and channel, and the noise for what it keeps.
    mask: Option<(Array4<f32>, Latent)>,
}

impl<'a> Run<'a> {
    fn new(settings: &'a KSample, input: &LatentInput, sigmas: Vec<f32>) -> Result<Self> {
        let shape: [usize; 4] = input.samples.dim().into();
        let noise = match settings.disable_noise {
            true => Latent::zeros(shape),
            false => prepare_noise(shape, settings.seed, input.batch_index)?,
        };
        let mask_noise = || match settings.sampler.redraws_mask_noise {
            true => Generator::cpu(settings.seed.wrapping_add(1)).latent(shape),
            false => noise.clone(),
        };
        let mask = input.noise_mask.map(|mask| (mask::for_latent(mask, shape), mask_noise()));
        Ok(Self { settings, sigmas, latent: input.samples * input.scale, mask, noise })
    }

    /// Shows the denoiser the original, noised to this level, outside the mask, and keeps the
    /// original there in what it answers (Lugmayr et al. 2022, "RePaint", without resampling).
    fn denoise_masked(
        &self,
        denoise: &mut dyn FnMut(&Latent, f32) -> Result<Latent>,
        x: &Latent,
        sigma: f32,
    ) -> Result<Latent> {
        let Some((mask, noise)) = &self.mask else { return denoise(x, sigma) };
        let original = &self.latent + &(noise * sigma);
        let denoised = denoise(&mask::mix(mask, x, &original), sigma)?;
        Ok(mask::mix(mask, &denoised, &self.latent))
    }

    /// The noise that the sampler draws between steps.
    fn sampler_noise(&self) -> Box<dyn FnMut(f32, f32) -> Latent> {
        let shape: [usize; 4] = self.latent.dim().into();
        let (seed, device) = (self.settings.seed, self.settings.sampler_noise.generator());
        let tree = |generator: fn(u64) -> Generator| {
            let mut tree = BrownianTree::new(shape, &self.sigmas, seed, generator);
            Box::new(move |sigma, next| tree.noise(sigma, next))
        };
        match self.settings.sampler.noise {
            NoiseKind::Brownian => tree(Generator::cpu),
            NoiseKind::BrownianOnDevice => tree(device),
            NoiseKind::Independent => {
                let mut generator = device(seed);
                Box::new(move |_, _| generator.latent(shape))
            }
        }
    }
}

#[cfg(test)]
mod tests;
