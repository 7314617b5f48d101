//! CLIP's picture encoder (Radford et al. 2021; the network is that of Dosovitskiy et al. 2021, "ViT"):
//! a transformer over squares of a picture.

use crate::{
    clip::{self, Gelu},
    layers::{count, layer_norm, project},
    networks::Networks,
    openclip,
};
use tensor::{Device, Program, Result, Tape, Weights};

/// A picture encoder. Cheap to clone.
#[derive(Clone)]
pub struct ClipVision {
    /// At the place that has `vision_model.` and `visual_projection.`
    weights: Weights,
    heads: usize,
    gelu: Gelu,
    channels: usize,
    layers: usize,
    /// Pixels of a square, and of the picture, along each side.
    patch: usize,
    pub size: usize,
    networks: Networks<usize>,
}

/// What a picture encoder sees in pictures.
#[derive(Clone, Debug)]
pub struct Seen {
    pub batch: usize,
    pub tokens: usize,
    pub channels: usize,
    /// `[batch, tokens, channels]`, after the last layer.
    pub last_hidden: Vec<f32>,
    /// `[batch, tokens, channels]`, after the layer before.
    pub penultimate: Vec<f32>,
    /// `[batch, embed_channels]`: the pictures as CLIP compares them with texts.
    pub embeds: Vec<f32>,
}

/// Widths of OpenCLIP's ViT-H and ViT-bigG, whose heads are wider than 64 channels, and of ViT-L.
const WIDTHS_16_HEADS: [usize; 2] = [1280, 1664];
const WIDTH_L: usize = 1024;
/// More squares along a side than any encoder has: a guard against damaged files.
const MAX_SIDE: usize = 256;

impl ClipVision {
    /// Where a picture encoder is in a file of its own: at the top, or where OpenCLIP keeps it.
    pub fn inside(file: &Weights) -> Weights {
        if file.has("visual") { file.at("visual") } else { file.clone() }
    }

    /// Where an unCLIP checkpoint keeps its picture encoder, if it has one.
    pub fn inside_checkpoint(file: &Weights) -> Option<Weights> {
        let place = "embedder.model.visual";
        file.has(place).then(|| file.at(place))
    }

    /// The picture encoder at a place that has `vision_model.`, or the names of OpenCLIP. Numbers are
    /// rounded to f16, which is how the original keeps it.
    pub fn load(place: &Weights) -> Result<Self> {
        let open = openclip::has_vision(place);
        let weights = if open { openclip::vision(place) } else { place.clone() }.rounded_to_f16();
        let w = weights.at("vision_model");
        let patches = w.ranked("embeddings.patch_embedding.weight", 4)?;
        let &[channels, colours, patch, across] = patches.shape() else {
            unreachable!("it has four dimensions")
        };
        anyhow::ensure!(
            colours == 3 && patch == across && (1..=MAX_SIDE).contains(&patch),
            w.wrong("embeddings.patch_embedding.weight", "squares of three colours")
        );
        let positions = w.ranked("embeddings.position_embedding.weight", 2)?.shape()[0];
        let side = positions.saturating_sub(1).isqrt();
        anyhow::ensure!(
            side * side + 1 == positions && (1..=MAX_SIDE).contains(&side),
            w.wrong("embeddings.position_embedding.weight", "a row for each square, and one more")
        );
        let layers = count(&w, "encoder.layers");
        anyhow::ensure!(layers > 1, "{}: the picture encoder has {layers} layers", w.place());
        // OpenAI's are up to ViT-L; the original takes any ViT-L for OpenAI's.
        let openai = if open { channels == WIDTH_L } else { channels <= WIDTH_L };
        let this = Self {
            heads: heads(channels),
            gelu: if openai { Gelu::Quick } else { Gelu::Exact },
            channels,
            layers,
            patch,
            size: side * patch,
            networks: Networks::default(),
            weights,
        };
        openclip::told(open, this.weights.verdict(this.record(1)))?;
        Ok(this)
    }

    /// Encodes pictures `[batch, size, size, 3]`, each colour of mean 0 and deviation 1.
    pub fn encode(&self, device: &Device, pictures: &[f32], batch: usize) -> Result<Seen> {
        let squares = squares(pictures, self.size, self.patch);
        let w = self.weights.at("vision_model.embeddings");
        let class = w.get("class_embedding")?.to_f32()?;
        let positions = w.get("position_embedding.weight")?.to_f32()?;
        let (first, places) = positions.split_at(self.channels);
        let first: Vec<f32> =
            first.iter().zip(&class).map(|(place, class)| place + class).collect();
        let inputs = [squares.as_slice(), &first.repeat(batch), &places.repeat(batch)];
        let made = self.networks.run(device, batch, |batch| self.record(batch), &inputs)?;
        let [last_hidden, penultimate, embeds] =
            made.try_into().map_err(|_| anyhow::anyhow!("the picture encoder says too little"))?;
        let tokens = 1 + places.len() / self.channels;
        Ok(Seen { batch, tokens, channels: self.channels, last_hidden, penultimate, embeds })
    }

    fn record(&self, batch: usize) -> Result<Program> {
        let w = &self.weights.at("vision_model");
        let tape = Tape::named(format!("picture encoder, batch {batch}"));
        let (channels, squares) = (self.channels, (self.size / self.patch).pow(2));
        let colours = 3 * self.patch * self.patch;
        let x = tape.input("squares", &[batch, squares, colours]);
        let first = tape.input("class", &[batch, 1, channels]);
        let places = tape.input("places", &[batch, squares, channels]);
        w.shaped("embeddings.class_embedding", &[channels]);
        w.shaped("embeddings.position_embedding.weight", &[squares + 1, channels]);
        let kernel = [channels, 3, self.patch, self.patch];
        let kernel = w.shaped("embeddings.patch_embedding.weight", &kernel);
        let h = first.concat(&[&x.linear(&kernel, None).add(&places)], 1);
        let mut h = layer_norm(&h, &w.at("pre_layrnorm"));
        let mut penultimate = h.clone();
        for i in 0..self.layers {
            penultimate = h.clone();
            h = clip::layer(&h, self.heads, false, self.gelu, &w.at("encoder.layers").at(i))?;
        }
        let class = h.slice(1, 0, 1).reshape(&[batch, channels]);
        let class = layer_norm(&class, &w.at("post_layernorm"));
        let embeds = project(&class, &self.weights.at("visual_projection"));
        Ok(tape.finish(&[&h, &penultimate, &embeds]))
    }
}

/// Not in the shapes: 64 channels a head, but for OpenCLIP's larger ones (and miniature ones, that tests
/// are made with).
fn heads(channels: usize) -> usize {
    match channels {
        c if WIDTHS_16_HEADS.contains(&c) => 16,
        c if c < 512 => (c / 16).max(1),
        c => c / 64,
    }
}

/// Squares of pixels as channels, colour by colour: `[B, S, S, 3]` to `[B, (S / n)^2, 3 n n]`.
fn squares(x: &[f32], size: usize, n: usize) -> Vec<f32> {
    let across = size / n;
    let mut y = Vec::with_capacity(x.len());
    for picture in x.chunks_exact(size * size * 3) {
        for place in 0..across * across {
            let (top, left) = (place / across * n, place % across * n);
            for i in 0..3 * n * n {
                let (colour, dy, dx) = (i / (n * n), i / n % n, i % n);
                y.push(picture[((top + dy) * size + left + dx) * 3 + colour]);
            }
        }
    }
    y
}
