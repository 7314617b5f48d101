//! The UNet of latent diffusion (Rombach et al. 2022; the blocks are Ho et al. 2020 and Dhariwal
//! and Nichol 2021): which blocks there are, and their sizes, are read from the checkpoint's keys.

use crate::{
    control::{Controlled, Residuals},
    layers::{
        add, attention, conv2d, count, expect_shape, group_norm, layer_norm, linear, project,
    },
    networks::Networks,
};
use std::fmt::Display;
use tensor::{Conv, Device, Program, Result, Tape, Tensor, Weights};

/// A noise predictor. Cheap to clone.
#[derive(Clone)]
pub struct Unet {
    /// At `model.diffusion_model.`
    pub(crate) weights: Weights,
    heads: usize,
    pub in_channels: usize,
    model_channels: usize,
    pub context_channels: usize,
    networks: Networks<(Size, Controlled)>,
}

/// How large a question is: part of what a recording depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub batch: usize,
    /// In latent pixels.
    pub height: usize,
    pub width: usize,
    pub tokens: usize,
}

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { batch, height, width, tokens } = self;
        write!(f, "{width}x{height}, batch {batch}, {tokens} tokens")
    }
}

/// One batch of questions to a UNet.
pub struct Question<'a> {
    /// `[B, C, H, W]`, scaled to unit variance; `C` counts the extra channels of inpainting models.
    pub x: &'a [f32],
    /// `[B]`, 0 to 999.
    pub timesteps: &'a [f32],
    /// `[B, tokens, context_channels]`
    pub context: &'a [f32],
    pub size: Size,
    pub control: Option<&'a Residuals>,
}

/// Those of the latents of every family with this network.
const OUT_CHANNELS: usize = 4;
const DOWN: Conv = Conv { stride: 2, pad: [1; 4], up2: false };

impl Unet {
    /// `heads` cannot be told from shapes: it stands in the family's row.
    pub fn load(weights: Weights, heads: usize) -> Result<Self> {
        let conv_in = weights.ranked("input_blocks.0.0.weight", 4)?;
        let keys = weights.keys();
        let to_k = keys.iter().find(|k| k.ends_with("attn2.to_k.weight")).map(|k| (*k).to_owned());
        let to_k =
            to_k.ok_or_else(|| anyhow::anyhow!("{}: the UNet reads no text", weights.file()))?;
        let this = Self {
            heads,
            in_channels: conv_in.shape()[1],
            model_channels: conv_in.shape()[0],
            context_channels: weights.ranked(&to_k, 2)?.shape()[1],
            networks: Networks::default(),
            weights,
        };
        // Every key is asked for once, so that a file with holes is refused before anything runs.
        let size = Size { batch: 1, height: 8, width: 8, tokens: 77 };
        let recorded = this.record(size, Controlled::default());
        this.weights.verdict(recorded)?;
        Ok(this)
    }

    /// The same network with other weights of the same shapes.
    pub(crate) fn reweighted(&self, weights: Weights) -> Self {
        Self { weights, networks: Networks::default(), ..self.clone() }
    }

    /// Predicts `[B, 4, H, W]`: the noise, or the velocity, as the model was trained.
    pub fn predict(&self, device: &Device, question: &Question) -> Result<Vec<f32>> {
        let Size { batch, height, width, .. } = question.size;
        let plane = height * width;
        let x = channels_last(question.x, [batch, self.in_channels, plane]);
        let time: Vec<f32> = question.timesteps.iter().flat_map(|t| self.sinusoid(*t)).collect();
        let mut inputs = vec![x.as_slice(), &time, question.context];
        let mut controlled = Controlled::default();
        if let Some(residuals) = question.control {
            let blocks = count(&self.weights, "input_blocks");
            controlled = residuals.places(blocks);
            inputs.extend(residuals.given(blocks));
        }
        let program = || self.record(question.size, controlled);
        let y = self.networks.run(device, (question.size, controlled), program, &inputs)?;
        let channels = y[0].len() / (batch * plane);
        Ok(channels_first(&y[0], [batch, channels, plane]))
    }

    /// What one call takes, without running it.
    pub fn program(&self, size: Size) -> Result<Program> {
        Ok(self.record(size, Controlled::default())?.folded())
    }

