//! Samplers that step further down than asked and come back up with fresh, independent noise.

use super::{Denoiser, Latent, Noise, Renewal, Result, add_scaled, blend, flow, lambda};
use super::{sigma_at, single_step, slope, steps};

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

/// How a step with fresh noise goes: down to a level, what is kept of the latent there, and the
/// noise added to it, which together make up the level `next`.
#[derive(Clone, Copy)]
struct Detour {
    down: f32,
    keep: f32,
    up: f32,
}

impl Detour {
    fn new(denoiser: &Denoiser, sigma: f32, next: f32, renewal: Renewal) -> Self {
        if !denoiser.model.is_flow() {
            let (down, up) = ancestral_step(sigma, next, renewal.eta);
            return Self { down, keep: 1.0, up: up * renewal.s_noise };
        }
        // A flow goes below `next` by the ratio of the levels, and mixes the noise in.
        let down = next * (1.0 + (next / sigma - 1.0) * renewal.eta);
        let keep = (1.0 - next) / (1.0 - down);
        let variance = next * next - down * down * keep * keep;
        Self { down, keep, up: variance.max(0.0).sqrt() * renewal.s_noise }
    }

    fn go_up(self, x: &mut Latent, noise: &Latent) {
        x.zip_mut_with(noise, |x, n| *x = *x * self.keep + n * self.up);
    }
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
        let detour = Detour::new(denoiser, sigma, next, renewal);
        let down = detour.down;
        if down == 0.0 {
            x = denoised;
        } else {
            let d = slope(&x, sigma, &denoised);
            add_scaled(&mut x, down - sigma, &d);
            detour.go_up(&mut x, &noise(sigma, next));
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
        let detour = Detour::new(denoiser, sigma, next, renewal);
        let down = detour.down;
        if down > 0.0 {
            d = single_step::midway_slope(denoiser, &x, &d, sigma, down)?;
        }
        add_scaled(&mut x, down - sigma, &d);
        if down > 0.0 {
            detour.go_up(&mut x, &noise(sigma, next));
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
        let detour = Detour::new(denoiser, sigma, next, renewal);
        let down = detour.down;
        if down == 0.0 {
            let d = slope(&x, sigma, &denoised);
            add_scaled(&mut x, down - sigma, &d);
        } else {
            let mid = match denoiser.model.is_flow() {
                true => flow::midway(sigma, down),
                false => sigma_at(0.5 * (lambda(sigma) + lambda(down))),
            };
            let midway = blend(mid / sigma, &x, 1.0 - mid / sigma, &denoised);
            let denoised = denoiser.denoise(&midway, mid)?;
            x = blend(down / sigma, &x, 1.0 - down / sigma, &denoised);
        }
        if next > 0.0 {
            detour.go_up(&mut x, &noise(sigma, next));
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
            x = denoiser.model.noised(next, &noise(sigma, next), &x);
        }
    }
    Ok(x)
}

/// How a latent grows during a run.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// How many times wider and higher it becomes.
    pub by: f64,
    /// In so many steps, evenly; `None` is half of them.
    pub steps: Option<usize>,
    /// Makes a latent that high and wide.
    pub resize: fn(&Latent, [usize; 2]) -> Result<Latent>,
}

impl PartialEq for Growth {
    fn eq(&self, other: &Self) -> bool {
        let same = std::ptr::fn_addr_eq(self.resize, other.resize);
        same && (self.by, self.steps) == (other.by, other.steps)
    }
}

impl Growth {
    /// How much larger than at first the latent is after step `i` of a run of so many noise levels; `None` once it
    /// has grown up.
    fn after(&self, i: usize, levels: usize) -> Option<f64> {
        let steps = self.steps.map_or((levels / 2).max(1), |steps| steps.min(levels));
        (i < steps).then(|| 1.0 + (self.by - 1.0) * (i + 1) as f64 / steps as f64)
    }
}

/// [`lcm`] of a latent that grows between guess and noise.
pub fn lcm_upscale(
    denoiser: &mut Denoiser,
    mut x: Latent,
    sigmas: &[f32],
    growth: Growth,
) -> Result<Latent> {
    let (_, _, height, width) = x.dim();
    for (i, sigma, next) in steps(sigmas) {
        x = denoiser.begin_step(i, &x, sigma)?;
        if let Some(by) = growth.after(i, sigmas.len()) {
            let size = [height, width].map(|n| (n as f64 * by).round_ties_even() as usize);
            x = (growth.resize)(&x, size)?;
        }
        if next > 0.0 {
            let noise = denoiser.generator.latent(x.dim().into());
            add_scaled(&mut x, next, &noise);
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
