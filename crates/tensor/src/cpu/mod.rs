//! The CPU device: each operation is a function over prepared weights, parallel with rayon.

pub mod amx;
mod attention;
mod panels;
mod peak;
mod product;
mod winograd;

pub use attention::Heads;
pub use panels::{MOST_WIDTH, Packed, Panels};
use panels::{many_registers, width, width_for};
use product::Strip;
pub use product::{Ready, Rows, Shared, division};
pub use winograd::Winograd;

use crate::{
    Act, Epilogue, Plan, Program, Result, Timings, Weight,
    blocks::{Blocks, Need},
    memory::{Held, Kind, Lease, Memory},
};
use aligned_vec::AVec;
use multiversion::multiversion;
use rayon::prelude::*;
use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    mem::MaybeUninit,
    ops::{Deref, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

/// One operation made ready: the step's inputs to its output.
pub type Kernel = Box<dyn Fn(&[&[f32]], &mut [f32]) + Send + Sync>;

/// Numbers that begin at a cache line, so that no vector lies across two.
pub type Numbers<T = f32> = AVec<T>;

/// So many zeros. All threads write them: the system gives memory page by page, as it is written first.
pub fn zeros<T: Copy + Default + Send + Sync>(len: usize) -> Numbers<T> {
    const PIECE: usize = 1 << 18;
    let mut numbers = Numbers::<T>::with_capacity(0, len);
    ask_for_large_pages(numbers.as_ptr().cast(), len * size_of::<T>());
    // SAFETY: there is room for so many, and all are written.
    unsafe {
        let room: &mut [MaybeUninit<T>] =
            std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), len);
        room.par_chunks_mut(PIECE).for_each(|piece| piece.fill(MaybeUninit::new(T::default())));
        numbers.set_len(len);
    }
    numbers
}

/// Large pages come hundreds of times as seldom.
#[cfg(target_os = "linux")]
fn ask_for_large_pages(start: *const u8, len: usize) {
    const LARGE: usize = 2 << 20;
    let skipped = start.align_offset(LARGE);
    if len >= 2 * LARGE + skipped {
        let whole = (len - skipped) / LARGE * LARGE;
        // SAFETY: these are whole pages of memory just allocated; a system that has no large ones for them
        // gives others.
        unsafe {
            libc::madvise(start.wrapping_add(skipped).cast_mut().cast(), whole, libc::MADV_HUGEPAGE)
        };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_: *const u8, _: usize) {}

/// Numbers that fit well into one core's own cache (256 KiB).
pub const CACHE: usize = 1 << 16;

/// Weights' forms, by identity and type; gone when no network reads them.
type Forms = HashMap<(u64, TypeId), Weak<dyn Any + Send + Sync>>;

/// The processor, with what networks on it share.
pub struct CpuDevice {
    forms: Mutex<Forms>,
    /// Whether the processor has matrix units that are used.
    units: bool,
    pub(crate) memory: Arc<Memory>,
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
    /// The weights that the step asked for.
    reads: RefCell<Vec<Arc<dyn Load>>>,
}

impl Compiler<'_> {
    /// The numbers as they are in the file.
    pub fn weight(&self, weight: &Weight) -> Arc<Form<Vec<f32>>> {
        self.prepared(weight, 4 * weight.len(), |w| w)
    }

    /// The rows of a matrix in panels.
    pub fn packed(&self, weight: &Weight) -> Arc<Form<Packed>> {
        let rows = weight.shape().first().map_or(1, |rows| (*rows).max(1));
        let (columns, fits_f16) = (weight.len() / rows, weight.fits_f16());
        let bytes = Packed::bytes([rows, columns], fits_f16);
        let units = self.units([rows, columns]);
        self.prepared(weight, bytes, move |w| Packed::new(&w, columns, fits_f16).by(units))
    }

    /// Whether matrix units multiply by a weight `[n, k]`.
    pub fn units(&self, weight: [usize; 2]) -> bool {
        self.device.units && amx::serves(weight)
    }

    /// The numbers in a form of the operation's own, which takes so many bytes: shared by all networks,
    /// made when a network comes to it.
    pub fn prepared<T: Any + Send + Sync>(
        &self,
        weight: &Weight,
        bytes: usize,
        make: impl Fn(Vec<f32>) -> T + Send + Sync + 'static,
    ) -> Arc<Form<T>> {
        let key = (weight.id(), TypeId::of::<T>());
        let mut forms = self.device.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms.get(&key).and_then(Weak::upgrade).and_then(|form| form.downcast().ok());
        let form = known.unwrap_or_else(|| {
            let form = Arc::new(Form {
                weight: weight.clone(),
                bytes: bytes as u64,
                make: Box::new(make),
                memory: self.device.memory.clone(),
                now: Mutex::default(),
            });
            forms.retain(|_, form| form.strong_count() > 0);
            let erased: Arc<dyn Any + Send + Sync> = form.clone();
            forms.insert(key, Arc::downgrade(&erased));
            form
        });
        self.reads.borrow_mut().push(form.clone());
        form
    }
}

