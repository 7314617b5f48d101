//! The GPU device: each operation is a few dispatches of WGSL shaders (`shaders/`), through wgpu.
//!
//! A program is compiled once: weights uploaded, every slot of the plan a buffer, pipelines and bind
//! groups made. A run writes the inputs, replays the dispatches and reads the outputs back.

mod adapter;
mod compile;
mod kernel;
mod known;
mod matmul;
mod network;
mod pace;
mod peak;
mod recording;
mod self_test;
mod stopwatch;
#[cfg(test)]
mod tests;
mod tiles;
mod tune;

pub use adapter::Adapter;
pub use compile::{Compiler, fold};
pub(crate) use kernel::{Kernel, THREADS, kernel, shader};
pub use known::Known;
pub use matmul::{Matmul, Picture};
pub use network::GpuNetwork;
pub use recording::{GpuCost, Launch, Operand, Recording, Span, Target};
#[cfg(test)]
pub(crate) use self_test::furthest;
pub use tiles::{Product, Reader, ShapeClass, TileClass, Tiles, Tiling};

use crate::{
    OutOfMemory, Result, Timings,
    memory::{Kind, Lease, Memory},
};
use anyhow::{Context as _, anyhow};
use pace::Pace;
use recording::{Form, Stored};
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
};

/// How kernels are built and split: what tests vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuOptions {
    /// Bounds checks and loop limits in shaders: for tests.
    pub checked: bool,
    /// Bytes that one binding may have at most, where less than the adapter allows.
    pub binding_limit: u64,
    /// The tile of every matrix product; `None` lets the adapter and the product decide.
    pub tile: Option<TileClass>,
    /// Bytes of all buffers together at most.
    pub budget: u64,
    /// Bytes after which the device says that its memory is full.
    pub room: u64,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            checked: false,
            binding_limit: u64::MAX,
            tile: None,
            budget: u64::MAX,
            room: u64::MAX,
        }
    }
}

/// By weight's identity and form.
type Resident = HashMap<(u64, Form), Weak<Buffer>>;

/// A buffer, counted as long as it is there.
pub struct Buffer {
    buffer: wgpu::Buffer,
    _lease: Option<Lease>,
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;
    fn deref(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

/// An open adapter. Weights and pipelines are shared by all networks on it.
pub struct GpuDevice {
    name: String,
    /// Its driver's name and version.
    driver: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
    checked: bool,
    /// Bytes of one binding.
    binding_limit: u64,
    /// Which tiles networks compiled from now on take.
    tiles: Mutex<Tiles>,
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
    /// What the driver made of them, to be kept for the next run, where the adapter can give it.
    compiled: Option<wgpu::PipelineCache>,
    /// Whether pipelines were made that are not kept yet.
    unsaved: AtomicBool,
    /// What is remembered of the adapter, where something is to be remembered.
    known: Mutex<Option<Known>>,
    /// Whether tiles are tried for products of kinds that are not known yet.
    tuning: AtomicBool,
    pace: Mutex<Pace>,
    /// Whether runs are timed, step by step.
    timing: AtomicBool,
    pub(crate) timings: Timings,
    resident: Mutex<Resident>,
    /// Bound where a kernel does not read what it could.
    nothing: Arc<Buffer>,
    pub(crate) memory: Arc<Memory>,
    room: u64,
    /// What went wrong outside any call of ours: a lost device, a driver's error.
    fault: Arc<Mutex<Option<String>>>,
    created: [AtomicU64; 3],
}

/// How many of each a device has made so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    pub pipelines: u64,
    pub buffers: u64,
    pub bind_groups: u64,
}

/// Places in [`GpuDevice::created`].
const PIPELINES: usize = 0;
const BUFFERS: usize = 1;
const BIND_GROUPS: usize = 2;

/// Bytes of uploads that may be under way: each has a copy in memory that the processor sees.
const UPLOADS: usize = 64 << 20;
/// Buffers are whole multiples of this many bytes, and bindings begin at them.
pub(crate) const ALIGN: u64 = 256;

impl GpuDevice {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What recordings for this device depend on.
    pub(crate) fn target(&self) -> Target {
        let (name, tiles) = (self.name.clone(), lock(&self.tiles).clone());
        Target { name, binding_limit: self.binding_limit, tiles }
    }

    pub(crate) fn created(&self) -> Created {
        let [pipelines, buffers, bind_groups] =
            [PIPELINES, BUFFERS, BIND_GROUPS].map(|i| self.created[i].load(Ordering::Relaxed));
        Created { pipelines, buffers, bind_groups }
    }

