//! Normalisation over groups of channels (Wu and He 2018) and over rows (Ba et al. 2016).

use super::{Fusable, Op};
use crate::{Act, Result, Tensor, Weight, cpu, gpu};
use multiversion::multiversion;
use rayon::prelude::*;
use std::ops::Range;

const SMALL: gpu::Kernel = gpu::kernel!("group_norm_small", "reduce", "act");
const STATISTICS: gpu::Kernel = gpu::kernel!("group_norm_statistics", "reduce");
const GROUP_NORM: gpu::Kernel = gpu::kernel!("group_norm", "act");
const LAYER_NORM: gpu::Kernel = gpu::kernel!("layer_norm", "reduce");

/// Over `groups` groups of channels of each picture; then `act`.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    pub groups: usize,
    pub weight: Weight,
    pub bias: Weight,
    pub eps: f32,
    pub act: Act,
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        8 * output.iter().product::<usize>() as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        vec![&self.weight, &self.bias]
    }
    fn absorb(&mut self, kind: Fusable, _: usize, _: bool) -> bool {
        match kind {
            Fusable::Act(act) if self.act == Act::Identity => self.act = act,
            _ => return false,
        }
        true
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let (weight, bias) = (cx.weight(&self.weight), cx.weight(&self.bias));
        let c = self.weight.len();
        let norm = Groups { channels: c, size: c / self.groups, eps: f64::from(self.eps) };
        let entry = cx.output[1..].iter().product();
        let act = self.act;
        Ok(Box::new(move |inputs, y| {
            let (weight, bias) = (weight.get(), bias.get());
            for (x, y) in inputs[0].chunks_exact(entry).zip(y.chunks_exact_mut(entry)) {
                let (mean, scale) = norm.statistics(x, &weight);
                cpu::rows(y, c, |first, y| {
                    normalise(&x[first * c..], [&mean, &scale, &bias], act, y);
                });
            }
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let rows = x.len() / x.columns() / x.shape[0];
        if rows * x.columns() / self.groups <= SMALL_GROUP && cx.fits(&[x.all()]) {
            self.gpu_small(cx, &x, rows);
            return Ok(());
        }
        let chunks = Units { of: rows, each: rows.div_ceil(rows.div_ceil(256).min(32)) };
        let partials = cx.scratch(4 * x.shape[0] * chunks.count() * self.groups);
        self.gpu_statistics(cx, &x, &partials, chunks)?;
        self.gpu_normalise(cx, &x, &partials, chunks)
    }
}

/// Rows of a batch entry, so many at a time: units of work, counted over the whole batch.
#[derive(Clone, Copy)]
struct Units {
    of: usize,
    each: usize,
}

impl Units {
    /// Units of one entry.
    fn count(self) -> usize {
        self.of.div_ceil(self.each)
    }
    /// Rows of the batch.
    fn rows(self, units: &Range<usize>) -> Range<usize> {
        let first = |unit: usize| {
            let (entry, unit) = (unit / self.count(), unit % self.count());
            entry * self.of + (unit * self.each).min(self.of)
        };
        first(units.start)..first(units.end)
    }
}

/// Numbers of a group that one workgroup normalises in one go, and its threads: larger groups are spread
/// over many workgroups, in two phases.
const SMALL_GROUP: usize = 16_384;
const SMALL_THREADS: usize = 256;

impl GroupNorm {
    fn gpu_small(&self, cx: &mut gpu::Compiler, x: &gpu::Operand, rows: usize) {
        let reads = [x.all(), cx.weight(&self.weight).all(), cx.weight(&self.bias).all()];
        let parameters = [rows, x.columns() / self.groups, self.groups, self.act as usize];
        let parameters = parameters.map(|n| n as u32).into_iter().chain([self.eps.to_bits()]);
        let y = cx.output.all();
        cx.dispatch(
            &SMALL,
            &[("THREADS", SMALL_THREADS)],
            &reads,
            &y,
            &parameters.collect::<Vec<_>>(),
            [self.groups as u32, x.shape[0] as u32, 1],
        );
    }

    fn gpu_statistics(
        &self,
        cx: &mut gpu::Compiler,
        x: &gpu::Operand,
        partials: &gpu::Operand,
        chunks: Units,
    ) -> Result<()> {
        let spans = |range: Range<usize>| vec![x.rows(chunks.rows(&range))];
        for range in cx.split(x.shape[0] * chunks.count(), &spans)? {
            let x_span = spans(range.clone());
            let size = x.columns() / self.groups;
            let parameters =
                [range.start, x_span[0].start, chunks.of, chunks.each, chunks.count(), size];
            cx.dispatch(
                &STATISTICS,
                &[("GROUPS", self.groups)],
                &x_span,
                &partials.all(),
                &parameters.map(|n| n as u32),
                [self.groups as u32, range.len() as u32, 1],
            );
        }
        Ok(())
    }

    fn gpu_normalise(
        &self,
        cx: &mut gpu::Compiler,
        x: &gpu::Operand,
        partials: &gpu::Operand,
        chunks: Units,
    ) -> Result<()> {
        let (weight, bias) = (cx.weight(&self.weight), cx.weight(&self.bias));
        let (y, columns) = (cx.output.clone(), x.columns());
        let runs = Units { of: chunks.of, each: (4096 / columns).clamp(1, chunks.of) };
        let spans = |range: Range<usize>| {
            let rows = runs.rows(&range);
            vec![x.rows(rows.clone()), partials.all(), weight.all(), bias.all(), y.rows(rows)]
        };
        for range in cx.split(x.shape[0] * runs.count(), &spans)? {
            let mut spans = spans(range.clone());
            let y = spans.pop().expect("the output is the last");
            let parameters = [
                [range.start, range.len(), spans[0].start, y.start, runs.of],
                [runs.each, runs.count(), chunks.count(), columns / self.groups, self.act as usize],
            ];
            let parameters = parameters.as_flattened().iter().map(|n| *n as u32);
            let parameters: Vec<u32> = parameters.chain([self.eps.to_bits()]).collect();
            let groups = gpu::fold(range.len());
            let constants = [("GROUPS", self.groups)];
            cx.dispatch(&GROUP_NORM, &constants, &spans, &y, &parameters, groups);
        }
        Ok(())
    }
}

/// Over the last dimension.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    pub weight: Weight,
    pub bias: Weight,
    pub eps: f32,
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        8 * output.iter().product::<usize>() as u64
    }
    fn weights(&self) -> Vec<&Weight> {
        vec![&self.weight, &self.bias]
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let (weight, bias) = (cx.weight(&self.weight), cx.weight(&self.bias));
        let (c, eps) = (self.weight.len(), self.eps);
        Ok(Box::new(move |inputs, y| {
            let (weight, bias) = (weight.get(), bias.get());
            cpu::rows(y, c, |first, y| {
                let x = inputs[0][first * c..].chunks_exact(c);
                let rows = y.chunks_exact_mut(c).zip(x);
                rows.for_each(|(y, x)| normalise_row(x, [&weight, &bias], eps, y));
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let (weight, bias) = (cx.weight(&self.weight), cx.weight(&self.bias));
        let rest = [x.columns() as u32, self.eps.to_bits()];
        let reads = |rows: Range<usize>| vec![x.rows(rows), weight.all(), bias.all()];
        cx.each_row(&LAYER_NORM, &reads, &rest)
    }
}

impl Tensor {
    /// `[B, .., C]` to zero mean and unit variance over each group of `C / groups` channels of
    /// each batch entry, then scaled by `weight` and shifted by `bias`, both `[C]`.
    #[track_caller]
    pub fn group_norm(&self, groups: usize, weight: &Weight, bias: &Weight, eps: f32) -> Tensor {
        assert_eq!([self.channels()], *weight.shape(), "group_norm {}: channels", weight.key());
        assert_eq!(weight.shape(), bias.shape(), "group_norm {}: channels", bias.key());
        assert_eq!(self.channels() % groups, 0, "group_norm {}: {groups} groups", weight.key());
        let (weight, bias) = (weight.clone(), bias.clone());
        let op = GroupNorm { groups, weight, bias, eps, act: Act::Identity };
        self.record(op, &[], self.shape())
    }

    /// `[.., C]` to zero mean and unit variance over the last dimension, scaled and shifted.
    #[track_caller]
    pub fn layer_norm(&self, weight: &Weight, bias: &Weight, eps: f32) -> Tensor {
        assert_eq!([self.channels()], *weight.shape(), "layer_norm {}: channels", weight.key());
        assert_eq!(weight.shape(), bias.shape(), "layer_norm {}: channels", bias.key());
        let op = LayerNorm { weight: weight.clone(), bias: bias.clone(), eps };
        self.record(op, &[], self.shape())
    }
}

/// Rows of channels: `act((x - mean) scale + shift)`.
#[multiversion(targets = "simd")]
fn normalise(x: &[f32], [mean, scale, shift]: [&[f32]; 3], act: Act, y: &mut [f32]) {
    let c = mean.len();
    for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
        let of = mean.iter().zip(scale).zip(shift);
        for ((y, x), ((mean, scale), shift)) in y.iter_mut().zip(x).zip(of) {
            *y = (x - mean) * scale + shift;
        }
        act.apply(y);
    }
}

/// One row to zero mean and unit variance, scaled and shifted.
#[multiversion(targets = "simd")]
fn normalise_row(x: &[f32], [weight, bias]: [&[f32]; 2], eps: f32, y: &mut [f32]) {
    let count = x.len() as f64;
    let mean = sum(x, |x| x) / count;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
    let (mean, scale) = (mean as f32, 1.0 / (variance as f32 + eps).sqrt());
    for ((y, x), (weight, bias)) in y.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
        *y = (x - mean) * scale * weight + bias;
    }
}

/// The sum of `f(x)`, in partial sums: the order that vectors like.
#[inline(always)]
fn sum(xs: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let (lanes, rest) = xs.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for lane in lanes {
        sums.iter_mut().zip(lane).for_each(|(sum, x)| *sum += f(f64::from(*x)));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| f(f64::from(*x))).sum::<f64>()
}

/// How many numbers, their mean, and the sum of their squared distances from it: the square of a mean
/// taken from the mean of squares would lose the digits of numbers that are large and alike.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Of both together (Chan, Golub and LeVeque 1979).
    fn with(self, other: Self) -> Self {
        let count = self.count + other.count;
        let (apart, share) = (other.mean - self.mean, other.count / count);
        Self {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }
}

/// Groups of channels that are normalised together.
struct Groups {
    channels: usize,
    size: usize,
    eps: f64,
}

impl Groups {
    /// Per channel, the group's mean and the factor that normalise `x`, the rows of one batch entry.
    fn statistics(&self, x: &[f32], weight: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let block = (cpu::CACHE / self.channels).max(1) * self.channels;
        let blocks: Vec<Vec<Moments>> = x.par_chunks(block).map(|x| self.moments(x)).collect();
        // In the order of the blocks, so that every run gives the same bits.
        let join = |a: Vec<Moments>, b| a.into_iter().zip(b).map(|(a, b)| a.with(b)).collect();
        let groups: Vec<Moments> = blocks.into_iter().reduce(join).unwrap_or_default();
        let channel = |c: usize| {
            let Moments { count, mean, squares } = groups[c / self.size];
            let scale = f64::from(weight[c]) / (squares / count + self.eps).sqrt();
            (mean as f32, scale as f32)
        };
        (0..self.channels).map(channel).unzip()
    }

    /// Per group, of rows that stay in a core's cache between the means and the squares.
    fn moments(&self, x: &[f32]) -> Vec<Moments> {
        let count = (x.len() / self.channels * self.size) as f64;
        let mut channels = vec![0.0; self.channels];
        sums(x, &mut channels);
        let means: Vec<f64> = self.in_groups(&channels).map(|sum| sum / count).collect();
        let centres: Vec<f64> = (0..self.channels).map(|c| means[c / self.size]).collect();
        channels.fill(0.0);
        squares(x, &centres, &mut channels);
        let squares = self.in_groups(&channels);
        means.iter().zip(squares).map(|(&mean, squares)| Moments { count, mean, squares }).collect()
    }

    fn in_groups(&self, channels: &[f64]) -> impl Iterator<Item = f64> {
        channels.chunks_exact(self.size).map(|group| group.iter().sum())
    }
}

/// Adds rows of channels.
#[multiversion(targets = "simd")]
fn sums(x: &[f32], sums: &mut [f64]) {
    for row in x.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
}

/// Adds rows of channels, each number as the square of its distance from its centre.
#[multiversion(targets = "simd")]
fn squares(x: &[f32], centres: &[f64], sums: &mut [f64]) {
    for row in x.chunks_exact(centres.len()) {
        for ((sum, x), centre) in sums.iter_mut().zip(row).zip(centres) {
            let x = f64::from(*x) - centre;
            *sum += x * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, testing};

    /// Normalises each set of indices that `set` tells apart, in f64.
    fn naive(
        x: &[f32],
        c: usize,
        eps: f64,
        w: &[f32],
        b: &[f32],
        set: impl Fn(usize) -> usize,
    ) -> Vec<f64> {
        let sets = (0..x.len()).map(&set).max().unwrap_or(0) + 1;
        let mean_of = |f: &dyn Fn(usize) -> f64| {
            let (mut sums, mut counts) = (vec![0.0; sets], vec![0.0; sets]);
            for i in 0..x.len() {
                sums[set(i)] += f(i);
                counts[set(i)] += 1.0;
            }
            sums.iter().zip(counts).map(|(s, n)| s / n).collect::<Vec<f64>>()
        };
        let means = mean_of(&|i| f64::from(x[i]));
        let variances = mean_of(&|i| (f64::from(x[i]) - means[set(i)]).powi(2));
        let y = |i: usize| (f64::from(x[i]) - means[set(i)]) / (variances[set(i)] + eps).sqrt();
        (0..x.len()).map(|i| y(i) * f64::from(w[i % c]) + f64::from(b[i % c])).collect()
    }

    #[test]
    fn group_norm_is_its_definition_even_far_from_zero() {
        for (batch, rows, c, groups, offset) in [
            (1, 1, 4, 2, 0.0),
            (2, 35, 32, 32, 0.0),
            (1, 300, 96, 32, 64.0),
            (1, 9000, 96, 32, 64.0),
            (2, 63, 20, 5, -3.0),
        ] {
            let weights = testing::weights(&[("w", &[c]), ("b", &[c])]);
            let (weight, bias) = (weights.get("w").unwrap(), weights.get("b").unwrap());
            let x: Vec<f32> =
                testing::numbers(batch * rows * c, 8).iter().map(|x| x + offset).collect();
            let (w, b) = (weight.to_f32().unwrap(), bias.to_f32().unwrap());
            let set = |i: usize| i / (rows * c) * groups + i % c / (c / groups);
            let expected = naive(&x, c, 1e-6, &w, &b, set);
            let program = || {
                let tape = Tape::new();
                let y = tape.input("x", &[batch, rows, c]).group_norm(groups, &weight, &bias, 1e-6);
                tape.finish(&[&y])
            };
            // The mean, rounded to f32, is off by half a bit: at 64 that is 4e-6.
            // A chunk of 256 rows is bound whole.
            let tolerance = if offset == 0.0 { 2e-6 } else { 2e-5 };
            testing::check_bound(1 << 17, program, &[&x], &expected, tolerance);
        }
    }

    #[test]
    fn layer_norm_is_its_definition() {
        for (rows, c) in [(1, 2), (77, 48), (5, 321)] {
            let weights = testing::weights(&[("w", &[c]), ("b", &[c])]);
            let (weight, bias) = (weights.get("w").unwrap(), weights.get("b").unwrap());
            let x = testing::numbers(rows * c, 8);
            let expected =
                naive(&x, c, 1e-5, &weight.to_f32().unwrap(), &bias.to_f32().unwrap(), |i| i / c);
            let program = || {
                let tape = Tape::new();
                let y = tape.input("x", &[1, rows, c]).layer_norm(&weight, &bias, 1e-5);
                tape.finish(&[&y])
            };
            testing::check(program, &[&x], &expected, 2e-6);
        }
    }
}
