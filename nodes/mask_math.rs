//! Masks compared with numbers, with colours and with one another.

use crate::{Image, Mask};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Axis, s};
use std::sync::Arc;

type Operation = (&'static str, fn(f32, f32) -> f32);

/// What becomes of two values, by name.
const OPERATIONS: [Operation; 6] = [
    ("multiply", |a, b| a * b),
    ("add", |a, b| a + b),
    ("subtract", |a, b| a - b),
    ("and", |a, b| truth(is(a) & is(b))),
    ("or", |a, b| truth(is(a) | is(b))),
    ("xor", |a, b| truth(is(a) ^ is(b))),
];

fn is(value: f32) -> bool {
    value.round_ties_even() != 0.0
}

fn truth(value: bool) -> f32 {
    f32::from(u8::from(value))
}

/// Puts a mask over another, value by value.
#[derive(Inputs)]
pub struct MaskComposite {
    /// What lies below.
    pub destination: Mask,
    /// What is laid over it.
    pub source: Mask,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(1))]
    pub x: usize,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(1))]
    pub y: usize,
    /// What becomes of the two values; the last three take rounded values as yes and no.
    #[widget(one_of(OPERATIONS.map(|(name, _)| name)))]
    pub operation: String,
}

impl Node for MaskComposite {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "MaskComposite";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        let combine = OPERATIONS.iter().find(|(name, _)| *name == self.operation).map(|(_, f)| f);
        let Some(combine) = combine else {
            anyhow::bail!("there is no operation {}", self.operation)
        };
        let ((_, h, w), (entries, sh, sw)) = (self.destination.0.dim(), self.source.0.dim());
        let mut mask = (*self.destination.0).clone();
        let (rows, columns) =
            (self.y.min(h)..(self.y + sh).min(h), self.x.min(w)..(self.x + sw).min(w));
        for ((b, y, x), out) in mask.slice_mut(s![.., rows, columns]).indexed_iter_mut() {
            *out = combine(*out, self.source.0[[b % entries, y, x]]);
        }
        Ok(Mask(Arc::new(mask.mapv(|m| m.clamp(0.0, 1.0)))))
    }
}

/// A mask of yes and no: 1 where the mask is over a value, else 0.
#[derive(Inputs)]
pub struct ThresholdMask {
    /// The mask.
    pub mask: Mask,
    /// What is at most this becomes 0.
    #[widget(number(0.5).range(0.0..=1.0).step(0.01))]
    pub value: f64,
}

impl Node for ThresholdMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "ThresholdMask";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        let limit = self.value as f32;
        Ok(Mask(Arc::new(self.mask.0.mapv(|m| truth(m > limit)))))
    }
}

/// A mask that is 1 where a picture has exactly one colour.
#[derive(Inputs)]
pub struct ImageColorToMask {
    /// The picture.
    pub image: Image,
    /// The colour, as the number 0xRRGGBB.
    #[widget(number(0).range(0..=0xff_ffff).step(1).with("display", "color"))]
    pub color: u32,
}

impl Node for ImageColorToMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "ImageColorToMask";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        let (n, h, w, c) = self.image.0.dim();
        ensure!(c >= 3, "the picture has {c} channels, a colour has three");
        let byte = |x: &f32| (x.clamp(0.0, 1.0) * 255.0).round_ties_even() as u32;
        let same = |pixel: ndarray::ArrayView1<f32>| {
            let color = pixel.iter().take(3).fold(0, |color, x| color << 8 | byte(x));
            truth(color == self.color)
        };
        let mask = self.image.0.map_axis(Axis(3), same);
        Ok(Mask(Arc::new(mask.into_shape_with_order((n, h, w))?)))
    }
}
