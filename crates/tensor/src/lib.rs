//! Networks' arithmetic on a device.
//!
//! Model code calls ordinary functions on [`Tensor`]s; nothing is computed, each call is written
//! down on a [`Tape`]. The finished [`Program`] has its elementwise operations folded into their
//! producers and every intermediate value assigned to a memory slot, so the memory it needs is
//! known before it runs. A [`Device`] compiles it once and replays it every step.
//!
//! Values are `f32`, row-major, channels last: pictures `[batch, height, width, channels]`,
//! token sequences `[batch, tokens, channels]`; both are the same memory.

mod blocks;
mod cpu;
mod device;
mod dry;
mod fold;
mod gpu;
mod join;
mod memory;
pub mod ops;
mod peak;
mod plan;
mod program;
mod tape;
#[cfg(test)]
mod testing;
mod timings;
mod weights;

pub use blocks::{Cut, Need};
pub use device::{Device, Network};
pub use dry::{Cost, Ledger};
pub use gpu::{Adapter, Created, GpuCost, GpuOptions, Known, TileClass};
pub use memory::{Kind, Memory, OutOfMemory};
pub use ops::{Act, Conv, Epilogue, Merging, Op};
pub use peak::Peak;
pub use plan::Plan;
pub use program::{Columns, Program, Step, Value, ValueId};
pub use tape::{Tape, Tensor};
pub use timings::{Time, Timings};
pub use weights::{
    Checkpoint, Dtype, PICKLE_ENDINGS, PICKLE_REFUSED, Patch, Source, View, Weight, Weights,
    save_safetensors, told, write_safetensors,
};

pub type Result<T> = anyhow::Result<T>;
