//! The UNet of latent diffusion (Rombach et al. 2022; the blocks are Ho et al. 2020 and Dhariwal
//! and Nichol 2021): which blocks there are, and their sizes, are read from the checkpoint's keys.

use crate::{
    control::{Controlled, Residuals},
    gligen::{Gligen, Grounding},
    hypernetwork::{Hypernetwork, Part},
    layers::{
        add, attention, conv2d, count, expect_shape, feed_forward, group_norm, layer_norm, linear,
        project,
    },
    networks::{Batched, Networks, Way},
    tweaks::{HyperTile, Random, TokenMerging, Tweaks, nearest, resampled},
};
use std::{
    cell::{Cell, RefCell},
    fmt::Display,
};
use tensor::{Conv, Device, Merging, Network, Program, Result, Tape, Tensor, Weights};

/// A noise predictor. Cheap to clone.
#[derive(Clone)]
pub struct Unet {
    /// At `model.diffusion_model.`
    pub(crate) weights: Weights,
    heads: Heads,
    pub in_channels: usize,
    /// Of the vector that it reads beside the time step; 0 if there is none.
    pub label_channels: usize,
    model_channels: usize,
    pub context_channels: usize,
    tweaks: Tweaks,
    networks: Networks<Form>,
}

/// How attention shares its channels out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Among so many heads everywhere.
    Count(usize),
    /// Among as many heads as get so many channels each.
    Channels(usize),
}

impl Heads {
    pub(crate) fn of(self, channels: usize) -> usize {
        match self {
            Self::Count(heads) => heads,
            Self::Channels(each) => (channels / each).max(1),
        }
    }
}

/// How large a question is: part of what a recording depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub batch: usize,
    /// In latent pixels.
    pub height: usize,
    pub width: usize,
    pub tokens: usize,
}

impl Batched for Size {
    fn batch(&self) -> usize {
        self.batch
    }
    fn with_batch(&self, batch: usize) -> Self {
        Self { batch, ..*self }
    }
}

impl Batched for Form {
    fn batch(&self) -> usize {
        self.size.batch
    }
    fn with_batch(&self, batch: usize) -> Self {
        Self { size: self.size.with_batch(batch), ..self.clone() }
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { batch, height, width, tokens } = self;
        write!(f, "{width}x{height}, batch {batch}, {tokens} tokens")
    }
}

/// One batch of questions to a UNet.
#[derive(Default)]
pub struct Question<'a> {
    /// `[B, C, H, W]`, scaled to unit variance; `C` counts the extra channels of inpainting models.
    pub x: &'a [f32],
    /// `[B]`, 0 to 999.
    pub timesteps: &'a [f32],
    /// `[B, tokens, context_channels]`
    pub context: &'a [f32],
    /// `[B, label_channels]`; empty means zeros.
    pub label: &'a [f32],
    pub size: Size,
    pub control: Option<&'a Residuals>,
    pub mode: Mode,
    /// Chooses where the tweaks leave something to chance; without it the first is chosen.
    pub random: Option<&'a Random<'a>>,
    pub grounding: Option<Grounding<'a>>,
}

/// What a recording depends on.
#[derive(Clone, Default, PartialEq)]
struct Form {
    size: Size,
    controlled: Controlled,
    mode: Mode,
    grounding: Option<Gligen>,
}

/// What is different in one question than in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// In the middle every place attends to itself only.
    pub perturbed: bool,
    /// The answer tells what the middle looked at.
    pub watched: bool,
    /// The picture is made smaller inside, as the tweaks say.
    pub shrunk: bool,
}

/// What a UNet says.
pub struct Answer {
    /// `[B, 4, H, W]`: the noise, or the velocity, as the model was trained.
    pub noise: Vec<f32>,
    pub looked_at: Option<LookedAt>,
}

/// How much each place in the middle was looked at by all places, 1 on average: `[B, height, width]`.
pub struct LookedAt {
    pub weights: Vec<f32>,
    pub height: usize,
    pub width: usize,
}

/// Those of the latents of every family with this network.
const OUT_CHANNELS: usize = 4;
/// The first layer of what reads a vector beside the time step.
const LABEL_IN: &str = "label_emb.0.0.weight";
const DOWN: Conv = Conv { stride: 2, pad: [1; 4], up2: false };

