//! Linear layers: `y[m, n] = sum_k x[m, k] w[n, k] + b[n]`.

use super::{Act, Epilogue, Fusable, Op, glu::geglu_row};
use crate::{Result, Tensor, Weight, cpu, gpu};
use rayon::prelude::*;
use std::ops::Range;

#[derive(Debug)]
pub struct Linear {
    pub weight: Weight,
    pub epilogue: Epilogue,
    /// Whether the result is halved by GEGLU; then the epilogue is a bias at most.
    pub gated: bool,
}

/// A gated layer's weight, with the rows that make some values before those that make their gates.
struct Paired(cpu::Packed);

/// Values made at once by a gated layer, and as many gates: whole panels.
const PART: usize = 5 * cpu::MOST_WIDTH;

impl Linear {
    /// Values and gates of some rows and columns are made in a core's cache and go from there into `y`.
    fn gated(&self, cx: &cpu::Compiler) -> cpu::Kernel {
        let [n, k] = [self.weight.shape()[0] / 2, cx.inputs[0][cx.inputs[0].len() - 1]];
        let (fits_f16, units) = (self.weight.fits_f16(), cx.units([2 * n, k]));
        let make = move |w: Vec<f32>| {
            let (values, gates) = w.split_at(n * k);
            let parts = values.chunks(PART * k).zip(gates.chunks(PART * k));
            let paired = parts.flat_map(|(v, g)| [v, g]).collect::<Vec<_>>().concat();
            Paired(cpu::Packed::new(&paired, k, fits_f16).by(units))
        };
        let bytes = cpu::Packed::bytes([2 * n, k], fits_f16);
        let weight = cx.prepared(&self.weight, bytes, make);
        let bias = self.epilogue.bias.as_ref().map(|b| cx.weight(b));
        Box::new(move |inputs, y| {
            let (weight, bias) = (weight.get(), bias.as_ref().map(|b| b.get()));
            let (panels, bias) = (weight.0.panels(), bias.as_ref().map(|b| &b[..]));
            Gated { panels, bias, n, k }.run(inputs[0], y);
        })
    }
}

/// A gated layer at work: `n` columns come out.
struct Gated<'a> {
    panels: cpu::Panels<'a>,
    bias: Option<&'a [f32]>,
    n: usize,
    k: usize,
}

impl Gated<'_> {
    fn run(&self, x: &[f32], y: &mut [f32]) {
        let (m, parts) = (y.len() / self.n, self.n.div_ceil(PART));
        let (blocks, shares) = cpu::division(m, self.panels.units);
        let (block, at_once) = (m.div_ceil(blocks), parts.div_ceil(shares));
        let shares = parts.div_ceil(at_once);
        let y = cpu::Shared::new(y);
        (0..blocks * shares).into_par_iter().for_each(|task| {
            let (row, first) = (task / shares * block, task % shares * at_once);
            let rows = row..m.min(row + block);
            let numbers = &x[row * self.k..];
            let x = cpu::Rows { numbers, stride: self.k, step: 1, count: rows.len() };
            self.panels.ready(&x, |x| {
                for part in first..parts.min(first + at_once) {
                    let columns = part * PART..self.n.min((part + 1) * PART);
                    self.part(&x, rows.clone(), columns, y);
                }
            });
        });
    }

    /// Some rows and columns of `y`, from those rows of `x`.
    fn part(&self, x: &cpu::Ready, rows: Range<usize>, columns: Range<usize>, y: cpu::Shared) {
        let wide = 2 * columns.len();
        cpu::with_scratch(rows.len() * wide, |made| {
            if let Some(bias) = self.bias {
                let [values, gates] = [0, self.n].map(|half| &bias[half..][columns.clone()]);
                for row in made.chunks_exact_mut(wide) {
                    row[..columns.len()].copy_from_slice(values);
                    row[columns.len()..].copy_from_slice(gates);
                }
            }
            let paired = self.panels.columns(2 * columns.start..2 * columns.end);
            paired.add_ready(x, made, wide, self.bias.is_some());
            for (row, made) in rows.zip(made.chunks_exact(wide)) {
                // SAFETY: each task has rows and columns of its own.
                let y = unsafe { y.from(row * self.n + columns.start) };
                geglu_row(made, &mut y[..columns.len()]);
            }
        });
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
    use crate::{Device, Tape, testing};

    #[test]
    fn linear_is_its_definition() {
        // The last two have more rows and columns than one block of the CPU's product.
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (77, 48, 192),
            (65, 130, 40),
            (300, 33, 64),
            (2, 320, 1280),
            (150, 700, 24),
            (1301, 350, 24),
            // For matrix units, where there are any.
            (300, 200, 264),
            (39, 150, 700),
        ] {
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

    /// In several blocks of rows and columns, and past the last panel; where there are matrix units, by
    /// vectors, by units that make the rows ready once, and that do so for each part.
    #[test]
    fn a_gated_layer_is_the_layer_and_then_the_gate() {
        for (m, n, k, bound) in [(150, 500, 24, 1e-5), (150, 500, 264, 3e-5), (600, 130, 280, 3e-5)]
        {
            let weights = testing::weights(&[("w", &[2 * n, k]), ("b", &[2 * n])]);
            let x = testing::numbers(m * k, 3);
            for (stored, bias) in [(weights.rounded_to_f16(), false), (weights, true)] {
                let bias = bias.then(|| stored.get("b").unwrap());
                let program = || {
                    let tape = Tape::new();
                    let x = tape.input("x", &[1, m, k]);
                    let wide = x.linear(&stored.get("w").unwrap(), bias.as_ref());
                    tape.finish(&[&wide.geglu()])
                };
                assert_eq!(program().folded().steps.len(), 1);
                let expected = Device::twin().compile(program()).unwrap().run(&[&x]).unwrap();
                let expected: Vec<f64> = expected[0].iter().map(|x| f64::from(*x)).collect();
                testing::check_bound(1 << 20, || program().folded(), &[&x], &expected, bound);
            }
        }
    }
}
