//! Hooks: LoRAs and models that change the network for some prompts, or for a part of the run.

use crate::{
    Clip,
    hook::{Change, ClipHooks, Hook, Hooks, Keyframe, Keyframes},
    loaders,
};
use anyhow::{Context as _, Result};
use graph::{Context, Field, Inputs, Json, Node, Value};
use std::sync::Arc;

const CREATE: &str = "advanced/hooks/create";
const COMBINE: &str = "advanced/hooks/combine";
const SCHEDULING: &str = "advanced/hooks/scheduling";

/// A LoRA for the prompts that it is given to.
#[derive(Inputs)]
pub struct CreateHookLora {
    /// A file in models/loras.
    #[widget(file("loras"))]
    pub lora_name: String,
    /// How strongly the model is changed.
    #[widget(number(1.0).range(-20.0..=20.0).step(0.01))]
    pub strength_model: f64,
    /// How strongly the text encoder is changed.
    #[widget(number(1.0).range(-20.0..=20.0).step(0.01))]
    pub strength_clip: f64,
    /// Hooks that go along.
    pub prev_hooks: Option<Hooks>,
}

impl Node for CreateHookLora {
    const CATEGORY: &str = CREATE;
    const TITLE: &str = "Create Hook LoRA";
    type Output = Hooks;

    fn run(self, ctx: &mut Context) -> Result<Hooks> {
        let Self { lora_name, strength_model, strength_clip, prev_hooks } = self;
        hook_lora(ctx, &lora_name, [strength_model, strength_clip], prev_hooks)
    }
}

/// A LoRA for the prompts that it is given to, which leaves the text encoder alone.
#[derive(Inputs)]
pub struct CreateHookLoraModelOnly {
    /// A file in models/loras.
    #[widget(file("loras"))]
    pub lora_name: String,
    /// How strongly the model is changed.
    #[widget(number(1.0).range(-20.0..=20.0).step(0.01))]
    pub strength_model: f64,
    /// Hooks that go along.
    pub prev_hooks: Option<Hooks>,
}

impl Node for CreateHookLoraModelOnly {
    const CATEGORY: &str = CREATE;
    const TITLE: &str = "Create Hook LoRA (MO)";
    type Output = Hooks;

    fn run(self, ctx: &mut Context) -> Result<Hooks> {
        hook_lora(ctx, &self.lora_name, [self.strength_model, 0.0], self.prev_hooks)
    }
}

fn hook_lora(
    ctx: &Context,
    name: &str,
    [model, clip]: [f64; 2],
    previous: Option<Hooks>,
) -> Result<Hooks> {
    let previous = previous.unwrap_or_default();
    if model == 0.0 && clip == 0.0 {
        return Ok(previous);
    }
    let lora = loaders::weights(ctx, "loras", name)?;
    Ok(previous.with(Hook::new(Change::Lora(lora), model, clip)))
}

/// Another checkpoint for the prompts that it is given to.
#[derive(Inputs)]
pub struct CreateHookModelAsLora {
    /// A file in models/checkpoints.
    #[widget(file("checkpoints"))]
    pub ckpt_name: String,
    /// How far the model goes over to it; 1 is all the way.
    #[widget(number(1.0).range(-20.0..=20.0).step(0.01))]
    pub strength_model: f64,
    /// How far the text encoder goes over to it.
    #[widget(number(1.0).range(-20.0..=20.0).step(0.01))]
    pub strength_clip: f64,
    /// Hooks that go along.
    pub prev_hooks: Option<Hooks>,
}

impl Node for CreateHookModelAsLora {
    const CATEGORY: &str = CREATE;
    const TITLE: &str = "Create Hook Model as LoRA";
    type Output = Hooks;

    fn run(self, ctx: &mut Context) -> Result<Hooks> {
        let Self { ckpt_name, strength_model, strength_clip, prev_hooks } = self;
        hook_model(ctx, &ckpt_name, [strength_model, strength_clip], prev_hooks)
    }
}

