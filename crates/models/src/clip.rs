//! CLIP's text encoder (Radford et al. 2021): a causal transformer over token embeddings.

use crate::{
    layers::{add, attention, count, layer_norm, linear},
    networks::{Batched, Networks},
    openclip,
    prompt::{self, CHUNK, Chunks, Embeddings, Token, Weighted},
    tokenizer::{END, START},
};
use tensor::{Device, Program, Result, Tape, Tensor, Weight, Weights};

/// A text encoder with its tokenizer. Cheap to clone.
#[derive(Clone)]
pub struct Clip {
    /// At the place that has `text_model.`
    pub(crate) weights: Weights,
    manner: Manner,
    heads: usize,
    pub channels: usize,
    layers: usize,
    token_embedding: Weight,
    position_embedding: Weight,
    networks: Networks<(usize, usize)>,
}

/// What differs between the text encoders of families and is not in their shapes.
#[derive(Clone, Copy)]
struct Manner {
    gelu: Gelu,
    /// What fills a chunk after its end.
    pad: u32,
    /// The layer that is read, unless told otherwise.
    layer: i64,
}

/// OpenAI's, as Stable Diffusion 1 reads it.
const OPENAI: Manner = Manner { gelu: Gelu::Quick, pad: END, layer: -1 };
/// OpenCLIP's ViT-H, as Stable Diffusion 2 reads it.
const OPEN_CLIP: Manner = Manner { gelu: Gelu::Exact, pad: 0, layer: -2 };
/// The width of ViT-H, by which it is known in the layout that both share, and that of ViT-bigG.
const WIDTH_H: usize = 1024;
const WIDTH_G: usize = 1280;

/// Which of its two forms of GELU a CLIP was trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gelu {
    /// `x / (1 + exp(-1.702 x))`
    Quick,
    Exact,
}

/// Chunks of a prompt, and the layer to stop at.
impl Batched for (usize, usize) {
    fn batch(&self) -> usize {
        self.0
    }
    fn with_batch(&self, batch: usize) -> Self {
        (batch, self.1)
    }
}

/// A prompt as a UNet reads it.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// `[tokens, channels]`; tokens is a multiple of 77.
    pub tokens: Vec<f32>,
    /// The end token of the first chunk, after the last layer, and projected where the file has a
    /// projection.
    pub pooled: Vec<f32>,
}

impl Clip {
    /// The text encoder at a place that has `text_model.`, or OpenCLIP's `transformer.resblocks.`
    ///
    /// `heads` cannot be told from shapes; without it each head has 64 channels, as in every CLIP
    /// (16 in the miniature ones that tests are made with).
    /// Numbers are rounded to f16, which is how the original keeps text encoders.
    pub fn load(place: &Weights, heads: Option<usize>) -> Result<Self> {
        let open = openclip::has_text(place);
        let weights = if open { openclip::text(place) } else { place.clone() }.rounded_to_f16();
        let text = weights.at("text_model");
        let token_embedding = text.ranked("embeddings.token_embedding.weight", 2)?;
        let position_embedding = text.ranked("embeddings.position_embedding.weight", 2)?;
        let channels = token_embedding.shape()[1];
        let positions = position_embedding.shape()[0];
        text.shaped("embeddings.position_embedding.weight", &[positions, channels]);
        let needed = [END as usize + 1, CHUNK];
        let found = [token_embedding.shape()[0], positions];
        anyhow::ensure!(
            found[0] >= needed[0] && found[1] >= needed[1],
            "{}: {found:?} tokens and positions, expected {needed:?}",
            weights.file()
        );
        anyhow::ensure!(
            channels != WIDTH_G,
            "{}: a text encoder of {channels} channels (CLIP-G) is for SDXL, which does not run yet",
            weights.file()
        );
        let layers = count(&text, "encoder.layers");
        anyhow::ensure!(layers > 0, "{}: the text encoder has no layers", weights.file());
        let head = if channels < 512 { 16 } else { 64 };
        let heads = heads.unwrap_or((channels / head).max(1));
        let manner = if open || channels == WIDTH_H { OPEN_CLIP } else { OPENAI };
        let networks = Networks::default();
        let this = Self {
            weights,
            manner,
            heads,
            channels,
            layers,
            token_embedding,
            position_embedding,
            networks,
        };
        this.projection();
        openclip::told(open, this.weights.verdict(this.record(1, layers)))?;
        Ok(this)
    }

