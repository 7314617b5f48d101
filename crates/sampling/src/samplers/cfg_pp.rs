//! Samplers with CFG++ (Chung et al. 2024, algorithm 2): the guided guess is believed, but the
//! way back to noise is that of the negative's own guess.

use super::ancestral::ancestral_step;
use super::{Denoiser, Guess, Latent, Noise, Renewal, Result, add_scaled, blend, lambda, sigma_at};
use super::{slope, steps};

/// Euler's method, with noise as in DDIM (Song et al. 2021, equation 12).
pub fn euler(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let Guess { denoised, uncond } = denoiser.begin_step_guessing(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let (down, up) = ancestral_step(sigma, next, renewal.eta);
        x = blend(1.0, &denoised, down, &slope(&x, sigma, &uncond));
        if renewal.is_some() {
            add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
        }
    }
    Ok(x)
}

/// Euler's method along the slope from twice the guided guess less the negative's.
pub fn euler_alternative(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    for (i, sigma, next) in steps(s) {
        let Guess { denoised, uncond } = denoiser.begin_step_guessing(i, &x, sigma)?;
        let d = slope(&x, sigma, &blend(2.0, &denoised, -1.0, &uncond));
        add_scaled(&mut x, next - sigma, &d);
    }
    Ok(x)
}

/// DPM-Solver++(2S) with ancestral noise: x moves by what the guidance added before each half.
pub fn dpmpp_2s_ancestral(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let Guess { denoised, uncond } = denoiser.begin_step_guessing(i, &x, sigma)?;
        let (down, up) = ancestral_step(sigma, next, renewal.eta);
        if down == 0.0 {
            x = denoised;
        } else {
            let t = lambda(sigma);
            let h = lambda(down) - t;
            let mid = sigma_at(t + 0.5 * h);
            let moved = &x + &denoised - &uncond;
            let midway = blend(mid / sigma, &moved, -(-h * 0.5).exp_m1(), &denoised);
            let second = denoiser.guess(&midway, mid)?;
            let moved = &x + &denoised - &second.uncond;
            x = blend(down / sigma, &moved, -(-h).exp_m1(), &second.denoised);
        }
        if next > 0.0 {
            add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
        }
    }
    Ok(x)
}

/// DPM-Solver++(2M), its memory being of the negative's guesses.
pub fn dpmpp_2m(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    let mut last: Option<(Latent, f32)> = None;
    for (i, sigma, next) in steps(s) {
        let Guess { denoised, uncond } = denoiser.begin_step_guessing(i, &x, sigma)?;
        let h = lambda(next) - lambda(sigma);
        let keep = (-h).exp();
        x = blend(1.0, &denoised, keep, &(&x - &uncond));
        if let Some((old, h_last)) = last.filter(|_| next > 0.0) {
            let trend = -(-h).exp_m1() * h / (2.0 * h_last);
            add_scaled(&mut x, trend, &(&denoised - &old));
        }
        last = Some((uncond, h));
    }
    Ok(x)
}

/// Gradient estimation, as in `multistep`, with the negative's slopes.
pub fn gradient_estimation(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    let mut last: Option<Latent> = None;
    for (i, sigma, next) in steps(s) {
        let Guess { denoised, uncond } = denoiser.begin_step_guessing(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let d = slope(&x, sigma, &uncond);
        x = blend(1.0, &denoised, next, &d);
        if let Some(old) = last {
            add_scaled(&mut x, next - sigma, &(&d - &old));
        }
        last = Some(d);
    }
    Ok(x)
}
