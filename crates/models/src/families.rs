//! Which network a file holds.

use crate::{Clip, Preview, Unet, Vae};
use anyhow::{Context as _, bail};
use tensor::{Result, Weights};

/// What only the family says, not the shapes.
pub struct Family {
    pub name: &'static str,
    /// Input channels of the UNet.
    pub in_channels: usize,
    pub unet_heads: usize,
    /// Latents are multiplied by this for the UNet.
    pub latent_scale: f32,
    pub concat: Concat,
}

/// What the UNet reads beside the noisy latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concat {
    Nothing,
    /// A mask, then the masked picture's latent, scaled.
    Inpaint,
    /// The source picture's latent, as the VAE gives it.
    Instruct,
}

/// The families that run.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "Stable Diffusion 1.x",
        in_channels: 4,
        unet_heads: 8,
        latent_scale: 0.18215,
        concat: Concat::Nothing,
    },
    Family {
        name: "Stable Diffusion 1.x inpainting",
        in_channels: 9,
        unet_heads: 8,
        latent_scale: 0.18215,
        concat: Concat::Inpaint,
    },
    Family {
        name: "Stable Diffusion 1.x InstructPix2Pix",
        in_channels: 8,
        unet_heads: 8,
        latent_scale: 0.18215,
        concat: Concat::Instruct,
    },
];

/// A kind of file by a key that it has, and what people put it to.
pub struct Kind {
    pub name: &'static str,
    /// A key, or the beginning or the end of one.
    key: &'static str,
    /// The folder of `models/` where it belongs.
    pub folder: &'static str,
}

/// From the particular to the general: the first match counts.
pub const KINDS: &[Kind] = &[
    Kind { name: "SDXL checkpoint", key: "conditioner.embedders.", folder: "checkpoints" },
    Kind { name: "SD 2.x checkpoint", key: "cond_stage_model.model.", folder: "checkpoints" },
    Kind {
        name: "SD 3 checkpoint",
        key: "model.diffusion_model.joint_blocks.",
        folder: "checkpoints",
    },
    Kind {
        name: "Flux checkpoint",
        key: "model.diffusion_model.double_blocks.",
        folder: "checkpoints",
    },
    Kind { name: "SD 1.x checkpoint", key: "cond_stage_model.transformer.", folder: "checkpoints" },
    Kind {
        name: "diffusion model alone",
        key: "model.diffusion_model.",
        folder: "diffusion_models",
    },
    Kind { name: "Flux diffusion model", key: "double_blocks.", folder: "diffusion_models" },
    Kind { name: "ControlNet", key: "control_model.", folder: "controlnet" },
    Kind { name: "ControlNet", key: "input_hint_block.", folder: "controlnet" },
    Kind { name: "T2I-Adapter", key: "adapter.body.", folder: "controlnet" },
    Kind { name: "T2I-Adapter", key: "body.0.in_conv.", folder: "controlnet" },
    Kind { name: "LoRA", key: "lora_unet_", folder: "loras" },
    Kind { name: "LoRA", key: "lora_te_", folder: "loras" },
    Kind { name: "LoRA", key: ".lora_up.weight", folder: "loras" },
    Kind { name: "LoRA", key: ".lora_A.weight", folder: "loras" },
    Kind { name: "VAE", key: "decoder.up_blocks.", folder: "vae" },
    Kind { name: "VAE", key: "decoder.conv_in.weight", folder: "vae" },
    Kind { name: "VAE", key: "first_stage_model.", folder: "vae" },
    Kind { name: "CLIP text encoder", key: "text_model.", folder: "text_encoders" },
    Kind { name: "textual-inversion embedding", key: "emb_params", folder: "embeddings" },
    Kind { name: "textual-inversion embedding", key: "string_to_param", folder: "embeddings" },
    Kind { name: "upscaler (RRDB)", key: "conv_first.weight", folder: "upscale_models" },
    Kind { name: "upscaler (RRDB)", key: "model.1.sub.", folder: "upscale_models" },
    Kind { name: "upscaler (SRVGG)", key: "body.0.weight", folder: "upscale_models" },
];

/// What kind of file this is, if it is one we know of.
pub fn identify(weights: &Weights) -> Option<&'static Kind> {
    let keys = weights.keys();
    KINDS.iter().find(|kind| keys.iter().any(|k| k.starts_with(kind.key) || k.ends_with(kind.key)))
}

/// A whole checkpoint.
pub struct Checkpoint {
    pub family: &'static Family,
    pub unet: Unet,
    pub clip: Clip,
    pub vae: Vae,
    pub preview: Preview,
}

impl Checkpoint {
    /// Recognises the family and checks that every tensor is there.
    pub fn load(weights: &Weights) -> Result<Self> {
        let conv_in = weights.shape("model.diffusion_model.input_blocks.0.0.weight").unwrap_or(&[]);
        let kind = identify(weights).map_or("unknown", |k| k.name);
        if kind != "SD 1.x checkpoint" || conv_in.len() != 4 {
            bail!(
                "{}: this is no Stable Diffusion 1.x checkpoint ({kind}); other families do not run yet",
                weights.file()
            );
        }
        let family = FAMILIES.iter().find(|f| f.in_channels == conv_in[1]);
        let family = family.with_context(|| {
            format!("{}: a UNet of {} input channels", weights.file(), conv_in[1])
        })?;
        let heads = weights.metadata().get("clip.num_attention_heads").and_then(|h| h.parse().ok());
        let heads = heads.filter(|h: &usize| *h > 0);
        Ok(Self {
            family,
            unet: Unet::load(weights.at("model.diffusion_model"), family.unet_heads)?,
            clip: Clip::load(&weights.at("cond_stage_model.transformer.text_model"), heads)?,
            vae: Vae::load(weights.at("first_stage_model"))?,
            preview: Preview::load(weights)?,
        })
    }
}
