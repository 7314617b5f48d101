//! Which noise levels a run visits. To add a schedule: write the function, add its row.

mod formulas;
mod tables;

use crate::{ModelSampling, beta};
use anyhow::{Context as _, Result, ensure};

pub use formulas::{exponential, karras, laplace, polyexponential, variance_preserving};
pub use tables::{ALIGN_YOUR_STEPS, OPTIMAL_STEPS, Table};

/// The longest schedule: 10 000 steps at a denoise of 0.01, and one to drop.
const MAX_STEPS: usize = 1_000_001;

/// One entry of the scheduler menu.
pub struct Scheduler {
    pub name: &'static str,
    /// Falling sigmas for so many steps (at least 1), the last one 0.
    run: fn(&ModelSampling, usize) -> Vec<f32>,
}

/// In menu order.
pub const SCHEDULERS: &[Scheduler] = &[
    Scheduler { name: "simple", run: simple },
    Scheduler { name: "sgm_uniform", run: sgm_uniform },
    Scheduler { name: "karras", run: karras_of_model },
    Scheduler { name: "exponential", run: exponential_of_model },
    Scheduler { name: "ddim_uniform", run: ddim_uniform },
    Scheduler { name: "beta", run: beta_of_lee },
    Scheduler { name: "normal", run: normal },
    Scheduler { name: "linear_quadratic", run: linear_quadratic },
    Scheduler { name: "kl_optimal", run: kl_optimal },
];

impl Scheduler {
    pub fn named(name: &str) -> Result<&'static Self> {
        let names = || SCHEDULERS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
        let found = SCHEDULERS.iter().find(|scheduler| scheduler.name == name);
        found.with_context(|| format!("there is no scheduler {name:?}; there are {}", names()))
    }

    /// Falling sigmas, the last one 0; `steps + 1` of them, except that `ddim_uniform` may have
    /// one more and `beta` fewer. `kl_optimal` of a single step has no defined level (NaN).
    pub fn sigmas(&self, model: &ModelSampling, steps: usize) -> Result<Vec<f32>> {
        ensure!(
            (1..=MAX_STEPS).contains(&steps),
            "{steps} steps of the {} schedule: expected 1 to {MAX_STEPS}",
            self.name
        );
        Ok((self.run)(model, steps))
    }
}

/// Evenly spaced timesteps from the noisiest to the cleanest.
fn normal(model: &ModelSampling, steps: usize) -> Vec<f32> {
    let (start, end) = timesteps(model);
    ending_in_zero(linspace(start, end, steps).into_iter().map(|t| model.sigma(t)))
}

/// As `normal`, but the step to zero counts as one of the even steps (Stability's generative-models).
fn sgm_uniform(model: &ModelSampling, steps: usize) -> Vec<f32> {
    let (start, end) = timesteps(model);
    let ts = linspace(start, end, steps + 1);
    ending_in_zero(ts[..steps].iter().map(|t| model.sigma(*t)))
}

/// Between the model's lowest and highest level.
fn karras_of_model(model: &ModelSampling, steps: usize) -> Vec<f32> {
    karras(steps, model.sigma_min().into(), model.sigma_max().into(), 7.0)
}

/// Between the model's lowest and highest level.
fn exponential_of_model(model: &ModelSampling, steps: usize) -> Vec<f32> {
    exponential(steps, model.sigma_min().into(), model.sigma_max().into())
}

/// The model's own levels, every so many from the noisiest down.
fn simple(model: &ModelSampling, steps: usize) -> Vec<f32> {
    let sigmas = model.sigmas();
    let stride = sigmas.len() as f64 / steps as f64;
    ending_in_zero((0..steps).map(|i| sigmas[sigmas.len() - 1 - (i as f64 * stride) as usize]))
}

/// The model's own levels, every so many from the second cleanest up (Song et al. 2021).
/// The stride is whole, so the top may be missed, or one level more be visited than asked.
fn ddim_uniform(model: &ModelSampling, steps: usize) -> Vec<f32> {
    let sigmas = model.sigmas();
    let stride = (sigmas.len() / steps).max(1);
    let mut rising: Vec<f32> = sigmas.iter().skip(1).step_by(stride).copied().collect();
    rising.reverse();
    ending_in_zero(rising.into_iter())
}

/// With the shape of the paper.
fn beta_of_lee(model: &ModelSampling, steps: usize) -> Vec<f32> {
    beta(model, steps, 0.6, 0.6)
}

/// Timesteps at the quantiles of a beta distribution (Lee et al. 2024) of positive `alpha` and
/// `beta`, duplicates dropped.
pub fn beta(model: &ModelSampling, steps: usize, alpha: f64, beta: f64) -> Vec<f32> {
    let sigmas = model.sigmas();
    let last = (sigmas.len() - 1) as f64;
    let quantile = |i: usize| beta::quantile(1.0 - i as f64 / steps as f64, alpha, beta);
    let mut ts: Vec<usize> =
        (0..steps).map(|i| (quantile(i) * last).round_ties_even() as usize).collect();
    ts.dedup();
    ending_in_zero(ts.into_iter().map(|t| sigmas[t]))
}

/// Every 100th timestep from the noisiest on (Sauer et al. 2023, "Adversarial diffusion
/// distillation"): at most `steps` of the ten, after those that `denoise` leaves out.
pub fn sd_turbo(model: &ModelSampling, steps: usize, denoise: f64) -> Vec<f32> {
    let skipped = 10 - (10.0 * denoise) as usize;
    let ts = (1..=10).rev().map(|i| (100 * i - 1) as f32);
    ending_in_zero(ts.skip(skipped).take(steps).map(|t| model.sigma(t)))
}

