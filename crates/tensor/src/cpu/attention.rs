//! Attention on the CPU, in the tiles of FlashAttention (Dao et al. 2022), with everything transposed:
//! a lane of a vector is a query. So scores of a block of keys come out of the matrix product as the
//! panel that the next product reads, the softmax needs no sums across lanes, and a head's width need
//! not be a multiple of a vector.

use super::{Panels, Rows, Shared, VECTORS, width, with_scratch};
use crate::ops::exp_vector;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// The sizes of one attention. Heads lie side by side in the channels.
#[derive(Clone, Copy)]
pub struct Heads {
    pub tokens: usize,
    pub keys: usize,
    pub channels: usize,
    pub heads: usize,
    /// Token i sees tokens 0..=i only.
    pub causal: bool,
    /// How far apart tokens of queries, keys and values begin.
    pub strides: [usize; 3],
}

/// Queries of one task, a multiple of every panel's width; and keys seen at once: the scores of a panel
/// of queries on them stay in the first cache.
const QUERIES: usize = 96;
const KEYS: usize = 128;

impl Heads {
    /// `[B, T, heads D]` from queries of that shape, keys and values `[B, S, heads D]`.
    pub fn run(&self, [q, k, v]: [&[f32]; 3], y: &mut [f32]) {
        let heads = y.len() / (self.tokens * self.channels) * self.heads;
        let len = self.keys * self.width();
        with_scratch(2 * heads * len, |by_head| {
            by_head.par_chunks_mut(2 * len).enumerate().for_each(|(head, into)| {
                let (k_into, v_into) = into.split_at_mut(len);
                self.gather(head, k, self.strides[1], k_into);
                self.gather(head, v, self.strides[2], v_into);
            });
            let (by_head, y) = (&*by_head, Shared::new(y));
            let tasks = self.tokens.div_ceil(QUERIES);
            (0..heads * tasks).into_par_iter().for_each(|task| {
                let (head, first) = (task / tasks, task % tasks * QUERIES);
                let kv = by_head[head * 2 * len..][..2 * len].split_at(len);
                Task { of: self, head, first }.run(q, kv, y);
            });
        });
    }

    /// Channels of a head.
    fn width(&self) -> usize {
        self.channels / self.heads
    }

    /// Where a head's numbers of its first token begin, of `tokens` that begin `stride` apart; heads are
    /// counted through the batch.
    fn place(&self, head: usize, tokens: usize, stride: usize) -> usize {
        let (entry, head) = (head / self.heads, head % self.heads);
        entry * tokens * stride + head * self.width()
    }

    /// A head's numbers of all keys, `[S, D]`.
    fn gather(&self, head: usize, from: &[f32], stride: usize, into: &mut [f32]) {
        let from = from[self.place(head, self.keys, stride)..].chunks(stride);
        for (into, from) in into.chunks_exact_mut(self.width()).zip(from) {
            into.copy_from_slice(&from[..self.width()]);
        }
    }
}

/// Some queries of a head.
struct Task<'a> {
    of: &'a Heads,
    /// Counted through the batch.
    head: usize,
    first: usize,
}

/// A panel of queries `[D, width]`, and what is known of their rows so far.
struct Panel<'a> {
    queries: &'a mut [f32],
    /// Weighted values, `[D, width]`.
    sums: &'a mut [f32],
    /// The highest score, and the total of the weights.
    high: &'a mut [f32],
    total: &'a mut [f32],
}

