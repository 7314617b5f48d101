//! Conditionings combined, and held to a place or a time.

use crate::{Conditioning, Mask};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use ndarray::{Axis, concatenate};
use sampling::{Area, Region};
use std::sync::Arc;

/// Both conditionings at once: what the network says to each is mixed.
#[derive(Inputs)]
pub struct ConditioningCombine {
    /// The first conditioning.
    pub conditioning_1: Conditioning,
    /// The second conditioning.
    pub conditioning_2: Conditioning,
}

impl Node for ConditioningCombine {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "Conditioning (Combine)";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let both = self.conditioning_1.0.iter().chain(&*self.conditioning_2.0).cloned();
        Ok(Conditioning(Arc::new(both.collect())))
    }
}

/// One prompt after the other, as if they were one longer prompt.
#[derive(Inputs)]
pub struct ConditioningConcat {
    /// What comes first.
    pub conditioning_to: Conditioning,
    /// What comes after; its first entry counts.
    pub conditioning_from: Conditioning,
}

impl Node for ConditioningConcat {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "Conditioning (Concat)";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let from = first(&self.conditioning_from)?.payload.tokens.clone();
        Ok(self.conditioning_to.map(|e| {
            e.payload.tokens = Arc::new(concatenate![Axis(1), *e.payload.tokens, *from]);
        }))
    }
}

/// A mixture of two prompts: the network is told what lies between them.
#[derive(Inputs)]
pub struct ConditioningAverage {
    /// The one that `conditioning_to_strength` speaks of.
    pub conditioning_to: Conditioning,
    /// The other; its first entry counts.
    pub conditioning_from: Conditioning,
    /// The share of `conditioning_to`.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub conditioning_to_strength: f64,
}

impl Node for ConditioningAverage {
    const CATEGORY: &str = "conditioning";
    type Output = Conditioning;
    const TITLE: &str = "ConditioningAverage";

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let from = &first(&self.conditioning_from)?.payload;
        let share = self.conditioning_to_strength as f32;
        Ok(self.conditioning_to.map(|e| {
            let told = &mut e.payload;
            // Places that the other prompt does not have count as zeros.
            let other = |i: usize, c: usize| from.tokens.get([0, i, c]).copied().unwrap_or(0.0);
            let mut tokens = (*told.tokens).clone();
            tokens
                .indexed_iter_mut()
                .for_each(|((_, i, c), x)| *x = *x * share + other(i, c) * (1.0 - share));
            told.tokens = Arc::new(tokens);
            if let (Some(to), Some(from)) = (&told.pooled, &from.pooled) {
                let mixed = to.iter().zip(from.iter()).map(|(a, b)| a * share + b * (1.0 - share));
                told.pooled = Some(Arc::new(mixed.collect()));
            }
        }))
    }
}

fn first(conditioning: &Conditioning) -> Result<&sampling::Cond<crate::Told>> {
    conditioning.0.first().context("the conditioning has no entry")
}

/// Holds a conditioning to a rectangle of the picture.
#[derive(Inputs)]
pub struct ConditioningSetArea {
    /// What to hold.
    pub conditioning: Conditioning,
    /// In pixels.
    #[widget(number(64).range(64..=16384).step(8))]
    pub width: usize,
    /// In pixels.
    #[widget(number(64).range(64..=16384).step(8))]
    pub height: usize,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(8))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(8))]
    pub y: usize,
    /// How much it counts beside others.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
}

impl Node for ConditioningSetArea {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "Conditioning (Set Area)";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let area =
            Area { height: self.height / 8, width: self.width / 8, y: self.y / 8, x: self.x / 8 };
        Ok(self.conditioning.map(|e| {
            e.region = Some(Region::Area(area));
            e.strength = self.strength as f32;
            e.set_area_to_bounds = false;
        }))
    }
}

/// Holds a conditioning to a rectangle of the picture, in parts of its size.
#[derive(Inputs)]
pub struct ConditioningSetAreaPercentage {
    /// What to hold.
    pub conditioning: Conditioning,
    /// A part of the picture's width.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub width: f64,
    /// A part of the picture's height.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub height: f64,
    /// From the left, as a part of the width.
    #[widget(number(0.0).range(0.0..=1.0).step(0.01))]
    pub x: f64,
    /// From the top, as a part of the height.
    #[widget(number(0.0).range(0.0..=1.0).step(0.01))]
    pub y: f64,
    /// How much it counts beside others.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
}

impl Node for ConditioningSetAreaPercentage {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "Conditioning (Set Area with Percentage)";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        let Self { height, width, y, x, .. } = self;
        Ok(self.conditioning.map(|e| {
            e.region = Some(Region::Percent { height, width, y, x });
            e.strength = self.strength as f32;
            e.set_area_to_bounds = false;
        }))
    }
}

/// How much a conditioning counts beside others where they overlap.
#[derive(Inputs)]
pub struct ConditioningSetAreaStrength {
    /// The conditioning.
    pub conditioning: Conditioning,
    /// How much it counts.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
}

impl Node for ConditioningSetAreaStrength {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "ConditioningSetAreaStrength";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        Ok(self.conditioning.map(|e| e.strength = self.strength as f32))
    }
}

/// Holds a conditioning to a mask.
#[derive(Inputs)]
pub struct ConditioningSetMask {
    /// What to hold.
    pub conditioning: Conditioning,
    /// Where it counts.
    pub mask: Mask,
    /// How much it counts there.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub strength: f64,
    /// Whether the network sees the whole picture, or the mask's rectangle only.
    #[widget(one_of(["default", "mask bounds"]))]
    pub set_cond_area: String,
}

impl Node for ConditioningSetMask {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "Conditioning (Set Mask)";
    type Output = Conditioning;

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        Ok(self.conditioning.map(|e| {
            e.mask = Some((*self.mask.0).clone());
            e.mask_strength = self.strength as f32;
            e.set_area_to_bounds = self.set_cond_area != "default";
        }))
    }
}

/// Holds a conditioning to part of the steps.
#[derive(Inputs)]
pub struct ConditioningSetTimestepRange {
    /// What to hold.
    pub conditioning: Conditioning,
    /// From this part of the run on; 0 is the beginning.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub start: f64,
    /// To this part of the run; 1 is the end.
    #[widget(number(1.0).range(0.0..=1.0).step(0.001))]
    pub end: f64,
}

impl Node for ConditioningSetTimestepRange {
    const CATEGORY: &str = "advanced/conditioning";
    type Output = Conditioning;
    const TITLE: &str = "ConditioningSetTimestepRange";

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        Ok(self.conditioning.map(|e| (e.start_percent, e.end_percent) = (self.start, self.end)))
    }
}

/// A conditioning that says nothing: all numbers are zero.
#[derive(Inputs)]
pub struct ConditioningZeroOut {
    /// What to silence.
    pub conditioning: Conditioning,
}

impl Node for ConditioningZeroOut {
    const CATEGORY: &str = "advanced/conditioning";
    type Output = Conditioning;
    const TITLE: &str = "ConditioningZeroOut";

    fn run(self, _: &mut Context) -> Result<Conditioning> {
        Ok(self.conditioning.map(|e| {
            let told = &mut e.payload;
            told.tokens = Arc::new(told.tokens.mapv(|_| 0.0));
            told.pooled = told.pooled.as_ref().map(|p| Arc::new(vec![0.0; p.len()]));
        }))
    }
}
