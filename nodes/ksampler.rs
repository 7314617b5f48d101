//! KSampler: from noise to a latent, guided by two conditionings.

use crate::{
    Conditioning, Guider, Latent, Mask, Model, Options, Told, controlnet, hook::Variants,
    previews::Painter, resize::resize_latent, unclip,
};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use models::{Asked, Concat, Grounding, LookedAt, Mode, Question, Random, UnetSize};
use ndarray::{Array3, Array4, Axis, concatenate, s};
use sampling::{
    Call, KSample, LatentFormat, LatentInput, Network, Patch, Run, SAMPLERS, SCHEDULERS, Sampler,
    SamplerNoise, Scheduler,
};
use std::cell::RefCell;
use tensor::Device;

/// Channels of the latents that Stable Diffusion 1.x denoises.
const CHANNELS: usize = 4;

pub(crate) fn samplers() -> impl Iterator<Item = &'static str> {
    SAMPLERS.iter().map(|s| s.name)
}

pub(crate) fn schedulers() -> impl Iterator<Item = &'static str> {
    SCHEDULERS.iter().map(|s| s.name)
}

/// Denoises a latent, guided towards one prompt and away from another.
#[derive(Inputs)]
pub struct KSampler {
    /// Predicts the noise.
    pub model: Model,
    /// The same seed gives the same noise.
    #[widget(seed())]
    pub seed: u64,
    /// How many steps the noise is removed in.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// How strongly the prompts pull; 1 ignores the negative one.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    pub cfg: f64,
    /// How one step leads to the next.
    #[widget(one_of(super::ksampler::samplers()))]
    pub sampler_name: String,
    /// How the noise is spread over the steps.
    #[widget(one_of(super::ksampler::schedulers()))]
    pub scheduler: String,
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// Where to start from.
    pub latent_image: Latent,
    /// How much of the latent is replaced; below 1 keeps some of it.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub denoise: f64,
}

impl Node for KSampler {
    const CATEGORY: &str = "sampling";
    const TITLE: &str = "KSampler";
    type Output = Latent;

    fn run(self, ctx: &mut Context) -> Result<Latent> {
        let settings = KSample {
            seed: self.seed,
            denoise: self.denoise,
            ..settings(ctx, &self.sampler_name, &self.scheduler, self.steps)?
        };
        let run = settings.run(&self.model.sampling)?;
        let guider = Guider::cfg(self.model, self.cfg, self.positive, self.negative);
        Ok(sample(ctx, &guider, &run, &self.latent_image)?.0)
    }
}

/// KSampler for part of the steps, to hand a half-denoised latent on.
#[derive(Inputs)]
pub struct KSamplerAdvanced {
    /// Predicts the noise.
    pub model: Model,
    /// Whether noise is added first; a latent with leftover noise wants none.
    #[widget(one_of(["enable", "disable"]))]
    pub add_noise: String,
    /// The same seed gives the same noise.
    #[widget(seed())]
    pub noise_seed: u64,
    /// How many steps a whole run has.
    #[widget(number(20).range(1..=10_000))]
    pub steps: usize,
    /// How strongly the prompts pull; 1 ignores the negative one.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    pub cfg: f64,
    /// How one step leads to the next.
    #[widget(one_of(super::ksampler::samplers()))]
    pub sampler_name: String,
    /// How the noise is spread over the steps.
    #[widget(one_of(super::ksampler::schedulers()))]
    pub scheduler: String,
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// Where to start from.
    pub latent_image: Latent,
    /// The first step taken.
    #[widget(number(0).range(0..=10_000))]
    pub start_at_step: usize,
    /// The step before which to stop.
    #[widget(number(10_000).range(0..=10_000))]
    pub end_at_step: usize,
    /// Whether the noise that is left at the end stays.
    #[widget(one_of(["disable", "enable"]))]
    pub return_with_leftover_noise: String,
}

impl Node for KSamplerAdvanced {
    const CATEGORY: &str = "sampling";
    const TITLE: &str = "KSampler (Advanced)";
    type Output = Latent;

