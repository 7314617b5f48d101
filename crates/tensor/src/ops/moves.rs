//! Operations that only move numbers: concatenation, slices, permutation, upsampling.

use super::Op;
use crate::Tensor;

/// Inputs one after another along `axis`.
#[derive(Debug)]
pub(crate) struct Concat {
    pub axis: usize,
}
/// `start..start + len` along `axis`.
#[derive(Debug)]
pub(crate) struct Slice {
    pub axis: usize,
    pub start: usize,
}
/// Output dimension `i` is input dimension `order[i]`.
#[derive(Debug)]
pub(crate) struct Permute {
    pub order: Vec<usize>,
}
/// Every pixel twice in each direction.
#[derive(Debug)]
pub(crate) struct Upsample2x;

macro_rules! moves { ($($op:ident = $name:literal),*) => {$(
    impl Op for $op {
        fn name(&self) -> &'static str { $name }
        fn flops(&self, _: &[&[usize]], _: &[usize]) -> u64 { 0 }
    }
)*}}
moves!(Concat = "concat", Slice = "slice", Permute = "permute", Upsample2x = "upsample2x");

impl Tensor {
    /// `self`, then `others`, along `axis`.
    #[track_caller]
    pub fn concat(&self, others: &[&Tensor], axis: usize) -> Tensor {
        let mut shape = self.shape().to_vec();
        for other in others {
            let same = (0..shape.len()).all(|i| i == axis || other.dim(i) == shape[i]);
            assert!(same, "concat of {shape:?} and {:?} along {axis}", other.shape());
            shape[axis] += other.dim(axis);
        }
        self.record(Concat { axis }, others, &shape)
    }

    /// `start..start + len` along `axis`.
    #[track_caller]
    pub fn slice(&self, axis: usize, start: usize, len: usize) -> Tensor {
        assert!(start + len <= self.dim(axis), "slice {start}+{len} of {:?}", self.shape());
        let mut shape = self.shape().to_vec();
        shape[axis] = len;
        self.record(Slice { axis, start }, &[], &shape)
    }

    /// Output dimension `i` is input dimension `order[i]`.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor {
        let shape: Vec<usize> = order.iter().map(|i| self.dim(*i)).collect();
        assert_eq!(shape.len(), self.shape().len(), "permute {order:?} of {:?}", self.shape());
        self.record(Permute { order: order.to_vec() }, &[], &shape)
    }

    /// `[B, H, W, C]` to `[B, 2 H, 2 W, C]` by nearest neighbour.
    #[track_caller]
    pub fn upsample2x(&self) -> Tensor {
        let shape = [self.dim(0), 2 * self.dim(1), 2 * self.dim(2), self.dim(3)];
        self.record(Upsample2x, &[], &shape)
    }
}
