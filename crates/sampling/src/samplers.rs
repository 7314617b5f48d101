//! Samplers: from noise to a latent, one noise level after another.
//!
//! A sampler sees only a function that guesses the clean latent from a noisy one, so it knows
//! nothing of prompts, guidance or models. To add one: write the function, add its row.
//! In all of them `sigmas` falls, `x` is a noisy latent at `sigmas[0]`, and what is returned is at
//! the last sigma. Step sizes are computed in f32 where the original does so.

mod ancestral;
mod multistep;
mod sde;
mod single_step;
#[cfg(test)]
mod tests;
mod uni_pc;

use crate::Latent;
use anyhow::{Context as _, Result};
use ndarray::Zip;

/// What a sampler asks and tells.
pub struct Denoiser<'a> {
    denoise: &'a mut dyn FnMut(&Latent, f32) -> Result<Latent>,
    report: &'a mut dyn FnMut(usize, &Latent) -> Result<()>,
}

impl<'a> Denoiser<'a> {
    /// `denoise` guesses the clean latent from a noisy one and its sigma. `report` is told once in
    /// each step, counted from 0, what the guess is. An error of either ends the run.
    pub fn new(
        denoise: &'a mut dyn FnMut(&Latent, f32) -> Result<Latent>,
        report: &'a mut dyn FnMut(usize, &Latent) -> Result<()>,
    ) -> Self {
        Self { denoise, report }
    }

    fn denoise(&mut self, x: &Latent, sigma: f32) -> Result<Latent> {
        (self.denoise)(x, sigma)
    }

    /// The guess with which step `i` begins.
    fn begin_step(&mut self, i: usize, x: &Latent, sigma: f32) -> Result<Latent> {
        let denoised = self.denoise(x, sigma)?;
        self.report(i, &denoised)?;
        Ok(denoised)
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

/// One entry of the sampler menu.
pub struct Sampler {
    pub name: &'static str,
    run: fn(&mut Denoiser, &mut Noise, Latent, &[f32]) -> Result<Latent>,
    pub noise: NoiseKind,
    /// Plans one step more than asked, then leaves out the level before the last.
    pub drops_penultimate_sigma: bool,
    /// What lies outside an inpainting mask is noised anew, from seed + 1.
    pub redraws_mask_noise: bool,
}

/// A sampler without peculiarities.
const PLAIN: Sampler = Sampler {
    name: "",
    run: single_step::euler,
    noise: NoiseKind::Independent,
    drops_penultimate_sigma: false,
    redraws_mask_noise: false,
};

/// In menu order.
pub const SAMPLERS: &[Sampler] = &[
    Sampler { name: "euler", run: single_step::euler, ..PLAIN },
    Sampler { name: "euler_ancestral", run: ancestral::euler_ancestral, ..PLAIN },
    Sampler { name: "heun", run: single_step::heun, ..PLAIN },
    Sampler { name: "dpm_2", run: single_step::dpm_2, drops_penultimate_sigma: true, ..PLAIN },
    Sampler {
        name: "dpm_2_ancestral",
        run: ancestral::dpm_2_ancestral,
        drops_penultimate_sigma: true,
        ..PLAIN
    },
    Sampler { name: "lms", run: multistep::lms, ..PLAIN },
    Sampler { name: "dpmpp_2s_ancestral", run: ancestral::dpmpp_2s_ancestral, ..PLAIN },
    Sampler { name: "dpmpp_sde", run: sde::dpmpp_sde, noise: NoiseKind::Brownian, ..PLAIN },
    Sampler {
        name: "dpmpp_sde_gpu",
        run: sde::dpmpp_sde,
        noise: NoiseKind::BrownianOnDevice,
        ..PLAIN
    },
    Sampler { name: "dpmpp_2m", run: multistep::dpmpp_2m, ..PLAIN },
    Sampler { name: "dpmpp_2m_sde", run: sde::dpmpp_2m_sde, noise: NoiseKind::Brownian, ..PLAIN },
    Sampler {
        name: "dpmpp_2m_sde_gpu",
        run: sde::dpmpp_2m_sde,
        noise: NoiseKind::BrownianOnDevice,
        ..PLAIN
    },
    Sampler { name: "lcm", run: ancestral::lcm, ..PLAIN },
    Sampler { name: "ddim", redraws_mask_noise: true, ..PLAIN },
    Sampler { name: "uni_pc", run: uni_pc::bh1, drops_penultimate_sigma: true, ..PLAIN },
    Sampler { name: "uni_pc_bh2", run: uni_pc::bh2, drops_penultimate_sigma: true, ..PLAIN },
];

impl Sampler {
    pub fn named(name: &str) -> Result<&'static Self> {
        let names = || SAMPLERS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
        let found = SAMPLERS.iter().find(|sampler| sampler.name == name);
        found.with_context(|| format!("there is no sampler {name:?}; there are {}", names()))
    }

    /// `x` at `sigmas[0]` is taken to the last of the falling `sigmas`.
    pub fn run(
        &self,
        denoiser: &mut Denoiser,
        noise: &mut Noise,
        x: Latent,
        sigmas: &[f32],
    ) -> Result<Latent> {
        if sigmas.len() < 2 { Ok(x) } else { (self.run)(denoiser, noise, x, sigmas) }
    }
}

/// The steps of a run: index, sigma, next sigma.
fn steps(sigmas: &[f32]) -> impl Iterator<Item = (usize, f32, f32)> {
    sigmas.windows(2).enumerate().map(|(i, pair)| (i, pair[0], pair[1]))
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
