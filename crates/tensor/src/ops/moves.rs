//! Operations that only move numbers: concatenation, slices, permutation, upsampling.

use super::{Fusable, Op};
use crate::{Result, Tensor, cpu, gpu};
use std::ops::Range;

const CONCAT: gpu::Kernel = gpu::kernel!("concat");
const COPY_ROWS: gpu::Kernel = gpu::kernel!("copy_rows");
const PERMUTE: gpu::Kernel = gpu::kernel!("permute");
const UPSAMPLE: gpu::Kernel = gpu::kernel!("upsample2x");

/// Inputs one after another along `axis`.
#[derive(Debug)]
pub(crate) struct Concat {
    pub axis: usize,
}
/// `start..start + len` along `axis`.
#[derive(Debug)]
pub(crate) struct Slice {
    pub axis: usize,
    pub start: usize,
}
/// Output dimension `i` is input dimension `order[i]`.
#[derive(Debug)]
pub(crate) struct Permute {
    pub order: Vec<usize>,
}
/// Every pixel twice in each direction.
#[derive(Debug)]
pub(crate) struct Upsample2x;

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }
    fn flops(&self, _: &[&[usize]], _: &[usize]) -> u64 {
        0
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        // Each input gives this many numbers to each run of the output.
        let runs: Vec<usize> = cx.inputs.iter().map(|s| s[self.axis..].iter().product()).collect();
        let run = runs.iter().sum();
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, run, |first, y| {
                for (i, mut y) in y.chunks_exact_mut(run).enumerate() {
                    for (x, len) in inputs.iter().zip(&runs) {
                        let (head, tail) = y.split_at_mut(*len);
                        head.copy_from_slice(&x[(first + i) * len..][..*len]);
                        y = tail;
                    }
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let inputs = cx.inputs.clone();
        if let [a, b] = inputs.as_slice() {
            return self.gpu_two(cx, a, b);
        }
        let mut skip = 0;
        for x in &inputs {
            let len = x.shape[self.axis..].iter().product();
            let rows = CopyRows { len, x_skip: 0, y_skip: skip };
            rows.record(cx, x, [len, cx.output.shape[self.axis..].iter().product()])?;
            skip += len;
        }
        Ok(())
    }
}

impl Concat {
    /// Two inputs, the usual number, are one dispatch.
    fn gpu_two(&self, cx: &mut gpu::Compiler, a: &gpu::Operand, b: &gpu::Operand) -> Result<()> {
        let runs = [a, b].map(|x| x.shape[self.axis..].iter().product::<usize>());
        let run: usize = runs.iter().sum();
        let reads = |r: Range<usize>| {
            let rows = r.start / run..r.end.div_ceil(run);
            let span = |x: &gpu::Operand, run: usize| x.span(rows.start * run..rows.end * run);
            vec![span(a, runs[0]), span(b, runs[1])]
        };
        cx.each_number(&CONCAT, &reads, &runs.map(|run| run as u32))
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }
    fn flops(&self, _: &[&[usize]], _: &[usize]) -> u64 {
        0
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let from: usize = cx.inputs[0][self.axis..].iter().product();
        let to: usize = cx.output[self.axis..].iter().product();
        let skip = self.start * cx.output[self.axis + 1..].iter().product::<usize>();
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, to, |first, y| {
                for (i, y) in y.chunks_exact_mut(to).enumerate() {
                    y.copy_from_slice(&inputs[0][(first + i) * from + skip..][..to]);
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let [from, to] = [&x.shape, &cx.output.shape].map(|s| s[self.axis..].iter().product());
        let skip = self.start * cx.output.shape[self.axis + 1..].iter().product::<usize>();
        CopyRows { len: to, x_skip: skip, y_skip: 0 }.record(cx, &x, [from, to])
    }
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }
    fn flops(&self, _: &[&[usize]], _: &[usize]) -> u64 {
        0
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let strides = permuted_strides(cx.inputs[0], &self.order);
        let shape = cx.output.to_vec();
        Ok(Box::new(move |inputs, y| {
            cpu::rows(y, 1, |first, y| {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = inputs[0][source(first + i, &shape, &strides)];
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let missing = 4usize.checked_sub(self.order.len());
        let missing =
            missing.ok_or_else(|| anyhow::anyhow!("permute of more than 4 dimensions"))?;
        let strides = permuted_strides(&x.shape, &self.order);
        let fill = |numbers: &[usize], with: usize| {
            let rest = numbers.iter().copied();
            std::iter::repeat_n(with, missing).chain(rest).map(|n| n as u32).collect::<Vec<_>>()
        };
        let rest = [&fill(&cx.output.shape, 1)[1..], &fill(&strides, 0)].concat();
        cx.each_number(&PERMUTE, &|_| vec![x.all()], &rest)
    }
}

/// A run of numbers of each row, copied: to the rows of the output, which may be longer.
struct CopyRows {
    len: usize,
    x_skip: usize,
    y_skip: usize,
}

impl CopyRows {
    /// `columns` are the lengths of a row of `x` and of the output.
    fn record(&self, cx: &mut gpu::Compiler, x: &gpu::Operand, columns: [usize; 2]) -> Result<()> {
        let y = cx.output.clone();
        let spans = |rows: Range<usize>| {
            let span = |array: &gpu::Operand, columns: usize| {
                array.span(rows.start * columns..rows.end * columns)
            };
            vec![span(x, columns[0]), span(&y, columns[1])]
        };
        for rows in cx.split(y.len() / columns[1], &spans)? {
            let spans = spans(rows.clone());
            let count = rows.len() * self.len;
            let parameters = [
                [rows.start, count, spans[0].start],
                [spans[1].start, columns[0], self.x_skip],
                [columns[1], self.y_skip, self.len],
            ];
            let parameters: Vec<u32> =
                parameters.as_flattened().iter().map(|n| *n as u32).collect();
            let groups = gpu::fold(count.div_ceil(gpu::THREADS));
            cx.dispatch(&COPY_ROWS, &[], &spans[..1], &spans[1], &parameters, groups);
        }
        Ok(())
    }
}

/// How far apart in the input neighbours along each output dimension are.
fn permuted_strides(input: &[usize], order: &[usize]) -> Vec<usize> {
    order.iter().map(|i| input[i + 1..].iter().product()).collect()
}

/// The input index of output index `i`.
fn source(mut i: usize, shape: &[usize], strides: &[usize]) -> usize {
    let mut at = 0;
    for (size, stride) in shape.iter().zip(strides).rev() {
        at += i % size * stride;
        i /= size;
    }
    at
}

impl Op for Upsample2x {
    fn name(&self) -> &'static str {
        "upsample2x"
    }
    fn flops(&self, _: &[&[usize]], _: &[usize]) -> u64 {
        0
    }
    fn fusable(&self) -> Option<Fusable> {
        Some(Fusable::Upsample)
    }
    fn cpu(&self, cx: &cpu::Compiler) -> Result<cpu::Kernel> {
        let [w, c] = [cx.inputs[0][2], cx.inputs[0][3]];
        Ok(Box::new(move |inputs, y| {
            // One row of the output; rows of all pictures are halved alike.
            cpu::rows(y, 2 * w * c, |first, y| {
                for (i, y) in y.chunks_exact_mut(2 * w * c).enumerate() {
                    let x = &inputs[0][(first + i) / 2 * w * c..][..w * c];
                    for (y, x) in y.chunks_exact_mut(2 * c).zip(x.chunks_exact(c)) {
                        y[..c].copy_from_slice(x);
                        y[c..].copy_from_slice(x);
                    }
                }
            });
        }))
    }
    fn gpu(&self, cx: &mut gpu::Compiler) -> Result<()> {
        let x = cx.inputs[0].clone();
        let (width, channels) = (x.shape[2], x.shape[3]);
        let line = width * channels;
        // A range of the output reads the lines of the input that its own lines are doubles of.
        let reads = |r: Range<usize>| {
            let lines = r.start / (4 * line)..(r.end - 1) / (4 * line) + 1;
            vec![x.span(lines.start * line..lines.end * line)]
        };
        cx.each_number(&UPSAMPLE, &reads, &[width as u32, channels as u32])
    }
}

impl Tensor {
    /// `self`, then `others`, along `axis`.
    #[track_caller]
    pub fn concat(&self, others: &[&Tensor], axis: usize) -> Tensor {
        let mut shape = self.shape().to_vec();
        for other in others {
            let same = (0..shape.len()).all(|i| i == axis || other.dim(i) == shape[i]);
            assert!(same, "concat of {shape:?} and {:?} along {axis}", other.shape());
            shape[axis] += other.dim(axis);
        }
        self.record(Concat { axis }, others, &shape)
    }

    /// `start..start + len` along `axis`.
    #[track_caller]
    pub fn slice(&self, axis: usize, start: usize, len: usize) -> Tensor {
        assert!(start + len <= self.dim(axis), "slice {start}+{len} of {:?}", self.shape());
        let mut shape = self.shape().to_vec();
        shape[axis] = len;
        self.record(Slice { axis, start }, &[], &shape)
    }

    /// Output dimension `i` is input dimension `order[i]`.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor {
        let shape: Vec<usize> = order.iter().map(|i| self.dim(*i)).collect();
        assert_eq!(shape.len(), self.shape().len(), "permute {order:?} of {:?}", self.shape());
        self.record(Permute { order: order.to_vec() }, &[], &shape)
    }

    /// `[B, H, W, C]` to `[B, 2 H, 2 W, C]` by nearest neighbour.
    #[track_caller]
    pub fn upsample2x(&self) -> Tensor {
        let shape = [self.dim(0), 2 * self.dim(1), 2 * self.dim(2), self.dim(3)];
        self.record(Upsample2x, &[], &shape)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, Tensor, testing};

    /// Records one operation on `[2, 3, 4, 5]` and compares with where each number should come from.
    #[track_caller]
    fn check(
        record: impl Fn(&Tensor) -> Tensor,
        from: impl Fn(usize, usize, usize, usize) -> [usize; 4],
    ) {
        let x = testing::numbers(120, 6);
        let program = || {
            let tape = Tape::new();
            let y = record(&tape.input("x", &[2, 3, 4, 5]));
            tape.finish(&[&y])
        };
        let shape = program();
        let shape: [usize; 4] = shape.shape(shape.outputs[0]).try_into().unwrap();
        let expected = testing::indices(shape).map(|(i, j, k, l)| {
            let [i, j, k, l] = from(i, j, k, l);
            f64::from(x[((i * 3 + j) * 4 + k) * 5 + l])
        });
        testing::check(program, &[&x], &expected.collect::<Vec<_>>(), 0.0);
    }

    #[test]
    fn numbers_move_where_they_should() {
        check(|x| x.permute(&[0, 3, 1, 2]), |b, c, h, w| [b, h, w, c]);
        check(|x| x.permute(&[3, 2, 1, 0]), |i, j, k, l| [l, k, j, i]);
        check(|x| x.slice(2, 1, 2), |i, j, k, l| [i, j, k + 1, l]);
        check(|x| x.slice(3, 4, 1), |i, j, k, l| [i, j, k, l + 4]);
        check(Tensor::upsample2x, |i, j, k, l| [i, j / 2, k / 2, l]);
        check(|x| x.concat(&[&x.slice(3, 0, 2)], 3), |i, j, k, l| [i, j, k, l % 5]);
        check(|x| x.concat(&[x, x], 1), |i, j, k, l| [i, j % 3, k, l]);
        check(|x| x.concat(&[x], 0), |i, j, k, l| [i % 2, j, k, l]);
    }
}
