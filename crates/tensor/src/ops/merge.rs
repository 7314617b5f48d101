//! Token merging (Bolya and Hoffman 2023, "Token Merging for Fast Stable Diffusion"; the matching is that
//! of "Token Merging: Your ViT But Faster", section 3): tokens that are much like one of some chosen tokens,
//! the destinations, are replaced by it, and get its result afterwards.
//!
//! Which token goes where depends on the numbers: it travels as values, `slots`, that hold whole numbers.

use super::Op;
use crate::{Result, Tensor, cpu, gpu};
use rayon::prelude::*;
use std::{cmp::Ordering, ops::Range};

const NEAREST: gpu::Kernel = gpu::kernel!("nearest_tokens", "reduce");
const SLOTS: gpu::Kernel = gpu::kernel!("merge_slots");
const MERGE: gpu::Kernel = gpu::kernel!("merge_tokens");
const UNMERGE: gpu::Kernel = gpu::kernel!("unmerge_tokens");

/// Tokens that a workgroup compares with all destinations at once, so that these are read less often.
const TOKENS: usize = 8;
/// As many for a task of the CPU.
const TASK: usize = 32;
/// The likeness of a destination to itself: above every cosine.
const ITSELF: f32 = 2.0;

/// Of tokens `[B, N, C]` and the numbers of some of them, `[D]`: for each token the cosine to the
/// destination that is most like it, and which of them that is: `[B, N, 2]`.
#[derive(Debug)]
struct Nearest;
/// Of `[B, N, 2]` as above, where each token goes when the `merged` that are most like a destination go to
/// it: destinations come first, then the others: `[B, N]`.
#[derive(Debug)]
struct Slots {
    destinations: usize,
    merged: usize,
}
/// Of tokens `[B, N, C]` and their slots `[B, N]`, the mean of the tokens in each slot: `[B, M, C]`.
#[derive(Debug)]
struct Merge;
/// Of `[B, M, C]` and slots `[B, N]`, for each token what is in its slot: `[B, N, C]`.
#[derive(Debug)]
struct Unmerge;

/// Which tokens go together.
pub struct Merging {
    slots: Tensor,
    /// How many slots there are.
    rows: usize,
}

impl Tensor {
    /// Of tokens `[B, N, C]`: the `merged` (at most all others) that are most like one of the destinations
    /// (numbers of tokens, `[D]`) go to it.
    #[track_caller]
    pub fn merging(&self, destinations: &Tensor, merged: usize) -> Merging {
        let (tokens, count) = (self.dim(1), destinations.dim(0));
        assert!((1..=tokens).contains(&count), "{count} destinations for {tokens} tokens");
        let merged = merged.min(tokens - count);
        let nearest = self.record(Nearest, &[destinations], &[self.dim(0), tokens, 2]);
        let slots = Slots { destinations: count, merged };
        Merging { slots: nearest.record(slots, &[], &[self.dim(0), tokens]), rows: tokens - merged }
    }
}

impl Merging {
    /// The mean of the tokens that go together: `[B, N, C]` to `[B, N - merged, C]`.
    #[track_caller]
    pub fn merge(&self, x: &Tensor) -> Tensor {
        assert_eq!(x.shape()[..2], *self.slots.shape(), "merge: tokens");
        x.record(Merge, &[&self.slots], &[x.dim(0), self.rows, x.dim(2)])
    }

    /// For each token what its slot has: `[B, N - merged, C]` to `[B, N, C]`.
    #[track_caller]
    pub fn unmerge(&self, x: &Tensor) -> Tensor {
        assert_eq!(x.shape()[..2], [self.slots.dim(0), self.rows], "unmerge: slots");
        x.record(Unmerge, &[&self.slots], &[x.dim(0), self.slots.dim(1), x.dim(2)])
    }
}