/// Another checkpoint for the prompts that it is given to, without its text encoder.
#[derive(Inputs)]
pub struct CreateHookModelAsLoraModelOnly {
    /// A file in models/checkpoints.
    #[widget(file("checkpoints"))]
    pub ckpt_name: String,
    /// How far the model goes over to it; 1 is all the way.
    #[widget(number(1.0).range(-20.0..=20.0).step(0.01))]
    pub strength_model: f64,
    /// Hooks that go along.
    pub prev_hooks: Option<Hooks>,
}

impl Node for CreateHookModelAsLoraModelOnly {
    const CATEGORY: &str = CREATE;
    const TITLE: &str = "Create Hook Model as LoRA (MO)";
    type Output = Hooks;

    fn run(self, ctx: &mut Context) -> Result<Hooks> {
        hook_model(ctx, &self.ckpt_name, [self.strength_model, 0.0], self.prev_hooks)
    }
}

fn hook_model(
    ctx: &mut Context,
    name: &str,
    [strength, strength_clip]: [f64; 2],
    previous: Option<Hooks>,
) -> Result<Hooks> {
    let (model, clip, ..) = loaders::checkpoint(ctx, name)?;
    let change = Change::Model { unet: model.unet.into(), encoder: clip.encoder.into() };
    Ok(previous.unwrap_or_default().with(Hook::new(change, strength, strength_clip)))
}

fn joined<const N: usize>(parts: [Option<Hooks>; N]) -> Hooks {
    parts.into_iter().flatten().fold(Hooks::default(), |all, hooks| all.joined(&hooks))
}

/// The hooks of two groups; one that is in several counts once.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct CombineHooks2 {
    /// A group of hooks.
    pub hooks_A: Option<Hooks>,
    /// A group of hooks.
    pub hooks_B: Option<Hooks>,
}

impl Node for CombineHooks2 {
    const CATEGORY: &str = COMBINE;
    const TITLE: &str = "Combine Hooks [2]";
    type Output = Hooks;

    fn run(self, _: &mut Context) -> Result<Hooks> {
        Ok(joined([self.hooks_A, self.hooks_B]))
    }
}

/// The hooks of four groups; one that is in several counts once.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct CombineHooks4 {
    /// A group of hooks.
    pub hooks_A: Option<Hooks>,
    /// A group of hooks.
    pub hooks_B: Option<Hooks>,
    /// A group of hooks.
    pub hooks_C: Option<Hooks>,
    /// A group of hooks.
    pub hooks_D: Option<Hooks>,
}

impl Node for CombineHooks4 {
    const CATEGORY: &str = COMBINE;
    const TITLE: &str = "Combine Hooks [4]";
    type Output = Hooks;

    fn run(self, _: &mut Context) -> Result<Hooks> {
        Ok(joined([self.hooks_A, self.hooks_B, self.hooks_C, self.hooks_D]))
    }
}

/// The hooks of eight groups; one that is in several counts once.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct CombineHooks8 {
    /// A group of hooks.
    pub hooks_A: Option<Hooks>,
    /// A group of hooks.
    pub hooks_B: Option<Hooks>,
    /// A group of hooks.
    pub hooks_C: Option<Hooks>,
    /// A group of hooks.
    pub hooks_D: Option<Hooks>,
    /// A group of hooks.
    pub hooks_E: Option<Hooks>,
    /// A group of hooks.
    pub hooks_F: Option<Hooks>,
    /// A group of hooks.
    pub hooks_G: Option<Hooks>,
    /// A group of hooks.
    pub hooks_H: Option<Hooks>,
}

impl Node for CombineHooks8 {
    const CATEGORY: &str = COMBINE;
    const TITLE: &str = "Combine Hooks [8]";
    type Output = Hooks;

    fn run(self, _: &mut Context) -> Result<Hooks> {
        Ok(joined([
            self.hooks_A,
            self.hooks_B,
            self.hooks_C,
            self.hooks_D,
            self.hooks_E,
            self.hooks_F,
            self.hooks_G,
            self.hooks_H,
        ]))
    }
}

/// Makes hooks stronger or weaker during a run.
#[derive(Inputs)]
pub struct SetHookKeyframes {
    /// The hooks.
    pub hooks: Hooks,
    /// When they have which strength.
    pub hook_kf: Option<Keyframes>,
}