    fn run(self, ctx: &mut Context) -> Result<Latent> {
        let settings = KSample {
            seed: self.noise_seed,
            start_at_step: Some(self.start_at_step),
            end_at_step: Some(self.end_at_step),
            force_full_denoise: self.return_with_leftover_noise == "disable",
            disable_noise: self.add_noise == "disable",
            ..settings(ctx, &self.sampler_name, &self.scheduler, self.steps)?
        };
        let run = settings.run(&self.model.sampling)?;
        let guider = Guider::cfg(self.model, self.cfg, self.positive, self.negative);
        Ok(sample(ctx, &guider, &run, &self.latent_image)?.0)
    }
}

fn settings(ctx: &Context, sampler: &str, scheduler: &str, steps: usize) -> Result<KSample> {
    let options = ctx.services.get::<Options>();
    let plain = KSample::new(Sampler::named(sampler)?, Scheduler::named(scheduler)?, steps);
    Ok(KSample { sampler_noise: options.sampler_noise, ..plain })
}

/// Samples a latent: what the run ends with, and its last guess of the clean latent.
pub(crate) fn sample(
    ctx: &mut Context,
    guider: &Guider,
    run: &Run,
    latent: &Latent,
) -> Result<(Latent, Latent)> {
    let device = ctx.services.get::<Device>();
    let model = &guider.model;
    check_channels(latent)?;
    let input = input(latent, model.latent);
    let mut generator = run.generator(&input)?;
    let mut conds = controlnet::shared_with_others(&guider.conds);
    let first_sigma = run.sigmas.iter().copied().fold(0.0, f32::max);
    let variants = Variants::of(ctx, model, first_sigma.into(), &mut conds)?;
    let mut network = Guided {
        device: &device,
        model,
        seed: run.seed,
        sampler_noise: run.sampler_noise,
        random: &RefCell::new(move |n| generator.below(4, n)),
        variants,
        perturbed: false,
        looked_at: Vec::new(),
        latent: model.latent.enter(&latent.samples),
        mask: latent.noise_mask.clone(),
        stop: ctx.stop,
    };
    let conds = conds.iter().map(|cond| cond.0.as_slice()).collect();
    let differential = model.differential;
    let rule =
        sampling::Guider { rule: guider.rule, conds, patches: &model.guidance, differential };
    let mut painter = Painter::new(ctx, model);
    let mut progress = |step: usize, total: usize, denoised: &sampling::Latent| {
        if let Some(event) = painter.paint(&device, model, denoised) {
            (ctx.events)(event);
        }
        ctx.step(step + 1, total)
    };
    let sampled =
        sampling::sample(run, &model.sampling, &mut network, &rule, &input, &mut progress)?;
    Ok((latent.with(sampled.samples), latent.with(sampled.denoised)))
}

/// A latent as the samplers take it.
pub(crate) fn input(latent: &Latent, format: LatentFormat) -> LatentInput<'_> {
    LatentInput {
        samples: &latent.samples,
        format,
        noise_mask: latent.noise_mask.as_ref().map(|m| &*m.0),
        batch_index: latent.batch_index.as_ref().map(|b| b.as_slice()),
    }
}

fn check_channels(latent: &Latent) -> Result<()> {
    let channels = latent.samples.dim().1;
    anyhow::ensure!(
        channels == CHANNELS,
        "the latent has {channels} channels, the model wants {CHANNELS}"
    );
    Ok(())
}

/// A UNet as the samplers ask it: with the pictures that go along, and the wish to stop.
struct Guided<'a> {
    device: &'a Device,
    model: &'a Model,
    seed: u64,
    sampler_noise: SamplerNoise,
    random: &'a Random<'a>,
    /// The network, and what hooks make of it.
    variants: Variants,
    perturbed: bool,
    /// By the address of the condition, what the middle of the network looked at in the last question.
    looked_at: Vec<(usize, Array3<f32>)>,
    /// Scaled.
    latent: Array4<f32>,
    mask: Option<Mask>,
    stop: &'a std::sync::atomic::AtomicBool,
}

