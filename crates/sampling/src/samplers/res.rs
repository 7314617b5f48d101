//! RES: refined exponential solvers (Zhang et al. 2023, "Improved order analysis and design of
//! exponential integrator for diffusion models sampling"), multistep form of order 2.

use super::ancestral::ancestral_step;
use super::{
    Denoiser, Guess, Latent, Noise, Renewal, Result, add_scaled, blend, lambda, slope, steps,
};

/// With noise in the ancestral way where eta is above 0.
pub fn res_multistep(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    let mut memory: Option<Memory> = None;
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        let (down, up) = ancestral_step(sigma, next, renewal.eta);
        match memory.filter(|_| down > 0.0) {
            Some(memory) => x = memory.step(&x, &denoised, sigma, down),
            None => {
                let d = slope(&x, sigma, &denoised);
                add_scaled(&mut x, down - sigma, &d);
            }
        }
        if next > 0.0 {
            add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
        }
        memory = Some(Memory { guess: denoised, sigma, down });
    }
    Ok(x)
}

/// With CFG++: x moves by what the guidance added, then follows the negative's guesses.
pub fn res_multistep_cfg_pp(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    let mut memory: Option<Memory> = None;
    for (i, sigma, next) in steps(sigmas) {
        let Guess { denoised, uncond } = denoiser.begin_step_guessing(i, &x, sigma)?;
        let (down, up) = ancestral_step(sigma, next, renewal.eta);
        x = match memory.filter(|_| down > 0.0) {
            Some(memory) => memory.step(&(&x + &denoised - &uncond), &uncond, sigma, down),
            None => blend(1.0, &denoised, down, &slope(&x, sigma, &uncond)),
        };
        if next > 0.0 {
            add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
        }
        memory = Some(Memory { guess: uncond, sigma, down });
    }
    Ok(x)
}

/// The step before.
struct Memory {
    guess: Latent,
    /// Where it began, and the level that it stepped down to.
    sigma: f32,
    down: f32,
}

impl Memory {
    /// The paper's second order conditions with c_2 from the steps in lambda.
    fn step(&self, x: &Latent, guess: &Latent, sigma: f32, down: f32) -> Latent {
        let h = lambda(down) - lambda(sigma);
        let c_2 = (lambda(self.sigma) - lambda(self.down)) / h;
        let phi_1 = (-h).exp_m1() / -h;
        let phi_2 = (phi_1 - 1.0) / -h;
        let or_zero = |x: f32| if x.is_nan() { 0.0 } else { x };
        let (b_1, b_2) = (or_zero(phi_1 - phi_2 / c_2), or_zero(phi_2 / c_2));
        let mut next = blend((-h).exp(), x, h * b_1, guess);
        add_scaled(&mut next, h * b_2, &self.guess);
        next
    }
}
