//! Where programs run.

use crate::{
    Adapter, GpuOptions, Memory, Need, Peak, Program, Result, Time, Timings,
    cpu::{CpuDevice, CpuNetwork},
    dry::{DryNetwork, Ledger},
    gpu::{Created, GpuDevice, GpuNetwork},
};
use anyhow::ensure;
use std::{path::Path, sync::Arc, time::Instant};

/// What runs programs: this machine's processor, a GPU, or nothing.
pub enum Device {
    Cpu(CpuDevice),
    Gpu(Arc<GpuDevice>),
    Dry(Ledger),
}

/// A program made ready on a device: weights in place, memory assigned. Replayed every step.
pub enum Network {
    Cpu(CpuNetwork),
    Gpu(Box<GpuNetwork>),
    Dry(DryNetwork),
}

impl Device {
    pub fn cpu() -> Self {
        Self::cpu_within(u64::MAX)
    }

    /// The processor with so many bytes for weights and values.
    pub fn cpu_within(budget: u64) -> Self {
        Self::Cpu(CpuDevice::new(budget))
    }

    /// The processor, exact to f32: what other devices are compared with.
    #[cfg(test)]
    pub(crate) fn twin() -> Self {
        Self::Cpu(CpuDevice::twin())
    }

    /// Opens a GPU; an error says what it lacks.
    pub fn gpu(adapter: &Adapter, options: GpuOptions) -> Result<Self> {
        Ok(Self::Gpu(Arc::new(adapter.open(options, None)?)))
    }

    /// Opens a GPU for real work: one that computes wrong results is refused. What is found out about
    /// it is kept in `folder`, so that only the first opening takes long; `say` is told when one does.
    pub fn proven_gpu(
        adapter: &Adapter,
        options: GpuOptions,
        folder: Option<&Path>,
        say: &dyn Fn(&str),
    ) -> Result<Self> {
        let known = folder.map(|folder| adapter.known(folder, options));
        let gpu = Arc::new(adapter.open(options, known)?);
        gpu.prove(say)?;
        if adapter.is_gpu() && options.tile.is_none() {
            gpu.start_tuning();
        }
        Ok(Self::Gpu(gpu))
    }

    /// A device that plans and counts in the ledger, computes nothing and gives zeros: to learn what
    /// a run takes.
    pub fn dry(ledger: &Ledger) -> Self {
        Self::Dry(ledger.clone())
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu(_) => "CPU",
            Self::Gpu(gpu) => gpu.name(),
            Self::Dry(_) => "nothing",
        }
    }

    /// The numbers that networks are computed in.
    pub fn precision(&self) -> &'static str {
        "f32"
    }

    /// What it can do at most, measured now; takes about a second. A dry device has the processor's.
    pub fn peak(&self) -> Result<Peak> {
        match self {
            Self::Cpu(_) | Self::Dry(_) => Ok(CpuDevice::peak()),
            Self::Gpu(gpu) => gpu.peak(),
        }
    }

    /// Lets runs be timed from now on. A GPU times only when asked, as that slows it a little; the CPU
    /// always does.
    pub fn start_timing(&self) {
        if let Self::Gpu(gpu) = self {
            gpu.start_timing();
        }
    }

    /// What it holds, and its budget.
    pub fn memory(&self) -> &Arc<Memory> {
        match self {
            Self::Cpu(cpu) => &cpu.memory,
            Self::Gpu(gpu) => &gpu.memory,
            Self::Dry(ledger) => ledger.device().memory(),
        }
    }

    /// What a program takes of its memory.
    pub fn need(&self, program: &Program) -> Result<Need> {
        match self {
            Self::Cpu(cpu) => cpu.need(program),
            Self::Gpu(gpu) => gpu.need(program),
            Self::Dry(ledger) => ledger.device().need(program),
        }
    }

    /// What its networks have taken so far. A dry device counts calls, operations and bytes without time;
    /// a GPU without a clock, or that was not asked by [`Device::start_timing`], tells nothing.
    pub fn timings(&self) -> Vec<Time> {
        match self {
            Self::Cpu(cpu) => cpu.timings.all(),
            Self::Gpu(gpu) => gpu.timings.all(),
            Self::Dry(ledger) => ledger.timings().all(),
        }
    }

    /// Pipelines, buffers and bind groups that a GPU has made so far: running networks makes none.
    pub fn created(&self) -> Option<Created> {
        match self {
            Self::Gpu(gpu) => Some(gpu.created()),
            Self::Cpu(_) | Self::Dry(_) => None,
        }
    }

    /// Makes a program ready. Its weights are loaded as its runs come to them, and shared with other
    /// networks that name them. An [`crate::OutOfMemory`] error says how many bytes were wanted.
    pub fn compile(&self, program: Program) -> Result<Network> {
        let start = Instant::now();
        let network = match self {
            Self::Cpu(cpu) => Network::Cpu(cpu.compile(program)?),
            Self::Gpu(gpu) => Network::Gpu(Box::new(gpu.compile(program)?)),
            Self::Dry(ledger) => Network::Dry(ledger.compile(program)?),
        };
        network.account().prepared(network.program(), start.elapsed());
        Ok(network)
    }
}

impl Network {
    /// Runs once: inputs in the program's order, row-major; outputs likewise.
    pub fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let program = self.program();
        ensure!(inputs.len() == program.inputs.len(), "{} inputs expected", program.inputs.len());
        for ((name, id), data) in program.inputs.iter().zip(inputs) {
            let shape = program.shape(*id);
            let len = program.values[*id].len();
            ensure!(data.len() == len, "input {name}: {} numbers for {shape:?}", data.len());
        }
        let (start, before) = (Instant::now(), self.account().counted());
        let outputs = match self {
            Self::Cpu(cpu) => cpu.run(inputs)?,
            Self::Gpu(gpu) => gpu.run(inputs)?,
            Self::Dry(dry) => dry.run(),
        };
        self.account().transferred(self.program(), start.elapsed(), before);
        Ok(outputs)
    }

    fn account(&self) -> Timings {
        match self {
            Self::Cpu(cpu) => cpu.timings.clone(),
            Self::Gpu(gpu) => gpu.device.timings.clone(),
            Self::Dry(dry) => dry.ledger.timings(),
        }
    }

    pub fn program(&self) -> &Program {
        match self {
            Self::Cpu(cpu) => &cpu.program,
            Self::Gpu(gpu) => &gpu.program,
            Self::Dry(dry) => &dry.program,
        }
    }
}
