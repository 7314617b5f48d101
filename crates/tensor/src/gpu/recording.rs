//! A program as launches of kernels: plain values, made without a GPU, of which a device makes pipelines
//! and bind groups, and a person counts.

use super::{ALIGN, Compiler, Kernel, Product, Tiles, matmul::Packing, pace};
use crate::{Plan, Program, Result, Weight};
use std::{ops::Range, sync::Arc};

/// Where an array lies.
#[derive(Clone, Debug)]
pub enum Memory {
    /// A slot of the plan, by number.
    Slot(usize),
    Weight(Arc<Stored>),
    /// What one dispatch leaves to the next.
    Scratch,
    /// Bound where a kernel does not read what it could.
    Nothing,
}

/// A weight in the form in which a kernel reads it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub weight: Weight,
    pub form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The numbers as they are in the file.
    Plain,
    /// The right side of a matrix product.
    Product(Packing),
}

impl Stored {
    /// Words of 4 bytes that it takes.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Plain => self.weight.len(),
            Form::Product(packing) => self.weight.shape()[0] * packing.words(),
        }
    }

    /// Reads the weight: an error if it is damaged.
    pub fn words(&self) -> Result<Vec<u32>> {
        let numbers = self.weight.to_f32()?;
        Ok(match &self.form {
            Form::Plain => bytemuck::cast_slice(&numbers).to_vec(),
            Form::Product(packing) => packing.pack(&numbers),
        })
    }
}

/// An array on the device, of words of 4 bytes; or some columns of one.
#[derive(Clone, Debug)]
pub struct Operand {
    pub memory: Memory,
    pub shape: Vec<usize>,
    /// Where it begins in its memory.
    pub skip: usize,
    /// How far apart its rows begin.
    pub stride: usize,
}

/// The part of an array that a dispatch binds. It begins at a multiple of [`ALIGN`] bytes, so a little
/// before what was asked for: shaders index the whole array and take `start` away.
#[derive(Clone, Debug)]
pub struct Span {
    pub(super) memory: Memory,
    pub start: usize,
    pub(super) end: usize,
}

impl Operand {
    /// A whole array.
    pub fn new(memory: Memory, shape: Vec<usize>) -> Self {
        let stride = shape.last().copied().unwrap_or(1);
        Self { memory, shape, skip: 0, stride }
    }

    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The size of the last dimension.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Numbers of a whole array.
    pub fn span(&self, range: Range<usize>) -> Span {
        debug_assert_eq!((self.skip, self.stride), (0, self.columns()), "this needs a whole array");
        self.place(&range)
    }

    /// Rows of the last dimension.
    pub fn rows(&self, range: Range<usize>) -> Span {
        let first = self.skip + range.start * self.stride;
        let rows_before_last = range.len().saturating_sub(1);
        self.place(&(first..first + rows_before_last * self.stride + self.columns()))
    }

    pub fn all(&self) -> Span {
        self.rows(0..self.len() / self.columns().max(1))
    }

    /// What shaders take away from an index into the array to index the binding: less than nothing, and so
    /// wrapped around, where columns come before these.
    pub fn base(&self, span: &Span) -> u32 {
        (span.start as u32).wrapping_sub(self.skip as u32)
    }

    fn place(&self, range: &Range<usize>) -> Span {
        let align = ALIGN as usize / 4;
        let (start, end) = (range.start / align * align, range.end.next_multiple_of(align));
        Span { memory: self.memory.clone(), start, end }
    }
}

impl Span {
    pub(super) fn bytes(&self) -> u64 {
        4 * (self.end - self.start) as u64
    }
}

/// One launch of a kernel. Bindings are `reads` in order, then `write`.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: Kernel,
    pub constants: Vec<(&'static str, usize)>,
    pub reads: Vec<Span>,
    pub write: Span,
    pub parameters: Vec<u32>,
    /// Workgroups.
    pub groups: [u32; 3],
    /// The step of the program that it belongs to.
    pub step: usize,
    /// In floating-point operations, by [`pace::work`].
    pub work: u64,
}