impl Unet {
    /// `heads` cannot be told from shapes: it stands in the family's row.
    pub fn load(weights: Weights, heads: Heads) -> Result<Self> {
        let conv_in = weights.ranked("input_blocks.0.0.weight", 4)?;
        let keys = weights.keys();
        let to_k = keys.iter().find(|k| k.ends_with("attn2.to_k.weight")).map(|k| (*k).to_owned());
        let to_k =
            to_k.ok_or_else(|| anyhow::anyhow!("{}: the UNet reads no text", weights.file()))?;
        let label_channels = match weights.has("label_emb") {
            true => weights.ranked(LABEL_IN, 2)?.shape()[1],
            false => 0,
        };
        let this = Self {
            heads,
            in_channels: conv_in.shape()[1],
            label_channels,
            model_channels: conv_in.shape()[0],
            context_channels: weights.ranked(&to_k, 2)?.shape()[1],
            tweaks: Tweaks::default(),
            networks: Networks::default(),
            weights,
        };
        // Every key is asked for once, so that a file with holes is refused before anything runs.
        let size = Size { batch: 1, height: 8, width: 8, tokens: 77 };
        let recorded = this.record(&Form { size, ..Form::default() });
        this.weights.verdict(recorded)?;
        Ok(this)
    }

    /// The same network with other weights of the same shapes.
    pub(crate) fn reweighted(&self, weights: Weights) -> Self {
        Self { weights, networks: Networks::default(), ..self.clone() }
    }

    /// The same network, computing another way.
    #[must_use]
    pub fn tweaked(&self, change: impl FnOnce(&mut Tweaks)) -> Self {
        let mut tweaked = self.reweighted(self.weights.clone());
        change(&mut tweaked.tweaks);
        tweaked
    }

    /// Predicts what is to be taken away, for every row of a batch.
    pub fn predict(&self, device: &Device, question: &Question) -> Result<Answer> {
        let Size { batch, height, width, .. } = question.size;
        let plane = height * width;
        let x = channels_last(question.x, [batch, self.in_channels, plane]);
        let time: Vec<f32> = question.timesteps.iter().flat_map(|t| self.sinusoid(*t)).collect();
        let mut inputs = vec![x.as_slice(), &time, question.context];
        let none = vec![0.0; batch * self.label_channels];
        match question.label {
            _ if self.label_channels == 0 => {}
            [] => inputs.push(&none),
            label => inputs.push(label),
        }
        let objects = question.grounding.map(|grounding| grounding.objects.repeat(batch));
        inputs.extend(objects.as_deref());
        let mut controlled = Controlled::default();
        if let Some(residuals) = question.control {
            let blocks = count(&self.weights, "input_blocks");
            controlled = residuals.places(blocks);
            inputs.extend(residuals.given(blocks));
        }
        let Question { size, mode, .. } = *question;
        let grounding = question.grounding.map(|grounding| grounding.gligen.clone());
        let form = Form { size, controlled, mode, grounding };
        let program = |form: Form| self.record(&form);
        let run = |network: &mut Network, inputs: &[&[f32]]| run(network, question, inputs);
        let y =
            self.networks.run_by(&Way { device, program: &program, run: &run }, &form, &inputs)?;
        let channels = y[0].len() / (batch * plane);
        let looked_at = mode.watched.then(|| self.looked_at(&y[1], &y[2], question.size));
        Ok(Answer { noise: channels_first(&y[0], [batch, channels, plane]), looked_at })
    }

    /// From the queries and keys of the middle.
    fn looked_at(&self, q: &[f32], k: &[f32], size: Size) -> LookedAt {
        let keys = self.weights.keys();
        let is_halving =
            |key: &&&str| key.starts_with("input_blocks.") && key.ends_with(".0.op.weight");
        let halvings = keys.iter().filter(is_halving).count();
        let halved = |n: usize| (0..halvings).fold(n, |n, _| n.div_ceil(2));
        let (height, width) = (halved(size.height), halved(size.width));
        let entry = q.len() / size.batch;
        let entries = q.chunks_exact(entry).zip(k.chunks_exact(entry));
        let looked = |(q, k)| looked_at(q, k, height * width, self.heads);
        LookedAt { weights: entries.flat_map(looked).collect(), height, width }
    }

    /// What one call takes, without running it.
    pub fn program(&self, size: Size) -> Result<Program> {
        Ok(self.record(&Form { size, ..Form::default() })?.folded())
    }

