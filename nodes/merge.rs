//! Two models, or text encoders, made one.

use crate::{Clip, Model};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use models::Shares;

/// A mixture of two models.
#[derive(Inputs)]
pub struct ModelMergeSimple {
    /// One model; settings that are no weights are its.
    pub model1: Model,
    /// The other model.
    pub model2: Model,
    /// The share of the first.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub ratio: f64,
}

impl Node for ModelMergeSimple {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "ModelMergeSimple";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        mixed(ctx, &self.model1, &self.model2, &|_| part(self.ratio))
    }
}

/// The sum of two models: what a difference of models is added with.
#[derive(Inputs)]
pub struct ModelMergeAdd {
    /// One model; settings that are no weights are its.
    pub model1: Model,
    /// The other model.
    pub model2: Model,
}

impl Node for ModelMergeAdd {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "ModelMergeAdd";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        mixed(ctx, &self.model1, &self.model2, &|_| Shares { own: 1.0, other: 1.0 })
    }
}

/// The difference of two models, to be added to a third.
#[derive(Inputs)]
pub struct ModelMergeSubtract {
    /// What is subtracted from.
    pub model1: Model,
    /// What is subtracted.
    pub model2: Model,
    /// By what the difference is multiplied.
    #[widget(number(1.0).range(-10.0..=10.0).step(0.01))]
    pub multiplier: f64,
}

impl Node for ModelMergeSubtract {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "ModelMergeSubtract";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        mixed(ctx, &self.model1, &self.model2, &|_| difference(self.multiplier))
    }
}

/// A mixture of two models that is not the same everywhere in the network.
#[derive(Inputs)]
pub struct ModelMergeBlocks {
    /// One model; settings that are no weights are its.
    pub model1: Model,
    /// The other model.
    pub model2: Model,
    /// The share of the first in the half that shrinks the picture, and where no other share counts.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub input: f64,
    /// The share of the first in the middle.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub middle: f64,
    /// The share of the first in the half that grows the picture.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub out: f64,
}

impl Node for ModelMergeBlocks {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "ModelMergeBlocks";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        let ratios = [("input", self.input), ("middle", self.middle), ("out", self.out)];
        mixed(ctx, &self.model1, &self.model2, &|key| part(ratio_of(key, &ratios)))
    }
}

/// The share whose name is the longest beginning of the key; else the first.
pub(crate) fn ratio_of(key: &str, ratios: &[(&str, f64)]) -> f64 {
    let fitting = ratios.iter().filter(|(name, _)| key.starts_with(name));
    fitting.max_by_key(|(name, _)| name.len()).unwrap_or(&ratios[0]).1
}

pub(crate) fn part(ratio: f64) -> Shares {
    Shares { own: ratio as f32, other: (1.0 - ratio) as f32 }
}

fn difference(multiplier: f64) -> Shares {
    Shares { own: multiplier as f32, other: -multiplier as f32 }
}

pub(crate) fn mixed(
    ctx: &mut Context,
    model: &Model,
    other: &Model,
    shares: &dyn Fn(&str) -> Shares,
) -> Result<Model> {
    let (unet, told) = model.unet.mixed(&other.unet, shares)?;
    told.into_iter().for_each(|told| ctx.note(told));
    Ok(Model { unet, ..model.clone() })
}

/// A mixture of two text encoders.
#[derive(Inputs)]
pub struct CLIPMergeSimple {
    /// One text encoder.
    pub clip1: Clip,
    /// The other text encoder.
    pub clip2: Clip,
    /// The share of the first.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub ratio: f64,
}

impl Node for CLIPMergeSimple {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "CLIPMergeSimple";
    type Output = Clip;

    fn run(self, ctx: &mut Context) -> Result<Clip> {
        mixed_clip(ctx, &self.clip1, &self.clip2, part(self.ratio))
    }
}

/// The sum of two text encoders.
#[derive(Inputs)]
pub struct CLIPMergeAdd {
    /// One text encoder.
    pub clip1: Clip,
    /// The other text encoder.
    pub clip2: Clip,
}

impl Node for CLIPMergeAdd {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "CLIPMergeAdd";
    type Output = Clip;

    fn run(self, ctx: &mut Context) -> Result<Clip> {
        mixed_clip(ctx, &self.clip1, &self.clip2, Shares { own: 1.0, other: 1.0 })
    }
}

/// The difference of two text encoders.
#[derive(Inputs)]
pub struct CLIPMergeSubtract {
    /// What is subtracted from.
    pub clip1: Clip,
    /// What is subtracted.
    pub clip2: Clip,
    /// By what the difference is multiplied.
    #[widget(number(1.0).range(-10.0..=10.0).step(0.01))]
    pub multiplier: f64,
}

impl Node for CLIPMergeSubtract {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "CLIPMergeSubtract";
    type Output = Clip;

    fn run(self, ctx: &mut Context) -> Result<Clip> {
        mixed_clip(ctx, &self.clip1, &self.clip2, difference(self.multiplier))
    }
}

fn mixed_clip(ctx: &mut Context, clip: &Clip, other: &Clip, shares: Shares) -> Result<Clip> {
    let (encoder, told) = clip.encoder.mixed(&other.encoder, shares)?;
    told.into_iter().for_each(|told| ctx.note(told));
    Ok(Clip { encoder, ..clip.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_of_a_key_says_the_share() {
        let ratios = [("input", 0.1), ("middle", 0.2), ("out", 0.3)];
        for (key, ratio) in
            [("time_embed.0.weight", 0.1), ("output_blocks.3.0.x", 0.3), ("out.2.bias", 0.3)]
        {
            assert_eq!(ratio_of(key, &ratios), ratio, "{key}");
        }
        let ratios = [("time_embed.", 0.1), ("input_blocks.1.", 0.2), ("input_blocks.10.", 0.3)];
        assert_eq!(ratio_of("input_blocks.10.0.x", &ratios), 0.3);
        assert_eq!(ratio_of("input_blocks.1.0.x", &ratios), 0.2);
    }
}
