//! Nodes that open files of weights.

use crate::{Clip, Model, Vae};
use anyhow::{Context as _, Result, bail, ensure};
use graph::{Context, File, Inputs, Json, Node};
use models::{ClipVision, Family, Preview, Taesd, Unet};
use sampling::{LatentFormat, ModelSampling, Prediction};
use tensor::Weights;

/// Opens weights by name in one of the models folders.
pub(crate) fn weights(ctx: &Context, folder: &str, name: &str) -> Result<Weights> {
    match ctx.host.find(folder, name)? {
        File::Path(path) => Weights::open(&path),
        File::Builtin(parts) => Weights::from_parts(name, parts),
    }
}

/// Tells the person that a file has tensors that its network does not read.
pub(crate) fn note_unused(ctx: &mut Context, weights: &Weights) {
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
        let (model, clip, vae, _) = checkpoint(ctx, &self.ckpt_name)?;
        Ok((model, clip, vae))
    }
}

/// Loads a checkpoint as a configuration file of its training says: what it predicts, and the layer of the
/// text encoder. CheckpointLoaderSimple finds both out by itself.
#[derive(Inputs)]
pub struct CheckpointLoader {
    /// A file in models/configs.
    #[widget(file("configs"))]
    pub config_name: String,
    /// A file in models/checkpoints.
    #[widget(file("checkpoints"))]
    pub ckpt_name: String,
}

impl Node for CheckpointLoader {
    const CATEGORY: &str = "advanced/loaders";
    const TITLE: &str = "Load Checkpoint With Config (DEPRECATED)";
    type Output = (Model, Clip, Vae);

    fn run(self, ctx: &mut Context) -> Result<(Model, Clip, Vae)> {
        let config = config(ctx, &self.config_name).with_context(|| self.config_name.clone())?;
        let (mut model, mut clip, vae, _) = checkpoint(ctx, &self.ckpt_name)?;
        if config["parameterization"] == "v" {
            model.sampling = ModelSampling::stable_diffusion(Prediction::V).into();
        }
        let layer = &config["cond_stage_config"]["params"]["layer_idx"];
        clip.layer = layer.as_i64().unwrap_or(clip.layer);
        Ok((model, clip, vae))
    }
}

/// Loads a model that the diffusers library saved: a folder with a file for each part.
#[derive(Inputs)]
pub struct DiffusersLoader {
    /// A folder in models/diffusers.
    #[widget(file("diffusers"))]
    pub model_path: String,
}

impl Node for DiffusersLoader {
    const CATEGORY: &str = "advanced/loaders/deprecated";
    const TITLE: &str = "DiffusersLoader";
    type Output = (Model, Clip, Vae);

    fn run(self, ctx: &mut Context) -> Result<(Model, Clip, Vae)> {
        let part = |ctx: &mut Context, folder: &str, stem: &str| {
            let name =
                |half: &str| format!("{}/{folder}/{stem}{half}.safetensors", self.model_path);
            let half = weights(ctx, "diffusers", &name(".fp16"));
            half.or_else(|_| weights(ctx, "diffusers", &name("")))
        };
        let unet = part(ctx, "unet", "diffusion_pytorch_model")?;
        let (network, family) = models::load_unet(&unet)?;
        let text = part(ctx, "text_encoder", "model")?;
        let clip = Clip::new(models::load_clip(&text)?);
        let vae = part(ctx, "vae", "diffusion_pytorch_model")?;
        let autoencoder = models::Vae::load(&vae)?;
        [&unet, &text, &vae].into_iter().for_each(|file| note_unused(ctx, file));
        Ok((model(network, family, Preview::load(&unet)?), clip, Vae::Network(autoencoder)))
    }
}

/// The settings of a model in a configuration file; class names in it are only names.
fn config(ctx: &Context, name: &str) -> Result<Json> {
    let File::Path(path) = ctx.host.find("configs", name)? else {
        bail!("no configuration comes with the program")
    };
    let text = std::fs::read_to_string(path)?;
    let config: Json = serde_yaml_ng::from_str(&text)?;
    let settings = config.pointer("/model/params").filter(|settings| settings.is_object());
    settings.cloned().context("it has no settings below model, params")
}

/// All that a checkpoint holds; the last looks at the pictures that an unCLIP model is told.
pub(crate) fn checkpoint(
    ctx: &mut Context,
    name: &str,
) -> Result<(Model, Clip, Vae, Option<ClipVision>)> {
    let weights = weights(ctx, "checkpoints", name)?;
    let loaded = models::Checkpoint::load(&weights)?;
    note_unused(ctx, &weights);
    let model = model(loaded.unet, loaded.family, loaded.preview);
    Ok((model, Clip::new(loaded.clip), Vae::Network(loaded.vae), loaded.vision))
}

