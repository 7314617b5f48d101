//! The GPU device: each operation is a few dispatches of WGSL shaders (`shaders/`), through wgpu.
//!
//! A program is compiled once: weights uploaded, every slot of the plan a buffer, pipelines and bind
//! groups made. A run writes the inputs, replays the dispatches and reads the outputs back.

mod adapter;
mod compile;
mod kernel;
mod matmul;
mod network;
mod recording;
#[cfg(test)]
mod tests;
mod tiles;

pub use adapter::Adapter;
pub use compile::{Compiler, fold};
pub(crate) use kernel::{Kernel, THREADS, kernel, shader};
pub use matmul::{Matmul, Picture};
pub use network::GpuNetwork;
pub use recording::{GpuCost, Launch, Operand, Recording, Span, Target};
pub use tiles::{Product, Reader, TileClass, Tiles, Tiling};

use crate::{Result, Timings};
use anyhow::{Context as _, anyhow, bail};
use recording::{Form, Stored};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
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
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self { checked: false, binding_limit: u64::MAX, tile: None }
    }
}

/// By weight's identity and form.
type Resident = HashMap<(u64, Form), Weak<wgpu::Buffer>>;

/// An open adapter. Weights and pipelines are shared by all networks on it.
pub struct GpuDevice {
    name: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub(crate) timings: Timings,
    checked: bool,
    /// Bytes of one binding.
    binding_limit: u64,
    /// Which tiles networks compiled from now on take.
    tiles: Mutex<Tiles>,
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
    resident: Mutex<Resident>,
    /// Bound where a kernel does not read what it could.
    nothing: Arc<wgpu::Buffer>,
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

    /// A buffer for `len` words of 4 bytes; an error says how many bytes were wanted and what for.
    fn buffer(&self, what: &str, len: usize, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let size = (4 * len as u64).next_multiple_of(ALIGN).max(ALIGN);
        let most = self.device.limits().max_buffer_size;
        if size > most {
            bail!(
                "{}: {what} needs a buffer of {size} bytes; this GPU allows {most}. A smaller picture or --device cpu would do",
                self.name
            );
        }
        self.count(BUFFERS);
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let descriptor =
            wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => bail!(
                "{}: out of GPU memory: {size} bytes wanted for {what}. A smaller picture or --device cpu would do",
                self.name
            ),
        }
    }

    /// The weight on the device, uploaded if no network holds it yet.
    fn weight(&self, stored: &Stored) -> Result<Arc<wgpu::Buffer>> {
        let key = (stored.weight.id(), stored.form);
        if let Some(held) = lock(&self.resident).get(&key).and_then(Weak::upgrade) {
            return Ok(held);
        }
        let words = stored.words()?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let buffer = Arc::new(self.buffer(stored.weight.key(), words.len(), usage)?);
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
        self.queue.submit([]);
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        waited.map(drop).with_context(|| self.name.clone())
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
