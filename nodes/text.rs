//! Prompts to conditioning.

use crate::{Clip, Conditioning, Told, values::ControlPrompt};
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
        conditioning(ctx, &self.clip, &self.text)
    }
}

/// A prompt as one entry of a conditioning, or one for each span of a run in which the text encoder differs.
pub(crate) fn conditioning(ctx: &mut Context, clip: &Clip, text: &str) -> Result<Conditioning> {
    let told = clip.hooks.as_ref().filter(|of| of.tells_conds);
    let hooks = told.map(|of| of.hooks.clone()).unwrap_or_default();
    let entries = clip.hooked(ctx)?.into_iter().map(|(span, clip)| {
        let (tokens, pooled) = encoded(ctx, &clip, text)?;
        Ok(Cond::new(Told { hooks: hooks.clone(), span, ..Told::new(tokens, pooled) }))
    });
    Ok(Conditioning(Arc::new(entries.collect::<Result<_>>()?)))
}

/// A prompt as vectors of its tokens `[1, tokens, channels]`, and as one vector.
fn encoded(ctx: &mut Context, clip: &Clip, text: &str) -> Result<(Array3<f32>, Vec<f32>)> {
    let (width, encoded) = (clip.encoder.channels, encode(ctx, clip, text)?);
    let shape = (1, encoded.tokens.len() / width, width);
    Ok((Array3::from_shape_vec(shape, encoded.tokens)?, encoded.pooled))
}

/// Gives ControlNets a prompt of their own, in the place of the model's.
#[derive(Inputs)]
pub struct CLIPTextEncodeControlnet {
    /// The text encoder.
    pub clip: Clip,
    /// What the model is told.
    pub conditioning: Conditioning,
    /// What ControlNets are told.
    #[widget(prompt())]
    pub text: String,
}

impl Node for CLIPTextEncodeControlnet {
    const CATEGORY: &str = "_for_testing/conditioning";
    type Output = Conditioning;

    fn run(self, ctx: &mut Context) -> Result<Conditioning> {
        let clip = self.clip.first(ctx)?;
        let (tokens, pooled) = encoded(ctx, &clip, &self.text)?;
        let prompt = Arc::new(ControlPrompt { tokens, pooled });
        Ok(self.conditioning.map(|e| e.payload.control_prompt = Some(prompt.clone())))
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
