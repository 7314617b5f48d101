//! What holds for a conditioning, all in one node: mask, part of the run, hooks; and the same for pairs.

use crate::{Conditioning, Mask, hook::Hooks};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use std::sync::Arc;

const SINGLE: &str = "advanced/hooks/cond single";
const PAIR: &str = "advanced/hooks/cond pair";
const SIDES: &[&str] = &["positive", "negative"];

/// A part of a run: where it starts and ends, 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimestepsRange(pub f64, pub f64);

/// A part of a run, and what comes before and after it.
#[derive(Inputs)]
pub struct ConditioningTimestepsRange {
    /// Where it starts; 0 is the beginning.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start_percent: f64,
    /// Where it ends; 1 is the end.
    #[widget(number(1.0).range(0.0..=1.0).step(0.001))]
    pub end_percent: f64,
}

impl Node for ConditioningTimestepsRange {
    const CATEGORY: &str = "advanced/hooks";
    const TITLE: &str = "Timesteps Range";
    const OUTPUT_NAMES: &[&str] = &["TIMESTEPS_RANGE", "BEFORE_RANGE", "AFTER_RANGE"];
    type Output = (TimestepsRange, TimestepsRange, TimestepsRange);

    fn run(self, _: &mut Context) -> Result<Self::Output> {
        let (start, end) = (self.start_percent, self.end_percent);
        Ok((TimestepsRange(start, end), TimestepsRange(0.0, start), TimestepsRange(end, 1.0)))
    }
}

/// What the nodes here set; what is not given stays as it is.
struct Properties {
    strength: f64,
    set_cond_area: String,
    mask: Option<Mask>,
    hooks: Option<Hooks>,
    timesteps: Option<TimestepsRange>,
}

impl Properties {
    fn of(&self, conditioning: &Conditioning) -> Conditioning {
        let hooked = with_hooks(conditioning, self.hooks.as_ref());
        hooked.map(|entry| {
            if let Some(mask) = &self.mask {
                entry.mask = Some((*mask.0).clone());
                entry.mask_strength = self.strength as f32;
                entry.set_area_to_bounds = self.set_cond_area != "default";
            }
            if let Some(TimestepsRange(start, end)) = self.timesteps {
                (entry.start_percent, entry.end_percent) = (start, end);
            }
        })
    }
}

fn with_hooks(conditioning: &Conditioning, hooks: Option<&Hooks>) -> Conditioning {
    let Some(hooks) = hooks else { return conditioning.clone() };
    conditioning.map(|entry| entry.payload.hooks = entry.payload.hooks.joined(hooks))
}

fn both(a: &Conditioning, b: &Conditioning) -> Conditioning {
    Conditioning(Arc::new(a.0.iter().chain(&*b.0).cloned().collect()))
}

/// With another that counts only where the first leaves a place.
fn with_default(
    conditioning: &Conditioning,
    default: &Conditioning,
    hooks: Option<&Hooks>,
) -> Conditioning {
    both(conditioning, &with_hooks(default, hooks).map(|entry| entry.fills = true))
}

/// The properties among a node's inputs.
macro_rules! properties {
    ($node:ident) => {
        Properties {
            strength: $node.strength,
            set_cond_area: $node.set_cond_area,
            mask: $node.mask,
            hooks: $node.hooks,
            timesteps: $node.timesteps,
        }
    };
}

/// Sets where, when and of which network a conditioning is asked.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct ConditioningSetProperties {
    /// The conditioning.
    pub cond_NEW: Conditioning,
    /// How much it counts within the mask; without a mask it has no effect.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// Whether the network sees the whole picture, or the mask's rectangle only.
    #[widget(one_of(["default", "mask bounds"]))]
    pub set_cond_area: String,
    /// Where it counts.
    pub mask: Option<Mask>,
    /// How the network is changed for it.
    pub hooks: Option<Hooks>,
    /// When it counts.
    pub timesteps: Option<TimestepsRange>,
}

impl Node for ConditioningSetProperties {
    const CATEGORY: &str = SINGLE;
    const TITLE: &str = "Cond Set Props";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let cond = self.cond_NEW;
        Ok(properties!(self).of(&cond))
    }
}

/// As Cond Set Props, combined with another conditioning.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct ConditioningSetPropertiesAndCombine {
    /// What it is combined with, as it is.
    pub cond: Conditioning,
    /// The conditioning.
    pub cond_NEW: Conditioning,
    /// How much it counts within the mask; without a mask it has no effect.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// Whether the network sees the whole picture, or the mask's rectangle only.
    #[widget(one_of(["default", "mask bounds"]))]
    pub set_cond_area: String,
    /// Where it counts.
    pub mask: Option<Mask>,
    /// How the network is changed for it.
    pub hooks: Option<Hooks>,
    /// When it counts.
    pub timesteps: Option<TimestepsRange>,
}

impl Node for ConditioningSetPropertiesAndCombine {
    const CATEGORY: &str = SINGLE;
    const TITLE: &str = "Cond Set Props Combine";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let (cond, new) = (self.cond, self.cond_NEW);
        Ok(both(&cond, &properties!(self).of(&new)))
    }
}

