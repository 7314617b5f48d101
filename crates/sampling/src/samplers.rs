//! Samplers: from noise to a latent, one noise level after another.
//!
//! A sampler sees only a function that guesses the clean latent from a noisy one, so it knows
//! nothing of prompts, guidance or networks. To add one: write the function, add its method and
//! its row in `menu.rs`.
//! In all of them `sigmas` falls, `x` is a noisy latent at `sigmas[0]`, and what is returned is at
//! the last sigma. Step sizes are computed in f32 where the original does so.
//!
//! Time is sigma, or lambda = -log sigma: half the logarithm of the signal to noise ratio, in
//! which the exponential integrators (DPM-Solver and its kin) take their steps.

mod ancestral;
mod cfg_pp;
mod deis;
mod dpm_solver;
mod er_sde;
mod flow;
mod menu;
mod multistep;
mod res;
mod sa_solver;
mod sde;
mod seeds;
mod single_step;
#[cfg(test)]
mod tests;
mod uni_pc;

use crate::{Latent, ModelSampling, noise::Generator};
use anyhow::{Context as _, Result};
use ndarray::Zip;

pub use ancestral::Growth;
pub use dpm_solver::Adaptive;
pub use er_sde::{ErSde, NoiseScale};
pub use menu::{Method, SAMPLERS};
pub use sa_solver::SaSolver;
pub use sde::Correction;

/// What a denoiser answers.
pub struct Guess {
    /// The clean latent, guided.
    pub denoised: Latent,
    /// What the negative alone makes of it; zeros where nobody asked it.
    pub uncond: Latent,
}

/// What a sampler asks and tells.
pub struct Denoiser<'a> {
    model: &'a ModelSampling,
    denoise: &'a mut dyn FnMut(&Latent, f32) -> Result<Guess>,
    report: &'a mut dyn FnMut(usize, &Latent) -> Result<()>,
    /// Draws on where the initial noise ended, for latents of any size.
    generator: Generator,
}

impl<'a> Denoiser<'a> {
    /// `denoise` guesses the clean latent from a noisy one and its sigma. `report` is told once in
    /// each step, counted from 0, what the guess is. An error of either ends the run.
    pub fn new(
        model: &'a ModelSampling,
        denoise: &'a mut dyn FnMut(&Latent, f32) -> Result<Guess>,
        report: &'a mut dyn FnMut(usize, &Latent) -> Result<()>,
    ) -> Self {
        Self { model, denoise, report, generator: Generator::cpu(0) }
    }

    /// With the generator of the initial noise, for samplers that need another than the run's.
    #[must_use]
    pub fn drawing_from(self, generator: Generator) -> Self {
        Self { generator, ..self }
    }

    fn guess(&mut self, x: &Latent, sigma: f32) -> Result<Guess> {
        (self.denoise)(x, sigma)
    }

    fn denoise(&mut self, x: &Latent, sigma: f32) -> Result<Latent> {
        Ok(self.guess(x, sigma)?.denoised)
    }

    /// The guess with which step `i` begins.
    fn begin_step(&mut self, i: usize, x: &Latent, sigma: f32) -> Result<Latent> {
        Ok(self.begin_step_guessing(i, x, sigma)?.denoised)
    }

    /// As [`Self::begin_step`], with the negative's own guess.
    fn begin_step_guessing(&mut self, i: usize, x: &Latent, sigma: f32) -> Result<Guess> {
        let guess = self.guess(x, sigma)?;
        self.report(i, &guess.denoised)?;
        Ok(guess)
    }

    fn report(&mut self, i: usize, denoised: &Latent) -> Result<()> {
        (self.report)(i, denoised)
    }
}

/// Unit noise for the step between two sigmas.
pub type Noise<'a> = dyn FnMut(f32, f32) -> Latent + 'a;

/// Where a sampler's noise comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseKind {
    /// A fresh draw at each call, seeded with the run's seed.
    Independent,
    /// A Brownian tree of CPU noise.
    Brownian,
    /// A Brownian tree of noise as drawn on the device.
    BrownianOnDevice,
}

/// How much of its noise a step draws anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renewal {
    /// 0 is the ODE, 1 the reverse diffusion SDE (ancestral sampling).
    pub eta: f32,
    /// What the new noise is multiplied by.
    pub s_noise: f32,
}

impl Renewal {
    pub const NONE: Self = Self { eta: 0.0, s_noise: 0.0 };
    pub const FULL: Self = Self { eta: 1.0, s_noise: 1.0 };

    /// Whether any noise is drawn.
    fn is_some(self) -> bool {
        self.eta > 0.0 && self.s_noise > 0.0
    }
}

/// One entry of the sampler menu, or one with options of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    pub name: &'static str,
    pub method: Method,
    pub noise: NoiseKind,
    /// KSampler plans one step more than asked, then leaves out the level before the last.
    pub drops_penultimate_sigma: bool,
    /// What lies outside an inpainting mask is noised anew, from seed + 1.
    pub redraws_mask_noise: bool,
}

impl Sampler {
    pub fn named(name: &str) -> Result<Self> {
        let names = || SAMPLERS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
        let found = SAMPLERS.iter().find(|sampler| sampler.name == name);
        found
            .copied()
            .with_context(|| format!("there is no sampler {name:?}; there are {}", names()))
    }

    /// `x` at `sigmas[0]` is taken to the last of the falling `sigmas`.
    pub fn run(
        &self,
        denoiser: &mut Denoiser,
        noise: &mut Noise,
        x: Latent,
        sigmas: &[f32],
    ) -> Result<Latent> {
        if sigmas.len() < 2 {
            Ok(x)
        } else if denoiser.model.is_flow() {
            flow::run(self.name, self.method, denoiser, noise, x, sigmas)
        } else {
            self.method.run(denoiser, noise, x, sigmas)
        }
    }
}

/// The steps of a run: index, sigma, next sigma.
fn steps(sigmas: &[f32]) -> impl Iterator<Item = (usize, f32, f32)> {
    sigmas.windows(2).enumerate().map(|(i, pair)| (i, pair[0], pair[1]))
}

/// Half the logarithm of the signal to noise ratio.
fn lambda(sigma: f32) -> f32 {
    -sigma.ln()
}

/// The level at a lambda.
fn sigma_at(lambda: f32) -> f32 {
    (-lambda).exp()
}

/// dx / dsigma of the probability flow ODE (Karras et al. 2022, equation 3).
fn slope(x: &Latent, sigma: f32, denoised: &Latent) -> Latent {
    Zip::from(x).and(denoised).map_collect(|x, denoised| (x - denoised) / sigma)
}

/// x += scale * direction
fn add_scaled(x: &mut Latent, scale: f32, direction: &Latent) {
    Zip::from(x).and(direction).for_each(|x, d| *x += d * scale);
}

/// a x + b y
fn blend(a: f32, x: &Latent, b: f32, y: &Latent) -> Latent {
    Zip::from(x).and(y).map_collect(|x, y| a * x + b * y)
}