    /// The timestep as the network reads it.
    pub(crate) fn sinusoid(&self, t: f32) -> Vec<f32> {
        sinusoid(t, self.model_channels)
    }

    fn record(&self, size: Size, controlled: Controlled) -> Result<Program> {
        let w = &self.weights;
        let tape = Tape::named(format!("UNet {size}"));
        let x = tape.input("x", &[size.batch, size.height, size.width, self.in_channels]);
        let time = tape.input("time", &[size.batch, self.model_channels]);
        let context = tape.input("context", &[size.batch, size.tokens, self.context_channels]);
        let blocks = Blocks::new(self.heads, &time, context, w);
        let control = |h: &Tensor, name: &str, on: bool| {
            if on { h.add(&tape.input(name, h.shape())) } else { h.clone() }
        };

        let mut h = x;
        let mut skips = Vec::new();
        for i in 0..count(w, "input_blocks") {
            h = blocks.input(&h, &w.at("input_blocks").at(i))?;
            h = control(&h, "control of an input", controlled.input & 1 << i != 0);
            skips.push(control(&h, "control of a skip", controlled.skips & 1 << i != 0));
        }
        h = blocks.middle(&h, &w.at("middle_block"))?;
        h = control(&h, "control of the middle", controlled.middle);
        for i in 0..count(w, "output_blocks") {
            let w = w.at("output_blocks").at(i);
            let skip = skips.pop().filter(|skip| skip.shape()[..3] == h.shape()[..3]);
            let skip = skip
                .ok_or_else(|| anyhow::anyhow!("{} reads what no input block makes", w.place()))?;
            h = blocks.output(&h.concat(&[&skip], 3), &w, skips.last())?;
        }
        h = group_norm(&h, &w.at("out.0"), 1e-5)?.silu();
        h = conv2d(&h, &w.at("out.2"), Conv::same(3));
        expect_shape(&h, &[size.batch, size.height, size.width, OUT_CHANNELS], w)?;
        Ok(tape.finish(&[&h]))
    }
}

/// Vaswani et al. 2017, section 3.5: cosines, then sines, of falling frequency.
pub(crate) fn sinusoid(t: f32, channels: usize) -> Vec<f32> {
    let half = channels / 2;
    let frequency = |i: usize| (-(10_000f32.ln()) * i as f32 / half as f32).exp();
    let angles = (0..half).map(|i| t * frequency(i));
    angles.clone().map(f32::cos).chain(angles.map(f32::sin)).collect()
}

/// What all blocks of a UNet share.
pub(crate) struct Blocks {
    heads: usize,
    /// `[B, 4 model_channels]`
    emb: Tensor,
    context: Tensor,
}

impl Blocks {
    /// `time` as sinusoids; every block begins with the SiLU of its embedding: done once for all.
    pub fn new(heads: usize, time: &Tensor, context: Tensor, w: &Weights) -> Self {
        let emb = linear(time, &w.at("time_embed.0")).silu();
        let emb = linear(&emb, &w.at("time_embed.2")).silu();
        Self { heads, emb, context }
    }

    /// The first input block is a convolution alone.
    pub fn input(&self, x: &Tensor, w: &Weights) -> Result<Tensor> {
        if w.has("0.op") {
            return Ok(conv2d(x, &w.at("0.op"), DOWN));
        }
        if !w.has("0.in_layers") {
            return Ok(conv2d(x, &w.at(0), Conv::same(3)));
        }
        let h = self.res(x, &w.at(0))?;
        if w.has("1") { self.spatial_transformer(&h, &w.at(1)) } else { Ok(h) }
    }

    pub fn middle(&self, x: &Tensor, w: &Weights) -> Result<Tensor> {
        let h = self.res(x, &w.at(0))?;
        let h = self.spatial_transformer(&h, &w.at(1))?;
        self.res(&h, &w.at(2))
    }

    /// `next` is the skip that the following block will read: upsampling must give its size.
    fn output(&self, x: &Tensor, w: &Weights, next: Option<&Tensor>) -> Result<Tensor> {
        let mut h = self.res(x, &w.at(0))?;
        for part in ["1", "2"] {
            if w.has(&format!("{part}.transformer_blocks")) {
                h = self.spatial_transformer(&h, &w.at(part))?;
            } else if w.has(&format!("{part}.conv")) {
                h = conv2d(&upsample_to(&h, next), &w.at(part).at("conv"), Conv::same(3));
            }
        }
        Ok(h)
    }

