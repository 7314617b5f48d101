//! Goldens, made by the original.

use safetensors::SafeTensors;
use std::path::PathBuf;

/// A file of the shared goldens; `None`, said aloud, where that folder is absent.
pub fn golden(path: &str) -> Option<Vec<u8>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = std::env::var_os("WEFT_SHARED").map_or_else(|| beside.into(), PathBuf::from);
    let path = shared.join("goldens").join(path);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    bytes
}

/// The values and shape of a tensor of f32.
pub fn tensor(file: &SafeTensors, key: &str) -> (Vec<f32>, Vec<usize>) {
    let view = file.tensor(key).unwrap_or_else(|e| panic!("{key}: {e}"));
    let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    (values, view.shape().to_vec())
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}