    fn count(&self, what: usize) {
        self.created[what].fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of a buffer for `len` words of 4 bytes.
    fn size(&self, len: usize) -> u64 {
        (4 * len as u64).next_multiple_of(ALIGN).max(ALIGN)
    }

    /// An error if no buffer may be so large.
    fn allows(&self, what: &str, size: u64) -> Result<()> {
        let given = self.device.limits().max_buffer_size;
        if size <= given {
            return Ok(());
        }
        let (what, by) = (what.to_owned(), format!("{} for one buffer", self.name));
        Err(OutOfMemory { what, wanted: size, given, by }.into())
    }

    /// A buffer for `len` words of 4 bytes. Where memory is full, what can be made again makes room.
    fn buffer(
        &self,
        what: &str,
        kind: Kind,
        len: usize,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer> {
        let size = self.size(len);
        self.allows(what, size)?;
        let descriptor =
            wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        loop {
            let lease = self.memory.lease(what, kind, size)?;
            if let Some(buffer) = self.create(&descriptor) {
                self.count(BUFFERS);
                return Ok(Buffer { buffer, _lease: Some(lease) });
            }
            drop(lease);
            if !self.memory.evict() {
                self.memory.is_full();
                let wanted = self.memory.budget() + size;
                return Err(self.memory.lacks(what, wanted).into());
            }
            self.wait()?;
        }
    }

    /// A new buffer; none where memory is full.
    fn create(&self, descriptor: &wgpu::BufferDescriptor) -> Option<wgpu::Buffer> {
        if self.memory.all() > self.room {
            return None;
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(descriptor);
        pollster::block_on(scope.pop()).is_none().then_some(buffer)
    }

    /// The weight on the device, uploaded if no network holds it yet.
    fn weight(&self, stored: &Stored) -> Result<Arc<Buffer>> {
        let key = (stored.weight.id(), stored.form);
        if let Some(held) = lock(&self.resident).get(&key).and_then(Weak::upgrade) {
            return Ok(held);
        }
        let words = stored.words()?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let buffer =
            Arc::new(self.buffer(stored.weight.key(), Kind::Weights, words.len(), usage)?);
        for (part, at) in words.chunks(UPLOADS / 4).zip((0..).step_by(UPLOADS)) {
            self.queue.write_buffer(&buffer, at, bytemuck::cast_slice(part));
        }
        let mut resident = lock(&self.resident);
        resident.retain(|_, held| held.strong_count() > 0);
        resident.insert(key, Arc::downgrade(&buffer));
        Ok(buffer)
    }

    /// Waits until everything submitted is done.
    fn wait(&self) -> Result<()> {
        self.wait_for(self.queue.submit([]))
    }

    /// Waits until a submission is done.
    fn wait_for(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        let waited = self.device.poll(wait);
        if waited.is_err() {
            // Lets the device say that it is lost.
            let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        }
        self.check()?;
        waited.map(drop).with_context(|| self.name.clone())
    }

    /// Waits until everything submitted is done, then hands a buffer's bytes out.
    fn read<T>(&self, buffer: &wgpu::Buffer, take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        const READING: &str = "reading the GPU's results";
        let (sender, mapped) = mpsc::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        self.wait()?;
        mapped.recv().map_err(|_| anyhow!("no answer"))?.context(READING)?;
        let taken = buffer.get_mapped_range(..).map(|view| take(&view)).context(READING);
        buffer.unmap();
        taken
    }

    /// Runs are timed from now on.
    pub(crate) fn start_timing(&self) {
        self.timing.store(true, Ordering::Relaxed);
    }

    /// Keeps newly compiled pipelines for the next run of the program; that this fails is no harm.
    fn keep_compiled(&self) {
        if let (Some(known), Some(compiled)) = (&*lock(&self.known), &self.compiled)
            && self.unsaved.swap(false, Ordering::Relaxed)
            && let Some(data) = compiled.get_data()
        {
            let _ = known.keep_pipelines(&data);
        }
    }

    /// An error if the device is lost or the driver complained.
    fn check(&self) -> Result<()> {
        match &*lock(&self.fault) {
            None => Ok(()),
            Some(fault) => Err(anyhow!(
                "the GPU {} stopped working: {fault}. Start again, or use --device cpu",
                self.name
            )),
        }
    }
}

/// The content, even if a thread panicked while it had it: what is kept here is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
