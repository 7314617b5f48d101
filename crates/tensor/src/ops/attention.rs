//! Scaled dot-product attention (Vaswani et al. 2017), heads side by side in the channels.

use super::Op;
use crate::Tensor;

#[derive(Debug)]
pub(crate) struct Attention {
    pub heads: usize,
    /// Token i sees tokens 0..=i only.
    pub causal: bool,
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        4 * (output.iter().product::<usize>() * inputs[1][1]) as u64
    }
}

impl Tensor {
    /// Queries `[B, T, heads D]` on keys and values `[B, S, heads D]`: `[B, T, heads D]`.
    /// Scores are scaled by `1 / sqrt(D)`.
    #[track_caller]
    pub fn attention(&self, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Tensor {
        assert_eq!(k.shape(), v.shape(), "attention: keys and values");
        assert_eq!([self.dim(0), self.dim(2)], [k.dim(0), k.dim(2)], "attention: queries and keys");
        assert_eq!(self.channels() % heads, 0, "attention: {heads} heads");
        self.record(Attention { heads, causal }, &[k, v], self.shape())
    }
}
