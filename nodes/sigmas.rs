//! Noise levels split, turned and filled up.

use crate::{Model, Sigmas};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use std::f32::consts::FRAC_PI_2;

const CATEGORY: &str = "sampling/custom_sampling/sigmas";

/// Cuts a run in two at a step.
#[derive(Inputs)]
pub struct SplitSigmas {
    /// The noise levels of the whole run.
    pub sigmas: Sigmas,
    /// How many steps the first part has.
    #[widget(number(0).range(0..=10_000))]
    pub step: usize,
}

impl Node for SplitSigmas {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SplitSigmas";
    const OUTPUT_NAMES: &[&str] = &["high_sigmas", "low_sigmas"];
    type Output = (Sigmas, Sigmas);

    fn run(self, _: &mut Context) -> Result<(Sigmas, Sigmas)> {
        let sigmas = &self.sigmas.0;
        let (end, start) = ((self.step + 1).min(sigmas.len()), self.step.min(sigmas.len()));
        Ok((Sigmas::new(sigmas[..end].to_vec()), Sigmas::new(sigmas[start..].to_vec())))
    }
}

/// Cuts a run in two, of which the second part is this much of it.
#[derive(Inputs)]
pub struct SplitSigmasDenoise {
    /// The noise levels of the whole run.
    pub sigmas: Sigmas,
    /// Which part of the steps come second.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub denoise: f64,
}

impl Node for SplitSigmasDenoise {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SplitSigmasDenoise";
    const OUTPUT_NAMES: &[&str] = &["high_sigmas", "low_sigmas"];
    type Output = (Sigmas, Sigmas);

    fn run(self, _: &mut Context) -> Result<(Sigmas, Sigmas)> {
        let sigmas = &self.sigmas.0;
        let steps = sigmas.len().saturating_sub(1) as f64;
        let second = (steps * self.denoise).round_ties_even() as usize;
        let start = sigmas.len().saturating_sub(second + 1);
        // As in the original, the first part is empty where the second has no step.
        let end = if second == 0 { 0 } else { sigmas.len().saturating_sub(second) };
        Ok((Sigmas::new(sigmas[..end].to_vec()), Sigmas::new(sigmas[start..].to_vec())))
    }
}

/// Turns a run around, from the lowest level up, to find the noise that a picture came from.
#[derive(Inputs)]
pub struct FlipSigmas {
    /// The noise levels, of which a first 0 becomes 0.0001.
    pub sigmas: Sigmas,
}

impl Node for FlipSigmas {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "FlipSigmas";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let mut sigmas: Vec<f32> = self.sigmas.0.iter().rev().copied().collect();
        if let Some(first) = sigmas.first_mut().filter(|first| **first == 0.0) {
            *first = 0.0001;
        }
        Ok(Sigmas::new(sigmas))
    }
}

/// Begins a run at another noise level.
#[derive(Inputs)]
pub struct SetFirstSigma {
    /// The noise levels.
    pub sigmas: Sigmas,
    /// The new first one.
    #[widget(number(136.0).range(0.0..=20_000.0).step(0.001).with("round", false))]
    pub sigma: f64,
}

impl Node for SetFirstSigma {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SetFirstSigma";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let mut sigmas = self.sigmas.0.to_vec();
        *sigmas.first_mut().context("`sigmas` is empty, so it has no first level")? =
            self.sigma as f32;
        Ok(Sigmas::new(sigmas))
    }
}

/// Puts noise levels between those of a range.
#[derive(Inputs)]
pub struct ExtendIntermediateSigmas {
    /// The noise levels.
    pub sigmas: Sigmas,
    /// In how many steps each of them is split.
    #[widget(number(2).range(1..=100))]
    pub steps: usize,
    /// The highest level whose step is split; below 0 all are.
    #[widget(number(-1.0).range(-1.0..=20_000.0).step(0.01).with("round", false))]
    pub start_at_sigma: f64,
    /// The lowest level whose step is split.
    #[widget(number(12.0).range(0.0..=20_000.0).step(0.01).with("round", false))]
    pub end_at_sigma: f64,
    /// Where between two levels the new ones are: evenly, nearer the lower, or nearer the higher.
    #[widget(one_of(["linear", "cosine", "sine"]))]
    pub spacing: String,
}

impl Node for ExtendIntermediateSigmas {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ExtendIntermediateSigmas";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let place: fn(f32) -> f32 = match self.spacing.as_str() {
            "cosine" => |part| (part * FRAC_PI_2).sin(),
            "sine" => |part| 1.0 - (part * FRAC_PI_2).cos(),
            _ => |part| part,
        };
        let start = if self.start_at_sigma < 0.0 { f64::INFINITY } else { self.start_at_sigma };
        let mut extended = Vec::new();
        for pair in self.sigmas.0.windows(2) {
            extended.push(pair[0]);
            if (self.end_at_sigma..=start).contains(&f64::from(pair[0])) {
                let between = (1..self.steps).map(|i| place(i as f32 / self.steps as f32));
                extended.extend(between.map(|part| part * (pair[1] - pair[0]) + pair[0]));
            }
        }
        extended.extend(self.sigmas.0.last());
        Ok(Sigmas::new(extended))
    }
}

/// Noise levels as they are written.
#[derive(Inputs)]
pub struct ManualSigmas {
    /// Numbers with commas or spaces between them.
    #[widget(text("1, 0.5"))]
    pub sigmas: String,
}

impl Node for ManualSigmas {
    const CATEGORY: &str = "_for_testing/custom_sampling";
    type Output = Sigmas;

    fn run(self, _: &mut Context) -> Result<Sigmas> {
        let words =
            self.sigmas.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty());
        let number = |word: &str| {
            let number = word.parse().ok().filter(|sigma: &f32| sigma.is_finite());
            number.with_context(|| {
                format!("`sigmas` has {word:?}: expected numbers with commas between them")
            })
        };
        Ok(Sigmas::new(words.map(number).collect::<Result<_>>()?))
    }
}

/// The noise level after a part of a run.
#[derive(Inputs)]
pub struct SamplingPercentToSigma {
    /// Its noise levels count.
    pub model: Model,
    /// Which part of the run is over.
    #[widget(number(0.0).range(0.0..=1.0).step(0.0001))]
    pub sampling_percent: f64,
    /// Gives the model's own ends at 0 and 1, not numbers beyond them.
    #[widget(toggle(false))]
    pub return_actual_sigma: bool,
}

impl Node for SamplingPercentToSigma {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplingPercentToSigma";
    const OUTPUT_NAMES: &[&str] = &["sigma_value"];
    type Output = f64;

    fn run(self, _: &mut Context) -> Result<f64> {
        let levels = &self.model.sampling;
        Ok(match self.sampling_percent {
            0.0 if self.return_actual_sigma => levels.sigma_max().into(),
            1.0 if self.return_actual_sigma => levels.sigma_min().into(),
            percent => levels.percent_to_sigma(percent),
        })
    }
}
