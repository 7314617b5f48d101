//! Which network a file holds, where it belongs, and whether Weft runs it.

use crate::{
    Clip, ClipVision, Preview, Unet, Vae, diffusers, openclip,
    signs::Sign::{self, Key, Rank, Size, Spread},
    unet::Heads,
};
use Use::{NotYet, Whole};
use anyhow::{bail, ensure};
use tensor::{Result, Weights, told};

/// What only the family says, not the shapes.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub unet_heads: Heads,
    /// Whether the UNet predicts the velocity, in place of the noise.
    pub v_prediction: bool,
    /// Latents are multiplied by this for the UNet.
    pub latent_scale: f32,
    /// The tiny autoencoder that knows its latents: the beginning of its files' names.
    pub tiny: &'static str,
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

const PLAIN: Family = Family {
    name: "Stable Diffusion 1.x",
    unet_heads: Heads::Count(8),
    v_prediction: false,
    latent_scale: 0.18215,
    tiny: "taesd",
    concat: Concat::Nothing,
};
const INPAINT: Family =
    Family { name: "Stable Diffusion 1.x inpainting", concat: Concat::Inpaint, ..PLAIN };
const INSTRUCT: Family =
    Family { name: "Stable Diffusion 1.x InstructPix2Pix", concat: Concat::Instruct, ..PLAIN };
const PLAIN_2: Family =
    Family { name: "Stable Diffusion 2.x", unet_heads: Heads::Channels(64), ..PLAIN };
const VELOCITY_2: Family =
    Family { name: "Stable Diffusion 2.x (v-prediction)", v_prediction: true, ..PLAIN_2 };
const INPAINT_2: Family =
    Family { name: "Stable Diffusion 2.x inpainting", concat: Concat::Inpaint, ..PLAIN_2 };
const UNCLIP_2: Family = Family { name: "Stable Diffusion 2.x unCLIP", ..PLAIN_2 };
const UNCLIP_VELOCITY_2: Family =
    Family { name: "Stable Diffusion 2.x unCLIP (v-prediction)", ..VELOCITY_2 };

/// What Weft does with a file today.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    /// Runs it: a whole model, for CheckpointLoaderSimple.
    Whole(&'static Family),
    /// Runs it: for VAELoader.
    Vae,
    /// Reads it where a prompt says `embedding:NAME`.
    Embedding,
    /// Runs it: for CLIPLoader.
    Clip,
    /// Runs it: for UNETLoader.
    Unet,
    /// Runs it: for CLIPVisionLoader.
    Vision,
    /// Runs it: for StyleModelLoader.
    Style,
    /// Runs it: for ControlNetLoader.
    Control,
    /// Runs it: for GLIGENLoader.
    Gligen,
    /// Runs it: for HypernetworkLoader.
    Hypernetwork,
    /// Runs it: for UpscaleModelLoader.
    Upscaler,
    /// Runs it, one of a pair: for VAELoader.
    Tiny,
    /// Applies it to a model of its family: for LoraLoader.
    Lora,
    /// Recognises it.
    NotYet,
}

/// A kind of file.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The folder of `models/` where it belongs.
    pub folder: &'static str,
    pub runs: Use,
    /// All of them hold for a file of this kind.
    signs: &'static [Sign],
}

macro_rules! kinds { ($($folder:literal { $($name:literal: $signs:expr => $runs:expr;)* })*) => {
    /// From the particular to the general: the first whose signs all hold counts.
    pub static KINDS: &[Kind] = &[$($(
        Kind { name: $name, folder: $folder, runs: $runs, signs: &$signs },
    )*)*];
}}

/// The UNet's first layer: its second dimension is what the UNet reads.
const CONV_IN: &str = "model.diffusion_model.input_blocks.0.0.weight";
/// Where training for v-prediction leaves its mark, as ComfyUI found: a large spread.
const V_MARK: &str = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";
const V_SPREAD: f32 = 0.09;

// Each generation of Stable Diffusion keeps its text encoders in a place of their own.
const SD1: Sign = Key("cond_stage_model.transformer.*");
const SD2: Sign = Key("cond_stage_model.model.*");
const SDXL: Sign = Key("conditioner.embedders.1.*");