impl Task<'_> {
    /// Key block by key block, with sums made good as higher scores appear (algorithm 1 of the paper).
    fn run(&self, q: &[f32], (k, v): (&[f32], &[f32]), y: Shared) {
        let (d, wide) = (self.of.width(), width());
        let count = QUERIES.min(self.of.tokens - self.first);
        let len = 2 * (d + 1) * wide;
        with_scratch(count.div_ceil(wide) * len + KEYS * wide, |scratch| {
            let (scores, panels) = scratch.split_at_mut(KEYS * wide);
            let first = (self.first..).step_by(wide);
            let mut panels: Vec<(usize, Panel)> =
                first.zip(panels.chunks_exact_mut(len).map(|p| Panel::new(p, d * wide))).collect();
            for (first, panel) in &mut panels {
                self.load(*first, q, panel.queries);
            }
            for from in (0..self.of.keys).step_by(KEYS) {
                let keys = KEYS.min(self.of.keys - from);
                let kv = [k, v].map(|x| &x[from * d..][..keys * d]);
                for (first, panel) in &mut panels {
                    // What none of the queries sees is left out.
                    if !self.of.causal || from < *first + wide {
                        self.see(
                            panel,
                            kv,
                            &mut scores[..keys * wide],
                            *first as isize - from as isize,
                        );
                    }
                }
            }
            for (first, panel) in &panels {
                self.store(*first, panel, y);
            }
        });
    }

    /// Queries from `first` on, scaled, side by side; zeros where there are no more.
    fn load(&self, first: usize, q: &[f32], panel: &mut [f32]) {
        let d = self.of.width();
        let count = width().min(self.of.tokens - first);
        let scale = 1.0 / (d as f32).sqrt();
        let stride = self.of.strides[0];
        let q = &q[self.of.place(self.head, self.of.tokens, stride) + first * stride..];
        panel.fill(0.0);
        for (query, q) in q.chunks(stride).take(count).enumerate() {
            let column = panel[query..].iter_mut().step_by(width());
            column.zip(&q[..d]).for_each(|(into, q)| *into = scale * q);
        }
    }

    /// One block of keys and values `[keys, D]`; `first` is the first query, counted from its first key.
    fn see(&self, panel: &mut Panel, [k, v]: [&[f32]; 2], scores: &mut [f32], first: isize) {
        let (d, wide) = (self.of.width(), width());
        let keys = scores.len() / wide;
        let rows = Rows { numbers: k, stride: d, step: 1, count: keys };
        Panels::new(panel.queries, [wide, d]).add(&rows, scores, wide, false);
        if self.of.causal {
            hide(scores, wide, first);
        }
        Arch::new().dispatch(Weigh { scores, panel });
        let rows = Rows { numbers: v, stride: 1, step: d, count: d };
        Panels::new(scores, [wide, keys]).add(&rows, panel.sums, wide, true);
    }

    fn store(&self, first: usize, panel: &Panel, y: Shared) {
        let (d, wide, stride) = (self.of.width(), width(), self.of.channels);
        let start = self.of.place(self.head, self.of.tokens, stride) + first * stride;
        for query in 0..wide.min(self.of.tokens - first) {
            // SAFETY: each query's channels of a head are of one task.
            let y = unsafe { y.from(start + query * stride) };
            let (sums, scale) =
                (panel.sums[query..].iter().step_by(wide), 1.0 / panel.total[query]);
            y[..d].iter_mut().zip(sums).for_each(|(y, sum)| *y = sum * scale);
        }
    }
}

impl<'a> Panel<'a> {
    /// In memory for two matrices of `len` numbers and two rows.
    fn new(memory: &'a mut [f32], len: usize) -> Self {
        let (queries, rest) = memory.split_at_mut(len);
        let (sums, rest) = rest.split_at_mut(len);
        let (high, total) = rest.split_at_mut(rest.len() / 2);
        sums.fill(0.0);
        high.fill(f32::NEG_INFINITY);
        total.fill(0.0);
        Self { queries, sums, high, total }
    }
}

/// Scores of keys that come after their query become as low as can be.
fn hide(scores: &mut [f32], wide: usize, first: isize) {
    for (key, scores) in scores.chunks_exact_mut(wide).enumerate() {
        let hidden = (key as isize - first).clamp(0, wide as isize) as usize;
        scores[..hidden].fill(f32::NEG_INFINITY);
    }
}

/// Turns scores `[keys, width]` into weights `exp(score - high)`; sums and totals so far are made to
/// refer to the new highest score.
struct Weigh<'a, 'b> {
    scores: &'a mut [f32],
    panel: &'a mut Panel<'b>,
}

impl WithSimd for Weigh<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { scores, panel } = self;
        let (scores, _) = S::as_mut_simd_f32s(scores);
        let (sums, _) = S::as_mut_simd_f32s(panel.sums);
        let (highs, _) = S::as_mut_simd_f32s(panel.high);
        let (totals, _) = S::as_mut_simd_f32s(panel.total);
        let tops = highest(simd, scores);
        for (v, top) in tops.into_iter().enumerate() {
            let high = simd.max_f32s(highs[v], top);
            let change = exp_vector(simd, simd.sub_f32s(highs[v], high));
            if simd.reduce_min_f32s(change) < 1.0 {
                for sum in sums[v..].iter_mut().step_by(VECTORS) {
                    *sum = simd.mul_f32s(*sum, change);
                }
            }
            let mut total = simd.mul_f32s(totals[v], change);
            for score in scores[v..].iter_mut().step_by(VECTORS) {
                *score = exp_vector(simd, simd.sub_f32s(*score, high));
                total = simd.add_f32s(total, *score);
            }
            (highs[v], totals[v]) = (high, total);
        }
    }
}

/// The highest scores of each query. Four rows at a time, as each comparison waits for the one before.
#[inline(always)]
fn highest<S: Simd>(simd: S, scores: &[S::f32s]) -> [S::f32s; VECTORS] {
    const AT_ONCE: usize = 4 * VECTORS;
    let mut high = [simd.splat_f32s(f32::NEG_INFINITY); AT_ONCE];
    let (rows, rest) = scores.as_chunks::<AT_ONCE>();
    for row in rows {
        for i in 0..AT_ONCE {
            high[i] = simd.max_f32s(high[i], row[i]);
        }
    }
    for (high, score) in high.iter_mut().zip(rest) {
        *high = simd.max_f32s(*high, *score);
    }
    let mut top = [simd.splat_f32s(f32::NEG_INFINITY); VECTORS];
    for row in high.chunks_exact(VECTORS) {
        for v in 0..VECTORS {
            top[v] = simd.max_f32s(top[v], row[v]);
        }
    }
    top
}
