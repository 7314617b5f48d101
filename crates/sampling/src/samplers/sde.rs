//! Samplers of the reverse diffusion SDE, with noise from a Brownian motion and eta = 1.

use super::ancestral::ancestral_step;
use super::{Denoiser, Latent, Noise, Result, add_scaled, blend, steps};

/// SDE-DPM-Solver++(2S): DPM-Solver++ with r = 1/2 and ancestral noise in both half steps
/// (Lu et al. 2022b, algorithm 1 and section 5).
pub fn dpmpp_sde(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let (t, t_next) = (-sigma.ln(), -next.ln());
        let t_mid = t + 0.5 * (t_next - t);
        let mid = (-t_mid).exp();
        let mut midway = ancestral_exponential(&x, &denoised, t, t_mid, &noise(sigma, mid));
        midway = denoiser.denoise(&midway, mid)?;
        x = ancestral_exponential(&x, &midway, t, t_next, &noise(sigma, next));
    }
    Ok(x)
}

/// One exponential step from -log sigma `t` towards `t_next`, made up to there with noise.
fn ancestral_exponential(
    x: &Latent,
    denoised: &Latent,
    t: f32,
    t_next: f32,
    noise: &Latent,
) -> Latent {
    let (down, up) = ancestral_step((-t).exp(), (-t_next).exp());
    let h = -down.ln() - t;
    let mut x = blend((-h).exp(), x, -(-h).exp_m1(), denoised);
    add_scaled(&mut x, up, noise);
    x
}

/// SDE-DPM-Solver++(2M), midpoint form (Lu et al. 2022b, section 5).
pub fn dpmpp_2m_sde(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    let mut last: Option<(Latent, f32)> = None;
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let h = -next.ln() + sigma.ln();
        let replace = -(-2.0 * h).exp_m1();
        x = blend(next / sigma * (-h).exp(), &x, replace, &denoised);
        if let Some((old, h_last)) = &last {
            let trend = 0.5 * replace * (h / h_last);
            add_scaled(&mut x, trend, &(&denoised - old));
        }
        add_scaled(&mut x, next * replace.sqrt(), &noise(sigma, next));
        last = Some((denoised, h));
    }
    Ok(x)
}