    /// The same network with other weights of the same shapes.
    pub(crate) fn reweighted(&self, weights: Weights) -> Result<Self> {
        let text = weights.at("text_model");
        let token_embedding = text.get("embeddings.token_embedding.weight")?;
        let position_embedding = text.get("embeddings.position_embedding.weight")?;
        let networks = Networks::default();
        Ok(Self { weights, token_embedding, position_embedding, networks, ..self.clone() })
    }

    /// The layer that is read, unless a person asks for another.
    pub fn layer(&self) -> i64 {
        self.manner.layer
    }

    /// Whether it is the kind of Stable Diffusion 2.
    pub fn is_open_clip(&self) -> bool {
        self.manner.layer == OPEN_CLIP.layer
    }

    /// What the pooled token is multiplied by, if the file has it.
    fn projection(&self) -> Option<Weight> {
        let w = self.weights.at("text_projection");
        let outputs = *w.shape("weight")?.first()?;
        Some(w.shaped("weight", &[outputs, self.channels]))
    }

    fn projected(&self, pooled: &[f32]) -> Result<Vec<f32>> {
        let Some(projection) = self.projection() else { return Ok(pooled.to_vec()) };
        let rows = projection.to_f32()?;
        let dot = |row: &[f32]| row.iter().zip(pooled).map(|(w, x)| w * x).sum();
        Ok(rows.chunks_exact(self.channels).map(dot).collect())
    }

    /// Encodes a prompt with its weights. `layer` counts from the end: -1 is the last, -2 the one
    /// before ("clip skip 2"). Weights move a token away from what the empty prompt has there:
    /// `z = (z - z_empty) weight + z_empty`.
    pub fn encode(&self, device: &Device, prompt: &Chunks, layer: i64) -> Result<Encoded> {
        let weighted = prompt.chunks.iter().flatten().any(|t| t.weight != 1.0);
        let empty: Vec<Weighted> = self.parse("", &|_| Ok(None))?.chunks.swap_remove(0);
        let (mut tokens, mut pooled) = (Vec::new(), Vec::new());
        // A few chunks at a time: a long prompt shall not need more memory than a short one.
        for chunks in prompt.chunks.chunks(4) {
            let [z, last] = self.hidden(device, chunks, layer)?;
            if pooled.is_empty() {
                let end =
                    chunks[0].iter().position(|t| t.token == Token::Id(END)).unwrap_or(CHUNK - 1);
                pooled = self.projected(&last[end * self.channels..][..self.channels])?;
            }
            tokens.extend(z);
        }
        if weighted {
            let [z_empty, _] = self.hidden(device, &[empty], layer)?;
            let rows = tokens.chunks_exact_mut(self.channels);
            for ((row, token), i) in rows.zip(prompt.chunks.iter().flatten()).zip(0..) {
                let empty = &z_empty[i % CHUNK * self.channels..][..self.channels];
                row.iter_mut().zip(empty).for_each(|(z, e)| *z = (*z - e) * token.weight + e);
            }
        }
        Ok(Encoded { tokens, pooled })
    }

    /// Reads a prompt; embeddings of another width are reported and left out.
    pub fn parse(&self, text: &str, embeddings: Embeddings) -> Result<Chunks> {
        prompt::parse(text, self.manner.pad, embeddings)
    }

    /// What encoding one chunk takes, without running it.
    pub fn program(&self) -> Result<Program> {
        Ok(self.record(1, self.layers)?.folded())
    }

