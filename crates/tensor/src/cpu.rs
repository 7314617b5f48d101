//! The CPU device: each operation is a function over prepared weights, parallel with rayon.

use crate::{Act, Epilogue, Program, Result, Weight};
use rayon::prelude::*;
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

/// One operation made ready: the step's inputs to its output.
pub type Kernel = Box<dyn Fn(&[&[f32]], &mut [f32]) + Send + Sync>;

/// Numbers that fit well into one core's own cache (256 KiB).
pub const CACHE: usize = 1 << 16;

/// By weight's identity, and whether packed.
type Resident = HashMap<(u64, bool), Weak<Vec<f32>>>;

/// Weights in memory, by identity and packing; gone when no network holds them.
#[derive(Default)]
pub struct CpuDevice {
    resident: Mutex<Resident>,
}

/// What an operation sees while it is made ready.
pub struct Compiler<'a> {
    device: &'a CpuDevice,
    /// Shapes of the step's inputs.
    pub inputs: Vec<&'a [usize]>,
    pub output: &'a [usize],
}

impl Compiler<'_> {
    /// The numbers as they are in the file.
    pub fn weight(&self, weight: &Weight) -> Result<Arc<Vec<f32>>> {
        self.device.resident(weight, false, |w| w)
    }
    /// The numbers in another order: the one that the operation wants.
    pub fn packed(
        &self,
        weight: &Weight,
        pack: impl Fn(Vec<f32>) -> Vec<f32>,
    ) -> Result<Arc<Vec<f32>>> {
        self.device.resident(weight, true, pack)
    }
}

impl CpuDevice {
    fn resident(
        &self,
        weight: &Weight,
        packed: bool,
        pack: impl Fn(Vec<f32>) -> Vec<f32>,
    ) -> Result<Arc<Vec<f32>>> {
        let key = (weight.id(), packed);
        let held = |d: &Self| d.resident.lock().ok()?.get(&key)?.upgrade();
        if let Some(held) = held(self) {
            return Ok(held);
        }
        let numbers = Arc::new(pack(weight.to_f32()?));
        let mut resident = self.resident.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        resident.retain(|_, held| held.strong_count() > 0);
        resident.insert(key, Arc::downgrade(&numbers));
        Ok(numbers)
    }

    pub(crate) fn compile(&self, program: Program) -> Result<CpuNetwork> {
        let plan = program.plan();
        let kernel = |step: &crate::Step| {
            let cx = Compiler {
                device: self,
                inputs: program.shapes(step),
                output: program.shape(step.output),
            };
            step.op.cpu(&cx)
        };
        let kernels = program.steps.iter().map(kernel).collect::<Result<Vec<_>>>()?;
        let slots = plan.slots.iter().map(|len| vec![0.0; *len]).collect();
        Ok(CpuNetwork { kernels, slots, plan, program })
    }
}

/// A program with its kernels and memory.
pub struct CpuNetwork {
    pub(crate) program: Program,
    plan: crate::plan::Plan,
    kernels: Vec<Kernel>,
    slots: Vec<Vec<f32>>,
}

impl CpuNetwork {
    pub(crate) fn run(&mut self, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
        let slot = |id: usize| self.plan.slot_of[id].expect("the plan gives every value a slot");
        for ((_, id), data) in self.program.inputs.iter().zip(inputs) {
            self.slots[slot(*id)][..data.len()].copy_from_slice(data);
        }
        for (step, kernel) in self.program.steps.iter().zip(&self.kernels) {
            // The output's slot holds no input of this step, so it can be taken out meanwhile.
            let mut out = std::mem::take(&mut self.slots[slot(step.output)]);
            let len = |id: usize| self.program.values[id].len();
            let read: Vec<&[f32]> =
                step.inputs.iter().map(|id| &self.slots[slot(*id)][..len(*id)]).collect();
            kernel(&read, &mut out[..len(step.output)]);
            self.slots[slot(step.output)] = out;
        }
        let output = |id: &usize| self.slots[slot(*id)][..self.program.values[*id].len()].to_vec();
        self.program.outputs.iter().map(output).collect()
    }
}

/// The product of a matrix and a weight: `y[m, n] = sum_k a[m, k] weight[n, k]`.
pub struct Product<'a> {
    /// `[M, K]`
    pub a: &'a [f32],
    /// `[N, K]`
    pub weight: &'a [f32],
    pub n: usize,
    pub k: usize,
}

