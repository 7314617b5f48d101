//! DPM-Solver (Lu et al. 2022) of orders 1 to 3 in lambda, singlestep, predicting the noise.

use super::ancestral::ancestral_step;
use super::{Denoiser, Latent, Noise, Renewal, Result, add_scaled, lambda, sigma_at, slope};
use anyhow::ensure;

/// DPM-Solver-fast (section 3.4 of the paper): as many guesses as there are steps, in strides of
/// order 3, evenly spaced in lambda. It ends at the last sigma above 0.
pub fn fast(denoiser: &mut Denoiser, mut x: Latent, sigmas: &[f32]) -> Result<Latent> {
    let guesses = sigmas.len() - 1;
    let [start, end] = ends(sigmas);
    let strides = guesses / 3 + 1;
    let time = |i: usize| start + (end - start) * (i as f32 / strides as f32);
    for i in 0..strides {
        // What is left of the guesses is split so that each stride gets one at least.
        let order = match strides - 1 - i {
            0 if guesses.is_multiple_of(3) => 1,
            0 => guesses % 3,
            1 if guesses.is_multiple_of(3) => 2,
            _ => 3,
        };
        let (t, next) = (time(i), time(i + 1));
        let (eps, denoised) = noise_at(denoiser, &x, t)?;
        denoiser.report(i, &denoised)?;
        x = match order {
            1 => first_order(&x, &eps, t, next),
            2 => second_order(denoiser, &x, &eps, t, next, 0.5)?.0,
            _ => {
                let known = second_order(denoiser, &x, &eps, t, next, 1.0 / 3.0)?.1;
                third_order(denoiser, &x, [&eps, &known], t, next)?
            }
        };
    }
    Ok(x)
}

/// Options of the adaptive solver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// Of the method: 2 or 3.
    pub order: usize,
    /// What error is borne, in parts of the latent and in its units.
    pub rtol: f32,
    pub atol: f32,
    /// The first step in lambda.
    pub h_init: f32,
    /// How the next step follows from the last three errors (a PID controller).
    pub pcoeff: f64,
    pub icoeff: f64,
    pub dcoeff: f64,
    /// A step is taken if the controller would shrink it by no more than this factor.
    pub accept_safety: f64,
    pub renewal: Renewal,
}

impl Adaptive {
    pub const DEFAULT: Self = Self {
        order: 3,
        rtol: 0.05,
        atol: 0.0078,
        h_init: 0.05,
        pcoeff: 0.0,
        icoeff: 1.0,
        dcoeff: 0.0,
        accept_safety: 0.81,
        renewal: Renewal { eta: 0.0, s_noise: 1.0 },
    };
}

/// Where settings ask for so many steps, they will never reach the end.
const MAX_STEPS: usize = 10_000;

/// DPM-Solver-12 and -23 (the paper's adaptive step size): steps as long as the two orders agree. It
/// visits no levels but the first and the last above 0.
pub fn adaptive(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    options: Adaptive,
) -> Result<Latent> {
    let [mut t, end] = ends(sigmas);
    let direction = if end > t { 1.0 } else { -1.0 };
    let Renewal { eta, s_noise } = options.renewal;
    ensure!(direction > 0.0 || eta == 0.0, "dpm_adaptive needs an eta of 0 where sigmas rise");
    let mut control = StepSize::new(&options, direction);
    let mut previous = x.clone();
    let mut step = 0;
    while (end - t) * direction > 1e-5 {
        control.ensure_going(step)?;
        let next = if direction > 0.0 { end.min(t + control.h) } else { end.max(t + control.h) };
        let (down, up) = step_down(t, next, end, eta);
        let (eps, denoised) = noise_at(denoiser, &x, t)?;
        let [low, high] = both_orders(denoiser, &x, &eps, t, down, options.order)?;
        if control.accepts(relative_error(&options, &low, &high, &previous)) {
            previous = low;
            x = high;
            if eta > 0.0 {
                add_scaled(&mut x, up * s_noise, &noise(sigma_at(t), sigma_at(next)));
            }
            t = next;
        }
        denoiser.report(step, &denoised)?;
        step += 1;
    }
    Ok(x)
}

/// A step by the method of the order below and by that of `order`, which is 2 or 3.
fn both_orders(
    denoiser: &mut Denoiser,
    x: &Latent,
    eps: &Latent,
    t: f32,
    next: f32,
    order: usize,
) -> Result<[Latent; 2]> {
    if order == 2 {
        return Ok([first_order(x, eps, t, next), second_order(denoiser, x, eps, t, next, 0.5)?.0]);
    }
    let (low, known) = second_order(denoiser, x, eps, t, next, 1.0 / 3.0)?;
    let high = third_order(denoiser, x, [eps, &known], t, next)?;
    Ok([low, high])
}

/// The first lambda, and that of the last sigma above 0.
fn ends(sigmas: &[f32]) -> [f32; 2] {
    let last = sigmas.len() - 1;
    let end = if sigmas[last] == 0.0 { sigmas[last - 1] } else { sigmas[last] };
    [lambda(sigmas[0]), lambda(end)]
}

