//! Schedules between two noise levels, which know no model. They end in 0, except `laplace`.

use super::{ending_in_zero, linspace};

/// Equation 5 of Karras et al. 2022.
pub fn karras(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    let root = |sigma: f64| sigma.powf(1.0 / rho);
    let (min, max) = (root(sigma_min), root(sigma_max));
    let (slope, max) = ((min - max) as f32, max as f32);
    ending_in_zero(
        linspace(0.0, 1.0, steps).into_iter().map(|r| (max + r * slope).powf(rho as f32)),
    )
}

/// Evenly spaced logarithms.
pub fn exponential(steps: usize, sigma_min: f64, sigma_max: f64) -> Vec<f32> {
    let logs = linspace(sigma_max.ln() as f32, sigma_min.ln() as f32, steps);
    ending_in_zero(logs.into_iter().map(f32::exp))
}

/// Logarithms spaced by a power: `rho` above 1 has more of the low levels.
pub fn polyexponential(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    let (span, low) = ((sigma_max.ln() - sigma_min.ln()) as f32, sigma_min.ln() as f32);
    let ramp = linspace(1.0, 0.0, steps).into_iter().map(|r| r.powf(rho as f32));
    ending_in_zero(ramp.map(|r| (r * span + low).exp()))
}

/// Quantiles of a Laplace distribution of the logarithm (Hang et al. 2024, "Improved noise
/// schedule for diffusion training", table 1).
pub fn laplace(steps: usize, sigma_min: f64, sigma_max: f64, mu: f64, beta: f64) -> Vec<f32> {
    // Keeps the logarithm of the ends finite.
    const EPSILON: f64 = 1e-5;
    let quantile = |r: f32| {
        let off = 0.5 - f64::from(r);
        let sign = if off == 0.0 { 0.0 } else { off.signum() };
        mu - beta * sign * (1.0 - 2.0 * off.abs() + EPSILON).ln()
    };
    let sigma = |r: f32| (quantile(r).exp()).max(sigma_min).min(sigma_max) as f32;
    linspace(0.0, 1.0, steps).into_iter().map(sigma).collect()
}

/// Even times of the process that keeps the variance (Song et al. 2021b, appendix C), from 1 to
/// `eps_s`.
pub fn variance_preserving(steps: usize, beta_d: f64, beta_min: f64, eps_s: f64) -> Vec<f32> {
    let times = linspace(1.0, eps_s as f32, steps).into_iter().map(f64::from);
    let sigma = |t: f64| (beta_d * t * t / 2.0 + beta_min * t).exp_m1().sqrt() as f32;
    ending_in_zero(times.map(sigma))
}
