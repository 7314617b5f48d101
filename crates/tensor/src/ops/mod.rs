//! The operations, one file each: what is recorded, its CPU twin, its GPU wrapper, its test.
//!
//! An operation is a struct of settings and weights; the values it reads are the step's inputs.

mod attention;
mod binary;
mod conv;
mod glu;
mod linear;
mod map;
mod moves;
mod norm;
mod softmax;

pub use conv::Conv;

use crate::Weight;
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
    /// What is done to each result before it is stored, for operations that can do it.
    fn epilogue(&mut self) -> Option<&mut Epilogue> {
        None
    }
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

/// An elementwise function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Act {
    #[default]
    Identity,
    /// `x / (1 + exp(-x))`
    Silu,
    /// `x Phi(x)`, with the error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// `x / (1 + exp(-1.702 x))`, CLIP's.
    QuickGelu,
}