impl Launch {
    pub fn bindings(&self) -> impl Iterator<Item = &Span> {
        self.reads.iter().chain([&self.write])
    }

    /// Those of the bindings that are weights.
    pub fn weights(&self) -> impl Iterator<Item = &Stored> {
        self.bindings().filter_map(|span| match &span.memory {
            Memory::Weight(stored) => Some(&**stored),
            _ => None,
        })
    }
}

/// What a program's launches depend on: an adapter, as far as it matters to them.
#[derive(Clone, Debug)]
pub struct Target {
    /// For errors.
    pub name: String,
    /// Bytes of one binding.
    pub binding_limit: u64,
    pub tiles: Tiles,
}

impl Default for Target {
    /// A desktop GPU of the middle.
    fn default() -> Self {
        Self { name: "a usual GPU".to_owned(), binding_limit: 128 << 20, tiles: Tiles::default() }
    }
}

/// A program's launches, in order: those of steady steps first, which nothing else comes before.
#[derive(Debug, Default)]
pub struct Recording {
    pub launches: Vec<Launch>,
    /// How many are of steady steps.
    pub steady: usize,
    /// Words of scratch memory, which all launches share.
    pub scratch: usize,
    /// The matrix products, of which each has a tile.
    pub products: Vec<Product>,
}

impl Recording {
    pub fn new(program: &Program, plan: &Plan, target: &Target) -> Result<Self> {
        let mut recording = Self::default();
        let operand = |id: &usize| {
            let slot = plan.slot_of[*id].expect("the plan gives every value a slot");
            let value = &program.values[*id];
            let whole = Operand::new(Memory::Slot(slot), value.shape.clone());
            Operand { skip: value.place().start, stride: value.stride(), ..whole }
        };
        let (steady, others): (Vec<_>, Vec<_>) =
            (0..).zip(&program.steps).zip(program.steady_steps()).partition(|(_, steady)| *steady);
        for ((at, step), steady) in steady.into_iter().chain(others) {
            let before = recording.launches.len();
            let mut compiler = Compiler {
                target,
                name: step.op.name(),
                inputs: step.inputs.iter().map(operand).collect(),
                output: operand(&step.output),
                recording: &mut recording,
            };
            step.op.gpu(&mut compiler)?;
            if steady {
                recording.steady = recording.launches.len();
            }
            let work = pace::work(program.flops_of(step), program.bytes_of(step));
            share(&mut recording.launches[before..], at, work);
        }
        Ok(recording)
    }
}

/// What one run of a program takes on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuCost {
    /// Each has a bind group of its own.
    pub dispatches: usize,
    /// Bytes that are bound, each time they are.
    pub bytes: u64,
    /// Bytes of scratch memory, beside the plan's.
    pub scratch: u64,
}

impl Program {
    /// What a run takes on a usual GPU. None is needed to tell.
    pub fn gpu_cost(&self) -> Result<GpuCost> {
        let Recording { launches, scratch, .. } =
            Recording::new(self, &self.plan(), &Target::default())?;
        let bytes = launches.iter().flat_map(Launch::bindings).map(Span::bytes).sum();
        Ok(GpuCost { dispatches: launches.len(), bytes, scratch: 4 * scratch as u64 })
    }
}

impl Recording {
    /// A hash of the shaders and of how they are launched.
    pub fn digest(&self) -> blake3::Hash {
        let mut hash = blake3::Hasher::new();
        for Launch { kernel, constants, parameters, groups, .. } in &self.launches {
            for part in kernel.parts.iter() {
                hash.update(part.as_bytes());
            }
            hash.update(format!("{constants:?} {parameters:?} {groups:?}").as_bytes());
        }
        hash.finalize()
    }
}

/// Divides a step's work among its launches, by their workgroups.
fn share(launches: &mut [Launch], step: usize, work: u64) {
    let groups = |launch: &Launch| launch.groups.iter().map(|n| f64::from(*n)).product::<f64>();
    let all: f64 = launches.iter().map(groups).sum();
    for launch in launches {
        launch.step = step;
        launch.work = (work as f64 * groups(launch) / all) as u64;
    }
}
