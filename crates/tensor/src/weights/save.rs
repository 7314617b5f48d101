//! Tensors into files.

use super::{Dtype, Weight};
use crate::Result;
use anyhow::Context as _;
use half::{bf16, f16};
use safetensors::{View, tensor::TensorView};
use std::{borrow::Cow, cell::RefCell, collections::HashMap, path::Path};

/// Tensors of f32 as the bytes of a safetensors file.
pub fn write_safetensors(tensors: Vec<(String, Vec<usize>, Vec<f32>)>) -> Result<Vec<u8>> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, x)| (name, shape, bytemuck::cast_slice(&x).to_vec()))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)?))
    });
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

/// Writes weights under new names, one after the other, so that only one is in memory; each as it is
/// stored in its own file, or in f16 where it is rounded to that.
pub fn save_safetensors(
    path: &Path,
    tensors: Vec<(String, Weight)>,
    metadata: HashMap<String, String>,
) -> Result<()> {
    let failed = RefCell::new(None);
    let views =
        tensors.into_iter().map(|(name, weight)| (name, Stored { weight, failed: &failed }));
    let written = safetensors::serialize_to_file(views, Some(metadata), path);
    failed.take().map_or(Ok(()), Err)?;
    written.with_context(|| path.display().to_string())
}

/// A weight that is read when its turn comes.
struct Stored<'a> {
    weight: Weight,
    /// The first weight that could not be read: the format's own interface has no place for errors.
    failed: &'a RefCell<Option<anyhow::Error>>,
}

impl Stored<'_> {
    fn kind(&self) -> Dtype {
        if self.weight.f16 { Dtype::F16 } else { self.weight.dtype }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let numbers = self.weight.to_f32()?;
        Ok(match self.kind() {
            Dtype::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::Bf16 => numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
            _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.kind() {
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::Bf16 => safetensors::Dtype::BF16,
            _ => safetensors::Dtype::F32,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.weight.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.bytes().unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            vec![0; self.data_len()]
        });
        Cow::Owned(bytes)
    }
    fn data_len(&self) -> usize {
        self.weight.len() * if self.dtype() == safetensors::Dtype::F32 { 4 } else { 2 }
    }
}
