//! Linear layers: `y[m, n] = sum_k x[m, k] w[n, k] + b[n]`.

use super::{Epilogue, Op};
use crate::{Tensor, Weight};

#[derive(Debug)]
pub(crate) struct Linear {
    pub weight: Weight,
    pub epilogue: Epilogue,
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn flops(&self, inputs: &[&[usize]], _: &[usize]) -> u64 {
        let rows: usize = inputs[0][..inputs[0].len() - 1].iter().product();
        2 * (rows * self.weight.shape().iter().product::<usize>()) as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        [&self.weight].into_iter().chain(&self.epilogue.bias).collect()
    }
    fn epilogue(&mut self) -> Option<&mut Epilogue> {
        Some(&mut self.epilogue)
    }
}

impl Tensor {
    /// `[.., K]` by `weight` `[N, K]` (or `[N, K, 1, 1]`) and `bias` `[N]` to `[.., N]`.
    #[track_caller]
    pub fn linear(&self, weight: &Weight, bias: Option<&Weight>) -> Tensor {
        let [n, k] = [weight.shape()[0], weight.shape()[1..].iter().product()];
        assert_eq!(self.channels(), k, "linear {}: input channels", weight.key());
        let mut shape = self.shape().to_vec();
        *shape.last_mut().expect("a tensor has dimensions") = n;
        let epilogue = Epilogue { bias: bias.cloned(), ..Epilogue::default() };
        self.record(Linear { weight: weight.clone(), epilogue }, &[], &shape)
    }
}
