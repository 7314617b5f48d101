//! Goldens, made by the original.

use crate::{ModelSampling, Prediction};
use safetensors::SafeTensors;
use std::path::PathBuf;

/// The models whose noise levels the goldens have.
pub fn families() -> [(&'static str, ModelSampling); 5] {
    let flow = |shift, levels, of_one| ModelSampling::flow(shift, levels, of_one).unwrap();
    [
        ("sd15_eps", ModelSampling::stable_diffusion(Prediction::Eps)),
        ("sd21_vpred_zsnr", ModelSampling::zero_terminal_snr(Prediction::V)),
        ("sd3_flow_shift3", flow(3.0, 1000, 1000.0)),
        ("flux_dev_shift1.15", flow(1.15f64.exp(), 10_000, 1.0)),
        ("flux_schnell_shift0", flow(1.0, 10_000, 1.0)),
    ]
}

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
