//! UniPC (Zhao et al. 2023): a predictor and a corrector of one family, predicting the data.
//!
//! The paper's process keeps the variance: its latent is x / sqrt(1 + sigma^2), its
//! alpha = 1 / sqrt(1 + sigma^2) and its noise level sigma_vp = sigma * alpha.

use super::{Denoiser, Latent, Result, add_scaled, blend};
use std::collections::VecDeque;

/// The highest order of the multistep formulas.
const ORDER: usize = 3;
/// Stands for a last sigma of 0, where log(alpha / sigma) would be infinite.
const LAST_SIGMA: f32 = 0.001;

/// B(h) = h, equation 11 of the paper.
pub fn bh1(denoiser: &mut Denoiser, x: Latent, sigmas: &[f32]) -> Result<Latent> {
    uni_pc(denoiser, |h| h, x, sigmas)
}

/// B(h) = e^h - 1.
pub fn bh2(denoiser: &mut Denoiser, x: Latent, sigmas: &[f32]) -> Result<Latent> {
    uni_pc(denoiser, f32::exp_m1, x, sigmas)
}

/// A noise level in the paper's terms.
#[derive(Clone, Copy)]
struct Level {
    sigma: f32,
    alpha: f32,
    std: f32,
    /// log(alpha / std)
    lambda: f32,
}

impl Level {
    fn new(sigma: f32) -> Self {
        let log_alpha = 0.5 * (1.0 / (sigma * sigma + 1.0)).ln();
        let variance = 1.0 - (2.0 * log_alpha).exp();
        let (alpha, std) = (log_alpha.exp(), variance.sqrt());
        Self { sigma, alpha, std, lambda: log_alpha - 0.5 * variance.ln() }
    }
}

/// Algorithms 1 (UniC) and 2 (UniP) in multistep form. The order rises with the steps done and
/// falls again before the end; the last step is not corrected, which would cost one more call.
fn uni_pc(denoiser: &mut Denoiser, b: fn(f32) -> f32, x: Latent, sigmas: &[f32]) -> Result<Latent> {
    let last = sigmas.len() - 1;
    let level = |i: usize| Level::new(if sigmas[i] == 0.0 { LAST_SIGMA } else { sigmas[i] });
    let first = level(0);
    let norm = (1.0 + first.sigma * first.sigma).sqrt();
    let mut x = x / norm;
    let max_order = ORDER.min(last - 1).max(1);
    let mut history = VecDeque::from([(first, data(denoiser, &x, first)?)]);
    denoiser.report(0, &history[0].1)?;
    for step in 1..=last {
        let to = level(step);
        let order = max_order.min(step).min(last + 1 - step);
        let update = Update::new(&history, to, order, b);
        let mut predicted = update.predict(&x);
        if step < last {
            let denoised = data(denoiser, &predicted, to)?;
            predicted = update.correct(&x, &denoised);
            denoiser.report(step, &denoised)?;
            history.push_front((to, denoised));
            history.truncate(max_order);
        }
        x = predicted;
    }
    Ok(x / level(last).alpha)
}

/// The clean latent from one of the variance-preserving process.
fn data(denoiser: &mut Denoiser, x: &Latent, level: Level) -> Result<Latent> {
    let norm = (level.sigma * level.sigma + 1.0).sqrt();
    denoiser.denoise(&x.mapv(|x| x * norm), level.sigma)
}

/// One step from the newest of the history to a lower level.
struct Update<'a> {
    base: &'a Latent,
    /// (older data - newest data) / r, and r: how far back, in units of this step.
    differences: Vec<(Latent, f32)>,
    /// x is scaled by `keep`; the newest data by `replace`; all corrections by `correction`.
    keep: f32,
    replace: f32,
    correction: f32,
    /// The right hand side of the order conditions, one per order.
    conditions: Vec<f64>,
}

impl<'a> Update<'a> {
    fn new(
        history: &'a VecDeque<(Level, Latent)>,
        to: Level,
        order: usize,
        b: fn(f32) -> f32,
    ) -> Self {
        let (from, base) = &history[0];
        let h = to.lambda - from.lambda;
        let difference = |(level, data): &(Level, Latent)| {
            let r = (level.lambda - from.lambda) / h;
            ((data - base) / r, r)
        };
        Self {
            base,
            differences: history.iter().skip(1).take(order - 1).map(difference).collect(),
            keep: to.std / from.std,
            replace: -to.alpha * (-h).exp_m1(),
            correction: -to.alpha * b(-h),
            conditions: conditions(-h, b(-h), order),
        }
    }

    /// UniP: extrapolates the known data.
    fn predict(&self, x: &Latent) -> Latent {
        let mut predicted = blend(self.keep, x, self.replace, self.base);
        let weights = match self.differences.len() {
            1 => vec![0.5],
            known => self.weights(known),
        };
        self.add_differences(&mut predicted, &weights);
        predicted
    }

    /// UniC: takes in the data found at the new level, which lies at r = 1.
    fn correct(&self, x: &Latent, denoised: &Latent) -> Latent {
        let mut corrected = blend(self.keep, x, self.replace, self.base);
        let weights = match self.differences.len() {
            0 => vec![0.5],
            known => self.weights(known + 1),
        };
        self.add_differences(&mut corrected, &weights);
        let newest = weights[weights.len() - 1] as f32;
        add_scaled(&mut corrected, self.correction * newest, &(denoised - self.base));
        corrected
    }

    fn add_differences(&self, x: &mut Latent, weights: &[f64]) {
        for ((difference, _), weight) in self.differences.iter().zip(weights) {
            add_scaled(x, self.correction * *weight as f32, difference);
        }
    }

    /// Solves the first `n` order conditions: sum over k of r_k^i weight_k = conditions_i.
    fn weights(&self, n: usize) -> Vec<f64> {
        let r = self.differences.iter().map(|(_, r)| f64::from(*r)).chain([1.0]);
        let r: Vec<f64> = r.take(n).collect();
        let row =
            |i: usize| r.iter().map(|r| r.powi(i as i32)).chain([self.conditions[i]]).collect();
        solve((0..n).map(row).collect())
    }
}

/// i! h phi_{i+1}(h) / B(h) for i = 1..=order (equation 12).
fn conditions(h: f32, b: f32, order: usize) -> Vec<f64> {
    let (mut phi, mut factorial) = (h.exp_m1() / h - 1.0, 1.0);
    let condition = |i: usize| {
        let value = phi * factorial / b;
        factorial *= (i + 1) as f32;
        phi = phi / h - 1.0 / factorial;
        f64::from(value)
    };
    (1..=order).map(condition).collect()
}

/// Gauss-Jordan elimination with pivoting of a few rows `[coefficients.., right hand side]`.
pub fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let size = |i: &usize| rows[*i][column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        rows.swap(column, pivot);
        let scale = rows[column][column];
        rows[column].iter_mut().for_each(|value| *value /= scale);
        let pivot_row = rows[column].clone();
        for row in rows.iter_mut().enumerate().filter(|(i, _)| *i != column).map(|(_, row)| row) {
            let factor = row[column];
            row.iter_mut().zip(&pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    rows.into_iter().map(|row| row[n]).collect()
}
