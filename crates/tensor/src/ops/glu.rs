//! Gated linear units: GEGLU (Shazeer 2020), `y = a gelu(b)` where `x = [a | b]`.

use super::Op;
use crate::Tensor;

#[derive(Debug)]
pub(crate) struct Geglu;

impl Op for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        8 * output.iter().product::<usize>() as u64
    }
}

impl Tensor {
    /// `[.., 2 C]` to `[.., C]`: the first half times the GELU of the second.
    #[track_caller]
    pub fn geglu(&self) -> Tensor {
        assert_eq!(self.channels() % 2, 0, "geglu halves the channels");
        let mut shape = self.shape().to_vec();
        *shape.last_mut().expect("a tensor has dimensions") /= 2;
        self.record(Geglu, &[], &shape)
    }
}
