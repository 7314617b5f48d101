//! Elementwise sums and products of two values.

use super::Op;
use crate::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Add,
    Mul,
}

/// `y = a + b` or `y = a b`; `b` has `a`'s shape, or is `[B, C]` for an `a` of `[B, .., C]`.
#[derive(Debug)]
pub(crate) struct Binary {
    pub kind: Kind,
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        "binary"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        output.iter().product::<usize>() as u64
    }
}

impl Tensor {
    /// `self + other`, where `other` has the same shape, or is `[B, C]` for `self` of `[B, .., C]`.
    #[track_caller]
    pub fn add(&self, other: &Tensor) -> Tensor {
        self.binary(other, Kind::Add)
    }
    /// `self * other`, shapes as for [`Tensor::add`].
    #[track_caller]
    pub fn mul(&self, other: &Tensor) -> Tensor {
        self.binary(other, Kind::Mul)
    }
    #[track_caller]
    fn binary(&self, other: &Tensor, kind: Kind) -> Tensor {
        let rows = [self.dim(0), self.channels()];
        let fits = self.shape() == other.shape() || *other.shape() == rows;
        assert!(fits, "{kind:?} of {:?} and {:?}", self.shape(), other.shape());
        self.record(Binary { kind }, &[other], self.shape())
    }
}
