//! Tensors into files.

use super::{Dtype, Weight, relaid::transposed};
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

/// What a tensor of a file is made of.
#[derive(Clone, Debug)]
pub enum Source {
    Whole(Weight),
    /// A matrix with its rows as columns.
    Transposed(Weight),
}

impl From<Weight> for Source {
    fn from(weight: Weight) -> Self {
        Self::Whole(weight)
    }
}

impl Source {
    fn weight(&self) -> &Weight {
        let (Self::Whole(weight) | Self::Transposed(weight)) = self;
        weight
    }

    fn shape(&self) -> Vec<usize> {
        let mut shape = self.weight().shape.clone();
        if matches!(self, Self::Transposed(_)) {
            shape.reverse();
        }
        shape
    }

    fn to_f32(&self) -> Result<Vec<f32>> {
        let numbers = self.weight().to_f32()?;
        Ok(match self {
            Self::Whole(_) => numbers,
            Self::Transposed(weight) => transposed(&numbers, weight.shape[1]),
        })
    }
}

/// Writes weights under new names, one after the other, so that only one is in memory; each as it is
/// stored in its own file, or in f16 where it is rounded to that.
pub fn save_safetensors(
    path: &Path,
    tensors: Vec<(String, Source)>,
    metadata: HashMap<String, String>,
) -> Result<()> {
    let failed = RefCell::new(None);
    let stored = |source: Source| Stored { shape: source.shape(), source, failed: &failed };
    let views = tensors.into_iter().map(|(name, source)| (name, stored(source)));
    let written = safetensors::serialize_to_file(views, Some(metadata), path);
    failed.take().map_or(Ok(()), Err)?;
    written.with_context(|| path.display().to_string())
}

/// Weights that are read when their turn comes.
struct Stored<'a> {
    source: Source,
    shape: Vec<usize>,
    /// The first weight that could not be read: the format's own interface has no place for errors.
    failed: &'a RefCell<Option<anyhow::Error>>,
}

impl Stored<'_> {
    fn kind(&self) -> Dtype {
        let weight = self.source.weight();
        if weight.f16 { Dtype::F16 } else { weight.dtype }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let numbers = self.source.to_f32()?;
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
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.bytes().unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            vec![0; self.data_len()]
        });
        Cow::Owned(bytes)
    }
    fn data_len(&self) -> usize {
        let len = self.shape.iter().product::<usize>();
        len * if self.dtype() == safetensors::Dtype::F32 { 4 } else { 2 }
    }
}