impl Node for SetHookKeyframes {
    const CATEGORY: &str = SCHEDULING;
    const TITLE: &str = "Set Hook Keyframes";
    type Output = Hooks;

    fn run(self, _: &mut Context) -> Result<Hooks> {
        let Some(keyframes) = self.hook_kf else { return Ok(self.hooks) };
        Ok(self.hooks.with_keyframes(&keyframes))
    }
}

/// From a part of the run on, multiplies the strength of hooks.
#[derive(Inputs)]
pub struct CreateHookKeyframe {
    /// What the strength is multiplied by.
    #[widget(number(1.0).range(-20.0..=20.0).step(0.01))]
    pub strength_mult: f64,
    /// From this part of the run on; 0 is the beginning.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// Keyframes that go along.
    pub prev_hook_kf: Option<Keyframes>,
}

impl Node for CreateHookKeyframe {
    const CATEGORY: &str = SCHEDULING;
    const TITLE: &str = "Create Hook Keyframe";
    const OUTPUT_NAMES: &[&str] = &["HOOK_KF"];
    type Output = Keyframes;

    fn run(self, _: &mut Context) -> Result<Keyframes> {
        let (strength, start_percent) = (self.strength_mult, self.start_percent);
        let frame = Keyframe { strength, start_percent, guaranteed: true };
        Ok(self.prev_hook_kf.unwrap_or_default().with([frame]))
    }
}

/// Lets the strength of hooks go from one value to another.
#[derive(Inputs)]
pub struct CreateHookKeyframesInterpolated {
    /// What the strength is multiplied by at first.
    #[widget(number(1.0).range(0.0..=10.0).step(0.001))]
    pub strength_start: f64,
    /// What the strength is multiplied by at last.
    #[widget(number(1.0).range(0.0..=10.0).step(0.001))]
    pub strength_end: f64,
    /// How it goes from one to the other.
    #[widget(one_of(["linear", "ease_in", "ease_out", "ease_in_out"]))]
    pub interpolation: String,
    /// From this part of the run on.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// Up to this part of the run.
    #[widget(number(1.0).range(0.0..=1.0).step(0.001))]
    pub end_percent: f64,
    /// In how many values.
    #[widget(number(5).range(2..=100).step(1))]
    pub keyframes_count: usize,
    /// Whether to tell them.
    #[widget(toggle(false))]
    pub print_keyframes: bool,
    /// Keyframes that go along.
    pub prev_hook_kf: Option<Keyframes>,
}

impl Node for CreateHookKeyframesInterpolated {
    const CATEGORY: &str = SCHEDULING;
    const TITLE: &str = "Create Hook Keyframes Interp.";
    const OUTPUT_NAMES: &[&str] = &["HOOK_KF"];
    type Output = Keyframes;

    fn run(self, ctx: &mut Context) -> Result<Keyframes> {
        let times = evenly(0.0, 1.0, self.keyframes_count);
        let span = self.strength_end - self.strength_start;
        let strength = |t: &f64| self.strength_start + span * eased(&self.interpolation, *t);
        let strengths: Vec<f64> = times.iter().map(strength).collect();
        let range = (self.start_percent, self.end_percent);
        let frames = spread(&strengths, range);
        if self.print_keyframes {
            tell(ctx, &frames);
        }
        Ok(self.prev_hook_kf.unwrap_or_default().with(frames))
    }
}

/// Numbers, one for each of some places in a run.
#[derive(Clone, Debug)]
pub struct Floats(pub Arc<[f64]>);

impl Field for Floats {
    const TYPE: &str = "FLOATS";
}

/// A number stands for a list of it alone.
fn floats(json: &Json) -> Result<Value> {
    let number = json.as_f64().with_context(|| format!("{json} is not a number"))?;
    Ok(Floats([number].into()).into_value())
}

/// Gives the strength of hooks a value of its own in each part of a run.
#[derive(Inputs)]
pub struct CreateHookKeyframesFromFloats {
    /// What the strength is multiplied by, one value after another.
    #[widget(literal(super::hooks::floats).with("default", -1).with("min", -1).with("step", 0.001))]
    pub floats_strength: Floats,
    /// From this part of the run on.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// Up to this part of the run.
    #[widget(number(1.0).range(0.0..=1.0).step(0.001))]
    pub end_percent: f64,
    /// Whether to tell the keyframes.
    #[widget(toggle(false))]
    pub print_keyframes: bool,
    /// Keyframes that go along.
    pub prev_hook_kf: Option<Keyframes>,
}

