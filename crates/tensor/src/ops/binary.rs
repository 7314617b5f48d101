//! Elementwise sums and products of two values.

use super::{Fusable, Op};
use crate::{Result, Tensor, cpu, gpu};
use multiversion::multiversion;
use std::ops::Range;

const KERNEL: gpu::Kernel = gpu::kernel!("binary");

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
    fn fusable(&self) -> Option<Fusable> {
        (self.kind == Kind::Add).then_some(Fusable::Add)
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let (kind, c) = (self.kind, cx.output.last().copied().unwrap_or(1));
        // A row of `b` serves this many rows of `a`.
        let share = cx.output.iter().product::<usize>() / cx.inputs[1].iter().product::<usize>();
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, c, |first, y| {
                y.copy_from_slice(&inputs[0][first * c..][..y.len()]);
                for (i, y) in y.chunks_exact_mut(c).enumerate() {
                    let b = &inputs[1][(first + i) / share * c..][..c];
                    combine(kind, y, b);
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (a, b) = (cx.inputs[0].clone(), cx.inputs[1].clone());
        let (columns, share) = (a.columns(), a.len() / b.len());
        let reads = |r: Range<usize>| {
            let rows = r.start / columns / share..(r.end - 1) / columns / share + 1;
            vec![a.span(r), b.rows(rows)]
        };
        let multiply = u32::from(self.kind == Kind::Mul);
        cx.each_number(&KERNEL, &reads, &[columns as u32, share as u32, multiply])
    }
}

#[multiversion(targets = "simd")]
fn combine(kind: Kind, y: &mut [f32], b: &[f32]) {
    match kind {
        Kind::Add => cpu::add(y, b),
        Kind::Mul => y.iter_mut().zip(b).for_each(|(y, b)| *y *= b),
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

#[cfg(test)]
mod tests {
    use crate::{Tape, Tensor, testing};

    #[test]
    fn sums_and_products_of_equals_and_of_rows() {
        let (b, t, c) = (3, 17, 5);
        let x = testing::numbers(b * t * c, 1);
        for (other, same) in
            [(testing::numbers(b * t * c, 2), true), (testing::numbers(b * c, 3), false)]
        {
            type Case = (fn(&Tensor, &Tensor) -> Tensor, fn(f64, f64) -> f64);
            let cases: [Case; 2] = [(Tensor::add, |a, b| a + b), (Tensor::mul, |a, b| a * b)];
            for (record, function) in cases {
                let at = |i: usize| if same { i } else { i / (t * c) * c + i % c };
                let expected =
                    (0..x.len()).map(|i| function(f64::from(x[i]), f64::from(other[at(i)])));
                let program = || {
                    let tape = Tape::new();
                    let shape: &[usize] = if same { &[b, t, c] } else { &[b, c] };
                    let y = record(&tape.input("x", &[b, t, c]), &tape.input("b", shape));
                    tape.finish(&[&y])
                };
                testing::check(program, &[&x, &other], &expected.collect::<Vec<_>>(), 1e-6);
            }
        }
    }
}
