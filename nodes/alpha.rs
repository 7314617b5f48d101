//! Pictures with transparency: split, joined, laid over one another by Porter and Duff's rules.

use crate::{Image, Mask, resize};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array3, Array4, ArrayView2, ArrayView3, Axis, s};
use std::sync::Arc;

/// Takes a picture's transparency out of it.
#[derive(Inputs)]
pub struct SplitImageWithAlpha {
    /// The picture.
    pub image: Image,
}

impl Node for SplitImageWithAlpha {
    const CATEGORY: &str = "mask/compositing";
    const TITLE: &str = "Split Image with Alpha";
    type Output = (Image, Mask);

    fn run(self, _: &mut Context) -> Result<(Image, Mask)> {
        let (n, h, w, c) = self.image.0.dim();
        let mask = match c {
            4.. => self.image.0.index_axis(Axis(3), 3).mapv(|alpha| 1.0 - alpha),
            _ => Array3::zeros((n, h, w)),
        };
        let color = self.image.0.slice(s![.., .., .., ..c.min(3)]).to_owned();
        Ok((Image(Arc::new(color)), Mask(Arc::new(mask))))
    }
}

/// Gives a picture transparency.
#[derive(Inputs)]
pub struct JoinImageWithAlpha {
    /// The picture.
    pub image: Image,
    /// 1 where it is transparent.
    pub alpha: Mask,
}

impl Node for JoinImageWithAlpha {
    const CATEGORY: &str = "mask/compositing";
    const TITLE: &str = "Join Image with Alpha";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (n, h, w, c) = self.image.0.dim();
        ensure!(c >= 3, "the picture has {c} channels; it needs the three of a colour");
        let mask = sampling::mask::resize(&self.alpha.0, h, w);
        let joined =
            Array4::from_shape_fn((n.min(mask.dim().0), h, w, 4), |(b, y, x, c)| match c {
                3 => 1.0 - mask[[b, y, x]],
                _ => self.image.0[[b, y, x, c]],
            });
        Ok(Image(Arc::new(joined)))
    }
}

/// A value of the source and of the destination, each times its opacity, and the two opacities.
struct Pair {
    s: f32,
    d: f32,
    sa: f32,
    da: f32,
}

impl Pair {
    /// What lies over the other where only one of them is.
    fn apart(&self) -> f32 {
        (1.0 - self.da) * self.s + (1.0 - self.sa) * self.d
    }
    fn either(&self) -> f32 {
        self.sa + self.da - self.sa * self.da
    }
}