/// Sets where, when and of which network a positive and a negative are asked.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct PairConditioningSetProperties {
    /// What the picture should show.
    pub positive_NEW: Conditioning,
    /// What it should not show.
    pub negative_NEW: Conditioning,
    /// How much it counts within the mask; without a mask it has no effect.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// Whether the network sees the whole picture, or the mask's rectangle only.
    #[widget(one_of(["default", "mask bounds"]))]
    pub set_cond_area: String,
    /// Where it counts.
    pub mask: Option<Mask>,
    /// How the network is changed for it.
    pub hooks: Option<Hooks>,
    /// When it counts.
    pub timesteps: Option<TimestepsRange>,
}

impl Node for PairConditioningSetProperties {
    const CATEGORY: &str = PAIR;
    const TITLE: &str = "Cond Pair Set Props";
    const OUTPUT_NAMES: &[&str] = SIDES;
    type Output = (Conditioning, Conditioning);

    fn run(self, _: &mut Context) -> Result<Self::Output> {
        let pair = [self.positive_NEW, self.negative_NEW];
        let properties = properties!(self);
        Ok(pair.map(|cond| properties.of(&cond)).into())
    }
}

/// As Cond Pair Set Props, combined with another pair.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct PairConditioningSetPropertiesAndCombine {
    /// What the positive is combined with, as it is.
    pub positive: Conditioning,
    /// What the negative is combined with, as it is.
    pub negative: Conditioning,
    /// What the picture should show.
    pub positive_NEW: Conditioning,
    /// What it should not show.
    pub negative_NEW: Conditioning,
    /// How much it counts within the mask; without a mask it has no effect.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// Whether the network sees the whole picture, or the mask's rectangle only.
    #[widget(one_of(["default", "mask bounds"]))]
    pub set_cond_area: String,
    /// Where it counts.
    pub mask: Option<Mask>,
    /// How the network is changed for it.
    pub hooks: Option<Hooks>,
    /// When it counts.
    pub timesteps: Option<TimestepsRange>,
}

impl Node for PairConditioningSetPropertiesAndCombine {
    const CATEGORY: &str = PAIR;
    const TITLE: &str = "Cond Pair Set Props Combine";
    const OUTPUT_NAMES: &[&str] = SIDES;
    type Output = (Conditioning, Conditioning);

    fn run(self, _: &mut Context) -> Result<Self::Output> {
        let positive = (self.positive, self.positive_NEW);
        let negative = (self.negative, self.negative_NEW);
        let properties = properties!(self);
        Ok([positive, negative].map(|(cond, new)| both(&cond, &properties.of(&new))).into())
    }
}

/// Adds a conditioning for where no other counts.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct ConditioningSetDefaultCombine {
    /// What counts first.
    pub cond: Conditioning,
    /// What counts where masks and strengths of the first leave a place.
    pub cond_DEFAULT: Conditioning,
    /// How the network is changed for the default.
    pub hooks: Option<Hooks>,
}

impl Node for ConditioningSetDefaultCombine {
    const CATEGORY: &str = SINGLE;
    const TITLE: &str = "Cond Set Default Combine";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        Ok(with_default(&self.cond, &self.cond_DEFAULT, self.hooks.as_ref()))
    }
}

/// Adds a pair of conditionings for where no other counts.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct PairConditioningSetDefaultCombine {
    /// The positive that counts first.
    pub positive: Conditioning,
    /// The negative that counts first.
    pub negative: Conditioning,
    /// The positive for where the first leaves a place.
    pub positive_DEFAULT: Conditioning,
    /// The negative for where the first leaves a place.
    pub negative_DEFAULT: Conditioning,
    /// How the network is changed for the default.
    pub hooks: Option<Hooks>,
}

impl Node for PairConditioningSetDefaultCombine {
    const CATEGORY: &str = PAIR;
    const TITLE: &str = "Cond Pair Set Default Combine";
    const OUTPUT_NAMES: &[&str] = SIDES;
    type Output = (Conditioning, Conditioning);

    fn run(self, _: &mut Context) -> Result<Self::Output> {
        let hooks = self.hooks.as_ref();
        Ok((
            with_default(&self.positive, &self.positive_DEFAULT, hooks),
            with_default(&self.negative, &self.negative_DEFAULT, hooks),
        ))
    }
}

/// Two pairs of conditionings at once.
#[allow(non_snake_case, reason = "the names in files")]
#[derive(Inputs)]
pub struct PairConditioningCombine {
    /// The positive of the first pair.
    pub positive_A: Conditioning,
    /// The negative of the first pair.
    pub negative_A: Conditioning,
    /// The positive of the second pair.
    pub positive_B: Conditioning,
    /// The negative of the second pair.
    pub negative_B: Conditioning,
}

impl Node for PairConditioningCombine {
    const CATEGORY: &str = PAIR;
    const TITLE: &str = "Cond Pair Combine";
    const OUTPUT_NAMES: &[&str] = SIDES;
    type Output = (Conditioning, Conditioning);

    fn run(self, _: &mut Context) -> Result<Self::Output> {
        let Self { positive_A, negative_A, positive_B, negative_B } = self;
        Ok((both(&positive_A, &positive_B), both(&negative_A, &negative_B)))
    }
}
