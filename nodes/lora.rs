//! LoRA files, which change how a model paints and reads.

use crate::{Clip, Model};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use tensor::Weights;

/// Changes a model and its text encoder as a LoRA file says.
#[derive(Inputs)]
pub struct LoraLoader {
    /// The model to change.
    pub model: Model,
    /// The text encoder to change.
    pub clip: Clip,
    /// A file in models/loras.
    #[widget(file("loras"))]
    pub lora_name: String,
    /// How strongly the model is changed; below 0 it is changed the other way.
    #[widget(number(1.0).range(-100.0..=100.0).step(0.01))]
    pub strength_model: f64,
    /// How strongly the text encoder is changed; below 0 it is changed the other way.
    #[widget(number(1.0).range(-100.0..=100.0).step(0.01))]
    pub strength_clip: f64,
}

impl Node for LoraLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load LoRA";
    type Output = (Model, Clip);

    fn run(self, ctx: &mut Context) -> Result<(Model, Clip)> {
        if self.strength_model == 0.0 && self.strength_clip == 0.0 {
            return Ok((self.model, self.clip));
        }
        let lora = crate::loaders::weights(ctx, "loras", &self.lora_name)?;
        let model = with_lora(ctx, &self.model, &lora, self.strength_model)?;
        let (encoder, misfits) = self.clip.encoder.with_lora(&lora, self.strength_clip as f32)?;
        note(ctx, &lora, misfits);
        note(ctx, &lora, told_unused(&lora, |_| true));
        Ok((model, Clip { encoder, ..self.clip }))
    }
}

/// Changes a model as a LoRA file says, and leaves its text encoder alone.
#[derive(Inputs)]
pub struct LoraLoaderModelOnly {
    /// The model to change.
    pub model: Model,
    /// A file in models/loras.
    #[widget(file("loras"))]
    pub lora_name: String,
    /// How strongly the model is changed; below 0 it is changed the other way.
    #[widget(number(1.0).range(-100.0..=100.0).step(0.01))]
    pub strength_model: f64,
}

impl Node for LoraLoaderModelOnly {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "LoraLoaderModelOnly";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        if self.strength_model == 0.0 {
            return Ok(self.model);
        }
        let lora = crate::loaders::weights(ctx, "loras", &self.lora_name)?;
        let model = with_lora(ctx, &self.model, &lora, self.strength_model)?;
        note_unused_of_model(ctx, &lora);
        Ok(model)
    }
}

/// Tells what of a file the model had no place for; what is for text encoders is not meant for it.
pub(crate) fn note_unused_of_model(ctx: &mut Context, lora: &Weights) {
    let for_text = |key: &str| key.starts_with("lora_te") || key.starts_with("text_encoder");
    note(ctx, lora, told_unused(lora, |key| !for_text(key)));
}

fn with_lora(ctx: &mut Context, model: &Model, lora: &Weights, strength: f64) -> Result<Model> {
    let (unet, misfits) = model.unet.with_lora(lora, strength as f32)?;
    note(ctx, lora, misfits);
    Ok(Model { unet, ..model.clone() })
}

/// Those tensors of the file that no network had a place for, in words.
fn told_unused(lora: &Weights, of: impl Fn(&str) -> bool) -> Option<String> {
    let mut keys = lora.unused();
    keys.retain(|key| of(key));
    tensor::told("not used, as the model has no such part", &keys)
}

fn note(ctx: &mut Context, lora: &Weights, told: Option<String>) {
    if let Some(told) = told {
        ctx.note(format!("{}: {told}", lora.file()));
    }
}