kinds! {
    "checkpoints" {
        "SDXL InstructPix2Pix checkpoint": [SDXL, Size(CONV_IN, 1, 8)] => NotYet;
        "SDXL inpainting checkpoint": [SDXL, Size(CONV_IN, 1, 9)] => NotYet;
        "SDXL checkpoint (EDM v-prediction, CosXL)": [SDXL, Key("edm_vpred.sigma_max")] => NotYet;
        "SDXL checkpoint (EDM, Playground 2.5)": [SDXL, Key("edm_mean")] => NotYet;
        "SDXL checkpoint (v-prediction, zero terminal SNR)": [SDXL, Key("v_pred"), Key("ztsnr")] => NotYet;
        "SDXL checkpoint (v-prediction)": [SDXL, Key("v_pred")] => NotYet;
        "SDXL base checkpoint": [SDXL] => NotYet;
        "SDXL refiner checkpoint": [Key("conditioner.embedders.0.model.*")] => NotYet;
        "SD 2.x x4 upscaler checkpoint": [SD2, Size(CONV_IN, 1, 7)] => NotYet;
        "SD 2.x depth checkpoint": [SD2, Size(CONV_IN, 1, 5)] => NotYet;
        "SD 2.x unCLIP checkpoint (v-prediction)": [SD2, Key("model.diffusion_model.label_emb.*"), Spread(V_MARK, V_SPREAD)] => Whole(&UNCLIP_VELOCITY_2);
        "SD 2.x unCLIP checkpoint": [SD2, Key("model.diffusion_model.label_emb.*")] => Whole(&UNCLIP_2);
        // Those for inpainting all predict the noise.
        "SD 2.x inpainting checkpoint": [SD2, Size(CONV_IN, 1, 9)] => Whole(&INPAINT_2);
        "SD 2.x checkpoint (v-prediction)": [SD2, Spread(V_MARK, V_SPREAD)] => Whole(&VELOCITY_2);
        "SD 2.x checkpoint": [SD2] => Whole(&PLAIN_2);
        "SD 1.x inpainting checkpoint": [SD1, Size(CONV_IN, 1, 9)] => Whole(&INPAINT);
        "SD 1.x InstructPix2Pix checkpoint": [SD1, Size(CONV_IN, 1, 8)] => Whole(&INSTRUCT);
        "SD 1.x checkpoint": [SD1, Size(CONV_IN, 1, 4)] => Whole(&PLAIN);
        "SD 1.x checkpoint whose UNet begins with no layer that is known": [SD1, Key("model.diffusion_model.*")] => NotYet;
        "SD 3.5 medium checkpoint": [Key("model.diffusion_model.joint_blocks.0.x_block.attn2.*"), Key("first_stage_model.*")] => NotYet;
        "SD 3.5 large checkpoint": [Key("model.diffusion_model.joint_blocks.0.x_block.attn.ln_q.*"), Key("first_stage_model.*")] => NotYet;
        "SD 3 checkpoint": [Key("model.diffusion_model.joint_blocks.*"), Key("first_stage_model.*")] => NotYet;
        "Flux dev checkpoint": [Key("model.diffusion_model.double_blocks.*"), Key("vae.*"), Key("*.guidance_in.in_layer.weight")] => NotYet;
        "Flux schnell checkpoint": [Key("model.diffusion_model.double_blocks.*"), Key("vae.*")] => NotYet;
    }
    "diffusion_models" {
        "SD 3 diffusion model": [Key("*joint_blocks.0.x_block.attn.qkv.weight")] => NotYet;
        "Chroma diffusion model": [Key("*distilled_guidance_layer.norms.0.scale")] => NotYet;
        "Flux dev diffusion model": [Key("*double_blocks.0.img_attn.qkv.weight"), Key("*guidance_in.in_layer.weight")] => NotYet;
        "Flux schnell diffusion model": [Key("*double_blocks.0.img_attn.qkv.weight")] => NotYet;
        "UNet without text encoder": [Key(CONV_IN)] => Use::Unet;
        "SDXL UNet (diffusers layout)": [Key("up_blocks.*"), Key("add_embedding.*")] => NotYet;
        "UNet (diffusers layout)": [Key("up_blocks.*"), Key("down_blocks.*"), Key("conv_in.weight")] => Use::Unet;
    }
    "controlnet" {
        "ControlNet for SDXL": [Key("*input_hint_block.0.weight"), Key("*label_emb.0.0.weight")] => NotYet;
        "ControlNet for SD 2.x": [Key("*input_hint_block.0.weight"), Size("*.attn2.to_k.weight", 1, 1024)] => Use::Control;
        "ControlNet for SD 1.x": [Key("*input_hint_block.0.weight")] => Use::Control;
        "ControlNet (diffusers layout) for SDXL": [Key("controlnet_cond_embedding.*"), Key("add_embedding.*")] => NotYet;
        "ControlNet (diffusers layout)": [Key("controlnet_cond_embedding.*")] => Use::Control;
        "T2I-Adapter for SDXL": [Key("*body.0.block1.weight"), Size("*conv_in.weight", 1, 768)] => NotYet;
        "T2I-Adapter for SDXL (one channel)": [Key("*body.0.block1.weight"), Size("*conv_in.weight", 1, 256)] => NotYet;
        "T2I-Adapter for SD 1.x": [Key("*body.0.block1.weight"), Key("*conv_in.weight")] => Use::Control;
    }
    "gligen" {
        "GLIGEN text boxes": [Key("position_net.null_positive_feature"), Key("*.fuser.linear.weight")] => Use::Gligen;
    }
    "hypernetworks" {
        "hypernetwork": [Key("*.0.linear.0.weight"), Key("*.1.linear.0.weight")] => Use::Hypernetwork;
    }
    "loras" {
        "LoRA for Flux": [Key("*double_blocks*lora*")] => NotYet;
        "LoRA for Flux (diffusers layout)": [Key("transformer.single_transformer_blocks.*")] => NotYet;
        "LoRA for SDXL": [Key("lora_te2_*")] => NotYet;
        // Only SDXL has more than one block of attention in a place.
        "LoRA for SDXL (UNet alone)": [Key("lora_unet_*transformer_blocks_1_*")] => NotYet;
        "LoRA for SDXL (UNet alone, diffusers layout)": [Key("unet.*transformer_blocks.1.*")] => NotYet;
        "LoRA for SD 2.x": [Size("lora_unet_*attn2_to_k.lora_down.weight", 1, 1024)] => Use::Lora;
        // The highest resolution of SDXL has no attention.
        "LoRA for SD 1.x": [Key("*down_blocks_0_attentions_0_*")] => Use::Lora;
        "LoRA for SD 1.x (diffusers layout)": [Key("unet.down_blocks.0.attentions.0.*")] => Use::Lora;
        "LoRA for SD 1.x (original layout)": [Key("lora_unet_input_blocks_1_1_*")] => Use::Lora;
        "LoRA for SD 1.x (original layout, dotted)": [Key("diffusion_model.input_blocks.1.1.*")] => Use::Lora;
        "LoRA": [Key("lora_*")] => Use::Lora;
        "LoRA (LyCORIS)": [Key("lycoris_*")] => Use::Lora;
        "LoRA (diffusers layout)": [Key("*.lora_A.weight")] => Use::Lora;
        "LoRA (generic layout)": [Key("*.lora_up.weight")] => Use::Lora;
    }
    "vae" {
        "VAE of 4 channels (diffusers layout)": [Key("decoder.up_blocks.0.*"), Size("decoder.conv_in.weight", 1, 4)] => Use::Vae;
        "VAE (diffusers layout)": [Key("decoder.up_blocks.0.*"), Key("decoder.conv_in.weight")] => NotYet;
        "VAE of 4 channels, for SD 1.x, SD 2.x and SDXL": [Size("decoder.conv_in.weight", 1, 4), Key("decoder.up.0.*")] => Use::Vae;
        "VAE of 16 channels, for SD 3 and Flux": [Size("decoder.conv_in.weight", 1, 16), Key("decoder.up.0.*")] => NotYet;
        "VAE out of a checkpoint": [Size("first_stage_model.decoder.conv_in.weight", 1, 4)] => Use::Vae;
    }
    "vae_approx" {
        "TAESD encoder, 4 channels, for SD 1.x, SD 2.x and SDXL": [Size("0.weight", 1, 3), Size("14.weight", 0, 4)] => Use::Tiny;
        "TAESD encoder, 16 channels, for SD 3 and Flux": [Size("0.weight", 1, 3), Size("14.weight", 0, 16)] => Use::Tiny;
        "TAESD decoder, 4 channels, for SD 1.x, SD 2.x and SDXL": [Size("1.weight", 1, 4), Size("19.weight", 0, 3)] => Use::Tiny;
        "TAESD decoder, 16 channels, for SD 3 and Flux": [Size("1.weight", 1, 16), Size("19.weight", 0, 3)] => Use::Tiny;
    }
    "clip_vision" {
        "CLIP, of texts and pictures": [Key("text_model.encoder.*"), Key("vision_model.encoder.*")] => Use::Vision;
        "CLIP vision encoder": [Key("vision_model.encoder.*")] => Use::Vision;
        "CLIP vision encoder (OpenCLIP layout)": [Key("visual.transformer.resblocks.*")] => Use::Vision;
    }
    "style_models" {
        "T2I style adapter for SD 1.x": [Key("style_embedding")] => Use::Style;
        "Redux style model for Flux": [Key("redux_down.weight")] => NotYet;
    }
    "text_encoders" {
        "CLIP-L text encoder": [Size("text_model.embeddings.token_embedding.weight", 1, 768)] => Use::Clip;
        "CLIP-G text encoder": [Size("text_model.embeddings.token_embedding.weight", 1, 1280)] => NotYet;
        "CLIP-H text encoder": [Size("text_model.embeddings.token_embedding.weight", 1, 1024)] => Use::Clip;
        "CLIP-H text encoder (OpenCLIP layout)": [Key("transformer.resblocks.*"), Size("token_embedding.weight", 1, 1024)] => Use::Clip;
        "CLIP text encoder": [Key("text_model.encoder.*")] => NotYet;
        "T5 text encoder": [Key("encoder.block.0.layer.0.SelfAttention.q.weight")] => NotYet;
    }
    "embeddings" {
        "textual-inversion embedding for SDXL": [Key("clip_g")] => NotYet;
        "textual-inversion embedding": [Key("clip_l")] => Use::Embedding;
        "textual-inversion embedding (plain)": [Key("emb_params")] => Use::Embedding;
        "textual-inversion embeddings, bundled": [Key("bundle_emb.*")] => Use::Embedding;
        "textual-inversion embedding (A1111)": [Key("string_to_param.*")] => Use::Embedding;
    }
    "upscale_models" {
        "RRDB upscaler (ESRGAN, old layout)": [Key("model.1.sub.0.RDB1.*")] => Use::Upscaler;
        "RRDB upscaler (ESRGAN, first layout)": [Key("RRDB_trunk.0.RDB1.*")] => Use::Upscaler;
        "RRDB upscaler (ESRGAN)": [Key("conv_first.weight"), Key("body.0.rdb1.*")] => Use::Upscaler;
        "SRVGG upscaler (Real-ESRGAN compact)": [Size("body.0.weight", 1, 3), Key("body.2.weight")] => Use::Upscaler;
    }
}

