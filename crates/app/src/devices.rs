//! `weft devices`, and the choice of one.

use crate::DeviceChoice;
use anyhow::{Context as _, Result};
use std::io::Write as _;
use tensor::{Adapter, Device, GpuOptions};

/// Opens the device asked for: `auto` takes the first real GPU that can run Weft's kernels, else the CPU.
pub fn open(choice: DeviceChoice) -> Result<Device> {
    let adapters = if choice == DeviceChoice::Cpu { Vec::new() } else { Adapter::all() };
    match (choice, chosen(&adapters)) {
        (DeviceChoice::Auto, Some(adapter)) => Device::gpu(adapter, GpuOptions::default()),
        (DeviceChoice::Auto | DeviceChoice::Cpu, _) => Ok(Device::cpu()),
        (DeviceChoice::Gpu, _) => {
            let adapter = adapters.first().context(
                "no GPU was found: no driver for Vulkan, Metal or DirectX 12 is installed. Use --device cpu",
            )?;
            Device::gpu(adapter, GpuOptions::default())
        }
    }
}

/// The device of that name if it is here.
pub fn named(name: &str) -> Option<Device> {
    if name == Device::cpu().name() {
        return Some(Device::cpu());
    }
    let adapter = Adapter::all().into_iter().find(|adapter| adapter.name() == name)?;
    Device::gpu(&adapter, GpuOptions::default()).ok()
}

/// The adapter that `auto` takes.
fn chosen(adapters: &[Adapter]) -> Option<&Adapter> {
    adapters.iter().find(|a| a.is_gpu() && a.unfit().is_none())
}

pub fn devices() -> Result<()> {
    let mut out = std::io::stdout().lock();
    let adapters = Adapter::all();
    let auto = chosen(&adapters).map(Adapter::name);
    let mark = |taken: bool| if taken { "  <- taken by --device auto" } else { "" };
    for adapter in &adapters {
        let name = adapter.name();
        writeln!(out, "gpu   {name}{}", mark(auto.as_ref() == Some(&name)))?;
        writeln!(out, "      {}", adapter.describe())?;
        if let Some(lack) = adapter.unfit() {
            writeln!(out, "      cannot run Weft's kernels: {lack}")?;
        }
        if !adapter.is_gpu() {
            writeln!(out, "      the processor acting as a GPU: slow, for --device gpu only")?;
        }
    }
    if adapters.is_empty() {
        writeln!(out, "gpu   none: no driver for Vulkan, Metal or DirectX 12 was found")?;
    }
    let threads = std::thread::available_parallelism()?;
    writeln!(out, "cpu   this machine's processor, {threads} threads{}", mark(auto.is_none()))?;
    Ok(())
}
