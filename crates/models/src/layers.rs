//! Layers as checkpoints store them: a `weight`, and mostly a `bias`, under one name.
//!
//! Shapes come from a file, which may be wrong: here they are checked before `tensor`, which takes a
//! wrong shape for a mistake of the program's, gets to see them.

use tensor::{Conv, Result, Tensor, Weight, Weights};

/// A matrix, or a kernel of 1x1, which with channels last is the same.
pub fn linear(x: &Tensor, w: &Weights) -> Tensor {
    let bias = w.shaped("bias", &[outputs(x, w)]);
    x.linear(&matrix(x, w), Some(&bias))
}

/// A matrix without a bias.
pub fn project(x: &Tensor, w: &Weights) -> Tensor {
    x.linear(&matrix(x, w), None)
}

fn matrix(x: &Tensor, w: &Weights) -> Weight {
    let shape = [outputs(x, w), x.channels(), 1, 1];
    let kernel = w.shape("weight").is_some_and(|shape| shape.len() == 4);
    w.shaped("weight", if kernel { &shape } else { &shape[..2] })
}

/// A kernel of 3x3.
pub fn conv2d(x: &Tensor, w: &Weights, conv: Conv) -> Tensor {
    let channels = outputs(x, w);
    let weight = w.shaped("weight", &[channels, x.channels(), 3, 3]);
    x.conv2d(&weight, Some(&w.shaped("bias", &[channels])), conv)
}

/// A kernel of 1x1 or 3x3, as the file has it.
pub fn conv(x: &Tensor, w: &Weights) -> Result<Tensor> {
    match w.shape("weight") {
        Some([_, _, 1, 1]) => Ok(linear(x, w)),
        Some([_, _, 3, 3]) | None => Ok(conv2d(x, w, Conv::same(3))),
        Some(_) => anyhow::bail!(w.wrong("weight", "a kernel of 1x1 or 3x3")),
    }
}

/// A picture resampled along its height (1) or width (2): `matrix` has a row for each new place and a
/// column for each old one.
pub fn along(x: &Tensor, axis: usize, matrix: &[f32]) -> Result<Tensor> {
    let from = x.dim(axis);
    let shape = [matrix.len() / from, from];
    let weights =
        Weights::made("resampling", vec![("matrix".into(), shape.into(), matrix.into())])?;
    // The axis becomes the last one for the product, and goes back.
    let order: [usize; 4] = if axis == 1 { [0, 3, 2, 1] } else { [0, 1, 3, 2] };
    Ok(x.permute(&order).linear(&weights.get("matrix")?, None).permute(&order))
}

/// How many channels the layer makes: as its bias says, or else its weight. Where both are missing,
/// as many as it reads: the most likely, to go on with.
fn outputs(x: &Tensor, w: &Weights) -> usize {
    // Wider layers than any network has come from damaged files only.
    let likely = |n: &usize| (1..=1 << 20).contains(n);
    let bias = w.shape("bias").filter(|shape| shape.len() == 1);
    let said = bias.or(w.shape("weight")).and_then(<[usize]>::first).copied();
    said.filter(likely).unwrap_or(x.channels())
}

/// 32 groups, as everywhere in latent diffusion.
pub fn group_norm(x: &Tensor, w: &Weights, eps: f32) -> Result<Tensor> {
    let channels = x.channels();
    let (weight, bias) = (w.shaped("weight", &[channels]), w.shaped("bias", &[channels]));
    anyhow::ensure!(channels.is_multiple_of(32), w.wrong("weight", "a multiple of 32 channels"));
    Ok(x.group_norm(32, &weight, &bias, eps))
}

pub fn layer_norm(x: &Tensor, w: &Weights) -> Tensor {
    let shape = [x.channels()];
    x.layer_norm(&w.shaped("weight", &shape), &w.shaped("bias", &shape), 1e-5)
}

/// The sum of what the block at `w` was given and what it made of it; `b` may be one row for every
/// picture.
pub fn add(a: &Tensor, b: &Tensor, w: &Weights) -> Result<Tensor> {
    let (has, wants) = (b.channels(), a.channels());
    anyhow::ensure!(has == wants, "{} makes {has} channels, expected {wants}", w.place());
    Ok(a.add(b))
}

/// What the network at `w` makes must have this shape: a file may have levels too many or too few.
pub fn expect_shape(x: &Tensor, shape: &[usize], w: &Weights) -> Result<()> {
    let made = x.shape();
    anyhow::ensure!(made == shape, "{} the network makes {made:?}, expected {shape:?}", w.place());
    Ok(())
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

/// An MLP whose inner half is gated by the other (Shazeer 2020, "GLU Variants Improve Transformer").
pub fn feed_forward(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let h = linear(x, &w.at("net.0.proj"));
    anyhow::ensure!(h.channels().is_multiple_of(2), w.wrong("net.0.proj.weight", "two halves"));
    Ok(linear(&h.geglu(), &w.at("net.2")))
}

/// How many blocks `name.0`, `name.1`, ... there are, counting those of which every tensor is missing
/// if there are later ones.
pub fn count(w: &Weights, name: &str) -> usize {
    let below = w.at(name);
    let keys = below.keys();
    let number = |key: &&str| key.split('.').next()?.parse::<usize>().ok();
    let last = keys.iter().filter_map(number).filter(|n| *n < keys.len()).max();
    last.map_or(0, |last| last + 1)
}
