//! Which GPUs there are, and opening one.

use super::{ALIGN, GpuDevice, GpuOptions, TileClass, Tiles, lock};
use crate::{Result, Timings};
use anyhow::{Context as _, ensure};
use std::sync::{Arc, Mutex};

/// A GPU, or a program that acts as one, as its driver describes it.
pub struct Adapter {
    adapter: wgpu::Adapter,
    info: wgpu::AdapterInfo,
}

/// Storage buffers that one kernel binds at most.
const BINDINGS: u32 = 6;
/// Bytes of parameters of a kernel.
pub const PARAMETERS: u32 = 112;

impl Adapter {
    /// All adapters here, the most capable first; none where there is no driver.
    pub fn all() -> Vec<Self> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::PRIMARY;
        descriptor.flags = wgpu::InstanceFlags::empty();
        descriptor.memory_budget_thresholds.for_resource_creation = Some(90);
        let instance = wgpu::Instance::new(descriptor);
        let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let mut all: Vec<Self> =
            found.into_iter().map(|adapter| Self { info: adapter.get_info(), adapter }).collect();
        all.sort_by_key(Self::rank);
        all
    }

    fn rank(&self) -> u8 {
        match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        }
    }

    pub fn name(&self) -> String {
        format!("{} ({})", self.info.name, self.info.backend)
    }

    /// Whether it is a graphics processor, and not the CPU in disguise.
    pub fn is_gpu(&self) -> bool {
        self.info.device_type != wgpu::DeviceType::Cpu
    }

    /// Its kind, driver and limits, for people.
    pub fn describe(&self) -> String {
        let limits = self.adapter.limits();
        let mib = |bytes: u64| bytes >> 20;
        format!(
            "{:?}, driver {} {}; buffers to {} MiB, bindings to {} MiB, {} KiB of workgroup memory",
            self.info.device_type,
            self.info.driver,
            self.info.driver_info,
            mib(limits.max_buffer_size),
            mib(limits.max_storage_buffer_binding_size),
            limits.max_compute_workgroup_storage_size >> 10,
        )
    }

    /// What it lacks for Weft's kernels, if anything.
    pub fn unfit(&self) -> Option<&'static str> {
        let limits = self.adapter.limits();
        if !self.adapter.features().contains(wgpu::Features::IMMEDIATES)
            || limits.max_immediate_size < PARAMETERS
        {
            Some("no push constants")
        } else if limits.max_storage_buffers_per_shader_stage < BINDINGS {
            Some("too few storage buffers")
        } else if limits.max_compute_invocations_per_workgroup < 256 {
            Some("too small workgroups")
        } else {
            None
        }
    }

    pub(crate) fn open(&self, options: GpuOptions) -> Result<GpuDevice> {
        let name = self.name();
        if let Some(lack) = self.unfit() {
            anyhow::bail!("{name} cannot run Weft's kernels: {lack}. Use --device cpu");
        }
        let descriptor = wgpu::DeviceDescriptor {
            required_features: wgpu::Features::IMMEDIATES,
            required_limits: self.adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(self.adapter.request_device(&descriptor))
            .with_context(|| format!("{name} cannot be opened"))?;
        let limits = device.limits();
        ensure!(
            u64::from(limits.min_storage_buffer_offset_alignment) <= ALIGN,
            "{name}: bindings must begin at multiples of {} bytes, more than Weft's {ALIGN}",
            limits.min_storage_buffer_offset_alignment
        );
        // Where workgroup memory is plain memory and a barrier is costly, tiles only cost.
        let direct = (!self.is_gpu()).then_some(TileClass::Direct);
        let tiles = Tiles {
            only: options.tile.or(direct),
            memory: limits.max_compute_workgroup_storage_size as usize,
            ..Tiles::default()
        };
        let fault = watch(&device);
        let nothing = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("nothing"),
            size: ALIGN,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        Ok(GpuDevice {
            name,
            device,
            queue,
            timings: Timings::default(),
            checked: options.checked,
            binding_limit: limits.max_storage_buffer_binding_size.min(options.binding_limit),
            tiles: Mutex::new(tiles),
            pipelines: Mutex::default(),
            resident: Mutex::default(),
            nothing: Arc::new(nothing),
            fault,
            created: Default::default(),
        })
    }
}

/// Where the first thing that goes wrong outside any call of ours is written down.
fn watch(device: &wgpu::Device) -> Arc<Mutex<Option<String>>> {
    let fault = Arc::new(Mutex::new(None));
    let first = |fault: &Mutex<Option<String>>, text: String| {
        lock(fault).get_or_insert(text);
    };
    let lost = fault.clone();
    device.set_device_lost_callback(move |reason, message| {
        first(&lost, format!("the device was lost ({reason:?}: {message})"));
    });
    let error = fault.clone();
    device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| first(&error, e.to_string())));
    fault
}
