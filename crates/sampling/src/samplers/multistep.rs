//! Samplers of the ODE that remember earlier steps.

use super::{Denoiser, Latent, Noise, Result, add_scaled, blend, slope, steps};
use std::collections::VecDeque;

/// Linear multistep: the Adams-Bashforth method of order 4 for uneven steps.
pub fn lms(denoiser: &mut Denoiser, _: &mut Noise, mut x: Latent, s: &[f32]) -> Result<Latent> {
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
        let recent: Vec<f64> = (0..slopes.len()).map(|k| f64::from(s[i - k])).collect();
        for (j, d) in slopes.iter().enumerate() {
            let weight = lagrange_integral(&recent, j, f64::from(next));
            add_scaled(&mut x, weight as f32, d);
        }
    }
    Ok(x)
}

/// The integral from `nodes[0]` to `end` of the Lagrange polynomial that is 1 at `nodes[j]` and 0
/// at the other nodes. Gauss-Legendre with two points, exact for its degree of at most 3.
fn lagrange_integral(nodes: &[f64], j: usize, end: f64) -> f64 {
    let basis = |t: f64| -> f64 {
        let others = nodes.iter().enumerate().filter(|(k, _)| *k != j);
        others.map(|(_, node)| (t - node) / (nodes[j] - node)).product()
    };
    let (half, centre) = ((end - nodes[0]) / 2.0, (end + nodes[0]) / 2.0);
    let offset = half / 3f64.sqrt();
    half * (basis(centre - offset) + basis(centre + offset))
}

/// DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2).
pub fn dpmpp_2m(denoiser: &mut Denoiser, _: &mut Noise, x: Latent, s: &[f32]) -> Result<Latent> {
    let mut x = x;
    let mut last: Option<(Latent, f32)> = None;
    for (i, sigma, next) in steps(s) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        let (t, t_next) = (-sigma.ln(), -next.ln());
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
