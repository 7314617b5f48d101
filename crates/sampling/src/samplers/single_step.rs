//! Samplers of the ODE that look at one step only.

use super::{Denoiser, Latent, Result, add_scaled, blend, slope, steps};

/// Euler's method (algorithm 2 of Karras et al. 2022 without its second-order correction).
pub fn euler(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    for (i, sigma, next) in steps(s) {
        let d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        add_scaled(&mut x, next - sigma, &d);
    }
    Ok(x)
}

/// Algorithm 2 of Karras et al. 2022, without churn.
pub fn heun(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    for (i, sigma, next) in steps(s) {
        let mut d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        if next > 0.0 {
            d = (slope_ahead(denoiser, &x, &d, sigma, next)?.1 + d) / 2.0;
        }
        add_scaled(&mut x, next - sigma, &d);
    }
    Ok(x)
}

/// Heun++ (no paper; from the web UI extension sd-webui-samplers-scheduler): the slopes of up to two
/// levels ahead, each weighted with its sigma in parts of the first one.
pub fn heunpp2(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    let end = s[s.len() - 1];
    for (i, sigma, next) in steps(s) {
        let mut d = slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?);
        if next != end {
            let (ahead, d_2) = slope_ahead(denoiser, &x, &d, sigma, next)?;
            let after = s[i + 2];
            let share = |sigma: f32, of: f32| sigma / (of * s[0]);
            d = if after == end {
                let w_2 = share(next, 2.0);
                blend(1.0 - w_2, &d, w_2, &d_2)
            } else {
                let (_, d_3) = slope_ahead(denoiser, &ahead, &d_2, next, after)?;
                let (w_2, w_3) = (share(next, 3.0), share(after, 3.0));
                blend(1.0, &blend(1.0 - w_2 - w_3, &d, w_2, &d_2), w_3, &d_3)
            };
        }
        add_scaled(&mut x, next - sigma, &d);
    }
    Ok(x)
}

/// Where an Euler step along `d` leads, and the slope there.
fn slope_ahead(
    denoiser: &mut Denoiser,
    x: &Latent,
    d: &Latent,
    sigma: f32,
    next: f32,
) -> Result<(Latent, Latent)> {
    let mut ahead = x.clone();
    add_scaled(&mut ahead, next - sigma, d);
    let there = slope(&ahead, next, &denoiser.denoise(&ahead, next)?);
    Ok((ahead, there))
}

/// DPM-Solver-2 (Lu et al. 2022, algorithm 1): the slope half way in log sigma serves the step.
pub fn dpm_2(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
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
    Ok(slope_ahead(denoiser, x, d, sigma, mid)?.1)
}
