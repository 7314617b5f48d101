//! Changes to how a model is guided.

use crate::{Conditioning, Model};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use sampling::{Grade, Patch, Reuse};

/// Keeps strong guidance from making pictures glaring.
#[derive(Inputs)]
pub struct RescaleCFG {
    /// The model.
    pub model: Model,
    /// How much of the rescaled prediction is taken.
    #[widget(number(0.7).range(0.0..=1.0).step(0.01))]
    pub multiplier: f64,
}

impl Node for RescaleCFG {
    const CATEGORY: &str = "advanced/model";
    const TITLE: &str = "RescaleCFG";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::RescaleCfg(self.multiplier as f32)))
    }
}

/// Scales the negative prediction to fit the positive one best.
#[derive(Inputs)]
pub struct CFGZeroStar {
    /// The model.
    pub model: Model,
}

impl Node for CFGZeroStar {
    const CATEGORY: &str = "advanced/guidance";
    const OUTPUT_NAMES: &[&str] = &["patched_model"];
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::ZeroStar))
    }
}

/// Makes no latent pixel longer than the positive prompt alone does.
#[derive(Inputs)]
pub struct CFGNorm {
    /// The model.
    pub model: Model,
    /// What the result is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01))]
    pub strength: f64,
}

impl Node for CFGNorm {
    const CATEGORY: &str = "advanced/guidance";
    const OUTPUT_NAMES: &[&str] = &["patched_model"];
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::Norm(self.strength as f32)))
    }
}

/// Takes from the negative prediction what has nothing to do with the positive one.
#[derive(Inputs)]
pub struct TCFG {
    /// The model.
    pub model: Model,
}

impl Node for TCFG {
    const CATEGORY: &str = "advanced/guidance";
    const TITLE: &str = "Tangential Damping CFG";
    const OUTPUT_NAMES: &[&str] = &["patched_model"];
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::Tangential))
    }
}

/// Guides strongly without glaring colours: less along the picture, no further than a length.
#[derive(Inputs)]
pub struct APG {
    /// The model.
    pub model: Model,
    /// How much of the guidance along the picture stays.
    #[widget(number(1.0).range(-10.0..=10.0).step(0.01))]
    pub eta: f64,
    /// The longest that guidance may be; 0 is any length.
    #[widget(number(5.0).range(0.0..=50.0).step(0.1))]
    pub norm_threshold: f64,
    /// How much of the guidance in the steps before is added; below 0 it is taken away.
    #[widget(number(0.0).range(-5.0..=1.0).step(0.01))]
    pub momentum: f64,
}

impl Node for APG {
    const CATEGORY: &str = "sampling/custom_sampling";
    const TITLE: &str = "Adaptive Projected Guidance";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::Projected {
            eta: self.eta as f32,
            norm_threshold: self.norm_threshold as f32,
            momentum: self.momentum as f32,
        }))
    }
}

/// Follows the positive prompt the more, the less the result has of the negative one.
#[derive(Inputs)]
pub struct Mahiro {
    /// The model.
    pub model: Model,
}

impl Node for Mahiro {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str =
        "Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)";
    const OUTPUT_NAMES: &[&str] = &["patched_model"];
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::Mahiro))
    }
}

/// Takes a little less noise away in each step than was predicted.
#[derive(Inputs)]
#[class("Epsilon Scaling")]
pub struct EpsilonScaling {
    /// The model.
    pub model: Model,
    /// What the predicted noise is divided by.
    #[widget(number(1.005).range(0.5..=1.5).step(0.001).with("display", "number"))]
    pub scaling_factor: f64,
}

impl Node for EpsilonScaling {
    const CATEGORY: &str = "model_patches/unet";
    const TITLE: &str = "Epsilon Scaling";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::EpsilonScaling(self.scaling_factor as f32)))
    }
}