    /// The timestep as the network reads it.
    pub(crate) fn sinusoid(&self, t: f32) -> Vec<f32> {
        sinusoid(t, self.model_channels)
    }

    fn record(&self, form: &Form) -> Result<Program> {
        let (w, &Form { size, controlled, mode, .. }) = (&self.weights, form);
        let tape = Tape::named(format!("UNet {size}"));
        let x = tape.input("x", &[size.batch, size.height, size.width, self.in_channels]);
        let time = tape.input("time", &[size.batch, self.model_channels]);
        let context =
            tape.steady_input("context", &[size.batch, size.tokens, self.context_channels]);
        let label = (self.label_channels > 0)
            .then(|| tape.steady_input("label", &[size.batch, self.label_channels]));
        let mut blocks = Blocks::new(self.heads, &time, label.as_ref(), context, w)?;
        blocks.mode = mode;
        let whole = [size.height, size.width];
        blocks.tiles = self.tweaks.tiles.map(|tiles| (tiles, whole));
        blocks.hypernetworks = self.tweaks.hypernetworks.clone();
        let grounding = form.grounding.as_ref();
        blocks.grounding = grounding.map(|gligen| (gligen.clone(), gligen.read(&tape, size.batch)));
        blocks.merging = self.tweaks.merging.map(|merging| (merging, tape.clone(), whole));
        let shrink = self.tweaks.shrink.filter(|_| mode.shrunk);
        let control = |h: &Tensor, name: &str, on: bool| {
            if on { h.add(&tape.input(name, h.shape())) } else { h.clone() }
        };

        let mut h = x;
        let mut skips = Vec::new();
        for i in 0..count(w, "input_blocks") {
            let here = shrink.filter(|shrink| shrink.block == i);
            h = blocks.input(&h, w, i)?;
            h = control(&h, "control of an input", controlled.input & 1 << i != 0);
            h = here.filter(|s| !s.after_skip).map_or(Ok(h.clone()), |s| s.smaller(&h))?;
            skips.push(control(&h, "control of a skip", controlled.skips & 1 << i != 0));
            h = here.filter(|s| s.after_skip).map_or(Ok(h.clone()), |s| s.smaller(&h))?;
        }
        h = blocks.middle(&h, &w.at("middle_block"))?;
        h = control(&h, "control of the middle", controlled.middle);
        for i in 0..count(w, "output_blocks") {
            let w = w.at("output_blocks").at(i);
            let skip = skips.pop();
            let mut skip = skip
                .ok_or_else(|| anyhow::anyhow!("{} reads what no input block makes", w.place()))?;
            if let Some(freeu) = &self.tweaks.freeu {
                [h, skip] = freeu.apply(&h, &skip, self.model_channels)?;
            }
            if let Some(shrink) = shrink.filter(|_| h.dim(1) != skip.dim(1)) {
                h = resampled(&h, [skip.dim(1), skip.dim(2)], shrink.up)?;
            }
            anyhow::ensure!(
                skip.shape()[..3] == h.shape()[..3],
                "{} reads what no input block makes",
                w.place()
            );
            h = blocks.output(&h.concat(&[&skip], 3), &w, skips.last())?;
        }
        h = group_norm(&h, &w.at("out.0"), 1e-5)?.silu();
        h = conv2d(&h, &w.at("out.2"), Conv::same(3));
        expect_shape(&h, &[size.batch, size.height, size.width, OUT_CHANNELS], w)?;
        let watched = blocks.watched.take();
        let outputs: Vec<&Tensor> = std::iter::once(&h).chain(watched.iter().flatten()).collect();
        Ok(tape.finish(&outputs))
    }
}

/// With what is drawn for this call in the places where the recording asks for it.
fn run(network: &mut Network, question: &Question, given: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
    let Size { height, width, .. } = question.size;
    let asked = network.program().inputs.iter().map(|(name, _)| name == TokenMerging::INPUT);
    let asked: Vec<bool> = asked.collect();
    let drawn = asked.iter().filter(|asked| **asked);
    let drawn = drawn.map(|_| TokenMerging::destinations([height, width], question.random));
    let drawn: Vec<Vec<f32>> = drawn.collect();
    let (mut drawn, mut given) = (drawn.iter().map(Vec::as_slice), given.iter().copied());
    let next = |asked| if asked { drawn.next() } else { given.next() };
    network.run(&asked.into_iter().filter_map(next).collect::<Vec<_>>())
}

