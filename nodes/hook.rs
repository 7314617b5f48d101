//! Changes of networks that go along with conditionings: which prompt is asked of which variant of the
//! model, and how strongly it is changed at each noise level.

use crate::{Clip, Conditioning, Model, Told, lora};
use anyhow::Result;
use graph::Context;
use models::{Clip as TextEncoder, Unet};
use sampling::ModelSampling;
use std::sync::Arc;
use tensor::Weights;

/// What a hook does to a network, this strongly.
pub enum Change {
    /// A LoRA file.
    Lora(Weights),
    /// The difference of another checkpoint and the network's own file.
    Model { unet: Box<Unet>, encoder: Box<TextEncoder> },
}

/// From which part of a run on how strong a hook is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keyframe {
    pub strength: f64,
    /// 0..=1
    pub start_percent: f64,
    /// Whether it holds for one step at least, even where the next one has begun.
    pub guaranteed: bool,
}

/// In the order of their starts.
#[derive(Clone, Debug, Default)]
pub struct Keyframes(pub Arc<Vec<Keyframe>>);

impl Keyframes {
    /// With more of them; of those with the same start the new ones are last.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Keyframe>) -> Self {
        let mut all: Vec<Keyframe> = self.0.iter().copied().chain(more).collect();
        all.sort_by(|a, b| a.start_percent.total_cmp(&b.start_percent));
        Self(Arc::new(all))
    }

    /// What a text encoder is multiplied by from this part of a run on: nothing says so before the first.
    fn strength_from(&self, percent: f64) -> f64 {
        let begun = self.0.iter().rfind(|frame| frame.start_percent <= percent);
        begun.map_or(1.0, |frame| frame.strength)
    }
}

/// One change of a model and its text encoder.
#[derive(Clone)]
pub struct Hook {
    change: Arc<Change>,
    strength_model: f64,
    strength_clip: f64,
    keyframes: Keyframes,
}

impl PartialEq for Hook {
    fn eq(&self, other: &Self) -> bool {
        let values = |hook: &Self| (hook.strength_model, hook.strength_clip);
        self.is(other) && values(self) == values(other) && self.keyframes.0 == other.keyframes.0
    }
}

impl Hook {
    pub fn new(change: Change, strength_model: f64, strength_clip: f64) -> Self {
        let keyframes = Keyframes::default();
        Self { change: Arc::new(change), strength_model, strength_clip, keyframes }
    }

    /// Whether both were made by the same node.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.change, &other.change)
    }

    fn unet(&self, base: &Unet, times: f64) -> Result<(Unet, Option<String>)> {
        let strength = (self.strength_model * times) as f32;
        match &*self.change {
            _ if strength == 0.0 => Ok((base.clone(), None)),
            Change::Lora(lora) => base.with_lora(lora, strength),
            Change::Model { unet, .. } => base.stepped(unet, strength),
        }
    }

    fn encoder(&self, base: &TextEncoder, times: f64) -> Result<(TextEncoder, Option<String>)> {
        let strength = (self.strength_clip * times) as f32;
        match &*self.change {
            Change::Lora(lora) if strength != 0.0 => base.with_lora(lora, strength),
            Change::Model { encoder, .. } if strength != 0.0 => base.stepped(encoder, strength),
            _ => Ok((base.clone(), None)),
        }
    }
}

/// Changes that are done one after another.
#[derive(Clone, Default, PartialEq)]
pub struct Hooks(Arc<Vec<Hook>>);

impl Hooks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With those of another; what both have counts once.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let mut all = (*self.0).clone();
        for hook in other.0.iter() {
            if !all.iter().any(|known| known.is(hook)) {
                all.push(hook.clone());
            }
        }
        Self(Arc::new(all))
    }

    #[must_use]
    pub fn with(&self, hook: Hook) -> Self {
        self.joined(&Self(Arc::new(vec![hook])))
    }

    /// All of them with these keyframes, in the place of their own.
    #[must_use]
    pub fn with_keyframes(&self, keyframes: &Keyframes) -> Self {
        let hooks = self.0.iter().cloned();
        Self(Arc::new(hooks.map(|hook| Hook { keyframes: keyframes.clone(), ..hook }).collect()))
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} hooks", self.0.len())
    }
}

/// The changes of a text encoder.
#[derive(Clone)]
pub struct ClipHooks {
    pub hooks: Hooks,
    /// Whether what it encodes is asked of a model that is changed too.
    pub tells_conds: bool,
    /// Whether keyframes count: a prompt is then encoded for each span of a run.
    pub scheduled: bool,
}

