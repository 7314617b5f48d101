//! A rectifier with a slope of its own for each channel (He et al. 2015): `y = x` above 0, `a[c] x` below.

use super::Op;
use crate::{Result, Tensor, Weight, cpu, gpu};

const KERNEL: gpu::Kernel = gpu::kernel!("prelu");

#[derive(Debug)]
pub(crate) struct Prelu {
    pub slope: Weight,
}

impl Op for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        output.iter().product::<usize>() as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        vec![&self.slope]
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let slope = cx.weight(&self.slope);
        let c = self.slope.len();
        Ok(Box::new(move |inputs, y| {
            let slope = slope.get();
            cpu::rows(y, c, |first, y| {
                let x = &inputs[0][first * c..][..y.len()];
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    let numbers = y.iter_mut().zip(x).zip(slope.iter());
                    numbers.for_each(|((y, x), a)| *y = x.max(0.0) + a * x.min(0.0));
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let slope = cx.weight(&self.slope);
        let columns = x.columns() as u32;
        cx.each_number(&KERNEL, &|range| vec![x.span(range), slope.all()], &[columns])
    }
}

impl Tensor {
    /// `slope` is `[C]`.
    #[track_caller]
    pub fn prelu(&self, slope: &Weight) -> Tensor {
        assert_eq!(slope.shape(), [self.channels()], "prelu {}: channels", slope.key());
        self.record(Prelu { slope: slope.clone() }, &[], self.shape())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, testing};

    #[test]
    fn what_is_below_zero_has_its_channels_slope() {
        let slope = testing::weights(&[("a", &[7])]).get("a").unwrap();
        let (x, a) = (testing::numbers(3 * 900 * 7, 5), slope.to_f32().unwrap());
        let y = x
            .iter()
            .enumerate()
            .map(|(i, x)| f64::from(*x) * if *x < 0.0 { f64::from(a[i % 7]) } else { 1.0 });
        let program = || {
            let tape = Tape::new();
            let y = tape.input("x", &[3, 900, 7]).prelu(&slope);
            tape.finish(&[&y])
        };
        testing::check(program, &[&x], &y.collect::<Vec<_>>(), 1e-6);
    }
}
