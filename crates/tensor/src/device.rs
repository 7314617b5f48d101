//! Where programs run.

use crate::{Program, Result};

/// What runs programs: this machine's processor, or a GPU.
pub enum Device {
    Cpu,
    Gpu,
}

/// A program made ready on a device: weights in place, memory assigned. Replayed every step.
pub struct Network {/* ... */}

impl Device {
    pub fn cpu() -> Self {
        Self::Cpu
    }

    /// Makes a program ready. Its weights become resident (shared with other networks that name
    /// them); an error says how many bytes were wanted.
    pub fn compile(&self, program: Program) -> Result<Network> {
        let _ = program;
        todo!()
    }
}

impl Network {
    /// Runs once: inputs in the program's order, row-major; outputs likewise.
    pub fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let _ = inputs;
        todo!()
    }
}