impl ClipHooks {
    /// The parts of a run between which strengths change.
    fn spans(&self) -> Vec<(f64, f64)> {
        let hooks = self.hooks.0.iter().filter(|_| self.scheduled);
        let frames = hooks.flat_map(|hook| hook.keyframes.0.iter());
        let starts = frames.map(|frame| frame.start_percent);
        let mut bounds: Vec<f64> = starts.chain([0.0, 1.0]).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }

    fn encoder(&self, base: &TextEncoder, from: f64) -> Result<(TextEncoder, Vec<String>)> {
        let (mut encoder, mut notes) = (base.clone(), Vec::new());
        for hook in self.hooks.0.iter() {
            let times = if self.scheduled { hook.keyframes.strength_from(from) } else { 1.0 };
            let (changed, told) = hook.encoder(&encoder, times)?;
            encoder = changed;
            notes.extend(told);
        }
        Ok((encoder, notes))
    }
}

impl Clip {
    /// The text encoder as its hooks make it, for each span of a run (parts of it, 0..=1).
    pub(crate) fn hooked(&self, ctx: &mut Context) -> Result<Vec<((f64, f64), Self)>> {
        let Some(hooks) = &self.hooks else { return Ok(vec![((0.0, 1.0), self.clone())]) };
        let spans = hooks.spans().into_iter();
        let hooked = spans.map(|span| {
            let (encoder, notes) = hooks.encoder(&self.encoder, span.0)?;
            notes.into_iter().for_each(|note| ctx.note(note));
            Ok((span, Self { encoder, layer: self.layer, hooks: None }))
        });
        hooked.collect()
    }

    /// As hooks make it at the beginning of a run.
    pub(crate) fn first(&self, ctx: &mut Context) -> Result<Self> {
        let hooked = self.hooked(ctx)?.into_iter().next();
        Ok(hooked.map_or_else(|| self.clone(), |(_, clip)| clip))
    }
}

/// The hooks of a hook group, and the network that they make now.
struct Variant {
    hooks: Hooks,
    players: Vec<Player>,
    unet: Unet,
    /// What each hook is multiplied by in `unet`.
    times: Vec<f64>,
}

/// A model, and what hooks make of it: variant 0 is the model itself.
pub struct Variants {
    base: Unet,
    hooked: Vec<Variant>,
}

impl Variants {
    /// Those that conditionings ask for: their entries are told the variant's number, and held to the
    /// span for which their text encoder made them.
    pub fn of(
        ctx: &mut Context,
        model: &Model,
        first_sigma: f64,
        conds: &mut [Conditioning],
    ) -> Result<Self> {
        let mut variants = Self { base: model.unet.clone(), hooked: Vec::new() };
        for cond in conds {
            let plain = |told: &Told| told.hooks.is_empty() && told.span == (0.0, 1.0);
            if cond.0.iter().all(|entry| plain(&entry.payload)) {
                continue;
            }
            let mut entries = (*cond.0).clone();
            for entry in &mut entries {
                let (start, end) = entry.payload.span;
                entry.start_percent = entry.start_percent.max(start);
                entry.end_percent = entry.end_percent.min(end);
                let hooks = &entry.payload.hooks;
                entry.variant = variants.number(ctx, hooks, &model.sampling, first_sigma)?;
            }
            *cond = Conditioning(Arc::new(entries));
        }
        Ok(variants)
    }

    fn number(
        &mut self,
        ctx: &mut Context,
        hooks: &Hooks,
        sampling: &ModelSampling,
        first_sigma: f64,
    ) -> Result<usize> {
        if hooks.is_empty() {
            return Ok(0);
        }
        if let Some(known) = self.hooked.iter().position(|variant| variant.hooks == *hooks) {
            return Ok(known + 1);
        }
        let players =
            hooks.0.iter().map(|hook| Player::new(&hook.keyframes, sampling, first_sigma));
        let players: Vec<Player> = players.collect();
        let times: Vec<f64> = players.iter().map(Player::strength).collect();
        let (unet, notes) = changed(&self.base, hooks, &times)?;
        notes.into_iter().for_each(|note| ctx.note(note));
        for hook in hooks.0.iter() {
            if let Change::Lora(file) = &*hook.change {
                lora::note_unused_of_model(ctx, file);
            }
        }
        self.hooked.push(Variant { hooks: hooks.clone(), players, unet, times });
        Ok(self.hooked.len())
    }

    /// The network of a variant at a noise level.
    pub fn unet(&mut self, variant: usize, sigma: f32) -> Result<&Unet> {
        let Some(at) = variant.checked_sub(1) else { return Ok(&self.base) };
        let Variant { hooks, players, unet, times } = &mut self.hooked[at];
        let now: Vec<f64> = players.iter_mut().map(|player| player.strength_at(sigma)).collect();
        if now != *times {
            (*unet, _) = changed(&self.base, hooks, &now)?;
            *times = now;
        }
        Ok(unet)
    }
}

