//! Two-dimensional convolution, channels last.

use super::{Epilogue, Op};
use crate::{Tensor, Weight};

/// How a convolution walks over its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    pub stride: usize,
    /// Zeros around the picture: top, bottom, left, right.
    pub pad: [usize; 4],
    /// Reads the picture as if every pixel were 2 by 2 (nearest-neighbour upsampling).
    pub up2: bool,
}

impl Conv {
    /// Stride 1, padded so that the size stays, for an odd `kernel`.
    pub fn same(kernel: usize) -> Self {
        Self { stride: 1, pad: [kernel / 2; 4], up2: false }
    }
}

#[derive(Debug)]
pub(crate) struct Conv2d {
    /// `[out, in, kh, kw]`
    pub weight: Weight,
    pub conv: Conv,
    pub epilogue: Epilogue,
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        let per_pixel: usize = self.weight.shape().iter().product();
        2 * (output[0] * output[1] * output[2] * per_pixel) as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        [&self.weight].into_iter().chain(&self.epilogue.bias).collect()
    }
    fn epilogue(&mut self) -> Option<&mut Epilogue> {
        Some(&mut self.epilogue)
    }
}

impl Tensor {
    /// `[B, H, W, I]` by `weight` `[O, I, kh, kw]` and `bias` `[O]` to `[B, H', W', O]`.
    #[track_caller]
    pub fn conv2d(&self, weight: &Weight, bias: Option<&Weight>, conv: Conv) -> Tensor {
        let &[o, i, kh, kw] = weight.shape() else { panic!("{}: not a 2-d kernel", weight.key()) };
        let &[b, h, w, c] = self.shape() else { panic!("conv2d {}: not a picture", weight.key()) };
        assert_eq!(c, i, "conv2d {}: input channels", weight.key());
        let up = 1 + usize::from(conv.up2);
        let [top, bottom, left, right] = conv.pad;
        let size = |n: usize, pad: usize, k: usize| (n * up + pad - k) / conv.stride + 1;
        let shape = [b, size(h, top + bottom, kh), size(w, left + right, kw), o];
        let epilogue = Epilogue { bias: bias.cloned(), ..Epilogue::default() };
        self.record(Conv2d { weight: weight.clone(), conv, epilogue }, &[], &shape)
    }
}
