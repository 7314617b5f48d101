//! Layers as checkpoints store them: a `weight`, and mostly a `bias`, under one name.

use tensor::{Conv, Result, Tensor, Weights};

pub fn linear(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let bias = w.has("bias").then(|| w.get("bias")).transpose()?;
    Ok(x.linear(&w.get("weight")?, bias.as_ref()))
}

pub fn conv2d(x: &Tensor, w: &Weights, conv: Conv) -> Result<Tensor> {
    let bias = w.has("bias").then(|| w.get("bias")).transpose()?;
    Ok(x.conv2d(&w.get("weight")?, bias.as_ref(), conv))
}

/// 32 groups, as everywhere in latent diffusion.
pub fn group_norm(x: &Tensor, w: &Weights, eps: f32) -> Result<Tensor> {
    Ok(x.group_norm(32, &w.get("weight")?, &w.get("bias")?, eps))
}

pub fn layer_norm(x: &Tensor, w: &Weights) -> Result<Tensor> {
    Ok(x.layer_norm(&w.get("weight")?, &w.get("bias")?, 1e-5))
}

/// How many blocks `name.0`, `name.1`, ... there are.
pub fn count(w: &Weights, name: &str) -> usize {
    (0..).take_while(|i| w.has(&format!("{name}.{i}"))).count()
}
