//! The CPU device: each operation is a function over prepared weights, parallel with rayon.

mod attention;
mod peak;
mod product;

pub use attention::Heads;
pub use peak::Peak;
use product::VECTORS;
pub use product::{MOST_WIDTH, Packed, Panels, Rows, Shared, packed_len, width};

use crate::{Act, Epilogue, Program, Result, Timings, Weight};
use multiversion::multiversion;
use rayon::prelude::*;
use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

/// One operation made ready: the step's inputs to its output.
pub type Kernel = Box<dyn Fn(&[&[f32]], &mut [f32]) + Send + Sync>;

/// Numbers that fit well into one core's own cache (256 KiB).
pub const CACHE: usize = 1 << 16;

/// By weight's identity and the form it is kept in.
type Resident = HashMap<(u64, TypeId), Weak<dyn Any + Send + Sync>>;

/// Weights in memory, by identity and form; gone when no network holds them.
#[derive(Default)]
pub struct CpuDevice {
    resident: Mutex<Resident>,
    pub(crate) timings: Timings,
}

/// What an operation sees while it is made ready.
pub struct Compiler<'a> {
    device: &'a CpuDevice,
    /// Shapes of the step's inputs.
    pub inputs: Vec<&'a [usize]>,
    /// How far apart rows of each input begin in memory.
    pub strides: Vec<usize>,
    pub output: &'a [usize],
}

impl Compiler<'_> {
    /// The numbers as they are in the file.
    pub fn weight(&self, weight: &Weight) -> Result<Arc<Vec<f32>>> {
        self.prepared(weight, |w| w)
    }

    /// The rows of a matrix in the form for products.
    pub fn packed(&self, weight: &Weight) -> Result<Arc<Packed>> {
        let rows = weight.shape().first().map_or(1, |rows| (*rows).max(1));
        self.prepared(weight, |w| Packed::new(&w, w.len() / rows, weight.fits_f16()))
    }

    /// The numbers in a form of the operation's own: made once, shared by all networks.
    pub fn prepared<T: Any + Send + Sync>(
        &self,
        weight: &Weight,
        make: impl FnOnce(Vec<f32>) -> T,
    ) -> Result<Arc<T>> {
        let key = (weight.id(), TypeId::of::<T>());
        if let Some(held) = self.device.resident().get(&key).and_then(Weak::upgrade) {
            return Ok(held.downcast().expect("the key has the type"));
        }
        let made = Arc::new(make(weight.to_f32()?));
        let mut resident = self.device.resident();
        resident.retain(|_, held| held.strong_count() > 0);
        let erased: Arc<dyn Any + Send + Sync> = made.clone();
        resident.insert(key, Arc::downgrade(&erased));
        Ok(made)
    }
}

impl CpuDevice {
    fn resident(&self) -> std::sync::MutexGuard<'_, Resident> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn compile(&self, program: Program) -> Result<CpuNetwork> {
        let plan = program.plan();
        let kernel = |step: &crate::Step| {
            let cx = Compiler {
                device: self,
                inputs: program.shapes(step),
                strides: step.inputs.iter().map(|id| program.values[*id].stride()).collect(),
                output: program.shape(step.output),
            };
            step.op.cpu(&cx)
        };
        let kernels = program.steps.iter().map(kernel).collect::<Result<Vec<_>>>()?;
        let slots = plan.slots.iter().map(|len| vec![0.0; *len]).collect();
        let (timings, steady) = (self.timings.clone(), program.steady_steps());
        Ok(CpuNetwork { kernels, slots, plan, steady, settled: false, program, timings })
    }
}

/// A program with its kernels and memory.
pub struct CpuNetwork {
    pub(crate) program: Program,
    plan: crate::plan::Plan,
    kernels: Vec<Kernel>,
    slots: Vec<Vec<f32>>,
    /// Steps that need not be done again while steady inputs stay as they are.
    steady: Vec<bool>,
    /// Whether they were done with the inputs that lie in the slots.
    settled: bool,
    pub(crate) timings: Timings,
}

