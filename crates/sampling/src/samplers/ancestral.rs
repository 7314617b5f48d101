//! Samplers that step further down than asked and come back up with fresh, independent noise.

use super::{Denoiser, Latent, Noise, Renewal, Result, add_scaled, blend, lambda, sigma_at};
use super::{single_step, slope, steps};

/// The level to step down to and the noise to add there, so that their variances sum to that of
/// `next`: with an eta of 1 as in the ancestral sampling of Ho et al. 2020, with 0 no noise.
pub fn ancestral_step(sigma: f32, next: f32, eta: f32) -> (f32, f32) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    let (from, to) = (sigma * sigma, next * next);
    let up = (eta * (to * (from - to) / from).sqrt()).min(next);
    ((to - up * up).sqrt(), up)
}

/// Euler's method with ancestral noise.
pub fn euler_ancestral(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        let (down, up) = ancestral_step(sigma, next, renewal.eta);
        if down == 0.0 {
            x = denoised;
        } else {
            let d = slope(&x, sigma, &denoised);
            add_scaled(&mut x, down - sigma, &d);
            add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
        }
    }
    Ok(x)
}

/// DPM-Solver-2 (Lu et al. 2022, algorithm 1) with ancestral noise.
pub fn dpm_2_ancestral(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let mut d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        let (down, up) = ancestral_step(sigma, next, renewal.eta);
        if down > 0.0 {
            d = single_step::midway_slope(denoiser, &x, &d, sigma, down)?;
        }
        add_scaled(&mut x, down - sigma, &d);
        if down > 0.0 {
            add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
        }
    }
    Ok(x)
}

/// DPM-Solver++(2S) (Lu et al. 2022b, algorithm 1, r = 1/2) with ancestral noise.
pub fn dpmpp_2s_ancestral(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    renewal: Renewal,
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        let (down, up) = ancestral_step(sigma, next, renewal.eta);
        if down == 0.0 {
            let d = slope(&x, sigma, &denoised);
            add_scaled(&mut x, down - sigma, &d);
        } else {
            let t = lambda(sigma);
            let h = lambda(down) - t;
            let mid = sigma_at(t + 0.5 * h);
            let midway = blend(mid / sigma, &x, -(-h * 0.5).exp_m1(), &denoised);
            let denoised = denoiser.denoise(&midway, mid)?;
            x = blend(down / sigma, &x, -(-h).exp_m1(), &denoised);
        }
        if next > 0.0 {
            add_scaled(&mut x, up * renewal.s_noise, &noise(sigma, next));
        }
    }
    Ok(x)
}

/// Multistep consistency sampling (Song et al. 2023, algorithm 1): guess, then noise anew.
pub fn lcm(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        x = denoiser.begin_step(i, &x, sigma)?;
        if next > 0.0 {
            add_scaled(&mut x, next, &noise(sigma, next));
        }
    }
    Ok(x)
}

/// Ancestral sampling of the process that keeps the variance (Ho et al. 2020, algorithm 2, with
/// the smaller of its two variances). Its latent is x / sqrt(1 + sigma^2), its product of alphas
/// 1 / (1 + sigma^2).
pub fn ddpm(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let eps = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        let (alpha_bar, alpha_bar_next) = (1.0 / (1.0 + sigma * sigma), 1.0 / (1.0 + next * next));
        let alpha = alpha_bar / alpha_bar_next;
        let norm = (1.0 + next * next).sqrt() / alpha.sqrt();
        let keep = norm / (1.0 + sigma * sigma).sqrt();
        x = blend(keep, &x, -norm * (1.0 - alpha) / (1.0 - alpha_bar).sqrt(), &eps);
        if next > 0.0 {
            let variance = (1.0 - alpha) * (1.0 - alpha_bar_next) / (1.0 - alpha_bar);
            let scale = variance.sqrt() * (1.0 + next * next).sqrt();
            add_scaled(&mut x, scale, &noise(sigma, next));
        }
    }
    Ok(x)
}
