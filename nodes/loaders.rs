//! Nodes that open files of weights.

use crate::{Clip, Model, Vae};
use anyhow::Result;
use graph::{Context, File, Inputs, Node};
use models::Taesd;
use tensor::Weights;

/// Opens weights by name in one of the models folders.
pub(crate) fn weights(ctx: &Context, folder: &str, name: &str) -> Result<Weights> {
    match ctx.host.find(folder, name)? {
        File::Path(path) => Weights::open(&path),
        File::Builtin(parts) => Weights::from_parts(name, parts),
    }
}

/// Tells the person that a file has tensors that its network does not read.
fn note_unused(ctx: &mut Context, weights: &Weights) {
    if let Some(text) = models::unused(weights) {
        ctx.note(text);
    }
}

/// Loads a checkpoint: the network that denoises, the text encoder and the VAE.
#[derive(Inputs)]
pub struct CheckpointLoaderSimple {
    /// A file in models/checkpoints.
    #[widget(file("checkpoints"))]
    pub ckpt_name: String,
}

impl Node for CheckpointLoaderSimple {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load Checkpoint";
    type Output = (Model, Clip, Vae);

    fn run(self, ctx: &mut Context) -> Result<(Model, Clip, Vae)> {
        let weights = weights(ctx, "checkpoints", &self.ckpt_name)?;
        let loaded = models::Checkpoint::load(&weights)?;
        note_unused(ctx, &weights);
        let model = Model { unet: loaded.unet, family: loaded.family, preview: loaded.preview };
        Ok((model, Clip { encoder: loaded.clip, layer: -1 }, Vae::Network(loaded.vae)))
    }
}

/// Loads a VAE from a file of its own.
#[derive(Inputs)]
pub struct VAELoader {
    /// A file in models/vae, or a pair of small files in models/vae_approx; pixel_space leaves pictures as
    /// they are.
    #[widget(file("vae"))]
    pub vae_name: String,
}

impl Node for VAELoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load VAE";
    type Output = Vae;

    fn run(self, ctx: &mut Context) -> Result<Vae> {
        if let Some(tiny) = tiny(ctx, &self.vae_name)? {
            return Ok(Vae::Tiny(tiny));
        }
        let weights = weights(ctx, "vae", &self.vae_name)?;
        if weights.has("pixel_space_vae") {
            return Ok(Vae::PixelSpace);
        }
        let inside = models::Vae::inside(&weights);
        let vae = models::Vae::load(inside.clone())?;
        note_unused(ctx, &inside);
        Ok(Vae::Network(vae))
    }
}

/// The tiny autoencoder of this name, if its two files are there.
pub(crate) fn tiny(ctx: &Context, name: &str) -> Result<Option<Taesd>> {
    if !Taesd::names().any(|known| known == name) {
        return Ok(None);
    }
    let files = ctx.host.list("vae_approx");
    let file = |part: &str| files.iter().find(|f| f.starts_with(&format!("{name}_{part}.")));
    let (Some(encoder), Some(decoder)) = (file("encoder"), file("decoder")) else { return Ok(None) };
    let [encoder, decoder] = [encoder, decoder].map(|file| weights(ctx, "vae_approx", file));
    Ok(Some(Taesd::load(name, encoder?, decoder?)?))
}
