//! The settings of the KSampler nodes, and the run that they mean.

use crate::schedules::last_steps;
use crate::{ModelSampling, Run, Sampler, SamplerNoise, Scheduler};
use anyhow::Result;

/// The settings of a KSampler or KSamplerAdvanced node.
pub struct KSample {
    pub sampler: Sampler,
    pub scheduler: &'static Scheduler,
    /// Steps to take, 1..=10 000.
    pub steps: usize,
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
    pub fn new(sampler: Sampler, scheduler: &'static Scheduler, steps: usize) -> Self {
        Self {
            sampler,
            scheduler,
            steps,
            seed: 0,
            denoise: 1.0,
            start_at_step: None,
            end_at_step: None,
            force_full_denoise: false,
            disable_noise: false,
            sampler_noise: SamplerNoise::default(),
        }
    }

    /// What to do with a model of these noise levels.
    pub fn run(&self, model: &ModelSampling) -> Result<Run> {
        Ok(Run {
            sampler: self.sampler,
            sigmas: self.sigmas(model)?,
            seed: self.seed,
            disable_noise: self.disable_noise,
            sampler_noise: self.sampler_noise,
        })
    }

    /// The falling sigmas of the run; fewer than 2 mean that there is nothing to do.
    pub fn sigmas(&self, model: &ModelSampling) -> Result<Vec<f32>> {
        let full = |steps| self.full_sigmas(model, steps);
        let mut sigmas = last_steps(self.steps, self.denoise, full)?;
        if let Some(end) = self.end_at_step.filter(|end| end + 1 < sigmas.len()) {
            sigmas.truncate(end + 1);
            if self.force_full_denoise {
                sigmas[end] = 0.0;
            }
        }
        let start = self.start_at_step.unwrap_or(0);
        Ok(if start + 1 < sigmas.len() { sigmas.split_off(start) } else { Vec::new() })
    }

    fn full_sigmas(&self, model: &ModelSampling, steps: usize) -> Result<Vec<f32>> {
        let drops = self.sampler.drops_penultimate_sigma;
        let mut sigmas = self.scheduler.sigmas(model, steps + usize::from(drops))?;
        if drops && sigmas.len() > 1 {
            sigmas.remove(sigmas.len() - 2);
        }
        Ok(sigmas)
    }
}

#[cfg(test)]
mod tests;