/// What kind of file this is, if it is one we know of.
pub fn identify(weights: &Weights) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.signs.iter().all(|sign| sign.holds(weights)))
}

/// What no network reads and checkpoints carry all the same: the noise schedule of training, counters,
/// positions that count from 0, and parts of CLIP that compare pictures with texts.
/// Below [`AUGMENTOR`] and [`EMBEDDER`] too.
const IGNORED: &[&str] = &[
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "betas",
    "log_one_minus_alphas_cumprod",
    "model_ema.decay",
    "model_ema.num_updates",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "posterior_variance",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "cond_stage_model.transformer.text_model.embeddings.position_ids",
    "cond_stage_model.logit_scale",
    "cond_stage_model.model.logit_scale",
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
    "logit_scale",
    // What is left of the text encoder beside the picture encoder of an unCLIP model.
    "ln_final.bias",
    "ln_final.weight",
    "positional_embedding",
    "text_projection",
    "token_embedding.weight",
];

/// Of an unCLIP model: its second noise schedule, and its picture encoder.
const AUGMENTOR: &str = "noise_augmentor.";
const EMBEDDER: &str = "embedder.model.";

/// After loading: which tensors of the file (or of the part of it below this place) were not used,
/// in words, if there are any that should have been.
pub fn unused(weights: &Weights) -> Option<String> {
    let mut keys = weights.unused();
    let bare = |key: &&str| {
        let below = key.strip_prefix(AUGMENTOR).or_else(|| key.strip_prefix(EMBEDDER));
        below.unwrap_or(key).to_owned()
    };
    keys.retain(|key| !IGNORED.contains(&bare(key).as_str()));
    told("not used", &keys).map(|told| format!("{}: {told}", weights.file()))
}