/// The sum over all queries of each key's share, as the mean of the heads.
fn looked_at(q: &[f32], k: &[f32], tokens: usize, heads: Heads) -> Vec<f32> {
    let channels = q.len() / tokens;
    let heads = heads.of(channels);
    let d = channels / heads;
    let scale = 1.0 / (d as f32).sqrt();
    let mut looked = vec![0.0; tokens];
    for head in (0..heads).map(|head| head * d..(head + 1) * d) {
        for q in q.chunks_exact(channels) {
            let dot = |k: &[f32]| {
                q[head.clone()].iter().zip(&k[head.clone()]).map(|(a, b)| a * b).sum::<f32>()
                    * scale
            };
            let scores: Vec<f32> = k.chunks_exact(channels).map(dot).collect();
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shares: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
            let total = shares.iter().sum::<f32>() * heads as f32;
            looked.iter_mut().zip(shares).for_each(|(looked, share)| *looked += share / total);
        }
    }
    looked
}

/// Vaswani et al. 2017, section 3.5: cosines, then sines, of falling frequency.
pub fn sinusoid(t: f32, channels: usize) -> Vec<f32> {
    let half = channels / 2;
    let frequency = |i: usize| (-(10_000f32.ln()) * i as f32 / half as f32).exp();
    let angles = (0..half).map(|i| t * frequency(i));
    angles.clone().map(f32::cos).chain(angles.map(f32::sin)).collect()
}

/// What all blocks of a UNet share.
pub(crate) struct Blocks {
    heads: Heads,
    /// `[B, 4 model_channels]`
    emb: Tensor,
    context: Tensor,
    mode: Mode,
    /// With the height and width of the latent.
    tiles: Option<(HyperTile, [usize; 2])>,
    /// How many blocks have been tiled.
    tiled: Cell<usize>,
    /// With where to ask for the tokens that others are merged into, and the size of the latent.
    merging: Option<(TokenMerging, Tape, [usize; 2])>,
    /// With the objects.
    grounding: Option<(Gligen, Tensor)>,
    hypernetworks: Vec<Hypernetwork>,
    /// How many spatial transformers have been recorded.
    transformers: Cell<usize>,
    /// Queries and keys of the middle, if they are wanted.
    watched: RefCell<Option<[Tensor; 2]>>,
}

impl Blocks {
    /// `time` as sinusoids; every block begins with the SiLU of its embedding: done once for all.
    pub fn new(
        heads: Heads,
        time: &Tensor,
        label: Option<&Tensor>,
        context: Tensor,
        w: &Weights,
    ) -> Result<Self> {
        let embedded = |x: &Tensor, [first, second]: [&str; 2]| {
            linear(&linear(x, &w.at(first)).silu(), &w.at(second))
        };
        let mut emb = embedded(time, ["time_embed.0", "time_embed.2"]);
        if let Some(label) = label {
            emb = add(&emb, &embedded(label, ["label_emb.0.0", "label_emb.0.2"]), w)?;
        }
        let emb = emb.silu();
        let (mode, tiles) = (Mode::default(), None);
        Ok(Self {
            heads,
            emb,
            context,
            mode,
            tiles,
            tiled: Cell::default(),
            merging: None,
            grounding: None,
            hypernetworks: Vec::new(),
            transformers: Cell::default(),
            watched: RefCell::default(),
        })
    }

    /// Input block `i` of the network at `w`; the first is a convolution alone.
    pub fn input(&self, x: &Tensor, w: &Weights, i: usize) -> Result<Tensor> {
        let w = &w.at("input_blocks").at(i);
        if w.has("0.op") {
            return Ok(conv2d(x, &w.at("0.op"), DOWN));
        }
        if i == 0 {
            return Ok(conv2d(x, &w.at(0), Conv::same(3)));
        }
        let h = self.res(x, &w.at(0))?;
        if w.has("1") { self.spatial_transformer(&h, &w.at(1)) } else { Ok(h) }
    }

    pub fn middle(&self, x: &Tensor, w: &Weights) -> Result<Tensor> {
        let h = self.res(x, &w.at(0))?;
        let h = self.transformers(&h, &w.at(1), true)?;
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
        self.transformers(x, w, false)
    }

