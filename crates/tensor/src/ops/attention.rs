//! Scaled dot-product attention (Vaswani et al. 2017), heads side by side in the channels.

use super::{
    Op, exp,
    softmax::{lanes_max, lanes_sum},
};
use crate::{Result, Tensor, cpu, gpu};
use multiversion::multiversion;
use rayon::prelude::*;
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
        let task = Heads {
            tokens: q[1],
            keys: k[1],
            channels: q[2],
            heads: self.heads,
            causal: self.causal,
            strides: array::from_fn(|i| cx.strides[i]),
        };
        Ok(Box::new(move |inputs, y| task.run([inputs[0], inputs[1], inputs[2]], y)))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (batch, tokens) = (cx.output.shape[0], cx.output.shape[1]);
        if cx.fits(&spans(cx, 0..batch, 0..tokens)) {
            self.dispatch(cx, 0..batch, 0..tokens);
            return Ok(());
        }
        for entry in 0..batch {
            for rows in cx.split(tokens, &|rows| spans(cx, entry..entry + 1, rows))? {
                self.dispatch(cx, entry..entry + 1, rows);
            }
        }
        Ok(())
    }
}

/// What is bound for some queries of some batch entries: queries, keys, values, output.
fn spans(cx: &gpu::Compiler, entries: Range<usize>, rows: Range<usize>) -> Vec<gpu::Span> {
    let [q, k, v] = [&cx.inputs[0], &cx.inputs[1], &cx.inputs[2]];
    let (tokens, keys) = (q.shape[1], k.shape[1]);
    let rows = entries.start * tokens + rows.start..(entries.end - 1) * tokens + rows.end;
    let columns = entries.start * keys..entries.end * keys;
    vec![q.rows(rows.clone()), k.rows(columns.clone()), v.rows(columns), cx.output.rows(rows)]
}