impl Op for Nearest {
    fn name(&self) -> &'static str {
        "nearest_tokens"
    }
    fn flops(&self, inputs: &[&[usize]], _: &[usize]) -> u64 {
        2 * (inputs[0].iter().product::<usize>() * inputs[1][0]) as u64
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let (n, c, count) = (cx.inputs[0][1], cx.inputs[0][2], cx.inputs[1][0]);
        Ok(Box::new(move |inputs, y| {
            let destinations: Vec<usize> = inputs[1].iter().map(|d| *d as usize).collect();
            for (x, y) in inputs[0].chunks_exact(n * c).zip(y.chunks_exact_mut(2 * n)) {
                let row = |token: usize| &x[token * c..][..c];
                let unit =
                    |d: &usize| row(*d).iter().map(|x| x / length(row(*d))).collect::<Vec<_>>();
                let units: Vec<f32> = destinations.iter().flat_map(unit).collect();
                let packed = cpu::Packed::new(&units, c, false);
                y.par_chunks_mut(2 * TASK).enumerate().for_each(|(task, y)| {
                    nearest(packed.panels(), &x[task * TASK * c..], [count, c], y);
                });
                for (place, token) in destinations.iter().enumerate() {
                    y[2 * token..][..2].copy_from_slice(&[ITSELF, place as f32]);
                }
            }
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (x, destinations, y) = (cx.inputs[0].clone(), cx.inputs[1].clone(), cx.output.clone());
        let (tokens, channels) = (x.shape[1], x.shape[2]);
        let spans = |entries: Range<usize>| {
            let of =
                |array: &gpu::Operand| array.rows(entries.start * tokens..entries.end * tokens);
            vec![of(&x), destinations.all(), of(&y)]
        };
        for entries in cx.split(x.shape[0], &spans)? {
            let mut spans = spans(entries.clone());
            let y = spans.pop().expect("the output is the last");
            let parameters = [
                [entries.start, entries.len(), spans[0].start, y.start],
                [tokens, channels, destinations.len(), 0],
            ];
            let parameters: Vec<u32> =
                parameters.as_flattened().iter().map(|n| *n as u32).collect();
            let groups = gpu::fold(entries.len() * tokens.div_ceil(TOKENS));
            cx.dispatch(&NEAREST, &[("TOKENS", TOKENS)], &spans, &y, &parameters, groups);
        }
        Ok(())
    }
}

fn length(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// For some tokens, of which `x` begins with the first.
fn nearest(destinations: cpu::Panels, x: &[f32], [count, c]: [usize; 2], y: &mut [f32]) {
    let tokens = y.len() / 2;
    cpu::with_scratch(tokens * count, |scores| {
        let rows = cpu::Rows { numbers: x, stride: c, step: 1, count: tokens };
        destinations.add(&rows, scores, count, false);
        let rows = scores.chunks_exact(count).zip(x.chunks_exact(c));
        for ((scores, x), y) in rows.zip(y.chunks_exact_mut(2)) {
            let higher = |best: (usize, f32), (i, score): (usize, &f32)| {
                if *score > best.1 { (i, *score) } else { best }
            };
            let (place, score) = scores.iter().enumerate().fold((0, f32::MIN), higher);
            y.copy_from_slice(&[score / length(x), place as f32]);
        }
    });
}

impl Op for Slots {
    fn name(&self) -> &'static str {
        "merge_slots"
    }
    fn flops(&self, _: &[&[usize]], output: &[usize]) -> u64 {
        (output.iter().product::<usize>() * output[1]) as u64
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let &Self { destinations, merged } = self;
        let n = cx.output[1];
        Ok(Box::new(move |inputs, y| {
            for (nearest, y) in inputs[0].chunks_exact(2 * n).zip(y.chunks_exact_mut(n)) {
                let mut order: Vec<usize> = (0..n).collect();
                let score = |token: usize| nearest[2 * token];
                order.sort_by(|a, b| {
                    score(*b).partial_cmp(&score(*a)).unwrap_or(Ordering::Equal).then(a.cmp(b))
                });
                for (rank, token) in order.into_iter().enumerate() {
                    let goes = rank < destinations + merged;
                    y[token] = if goes { nearest[2 * token + 1] } else { (rank - merged) as f32 };
                }
            }
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (nearest, n) = (cx.inputs[0].clone(), cx.output.shape[1]);
        let reads = |r: Range<usize>| vec![nearest.rows(entries(r, n, n))];
        let goes = self.destinations + self.merged;
        cx.each_number(&SLOTS, &reads, &[n, goes, self.merged].map(|n| n as u32))
    }
}

/// Those rows of an array with `rows` for each entry that belong to the entries of some rows of an array
/// with `of` for each.
fn entries(range: Range<usize>, of: usize, rows: usize) -> Range<usize> {
    range.start / of * rows..((range.end - 1) / of + 1) * rows
}

impl Op for Merge {
    fn name(&self) -> &'static str {
        "merge_tokens"
    }
    fn flops(&self, inputs: &[&[usize]], _: &[usize]) -> u64 {
        inputs[0].iter().product::<usize>() as u64
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let (n, rows, c) = (cx.inputs[0][1], cx.output[1], cx.output[2]);
        Ok(Box::new(move |inputs, y| {
            let entries = inputs[0].par_chunks_exact(n * c).zip(inputs[1].par_chunks_exact(n));
            entries.zip(y.par_chunks_exact_mut(rows * c)).for_each(|((x, slots), y)| {
                y.fill(0.0);
                let mut counts = vec![0.0; rows];
                for (x, slot) in x.chunks_exact(c).zip(slots) {
                    counts[*slot as usize] += 1.0;
                    cpu::add(&mut y[*slot as usize * c..][..c], x);
                }
                for (y, count) in y.chunks_exact_mut(c).zip(counts) {
                    y.iter_mut().for_each(|y| *y /= count);
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (x, slots) = (cx.inputs[0].clone(), cx.inputs[1].clone());
        let (n, rows) = (x.shape[1], cx.output.shape[1]);
        let reads = |r: Range<usize>| {
            let tokens = entries(r, rows, n);
            vec![x.rows(tokens.clone()), slots.span(tokens)]
        };
        cx.each_row(&MERGE, &reads, &[n, rows, x.columns()].map(|n| n as u32))
    }
}

impl Op for Unmerge {
    fn name(&self) -> &'static str {
        "unmerge_tokens"
    }
    fn flops(&self, _: &[&[usize]], _: &[usize]) -> u64 {
        0
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let (rows, n, c) = (cx.inputs[0][1], cx.output[1], cx.output[2]);
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, c, |first, y| {
                for (y, token) in y.chunks_exact_mut(c).zip(first..) {
                    let row = token / n * rows + inputs[1][token] as usize;
                    y.copy_from_slice(&inputs[0][row * c..][..c]);
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let (x, slots) = (cx.inputs[0].clone(), cx.inputs[1].clone());
        let (rows, n, c) = (x.shape[1], cx.output.shape[1], x.columns());
        let reads = |r: Range<usize>| {
            let tokens = r.start / c..(r.end - 1) / c + 1;
            vec![x.rows(entries(tokens.clone(), n, rows)), slots.span(tokens)]
        };
        cx.each_number(&UNMERGE, &reads, &[n, rows, c].map(|n| n as u32))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Program, Tape, testing};

    /// Where each token of one entry goes, by the definition: in f64, one comparison after another.
    fn slots(x: &[f32], c: usize, destinations: &[usize], merged: usize) -> Vec<usize> {
        let row = |token: usize| x[token * c..][..c].iter().map(|x| f64::from(*x));
        let dot = |a: usize, b: usize| row(a).zip(row(b)).map(|(a, b)| a * b).sum::<f64>();
        let cosine = |a: usize, b: usize| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let others = (0..x.len() / c).filter(|token| !destinations.contains(token));
        let mut found: Vec<(f64, usize, usize)> = others
            .map(|token| {
                let likeness = |i: usize| cosine(token, destinations[i]);
                let best =
                    (0..destinations.len()).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
                (likeness(best.unwrap()), token, best.unwrap())
            })
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut slots = vec![0; x.len() / c];
        destinations.iter().enumerate().for_each(|(i, token)| slots[*token] = i);
        for (rank, (_, token, best)) in found.into_iter().enumerate() {
            slots[token] = if rank < merged { best } else { destinations.len() + rank - merged };
        }
        slots
    }

    #[test]
    fn like_tokens_go_together_and_come_apart_again() {
        for (n, c, count, merged) in
            [(6, 5, 2, 0), (35, 20, 9, 12), (30, 3, 7, 1000), (288, 40, 70, 86)]
        {
            let batch = 3;
            let x = testing::numbers(batch * n * c, 4);
            let mut random = testing::Random(n as u64);
            let mut tokens: Vec<usize> = (0..n).collect();
            let destinations: Vec<usize> =
                (0..count).map(|_| tokens.swap_remove(random.below(tokens.len()))).collect();
            let rows = n - merged.min(n - count);
            let given: Vec<f32> = destinations.iter().map(|d| *d as f32).collect();
            let mut back = Vec::new();
            for x in x.chunks_exact(n * c) {
                let slots = slots(x, c, &destinations, merged);
                let mut means = vec![0.0; rows * c];
                for (token, slot) in slots.iter().enumerate() {
                    let with = slots.iter().filter(|other| *other == slot).count() as f64;
                    for i in 0..c {
                        means[slot * c + i] += f64::from(x[token * c + i]) / with;
                    }
                }
                back.extend(slots.iter().flat_map(|slot| means[slot * c..][..c].to_vec()));
            }
            let program = || -> Program {
                let tape = Tape::new();
                let x = tape.input("x", &[batch, n, c]);
                let merging = x.merging(&tape.input("destinations", &[count]), merged);
                let means = merging.merge(&x);
                assert_eq!(means.shape(), [batch, rows, c]);
                tape.finish(&[&merging.unmerge(&means)])
            };
            // In which order tokens keep slots of their own is not compared: likenesses may be as good
            // as equal.
            testing::check_bound(64 << 10, program, &[&x, &given], &back, 1e-6);
        }
    }
}
