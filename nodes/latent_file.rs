//! Latents to files and back.

use crate::{Latent, loaders, save_file::save_file};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use ndarray::Array4;
use safetensors::{Dtype, tensor::TensorView};

/// The key that says that a file's numbers are as networks have them.
const VERSION: &str = "latent_format_version_0";

/// Older files hold numbers that are multiplied by this.
const OLD_SCALE: f32 = 0.18215;

/// Writes a latent into the output folder.
#[derive(Inputs)]
pub struct SaveLatent {
    /// The latent.
    pub samples: Latent,
    /// How the file names begin; may name a folder inside the output folder.
    #[widget(text("latents/ComfyUI"))]
    pub filename_prefix: String,
}

impl Node for SaveLatent {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "SaveLatent";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        let samples = &self.samples.samples;
        let numbers: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensors = [
            ("latent_tensor", TensorView::new(Dtype::F32, samples.shape().to_vec(), &numbers)?),
            (VERSION, TensorView::new(Dtype::F32, vec![0], &[])?),
        ];
        let about = crate::save_image::texts(ctx).into_iter().collect();
        let bytes = safetensors::serialize(tensors, Some(about))?;
        save_file(ctx, &self.filename_prefix, (0, 0), ("latents", "latent"), &bytes)
    }
}

/// Loads a latent that was written to a file.
#[derive(Inputs)]
pub struct LoadLatent {
    /// A .latent file in the input folder.
    #[widget(file("latents"))]
    pub latent: String,
}

impl Node for LoadLatent {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "LoadLatent";
    type Output = Latent;

    fn run(self, ctx: &mut Context) -> Result<Latent> {
        let weights = loaders::weights(ctx, "latents", &self.latent)?;
        let weight = weights.get("latent_tensor")?;
        let &[n, c, h, w] = weight.shape() else {
            anyhow::bail!(
                "{}: a latent of shape {:?}, not of four axes",
                self.latent,
                weight.shape()
            );
        };
        let samples = Array4::from_shape_vec((n, c, h, w), weight.to_f32()?);
        let mut samples = samples.with_context(|| self.latent.clone())?;
        if !weights.has(VERSION) {
            samples.mapv_inplace(|x| x / OLD_SCALE);
        }
        Ok(Latent::new(samples))
    }
}