impl Network for Guided<'_> {
    type Cond = Told;

    fn predict(
        &mut self,
        x: &sampling::Latent,
        sigma: f32,
        timestep: f32,
        calls: &[Call<Told>],
    ) -> Result<sampling::Latent> {
        if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(graph::Interrupted.into());
        }
        let (batch, _, height, width) = x.dim();
        let rows = batch / calls.len();
        let prompt =
            |tokens: fn(&Told) -> &Array3<f32>| context(calls.iter().map(|c| tokens(c.cond)), rows);
        let (tokens, context) = prompt(|told| &*told.tokens);
        let (timesteps, size) = (vec![timestep; batch], UnetSize { batch, height, width, tokens });
        let residuals = match &calls[0].cond.control {
            Some(control) => {
                let (tokens, context) = prompt(tokens_for_controls);
                let bare = x.as_standard_layout();
                let asked = Asked {
                    x: bare.as_slice().expect("just laid out"),
                    timesteps: &timesteps,
                    context: &context,
                    size: UnetSize { tokens, ..size },
                };
                let (calls, sampling) = (calls.len(), &*self.model.sampling);
                control.residuals(
                    self.device,
                    &controlnet::Question { asked, calls, sigma, sampling },
                )?
            }
            None => None,
        };
        let x = self.with_concat(x, calls)?;
        let x = x.as_standard_layout();
        let label = self.label(calls, rows)?;
        let grounding = calls[0].cond.grounding.as_ref();
        let objects = grounding.map(|grounding| grounding.objects(height, width)).transpose()?;
        let grounding = grounding.zip(objects.as_ref());
        let question = Question {
            x: x.as_slice().expect("just laid out"),
            timesteps: &timesteps,
            context: &context,
            label: &label,
            size,
            control: residuals.as_ref(),
            mode: self.mode(sigma),
            random: Some(self.random),
            grounding: grounding.map(|(of, objects)| Grounding { gligen: of.network(), objects }),
        };
        let unet = self.variants.unet(calls[0].variant, sigma)?;
        let answer = unet.predict(self.device, &question)?;
        self.looked_at.clear();
        if let Some(LookedAt { weights, height, width }) = answer.looked_at {
            let weights = Array3::from_shape_vec((batch, height, width), weights)?;
            let parts = weights.axis_chunks_iter(Axis(0), rows).map(|part| part.to_owned());
            self.looked_at = calls.iter().map(|call| address(call.cond)).zip(parts).collect();
        }
        let channels = answer.noise.len() / (batch * height * width);
        Ok(Array4::from_shape_vec((batch, channels, height, width), answer.noise)?)
    }

    fn perturb(&mut self, on: bool) {
        self.perturbed = on;
    }

    fn looked_at(&self, cond: &Told) -> Option<Array3<f32>> {
        let (_, weights) = self.looked_at.iter().find(|(of, _)| *of == address(cond))?;
        Some(weights.clone())
    }

    /// Token lists of different lengths are repeated to a common one, up to four times.
    fn can_batch(&self, a: &Told, b: &Told) -> bool {
        let fit = |a: &Array3<f32>, b: &Array3<f32>| {
            let (a, b) = (a.dim().1, b.dim().1);
            lcm(a, b) / a.min(b) <= 4
        };
        a.control == b.control
            && a.grounding == b.grounding
            && fit(&a.tokens, &b.tokens)
            && fit(tokens_for_controls(a), tokens_for_controls(b))
    }
}

fn tokens_for_controls(told: &Told) -> &Array3<f32> {
    told.control_prompt.as_ref().map_or(&told.tokens, |prompt| &prompt.tokens)
}

/// How many tokens a network reads, and their vectors: each prompt so many times, for `rows` of the batch.
fn context<'a>(
    prompts: impl Iterator<Item = &'a Array3<f32>> + Clone,
    rows: usize,
) -> (usize, Vec<f32>) {
    let tokens = prompts.clone().map(|prompt| prompt.dim().1).fold(1, lcm);
    let context = prompts
        .flat_map(|prompt| std::iter::repeat_n(prompt, rows * (tokens / prompt.dim().1)))
        .flat_map(|prompt| prompt.iter().copied());
    (tokens, context.collect())
}

fn address(cond: &Told) -> usize {
    std::ptr::from_ref(cond) as usize
}