/// A model as it comes from a file.
fn model(unet: Unet, family: &'static Family, preview: Preview) -> Model {
    let prediction = if family.v_prediction { Prediction::V } else { Prediction::Eps };
    Model {
        unet,
        family,
        preview,
        latent: LatentFormat::scaled(family.latent_scale),
        sampling: ModelSampling::stable_diffusion(prediction).into(),
        guidance: Vec::new(),
        shrink: None,
        differential: None,
        perp_neg: None,
    }
}

/// Loads the network that denoises from a file of its own.
#[derive(Inputs)]
pub struct UNETLoader {
    /// A file in models/diffusion_models.
    #[widget(file("diffusion_models"))]
    pub unet_name: String,
    /// How numbers are kept; the small kinds are kept as the default is.
    #[widget(one_of(["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]))]
    pub weight_dtype: String,
}

impl Node for UNETLoader {
    const CATEGORY: &str = "advanced/loaders";
    const TITLE: &str = "Load Diffusion Model";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        let weights = weights(ctx, "diffusion_models", &self.unet_name)?;
        let (unet, family) = models::load_unet(&weights)?;
        note_unused(ctx, &weights);
        if self.weight_dtype != "default" {
            ctx.note(format!(
                "{} is not rounded: the numbers stay as in the file",
                self.weight_dtype
            ));
        }
        Ok(model(unet, family, Preview::load(&weights)?))
    }
}

/// Loads a text encoder from a file of its own.
#[derive(Inputs)]
pub struct CLIPLoader {
    /// A file in models/text_encoders.
    #[widget(file("text_encoders"))]
    pub clip_name: String,
    /// The family of models that it is for.
    #[widget(one_of([
        "stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos", "lumina2",
        "wan", "hidream", "chroma", "ace", "omnigen2", "qwen_image", "hunyuan_image",
    ]))]
    pub r#type: String,
    /// What computes; here it is always what computes everything.
    #[widget(one_of(["default", "cpu"]))]
    pub device: Option<String>,
}

impl Node for CLIPLoader {
    const CATEGORY: &str = "advanced/loaders";
    const TITLE: &str = "Load CLIP";
    type Output = Clip;

    fn run(self, ctx: &mut Context) -> Result<Clip> {
        let kind = &self.r#type;
        ensure!(
            kind == "stable_diffusion",
            "text encoders for {kind} do not run yet; those for stable_diffusion do"
        );
        let weights = weights(ctx, "text_encoders", &self.clip_name)?;
        let encoder = models::load_clip(&weights)?;
        note_unused(ctx, &weights);
        Ok(Clip::new(encoder))
    }
}

/// Loads the two text encoders of a family from files of their own.
#[derive(Inputs)]
pub struct DualCLIPLoader {
    /// A file in models/text_encoders.
    #[widget(file("text_encoders"))]
    pub clip_name1: String,
    /// A file in models/text_encoders.
    #[widget(file("text_encoders"))]
    pub clip_name2: String,
    /// The family of models that they are for.
    #[widget(one_of(["sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image"]))]
    pub r#type: String,
    /// What computes; here it is always what computes everything.
    #[widget(one_of(["default", "cpu"]))]
    pub device: Option<String>,
}

impl Node for DualCLIPLoader {
    const CATEGORY: &str = "advanced/loaders";
    const TITLE: &str = "DualCLIPLoader";
    type Output = Clip;

    fn run(self, ctx: &mut Context) -> Result<Clip> {
        several(ctx, &[&self.clip_name1, &self.clip_name2], &self.r#type)
    }
}

/// Loads the three text encoders of Stable Diffusion 3 from files of their own.
#[derive(Inputs)]
pub struct TripleCLIPLoader {
    /// A file in models/text_encoders.
    #[widget(file("text_encoders"))]
    pub clip_name1: String,
    /// A file in models/text_encoders.
    #[widget(file("text_encoders"))]
    pub clip_name2: String,
    /// A file in models/text_encoders.
    #[widget(file("text_encoders"))]
    pub clip_name3: String,
}

impl Node for TripleCLIPLoader {
    const CATEGORY: &str = "advanced/loaders";
    type Output = Clip;

    fn run(self, ctx: &mut Context) -> Result<Clip> {
        several(ctx, &[&self.clip_name1, &self.clip_name2, &self.clip_name3], "sd3")
    }
}

/// No family that reads with several encoders runs yet; that is said of files that are sound, and of others what
/// is wrong with them.
fn several(ctx: &Context, names: &[&str], family: &str) -> Result<Clip> {
    for name in names {
        weights(ctx, "text_encoders", name)?;
    }
    anyhow::bail!(
        "models of {family} do not run yet, nor do their text encoders; those of Stable Diffusion 1 and 2 do, whose encoder \
         CLIPLoader loads"
    )
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
        let vae = models::Vae::load(&inside)?;
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
    let (Some(encoder), Some(decoder)) = (file("encoder"), file("decoder")) else {
        return Ok(None);
    };
    let [encoder, decoder] = [encoder, decoder].map(|file| weights(ctx, "vae_approx", file));
    Ok(Some(Taesd::load(name, encoder?, decoder?)?))
}
