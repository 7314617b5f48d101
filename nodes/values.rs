//! What travels along links.

use crate::{
    clip_vision::{ClipVision, ClipVisionOutput},
    conditioning_properties::TimestepsRange,
    controlnet::{Control, ControlNet},
    gligen::{Gligen, Grounding},
    hook::{ClipHooks, Hooks, Keyframes},
    latent_operation::LatentOperation,
    style_model::StyleModel,
    unclip::Unclip,
    upscale_model::UpscaleModel,
};
use graph::{Field, Value};
use models::{Clip as TextEncoder, Concat, Family, Preview, Taesd, Unet, Vae as Autoencoder};
use ndarray::{Array3, Array4};
use sampling::{LatentFormat, ModelSampling, Patch, Rule};
use std::{collections::BTreeMap, sync::Arc};

macro_rules! fields { ($($ty:ident = $name:literal, $bytes:expr;)*) => {$(
    impl Field for $ty {
        const TYPE: &'static str = $name;
        fn bytes(&self) -> usize {
            let bytes: fn(&$ty) -> usize = $bytes;
            bytes(self)
        }
    }
)*}}

/// Pictures, `[batch, height, width, channels]`, 0 to 1.
#[derive(Clone, Debug)]
pub struct Image(pub Arc<Array4<f32>>);

/// `[batch, height, width]`, 1 where something is to be painted.
#[derive(Clone, Debug)]
pub struct Mask(pub Arc<Array3<f32>>);

impl Mask {
    /// Its shape where it goes with a latent: as a picture of one channel.
    fn one_channel(&self) -> [usize; 4] {
        let (n, h, w) = self.0.dim();
        [n, 1, h, w]
    }
}

/// What a UNet denoises.
#[derive(Clone, Debug)]
pub struct Latent {
    /// `[batch, channels, height / 8, width / 8]`
    pub samples: Arc<Array4<f32>>,
    /// 1 where the sampler may paint.
    pub noise_mask: Option<Mask>,
    /// The place of each entry in the batch that it was taken from.
    pub batch_index: Option<Arc<Vec<usize>>>,
}

impl Latent {
    pub fn new(samples: Array4<f32>) -> Self {
        Self { samples: Arc::new(samples), noise_mask: None, batch_index: None }
    }
    /// The same mask and places with other samples.
    #[must_use]
    pub fn with(&self, samples: Array4<f32>) -> Self {
        Self { samples: Arc::new(samples), ..self.clone() }
    }
    /// The place of each entry in the batch that it comes from.
    pub(crate) fn places(&self) -> Vec<usize> {
        let own = || (0..self.samples.dim().0).collect();
        self.batch_index.as_ref().map_or_else(own, |places| places.to_vec())
    }
}

/// What a network is told by one entry of a conditioning.
#[derive(Clone, Debug)]
pub struct Told {
    /// `[1, tokens, channels]`
    pub tokens: Arc<Array3<f32>>,
    pub pooled: Option<Arc<Vec<f32>>>,
    /// A picture's latent to go with the noise, `[batch, 4, h, w]`, and its mask in pixels.
    pub concat_latent: Option<Arc<Array4<f32>>>,
    pub concat_mask: Option<Mask>,
    /// Pictures for models that are told some.
    pub unclip: Vec<Unclip>,
    pub control: Option<Control>,
    /// Whether the control speaks to the other prompt too.
    pub control_for_both: bool,
    pub grounding: Option<Grounding>,
    /// What changes the model where it is asked.
    pub hooks: Hooks,
    /// The part of the run for which the text encoder made it.
    pub span: (f64, f64),
    /// The prompt that controls read in the place of the network's.
    pub control_prompt: Option<Arc<ControlPrompt>>,
    /// What only networks of other families read, by the original's names.
    pub extra: BTreeMap<&'static str, Extra>,
}

/// A prompt for controls alone.
#[derive(Debug)]
pub struct ControlPrompt {
    /// `[1, tokens, channels]`
    pub tokens: Array3<f32>,
    pub pooled: Vec<f32>,
}

/// A fact that goes with a prompt.
#[derive(Clone, Debug)]
pub enum Extra {
    Number(f64),
    /// `[batch, channels, height, width]`
    Picture(Arc<Array4<f32>>),
}

impl Told {
    /// Nothing but a prompt.
    pub fn new(tokens: Array3<f32>, pooled: Vec<f32>) -> Self {
        Self {
            tokens: Arc::new(tokens),
            pooled: Some(Arc::new(pooled)),
            concat_latent: None,
            concat_mask: None,
            unclip: Vec::new(),
            control: None,
            control_for_both: false,
            grounding: None,
            hooks: Hooks::default(),
            span: (0.0, 1.0),
            control_prompt: None,
            extra: BTreeMap::new(),
        }
    }
}