/// The last `steps` of a `full` schedule that is longer by 1 / `denoise`; none where that is 0.
pub fn last_steps(
    steps: usize,
    denoise: f64,
    full: impl Fn(usize) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    if denoise <= 0.0 {
        return Ok(Vec::new());
    }
    let total = if denoise > 0.9999 { steps } else { (steps as f64 / denoise) as usize };
    let mut sigmas = full(total)?;
    let defined = sigmas.iter().all(|sigma| !sigma.is_nan());
    ensure!(defined, "this schedule cannot do with {total} steps: take more");
    if total > steps {
        sigmas.drain(..sigmas.len().saturating_sub(steps + 1));
    }
    Ok(sigmas)
}

/// Half of the steps stay near the top, the rest fall by a parabola (Genmo's Mochi).
fn linear_quadratic(model: &ModelSampling, steps: usize) -> Vec<f32> {
    const THRESHOLD: f64 = 0.025;
    let linear = steps / 2;
    let (l, q, n) = (linear as f64, (steps - linear) as f64, steps as f64);
    let excess = l - THRESHOLD * n;
    let square = excess / (l * q * q);
    let slope = THRESHOLD / l - 2.0 * excess / (q * q);
    let done = |i: usize| match i as f64 {
        _ if i == 0 => 0.0,
        t if i < linear => t * THRESHOLD / l,
        t => square * t * t + slope * t + square * (l * l),
    };
    ending_in_zero((0..steps).map(|i| (1.0 - done(i)) as f32 * model.sigma_max()))
}

/// Evenly spaced arc tangents (Sabour et al. 2024, "Align your steps", section 3.2).
fn kl_optimal(model: &ModelSampling, steps: usize) -> Vec<f32> {
    let atan = |sigma: f32| f64::from(sigma).atan() as f32;
    let (min, max) = (atan(model.sigma_min()), atan(model.sigma_max()));
    let part = |i: usize| i as f32 / (steps - 1) as f32;
    ending_in_zero((0..steps).map(|i| (part(i) * min + (1.0 - part(i)) * max).tan()))
}

fn timesteps(model: &ModelSampling) -> (f32, f32) {
    (model.timestep(model.sigma_max()), model.timestep(model.sigma_min()))
}

fn ending_in_zero(sigmas: impl Iterator<Item = f32>) -> Vec<f32> {
    sigmas.chain([0.0]).collect()
}

/// `n` values from start to end, counted from the nearer end as torch.linspace does.
fn linspace(start: f32, end: f32, n: usize) -> Vec<f32> {
    let step = if n > 1 { (end - start) / (n - 1) as f32 } else { 0.0 };
    let value = |i: usize| {
        if i < n.div_ceil(2) {
            step.mul_add(i as f32, start)
        } else {
            step.mul_add(-((n - 1 - i) as f32), end)
        }
    };
    (0..n).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prediction;
    use crate::testing::{families, golden, tensor};
    use safetensors::SafeTensors;

    fn model() -> ModelSampling {
        ModelSampling::stable_diffusion(Prediction::Eps)
    }

    #[test]
    fn schedules_are_those_of_the_original() {
        let Some(bytes) = golden("random_tiny/sigmas.safetensors") else { return };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (family, model) in families() {
            // powf, exp and tan differ by a few ulp between libraries; for zsnr see its own test.
            let bound = if family == "sd21_vpred_zsnr" { 1e-4 } else { 1e-6 };
            for scheduler in SCHEDULERS {
                for steps in [1, 2, 4, 9, 20, 30] {
                    let key = format!("{family}/{}/{steps}", scheduler.name);
                    assert_near(
                        &scheduler.sigmas(&model, steps).unwrap(),
                        &tensor(&file, &key).0,
                        bound,
                        &key,
                    );
                }
            }
        }
    }

    fn assert_near(sigmas: &[f32], want: &[f32], bound: f32, key: &str) {
        let near =
            |(a, b): (&f32, &f32)| (a.is_nan() && b.is_nan()) || (a - b).abs() <= bound * b.abs();
        let same = sigmas.len() == want.len() && sigmas.iter().zip(want).all(near);
        assert!(same, "{key}\n got {sigmas:?}\nwant {want:?}");
    }

    #[test]
    fn all_fall_strictly_to_zero_within_the_models_range() {
        let model = model();
        for scheduler in SCHEDULERS {
            for steps in [2, 3, 7, 50, 500] {
                let sigmas = scheduler.sigmas(&model, steps).unwrap();
                let name = scheduler.name;
                assert!(sigmas.windows(2).all(|pair| pair[0] > pair[1]), "{name} {steps}");
                assert_eq!(sigmas.last(), Some(&0.0), "{name} {steps}");
                assert!(sigmas[0] <= model.sigma_max() * 1.000_001, "{name} {steps}");
            }
        }
    }

    #[test]
    fn no_steps_and_too_many_are_errors() {
        for scheduler in SCHEDULERS {
            assert!(scheduler.sigmas(&model(), 0).is_err());
            assert!(scheduler.sigmas(&model(), MAX_STEPS + 1).is_err());
        }
        assert!(Scheduler::named("Karras").err().unwrap().to_string().contains("karras"));
    }
}
