//! What Stable Diffusion's x4 upscaler reads beside a prompt.

use crate::{Conditioning, Image, Latent, resize::resize, values::Extra};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::Array4;
use std::sync::Arc;

/// Tells Stable Diffusion's x4 upscaler which picture to enlarge; other models take no notice.
#[derive(Inputs)]
#[expect(non_camel_case_types, reason = "the name in files")]
pub struct SD_4XUpscale_Conditioning {
    /// The pictures.
    pub images: Image,
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// How much larger it becomes.
    #[widget(number(4.0).range(0.0..=10.0).step(0.01))]
    pub scale_ratio: f64,
    /// How much noise is put on the picture first: more invents more.
    #[widget(number(0.0).range(0.0..=1.0).step(0.001))]
    pub noise_augmentation: f64,
}

impl Node for SD_4XUpscale_Conditioning {
    const CATEGORY: &str = "conditioning/upscale_diffusion";
    const OUTPUT_NAMES: &[&str] = &["positive", "negative", "latent"];
    type Output = (Conditioning, Conditioning, Latent);

    fn run(self, _: &mut Context) -> Result<Self::Output> {
        let (batch, height, width, _) = self.images.0.dim();
        let size = |n: usize| (n as f64 * self.scale_ratio).round_ties_even().max(1.0) as usize / 4;
        let (height, width) = (size(height), size(width));
        let picture = self.images.0.mapv(|x| x * 2.0 - 1.0);
        let picture = resize(&picture, "bilinear", height, width, "center")?;
        let picture = picture.permuted_axes([0, 3, 1, 2]).as_standard_layout().into_owned();
        let facts = [
            ("concat_image", Extra::Picture(Arc::new(picture))),
            ("noise_augmentation", Extra::Number(self.noise_augmentation)),
        ];
        let [positive, negative] = [self.positive, self.negative].map(|c| c.with_extra(&facts));
        Ok((positive, negative, Latent::new(Array4::zeros((batch, 4, height, width)))))
    }
}