/// How a value and how the opacity of the result are made.
type Rule = (&'static str, fn(&Pair) -> f32, fn(&Pair) -> f32);

/// Porter and Duff 1984, and the blend modes that Android has beside theirs.
const RULES: [Rule; 18] = [
    ("ADD", |p| (p.s + p.d).clamp(0.0, 1.0), |p| (p.sa + p.da).clamp(0.0, 1.0)),
    ("CLEAR", |_| 0.0, |_| 0.0),
    ("DARKEN", |p| p.apart() + p.s.min(p.d), Pair::either),
    ("DST", |p| p.d, |p| p.da),
    ("DST_ATOP", |p| p.sa * p.d + (1.0 - p.da) * p.s, |p| p.sa),
    ("DST_IN", |p| p.d * p.sa, |p| p.sa * p.da),
    ("DST_OUT", |p| (1.0 - p.sa) * p.d, |p| (1.0 - p.sa) * p.da),
    ("DST_OVER", |p| p.d + (1.0 - p.da) * p.s, |p| p.da + (1.0 - p.da) * p.sa),
    ("LIGHTEN", |p| p.apart() + p.s.max(p.d), Pair::either),
    ("MULTIPLY", |p| p.s * p.d, |p| p.sa * p.da),
    ("OVERLAY", overlay, Pair::either),
    ("SCREEN", |p| p.s + p.d - p.s * p.d, Pair::either),
    ("SRC", |p| p.s, |p| p.sa),
    ("SRC_ATOP", |p| p.da * p.s + (1.0 - p.sa) * p.d, |p| p.da),
    ("SRC_IN", |p| p.s * p.da, |p| p.sa * p.da),
    ("SRC_OUT", |p| (1.0 - p.da) * p.s, |p| (1.0 - p.da) * p.sa),
    ("SRC_OVER", |p| p.s + (1.0 - p.sa) * p.d, |p| p.sa + (1.0 - p.sa) * p.da),
    ("XOR", Pair::apart, |p| (1.0 - p.da) * p.sa + (1.0 - p.sa) * p.da),
];

/// As the original has it: the second case subtracts each from the other's opacity.
fn overlay(p: &Pair) -> f32 {
    if 2.0 * p.d < p.da { 2.0 * p.s * p.d } else { p.sa * p.da - 2.0 * (p.da - p.s) * (p.sa - p.d) }
}

/// Below this opacity a colour is not told from black.
const INVISIBLE: f32 = 1e-5;

/// Lays a picture with transparency over another.
#[derive(Inputs)]
pub struct PorterDuffImageComposite {
    /// What is laid over.
    pub source: Image,
    /// 1 where the source is transparent.
    pub source_alpha: Mask,
    /// What lies below; the result has its size.
    pub destination: Image,
    /// 1 where the destination is transparent.
    pub destination_alpha: Mask,
    /// Which parts of the two show: SRC is the source, DST the destination.
    #[widget(one_of(RULES.map(|(name, ..)| name)).with("default", "DST"))]
    pub mode: String,
}

impl Node for PorterDuffImageComposite {
    const CATEGORY: &str = "mask/compositing";
    const TITLE: &str = "Porter-Duff Image Composite";
    type Output = (Image, Mask);

    fn run(self, _: &mut Context) -> Result<(Image, Mask)> {
        let (n, h, w, c) = self.destination.0.dim();
        let channels = self.source.0.dim().3;
        ensure!(c == channels, "the source has {channels} channels, the destination {c}");
        let source = resize::resize(&self.source.0, "bicubic", h, w, "center")?;
        let source_mask = fitted(&self.source_alpha, h, w)?;
        let mask = fitted(&self.destination_alpha, h, w)?;
        let entries = n.min(source.dim().0).min(source_mask.dim().0).min(mask.dim().0);
        let mut image = Array4::zeros((entries, h, w, c));
        let mut transparent = Array3::zeros((entries, h, w));
        for i in 0..entries {
            let at = Axis(0);
            let layers = [source.index_axis(at, i), self.destination.0.index_axis(at, i)];
            let masks = [source_mask.index_axis(at, i), mask.index_axis(at, i)];
            let (pixels, alpha) = composite(layers, masks, &self.mode)?;
            image.index_axis_mut(at, i).assign(&pixels);
            transparent.index_axis_mut(at, i).assign(&alpha.mapv(|a| 1.0 - a));
        }
        Ok((Image(Arc::new(image)), Mask(Arc::new(transparent))))
    }
}

/// The mask at another size, as pictures are resized.
fn fitted(mask: &Mask, h: usize, w: usize) -> Result<Array3<f32>> {
    let picture = mask.0.view().insert_axis(Axis(3)).to_owned();
    Ok(resize::resize(&picture, "bicubic", h, w, "center")?.remove_axis(Axis(3)))
}

/// The colours and the opacity of source and destination together.
fn composite(
    [source, destination]: [ArrayView3<f32>; 2],
    masks: [ArrayView2<f32>; 2],
    mode: &str,
) -> Result<(Array3<f32>, ndarray::Array2<f32>)> {
    let rule = RULES.iter().find(|(name, ..)| *name == mode);
    let Some((_, color, opacity)) = rule else { anyhow::bail!("there is no mode {mode}") };
    let pair = |y: usize, x: usize, s: f32, d: f32| {
        let [sa, da] = [0, 1].map(|i| 1.0 - masks[i][[y, x]]);
        Pair { s: s * sa, d: d * da, sa, da }
    };
    let alpha =
        ndarray::Array2::from_shape_fn(masks[0].raw_dim(), |(y, x)| opacity(&pair(y, x, 0.0, 0.0)));
    let pixels = Array3::from_shape_fn(source.raw_dim(), |(y, x, c)| {
        let value = color(&pair(y, x, source[[y, x, c]], destination[[y, x, c]]));
        let alpha = alpha[[y, x]];
        if alpha > INVISIBLE { (value / alpha).clamp(0.0, 1.0) } else { 0.0 }
    });
    Ok((pixels, alpha))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_joins_to_the_same() {
        let image = Image(Arc::new(Array4::from_shape_fn((1, 2, 2, 4), |(_, y, x, c)| {
            (y + x + c) as f32 / 8.0
        })));
        let parts =
            Context::bare(|ctx| SplitImageWithAlpha { image: image.clone() }.run(ctx)).unwrap();
        let node = JoinImageWithAlpha { image: parts.0, alpha: parts.1 };
        assert_eq!(Context::bare(|ctx| node.run(ctx)).unwrap().0, image.0);
    }
}
