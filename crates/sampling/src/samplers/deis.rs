//! DEIS (Zhang and Chen 2023): an exponential integrator that extrapolates the noise.

use super::{Denoiser, Latent, Result, add_scaled, slope, steps};
use std::collections::VecDeque;

/// The highest order.
const ORDER: usize = 3;
/// Points of the sums that stand for integrals, as in the authors' program.
const POINTS: usize = 10_000;

/// The "tab" form: tAB-DEIS in the time of a process that keeps the variance, its
/// weights integrated by numbers.
pub fn deis(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    let process = Process::new();
    let times: Vec<f64> = s.iter().map(|sigma| process.time(f64::from(*sigma))).collect();
    let mut slopes = VecDeque::with_capacity(ORDER + 1);
    for (i, sigma, next) in steps(s) {
        slopes.push_front(slope(&x, sigma, &denoiser.begin_step(i, &x, sigma)?));
        slopes.truncate(ORDER);
        if slopes.len() == 1 || next <= 0.0 {
            add_scaled(&mut x, next - sigma, &slopes[0]);
            continue;
        }
        let recent: Vec<f64> = (0..slopes.len()).map(|k| times[i - k]).collect();
        for (weight, d) in process.weights(&recent, times[i + 1]).into_iter().zip(&slopes) {
            add_scaled(&mut x, weight as f32, d);
        }
    }
    Ok(x)
}

/// The process with log alpha_bar(t) = -(beta_1 - beta_0) t^2 / 2 - beta_0 t (Song et al. 2021b,
/// appendix C), fitted to sigma = 0.002 at t = 0.001 and sigma = 80 at t = 1.
struct Process {
    beta_0: f64,
    beta_1: f64,
}

impl Process {
    fn new() -> Self {
        const FIRST: f64 = 1e-3;
        let exponent = |sigma: f64| (sigma * sigma + 1.0).ln();
        let (low, high) = (exponent(0.002), exponent(80.0));
        let growth = 2.0 * (low / FIRST - high) / (FIRST - 1.0);
        let beta_0 = high - 0.5 * growth;
        Self { beta_0, beta_1: growth + beta_0 }
    }

    /// When the process has this sigma.
    fn time(&self, sigma: f64) -> f64 {
        let growth = self.beta_1 - self.beta_0;
        let square = self.beta_0 * self.beta_0 + 2.0 * growth * (sigma * sigma + 1.0).ln();
        (square.sqrt() - self.beta_0) / growth
    }

    /// dsigma / dt, which for this process is -d(log alpha_bar)/dt / 2 over
    /// sqrt(alpha_bar (1 - alpha_bar)).
    fn speed(&self, t: f64) -> f64 {
        let growth = self.beta_1 - self.beta_0;
        let alpha_bar = (-0.5 * t * t * growth - t * self.beta_0).exp();
        0.5 * (t * growth + self.beta_0) / (alpha_bar * (1.0 - alpha_bar)).sqrt()
    }

    /// The integral from `recent[0]` to `next` of the speed times each Lagrange polynomial.
    fn weights(&self, recent: &[f64], next: f64) -> Vec<f64> {
        let span = next - recent[0];
        let mut sums = vec![0.0; recent.len()];
        for point in 0..POINTS {
            let t = recent[0] + span * point as f64 / (POINTS - 1) as f64;
            let speed = self.speed(t);
            for (j, sum) in sums.iter_mut().enumerate() {
                let others = recent.iter().enumerate().filter(|(k, _)| *k != j);
                let basis: f64 = others.map(|(_, at)| (t - at) / (recent[j] - at)).product();
                *sum += speed * basis;
            }
        }
        sums.into_iter().map(|sum| sum * span / POINTS as f64).collect()
    }
}