/// A weight in the form that an operation reads. In memory while a block that reads it is.
pub struct Form<T> {
    weight: Weight,
    bytes: u64,
    make: Box<dyn Fn(Vec<f32>) -> T + Send + Sync>,
    memory: Arc<Memory>,
    now: Mutex<Weak<Loaded<T>>>,
}

/// A weight's numbers, counted.
pub struct Loaded<T> {
    numbers: T,
    _lease: Lease,
}

impl<T> Deref for Loaded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.numbers
    }
}

impl<T> Form<T> {
    /// What was loaded; kernels run between loading and dropping.
    pub fn get(&self) -> Arc<Loaded<T>> {
        self.now().upgrade().expect("a block is loaded before it runs")
    }

    fn now(&self) -> MutexGuard<'_, Weak<Loaded<T>>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Form`], of whatever type.
trait Load: Send + Sync {
    /// Equal for the same numbers in the same form; and how many bytes they take.
    fn id(&self) -> (u64, u64);
    /// In memory as long as what comes out.
    fn load(&self) -> Result<Arc<dyn Any + Send + Sync>>;
}

impl<T: Any + Send + Sync> Load for Form<T> {
    fn id(&self) -> (u64, u64) {
        let mut hash = DefaultHasher::new();
        (self.weight.id(), TypeId::of::<T>()).hash(&mut hash);
        (hash.finish(), self.bytes)
    }

    fn load(&self) -> Result<Arc<dyn Any + Send + Sync>> {
        let mut now = self.now();
        if let Some(loaded) = now.upgrade() {
            return Ok(loaded);
        }
        let lease = self.memory.lease(self.weight.key(), Kind::Weights, self.bytes)?;
        let numbers = (self.make)(self.weight.to_f32()?);
        let loaded = Arc::new(Loaded { numbers, _lease: lease });
        *now = Arc::downgrade(&loaded);
        Ok(loaded)
    }
}

impl CpuDevice {
    /// Holds at most `budget` bytes of weights and values.
    pub(crate) fn new(budget: u64) -> Self {
        let memory = Memory::new("--ram-budget", budget);
        let units = amx::is_here();
        Self { forms: Mutex::default(), units, memory, timings: Timings::default() }
    }

    /// What others are compared with: matrix units, which lose a digit, are not used.
    pub(crate) fn twin() -> Self {
        Self { units: false, ..Self::new(u64::MAX) }
    }

    pub(crate) fn need(&self, program: &Program) -> Result<Need> {
        Ok(need(&program.plan(), &self.steps(program)?))
    }

