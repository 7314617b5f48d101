//! Prompts to conditioning.

use crate::{Clip, Conditioning, Told};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use models::Encoded;
use ndarray::Array3;
use sampling::Cond;
use std::{sync::Arc, time::Instant};
use tensor::Device;

/// Encodes a prompt as what a network reads. (word:1.2) counts 1.2 times; embedding:name takes a file
/// of models/embeddings.
#[derive(Inputs)]
pub struct CLIPTextEncode {
    /// What the picture should, or should not, show.
    #[widget(prompt())]
    pub text: String,
    /// The text encoder.
    pub clip: Clip,
}

impl Node for CLIPTextEncode {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "CLIP Text Encode (Prompt)";
    type Output = Conditioning;

    fn run(self, ctx: &mut Context) -> Result<Conditioning> {
        let (width, encoded) = (self.clip.encoder.channels, encode(ctx, &self.clip, &self.text)?);
        let tokens =
            Array3::from_shape_vec((1, encoded.tokens.len() / width, width), encoded.tokens)?;
        let told = Told::new(tokens, encoded.pooled);
        Ok(Conditioning(Arc::new(vec![Cond::new(told)])))
    }
}

/// Encodes a prompt with the embeddings that it names.
pub(crate) fn encode(ctx: &mut Context, clip: &Clip, text: &str) -> Result<Encoded> {
    let find = |name: &str| embedding(ctx, name, clip.encoder.channels);
    let start = Instant::now();
    let chunks = clip.encoder.parse(text, &find)?;
    ctx.took("tokenizing", start);
    for name in &chunks.missing {
        ctx.note(format!("there is no embedding {name}; the prompt is read without it"));
    }
    clip.encoder.encode(&ctx.services.get::<Device>(), &chunks, clip.layer)
}

/// The vectors of a textual-inversion file: the tensor of the text encoder's width.
fn embedding(ctx: &Context, name: &str, width: usize) -> Result<Option<Vec<Arc<[f32]>>>> {
    let names = ctx.host.list("embeddings");
    let fits = |n: &&String| n.as_str() == name || n.strip_suffix(".safetensors") == Some(name);
    let Some(file) = names.iter().find(fits) else { return Ok(None) };
    let weights = crate::loaders::weights(ctx, "embeddings", file)?;
    let wide = |key: &&&str| weights.shape(key).and_then(<[usize]>::last) == Some(&width);
    let keys = weights.keys();
    let Some(key) = keys.iter().find(wide) else { return Ok(None) };
    let vectors = weights.get(key)?.to_f32().context("reading the embedding")?;
    Ok(Some(vectors.chunks_exact(width).map(Arc::from).collect()))
}

/// Reads the text encoder at an earlier layer ("clip skip").
#[derive(Inputs)]
pub struct CLIPSetLastLayer {
    /// The text encoder.
    pub clip: Clip,
    /// -1 is the last layer, -2 the one before.
    #[widget(number(-1).range(-24..=-1).step(1))]
    pub stop_at_clip_layer: i64,
}

impl Node for CLIPSetLastLayer {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "CLIP Set Last Layer";
    type Output = Clip;

    fn run(self, _: &mut Context) -> Result<Clip> {
        Ok(Clip { layer: self.stop_at_clip_layer, ..self.clip })
    }
}
