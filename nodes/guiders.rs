//! A model with what it is told, and how the answers become one.

use crate::{Conditioning, Guider, Model};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use sampling::Rule;

impl Guider {
    /// Towards one prompt and away from another.
    pub(crate) fn cfg(
        model: Model,
        cfg: f64,
        positive: Conditioning,
        negative: Conditioning,
    ) -> Self {
        match model.perp_neg.clone() {
            Some((empty, neg_scale)) => Self {
                model,
                rule: Rule::PerpNeg { cfg, neg_scale },
                conds: vec![positive, negative, empty],
            },
            None => Self { model, rule: Rule::Cfg(cfg), conds: vec![positive, negative] },
        }
    }
}

/// Guides towards one prompt and away from another.
#[derive(Inputs)]
pub struct CFGGuider {
    /// Predicts the noise.
    pub model: Model,
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// How strongly the prompts pull; 1 ignores the negative one.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    pub cfg: f64,
}

impl Node for CFGGuider {
    const CATEGORY: &str = "sampling/custom_sampling/guiders";
    const TITLE: &str = "CFGGuider";
    type Output = Guider;

    fn run(self, _: &mut Context) -> Result<Guider> {
        Ok(Guider::cfg(self.model, self.cfg, self.positive, self.negative))
    }
}

/// Follows one prompt as it is.
#[derive(Inputs)]
pub struct BasicGuider {
    /// Predicts the noise.
    pub model: Model,
    /// What the picture should show.
    pub conditioning: Conditioning,
}

impl Node for BasicGuider {
    const CATEGORY: &str = "sampling/custom_sampling/guiders";
    const TITLE: &str = "BasicGuider";
    type Output = Guider;

    fn run(self, _: &mut Context) -> Result<Guider> {
        let nothing = Conditioning(Vec::new().into());
        Ok(Guider::cfg(self.model, 1.0, self.conditioning, nothing))
    }
}

/// Guides by two prompts with a strength each, such as an instruction and the picture it is for.
#[derive(Inputs)]
pub struct DualCFGGuider {
    /// Predicts the noise.
    pub model: Model,
    /// What the picture should show: with an instruction, both it and the picture.
    pub cond1: Conditioning,
    /// What of it counts for itself: with an instruction, the picture alone.
    pub cond2: Conditioning,
    /// What the picture should not show.
    pub negative: Conditioning,
    /// How strongly the first pulls from the second.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    pub cfg_conds: f64,
    /// How strongly the second pulls from the negative.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    pub cfg_cond2_negative: f64,
    /// nested lets the second strength count for what the first made.
    #[widget(one_of(["regular", "nested"]))]
    pub style: String,
}

impl Node for DualCFGGuider {
    const CATEGORY: &str = "sampling/custom_sampling/guiders";
    const TITLE: &str = "DualCFGGuider";
    type Output = Guider;

    fn run(self, _: &mut Context) -> Result<Guider> {
        let (conds, middle_negative) = (self.cfg_conds, self.cfg_cond2_negative);
        let rule = match self.style.as_str() {
            "nested" => Rule::NestedCfg { conds, middle_negative },
            _ => Rule::DualCfg { conds, middle_negative },
        };
        Ok(Guider { model: self.model, rule, conds: vec![self.cond1, self.cond2, self.negative] })
    }
}

/// Guides away from a prompt only as far as that takes nothing from the other.
#[derive(Inputs)]
pub struct PerpNegGuider {
    /// Predicts the noise.
    pub model: Model,
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// An empty prompt, which both are measured from.
    pub empty_conditioning: Conditioning,
    /// How strongly the prompts pull.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    pub cfg: f64,
    /// How much the negative prompt counts.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01))]
    pub neg_scale: f64,
}

impl Node for PerpNegGuider {
    const CATEGORY: &str = "_for_testing";
    type Output = Guider;

    fn run(self, _: &mut Context) -> Result<Guider> {
        let rule = Rule::PerpNeg { cfg: self.cfg, neg_scale: self.neg_scale };
        let conds = vec![self.positive, self.negative, self.empty_conditioning];
        Ok(Guider { model: self.model, rule, conds })
    }
}
