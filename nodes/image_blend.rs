//! Two pictures mixed, by the blend modes of picture editors.

use crate::{Image, composite::opaque, resize};
use anyhow::{Context as _, Result};
use graph::{Context, Inputs, Node};
use ndarray::Zip;
use std::sync::Arc;

type Mode = (&'static str, fn(f32, f32) -> f32);

/// What becomes of a value below and a value above, by name.
const MODES: [Mode; 6] = [
    ("normal", |_, b| b),
    ("multiply", |a, b| a * b),
    ("screen", |a, b| 1.0 - (1.0 - a) * (1.0 - b)),
    ("overlay", |a, b| if a <= 0.5 { 2.0 * a * b } else { 1.0 - 2.0 * (1.0 - a) * (1.0 - b) }),
    ("soft_light", soft_light),
    ("difference", |a, b| a - b),
];

/// W3C Compositing 1, 9.1.10.
fn soft_light(a: f32, b: f32) -> f32 {
    if b <= 0.5 {
        return a - (1.0 - 2.0 * b) * a * (1.0 - a);
    }
    let d = if a <= 0.25 { ((16.0 * a - 12.0) * a + 4.0) * a } else { a.sqrt() };
    a + (2.0 * b - 1.0) * (d - a)
}

/// Mixes two pictures; the second takes the size of the first.
#[derive(Inputs)]
pub struct ImageBlend {
    /// What lies below.
    pub image1: Image,
    /// What lies above.
    pub image2: Image,
    /// How much the mixture counts; 0 leaves the first picture.
    #[widget(number(0.5).range(0.0..=1.0).step(0.01))]
    pub blend_factor: f64,
    /// How the two are mixed.
    #[widget(one_of(MODES.map(|(name, _)| name)))]
    pub blend_mode: String,
}

impl Node for ImageBlend {
    const CATEGORY: &str = "image/postprocessing";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let mode = MODES.iter().find(|(name, _)| *name == self.blend_mode);
        let (_, blend) = mode.with_context(|| format!("there is no mode {}", self.blend_mode))?;
        let (_, h, w, c) = self.image1.0.dim();
        let channels = c.max(self.image2.0.dim().3);
        let below = opaque(&self.image1.0, channels);
        let above = resize::resize(&opaque(&self.image2.0, channels), "bicubic", h, w, "center")?;
        let above = above.broadcast(below.raw_dim()).with_context(|| {
            format!("batches of {} and {} pictures cannot be mixed", below.dim().0, above.dim().0)
        })?;
        let share = self.blend_factor as f32;
        let mix = |a: &f32, b: &f32| (a * (1.0 - share) + blend(*a, *b) * share).clamp(0.0, 1.0);
        Ok(Image(Arc::new(Zip::from(&below).and(above).map_collect(mix))))
    }
}
