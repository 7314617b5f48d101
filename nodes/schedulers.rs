//! Which noise levels a custom run visits.

use crate::{Model, Sigmas};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use sampling::schedules::{self, ALIGN_YOUR_STEPS, OPTIMAL_STEPS, Scheduler, Table};

const CATEGORY: &str = "sampling/custom_sampling/schedulers";

/// The schedules of KSampler.
#[derive(Inputs)]
pub struct BasicScheduler {
    /// Its noise levels count.
    pub model: Model,
    /// How the noise is spread over the steps.
    #[widget(one_of(crate::ksampler::schedulers()))]
    pub scheduler: String,
    /// How many steps are taken.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// How much of a latent is replaced; below 1 the steps are the last of a longer run.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub denoise: f64,
}

impl Node for BasicScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "BasicScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let scheduler = Scheduler::named(&self.scheduler)?;
        let full = |steps| scheduler.sigmas(&self.model.sampling, steps);
        Ok(Sigmas::new(schedules::last_steps(self.steps, self.denoise, full)?))
    }
}

/// Many low noise levels and few high ones, by a power.
#[derive(Inputs)]
pub struct KarrasScheduler {
    /// How many steps are taken.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// The first noise level.
    #[widget(number(14.614642).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_max: f64,
    /// The last noise level above 0.
    #[widget(number(0.0291675).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_min: f64,
    /// The power: the higher, the more low levels.
    #[widget(number(7.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub rho: f64,
}

impl Node for KarrasScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "KarrasScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        ensure!(self.rho > 0.0, "`rho` is 0: expected more");
        Ok(Sigmas::new(schedules::karras(self.steps, self.sigma_min, self.sigma_max, self.rho)))
    }
}

/// Noise levels of which each is the same part of the one before.
#[derive(Inputs)]
pub struct ExponentialScheduler {
    /// How many steps are taken.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// The first noise level.
    #[widget(number(14.614642).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_max: f64,
    /// The last noise level above 0.
    #[widget(number(0.0291675).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_min: f64,
}

impl Node for ExponentialScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ExponentialScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        above_zero(self.sigma_min, self.sigma_max)?;
        Ok(Sigmas::new(schedules::exponential(self.steps, self.sigma_min, self.sigma_max)))
    }
}

/// Noise levels whose logarithms are spread by a power.
#[derive(Inputs)]
pub struct PolyexponentialScheduler {
    /// How many steps are taken.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// The first noise level.
    #[widget(number(14.614642).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_max: f64,
    /// The last noise level above 0.
    #[widget(number(0.0291675).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_min: f64,
    /// The power: above 1 there are more low levels, below 1 more high ones.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub rho: f64,
}

impl Node for PolyexponentialScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "PolyexponentialScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        above_zero(self.sigma_min, self.sigma_max)?;
        let sigmas =
            schedules::polyexponential(self.steps, self.sigma_min, self.sigma_max, self.rho);
        Ok(Sigmas::new(sigmas))
    }
}

/// A logarithm of the least noise level would be infinite.
fn above_zero(sigma_min: f64, sigma_max: f64) -> Result<()> {
    ensure!(
        sigma_min > 0.0 && sigma_max > 0.0,
        "`sigma_min` is {sigma_min} and `sigma_max` {sigma_max}: expected both above 0"
    );
    Ok(())
}

/// Most noise levels around one of them; the last is not 0.
#[derive(Inputs)]
pub struct LaplaceScheduler {
    /// How many noise levels there are.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// The highest noise level.
    #[widget(number(14.614642).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_max: f64,
    /// The lowest noise level.
    #[widget(number(0.0291675).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub sigma_min: f64,
    /// The logarithm of the level that most are near to.
    #[widget(number(0.0).range(-10.0..=10.0).step(0.1).with("round", false))]
    pub mu: f64,
    /// How far from it they spread.
    #[widget(number(0.5).range(0.0..=10.0).step(0.1).with("round", false))]
    pub beta: f64,
}

impl Node for LaplaceScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "LaplaceScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let sigmas =
            schedules::laplace(self.steps, self.sigma_min, self.sigma_max, self.mu, self.beta);
        Ok(Sigmas::new(sigmas))
    }
}