/// Entries that are denoised each for itself, then mixed.
#[derive(Clone, Debug)]
pub struct Conditioning(pub Arc<Vec<sampling::Cond<Told>>>);

impl Conditioning {
    /// Every entry changed by `f`.
    #[must_use]
    pub fn map(&self, f: impl Fn(&mut sampling::Cond<Told>)) -> Self {
        let mut entries = (*self.0).clone();
        entries.iter_mut().for_each(f);
        Self(Arc::new(entries))
    }

    /// Every entry with more facts.
    #[must_use]
    pub(crate) fn with_extra(&self, facts: &[(&'static str, Extra)]) -> Self {
        self.map(|entry| entry.payload.extra.extend(facts.iter().cloned()))
    }
}

/// A noise predictor.
#[derive(Clone)]
pub struct Model {
    pub unet: Unet,
    pub family: &'static Family,
    pub preview: Preview,
    /// How latents lie for it.
    pub latent: LatentFormat,
    /// Its noise levels, and what it predicts.
    pub sampling: Arc<ModelSampling>,
    /// Changes to guidance.
    pub guidance: Vec<Patch>,
    /// Parts (0..=1) of the run between which pictures are made smaller inside the network.
    pub shrink: Option<(f64, f64)>,
    /// How strongly a mask says when each place is sampled, in place of whether.
    pub differential: Option<f32>,
    /// An empty prompt that guidance is to measure from, and how much a negative counts then.
    pub perp_neg: Option<(Conditioning, f64)>,
}

impl Model {
    pub fn concat(&self) -> Concat {
        self.family.concat
    }

    /// The same with one more change to guidance.
    #[must_use]
    pub(crate) fn guided(mut self, patch: Patch) -> Self {
        self.guidance.push(patch);
        self
    }
}

/// The noise levels that a run visits, which fall as a rule.
#[derive(Clone, Debug)]
pub struct Sigmas(pub Arc<Vec<f32>>);

impl Sigmas {
    pub fn new(sigmas: Vec<f32>) -> Self {
        Self(Arc::new(sigmas))
    }
}

/// How one noise level leads to the next: a row of the sampler table, with its options.
#[derive(Clone, Copy, Debug)]
pub struct Sampler(pub sampling::Sampler);

/// What a run starts from.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    pub seed: u64,
    /// No noise at all; the seed is still the sampler's.
    pub disabled: bool,
}

/// A model, and what it is told: as many conditionings as the rule wants, in its order.
#[derive(Clone)]
pub struct Guider {
    pub model: Model,
    pub rule: Rule,
    pub conds: Vec<Conditioning>,
}

/// A text encoder, and the layer it is read at.
#[derive(Clone)]
pub struct Clip {
    pub encoder: TextEncoder,
    /// -1 is the last.
    pub layer: i64,
    /// What changes it where it encodes.
    pub hooks: Option<ClipHooks>,
}

impl Clip {
    /// Read at the layer that its family is trained with.
    pub(crate) fn new(encoder: TextEncoder) -> Self {
        Self { layer: encoder.layer(), encoder, hooks: None }
    }
}

/// Knows how latents look.
#[derive(Clone)]
pub enum Vae {
    Network(Autoencoder),
    Tiny(Taesd),
    /// A latent is its picture, channels first and of -1 to 1.
    PixelSpace,
}

fields! {
    Image = "IMAGE", |i| 4 * i.0.len();
    Mask = "MASK", |m| 4 * m.0.len();
    Latent = "LATENT", |l| 4 * l.samples.len();
    Conditioning = "CONDITIONING", |c| c.0.iter().map(|e| 4 * e.payload.tokens.len()).sum();
    Model = "MODEL", |_| 0;
    Clip = "CLIP", |_| 0;
    Vae = "VAE", |_| 0;
    ControlNet = "CONTROL_NET", |_| 0;
    Gligen = "GLIGEN", |_| 0;
    UpscaleModel = "UPSCALE_MODEL", |_| 0;
    ClipVision = "CLIP_VISION", |_| 0;
    ClipVisionOutput = "CLIP_VISION_OUTPUT", |o| 8 * o.0.last_hidden.len();
    StyleModel = "STYLE_MODEL", |_| 0;
    Sigmas = "SIGMAS", |s| 4 * s.0.len();
    Sampler = "SAMPLER", |_| 0;
    Noise = "NOISE", |_| 0;
    Guider = "GUIDER", |_| 0;
    Hooks = "HOOKS", |_| 0;
    Keyframes = "HOOK_KEYFRAMES", |k| 24 * k.0.len();
    TimestepsRange = "TIMESTEPS_RANGE", |_| 16;
    LatentOperation = "LATENT_OPERATION", |_| 0;
}

/// A tensor taken out of a value: its path into the value, its shape, its numbers.
pub type Dumped = (String, Vec<usize>, Vec<f32>);

/// The tensors in what an output gives, their names begun with that of the output.
pub fn dump_slot(output: &str, values: &[Value]) -> Vec<Dumped> {
    let named = |(i, value): (usize, &Value)| {
        let of = if values.len() == 1 { output.to_owned() } else { format!("{output}[{i}]") };
        let dumped = dump(value).into_iter();
        dumped.map(move |(part, shape, x)| (format!("{of}{part}"), shape, x)).collect::<Vec<_>>()
    };
    values.iter().enumerate().flat_map(named).collect()
}

/// The tensors in a value, under the names that `weft run --dump` and the goldens use.
pub fn dump(value: &Value) -> Vec<Dumped> {
    let flat =
        |name: &str, shape: &[usize], x: Vec<f32>| vec![(name.to_owned(), shape.to_vec(), x)];
    if let Ok(image) = value.get::<Image>() {
        return flat("", image.0.shape(), image.0.iter().copied().collect());
    }
    if let Ok(mask) = value.get::<Mask>() {
        return flat("", mask.0.shape(), mask.0.iter().copied().collect());
    }
    if let Ok(sigmas) = value.get::<Sigmas>() {
        return flat("", &[sigmas.0.len()], sigmas.0.to_vec());
    }
    if let Ok(latent) = value.get::<Latent>() {
        let mut out =
            flat(".samples", latent.samples.shape(), latent.samples.iter().copied().collect());
        if let Some(mask) = &latent.noise_mask {
            out.extend(flat(".noise_mask", &mask.one_channel(), mask.0.iter().copied().collect()));
        }
        for (i, place) in latent.batch_index.iter().flat_map(|b| b.iter()).enumerate() {
            out.extend(flat(&format!(".batch_index.{i}#scalar"), &[], vec![*place as f32]));
        }
        return out;
    }
    if let Ok(ClipVisionOutput(seen)) = value.get::<ClipVisionOutput>() {
        let hidden = [seen.batch, seen.tokens, seen.channels];
        let embeds = [seen.batch, seen.embeds.len() / seen.batch.max(1)];
        return [
            flat(".last_hidden_state", &hidden, seen.last_hidden.clone()),
            flat(".penultimate_hidden_states", &hidden, seen.penultimate.clone()),
            flat(".image_embeds", &embeds, seen.embeds.clone()),
        ]
        .concat();
    }
    let Ok(conditioning) = value.get::<Conditioning>() else { return Vec::new() };
    let entry = |(i, e): (usize, &sampling::Cond<Told>)| {
        let mut out = flat(
            &format!(".{i}.0"),
            e.payload.tokens.shape(),
            e.payload.tokens.iter().copied().collect(),
        );
        if let Some(pooled) = &e.payload.pooled {
            out.extend(flat(&format!(".{i}.1.pooled_output"), &[1, pooled.len()], pooled.to_vec()));
        }
        if let Some(x) = &e.payload.concat_latent {
            let name = format!(".{i}.1.concat_latent_image");
            out.extend(flat(&name, x.shape(), x.iter().copied().collect()));
        }
        if let Some(mask) = &e.payload.concat_mask {
            let name = format!(".{i}.1.concat_mask");
            out.extend(flat(&name, &mask.one_channel(), mask.0.iter().copied().collect()));
        }
        if let Some(prompt) = &e.payload.control_prompt {
            let (tokens, pooled) = (&prompt.tokens, &prompt.pooled);
            let name = |of: &str| format!(".{i}.1.{of}_controlnet");
            let numbers = tokens.iter().copied().collect();
            out.extend(flat(&name("cross_attn"), tokens.shape(), numbers));
            out.extend(flat(&name("pooled_output"), &[1, pooled.len()], pooled.clone()));
        }
        for (name, extra) in &e.payload.extra {
            let name = format!(".{i}.1.{name}");
            out.extend(match extra {
                Extra::Number(x) => flat(&format!("{name}#scalar"), &[], vec![*x as f32]),
                Extra::Picture(x) => flat(&name, x.shape(), x.iter().copied().collect()),
            });
        }
        out
    };
    conditioning.0.iter().enumerate().flat_map(entry).collect()
}