    fn transformers(&self, x: &Tensor, w: &Weights, middle: bool) -> Result<Tensor> {
        let &[b, height, width, c] = x.shape() else {
            unreachable!("a picture has four dimensions")
        };
        let h = group_norm(x, &w.at("norm"), 1e-6)?.reshape(&[b, height * width, c]);
        let mut h = linear(&h, &w.at("proj_in"));
        for i in 0..count(w, "transformer_blocks") {
            h = self.transformer(
                &h,
                &w.at("transformer_blocks").at(i),
                Place { middle, size: [height, width], number: self.transformers.get() },
            )?;
        }
        self.transformers.update(|number| number + 1);
        let h = linear(&h, &w.at("proj_out"));
        Ok(add(&x.reshape(&[b, height * width, c]), &h, w)?.reshape(x.shape()))
    }

    /// Attention to itself, attention to the text, and a gated MLP, each added to its input. With what
    /// shall be where, attention to that comes after the first.
    fn transformer(&self, x: &Tensor, w: &Weights, place: Place) -> Result<Tensor> {
        let h = layer_norm(x, &w.at("norm1"));
        let x = add(x, &self.self_attention(&h, &w.at("attn1"), place)?, w)?;
        let x = match &self.grounding {
            Some((gligen, objects)) => gligen.fuse(&x, objects, place.number)?,
            None => x,
        };
        let h = layer_norm(&x, &w.at("norm2"));
        let x = add(&x, &self.attention(&h, &self.context, &w.at("attn2"))?, w)?;
        let h = feed_forward(&layer_norm(&x, &w.at("norm3")), &w.at("ff"))?;
        add(&x, &h, w)
    }

    fn self_attention(&self, x: &Tensor, w: &Weights, place: Place) -> Result<Tensor> {
        if place.middle && self.mode.perturbed {
            return Ok(linear(&project(x, &w.at("to_v")), &w.at("to_out.0")));
        }
        if place.middle && self.mode.watched && self.watched.borrow().is_none() {
            *self.watched.borrow_mut() = Some(["to_q", "to_k"].map(|name| project(x, &w.at(name))));
        }
        let tiling = self.tiles.and_then(|(tiles, whole)| {
            self.tiled.set(self.tiled.get() + 1);
            tiles.tiling(whole, place.size, self.tiled.get())
        });
        if let Some(tiling) = tiling {
            return Ok(tiling.joined(&self.attention(&tiling.cut(x), &tiling.rows(x), w)?));
        }
        match self.merging(x) {
            Some(merging) => Ok(merging.unmerge(&self.attention(&merging.merge(x), x, w)?)),
            None => self.attention(x, x, w),
        }
    }

    /// Which queries go together, where the picture has its full size.
    fn merging(&self, x: &Tensor) -> Option<Merging> {
        let (merging, tape, whole) = self.merging.as_ref()?;
        merging.record(tape, x, *whole)
    }

    fn attention(&self, x: &Tensor, context: &Tensor, w: &Weights) -> Result<Tensor> {
        let q = project(x, &w.at("to_q"));
        let of = |part: Part| {
            let mut all = self.hypernetworks.iter();
            all.try_fold(context.clone(), |context, network| network.change(&context, part))
        };
        let k = project(&of(Part::Keys)?, &w.at("to_k"));
        let v = project(&of(Part::Values)?, &w.at("to_v"));
        let heads = self.heads.of(q.channels());
        Ok(linear(&attention([&q, &k, &v], heads, false, w)?, &w.at("to_out.0")))
    }
}

/// Where a transformer block is.
#[derive(Clone, Copy)]
struct Place {
    middle: bool,
    /// Height and width.
    size: [usize; 2],
    /// Of the spatial transformer, counted through the network.
    number: usize,
}

/// Nearest neighbour to twice the size, or to the size of `like`, which is mostly that or a pixel less.
fn upsample_to(x: &Tensor, like: Option<&Tensor>) -> Tensor {
    let up = x.upsample2x();
    let Some(like) = like else { return up };
    let near =
        |axis: usize| up.dim(axis).abs_diff(like.dim(axis)) < 2 && like.dim(axis) <= up.dim(axis);
    if !near(1) || !near(2) {
        return resampled(x, [like.dim(1), like.dim(2)], nearest).unwrap_or(up);
    }
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

#[cfg(test)]
mod tests;
