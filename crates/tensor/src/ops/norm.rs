//! Normalisation over groups of channels (Wu and He 2018) and over rows (Ba et al. 2016).

use super::Op;
use crate::{Act, Tensor, Weight};

/// Over `groups` groups of channels of each picture; then `act`.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    pub groups: usize,
    pub weight: Weight,
    pub bias: Weight,
    pub eps: f32,
    pub act: Act,
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        8 * output.iter().product::<usize>() as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        vec![&self.weight, &self.bias]
    }
}

/// Over the last dimension.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    pub weight: Weight,
    pub bias: Weight,
    pub eps: f32,
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        8 * output.iter().product::<usize>() as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        vec![&self.weight, &self.bias]
    }
}

impl Tensor {
    /// `[B, .., C]` to zero mean and unit variance over each group of `C / groups` channels of
    /// each batch entry, then scaled by `weight` and shifted by `bias`, both `[C]`.
    #[track_caller]
    pub fn group_norm(&self, groups: usize, weight: &Weight, bias: &Weight, eps: f32) -> Tensor {
        assert_eq!([self.channels()], *weight.shape(), "group_norm {}: channels", weight.key());
        assert_eq!(self.channels() % groups, 0, "group_norm {}: {groups} groups", weight.key());
        let (weight, bias) = (weight.clone(), bias.clone());
        let op = GroupNorm { groups, weight, bias, eps, act: Act::Identity };
        self.record(op, &[], self.shape())
    }

    /// `[.., C]` to zero mean and unit variance over the last dimension, scaled and shifted.
    #[track_caller]
    pub fn layer_norm(&self, weight: &Weight, bias: &Weight, eps: f32) -> Tensor {
        assert_eq!([self.channels()], *weight.shape(), "layer_norm {}: channels", weight.key());
        let op = LayerNorm { weight: weight.clone(), bias: bias.clone(), eps };
        self.record(op, &[], self.shape())
    }
}