impl Attention {
    fn dispatch(&self, cx: &mut gpu::Compiler, entries: Range<usize>, rows: Range<usize>) {
        let [q, k, v] = [0, 1, 2].map(|i| cx.inputs[i].clone());
        let (tokens, keys, d) = (q.shape[1], k.shape[1], q.columns() / self.heads);
        let out = if d <= WHOLE { d } else { SLICE };
        let mut spans = spans(cx, entries.clone(), rows.clone());
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

/// The sizes of one attention.
struct Heads {
    tokens: usize,
    keys: usize,
    channels: usize,
    heads: usize,
    causal: bool,
    /// How far apart tokens of queries, keys and values begin.
    strides: [usize; 3],
}

/// Queries of one task, and keys that they see at once: their scores stay in the cache (the tiles of
/// FlashAttention, Dao et al. 2022).
const QUERIES: usize = 96;
const KEYS: usize = 512;

impl Heads {
    fn run(&self, [q, k, v]: [&[f32]; 3], y: &mut [f32]) {
        let heads = y.len() / (self.tokens * self.channels) * self.heads;
        let packed: usize = self.blocks().map(|keys| self.block_len(keys)).sum();
        cpu::with_scratch(heads * packed, |panels| {
            panels
                .par_chunks_mut(packed)
                .enumerate()
                .for_each(|(head, panels)| self.pack(head, [k, v], panels));
            let (panels, y) = (&*panels, cpu::Shared::new(y));
            let tasks = self.tokens.div_ceil(QUERIES);
            (0..heads * tasks).into_par_iter().for_each(|task| {
                let (head, first) = (task / tasks, task % tasks * QUERIES);
                self.some_queries(head, first, q, &panels[head * packed..][..packed], y);
            });
        });
    }

    /// Channels of a head.
    fn width(&self) -> usize {
        self.channels / self.heads
    }

    /// The keys, block by block.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let keys = self.keys;
        (0..keys).step_by(KEYS).map(move |first| first..keys.min(first + KEYS))
    }

    /// Numbers of a block's keys and values in panels.
    fn block_len(&self, keys: Range<usize>) -> usize {
        cpu::packed_len(keys.len(), self.width()) + cpu::packed_len(self.width(), keys.len())
    }

    /// Where a head's numbers of a token begin, if tokens begin `stride` apart; heads are counted through
    /// the batch.
    fn place(&self, head: usize, stride: usize, tokens: usize, token: usize) -> usize {
        let (entry, head) = (head / self.heads, head % self.heads);
        (entry * tokens + token) * stride + head * self.width()
    }

    /// Keys as weights `[keys, d]`, values as weights `[d, keys]`, block after block.
    fn pack(&self, head: usize, [k, v]: [&[f32]; 2], mut panels: &mut [f32]) {
        let d = self.width();
        for keys in self.blocks() {
            let [k_at, v_at] = [1, 2].map(|i| {
                let stride = self.strides[i];
                move |key: usize| self.place(head, stride, self.keys, keys.start + key)
            });
            let (block, rest) = panels.split_at_mut(self.block_len(keys.clone()));
            let (k_panels, v_panels) = block.split_at_mut(cpu::packed_len(keys.len(), d));
            cpu::pack(k_panels, [keys.len(), d], |key, i| k[k_at(key) + i]);
            cpu::pack(v_panels, [d, keys.len()], |i, key| v[v_at(key) + i]);
            panels = rest;
        }
    }

    /// Queries from `first` on, on the keys of their head block by block, with the softmax made good as
    /// larger scores appear (algorithm 1 of the paper).
    fn some_queries(
        &self,
        head: usize,
        first: usize,
        q: &[f32],
        mut panels: &[f32],
        y: cpu::Shared,
    ) {
        let (d, count) = (self.width(), QUERIES.min(self.tokens - first));
        let place = |i: usize, stride: usize| self.place(head, stride, self.tokens, first + i);
        let stride = self.strides[0];
        let queries = cpu::Rows { numbers: &q[place(0, stride)..], stride, count };
        let mut state = [(f32::NEG_INFINITY, 0.0); QUERIES];
        cpu::with_scratch(count * (d + KEYS), |scratch| {
            let (sums, scores) = scratch.split_at_mut(count * d);
            sums.fill(0.0);
            for keys in self.blocks() {
                let (block, rest) = panels.split_at(self.block_len(keys.clone()));
                let (k, v) = block.split_at(cpu::packed_len(keys.len(), d));
                panels = rest;
                if self.causal && keys.start >= first + count {
                    break;
                }
                let scores = &mut scores[..count * keys.len()];
                cpu::Panels::new(k, [keys.len(), d]).add(&queries, scores, keys.len(), false);
                let rows = scores.chunks_exact_mut(keys.len()).zip(sums.chunks_exact_mut(d));
                for (i, ((scores, sums), state)) in rows.zip(&mut state).enumerate() {
                    let seen = if self.causal { first + i + 1 } else { self.keys };
                    let seen = seen.saturating_sub(keys.start).min(keys.len());
                    scores[seen..].fill(0.0);
                    weigh(&mut scores[..seen], 1.0 / (d as f32).sqrt(), sums, state);
                }
                let scores = cpu::Rows { numbers: scores, stride: keys.len(), count };
                cpu::Panels::new(v, [d, keys.len()]).add(&scores, sums, d, true);
            }
            for (i, (sums, (_, total))) in sums.chunks_exact(d).zip(&state).enumerate() {
                // SAFETY: each query's channels of a head are of one task.
                let y = unsafe { y.from(place(i, self.channels)) };
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = sum / total);
            }
        });
    }
}

/// Turns scores into weights `exp(scale score - high)`; sums so far, and the total of their weights, are
/// made to refer to the new highest score.
#[multiversion(targets = "simd")]
fn weigh(scores: &mut [f32], scale: f32, sums: &mut [f32], state: &mut (f32, f32)) {
    let (high, total) = state;
    let new = high.max(scale * lanes_max(scores));
    if new == f32::NEG_INFINITY {
        return;
    }
    let old = exp(*high - new);
    scores.iter_mut().for_each(|x| *x = exp(scale * *x - new));
    if old != 1.0 {
        sums.iter_mut().for_each(|x| *x *= old);
    }
    *total = *total * old + lanes_sum(scores);
    *high = new;
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