    /// Of each layer's attention.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Gives the memory of the compiled networks back.
    pub fn unload(&self) {
        self.networks.clear();
    }

    /// The state after `layer` and after the last one, both normalised: `[chunks, 77, channels]`.
    fn hidden(
        &self,
        device: &Device,
        chunks: &[Vec<Weighted>],
        layer: i64,
    ) -> Result<[Vec<f32>; 2]> {
        let x = chunks.iter().map(|chunk| self.embed(chunk)).collect::<Result<Vec<_>>>()?.concat();
        // A layer that is not there means the last one, as in the original.
        let skipped = (-1 - layer.min(-1)) as usize;
        let stop = if skipped < self.layers { self.layers - skipped } else { self.layers };
        let size = (chunks.len(), stop);
        let program = |(chunks, stop)| self.record(chunks, stop);
        let mut y = self.networks.run(device, size, program, &[&x])?;
        let last = y.pop().unwrap_or_default();
        Ok([y.pop().unwrap_or_default(), last])
    }

    /// Token and position embeddings: `[77, channels]`. The tables stay in the file.
    fn embed(&self, chunk: &[Weighted]) -> Result<Vec<f32>> {
        let ids: Vec<u32> =
            chunk.iter().map(|t| if let Token::Id(id) = t.token { id } else { START }).collect();
        let mut x = self.token_embedding.rows(&ids)?;
        let positions = self.position_embedding.rows(&(0..CHUNK as u32).collect::<Vec<_>>())?;
        let rows = x.chunks_exact_mut(self.channels).zip(positions.chunks_exact(self.channels));
        for ((row, position), token) in rows.zip(chunk) {
            if let Token::Vector(vector) = &token.token {
                row.copy_from_slice(vector);
            }
            row.iter_mut().zip(position).for_each(|(x, p)| *x += p);
        }
        Ok(x)
    }

    fn record(&self, chunks: usize, stop: usize) -> Result<Program> {
        let w = &self.weights.at("text_model");
        let layers = self.layers;
        let tape = Tape::named(format!(
            "text encoder, {chunks} x {CHUNK} tokens, layer {stop} of {layers}"
        ));
        let mut h = tape.input("embeddings", &[chunks, CHUNK, self.channels]);
        let mut chosen = None;
        for i in 0..self.layers {
            let w = &w.at("encoder.layers").at(i);
            h = layer(&h, self.heads, true, self.manner.gelu, w)?;
            if i + 1 == stop {
                chosen = Some(h.clone());
            }
        }
        let last = layer_norm(&h, &w.at("final_layer_norm"));
        let chosen = chosen.ok_or_else(|| anyhow::anyhow!("{}: no layer {stop}", w.file()))?;
        let chosen = if stop == self.layers {
            last.clone()
        } else {
            layer_norm(&chosen, &w.at("final_layer_norm"))
        };
        Ok(tape.finish(&[&chosen, &last]))
    }
}

/// One layer of any of CLIP's transformers.
pub(crate) fn layer(
    x: &Tensor,
    heads: usize,
    causal: bool,
    gelu: Gelu,
    w: &Weights,
) -> Result<Tensor> {
    let h = layer_norm(x, &w.at("layer_norm1"));
    let [q, k, v] = ["q_proj", "k_proj", "v_proj"].map(|n| linear(&h, &w.at("self_attn").at(n)));
    let h = attention([&q, &k, &v], heads, causal, w)?;
    let x = add(x, &linear(&h, &w.at("self_attn.out_proj")), w)?;
    let h = layer_norm(&x, &w.at("layer_norm2"));
    let h = linear(&h, &w.at("mlp.fc1"));
    let h = if gelu == Gelu::Quick { h.quick_gelu() } else { h.gelu() };
    add(&x, &linear(&h, &w.at("mlp.fc2")), w)
}