impl Guided<'_> {
    fn mode(&self, sigma: f32) -> Mode {
        let model = self.model;
        let shrunk = model.shrink.is_some_and(|(start, end)| {
            let [start, end] = [start, end].map(|p| model.sampling.percent_to_sigma(p));
            (end..=start).contains(&f64::from(sigma))
        });
        let looks = model.guidance.iter().any(|patch| matches!(patch, Patch::SelfAttention { .. }));
        // What a smaller picture looks at is at other places.
        let watched = looks && !self.perturbed && !shrunk;
        Mode { perturbed: self.perturbed, watched, shrunk }
    }

    /// What an unCLIP model is told of pictures.
    fn label(&self, calls: &[Call<Told>], rows: usize) -> Result<Vec<f32>> {
        let channels = self.model.unet.label_channels;
        let mut labels = Vec::with_capacity(channels * rows * calls.len());
        for call in calls.iter().filter(|_| channels > 0) {
            let told = &call.cond.unclip;
            let mut label = unclip::label(told, channels, self.seed, self.sampler_noise)?;
            label.resize(channels, 0.0);
            labels.extend(label.repeat(rows));
        }
        Ok(labels)
    }

    /// Adds the channels that inpainting and instruction models read beside the noise.
    fn with_concat(&self, x: &Array4<f32>, calls: &[Call<Told>]) -> Result<Array4<f32>> {
        if self.model.concat() == Concat::Nothing {
            return Ok(x.clone());
        }
        let rows = x.dim().0 / calls.len();
        let parts = calls.iter().enumerate().map(|(i, call)| {
            let x = x.slice(s![i * rows..(i + 1) * rows, .., .., ..]);
            let whole = self.concat(call.cond, rows)?;
            let cut = call.area.map_or(whole.view(), |a| {
                whole.slice(s![.., .., a.y..a.y + a.height, a.x..a.x + a.width])
            });
            Ok(concatenate(Axis(1), &[x, cut])?)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
        Ok(concatenate(Axis(0), &views)?)
    }

    /// The extra channels for the whole latent.
    fn concat(&self, cond: &Told, rows: usize) -> Result<Array4<f32>> {
        let (_, _, h, w) = self.latent.dim();
        let fitted = |x: &Array4<f32>| resize_latent(x, "bilinear", h, w, "center");
        let given = cond.concat_latent.as_ref().map(|x| fitted(x)).transpose()?;
        if self.model.concat() == Concat::Instruct {
            return Ok(spread_to(given.unwrap_or_else(|| Array4::zeros((1, 4, h, w))), rows));
        }
        let picture = given.map_or_else(|| self.latent.clone(), |x| self.model.latent.enter(&x));
        let mask = match (&cond.concat_mask, &self.mask) {
            (Some(mask), _) => fitted(&(*mask.0).clone().insert_axis(Axis(1)))?,
            (None, Some(mask)) => sampling::mask::for_latent(&mask.0, [rows, 1, h, w]),
            (None, None) => {
                let parts = [Array4::ones((1, 1, h, w)), blank(h, w)];
                return Ok(spread_to(concatenate![Axis(1), parts[0], parts[1]], rows));
            }
        };
        let mask = spread_to(mask.mapv(f32::round_ties_even), rows);
        Ok(concatenate![Axis(1), mask, spread_to(picture, rows)])
    }
}

/// The scaled latent of a grey picture, as Stable Diffusion's own VAE gives it.
fn blank(h: usize, w: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 4, h, w), |(_, c, _, _)| [0.8223, -0.6876, 0.6364, 0.1380][c])
}

/// The batch spread evenly over `rows`: of two entries the first serves the first half. A longer
/// batch is thinned out evenly, from its first to its last entry.
fn spread_to(x: Array4<f32>, rows: usize) -> Array4<f32> {
    let n = x.dim().0;
    let entry = |i: usize| match n {
        n if n > rows && rows > 1 => {
            ((i * (n - 1)) as f64 / (rows - 1) as f64).round_ties_even() as usize
        }
        n if n > rows => 0,
        n => (2 * i + 1) * n / (2 * rows),
    };
    if n == rows { x } else { x.select(Axis(0), &(0..rows).map(entry).collect::<Vec<_>>()) }
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_beside_the_noise_are_spread_evenly_over_the_batch() {
        let spread = |n: usize, rows: usize| {
            let x = Array4::from_shape_fn((n, 1, 1, 1), |(i, ..)| i as f32);
            spread_to(x, rows).into_raw_vec_and_offset().0
        };
        assert_eq!(spread(2, 4), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(spread(2, 3), [0.0, 1.0, 1.0]);
        assert_eq!(spread(5, 3), [0.0, 2.0, 4.0]);
        assert_eq!(spread(5, 1), [0.0]);
    }
}
