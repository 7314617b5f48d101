//! Elementwise functions of one value: `y = act(scale x + shift)`.

use super::Op;
use crate::{Act, Tensor};

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
    /// `scale x + shift`
    pub fn affine(&self, scale: f32, shift: f32) -> Tensor {
        self.map(scale, shift, Act::Identity)
    }
    fn map(&self, scale: f32, shift: f32, act: Act) -> Tensor {
        self.record(Map { scale, shift, act }, &[], self.shape())
    }
}