/// Strengthens the fine parts of what guidance adds, or the coarse ones.
#[derive(Inputs)]
pub struct FreSca {
    /// The model.
    pub model: Model,
    /// Scales the coarse parts.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01))]
    pub scale_low: f64,
    /// Scales the fine parts.
    #[widget(number(1.25).range(0.0..=10.0).step(0.01))]
    pub scale_high: f64,
    /// How many waves across the latent the coarse parts have at most.
    #[widget(number(20).range(1..=10_000).step(1))]
    pub freq_cutoff: usize,
}

impl Node for FreSca {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "FreSca";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::Frequencies {
            low: self.scale_low as f32,
            high: self.scale_high as f32,
            cutoff: self.freq_cutoff,
        }))
    }
}

macro_rules! reuse { ($($(#[$doc:meta])* $node:ident: $guided:literal;)*) => {$(
    $(#[$doc])*
    #[derive(Inputs)]
    pub struct $node {
        /// The model.
        pub model: Model,
        /// How much change is let pass, as a part of the prediction: more is faster and less exact.
        #[widget(number(0.2).range(0.0..=3.0).step(0.01))]
        pub reuse_threshold: f64,
        /// From this part of the run on; 0 is the beginning.
        #[widget(number(0.15).range(0.0..=1.0).step(0.01))]
        pub start_percent: f64,
        /// To this part of the run; 1 is the end.
        #[widget(number(0.95).range(0.0..=1.0).step(0.01))]
        pub end_percent: f64,
        /// For the log of the original; changes nothing here.
        #[widget(toggle(false))]
        pub verbose: bool,
    }

    impl Node for $node {
        const CATEGORY: &str = "advanced/debug/model";
        const TITLE: &str = stringify!($node);
        type Output = Model;

        fn run(self, _: &mut Context) -> Result<Model> {
            Ok(self.model.guided(Patch::Reuse(Reuse {
                threshold: self.reuse_threshold as f32,
                start_percent: self.start_percent,
                end_percent: self.end_percent,
                guided: $guided,
            })))
        }
    }
)*}}

reuse! {
    /// Saves steps: where a prediction would change little, what the last one added is added again.
    EasyCache: false;
    /// As EasyCache, of what guidance makes of all predictions: works with everything, mostly not as well.
    LazyCache: true;
}

/// Makes a negative prompt count only as far as it takes nothing from the positive one.
#[derive(Inputs)]
pub struct PerpNeg {
    /// The model.
    pub model: Model,
    /// An empty prompt, which both are measured from.
    pub empty_conditioning: Conditioning,
    /// How much the negative prompt counts.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01))]
    pub neg_scale: f64,
}

impl Node for PerpNeg {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "Perp-Neg (DEPRECATED by PerpNegGuider)";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(Model { perp_neg: Some((self.empty_conditioning, self.neg_scale)), ..self.model })
    }
}

macro_rules! graded { ($($(#[$doc:meta])* $node:ident: $grade:ident;)*) => {$(
    $(#[$doc])*
    #[derive(Inputs)]
    pub struct $node {
        /// The model.
        pub model: Model,
        /// How strongly the first picture is guided.
        #[widget(number(1.0).range(0.0..=100.0).step(0.5).round(0.01))]
        pub min_cfg: f64,
    }

    impl Node for $node {
        const CATEGORY: &str = "sampling/video_models";
        const TITLE: &str = stringify!($node);
        type Output = Model;

        fn run(self, _: &mut Context) -> Result<Model> {
            let least = self.min_cfg as f32;
            Ok(self.model.guided(Patch::Graded { least, shape: Grade::$grade }))
        }
    }
)*}}

graded! {
    /// Guides the pictures of a batch ever more strongly, the last one as the sampler says.
    VideoLinearCFGGuidance: Linear;
    /// Guides the pictures of a batch more strongly towards the middle one, which is guided as the sampler says.
    VideoTriangleCFGGuidance: Triangle;
}
