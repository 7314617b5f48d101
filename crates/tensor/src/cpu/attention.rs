//! Attention on the CPU, in the tiles of FlashAttention (Dao et al. 2022), with everything transposed:
//! a lane of a vector is a query. So scores of a block of keys come out of the matrix product as the
//! panel that the next product reads, the softmax needs no sums across lanes, and a head's width need
//! not be a multiple of a vector.

use super::{Panels, Rows, Shared, width, width_for, with_scratch};
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
    /// The first of its queries, and how many it has room for.
    first: usize,
    width: usize,
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
        let last = self.of.tokens.min(self.first + QUERIES);
        let len = 2 * (d + 1) * wide;
        with_scratch((last - self.first).div_ceil(wide) * len + KEYS * wide, |scratch| {
            let (scores, panels) = scratch.split_at_mut(KEYS * wide);
            let mut panels: Vec<Panel> = (self.first..last)
                .step_by(wide)
                .zip(panels.chunks_exact_mut(len))
                .map(|(first, memory)| Panel::new(first, width_for(last - first), d, memory))
                .collect();
            for panel in &mut panels {
                self.load(q, panel);
            }
            for from in (0..self.of.keys).step_by(KEYS) {
                let keys = KEYS.min(self.of.keys - from);
                let kv = [k, v].map(|x| &x[from * d..][..keys * d]);
                for panel in &mut panels {
                    // What none of the queries sees is left out.
                    if !self.of.causal || from < panel.first + panel.width {
                        self.see(panel, kv, &mut scores[..keys * panel.width], from);
                    }
                }
            }
            for panel in &panels {
                self.store(panel, y);
            }
        });
    }

    /// The queries, scaled, side by side; zeros where there are no more.
    fn load(&self, q: &[f32], panel: &mut Panel) {
        let d = self.of.width();
        let scale = 1.0 / (d as f32).sqrt();
        let stride = self.of.strides[0];
        let q = &q[self.of.place(self.head, self.of.tokens, stride) + panel.first * stride..];
        panel.queries.fill(0.0);
        for (query, q) in q.chunks(stride).take(self.count(panel)).enumerate() {
            let column = panel.queries[query..].iter_mut().step_by(panel.width);
            column.zip(&q[..d]).for_each(|(into, q)| *into = scale * q);
        }
    }

    /// How many of a panel's queries there are.
    fn count(&self, panel: &Panel) -> usize {
        panel.width.min(self.of.tokens - panel.first)
    }

    /// One block of keys and values `[keys, D]`, the first being key `from`.
    fn see(&self, panel: &mut Panel, [k, v]: [&[f32]; 2], scores: &mut [f32], from: usize) {
        let (d, wide) = (self.of.width(), panel.width);
        let keys = scores.len() / wide;
        let rows = Rows { numbers: k, stride: d, step: 1, count: keys };
        Panels::new(panel.queries, [wide, d]).add(&rows, scores, wide, false);
        if self.of.causal {
            hide(scores, wide, panel.first as isize - from as isize);
        }
        Arch::new().dispatch(Weigh { scores, panel });
        let rows = Rows { numbers: v, stride: 1, step: d, count: d };
        Panels::new(scores, [wide, keys]).add(&rows, panel.sums, wide, true);
    }

    fn store(&self, panel: &Panel, y: Shared) {
        let (d, wide, stride) = (self.of.width(), panel.width, self.of.channels);
        let start = self.of.place(self.head, self.of.tokens, stride) + panel.first * stride;
        for query in 0..self.count(panel) {
            // SAFETY: each query's channels of a head are of one task.
            let y = unsafe { y.from(start + query * stride) };
            let (sums, scale) =
                (panel.sums[query..].iter().step_by(wide), 1.0 / panel.total[query]);
            y[..d].iter_mut().zip(sums).for_each(|(y, sum)| *y = sum * scale);
        }
    }
}

impl<'a> Panel<'a> {
    /// In memory for two matrices `[D, width]` and two rows.
    fn new(first: usize, width: usize, d: usize, memory: &'a mut [f32]) -> Self {
        let (queries, rest) = memory[..2 * (d + 1) * width].split_at_mut(d * width);
        let (sums, rest) = rest.split_at_mut(d * width);
        let (high, total) = rest.split_at_mut(width);
        sums.fill(0.0);
        high.fill(f32::NEG_INFINITY);
        total.fill(0.0);
        Self { first, width, queries, sums, high, total }
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
        match self.panel.width / S::F32_LANES {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            _ => self.run::<S, 3>(simd),
        }
    }
}

impl Weigh<'_, '_> {
    /// For a panel of `V` vectors.
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self { scores, panel } = self;
        let (scores, _) = S::as_mut_simd_f32s(scores).0.as_chunks_mut::<V>();
        let (sums, _) = S::as_mut_simd_f32s(panel.sums).0.as_chunks_mut::<V>();
        let (highs, _) = S::as_mut_simd_f32s(panel.high);
        let (totals, _) = S::as_mut_simd_f32s(panel.total);
        let tops = highest(simd, scores);
        for (v, top) in tops.into_iter().enumerate() {
            let high = simd.max_f32s(highs[v], top);
            let change = exp_vector(simd, simd.sub_f32s(highs[v], high));
            if simd.reduce_min_f32s(change) < 1.0 {
                for sums in &mut *sums {
                    sums[v] = simd.mul_f32s(sums[v], change);
                }
            }
            let mut total = simd.mul_f32s(totals[v], change);
            for scores in &mut *scores {
                scores[v] = exp_vector(simd, simd.sub_f32s(scores[v], high));
                total = simd.add_f32s(total, scores[v]);
            }
            (highs[v], totals[v]) = (high, total);
        }
    }
}

/// The highest scores of each query. Four rows at a time, as each comparison waits for the one before.
#[inline(always)]
fn highest<S: Simd, const V: usize>(simd: S, scores: &[[S::f32s; V]]) -> [S::f32s; V] {
    let higher = |high: &mut [S::f32s; V], row: &[S::f32s; V]| {
        for v in 0..V {
            high[v] = simd.max_f32s(high[v], row[v]);
        }
    };
    let mut high = [[simd.splat_f32s(f32::NEG_INFINITY); V]; 4];
    for rows in scores.chunks(4) {
        high.iter_mut().zip(rows).for_each(|(high, row)| higher(high, row));
    }
    let [mut top, others @ ..] = high;
    others.iter().for_each(|row| higher(&mut top, row));
    top
}