    /// Two convolutions with the time step added between them.
    fn res(&self, x: &Tensor, w: &Weights) -> Result<Tensor> {
        let h = group_norm(x, &w.at("in_layers.0"), 1e-5)?.silu();
        let h = conv2d(&h, &w.at("in_layers.2"), Conv::same(3));
        let h = add(&h, &linear(&self.emb, &w.at("emb_layers.1")), &w.at("emb_layers.1"))?;
        let h = group_norm(&h, &w.at("out_layers.0"), 1e-5)?.silu();
        let h = conv2d(&h, &w.at("out_layers.3"), Conv::same(3));
        if w.has("skip_connection") {
            return add(&linear(x, &w.at("skip_connection")), &h, w);
        }
        add(x, &h, w)
    }

    /// Transformer blocks over the pixels as tokens. `proj_in` and `proj_out` are stored as matrices
    /// or as 1x1 kernels; with channels last both are the same product.
    fn spatial_transformer(&self, x: &Tensor, w: &Weights) -> Result<Tensor> {
        let &[b, height, width, c] = x.shape() else {
            unreachable!("a picture has four dimensions")
        };
        let h = group_norm(x, &w.at("norm"), 1e-6)?.reshape(&[b, height * width, c]);
        let mut h = linear(&h, &w.at("proj_in"));
        for i in 0..count(w, "transformer_blocks") {
            h = self.transformer(&h, &w.at("transformer_blocks").at(i))?;
        }
        let h = linear(&h, &w.at("proj_out"));
        add(x, &h.reshape(&[b, height, width, h.channels()]), w)
    }

    /// Attention to itself, attention to the text, and a gated MLP, each added to its input.
    fn transformer(&self, x: &Tensor, w: &Weights) -> Result<Tensor> {
        let h = layer_norm(x, &w.at("norm1"));
        let x = add(x, &self.attention(&h, &h, &w.at("attn1"))?, w)?;
        let h = layer_norm(&x, &w.at("norm2"));
        let x = add(&x, &self.attention(&h, &self.context, &w.at("attn2"))?, w)?;
        let h = layer_norm(&x, &w.at("norm3"));
        let h = linear(&h, &w.at("ff.net.0.proj"));
        anyhow::ensure!(
            h.channels().is_multiple_of(2),
            w.wrong("ff.net.0.proj.weight", "two halves")
        );
        add(&x, &linear(&h.geglu(), &w.at("ff.net.2")), w)
    }

    fn attention(&self, x: &Tensor, context: &Tensor, w: &Weights) -> Result<Tensor> {
        let q = project(x, &w.at("to_q"));
        let (k, v) = (project(context, &w.at("to_k")), project(context, &w.at("to_v")));
        Ok(linear(&attention([&q, &k, &v], self.heads, false, w)?, &w.at("to_out.0")))
    }
}

/// Nearest neighbour to twice the size, or to the size of `like`, which may be one pixel less.
fn upsample_to(x: &Tensor, like: Option<&Tensor>) -> Tensor {
    let up = x.upsample2x();
    let Some(like) = like else { return up };
    let cut = |t: Tensor, axis: usize| {
        if t.dim(axis) <= like.dim(axis) { t } else { t.slice(axis, 0, like.dim(axis)) }
    };
    cut(cut(up, 1), 2)
}

/// `[B, C, P]` to `[B, P, C]`.
pub(crate) fn channels_last(x: &[f32], [b, c, p]: [usize; 3]) -> Vec<f32> {
    let mut y = vec![0.0; b * c * p];
    for (x, y) in x.chunks_exact(c * p).zip(y.chunks_exact_mut(c * p)) {
        for i in 0..c {
            for j in 0..p {
                y[j * c + i] = x[i * p + j];
            }
        }
    }
    y
}

/// `[B, P, C]` to `[B, C, P]`.
pub(crate) fn channels_first(x: &[f32], [b, c, p]: [usize; 3]) -> Vec<f32> {
    channels_last(x, [b, p, c])
}
