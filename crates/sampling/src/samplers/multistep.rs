//! Samplers of the ODE that remember earlier steps.

use super::{Denoiser, Latent, Result, add_scaled, blend, lambda, slope, steps};
use std::collections::VecDeque;

/// Linear multistep: the Adams-Bashforth method for uneven steps.
pub fn lms(denoiser: &mut Denoiser, mut x: Latent, s: &[f32], order: usize) -> Result<Latent> {
    let mut slopes = VecDeque::new();
    for (i, sigma, next) in steps(s) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        slopes.push_front(slope(&x, sigma, &denoised));
        slopes.truncate(order);
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let recent: Vec<f64> = (0..slopes.len()).map(|k| f64::from(s[i - k])).collect();
        for (j, d) in slopes.iter().enumerate() {
            let weight = lagrange_integral(&recent, j, f64::from(next));
            add_scaled(&mut x, weight as f32, d);
        }
    }
    Ok(x)
}

/// The integral from `nodes[0]` to `end` of the Lagrange polynomial that is 1 at `nodes[j]` and 0
/// at the other nodes. Gauss-Legendre with five points, which is exact for a degree of up to 9,
/// on as many panels as there are tens of nodes.
fn lagrange_integral(nodes: &[f64], j: usize, end: f64) -> f64 {
    let basis = |t: f64| -> f64 {
        let others = nodes.iter().enumerate().filter(|(k, _)| *k != j);
        others.map(|(_, node)| (t - node) / (nodes[j] - node)).product()
    };
    let panels = nodes.len().div_ceil(10);
    let width = (end - nodes[0]) / panels as f64;
    let panel = |i: usize| gauss_legendre(nodes[0] + width * i as f64, width, basis);
    (0..panels).map(panel).sum()
}

/// The five-point rule on `width` from `start` (Abramowitz and Stegun 25.4.30).
fn gauss_legendre(start: f64, width: f64, f: impl Fn(f64) -> f64) -> f64 {
    let root = 2.0 * (10.0f64 / 7.0).sqrt();
    let (near, far) = ((5.0 - root).sqrt() / 3.0, (5.0 + root).sqrt() / 3.0);
    let thirteen = 13.0 * 70f64.sqrt();
    let (w_near, w_far) = ((322.0 + thirteen) / 900.0, (322.0 - thirteen) / 900.0);
    let at = |place: f64| f(start + 0.5 * width * (1.0 + place));
    let sum =
        128.0 / 225.0 * at(0.0) + w_near * (at(near) + at(-near)) + w_far * (at(far) + at(-far));
    0.5 * width * sum
}

/// DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2).
pub fn dpmpp_2m(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    let mut last: Option<(Latent, f32)> = None;
    for (i, sigma, next) in steps(s) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        let (t, t_next) = (lambda(sigma), lambda(next));
        let h = t_next - t;
        let (keep, replace) = ((-t_next).exp() / (-t).exp(), -(-h).exp_m1());
        x = match &last {
            Some((old, h_last)) if next > 0.0 => {
                let half_inverse_r = 1.0 / (2.0 * (h_last / h));
                let target = blend(1.0 + half_inverse_r, &denoised, -half_inverse_r, old);
                blend(keep, &x, replace, &target)
            }
            _ => blend(keep, &x, replace, &denoised),
        };
        last = Some((denoised, h));
    }
    Ok(x)
}

/// Gradient estimation (Permenter and Yuan 2024, algorithm 2, gamma = 2): the slope is drawn out
/// by how it changed since the last step.
pub fn gradient_estimation(denoiser: &mut Denoiser, mut x: Latent, s: &[f32]) -> Result<Latent> {
    let mut last: Option<Latent> = None;
    for (i, sigma, next) in steps(s) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let d = slope(&x, sigma, &denoised);
        add_scaled(&mut x, next - sigma, &d);
        if let Some(old) = last {
            add_scaled(&mut x, next - sigma, &(&d - &old));
        }
        last = Some(d);
    }
    Ok(x)
}

/// Improved PNDM (Liu et al. 2022, as improved by Zhang and Chen 2023): Adams-Bashforth of order 4 as if steps were even.
pub fn ipndm(denoiser: &mut Denoiser, x: Latent, s: &[f32]) -> Result<Latent> {
    pseudo_linear(denoiser, x, s, |recent, _| match recent.len() {
        1 => vec![1.0],
        2 => vec![3.0 / 2.0, -1.0 / 2.0],
        3 => vec![23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        _ => vec![55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    })
}

/// Improved PNDM for uneven steps, with the weights of `diff-sampler` (Chen et al. 2024, "On the
/// trajectory regularity of ODE-based diffusion sampling").
pub fn ipndm_v(denoiser: &mut Denoiser, x: Latent, s: &[f32]) -> Result<Latent> {
    pseudo_linear(denoiser, x, s, uneven_weights)
}

/// x moves along a weighted sum of up to four slopes. `weights` is given their levels, newest
/// first, and the next level; it answers for each which part of the step goes along its slope.
fn pseudo_linear(
    denoiser: &mut Denoiser,
    mut x: Latent,
    s: &[f32],
    weights: impl Fn(&[f32], f32) -> Vec<f32>,
) -> Result<Latent> {
    const ORDER: usize = 4;
    let mut slopes = VecDeque::with_capacity(ORDER + 1);
    for (i, sigma, next) in steps(s) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        slopes.push_front(slope(&x, sigma, &denoised));
        slopes.truncate(ORDER);
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let recent: Vec<f32> = (0..slopes.len()).map(|k| s[i - k]).collect();
        for (weight, d) in weights(&recent, next).into_iter().zip(&slopes) {
            add_scaled(&mut x, (next - sigma) * weight, d);
        }
    }
    Ok(x)
}

/// Newton's form of Adams-Bashforth: each order adds a backward difference of the slopes. Two
/// places are not the exact ones but those of the authors' program, whose pictures these are: in
/// the second difference the factor `near` stands inside the bracket, and the oldest weight of the
/// third has h1 / h2 for h2 / h3.
pub(super) fn uneven_weights(recent: &[f32], next: f32) -> Vec<f32> {
    let h = next - recent[0];
    let back = |k: usize| recent[k] - recent[k + 1];
    let mut weights = vec![1.0, 0.0, 0.0, 0.0];
    let mut add = |scale: f32, difference: [f32; 4]| {
        weights.iter_mut().zip(difference).for_each(|(weight, d)| *weight += scale * d);
    };
    if recent.len() > 1 {
        add(h / back(0) / 2.0, [1.0, -1.0, 0.0, 0.0]);
    }
    if recent.len() > 2 {
        let (h1, h2) = (back(0), back(1));
        let near = h / (3.0 * (h + h1));
        let second = (1.0 - near * (h * (h + h1)) / (h1 * (h1 + h2))) / 2.0;
        let r = h1 / h2;
        add(second, [1.0, -(1.0 + r), r, 0.0]);
        if recent.len() > 3 {
            let h3 = back(2);
            let third = ((1.0 - near) / 2.0
                + (1.0 - h / (2.0 * (h + h1))) * h / (6.0 * (h + h1 + h2)))
                * (h * (h + h1) * (h + h1 + h2))
                / (h1 * (h1 + h2) * (h1 + h2 + h3));
            let q = h1 * (h1 + h2) / (h2 * (h2 + h3));
            add(third, [1.0, -(1.0 + r + q), r + q * (1.0 + h2 / h3), -q * r]);
        }
    }
    weights.truncate(recent.len());
    weights
}
