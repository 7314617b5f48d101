//! Elementwise functions of one value: `y = act(scale x + shift)`.

use super::{Fusable, Op};
use crate::{Act, Result, Tensor, cpu, gpu};
use multiversion::multiversion;

const KERNEL: gpu::Kernel = gpu::kernel!("map", "act");

#[derive(Debug)]
pub(crate) struct Map {
    pub scale: f32,
    pub shift: f32,
    pub act: Act,
}

impl Op for Map {
    fn name(&self) -> &'static str {
        "map"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        4 * output.iter().product::<usize>() as u64
    }
    fn fusable(&self) -> Option<Fusable> {
        (self.scale == 1.0 && self.shift == 0.0).then_some(Fusable::Act(self.act))
    }
    fn cpu(&self, _: &cpu::Compiler) -> Result<cpu::Kernel> {
        let Self { scale, shift, act } = *self;
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, 1, |first, y| {
                let x = &inputs[0][first..][..y.len()];
                map_numbers([scale, shift], act, x, y);
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let rest = [self.scale.to_bits(), self.shift.to_bits(), self.act as u32];
        cx.each_number(&KERNEL, &|range| vec![x.span(range)], &rest)
    }
}

#[multiversion(targets = "simd")]
fn map_numbers([scale, shift]: [f32; 2], act: Act, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = scale * x + shift);
    act.apply(y);
}

impl Tensor {
    pub fn silu(&self) -> Tensor {
        self.map(1.0, 0.0, Act::Silu)
    }
    pub fn gelu(&self) -> Tensor {
        self.map(1.0, 0.0, Act::Gelu)
    }
    pub fn quick_gelu(&self) -> Tensor {
        self.map(1.0, 0.0, Act::QuickGelu)
    }
    pub fn relu(&self) -> Tensor {
        self.map(1.0, 0.0, Act::Relu)
    }
    /// `x` above 0, `0.2 x` below.
    pub fn leaky_relu(&self) -> Tensor {
        self.map(1.0, 0.0, Act::LeakyRelu)
    }
    pub fn elu(&self) -> Tensor {
        self.map(1.0, 0.0, Act::Elu)
    }
    pub fn softsign(&self) -> Tensor {
        self.map(1.0, 0.0, Act::Softsign)
    }
    pub fn mish(&self) -> Tensor {
        self.map(1.0, 0.0, Act::Mish)
    }
    /// `tanh(scale x)`
    pub fn tanh(&self, scale: f32) -> Tensor {
        self.map(scale, 0.0, Act::Tanh)
    }
    /// `scale x + shift`
    pub fn affine(&self, scale: f32, shift: f32) -> Tensor {
        self.map(scale, shift, Act::Identity)
    }
    fn map(&self, scale: f32, shift: f32, act: Act) -> Tensor {
        self.record(Map { scale, shift, act }, &[], self.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tape, testing};

    /// The error function by its Taylor series, in f64: enough terms for |x| < 6.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn functions_are_their_definitions() {
        let x: Vec<f32> = testing::numbers(5000, 9).iter().map(|x| x * 5.0).collect();
        type Case = (fn(&Tensor) -> Tensor, fn(f64) -> f64);
        let cases: [Case; 10] = [
            (Tensor::silu, |x| x / (1.0 + (-x).exp())),
            (Tensor::gelu, |x| x * 0.5 * (1.0 + erf(x / 2f64.sqrt()))),
            (Tensor::quick_gelu, |x| x / (1.0 + (-1.702 * x).exp())),
            (Tensor::relu, |x| x.max(0.0)),
            (Tensor::leaky_relu, |x| if x < 0.0 { 0.2 * x } else { x }),
            (Tensor::elu, |x| if x < 0.0 { x.exp() - 1.0 } else { x }),
            (Tensor::softsign, |x| x / (1.0 + x.abs())),
            (Tensor::mish, |x| x * x.exp().ln_1p().tanh()),
            (|x| x.tanh(0.5), |x| (0.5 * x).tanh()),
            (|x| x.affine(2.0, -1.0), |x| 2.0 * x - 1.0),
        ];
        for (record, function) in cases {
            let expected: Vec<f64> = x.iter().map(|x| function(f64::from(*x))).collect();
            let program = || {
                let tape = Tape::new();
                let y = record(&tape.input("x", &[1, 5000]));
                tape.finish(&[&y])
            };
            // erf to 1.5e-7 times x up to 5.
            testing::check(program, &[&x], &expected, 1e-6);
        }
    }
}
