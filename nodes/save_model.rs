//! Models into files, as patched and merged.

use crate::{Clip, Model, Vae, save_image};
use anyhow::{Context as _, Result, bail};
use graph::{Context, Inputs, Node};
use std::{collections::HashMap, path::Path, time::Instant};
use tensor::Weight;

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
        let mut tensors = self.model.unet.tensors()?;
        tensors.extend(below("cond_stage_model.transformer.", self.clip.encoder.tensors()?));
        tensors.extend(below("first_stage_model.", vae(&self.vae)?));
        let about = [
            ("modelspec.sai_model_spec", "1.0.0".to_owned()),
            ("modelspec.implementation", "sgm".to_owned()),
            ("modelspec.predict_key", "epsilon".to_owned()),
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
        save(ctx, &self.filename_prefix, &self.model.unet.tensors()?, &[])
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
        let prefix = format!("{}_clip_l", self.filename_prefix);
        save(ctx, &prefix, &self.clip.encoder.tensors()?, &[heads])
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
        save(ctx, &self.filename_prefix, &vae(&self.vae)?, &[])
    }
}

fn vae(vae: &Vae) -> Result<Vec<(String, Weight)>> {
    match vae {
        Vae::Network(vae) => vae.tensors(),
        Vae::Tiny(vae) => vae.tensors(),
        Vae::PixelSpace => bail!("pixel_space has no weights that could be saved"),
    }
}

fn below(prefix: &str, tensors: Vec<(String, Weight)>) -> impl Iterator<Item = (String, Weight)> {
    tensors.into_iter().map(move |(key, weight)| (format!("{prefix}{key}"), weight))
}

/// Writes a file of the next free number; the graph that made it goes along.
fn save(
    ctx: &mut Context,
    prefix: &str,
    tensors: &[(String, Weight)],
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