/// A whole checkpoint.
pub struct Checkpoint {
    pub family: &'static Family,
    pub unet: Unet,
    pub clip: Clip,
    pub vae: Vae,
    /// How an unCLIP model sees the pictures that it is told.
    pub vision: Option<ClipVision>,
    pub preview: Preview,
}

impl Checkpoint {
    /// Recognises the family and checks that every tensor is there; an error tells all that is wrong.
    pub fn load(weights: &Weights) -> Result<Self> {
        let kind = identify(weights);
        let Some(Kind { runs: Whole(family), .. }) = kind else {
            let kind = kind.map_or("of no kind that Weft knows", |k| k.name);
            bail!(
                "{}: this is no Stable Diffusion 1.x or 2.x checkpoint that runs ({kind}); other families \
                 do not run yet",
                weights.file()
            );
        };
        let unet = Unet::load(weights.at("model.diffusion_model"), family.unet_heads);
        let text = ["cond_stage_model.model", "cond_stage_model.transformer"];
        let text = text.into_iter().find(|place| weights.has(place)).unwrap_or(text[1]);
        let clip = Clip::load(&weights.at(text), heads(weights));
        let vae = Vae::load(&weights.at("first_stage_model"));
        let vision = ClipVision::inside_checkpoint(weights);
        let vision = vision.map(|place| ClipVision::load(&place)).transpose();
        let preview = Preview::load(weights);
        let errors = [
            unet.as_ref().err(),
            clip.as_ref().err(),
            vae.as_ref().err(),
            vision.as_ref().err(),
            preview.as_ref().err(),
        ];
        let errors: Vec<String> = errors.into_iter().flatten().map(|e| format!("{e:#}")).collect();
        ensure!(errors.len() < 2, "{}", errors.join("\n  "));
        let (unet, clip, vae, vision, preview) = (unet?, clip?, vae?, vision?, preview?);
        Ok(Self { family, unet, clip, vae, vision, preview })
    }
}

