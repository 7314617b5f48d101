//! Which GPUs there are, and opening one.

use super::{ALIGN, Buffer, GpuDevice, GpuOptions, Known, TileClass, Tiles, lock};
use crate::{Result, Timings, memory::Memory};
use anyhow::{Context as _, ensure};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

/// A GPU, or a program that acts as one, as its driver describes it.
pub struct Adapter {
    adapter: wgpu::Adapter,
    info: wgpu::AdapterInfo,
}

/// Storage buffers that one kernel binds at most.
const BINDINGS: u32 = 6;
/// Used where they are there: compiled pipelines that can be kept, and a clock.
const USEFUL: wgpu::Features =
    wgpu::Features::PIPELINE_CACHE.union(wgpu::Features::TIMESTAMP_QUERY);
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

    pub(super) fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Its driver's name and version.
    pub fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info)
    }

    /// Bytes of memory close to it, where a Vulkan driver tells: its largest heap.
    #[cfg(not(target_vendor = "apple"))]
    pub fn memory(&self) -> Option<u64> {
        const DEVICE_LOCAL: u32 = 1;
        // SAFETY: the handles do not leave this call, which only asks.
        let properties = unsafe {
            let adapter = self.adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
            let instance = adapter.shared_instance().raw_instance();
            instance.get_physical_device_memory_properties(adapter.raw_physical_device())
        };
        let heaps = &properties.memory_heaps[..properties.memory_heap_count as usize];
        let local = heaps.iter().filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0);
        local.map(|heap| heap.size).max()
    }

    /// No driver here tells.
    #[cfg(target_vendor = "apple")]
    pub fn memory(&self) -> Option<u64> {
        None
    }

    /// Its kind, driver and limits, for people.
    pub fn describe(&self) -> String {
        let limits = self.adapter.limits();
        let mib = |bytes: u64| bytes >> 20;
        let has = |feature| self.adapter.features().contains(feature);
        let range = |least: u32, most: u32| match least == most {
            true => least.to_string(),
            false => format!("{least} to {most}"),
        };
        format!(
            "{:?}, driver {}; {}{}, subgroups of {}; buffers to {} MiB, bindings to {} MiB, {} KiB of workgroup memory",
            self.info.device_type,
            self.driver(),
            self.memory().map_or(String::new(), |bytes| format!("{} MiB of memory, ", mib(bytes))),
            if has(wgpu::Features::SHADER_F16) { "f16" } else { "no f16" },
            range(self.info.subgroup_min_size, self.info.subgroup_max_size),
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

    pub(crate) fn open(&self, options: GpuOptions, known: Option<Known>) -> Result<GpuDevice> {
        let name = self.name();
        if let Some(lack) = self.unfit() {
            anyhow::bail!("{name} cannot run Weft's kernels: {lack}. Use --device cpu");
        }
        let descriptor = wgpu::DeviceDescriptor {
            required_features: wgpu::Features::IMMEDIATES | self.adapter.features() & USEFUL,
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
            tuned: known.as_ref().map_or_else(BTreeMap::new, |known| known.tiles().clone()),
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
            driver: self.driver(),
            compiled: known.as_ref().and_then(|known| compiled(&device, known)),
            unsaved: AtomicBool::new(false),
            known: Mutex::new(known),
            tuning: AtomicBool::new(false),
            pace: Mutex::default(),
            timing: AtomicBool::new(false),
            timings: Timings::default(),
            device,
            queue,
            checked: options.checked,
            binding_limit: limits.max_storage_buffer_binding_size.min(options.binding_limit),
            tiles: Mutex::new(tiles),
            pipelines: Mutex::default(),
            resident: Mutex::default(),
            nothing: Arc::new(Buffer { buffer: nothing, _lease: None }),
            memory: Memory::new("--vram-budget", options.budget),
            room: options.room,
            fault,
            created: Default::default(),
        })
    }
}

/// The pipelines that are remembered, if the adapter can make use of such.
fn compiled(device: &wgpu::Device, known: &Known) -> Option<wgpu::PipelineCache> {
    device.features().contains(wgpu::Features::PIPELINE_CACHE).then(|| {
        let data = known.pipelines();
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("pipelines"),
            data: data.as_deref(),
            fallback: true,
        };
        // SAFETY: the data is what `get_data` gave for this adapter and driver, by its hash.
        unsafe { device.create_pipeline_cache(&descriptor) }
    })
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
