//! SA-Solver (Xue et al. 2023): stochastic Adams methods, a predictor and a corrector.

use super::{Denoiser, Latent, ModelSampling, Noise, Result, add_scaled, lambda, uni_pc};
use std::collections::VecDeque;

/// Options of the solver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SaSolver {
    /// How much noise there is within `stochastic`: the paper's tau.
    pub eta: f32,
    pub s_noise: f32,
    /// The levels between which there is noise; `None` is from 20 to 80 percent of a run.
    pub stochastic: Option<[f64; 2]>,
    /// 1..=6, and 0..=6 where 0 corrects nothing.
    pub predictor_order: usize,
    pub corrector_order: usize,
    /// Asks for a second guess at the corrected latent (PECE instead of PEC).
    pub evaluates_corrected: bool,
    /// The formulas of the paper's appendix D where the order is 2.
    pub simple_order_2: bool,
}

impl SaSolver {
    pub const DEFAULT: Self = Self {
        eta: 1.0,
        s_noise: 1.0,
        stochastic: None,
        predictor_order: 3,
        corrector_order: 4,
        evaluates_corrected: false,
        simple_order_2: false,
    };

    /// The levels from 20 to 80 percent of a run.
    pub(super) fn stochastic_part(model: &ModelSampling) -> [f64; 2] {
        [0.2, 0.8].map(|part| model.percent_to_sigma(part))
    }
}

/// Algorithm 1, predicting the data. The orders rise with the steps done and, where the run ends
/// at 0, fall again before the end.
pub fn sa_solver(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
    options: SaSolver,
) -> Result<Latent> {
    let solver = Solver::new(denoiser, sigmas, options);
    let last = sigmas.len() - 1;
    // Newest first; of the predicted latent, until it is corrected.
    let mut guesses = VecDeque::new();
    let mut predicted = x.clone();
    let (mut tau, mut added) = (0.0, None::<Latent>);
    for i in 0..last {
        let mut denoised = denoiser.begin_step(i, &predicted, sigmas[i])?;
        guesses.push_front(denoised.clone());
        guesses.truncate(options.predictor_order.max(options.corrector_order));
        let ends = sigmas[i + 1] == 0.0;
        let order = solver.order(options.corrector_order, guesses.len(), last - i);
        if i == 0 || order == 0 || (ends && !options.evaluates_corrected) {
            x = predicted;
        } else {
            x = solver.step(&x, &guesses, Step { from: i - 1, to: i, newest: i, order, tau });
            if let Some(added) = &added {
                x += added;
            }
            if options.evaluates_corrected {
                denoised = denoiser.denoise(&x, sigmas[i])?;
                guesses[0] = denoised.clone();
            }
        }
        if ends {
            return Ok(denoised);
        }
        tau = solver.tau(sigmas[i + 1]);
        let order = solver.order(options.predictor_order, guesses.len(), last - 1 - i);
        predicted = solver.step(&x, &guesses, Step { from: i, to: i + 1, newest: i, order, tau });
        added = (tau > 0.0 && options.s_noise > 0.0)
            .then(|| noise(sigmas[i], sigmas[i + 1]) * solver.noise_scale(i, tau));
        if let Some(added) = &added {
            predicted += added;
        }
    }
    Ok(predicted)
}

/// What stays the same during a run.
struct Solver<'a> {
    sigmas: &'a [f32],
    lambdas: Vec<f64>,
    options: SaSolver,
    stochastic: [f64; 2],
}

/// A step between two levels by the guesses at `newest` and before.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    to: usize,
    newest: usize,
    order: usize,
    tau: f64,
}

impl<'a> Solver<'a> {
    fn new(denoiser: &Denoiser, sigmas: &'a [f32], options: SaSolver) -> Self {
        let part = || SaSolver::stochastic_part(denoiser.model);
        Self {
            sigmas,
            lambdas: sigmas.iter().map(|sigma| f64::from(lambda(*sigma))).collect(),
            options,
            stochastic: options.stochastic.unwrap_or_else(part),
        }
    }

    fn tau(&self, sigma: f32) -> f64 {
        let [start, end] = self.stochastic;
        let within = (end..=start).contains(&f64::from(sigma));
        if within { f64::from(self.options.eta) } else { 0.0 }
    }

    /// At most `highest`, what is known, and, before an end at 0, the steps that are left.
    fn order(&self, highest: usize, known: usize, left: usize) -> usize {
        let ends_at_zero = self.sigmas[self.sigmas.len() - 1] == 0.0;
        highest.min(known).min(if ends_at_zero { left } else { usize::MAX })
    }

    /// The paper's predictor and corrector, which differ in `newest`, without their noise.
    fn step(&self, x: &Latent, guesses: &VecDeque<Latent>, step: Step) -> Latent {
        let h = self.lambdas[step.to] - self.lambdas[step.from];
        let decay = (-step.tau * step.tau * h).exp() as f32;
        let mut next = x * (self.sigmas[step.to] / self.sigmas[step.from] * decay);
        for (weight, guess) in self.weights(step).into_iter().zip(guesses) {
            add_scaled(&mut next, weight as f32, guess);
        }
        next
    }

    /// How much each guess counts, newest first.
    fn weights(&self, step: Step) -> Vec<f64> {
        let [s, t] = [self.lambdas[step.from], self.lambdas[step.to]];
        let known: Vec<f64> = (0..step.order).map(|k| self.lambdas[step.newest - k]).collect();
        let (speed, h) = (1.0 + step.tau * step.tau, t - s);
        if self.options.simple_order_2 && step.order == 2 {
            let whole = -(-speed * h).exp_m1();
            // A corrector's newest guess lies at the end of the step, a predictor's at its start.
            return if step.newest == step.to {
                let newest = 0.5 * speed * h;
                vec![newest, whole - newest]
            } else {
                let older = 0.5 * speed * h * h / (known[1] - s);
                vec![whole - older, older]
            };
        }
        let moments = moments(s, t, speed, step.order);
        let row = |p: usize| {
            let powers = known.iter().map(|lambda| lambda.powi(p as i32));
            powers.chain([moments[p]]).collect()
        };
        uni_pc::solve((0..step.order).map(row).collect())
    }

    /// Of the noise of the step that begins at `i`.
    fn noise_scale(&self, i: usize, tau: f64) -> f32 {
        let h = self.lambdas[i + 1] - self.lambdas[i];
        let part = (-(-2.0 * tau * tau * h).exp_m1()).sqrt();
        self.sigmas[i + 1] * part as f32 * self.options.s_noise
    }
}

/// The integrals over [s, t] of speed e^(speed (u - t)) u^p for p = 0.., by parts: each is
/// t^p - s^p e^(speed (s - t)) less p / speed times the one before.
fn moments(s: f64, t: f64, speed: f64, n: usize) -> Vec<f64> {
    let decay = (speed * (s - t)).exp();
    let mut moments: Vec<f64> = Vec::with_capacity(n);
    for p in 0..n {
        let before = moments.last().map_or(0.0, |before| p as f64 / speed * before);
        moments.push(t.powi(p as i32) - s.powi(p as i32) * decay - before);
    }
    moments
}