/// A network as hooks make it, each multiplied by its part of `times`, and what does not fit in words.
fn changed(base: &Unet, hooks: &Hooks, times: &[f64]) -> Result<(Unet, Vec<String>)> {
    let (mut unet, mut notes) = (base.clone(), Vec::new());
    for (hook, times) in hooks.0.iter().zip(times) {
        let (changed, told) = hook.unet(&unet, *times)?;
        unet = changed;
        notes.extend(told);
    }
    Ok((unet, notes))
}

/// Goes through the keyframes of a hook as a run falls through its noise levels.
struct Player {
    /// Each with the level at which it begins.
    frames: Vec<(f64, Keyframe)>,
    first_sigma: f64,
    current: usize,
    /// How many levels the current one has been used at.
    used: usize,
    sigma: Option<f32>,
}

impl Player {
    fn new(keyframes: &Keyframes, sampling: &ModelSampling, first_sigma: f64) -> Self {
        let start = |frame: &Keyframe| (sampling.percent_to_sigma(frame.start_percent), *frame);
        let frames = keyframes.0.iter().map(start).collect();
        Self { frames, first_sigma, current: 0, used: 0, sigma: None }
    }

    /// The first one holds from the beginning, wherever it starts.
    fn strength(&self) -> f64 {
        self.frames.get(self.current).map_or(1.0, |(_, frame)| frame.strength)
    }

    fn strength_at(&mut self, sigma: f32) -> f64 {
        if self.sigma == Some(sigma) || self.frames.is_empty() {
            return self.strength();
        }
        self.sigma = Some(sigma);
        if self.used >= self.guaranteed(self.current) {
            self.advance(f64::from(sigma));
        }
        self.used += 1;
        self.strength()
    }

    fn advance(&mut self, sigma: f64) {
        for next in self.current + 1..self.frames.len() {
            if self.frames[next].0 < sigma {
                break;
            }
            (self.current, self.used) = (next, 0);
            if self.guaranteed(next) > 0 {
                break;
            }
        }
    }

    /// Levels at which it holds at least: none if the run begins after its start.
    fn guaranteed(&self, frame: usize) -> usize {
        let (start, frame) = self.frames[frame];
        usize::from(frame.guaranteed && start <= self.first_sigma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampling::Prediction;

    fn frame(start_percent: f64, strength: f64, guaranteed: bool) -> Keyframe {
        Keyframe { strength, start_percent, guaranteed }
    }

    /// The strengths at levels that lie at these parts of a run.
    fn played(frames: &[Keyframe], percents: &[f64]) -> Vec<f64> {
        let sampling = ModelSampling::stable_diffusion(Prediction::Eps);
        let sigma = |percent: &f64| match percent {
            0.0 => sampling.sigma_max(),
            percent => sampling.percent_to_sigma(*percent) as f32,
        };
        let keyframes = Keyframes::default().with(frames.iter().copied());
        let mut player = Player::new(&keyframes, &sampling, f64::from(sigma(&percents[0])));
        percents.iter().map(|percent| player.strength_at(sigma(percent))).collect()
    }

    #[test]
    fn keyframes_begin_at_their_part_of_the_run() {
        let frames = [frame(0.5, 0.2, true), frame(0.0, 1.0, true)];
        assert_eq!(
            played(&frames, &[0.0, 0.2, 0.4, 0.6, 0.6, 0.8]),
            [1.0, 1.0, 1.0, 0.2, 0.2, 0.2]
        );
        assert_eq!(played(&frames[..1], &[0.0, 0.6]), [0.2, 0.2], "the first holds from the start");
        assert_eq!(played(&[], &[0.0, 0.6]), [1.0, 1.0]);
    }

    #[test]
    fn a_guaranteed_keyframe_is_not_skipped_by_long_steps() {
        let frames = |sure| [0.0, 0.2, 0.4, 0.6].map(|at| frame(at, 1.0 - at, sure));
        assert_eq!(played(&frames(true), &[0.0, 0.5, 0.9]), [1.0, 0.8, 0.6]);
        assert_eq!(played(&frames(false), &[0.0, 0.5, 0.9]), [1.0, 0.6, 0.4]);
    }

    #[test]
    fn a_text_encoder_is_read_for_each_span_between_keyframes() {
        let keyframes = Keyframes::default().with([frame(0.3, 0.5, true), frame(0.6, 0.1, true)]);
        assert_eq!(
            [0.0, 0.3, 0.59, 0.6].map(|at| keyframes.strength_from(at)),
            [1.0, 0.5, 0.5, 0.1]
        );
    }
}
