//! Rows drawn out to 0..1: `y = (x - min) / (max - min)`.

use super::Op;
use crate::{Result, Tensor, cpu, gpu};

const KERNEL: gpu::Kernel = gpu::kernel!("unit_range");

#[derive(Debug)]
pub(crate) struct UnitRange;

impl Op for UnitRange {
    fn name(&self) -> &'static str {
        "unit_range"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        4 * output.iter().product::<usize>() as u64
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let c = cx.output.last().copied().unwrap_or(1);
        Ok(Box::new(move |inputs, y| {
            for (y, x) in y.chunks_exact_mut(c).zip(inputs[0].chunks_exact(c)) {
                let low = x.iter().copied().fold(f32::INFINITY, f32::min);
                let high = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - low) / (high - low));
            }
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let columns = x.columns() as u32;
        cx.each_row(&KERNEL, &|rows| vec![x.rows(rows)], &[columns])
    }
}

impl Tensor {
    /// Each row of the last dimension, from 0 at its smallest number to 1 at its largest.
    #[track_caller]
    pub fn unit_range(&self) -> Tensor {
        self.record(UnitRange, &[], self.shape())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, testing};

    #[test]
    fn rows_go_from_zero_to_one() {
        for (rows, columns) in [(1, 2), (3, 70), (5, 1000)] {
            let x = testing::numbers(rows * columns, 8);
            let row = |row: &[f32]| {
                let low = row.iter().copied().fold(f32::INFINITY, f32::min);
                let high = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let at = |x: &f32| f64::from(*x - low) / f64::from(high - low);
                row.iter().map(at).collect::<Vec<_>>()
            };
            let y: Vec<f64> = x.chunks_exact(columns).flat_map(row).collect();
            let program = || {
                let tape = Tape::new();
                let y = tape.input("x", &[rows, columns]).unit_range();
                tape.finish(&[&y])
            };
            testing::check(program, &[&x], &y, 1e-6);
        }
    }
}
