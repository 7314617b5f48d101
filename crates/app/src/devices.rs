//! `weft devices`, and the choice of one.

use crate::{DeviceChoice, folders, units};
use anyhow::{Context as _, Result};
use std::{io::Write as _, path::PathBuf};
use tensor::{Adapter, Device, GpuOptions, Known};

/// Which device, and how much of its memory.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct DeviceArgs {
    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,
    /// Where a GPU computes: the memory that all its buffers may take together, such as 6G, 1.5GiB, 800M
    /// or plain bytes. A model that does not fit is loaded block by block in each step: slower, the same
    /// picture
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    vram_budget: Option<u64>,
    /// Where the CPU computes: the memory that weights (as they are computed with) and activations may take
    /// together. Not counted: pictures, scratch memory of threads, and files of weights, which are mapped,
    /// so that the system drops their pages when it wants to
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    ram_budget: Option<u64>,
}

impl DeviceArgs {
    pub fn open(&self) -> Result<Device> {
        open_within(self.device, self.vram_budget, self.ram_budget)
    }
}

/// Opens the device asked for: `auto` takes the first real GPU that can run Weft's kernels and computes
/// what the CPU computes, else the CPU.
pub fn open(choice: DeviceChoice) -> Result<Device> {
    open_within(choice, None, None)
}

fn open_within(choice: DeviceChoice, vram: Option<u64>, ram: Option<u64>) -> Result<Device> {
    let cpu = || Device::cpu_within(ram.unwrap_or(u64::MAX));
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Auto => Ok(Adapter::all()
            .iter()
            .filter(suits)
            .find_map(|adapter| refused_aloud(adapter, vram))
            .unwrap_or_else(cpu)),
        DeviceChoice::Gpu => {
            let adapters = Adapter::all();
            let adapter = adapters.first().context(
                "no GPU was found: no driver for Vulkan, Metal or DirectX 12 is installed. Use --device cpu",
            )?;
            proven(adapter, vram)
        }
    }
}

/// The device of that name if it is here.
pub fn named(name: &str) -> Option<Device> {
    if name == Device::cpu().name() {
        return Some(Device::cpu());
    }
    refused_aloud(Adapter::all().iter().find(|adapter| adapter.name() == name)?, None)
}

/// Opens a GPU, and tests it if that was not done before.
fn proven(adapter: &Adapter, vram: Option<u64>) -> Result<Device> {
    let folder = cache_folder();
    let options = GpuOptions { budget: vram.unwrap_or(u64::MAX), ..GpuOptions::default() };
    Device::proven_gpu(adapter, options, folder.as_deref(), &|text| eprintln!("{text}"))
}

/// As [`proven`]; of a GPU that is not taken, people are told why.
fn refused_aloud(adapter: &Adapter, vram: Option<u64>) -> Option<Device> {
    proven(adapter, vram).inspect_err(|error| eprintln!("warning: {error:#}")).ok()
}

/// Where what is found out about GPUs is kept.
fn cache_folder() -> Option<PathBuf> {
    Some(folders::cache()?.join("gpu"))
}

/// Whether `auto` may take it.
fn suits(adapter: &&Adapter) -> bool {
    adapter.is_gpu() && adapter.unfit().is_none()
}

pub fn devices() -> Result<()> {
    let mut out = std::io::stdout().lock();
    let adapters = Adapter::all();
    let auto = adapters.iter().find(suits).map(Adapter::name);
    let mark = |taken: bool| if taken { "  <- taken by --device auto" } else { "" };
    for adapter in &adapters {
        let name = adapter.name();
        writeln!(out, "gpu   {name}{}", mark(auto.as_ref() == Some(&name)))?;
        writeln!(out, "      {}", adapter.describe())?;
        if let Some(lack) = adapter.unfit() {
            writeln!(out, "      cannot run Weft's kernels: {lack}")?;
            continue;
        }
        writeln!(out, "      {}", remembered(adapter))?;
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

/// What earlier runs have found out about an adapter.
fn remembered(adapter: &Adapter) -> String {
    let known = cache_folder().map(|folder| adapter.known(&folder, GpuOptions::default()));
    let Some(known) = known.filter(Known::tested) else {
        return "not tested yet: it will be when it is first used".to_owned();
    };
    let tuned = match (known.tiles().len(), adapter.is_gpu()) {
        (_, false) => "not tuned, as no GPU",
        (0, true) => "not tuned yet: it will be as networks are first loaded",
        (n, true) => return format!("self-test passed; tuned for {n} kinds of matrix products"),
    };
    format!("self-test passed; {tuned}")
}
