//! What operations see while a program is made ready on the GPU: their arrays, and how to dispatch.

use super::{ALIGN, GpuDevice, Kernel, THREADS};
use crate::{Result, Weight};
use anyhow::bail;
use std::{ops::Range, sync::Arc};

/// An array on the device, of words of 4 bytes.
#[derive(Clone)]
pub struct Operand {
    pub(super) buffer: Arc<wgpu::Buffer>,
    pub shape: Vec<usize>,
}

/// The part of an array that a dispatch binds. It begins at a multiple of [`ALIGN`] bytes, so a little
/// before what was asked for: shaders index the whole array and take `start` away.
#[derive(Clone)]
pub struct Span {
    buffer: Arc<wgpu::Buffer>,
    pub start: usize,
    end: usize,
}

impl Operand {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The size of the last dimension.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    pub fn span(&self, range: Range<usize>) -> Span {
        let align = ALIGN as usize / 4;
        let (start, end) = (range.start / align * align, range.end.next_multiple_of(align));
        Span { buffer: self.buffer.clone(), start, end }
    }

    /// Rows of the last dimension.
    pub fn rows(&self, range: Range<usize>) -> Span {
        self.span(range.start * self.columns()..range.end * self.columns())
    }

    pub fn all(&self) -> Span {
        self.span(0..self.len())
    }
}

impl Span {
    fn bytes(&self) -> u64 {
        4 * (self.end - self.start) as u64
    }
}

/// One launch of a kernel, ready to be replayed.
pub struct Dispatch {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bindings: wgpu::BindGroup,
    pub(super) parameters: Vec<u8>,
    pub(super) groups: [u32; 3],
    pub(super) flops: u64,
}

/// What an operation sees while it is made ready.
pub struct Compiler<'a> {
    pub(super) device: &'a GpuDevice,
    pub(super) name: &'static str,
    pub(super) flops: u64,
    pub inputs: Vec<Operand>,
    pub output: Operand,
    pub(super) scratch: &'a mut Option<Operand>,
    /// Weights to be kept as long as the network.
    pub(super) held: &'a mut Vec<Arc<wgpu::Buffer>>,
    pub(super) dispatches: &'a mut Vec<Dispatch>,
}

impl Compiler<'_> {
    /// A weight's numbers as they are in the file.
    pub fn weight(&mut self, weight: &Weight) -> Result<Operand> {
        self.resident(weight, weight.shape().to_vec(), false, |w| bytemuck::cast_slice(w).to_vec())
    }

    /// A weight as the words that `pack` makes of its numbers; `shape` counts words.
    pub fn packed(
        &mut self,
        weight: &Weight,
        shape: Vec<usize>,
        pack: impl Fn(&[f32]) -> Vec<u32>,
    ) -> Result<Operand> {
        self.resident(weight, shape, true, pack)
    }

    fn resident(
        &mut self,
        weight: &Weight,
        shape: Vec<usize>,
        packed: bool,
        pack: impl Fn(&[f32]) -> Vec<u32>,
    ) -> Result<Operand> {
        let buffer = self.device.weight(weight, packed, pack)?;
        self.held.push(buffer.clone());
        Ok(Operand { buffer, shape })
    }

    /// What stands for an array that the kernel does not read this time.
    pub fn nothing(&self) -> Span {
        Operand { buffer: self.device.nothing.clone(), shape: vec![1] }.all()
    }

    /// Memory for what one dispatch of this operation leaves to the next; all operations share it.
    pub fn scratch(&mut self, len: usize) -> Result<Operand> {
        let large = self.scratch.as_ref().is_some_and(|s| s.len() >= len);
        if !large {
            let usage = wgpu::BufferUsages::STORAGE;
            let buffer = Arc::new(self.device.buffer("scratch", len, usage)?);
            *self.scratch = Some(Operand { buffer, shape: vec![len] });
        }
        let buffer = self.scratch.as_ref().expect("just made").buffer.clone();
        Ok(Operand { buffer, shape: vec![len] })
    }

    pub fn direct(&self) -> bool {
        self.device.direct
    }

    /// Cuts `total` units of work into the fewest equal ranges whose arrays fit the adapter's bindings.
    pub fn split(
        &self,
        total: usize,
        spans: &dyn Fn(Range<usize>) -> Vec<Span>,
    ) -> Result<Vec<Range<usize>>> {
        let limit = self.device.binding_limit;
        let fits = |r: &Range<usize>| spans(r.clone()).iter().all(|s| s.bytes() <= limit);
        let mut size = total.max(1);
        loop {
            let ranges: Vec<_> =
                (0..total).step_by(size).map(|i| i..(i + size).min(total)).collect();
            if ranges.iter().all(fits) {
                return Ok(ranges);
            }
            if size == 1 {
                let largest = spans(0..1).iter().map(Span::bytes).max().unwrap_or_default();
                bail!(
                    "{}: {} needs {largest} bytes at once; this GPU binds at most {limit}. Use --device cpu",
                    self.device.name,
                    self.name
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
            self.dispatch(kernel, &[], &reads, &write, &parameters, groups(&range))?;
        }
        Ok(())
    }

    /// Adds a launch of `groups` workgroups. Bindings are `reads` in order, then `write`.
    pub fn dispatch(
        &mut self,
        kernel: &Kernel,
        constants: &[(&str, usize)],
        reads: &[Span],
        write: &Span,
        parameters: &[u32],
        groups: [u32; 3],
    ) -> Result<()> {
        let device = &self.device.device;
        let pipeline = self.device.pipeline(kernel, constants, reads.len());
        let entries: Vec<_> = reads.iter().chain([write]).zip(0..).map(binding).collect();
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        self.dispatches.push(Dispatch {
            pipeline,
            bindings,
            parameters: bytemuck::cast_slice(parameters).to_vec(),
            groups,
            flops: std::mem::take(&mut self.flops),
        });
        self.device.check()
    }
}

fn binding((span, binding): (&Span, u32)) -> wgpu::BindGroupEntry<'_> {
    let offset = 4 * span.start as u64;
    let size = span.bytes().min(span.buffer.size() - offset);
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &span.buffer,
            offset,
            size: std::num::NonZero::new(size),
        }),
    }
}

/// A grid of at least `groups` workgroups: one line, folded where it is longer than adapters allow.
pub fn fold(groups: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    let lines = groups.div_ceil(MOST).max(1);
    [groups.div_ceil(lines) as u32, lines as u32, 1]
}
