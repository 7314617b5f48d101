//! Layers as checkpoints store them: a `weight`, and mostly a `bias`, under one name.
//!
//! Shapes come from a file, which may be wrong: here they are checked before `tensor`, which takes a
//! wrong shape for a mistake of the program's, gets to see them.

use tensor::{Conv, Result, Tensor, Weight, Weights};

/// A matrix, or a kernel of 1x1, which with channels last is the same.
pub fn linear(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let weight = w.get("weight")?;
    let fits = matches!(weight.shape(), [n, k] | [n, k, 1, 1] if *n > 0 && *k == x.channels());
    anyhow::ensure!(fits, w.wrong("weight", &format!("[_, {}]", x.channels())));
    Ok(x.linear(&weight, bias(w, weight.shape()[0])?.as_ref()))
}

/// A kernel of 3x3.
pub fn conv2d(x: &Tensor, w: &Weights, conv: Conv) -> Result<Tensor> {
    let weight = w.get("weight")?;
    let fits = matches!(weight.shape(), [n, c, 3, 3] if *n > 0 && *c == x.channels());
    anyhow::ensure!(fits, w.wrong("weight", &format!("[_, {}, 3, 3]", x.channels())));
    Ok(x.conv2d(&weight, bias(w, weight.shape()[0])?.as_ref(), conv))
}

fn bias(w: &Weights, channels: usize) -> Result<Option<Weight>> {
    w.has("bias").then(|| w.shaped("bias", &[channels])).transpose()
}

/// 32 groups, as everywhere in latent diffusion.
pub fn group_norm(x: &Tensor, w: &Weights, eps: f32) -> Result<Tensor> {
    let channels = x.channels();
    let weight = w.shaped("weight", &[channels])?;
    anyhow::ensure!(channels.is_multiple_of(32), w.wrong("weight", "a multiple of 32 channels"));
    Ok(x.group_norm(32, &weight, &w.shaped("bias", &[channels])?, eps))
}

pub fn layer_norm(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let shape = [x.channels()];
    Ok(x.layer_norm(&w.shaped("weight", &shape)?, &w.shaped("bias", &shape)?, 1e-5))
}

/// The sum of what the block at `w` was given and what it made of it; `b` may be one row for every
/// picture.
pub fn add(a: &Tensor, b: &Tensor, w: &Weights) -> Result<Tensor> {
    let (has, wants) = (b.channels(), a.channels());
    anyhow::ensure!(has == wants, "{} makes {has} channels, expected {wants}", w.place());
    Ok(a.add(b))
}

/// Attention with its queries, keys and values made by the layers of `w`.
pub fn attention(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    causal: bool,
    w: &Weights,
) -> Result<Tensor> {
    let channels = [q, k, v].map(Tensor::channels);
    let fits = channels.iter().all(|c| *c == channels[0] && c.is_multiple_of(heads));
    anyhow::ensure!(fits, "{} makes {channels:?} channels for {heads} heads", w.place());
    Ok(q.attention(k, v, heads, causal))
}

/// How many blocks `name.0`, `name.1`, ... there are.
pub fn count(w: &Weights, name: &str) -> usize {
    (0..).take_while(|i| w.has(&format!("{name}.{i}"))).count()
}