impl Node for CreateHookKeyframesFromFloats {
    const CATEGORY: &str = SCHEDULING;
    const TITLE: &str = "Create Hook Keyframes From Floats";
    const OUTPUT_NAMES: &[&str] = &["HOOK_KF"];
    type Output = Keyframes;

    fn run(self, ctx: &mut Context) -> Result<Keyframes> {
        let frames = spread(&self.floats_strength.0, (self.start_percent, self.end_percent));
        if self.print_keyframes {
            tell(ctx, &frames);
        }
        Ok(self.prev_hook_kf.unwrap_or_default().with(frames))
    }
}

/// How far it has gone at the time `t`, both from 0 to 1.
fn eased(kind: &str, t: f64) -> f64 {
    match kind {
        "ease_in" => t * t,
        "ease_out" => 1.0 - (1.0 - t) * (1.0 - t),
        "ease_in_out" => (1.0 - (t * std::f64::consts::PI).cos()) / 2.0,
        _ => t,
    }
}

/// So many numbers, the first and the last of which are these.
fn evenly(from: f64, to: f64, count: usize) -> Vec<f64> {
    let last = count.saturating_sub(1).max(1) as f64;
    (0..count).map(|i| from + (to - from) * i as f64 / last).collect()
}

/// Keyframes at even distances, of which only the first is sure of a step.
fn spread(strengths: &[f64], (start, end): (f64, f64)) -> Vec<Keyframe> {
    let starts = evenly(start, end, strengths.len());
    let frame = |(i, (strength, start)): (usize, (&f64, &f64))| Keyframe {
        strength: *strength,
        start_percent: *start,
        guaranteed: i == 0,
    };
    strengths.iter().zip(&starts).enumerate().map(frame).collect()
}

fn tell(ctx: &mut Context, frames: &[Keyframe]) {
    for Keyframe { strength, start_percent, .. } in frames {
        ctx.note(format!("keyframe: {strength:.3} from {:.1} %", 100.0 * start_percent));
    }
}

/// Changes a text encoder by hooks, and has the model changed for what it encodes.
#[derive(Inputs)]
pub struct SetClipHooks {
    /// The text encoder.
    pub clip: Clip,
    /// Whether the model is changed for the prompts, too.
    #[widget(toggle(true))]
    pub apply_to_conds: bool,
    /// Whether keyframes count for the text encoder: each prompt is then encoded for each of them.
    #[widget(toggle(false))]
    pub schedule_clip: bool,
    /// The hooks.
    pub hooks: Option<Hooks>,
}

impl Node for SetClipHooks {
    const CATEGORY: &str = "advanced/hooks/clip";
    const TITLE: &str = "Set CLIP Hooks";
    type Output = Clip;

    fn run(self, _: &mut Context) -> Result<Clip> {
        let Some(hooks) = self.hooks else { return Ok(self.clip) };
        let (tells_conds, scheduled) = (self.apply_to_conds, self.schedule_clip);
        Ok(Clip { hooks: Some(ClipHooks { hooks, tells_conds, scheduled }), ..self.clip })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strengths_go_from_one_to_the_other() {
        let frames = spread(&evenly(0.0, 1.0, 3), (0.2, 0.8));
        assert_eq!(frames[1], Keyframe { strength: 0.5, start_percent: 0.5, guaranteed: false });
        assert!(frames[0].guaranteed && (frames[2].start_percent - 0.8).abs() < 1e-12);
        for kind in ["linear", "ease_in", "ease_out", "ease_in_out"] {
            assert_eq!([eased(kind, 0.0), eased(kind, 1.0)], [0.0, 1.0], "{kind}");
        }
        assert_eq!(eased("ease_in", 0.5), 0.25);
        assert_eq!(eased("ease_out", 0.5), 0.75);
        assert!((eased("ease_in_out", 0.5) - 0.5).abs() < 1e-12);
    }
}
