//! The operations, one file each: what is recorded, its CPU twin, its GPU wrapper, its test.
//!
//! An operation is a struct of settings and weights; the values it reads are the step's inputs.

mod attention;
mod binary;
mod conv;
mod glu;
mod linear;
mod map;
mod merge;
mod moves;
mod norm;
mod prelu;
mod softmax;
mod unit_range;

pub use conv::Conv;
pub(crate) use linear::Linear;
pub use merge::Merging;
pub(crate) use softmax::lanes_sum;

use crate::{Result, Weight, cpu, gpu};
use std::fmt::Debug;

/// One kind of operation.
pub trait Op: Debug + Send + Sync {
    /// Its name in profiles and errors: the name of its file and shader.
    fn name(&self) -> &'static str;
    /// Floating-point operations for these input and output shapes.
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64;
    fn weights(&self) -> Vec<&Weight> {
        Vec::new()
    }
    /// What it is if another operation can do it on the way.
    fn fusable(&self) -> Option<Fusable> {
        None
    }
    /// Does `kind` too, if it can. `next` is the position the other operand of a sum would get among
    /// the inputs; `row` says that it is `[B, C]`, one row for every picture.
    fn absorb(&mut self, kind: Fusable, next: usize, row: bool) -> bool {
        let _ = (kind, next, row);
        false
    }
    /// Whether it can read its input `i` as some columns of a matrix.
    fn reads_columns(&self, i: usize) -> bool {
        let _ = i;
        false
    }
    /// Itself, if it is a linear layer.
    fn linear(&self) -> Option<&Linear> {
        None
    }
    /// Makes it ready on the CPU: weights in place, a function from inputs to output.
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel>;
    /// Makes it ready on the GPU: weights uploaded, dispatches added.
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()>;
}

/// An operation that its neighbour can do on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusable {
    Act(Act),
    Add,
    Geglu,
    Upsample,
}

/// `y = act(x + bias[c] + row[batch, c]) + residual`, done where the result is made.
///
/// `row` and `residual` are values: their positions among the step's inputs.
#[derive(Clone, Debug, Default)]
pub struct Epilogue {
    pub bias: Option<Weight>,
    pub row: Option<usize>,
    pub act: Act,
    pub residual: Option<usize>,
}

impl Epilogue {
    /// For an operation that makes `channels` channels, of which the bias must have as many.
    #[track_caller]
    pub(crate) fn new(bias: Option<&Weight>, channels: usize) -> Self {
        if let Some(bias) = bias {
            assert_eq!(bias.shape(), [channels], "{}: channels", bias.key());
        }
        Self { bias: bias.cloned(), ..Self::default() }
    }

    fn absorb(&mut self, kind: Fusable, next: usize, row: bool) -> bool {
        let bare = self.act == Act::Identity && self.residual.is_none();
        match kind {
            Fusable::Act(act) if bare => self.act = act,
            Fusable::Add if row && bare && self.row.is_none() => self.row = Some(next),
            Fusable::Add if !row && self.residual.is_none() => self.residual = Some(next),
            _ => return false,
        }
        true
    }
}

/// An elementwise function; `shaders/act.wgsl` knows them by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Act {
    #[default]
    Identity,
    /// `x / (1 + exp(-x))`
    Silu,
    /// `x Phi(x)`, with the error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// `x / (1 + exp(-1.702 x))`, CLIP's.
    QuickGelu,
    /// `max(x, 0)`
    Relu,
    /// `x` above 0, `0.2 x` below (ESRGAN's slope).
    LeakyRelu,
    Tanh,
    /// `x` above 0, `exp(x) - 1` below (Clevert et al. 2016).
    Elu,
    /// `x / (1 + |x|)`
    Softsign,
    /// `x tanh(ln(1 + exp(x)))` (Misra 2020).
    Mish,
}

impl Act {
    /// The function itself, over many numbers at once.
    #[inline(always)]
    pub(crate) fn apply(self, xs: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Silu => xs.iter_mut().for_each(|x| *x /= 1.0 + exp(-*x)),
            Self::Gelu => xs.iter_mut().for_each(|x| *x = gelu(*x)),
            Self::QuickGelu => xs.iter_mut().for_each(|x| *x /= 1.0 + exp(-1.702 * *x)),
            Self::Relu => xs.iter_mut().for_each(|x| *x = x.max(0.0)),
            Self::LeakyRelu => xs.iter_mut().for_each(|x| *x = x.max(0.2 * *x)),
            Self::Tanh => xs.iter_mut().for_each(|x| *x = 1.0 - 2.0 / (1.0 + exp(2.0 * *x))),
            Self::Elu => xs.iter_mut().for_each(|x| *x = x.max(0.0) + exp(x.min(0.0)) - 1.0),
            Self::Softsign => xs.iter_mut().for_each(|x| *x /= 1.0 + x.abs()),
            Self::Mish => xs.iter_mut().for_each(|x| *x = mish(*x)),
        }
    }
}

/// `e^x` to about one part in ten million (Cody and Waite's reduction, a polynomial of degree 6):
/// no calls and no branches, so that loops over it run on vectors.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let n = x * std::f32::consts::LOG2_E + ROUND - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.0
        + r * (1.0
            + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    // SAFETY: x was clamped to what an i32 holds; a NaN becomes some number, and p stays NaN.
    let n = unsafe { n.max(-127.0).to_int_unchecked::<i32>() };
    // Wrapping, as a check for overflow would keep vectors away.
    p * f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// [`exp`] on a vector, for numbers up to 88.
#[inline(always)]
pub(crate) fn exp_vector<S: pulp::Simd>(simd: S, x: S::f32s) -> S::f32s {
    // The last bits of a number of this size count wholes; with the bias of exponents they are the
    // power of two, but for the place.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    // Of two, x86 takes the second where one is no number.
    let x = simd.max_f32s(simd.splat_f32s(-87.0), x);
    let round = simd.splat_f32s(ROUND);
    let rounded = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(rounded, round);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let mut p = simd.splat_f32s(1.0 / 720.0);
    for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(term));
    }
    let bits = simd.transmute_u32s_f32s(rounded);
    let power = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    simd.mul_f32s(p, simd.transmute_f32s_u32s(power))
}

/// With `e = exp(x)`, the hyperbolic tangent is `e (e + 2) / (e (e + 2) + 2)`: 1 long before 20.
#[inline(always)]
fn mish(x: f32) -> f32 {
    let e = exp(x.min(20.0));
    let n = e * (e + 2.0);
    x * (n / (n + 2.0))
}

/// `x Phi(x)`, the error function by Abramowitz and Stegun 7.1.26 (error below 1.5e-7).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = t
        * (0.254_829_6
            + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * p * exp(-z * z);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}
