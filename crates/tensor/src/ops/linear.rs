//! Linear layers: `y[m, n] = sum_k x[m, k] w[n, k] + b[n]`.

use super::{Act, Epilogue, Fusable, Op, glu::geglu_rows};
use crate::{Result, Tensor, Weight, cpu, gpu};

#[derive(Debug)]
pub struct Linear {
    pub weight: Weight,
    pub epilogue: Epilogue,
    /// Whether the result is halved by GEGLU; then the epilogue is a bias at most.
    pub gated: bool,
}

/// Rows of a gated layer made at once on the CPU: their values and gates stay in a shared cache.
const GATED_ROWS: usize = 1024;

impl Linear {
    fn gated(&self, cx: &cpu::Compiler) -> cpu::Kernel {
        let weight = cx.packed(&self.weight);
        let [n, k] = [self.weight.shape()[0], cx.inputs[0][cx.inputs[0].len() - 1]];
        let finish = cpu::Finish::of_channels(cx, &self.epilogue, n);
        Box::new(move |inputs, y| {
            let (weight, finish) = (weight.get(), finish.get());
            let blocks = y.chunks_mut(GATED_ROWS * n / 2).zip(inputs[0].chunks(GATED_ROWS * k));
            for (y, x) in blocks {
                cpu::with_scratch(2 * y.len(), |wide| {
                    let add_bias = |first, rows: &mut [f32]| finish.apply(inputs, first, rows);
                    weight.panels().product(x, wide, &add_bias);
                    cpu::rows(y, n / 2, |first, y| geglu_rows(&wide[first * n..], n / 2, y));
                });
            }
        })
    }
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        let rows: usize = inputs[0][..inputs[0].len() - 1].iter().product();
        let gates = if self.gated { 8 * output.iter().product::<usize>() } else { 0 };
        (2 * rows * self.weight.len() + gates) as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        [&self.weight].into_iter().chain(&self.epilogue.bias).collect()
    }
    fn absorb(&mut self, kind: Fusable, next: usize, row: bool) -> bool {
        let Epilogue { act, row: added, residual, .. } = &self.epilogue;
        match kind {
            _ if self.gated => false,
            Fusable::Geglu => {
                self.gated = *act == Act::Identity && added.is_none() && residual.is_none();
                self.gated
            }
            _ => self.epilogue.absorb(kind, next, row),
        }
    }
    fn reads_columns(&self, i: usize) -> bool {
        self.epilogue.row == Some(i)
    }
    fn linear(&self) -> Option<&Linear> {
        Some(self)
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        if self.gated {
            return Ok(self.gated(cx));
        }
        let (weight, finish) = (cx.packed(&self.weight), cpu::Finish::new(cx, &self.epilogue));
        Ok(Box::new(move |inputs, y| {
            let (weight, finish) = (weight.get(), finish.get());
            weight.panels().product(inputs[0], y, &|first, y| finish.apply(inputs, first, y));
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = &cx.inputs[0];
        let picture = gpu::Picture::matrix(x.len() / x.columns(), x.columns());
        let Self { weight, epilogue, gated } = self;
        gpu::Matmul { weight, picture, epilogue, gated: *gated }.record(cx)
    }
}

impl Tensor {
    /// `[.., K]` by `weight` `[N, K]` (or `[N, K, 1, 1]`) and `bias` `[N]` to `[.., N]`.
    #[track_caller]
    pub fn linear(&self, weight: &Weight, bias: Option<&Weight>) -> Tensor {
        assert!(
            weight.shape().len() >= 2,
            "linear {}: {:?} is no matrix",
            weight.key(),
            weight.shape()
        );
        let [n, k] = [weight.shape()[0], weight.shape()[1..].iter().product()];
        assert_eq!(self.channels(), k, "linear {}: input channels", weight.key());
        let mut shape = self.shape().to_vec();
        *shape.last_mut().expect("a tensor has dimensions") = n;
        let epilogue = Epilogue::new(bias, n);
        self.record(Linear { weight: weight.clone(), epilogue, gated: false }, &[], &shape)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, testing};

    #[test]
    fn linear_is_its_definition() {
        for (m, n, k) in
            [(1, 1, 1), (3, 5, 7), (77, 48, 192), (65, 130, 40), (300, 33, 64), (2, 320, 1280)]
        {
            let weights = testing::weights(&[("w", &[n, k]), ("b", &[n])]);
            // f16 weights have a kernel of their own.
            let stored = if m % 2 == 0 { weights.rounded_to_f16() } else { weights.clone() };
            let (weight, bias) = (stored.get("w").unwrap(), stored.get("b").unwrap());
            let (x, w, b) =
                (testing::numbers(m * k, 3), weight.to_f32().unwrap(), bias.to_f32().unwrap());
            let y = testing::indices([m, n, 1, 1]).map(|(i, j, _, _)| {
                let products = (0..k).map(|l| f64::from(x[i * k + l]) * f64::from(w[j * k + l]));
                f64::from(b[j]) + products.sum::<f64>()
            });
            let program = || {
                let tape = Tape::new();
                let y = tape.input("x", &[1, m, k]).linear(&weight, Some(&bias));
                tape.finish(&[&y])
            };
            // f32 sums of up to 1280 products.
            testing::check(program, &[&x], &y.collect::<Vec<_>>(), 1e-5);
        }
    }
}