    pub(crate) fn compile(&self, program: Program) -> Result<CpuNetwork> {
        let plan = program.plan();
        let steps = self.steps(&program)?;
        let cut = self.memory.cut(&program.name, &need(&plan, &steps), false)?;
        let network = self.memory.network();
        Ok(CpuNetwork {
            blocks: Blocks::new(cut, &self.memory, network),
            slots: Held::new(&self.memory, network),
            steady: program.steady_steps(),
            settled: false,
            steps,
            plan,
            program,
            network,
            memory: self.memory.clone(),
            timings: self.timings.clone(),
        })
    }

    /// The weights of all steps.
    #[cfg(test)]
    pub(crate) fn load(&self, program: &Program) -> Result<Vec<Arc<dyn Any + Send + Sync>>> {
        self.steps(program)?.iter().flat_map(|step| &step.reads).map(|w| w.load()).collect()
    }

    fn steps(&self, program: &Program) -> Result<Vec<Step>> {
        let ready = |step: &crate::Step| {
            let cx = Compiler {
                device: self,
                inputs: program.shapes(step),
                strides: step.inputs.iter().map(|id| program.values[*id].stride()).collect(),
                output: program.shape(step.output),
                reads: RefCell::default(),
            };
            let kernel = step.op.cpu(&cx)?;
            Ok(Step { kernel, reads: cx.reads.into_inner() })
        };
        program.steps.iter().map(ready).collect()
    }
}

fn need(plan: &Plan, steps: &[Step]) -> Need {
    let weights = steps.iter().map(|step| step.reads.iter().map(|w| w.id()).collect());
    Need { values: plan.bytes(), weights: weights.collect() }
}

/// A step made ready, and the weights that its kernel reads.
struct Step {
    kernel: Kernel,
    reads: Vec<Arc<dyn Load>>,
}

/// A block's weights, and the slots: in memory as long as these.
type Weights = Vec<Arc<dyn Any + Send + Sync>>;
type Slots = (Vec<Numbers>, Lease);

/// A program with its kernels and memory.
pub struct CpuNetwork {
    pub(crate) program: Program,
    plan: Plan,
    steps: Vec<Step>,
    blocks: Blocks<Weights>,
    slots: Arc<Held<Slots>>,
    network: u64,
    memory: Arc<Memory>,
    /// Steps that need not be done again while steady inputs stay as they are.
    steady: Vec<bool>,
    /// Whether they were done with the inputs that lie in the slots.
    settled: bool,
    pub(crate) timings: Timings,
}

impl CpuNetwork {
    pub(crate) fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        self.memory.runs(self.network);
        let held = self.slots.take();
        let mut settled = self.settled && held.is_some();
        let (mut slots, lease) = held.map_or_else(|| self.make_slots(), Ok)?;
        let slot = |id: usize| self.plan.slot_of[id].expect("the plan gives every value a slot");
        let len = |id: usize| self.program.values[id].len();
        for ((_, id), data) in self.program.inputs.iter().zip(inputs) {
            let held = &mut slots[slot(*id)][..data.len()];
            settled &= !self.program.steady.contains(id) || held == *data;
            held.copy_from_slice(data);
        }
        let skips = |i: usize| settled && self.steady[i];
        let load = |steps: Range<usize>| {
            self.steps[steps].iter().flat_map(|step| &step.reads).map(|w| w.load()).collect()
        };
        let wanted = |mut steps: Range<usize>| !steps.all(skips);
        let waited = self.blocks.run(wanted, load, |steps, _| {
            for i in steps.filter(|i| !skips(*i)) {
                let step = &self.program.steps[i];
                // The output's slot holds no input of this step, so it can be taken out meanwhile.
                let mut out = std::mem::replace(&mut slots[slot(step.output)], Numbers::new(0));
                let read = |id: &usize| &slots[slot(*id)][self.program.values[*id].place()];
                let read: Vec<&[f32]> = step.inputs.iter().map(read).collect();
                let start = Instant::now();
                (self.steps[i].kernel)(&read, &mut out[..len(step.output)]);
                self.timings.add(&self.program, step, start.elapsed());
                slots[slot(step.output)] = out;
            }
            Ok(())
        })?;
        if !waited.is_zero() {
            self.timings.prepared(&self.program, waited);
        }
        let output = |id: &usize| slots[slot(*id)][..len(*id)].to_vec();
        let outputs = self.program.outputs.iter().map(output).collect();
        self.slots.put((slots, lease));
        self.settled = true;
        Ok(outputs)
    }