/// Noise levels at even times of a process that keeps the variance.
#[derive(Inputs)]
pub struct VPScheduler {
    /// How many steps are taken.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// How much faster noise comes at the end of the process than at its start.
    #[widget(number(19.9).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub beta_d: f64,
    /// How fast noise comes at its start.
    #[widget(number(0.1).range(0.0..=5000.0).step(0.01).with("round", false))]
    pub beta_min: f64,
    /// The time of the last level above 0.
    #[widget(number(0.001).range(0.0..=1.0).step(0.0001).with("round", false))]
    pub eps_s: f64,
}

impl Node for VPScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "VPScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let sigmas =
            schedules::variance_preserving(self.steps, self.beta_d, self.beta_min, self.eps_s);
        ensure!(
            sigmas.iter().all(|s| s.is_finite()),
            "`beta_d` and `beta_min` are too large: a noise level is infinite"
        );
        Ok(Sigmas::new(sigmas))
    }
}

/// Timesteps spread by a beta distribution.
#[derive(Inputs)]
pub struct BetaSamplingScheduler {
    /// Its noise levels count.
    pub model: Model,
    /// How many steps are taken.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// Below 1, the lower the more low levels.
    #[widget(number(0.6).range(0.0..=50.0).step(0.01).with("round", false))]
    pub alpha: f64,
    /// Below 1, the lower the more high levels.
    #[widget(number(0.6).range(0.0..=50.0).step(0.01).with("round", false))]
    pub beta: f64,
}

impl Node for BetaSamplingScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "BetaSamplingScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let (alpha, beta) = (self.alpha, self.beta);
        ensure!(
            alpha > 0.0 && beta > 0.0,
            "`alpha` is {alpha} and `beta` {beta}: expected both above 0"
        );
        Ok(Sigmas::new(schedules::beta(&self.model.sampling, self.steps, alpha, beta)))
    }
}

/// The noise levels that turbo models were distilled for.
#[derive(Inputs)]
pub struct SDTurboScheduler {
    /// Its noise levels count.
    pub model: Model,
    /// How many steps are taken.
    #[widget(number(1).range(1..=10))]
    pub steps: usize,
    /// How much of a latent is replaced; below 1 the first of ten levels are left out.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub denoise: f64,
}

impl Node for SDTurboScheduler {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SDTurboScheduler";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        Ok(Sigmas::new(schedules::sd_turbo(&self.model.sampling, self.steps, self.denoise)))
    }
}

/// Noise levels that were searched for to give the best pictures in ten steps.
#[derive(Inputs)]
pub struct AlignYourStepsScheduler {
    /// The kind of model.
    #[widget(one_of(super::schedulers::model_types(super::schedulers::ALIGN_YOUR_STEPS)))]
    pub model_type: String,
    /// How many steps a whole run has; others than 10 lie between the known levels.
    #[widget(number(10).range(1..=10_000))]
    pub steps: usize,
    /// How much of a latent is replaced; below 1 only the last of the steps are taken.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub denoise: f64,
}

impl Node for AlignYourStepsScheduler {
    const CATEGORY: &str = CATEGORY;
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        from_table(ALIGN_YOUR_STEPS, &self.model_type, self.steps, self.denoise)
    }
}

/// Noise levels that were searched for, of flow models.
#[derive(Inputs)]
pub struct OptimalStepsScheduler {
    /// The kind of model.
    #[widget(one_of(super::schedulers::model_types(super::schedulers::OPTIMAL_STEPS)))]
    pub model_type: String,
    /// How many steps a whole run has.
    #[widget(number(20).range(3..=1000))]
    pub steps: usize,
    /// How much of a latent is replaced; below 1 only the last of the steps are taken.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub denoise: f64,
}

impl Node for OptimalStepsScheduler {
    const CATEGORY: &str = CATEGORY;
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        from_table(OPTIMAL_STEPS, &self.model_type, self.steps, self.denoise)
    }
}

fn model_types(tables: &'static [Table]) -> impl Iterator<Item = &'static str> {
    tables.iter().map(|table| table.model_type)
}

fn from_table(
    tables: &'static [Table],
    model_type: &str,
    steps: usize,
    denoise: f64,
) -> Result<Sigmas> {
    let known = || model_types(tables).collect::<Vec<_>>().join(", ");
    let Some(table) = tables.iter().find(|table| table.model_type == model_type) else {
        anyhow::bail!(
            "there are no levels for `model_type` {model_type:?}; there are some for {}",
            known()
        );
    };
    Ok(Sigmas::new(table.sigmas(steps, denoise)))
}
