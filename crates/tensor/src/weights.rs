//! Weights: tensors in safetensors files, memory-mapped, found by name under a prefix.

use crate::Result;
use std::{collections::BTreeMap, fmt::Display, path::Path, sync::Arc};

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    /// Known to safetensors, but no weight: positions, flags, quantised codes.
    Other(&'static str),
}

/// An open safetensors file (or several parts that are read as one), checked from end to end.
#[derive(Debug)]
pub struct Checkpoint {
    name: String,
}

/// A place in a checkpoint: `weights.at("input_blocks.1").at(0)` has the prefix `input_blocks.1.0.`
#[derive(Clone, Debug)]
pub struct Weights {
    file: Arc<Checkpoint>,
    prefix: String,
}

/// One tensor of a checkpoint, not read yet.
#[derive(Clone, Debug)]
pub struct Weight {
    file: Arc<Checkpoint>,
    key: String,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl Weights {
    /// Maps a file. Errors name the file, the key, and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }
    /// Reads parts that come with the program; `name` is for errors. Later parts win.
    pub fn from_parts(name: &str, parts: &[&'static [u8]]) -> Result<Self> {
        let _ = (name, parts);
        todo!()
    }
    /// One level down: a block's name or number.
    pub fn at(&self, name: impl Display) -> Self {
        Self { file: self.file.clone(), prefix: format!("{}{name}.", self.prefix) }
    }
    /// The tensor `name` here; an error gives the full key, the file, and near keys.
    pub fn get(&self, name: &str) -> Result<Weight> {
        let _ = name;
        todo!()
    }
    /// As [`Weights::get`], and the shape must be this one.
    pub fn shaped(&self, name: &str, shape: &[usize]) -> Result<Weight> {
        let _ = (name, shape);
        todo!()
    }
    /// Whether there is a tensor `name`, or anything below it.
    pub fn has(&self, name: &str) -> bool {
        let _ = name;
        todo!()
    }
    /// The shape of `name`, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let _ = name;
        todo!()
    }
    /// The keys below this place, without its prefix, in the file's order.
    pub fn keys(&self) -> Vec<&str> {
        todo!()
    }
    /// The file's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        todo!()
    }
    /// The same place, its numbers rounded to f16 as they are read (ComfyUI keeps text encoders so).
    #[must_use]
    pub fn rounded_to_f16(&self) -> Self {
        todo!()
    }
    /// Keys of the file that no [`Weights::get`] has asked for yet.
    pub fn unused(&self) -> Vec<String> {
        todo!()
    }
}

impl Weight {
    /// The full key in the file.
    pub fn key(&self) -> &str {
        &self.key
    }
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }
    /// All numbers as f32, row-major as in the file. The pages read are given back to the system.
    pub fn to_f32(&self) -> Vec<f32> {
        todo!()
    }
    /// Rows of a matrix, gathered: `[ids.len(), cols]`. For token embeddings.
    pub fn rows(&self, ids: &[u32]) -> Vec<f32> {
        let _ = ids;
        todo!()
    }
    /// Equal for the same numbers: the file and key (and rounding). What devices cache by.
    pub fn id(&self) -> u64 {
        todo!()
    }
}
