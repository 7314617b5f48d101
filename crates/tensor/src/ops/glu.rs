//! Gated linear units: GEGLU (Shazeer 2020), `y = a gelu(b)` where `x = [a | b]`.

use super::{Fusable, Op, gelu};
use crate::{Result, Tensor, cpu, gpu};
use multiversion::multiversion;
use std::ops::Range;

const KERNEL: gpu::Kernel = gpu::kernel!("geglu", "act");

#[derive(Debug)]
pub(crate) struct Geglu;

impl Op for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        8 * output.iter().product::<usize>() as u64
    }
    fn fusable(&self) -> Option<Fusable> {
        Some(Fusable::Geglu)
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let c = cx.output.last().copied().unwrap_or(1);
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, c, |first, y| {
                let x = inputs[0][first * 2 * c..].chunks_exact(2 * c);
                y.chunks_exact_mut(c).zip(x).for_each(|(y, x)| geglu_row(x, y));
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (x, columns) = (cx.inputs[0].clone(), cx.output.columns());
        let reads = |r: Range<usize>| vec![x.rows(r.start / columns..r.end.div_ceil(columns))];
        cx.each_number(&KERNEL, &reads, &[columns as u32])
    }
}

/// The numbers of `y`, from their values and then as many gates.
#[multiversion(targets = "simd")]
pub(super) fn geglu_row(x: &[f32], y: &mut [f32]) {
    let (values, gates) = x.split_at(y.len());
    for ((y, value), gate) in y.iter_mut().zip(values).zip(gates) {
        *y = value * gelu(*gate);
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

#[cfg(test)]
mod tests {
    use crate::{Tape, testing};

    #[test]
    fn geglu_is_a_product_with_gelu() {
        let x: Vec<f32> = testing::numbers(9 * 2 * 33, 4).iter().map(|x| 4.0 * x).collect();
        let run = |halves: bool| {
            let tape = Tape::new();
            let x_in = tape.input("x", &[9, 66]);
            let y = if halves {
                x_in.geglu()
            } else {
                x_in.slice(1, 0, 33).mul(&x_in.slice(1, 33, 33).gelu())
            };
            tape.finish(&[&y])
        };
        let expected = crate::Device::twin().compile(run(false)).unwrap().run(&[&x]).unwrap();
        let expected: Vec<f64> = expected[0].iter().map(|x| f64::from(*x)).collect();
        testing::check(|| run(true), &[&x], &expected, 1e-6);
    }
}