    fn make_slots(&self) -> Result<Slots> {
        let lease = self.memory.lease(&self.program.name, Kind::Values, self.plan.bytes())?;
        let slots: Vec<Numbers> = self.plan.slots.iter().map(|len| zeros(*len)).collect();
        let taken: usize = slots.iter().map(|slot| 4 * slot.capacity()).sum();
        debug_assert_eq!(taken as u64, self.plan.bytes(), "the plan says what is allocated");
        Ok((slots, lease))
    }
}

thread_local!(static SCRATCH: RefCell<Vec<Numbers>> = const { RefCell::new(Vec::new()) });

/// Lends `len` numbers of this thread's scratch memory; what is in them is left over. A call within
/// another gets memory of its own. The smallest that is large enough is taken, so that what has grown once
/// serves again.
pub fn with_scratch<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut scratch = SCRATCH.with_borrow_mut(|all| {
        let fit = |i: &usize| (all[*i].len() < len, all[*i].len().abs_diff(len));
        (0..all.len()).min_by_key(fit).map_or_else(|| Numbers::new(0), |i| all.swap_remove(i))
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
    bias: Option<Arc<Form<Vec<f32>>>>,
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
    pub fn new(cx: &Compiler, epilogue: &Epilogue) -> Self {
        let channels = *cx.output.last().expect("a tensor has dimensions");
        let rows = &cx.output[..cx.output.len() - 1];
        Self {
            bias: epilogue.bias.as_ref().map(|b| cx.weight(b)),
            row: epilogue.row,
            row_stride: epilogue.row.map_or(0, |i| cx.strides[i]),
            act: epilogue.act,
            residual: epilogue.residual,
            channels,
            rows_per_batch: rows[1..].iter().product(),
        }
    }

    /// With its weights, which are there while its block is.
    pub fn get(&self) -> Finisher<'_> {
        Finisher { of: self, bias: self.bias.as_ref().map(|bias| bias.get()) }
    }
}

/// A [`Finish`] at work.
pub struct Finisher<'a> {
    of: &'a Finish,
    bias: Option<Arc<Loaded<Vec<f32>>>>,
}

impl Finisher<'_> {
    /// Finishes rows of the result, of which `first` is the number of the first.
    pub fn apply(&self, inputs: &[&[f32]], first: usize, y: &mut [f32]) {
        let channels = self.of.channels;
        for (y, row) in y.chunks_exact_mut(channels).zip(first..) {
            self.apply_to_columns(inputs, row, 0, y);
        }
    }

    /// Finishes some columns of a row, from `column` on.
    pub fn apply_to_columns(&self, inputs: &[&[f32]], row: usize, column: usize, y: &mut [f32]) {
        finish_columns(self, inputs, [row, column], y);
    }
}

#[multiversion(targets = "simd")]
fn finish_columns(
    finisher: &Finisher,
    inputs: &[&[f32]],
    [row, column]: [usize; 2],
    y: &mut [f32],
) {
    let finish = finisher.of;
    if let Some(bias) = &finisher.bias {
        add(y, &bias[column..]);
    }
    if let Some(i) = finish.row {
        add(y, &inputs[i][row / finish.rows_per_batch * finish.row_stride + column..]);
    }
    finish.act.apply(y);
    if let Some(residual) = finish.residual {
        add(y, &inputs[residual][row * finish.channels + column..]);
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
