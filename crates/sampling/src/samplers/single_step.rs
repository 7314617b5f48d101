//! Samplers of the ODE that look at one step only.

use super::{Denoiser, Latent, Noise, Result, add_scaled, slope, steps};

/// Euler's method (algorithm 2 of Karras et al. 2022 without its second-order correction).
pub fn euler(denoiser: &mut Denoiser, _: &mut Noise, mut x: Latent, s: &[f32]) -> Result<Latent> {
    for (i, sigma, next) in steps(s) {
        let d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        add_scaled(&mut x, next - sigma, &d);
    }
    Ok(x)
}

/// Algorithm 2 of Karras et al. 2022, without churn.
pub fn heun(denoiser: &mut Denoiser, _: &mut Noise, mut x: Latent, s: &[f32]) -> Result<Latent> {
    for (i, sigma, next) in steps(s) {
        let mut d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        if next > 0.0 {
            let mut ahead = x.clone();
            add_scaled(&mut ahead, next - sigma, &d);
            d = (d + slope(&ahead, next, &denoiser.denoise(&ahead, next)?)) / 2.0;
        }
        add_scaled(&mut x, next - sigma, &d);
    }
    Ok(x)
}

/// DPM-Solver-2 (Lu et al. 2022, algorithm 1): the slope half way in log sigma serves the step.
pub fn dpm_2(denoiser: &mut Denoiser, _: &mut Noise, mut x: Latent, s: &[f32]) -> Result<Latent> {
    for (i, sigma, next) in steps(s) {
        let mut d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        if next > 0.0 {
            d = midway_slope(denoiser, &x, &d, sigma, next)?;
        }
        add_scaled(&mut x, next - sigma, &d);
    }
    Ok(x)
}

/// The slope at the geometric mean of two sigmas, reached by an Euler step along `d`.
pub fn midway_slope(
    denoiser: &mut Denoiser,
    x: &Latent,
    d: &Latent,
    sigma: f32,
    next: f32,
) -> Result<Latent> {
    let mid = (0.5 * (sigma.ln() + next.ln())).exp();
    let mut midway = x.clone();
    add_scaled(&mut midway, mid - sigma, d);
    Ok(slope(&midway, mid, &denoiser.denoise(&midway, mid)?))
}
