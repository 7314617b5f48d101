//! DPM-Solver++ for the reverse diffusion SDE (Lu et al. 2022b, section 5), with noise from a
//! Brownian motion.

use super::ancestral::ancestral_step;
use super::{Denoiser, Latent, Noise, Renewal, Result, add_scaled, blend, lambda, sigma_at, steps};

/// SDE-DPM-Solver++(2S): DPM-Solver++ (algorithm 1) with ancestral noise in both its steps, the
/// first of which leads to the part `r` of the whole.
pub fn dpmpp_sde(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
    r: f32,
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let mid = sigma_at(lambda(sigma) + r * (lambda(next) - lambda(sigma)));
        let midway = ancestral_exponential(&x, &denoised, sigma, mid, noise, renewal);
        let second = denoiser.denoise(&midway, mid)?;
        let share = 1.0 / (2.0 * r);
        let target = blend(1.0 - share, &denoised, share, &second);
        x = ancestral_exponential(&x, &target, sigma, next, noise, renewal);
    }
    Ok(x)
}

/// One exponential step from `sigma` towards `next`, made up to there with noise.
fn ancestral_exponential(
    x: &Latent,
    denoised: &Latent,
    sigma: f32,
    next: f32,
    noise: &mut Noise,
    renewal: Renewal,
) -> Latent {
    let (down, up) = ancestral_step(sigma, next, renewal.eta);
    let h = lambda(down) - lambda(sigma);
    let mut x = blend((-h).exp(), x, -(-h).exp_m1(), denoised);
    if renewal.is_some() {
        add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
    }
    x
}

/// How SDE-DPM-Solver++(2M) uses the guess before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    Midpoint,
    Heun,
}

/// SDE-DPM-Solver++(2M).
pub fn dpmpp_2m_sde(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
    correction: Correction,
) -> Result<Latent> {
    let mut last: Option<(Latent, f32)> = None;
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let h = lambda(next) - lambda(sigma);
        let h_eta = h * (renewal.eta + 1.0);
        x = sde_step(&x, &denoised, sigma, next, renewal.eta);
        if let Some((old, h_last)) = &last {
            let weight = match correction {
                Correction::Midpoint => -0.5 * (-h_eta).exp_m1(),
                Correction::Heun => phi_2(h_eta),
            };
            add_scaled(&mut x, weight * (h / h_last), &(&denoised - old));
        }
        renew(&mut x, noise, sigma, next, renewal);
        last = Some((denoised, h));
    }
    Ok(x)
}

/// SDE-DPM-Solver++(3M): as 2M with its Heun correction, from two guesses before.
pub fn dpmpp_3m_sde(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    // The guesses before, newest first, and the steps that they began.
    let mut known: Vec<(Latent, f32)> = Vec::new();
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let h = lambda(next) - lambda(sigma);
        let h_eta = h * (renewal.eta + 1.0);
        x = sde_step(&x, &denoised, sigma, next, renewal.eta);
        let phi_2 = phi_2(h_eta);
        match known.as_slice() {
            [] => {}
            [(before, h_1)] => add_scaled(&mut x, phi_2 * h / h_1, &(&denoised - before)),
            [(before, h_1), (older, h_2), ..] => {
                let (r_0, r_1) = (h_1 / h, h_2 / h);
                let (d_0, d_1) = ((&denoised - before) / r_0, (before - older) / r_1);
                let bend = (&d_0 - d_1) / (r_0 + r_1);
                add_scaled(&mut x, phi_2, &d_0);
                let phi_3 = phi_2 / h_eta - 0.5;
                add_scaled(&mut x, phi_2 * r_0 - phi_3, &bend);
            }
        }
        renew(&mut x, noise, sigma, next, renewal);
        known.insert(0, (denoised, h));
        known.truncate(2);
    }
    Ok(x)
}

/// The exact step of the SDE's drift for a constant guess.
fn sde_step(x: &Latent, denoised: &Latent, sigma: f32, next: f32, eta: f32) -> Latent {
    let h = lambda(next) - lambda(sigma);
    blend(next / sigma * (-h * eta).exp(), x, -(-h * (eta + 1.0)).exp_m1(), denoised)
}

/// The noise of that step.
fn renew(x: &mut Latent, noise: &mut Noise, sigma: f32, next: f32, renewal: Renewal) {
    if renewal.is_some() {
        let h = lambda(next) - lambda(sigma);
        let scale = next * (-(-2.0 * h * renewal.eta).exp_m1()).sqrt() * renewal.s_noise;
        add_scaled(x, scale, &noise(sigma, next));
    }
}

/// 1 - (1 - e^-h) / h: how much of a linear change of the guess a step takes in.
fn phi_2(h: f32) -> f32 {
    (-h).exp_m1() / h + 1.0
}