/// The lambda to step down to, which is not beyond the end, and the noise to add there.
fn step_down(t: f32, next: f32, end: f32, eta: f32) -> (f32, f32) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    let (down, _) = ancestral_step(sigma_at(t), sigma_at(next), eta);
    let down = end.min(lambda(down));
    (down, (sigma_at(next).powi(2) - sigma_at(down).powi(2)).sqrt())
}

/// The noise in `x` at a lambda, and the clean latent.
fn noise_at(denoiser: &mut Denoiser, x: &Latent, t: f32) -> Result<(Latent, Latent)> {
    let denoised = denoiser.denoise(x, sigma_at(t))?;
    Ok((slope(x, sigma_at(t), &denoised), denoised))
}

/// DPM-Solver-1 (equation 3.7).
fn first_order(x: &Latent, eps: &Latent, t: f32, next: f32) -> Latent {
    let mut x = x.clone();
    add_scaled(&mut x, -sigma_at(next) * (next - t).exp_m1(), eps);
    x
}

/// DPM-Solver-2 (algorithm 1, where r = 1/2) with its second guess at `r` of the step: the latent at `next`, and
/// the noise found between.
fn second_order(
    denoiser: &mut Denoiser,
    x: &Latent,
    eps: &Latent,
    t: f32,
    next: f32,
    r: f32,
) -> Result<(Latent, Latent)> {
    let h = next - t;
    let between = t + r * h;
    let (eps_r, _) = noise_at(denoiser, &first_order(x, eps, t, between), between)?;
    let mut x = first_order(x, eps, t, next);
    add_scaled(&mut x, -sigma_at(next) / (2.0 * r) * h.exp_m1(), &(&eps_r - eps));
    Ok((x, eps_r))
}

/// DPM-Solver-3 (algorithm 2) with r_1 = 1/3 and r_2 = 2/3, given the noise at 0 and r_1.
fn third_order(
    denoiser: &mut Denoiser,
    x: &Latent,
    [eps, eps_1]: [&Latent; 2],
    t: f32,
    next: f32,
) -> Result<Latent> {
    const R_1: f32 = 1.0 / 3.0;
    const R_2: f32 = 2.0 / 3.0;
    let h = next - t;
    let curve = |h: f32| h.exp_m1() / h - 1.0;
    let between = t + R_2 * h;
    let mut there = first_order(x, eps, t, between);
    add_scaled(&mut there, -sigma_at(between) * (R_2 / R_1) * curve(R_2 * h), &(eps_1 - eps));
    let (eps_2, _) = noise_at(denoiser, &there, between)?;
    let mut x = first_order(x, eps, t, next);
    add_scaled(&mut x, -sigma_at(next) / R_2 * curve(h), &(&eps_2 - eps));
    Ok(x)
}

/// The root mean square of how far two orders are apart, in parts of what is borne.
fn relative_error(options: &Adaptive, low: &Latent, high: &Latent, previous: &Latent) -> f64 {
    let part = |((low, high), previous): ((&f32, &f32), &f32)| {
        let borne = options.atol.max(options.rtol * low.abs().max(previous.abs()));
        f64::from((low - high) / borne).powi(2)
    };
    let sum: f64 = low.iter().zip(high).zip(previous).map(part).sum();
    (sum / low.len() as f64).sqrt()
}

/// A PID controller of the step, as in differential equation solvers (Söderlind 2003).
struct StepSize {
    h: f32,
    powers: [f64; 3],
    accept_safety: f64,
    /// One over each of the last errors, newest first.
    inverse_errors: Option<[f64; 3]>,
}

impl StepSize {
    fn new(options: &Adaptive, direction: f32) -> Self {
        let Adaptive { pcoeff: p, icoeff: i, dcoeff: d, .. } = options;
        let order = if options.renewal.eta > 0.0 { 1.5 } else { options.order as f64 };
        Self {
            h: options.h_init.abs() * direction,
            powers: [(p + i + d) / order, -(p + 2.0 * d) / order, d / order],
            accept_safety: options.accept_safety,
            inverse_errors: None,
        }
    }

    fn ensure_going(&self, steps: usize) -> Result<()> {
        ensure!(
            steps < MAX_STEPS && self.h != 0.0 && self.h.is_finite(),
            "dpm_adaptive does not reach the end (its step is {} after {steps} steps): raise rtol, \
             atol or h_init, or lower accept_safety",
            self.h
        );
        Ok(())
    }

    /// Whether the step that had this error is taken. Sets the next one.
    fn accepts(&mut self, error: f64) -> bool {
        let inverse = 1.0 / (error + 1e-8);
        let errors = self.inverse_errors.get_or_insert([inverse; 3]);
        errors[0] = inverse;
        let factor: f64 = errors.iter().zip(self.powers).map(|(e, power)| e.powf(power)).product();
        let factor = 1.0 + (factor - 1.0).atan();
        let accepted = factor >= self.accept_safety;
        if accepted {
            errors[2] = errors[1];
            errors[1] = errors[0];
        }
        self.h = (f64::from(self.h) * factor) as f32;
        accepted
    }
}
