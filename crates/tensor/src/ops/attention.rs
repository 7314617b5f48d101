//! Scaled dot-product attention (Vaswani et al. 2017), heads side by side in the channels.

use super::Op;
use crate::{Result, Tensor, cpu, gpu};
use std::{array, ops::Range};

const KERNEL: gpu::Kernel = gpu::kernel!("attention");
/// Queries of a workgroup.
const ROWS: usize = 32;
/// Heads up to this many channels are made whole by one workgroup, wider ones in slices.
const WHOLE: usize = 160;
const SLICE: usize = 128;

#[derive(Debug)]
pub(crate) struct Attention {
    pub heads: usize,
    /// Token i sees tokens 0..=i only.
    pub causal: bool,
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        4 * (output.iter().product::<usize>() * inputs[1][1]) as u64
    }
    fn reads_columns(&self, _: usize) -> bool {
        true
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let (q, k) = (cx.inputs[0], cx.inputs[1]);
        let heads = cpu::Heads {
            tokens: q[1],
            keys: k[1],
            channels: q[2],
            heads: self.heads,
            causal: self.causal,
            strides: array::from_fn(|i| cx.strides[i]),
        };
        Ok(Box::new(move |inputs, y| heads.run([inputs[0], inputs[1], inputs[2]], y)))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (batch, tokens) = (cx.output.shape[0], cx.output.shape[1]);
        if cx.fits(&spans(cx, &(0..batch), &(0..tokens))) {
            self.dispatch(cx, &(0..batch), &(0..tokens));
            return Ok(());
        }
        for entry in 0..batch {
            let entry = entry..entry + 1;
            for rows in cx.split(tokens, &|rows| spans(cx, &entry, &rows))? {
                self.dispatch(cx, &entry, &rows);
            }
        }
        Ok(())
    }
}

/// What is bound for some queries of one batch entry, or all of several: queries, keys, values, output.
fn spans(cx: &gpu::Compiler, entries: &Range<usize>, rows: &Range<usize>) -> Vec<gpu::Span> {
    let [q, k, v] = [&cx.inputs[0], &cx.inputs[1], &cx.inputs[2]];
    let (tokens, keys) = (q.shape[1], k.shape[1]);
    let rows = entries.start * tokens + rows.start..(entries.end - 1) * tokens + rows.end;
    let columns = entries.start * keys..entries.end * keys;
    vec![q.rows(rows.clone()), k.rows(columns.clone()), v.rows(columns), cx.output.rows(rows)]
}

impl Attention {
    fn dispatch(&self, cx: &mut gpu::Compiler, entries: &Range<usize>, rows: &Range<usize>) {
        let [q, k, v] = [0, 1, 2].map(|i| cx.inputs[i].clone());
        let (tokens, keys, d) = (q.shape[1], k.shape[1], q.columns() / self.heads);
        let out = if d <= WHOLE { d } else { SLICE };
        let mut spans = spans(cx, entries, rows);
        let y = spans.pop().expect("the output is the last");
        let starts = [&q, &k, &v].into_iter().zip(&spans).map(|(array, span)| array.base(span));
        let parameters = [tokens, keys, self.heads, rows.start, rows.len(), self.causal.into()];
        let parameters = parameters.map(|n| n as u32).into_iter();
        let parameters = parameters
            .chain([(1.0 / (d as f32).sqrt()).to_bits(), entries.start as u32])
            .chain(starts)
            .chain([y.start, q.stride, k.stride, v.stride].map(|n| n as u32));
        let groups = [rows.len().div_ceil(ROWS), self.heads * d.div_ceil(out), entries.len()];
        cx.dispatch(
            &KERNEL,
            &[("D", d), ("OUT", out)],
            &spans,
            &y,
            &parameters.collect::<Vec<_>>(),
            groups.map(|n| n as u32),
        );
    }
}

impl Tensor {
    /// Queries `[B, T, heads D]` on keys and values `[B, S, heads D]`: `[B, T, heads D]`.
    /// Scores are scaled by `1 / sqrt(D)`.
    #[track_caller]
    pub fn attention(&self, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Tensor {
        assert_eq!(k.shape(), v.shape(), "attention: keys and values");
        assert_eq!([self.dim(0), self.dim(2)], [k.dim(0), k.dim(2)], "attention: queries and keys");
        assert_eq!(self.channels() % heads, 0, "attention: {heads} heads");
        self.record(Attention { heads, causal }, &[k, v], self.shape())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, testing};

    /// The definition, in f64.
    fn naive(
        q: &[f32],
        k: &[f32],
        v: &[f32],
        [b, t, s, heads, d]: [usize; 5],
        causal: bool,
    ) -> Vec<f64> {
        let c = heads * d;
        let mut y = vec![0.0; b * t * c];
        for (b, h, i, _) in testing::indices([b, heads, t, 1]) {
            let dot = |j: usize| -> f64 {
                let product = |l: usize| {
                    f64::from(q[(b * t + i) * c + h * d + l])
                        * f64::from(k[(b * s + j) * c + h * d + l])
                };
                (0..d).map(product).sum::<f64>() / (d as f64).sqrt()
            };
            let seen = if causal { i + 1 } else { s };
            let weights: Vec<f64> = (0..seen).map(|j| dot(j).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for l in 0..d {
                let values = weights
                    .iter()
                    .enumerate()
                    .map(|(j, w)| w * f64::from(v[(b * s + j) * c + h * d + l]));
                y[(b * t + i) * c + h * d + l] = values.sum::<f64>() / sum;
            }
        }
        y
    }

    #[test]
    fn attention_is_its_definition() {
        let cases = [
            ([1, 1, 1, 1, 8], false),
            ([2, 9, 5, 2, 6], false),
            ([1, 77, 77, 1, 48], true),
            ([2, 130, 77, 8, 40], false),
            ([1, 70, 70, 2, 160], false),
            ([1, 65, 65, 1, 512], false),
            ([2, 64, 64, 4, 16], true),
            ([1, 100, 1100, 2, 8], false),
            ([1, 1100, 1100, 1, 8], true),
            // The widths of heads that models have.
            ([1, 33, 45, 2, 40], true),
            ([2, 37, 33, 2, 64], false),
            ([2, 65, 77, 2, 80], false),
            ([2, 33, 37, 1, 128], false),
            ([2, 70, 77, 2, 160], false),
        ];
        for (shape, causal) in cases {
            let [b, t, s, heads, d] = shape;
            let (q, k) =
                (testing::numbers(b * t * heads * d, 1), testing::numbers(b * s * heads * d, 2));
            let v = testing::numbers(b * s * heads * d, 3);
            let expected = naive(&q, &k, &v, shape, causal);
            let program = || {
                let tape = Tape::new();
                let [q, k, v] =
                    [("q", t), ("k", s), ("v", s)].map(|(n, t)| tape.input(n, &[b, t, heads * d]));
                tape.finish(&[&q.attention(&k, &v, heads, causal)])
            };
            // One exp of error 1e-7 and f32 sums of up to 512 products.
            // Keys and values of an entry are bound whole.
            testing::check_bound(136 << 10, program, &[&q, &k, &v], &expected, 1e-5);
        }
    }
}
