//! Models into files, as patched and merged.

use crate::{Clip, Model, Vae, save_image};
use anyhow::{Context as _, Result, bail};
use graph::{Context, Inputs, Node};
use sampling::Prediction;
use std::{collections::HashMap, path::Path, time::Instant};
use tensor::{Source, Weight};

/// Writes model, text encoder and VAE into one checkpoint in the output folder.
#[derive(Inputs)]
pub struct CheckpointSave {
    /// The model.
    pub model: Model,
    /// The text encoder.
    pub clip: Clip,
    /// The VAE.
    pub vae: Vae,
    /// How the file name begins; may name a folder inside the output folder.
    #[widget(text("checkpoints/ComfyUI"))]
    pub filename_prefix: String,
}

impl Node for CheckpointSave {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "Save Checkpoint";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        let mut tensors = sources(self.model.unet.tensors()?);
        tensors.extend(self.clip.encoder.checkpoint_tensors()?);
        let vae = vae(&self.vae)?.into_iter();
        tensors
            .extend(vae.map(|(key, weight)| (format!("first_stage_model.{key}"), weight.into())));
        let velocity = self.model.sampling.prediction == Prediction::V;
        let about = [
            ("modelspec.sai_model_spec", "1.0.0".to_owned()),
            ("modelspec.implementation", "sgm".to_owned()),
            ("modelspec.predict_key", if velocity { "v" } else { "epsilon" }.to_owned()),
            ("clip.num_attention_heads", self.clip.encoder.heads().to_string()),
        ];
        save(ctx, &self.filename_prefix, &tensors, &about)
    }
}

/// Writes a model without text encoder and VAE into the output folder.
#[derive(Inputs)]
pub struct ModelSave {
    /// The model.
    pub model: Model,
    /// How the file name begins; may name a folder inside the output folder.
    #[widget(text("diffusion_models/ComfyUI"))]
    pub filename_prefix: String,
}

impl Node for ModelSave {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "ModelSave";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        save(ctx, &self.filename_prefix, &sources(self.model.unet.tensors()?), &[])
    }
}

/// Writes a text encoder into the output folder.
#[derive(Inputs)]
pub struct CLIPSave {
    /// The text encoder.
    pub clip: Clip,
    /// How the file name begins; may name a folder inside the output folder.
    #[widget(text("clip/ComfyUI"))]
    pub filename_prefix: String,
}

impl Node for CLIPSave {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "CLIPSave";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        let heads = ("clip.num_attention_heads", self.clip.encoder.heads().to_string());
        let kind = if self.clip.encoder.is_open_clip() { "clip_h" } else { "clip_l" };
        let prefix = format!("{}_{kind}", self.filename_prefix);
        save(ctx, &prefix, &sources(self.clip.encoder.tensors()?), &[heads])
    }
}

/// Writes a VAE into the output folder.
#[derive(Inputs)]
pub struct VAESave {
    /// The VAE.
    pub vae: Vae,
    /// How the file name begins; may name a folder inside the output folder.
    #[widget(text("vae/ComfyUI_vae"))]
    pub filename_prefix: String,
}

impl Node for VAESave {
    const CATEGORY: &str = "advanced/model_merging";
    const TITLE: &str = "VAESave";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        save(ctx, &self.filename_prefix, &sources(vae(&self.vae)?), &[])
    }
}

fn vae(vae: &Vae) -> Result<Vec<(String, Weight)>> {
    match vae {
        Vae::Network(vae) => vae.tensors(),
        Vae::Tiny(vae) => vae.tensors(),
        Vae::PixelSpace => bail!("pixel_space has no weights that could be saved"),
    }
}

fn sources(tensors: Vec<(String, Weight)>) -> Vec<(String, Source)> {
    tensors.into_iter().map(|(key, weight)| (key, weight.into())).collect()
}

/// Writes a file of the next free number; the graph that made it goes along.
pub(crate) fn save(
    ctx: &mut Context,
    prefix: &str,
    tensors: &[(String, Source)],
    about: &[(&str, String)],
) -> Result<()> {
    let (subfolder, stem) = save_image::inside(&save_image::placeholders(prefix, 0, 0))?;
    let folder = ctx.host.folder("output")?.join(subfolder);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut metadata: HashMap<String, String> = save_image::texts(ctx).into_iter().collect();
    metadata.insert("modelspec.title".to_owned(), stem.clone());
    metadata.extend(about.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let write = |part: &Path| tensor::save_safetensors(part, tensors.to_vec(), metadata.clone());
    let mut number = save_image::next_counter(&folder, &stem)?;
    let start = Instant::now();
    save_image::write_new(&folder, &stem, "safetensors", &mut number, &write)?;
    ctx.took("writing files", start);
    Ok(())
}
