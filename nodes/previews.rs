//! Pictures of the work so far, while a sampler is at it.

use crate::{Model, Options};
use anyhow::{Context as _, Result};
use graph::{Context, Event};
use models::{TinyDecoder, VaeSize};
use ndarray::Axis;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tensor::Device;

/// How samplers show the picture as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Previews {
    /// By the tiny decoder where its file is there and knows the model's latents, else by their colours.
    #[default]
    Auto,
    /// By the tiny decoder (TAESD), an eighth of the work or less of what a VAE takes.
    Taesd,
    /// A pixel for each of the latent's.
    Latent2rgb,
    Nothing,
}

/// How samplers show the picture where a person may change it while the program runs: counts more than
/// [`Options::previews`].
#[derive(Default)]
pub struct PreviewSwitch(Mutex<Previews>);

impl PreviewSwitch {
    pub fn set(&self, previews: Previews) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = previews;
    }

    fn get(&self) -> Previews {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Previews come no faster than anyone can look at them,
const LEAST: Duration = Duration::from_millis(100);
/// and so rarely that a run takes at most a twentieth more time for them.
const SHARE: u32 = 20;

/// Makes previews of one run.
pub(crate) struct Painter {
    wanted: bool,
    decoder: Option<TinyDecoder>,
    /// When the next one may come.
    next: Option<Instant>,
}

impl Painter {
    pub fn new(ctx: &mut Context, model: &Model) -> Self {
        let switch = ctx.services.find::<PreviewSwitch>();
        let method = switch.map_or_else(|| ctx.services.get::<Options>().previews, |s| s.get());
        let tiny = match method {
            Previews::Auto => model.preview.is_general(),
            Previews::Taesd => true,
            Previews::Latent2rgb | Previews::Nothing => false,
        };
        let decoder = if tiny { decoder(ctx, model.family.tiny) } else { Ok(None) };
        let missing = method == Previews::Taesd && matches!(decoder, Ok(None));
        if missing {
            ctx.note(format!(
                "previews are of colours only: models/vae_approx has no {}_decoder.safetensors",
                model.family.tiny
            ));
        }
        let decoder = decoder.unwrap_or_else(|error| {
            ctx.note(format!("previews are of colours only: {error:#}"));
            None
        });
        Self { wanted: method != Previews::Nothing, decoder, next: None }
    }

    /// The first picture of a batch, if it is time for one.
    pub fn paint(
        &mut self,
        device: &Device,
        model: &Model,
        denoised: &sampling::Latent,
    ) -> Option<Event> {
        let begun = Instant::now();
        if !self.wanted || self.next.is_some_and(|next| begun < next) {
            return None;
        }
        let (_, channels, height, width) = denoised.dim();
        let first: Vec<f32> = denoised.index_axis(Axis(0), 0).iter().copied().collect();
        let fits = |decoder: &&TinyDecoder| decoder.latent_channels == channels;
        let size = VaeSize { batch: 1, height, width };
        let painted = self.decoder.as_ref().filter(fits);
        let painted = painted.map(|decoder| decoder.picture(device, &first, size));
        let event = match painted {
            Some(Ok(picture)) => {
                let rgb: Vec<u8> = picture.iter().map(|x| (x * 255.0) as u8).collect();
                let [height, width] = [height, width].map(|n| (TinyDecoder::SCALE * n) as u32);
                Event::Preview { width, height, rgb: rgb.into() }
            }
            // A run is worth more than its previews.
            Some(Err(error)) => {
                self.decoder = None;
                Event::Note(format!("previews are of colours from here on: {error:#}"))
            }
            None => Event::Preview {
                width: width as u32,
                height: height as u32,
                rgb: model.preview.rgb(&first).into(),
            },
        };
        self.next = Some(Instant::now() + LEAST.max(SHARE * begun.elapsed()));
        Some(event)
    }
}

/// The tiny decoder of this name, if its file is there.
fn decoder(ctx: &Context, name: &str) -> Result<Option<TinyDecoder>> {
    let files = ctx.host.list("vae_approx");
    let Some(file) = files.iter().find(|f| f.starts_with(&format!("{name}_decoder."))) else {
        return Ok(None);
    };
    let weights = crate::loaders::weights(ctx, "vae_approx", file)?;
    Ok(Some(TinyDecoder::load(weights).with_context(|| file.clone())?))
}
