//! What operations see while a program is recorded for the GPU: their arrays, and how to dispatch.

use super::{
    Kernel, Launch, Operand, Recording, Span, THREADS, Target, Tiles,
    recording::{Form, Memory, Stored},
};
use crate::{Result, Weight};
use anyhow::bail;
use std::{ops::Range, sync::Arc};

/// What an operation sees while it is made ready.
pub struct Compiler<'a> {
    pub(super) target: &'a Target,
    pub(super) name: &'static str,
    pub inputs: Vec<Operand>,
    pub output: Operand,
    pub(super) recording: &'a mut Recording,
}

impl Compiler<'_> {
    /// A weight's numbers as they are in the file.
    pub fn weight(&self, weight: &Weight) -> Operand {
        self.stored(weight, Form::Plain)
    }

    /// A weight as the right side of products: rows of words.
    pub(super) fn stored(&self, weight: &Weight, form: Form) -> Operand {
        let stored = Stored { weight: weight.clone(), form };
        let shape = match form {
            Form::Plain => weight.shape().to_vec(),
            Form::Product(packing) => vec![weight.shape()[0], packing.words()],
        };
        Operand::new(Memory::Weight(Arc::new(stored)), shape)
    }

    /// What stands for an array that the kernel does not read this time.
    pub fn nothing(&self) -> Span {
        Operand::new(Memory::Nothing, vec![1]).all()
    }

    /// Memory for what one dispatch of this operation leaves to the next; all operations share it.
    pub fn scratch(&mut self, len: usize) -> Operand {
        self.recording.scratch = self.recording.scratch.max(len);
        Operand::new(Memory::Scratch, vec![len])
    }

    pub fn tiles(&self) -> &Tiles {
        &self.target.tiles
    }

    /// Whether each of these can be bound.
    pub fn fits(&self, spans: &[Span]) -> bool {
        spans.iter().all(|span| span.bytes() <= self.target.binding_limit)
    }

    /// Whether so many words can be bound.
    pub fn fits_words(&self, words: usize) -> bool {
        4 * words as u64 <= self.target.binding_limit
    }

    /// Cuts `total` units of work into the fewest equal ranges whose arrays fit the adapter's bindings.
    pub fn split(
        &self,
        total: usize,
        spans: &dyn Fn(Range<usize>) -> Vec<Span>,
    ) -> Result<Vec<Range<usize>>> {
        let mut size = total.max(1);
        loop {
            let ranges: Vec<_> =
                (0..total).step_by(size).map(|i| i..(i + size).min(total)).collect();
            if ranges.iter().all(|r| self.fits(&spans(r.clone()))) {
                return Ok(ranges);
            }
            if size == 1 {
                let largest = spans(0..1).iter().map(Span::bytes).max().unwrap_or_default();
                bail!(
                    "{}: {} needs {largest} bytes at once; this GPU binds at most {}. Use --device cpu",
                    self.target.name,
                    self.name,
                    self.target.binding_limit
                );
            }
            size = size.div_ceil(2);
        }
    }

    /// One thread for each number of the output. The kernel's parameters are the first number, how
    /// many, where each binding begins, and `rest`; `reads` gives what a range of the output reads.
    pub fn each_number(
        &mut self,
        kernel: &Kernel,
        reads: &dyn Fn(Range<usize>) -> Vec<Span>,
        rest: &[u32],
    ) -> Result<()> {
        let y = self.output.clone();
        let groups = |range: &Range<usize>| fold(range.len().div_ceil(THREADS));
        self.each(kernel, y.len(), reads, &|range| y.span(range), rest, &groups)
    }

    /// As [`Compiler::each_number`], with one workgroup for each row of the output.
    pub fn each_row(
        &mut self,
        kernel: &Kernel,
        reads: &dyn Fn(Range<usize>) -> Vec<Span>,
        rest: &[u32],
    ) -> Result<()> {
        let y = self.output.clone();
        let rows = y.len() / y.columns();
        self.each(kernel, rows, reads, &|range| y.rows(range), rest, &|range| fold(range.len()))
    }

    fn each(
        &mut self,
        kernel: &Kernel,
        total: usize,
        reads: &dyn Fn(Range<usize>) -> Vec<Span>,
        write: &dyn Fn(Range<usize>) -> Span,
        rest: &[u32],
        groups: &dyn Fn(&Range<usize>) -> [u32; 3],
    ) -> Result<()> {
        let spans = |range: Range<usize>| [reads(range.clone()), vec![write(range)]].concat();
        for range in self.split(total, &spans)? {
            let mut reads = spans(range.clone());
            let starts = reads.iter().map(|s| s.start as u32);
            let parameters: Vec<u32> = [range.start as u32, range.len() as u32]
                .into_iter()
                .chain(starts)
                .chain(rest.iter().copied())
                .collect();
            let write = reads.pop().expect("just put there");
            self.dispatch(kernel, &[], &reads, &write, &parameters, groups(&range));
        }
        Ok(())
    }

    /// Adds a launch of `groups` workgroups. Bindings are `reads` in order, then `write`.
    pub fn dispatch(
        &mut self,
        kernel: &Kernel,
        constants: &[(&'static str, usize)],
        reads: &[Span],
        write: &Span,
        parameters: &[u32],
        groups: [u32; 3],
    ) {
        self.recording.launches.push(Launch {
            kernel: kernel.clone(),
            constants: constants.to_vec(),
            reads: reads.to_vec(),
            write: write.clone(),
            parameters: parameters.to_vec(),
            groups,
            step: 0,
            work: 0,
        });
    }
}

/// A grid of at least `groups` workgroups: one line, folded where it is longer than adapters allow.
pub fn fold(groups: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    let lines = groups.div_ceil(MOST).max(1);
    [groups.div_ceil(lines) as u32, lines as u32, 1]
}