impl Product<'_> {
    /// Fills `y`, block of rows by block of rows; `finish` gets each block with its first row's number.
    pub fn run(&self, y: &mut [f32], finish: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let m = y.len() / self.n;
        let threads = rayon::current_num_threads();
        if m < 32 * threads {
            // Too few rows to share out: the product itself runs on all threads.
            gemm(self.a, self.weight, y, [m, self.n, self.k], gemm::Parallelism::Rayon(0));
            return finish(0, y);
        }
        let rows = m.div_ceil(4 * threads).clamp(32, 512);
        y.par_chunks_mut(rows * self.n).enumerate().for_each(|(block, y)| {
            let a = &self.a[block * rows * self.k..][..y.len() / self.n * self.k];
            product(a, self.weight, y, self.n, self.k);
            finish(block * rows, y);
        });
    }
}

/// [`Product`] on this thread alone.
pub fn product(a: &[f32], weight: &[f32], y: &mut [f32], n: usize, k: usize) {
    gemm(a, weight, y, [y.len() / n, n, k], gemm::Parallelism::None);
}

fn gemm(
    a: &[f32],
    weight: &[f32],
    y: &mut [f32],
    [m, n, k]: [usize; 3],
    threads: gemm::Parallelism,
) {
    gemm_strided(y, n, (a, k), (weight, [1, k]), [m, n, k], 1.0, threads);
}

/// `y[m, n] = alpha sum_k a[m, k] b[k, n]`: rows of `y` and `a` this far apart, `b` by its two
/// strides (along k, along n).
pub fn gemm_strided(
    y: &mut [f32],
    y_row: usize,
    (a, a_row): (&[f32], usize),
    (b, [b_k, b_n]): (&[f32], [usize; 2]),
    [m, n, k]: [usize; 3],
    alpha: f32,
    threads: gemm::Parallelism,
) {
    if m * n == 0 {
        return;
    }
    assert!(y.len() >= (m - 1) * y_row + n);
    assert!(k > 0 && a.len() >= (m - 1) * a_row + k && b.len() > (k - 1) * b_k + (n - 1) * b_n);
    // SAFETY: the asserts keep every index inside its slice; `y` is borrowed alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            y_row as isize,
            false,
            a.as_ptr(),
            1,
            a_row as isize,
            b.as_ptr(),
            b_n as isize,
            b_k as isize,
            0.0,
            alpha,
            false,
            false,
            false,
            threads,
        );
    }
}

thread_local!(static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });

/// Lends `len` numbers of this thread's scratch memory; what is in them is left over.
pub fn with_scratch<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    // Taken out, so that a nested call finds an empty one instead of a lent one.
    let mut scratch = SCRATCH.with(RefCell::take);
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    let result = f(&mut scratch[..len]);
    SCRATCH.with(|s| s.replace(scratch));
    result
}

/// An [`Epilogue`] made ready: done to rows of the result while they are in the cache.
pub struct Finish {
    bias: Option<Arc<Vec<f32>>>,
    row: Option<usize>,
    act: Act,
    residual: Option<usize>,
    channels: usize,
    /// Rows of the result that belong to one entry of the batch.
    rows_per_batch: usize,
}

impl Finish {
    pub fn new(cx: &Compiler, epilogue: &Epilogue) -> Result<Self> {
        let (rows, channels) = cx.output.split_at(cx.output.len() - 1);
        Ok(Self {
            bias: epilogue.bias.as_ref().map(|b| cx.weight(b)).transpose()?,
            row: epilogue.row,
            act: epilogue.act,
            residual: epilogue.residual,
            channels: channels[0],
            rows_per_batch: rows[1..].iter().product(),
        })
    }

    /// Finishes rows of the result, of which `first` is the number of the first.
    pub fn apply(&self, inputs: &[&[f32]], first: usize, y: &mut [f32]) {
        let c = self.channels;
        for (i, y) in y.chunks_exact_mut(c).enumerate() {
            if let Some(bias) = &self.bias {
                add(y, bias);
            }
            if let Some(row) = self.row {
                add(y, &inputs[row][(first + i) / self.rows_per_batch * c..][..c]);
            }
            self.act.apply(y);
            if let Some(residual) = self.residual {
                add(y, &inputs[residual][(first + i) * c..][..c]);
            }
        }
    }
}

pub fn add(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

/// Calls `f` with parallel blocks of whole rows of `y`, and the number of each block's first row.
pub fn rows(y: &mut [f32], columns: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = (CACHE / 4 / columns.max(1)).max(1);
    y.par_chunks_mut(rows * columns).enumerate().for_each(|(block, y)| f(block * rows, y));
}