const PROJ_IN: &str = "input_blocks.1.1.proj_in.weight";
const LABEL: &str = "label_emb.0.0.weight";

/// The families by their UNets alone, from the particular to the general.
static UNETS: &[(&Family, &[Sign])] = {
    const CONV_IN: &str = "input_blocks.0.0.weight";
    const MATRICES: Sign = Rank(PROJ_IN, 2);
    const VELOCITY: Sign = Spread("output_blocks.11.1.transformer_blocks.0.norm1.bias", V_SPREAD);
    &[
        (&UNCLIP_VELOCITY_2, &[MATRICES, Key(LABEL), Size(CONV_IN, 1, 4), VELOCITY]),
        (&UNCLIP_2, &[MATRICES, Key(LABEL), Size(CONV_IN, 1, 4)]),
        (&INPAINT_2, &[MATRICES, Size(CONV_IN, 1, 9)]),
        (&VELOCITY_2, &[MATRICES, Size(CONV_IN, 1, 4), VELOCITY]),
        (&PLAIN_2, &[MATRICES, Size(CONV_IN, 1, 4)]),
        (&PLAIN, &[Rank(PROJ_IN, 4), Size(CONV_IN, 1, 4)]),
        (&INPAINT, &[Rank(PROJ_IN, 4), Size(CONV_IN, 1, 9)]),
        (&INSTRUCT, &[Rank(PROJ_IN, 4), Size(CONV_IN, 1, 8)]),
    ]
};

/// A UNet from a file of its own, under its names in checkpoints or without their beginning, or under those
/// of the diffusers library.
pub fn load_unet(file: &Weights) -> Result<(Unet, &'static Family)> {
    let inside = ["model.diffusion_model", "model", "diffusion_model"];
    let inside = inside.iter().find(|place| file.has(&format!("{place}.input_blocks")));
    let weights = inside.map_or_else(|| diffusers::unet(file), |place| file.at(place));
    // Networks of the same build that read four numbers there give depths of a picture (Lotus).
    let others = weights.shape(LABEL).is_some_and(|shape| shape.get(1) == Some(&4));
    let mut families = UNETS.iter().filter(|_| !others);
    let family = families
        .find(|(_, signs)| signs.iter().all(|sign| sign.holds(&weights)))
        .map(|(family, _)| *family);
    let Some(family) = family else {
        let kind = identify(file).map_or("of no kind that Weft knows", |k| k.name);
        bail!(
            "{}: this is no UNet of Stable Diffusion 1.x or 2.x ({kind}); others do not run yet",
            file.file()
        );
    };
    Ok((Unet::load(weights, family.unet_heads)?, family))
}

/// CLIP's text encoder from a file of its own.
pub fn load_clip(file: &Weights) -> Result<Clip> {
    let inside = ["cond_stage_model.transformer", "cond_stage_model.model", "clip_l.transformer"];
    let inside = inside.into_iter().chain(["clip_h.transformer"]).map(|place| file.at(place));
    let mut places = std::iter::once(file.clone()).chain(inside);
    let Some(place) = places.find(|p| p.has("text_model") || openclip::has_text(p)) else {
        let kind = identify(file).map_or("of no kind that Weft knows", |k| k.name);
        bail!("{}: this is no CLIP text encoder ({kind}); others do not run yet", file.file());
    };
    Clip::load(&place, heads(file))
}

/// Of the text encoder, where the file says it.
fn heads(file: &Weights) -> Option<usize> {
    let heads = file.metadata().get("clip.num_attention_heads")?.parse().ok()?;
    (heads > 0).then_some(heads)
}

#[cfg(test)]
mod tests;
