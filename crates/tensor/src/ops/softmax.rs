//! Softmax over the last dimension: `y[r, c] = exp(x[r, c] - max x[r, :]) / sum` of the same.

use super::Op;
use crate::Tensor;

#[derive(Debug)]
pub(crate) struct Softmax;

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        5 * output.iter().product::<usize>() as u64
    }
}

impl Tensor {
    /// `[.., C]`, each row of the last dimension made positive with sum 1.
    pub fn softmax(&self) -> Tensor {
        self.record(Softmax, &[], self.shape())
    }
}
