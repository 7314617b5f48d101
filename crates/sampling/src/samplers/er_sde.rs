//! ER-SDE-Solver (Cui et al. 2023): the reverse-time SDE with any amount of noise.

use super::{Denoiser, Latent, Noise, Result, add_scaled, blend, steps};

/// Points of the sums that stand for integrals.
const POINTS: usize = 200;

/// Options of the solver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErSde {
    pub scale: NoiseScale,
    /// The highest order, 1 to 3.
    pub max_stage: usize,
    pub s_noise: f32,
}

impl ErSde {
    pub const DEFAULT: Self = Self { scale: NoiseScale::Extended, max_stage: 3, s_noise: 1.0 };
}

/// The paper's phi: how fast old noise goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoiseScale {
    /// The paper's own: x (e^(x^0.3) + 10).
    Extended,
    /// A power of sigma: 1 is the ODE, 2 the reverse diffusion SDE.
    Power(f32),
}

impl NoiseScale {
    fn at(self, sigma: f32) -> f32 {
        match self {
            Self::Extended => sigma * (sigma.powf(0.3).exp() + 10.0),
            Self::Power(power) => sigma.powf(power),
        }
    }
}

/// VP ER-SDE-Solver-3, or a lower order.
pub fn er_sde(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    options: ErSde,
) -> Result<Latent> {
    let phi = |sigma: f32| options.scale.at(sigma);
    // The guess before, and its rate of change.
    let mut last: Option<(Latent, Option<Latent>)> = None;
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let r = phi(next) / phi(sigma);
        x = blend(r, &x, 1.0 - r, &denoised);
        let mut rate = None;
        if let Some((old, old_rate)) = last.filter(|_| options.max_stage > 1) {
            let step = next - sigma;
            let [first, second] = integrals(phi, sigma, next);
            let change = (&denoised - &old) / (sigma - sigmas[i - 1]);
            add_scaled(&mut x, step + first * phi(next), &change);
            if let Some(old_rate) = old_rate.filter(|_| options.max_stage > 2) {
                let bend = (&change - &old_rate) / ((sigma - sigmas[i - 2]) / 2.0);
                add_scaled(&mut x, step * step / 2.0 + second * phi(next), &bend);
            }
            rate = Some(change);
        }
        if options.s_noise > 0.0 {
            let variance = next * next - sigma * sigma * r * r;
            // Roundings can make it negative where there is none.
            add_scaled(&mut x, options.s_noise * variance.max(0.0).sqrt(), &noise(sigma, next));
        }
        last = Some((denoised, rate));
    }
    Ok(x)
}

/// The integrals of 1 / phi(s) and (s - sigma) / phi(s) from `next` to `sigma`, by left sums.
fn integrals(phi: impl Fn(f32) -> f32, sigma: f32, next: f32) -> [f32; 2] {
    let width = (sigma - next) / POINTS as f32;
    let mut sums = [0.0; 2];
    for i in 0..POINTS {
        let s = next + i as f32 * width;
        sums[0] += 1.0 / phi(s);
        sums[1] += (s - sigma) / phi(s);
    }
    sums.map(|sum| sum * width)
}
