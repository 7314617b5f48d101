//! Softmax over the last dimension: `y[r, c] = exp(x[r, c] - max x[r, :]) / sum` of the same.

use super::{Op, exp};
use crate::{Result, Tensor, cpu, gpu};
use multiversion::multiversion;

const KERNEL: gpu::Kernel = gpu::kernel!("softmax", "reduce");

#[derive(Debug)]
pub(crate) struct Softmax;

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        5 * output.iter().product::<usize>() as u64
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let c = cx.output.last().copied().unwrap_or(1);
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, c, |first, y| {
                y.copy_from_slice(&inputs[0][first * c..][..y.len()]);
                y.chunks_exact_mut(c).for_each(softmax_row);
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let columns = x.columns() as u32;
        cx.each_row(&KERNEL, &|rows| vec![x.rows(rows)], &[columns])
    }
}

impl Tensor {
    /// `[.., C]`, each row of the last dimension made positive with sum 1.
    pub fn softmax(&self) -> Tensor {
        self.record(Softmax, &[], self.shape())
    }
}

/// One row, in place.
#[multiversion(targets = "simd")]
fn softmax_row(row: &mut [f32]) {
    let high = lanes_max(row);
    row.iter_mut().for_each(|x| *x = exp(*x - high));
    let scale = 1.0 / lanes_sum(row);
    row.iter_mut().for_each(|x| *x *= scale);
}

/// Partial results: as many as the widest vectors have lanes, twice.
const LANES: usize = 32;

/// The highest number; minus infinity if there is none.
#[inline(always)]
fn lanes_max(xs: &[f32]) -> f32 {
    let (lanes, rest) = xs.as_chunks::<LANES>();
    let mut high = [f32::NEG_INFINITY; LANES];
    for lane in lanes {
        high.iter_mut().zip(lane).for_each(|(h, x)| *h = if *x > *h { *x } else { *h });
    }
    high.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The sum, in partial sums: the order that vectors like, and more exact than one.
#[inline(always)]
pub(crate) fn lanes_sum(xs: &[f32]) -> f32 {
    let (lanes, rest) = xs.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for lane in lanes {
        cpu::add(&mut sums, lane);
    }
    sums.iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use crate::{Tape, testing};

    #[test]
    fn softmax_is_its_definition() {
        for (rows, c) in [(1, 1), (3, 7), (65, 130), (2, 1000)] {
            let x: Vec<f32> = testing::numbers(rows * c, 5).iter().map(|x| x * 20.0).collect();
            let expected = x.chunks(c).flat_map(|row| {
                let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                row.iter().map(move |x| f64::from(*x).exp() / sum)
            });
            let program = || {
                let tape = Tape::new();
                let y = tape.input("x", &[rows, c]).softmax();
                tape.finish(&[&y])
            };
            // One exp and one division.
            testing::check(program, &[&x], &expected.collect::<Vec<_>>(), 1e-5);
        }
    }
}
