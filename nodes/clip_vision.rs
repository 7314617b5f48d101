//! Pictures as CLIP sees them.

use crate::{Image, resize};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use models::{ClipVision as Network, Seen};
use ndarray::{Array4, s};
use std::sync::Arc;
use tensor::Device;

/// A picture encoder.
#[derive(Clone)]
pub struct ClipVision {
    pub network: Network,
}

/// What a picture encoder saw in pictures.
#[derive(Clone, Debug)]
pub struct ClipVisionOutput(pub Arc<Seen>);

/// Mean and standard deviation of red, green and blue in the pictures that CLIP was trained with.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Loads CLIP's picture encoder.
#[derive(Inputs)]
pub struct CLIPVisionLoader {
    /// A file in models/clip_vision.
    #[widget(file("clip_vision"))]
    pub clip_name: String,
}

impl Node for CLIPVisionLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load CLIP Vision";
    type Output = ClipVision;

    fn run(self, ctx: &mut Context) -> Result<ClipVision> {
        let weights = crate::loaders::weights(ctx, "clip_vision", &self.clip_name)?;
        Ok(ClipVision { network: Network::load(&Network::inside(&weights))? })
    }
}

/// Looks at pictures with CLIP, for models that are told pictures.
#[derive(Inputs)]
pub struct CLIPVisionEncode {
    /// The picture encoder.
    pub clip_vision: ClipVision,
    /// What to look at.
    pub image: Image,
    /// It sees squares: the middle of the picture, or all of it squeezed.
    #[widget(one_of(["center", "none"]))]
    pub crop: String,
}

impl Node for CLIPVisionEncode {
    const CATEGORY: &str = "conditioning";
    const TITLE: &str = "CLIP Vision Encode";
    type Output = ClipVisionOutput;

    fn run(self, ctx: &mut Context) -> Result<ClipVisionOutput> {
        let network = &self.clip_vision.network;
        let pictures = prepared(&self.image.0, network.size, self.crop == "center");
        let pictures = pictures.as_standard_layout();
        let numbers = pictures.as_slice().expect("just laid out");
        let device = ctx.services.get::<Device>();
        let seen = network.encode(&device, numbers, pictures.dim().0)?;
        Ok(ClipVisionOutput(Arc::new(seen)))
    }
}

/// Squares of this size, of 256 levels a colour, then of mean 0 and deviation 1.
fn prepared(x: &Array4<f32>, size: usize, crop: bool) -> Array4<f32> {
    let x = x.slice(s![.., .., .., ..3]).to_owned();
    let (_, height, width, _) = x.dim();
    let new = match crop {
        true => {
            let scale = size as f64 / height.min(width) as f64;
            [height, width].map(|n| (scale * n as f64).round_ties_even() as usize)
        }
        false => [size, size],
    };
    let fits = (height, width) == (size, size);
    let mut y = if fits { x } else { resize::bicubic_antialiased(&x, new, size) };
    for ((_, _, _, c), x) in y.indexed_iter_mut() {
        let level = (255.0 * *x).clamp(0.0, 255.0).round_ties_even() / 255.0;
        *x = (level - MEAN[c]) / DEVIATION[c];
    }
    y
}