impl CpuNetwork {
    pub(crate) fn run(&mut self, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
        let slot = |id: usize| self.plan.slot_of[id].expect("the plan gives every value a slot");
        for ((_, id), data) in self.program.inputs.iter().zip(inputs) {
            let held = &mut self.slots[slot(*id)][..data.len()];
            self.settled &= !self.program.steady.contains(id) || held == *data;
            held.copy_from_slice(data);
        }
        let settled = std::mem::replace(&mut self.settled, true);
        let steps = self.program.steps.iter().zip(&self.kernels).zip(&self.steady);
        for ((step, kernel), _) in steps.filter(|(_, steady)| !(settled && **steady)) {
            // The output's slot holds no input of this step, so it can be taken out meanwhile.
            let mut out = std::mem::take(&mut self.slots[slot(step.output)]);
            let len = |id: usize| self.program.values[id].len();
            let read = |id: &usize| &self.slots[slot(*id)][self.program.values[*id].place()];
            let read: Vec<&[f32]> = step.inputs.iter().map(read).collect();
            let start = Instant::now();
            kernel(&read, &mut out[..len(step.output)]);
            self.timings.add(&self.program, step, start.elapsed());
            self.slots[slot(step.output)] = out;
        }
        let output = |id: &usize| self.slots[slot(*id)][..self.program.values[*id].len()].to_vec();
        self.program.outputs.iter().map(output).collect()
    }
}

thread_local!(static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) });

/// Lends `len` numbers of this thread's scratch memory; what is in them is left over. A call within
/// another gets memory of its own. The smallest that is large enough is taken, so that what has grown once
/// serves again.
pub fn with_scratch<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut scratch = SCRATCH.with_borrow_mut(|all| {
        let fit = |i: &usize| (all[*i].len() < len, all[*i].len().abs_diff(len));
        (0..all.len()).min_by_key(fit).map(|i| all.swap_remove(i)).unwrap_or_default()
    });
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    let result = f(&mut scratch[..len]);
    SCRATCH.with_borrow_mut(|all| all.push(scratch));
    result
}

/// An [`Epilogue`] made ready: done to rows of the result while they are in the cache.
pub struct Finish {
    bias: Option<Arc<Vec<f32>>>,
    row: Option<usize>,
    /// How far apart those rows begin.
    row_stride: usize,
    act: Act,
    residual: Option<usize>,
    channels: usize,
    /// Rows of the result that belong to one entry of the batch.
    rows_per_batch: usize,
}

impl Finish {
    pub fn new(cx: &Compiler, epilogue: &Epilogue) -> Result<Self> {
        Self::of_channels(cx, epilogue, *cx.output.last().expect("a tensor has dimensions"))
    }

    /// For rows of so many channels, which may be more than those of the output.
    pub fn of_channels(cx: &Compiler, epilogue: &Epilogue, channels: usize) -> Result<Self> {
        let rows = &cx.output[..cx.output.len() - 1];
        Ok(Self {
            bias: epilogue.bias.as_ref().map(|b| cx.weight(b)).transpose()?,
            row: epilogue.row,
            row_stride: epilogue.row.map_or(0, |i| cx.strides[i]),
            act: epilogue.act,
            residual: epilogue.residual,
            channels,
            rows_per_batch: rows[1..].iter().product(),
        })
    }

    /// Finishes rows of the result, of which `first` is the number of the first.
    pub fn apply(&self, inputs: &[&[f32]], first: usize, y: &mut [f32]) {
        finish_rows(self, inputs, first, y);
    }
}

#[multiversion(targets = "simd")]
fn finish_rows(finish: &Finish, inputs: &[&[f32]], first: usize, y: &mut [f32]) {
    let c = finish.channels;
    for (y, i) in y.chunks_exact_mut(c).zip(first..) {
        if let Some(bias) = &finish.bias {
            add(y, bias);
        }
        if let Some(row) = finish.row {
            add(y, &inputs[row][i / finish.rows_per_batch * finish.row_stride..][..c]);
        }
        finish.act.apply(y);
        if let Some(residual) = finish.residual {
            add(y, &inputs[residual][i * c..][..c]);
        }
    }
}

#[inline(always)]
pub fn add(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

/// Calls `f` with parallel blocks of whole rows of `y`, and the number of each block's first row.
pub fn rows(y: &mut [f32], columns: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = (CACHE / 4 / columns.max(1)).max(1);
    y.par_chunks_mut(rows * columns).enumerate().for_each(|(block, y)| f(block * rows, y));
}
