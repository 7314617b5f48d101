//! Samplers that step further down than asked and come back up with fresh, independent noise.

use super::{Denoiser, Latent, Noise, Result, add_scaled, blend, single_step, slope, steps};

/// The level to step down to and the noise to add there, so that their variances sum to that of
/// `next` as in the ancestral sampling of Ho et al. 2020.
pub fn ancestral_step(sigma: f32, next: f32) -> (f32, f32) {
    let (from, to) = (sigma * sigma, next * next);
    let up = (to * (from - to) / from).sqrt().min(next);
    ((to - up * up).sqrt(), up)
}

/// Euler's method with ancestral noise.
pub fn euler_ancestral(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        let (down, up) = ancestral_step(sigma, next);
        if down == 0.0 {
            x = denoised;
        } else {
            let d = slope(&x, sigma, &denoised);
            add_scaled(&mut x, down - sigma, &d);
            add_scaled(&mut x, up, &noise(sigma, next));
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
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let mut d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        let (down, up) = ancestral_step(sigma, next);
        if down > 0.0 {
            d = single_step::midway_slope(denoiser, &x, &d, sigma, down)?;
        }
        add_scaled(&mut x, down - sigma, &d);
        if down > 0.0 {
            add_scaled(&mut x, up, &noise(sigma, next));
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
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        let (down, up) = ancestral_step(sigma, next);
        if down == 0.0 {
            let d = slope(&x, sigma, &denoised);
            add_scaled(&mut x, down - sigma, &d);
        } else {
            let (t, t_next) = (-sigma.ln(), -down.ln());
            let h = t_next - t;
            let mid = (-(t + 0.5 * h)).exp();
            let midway = blend(mid / (-t).exp(), &x, -(-h * 0.5).exp_m1(), &denoised);
            let denoised = denoiser.denoise(&midway, mid)?;
            x = blend((-t_next).exp() / (-t).exp(), &x, -(-h).exp_m1(), &denoised);
        }
        if next > 0.0 {
            add_scaled(&mut x, up, &noise(sigma, next));
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
