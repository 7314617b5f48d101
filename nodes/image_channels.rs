//! A picture's brightness and colour apart, and together again (ITU-R BT.601).

use crate::Image;
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Axis};
use std::sync::Arc;

/// Splits a picture into brightness (Y) and colour (U, V), each a grey picture.
#[derive(Inputs)]
pub struct ImageRGBToYUV {
    /// The picture.
    pub image: Image,
}

impl Node for ImageRGBToYUV {
    const CATEGORY: &str = "image/batch";
    const OUTPUT_NAMES: &[&str] = &["Y", "U", "V"];
    type Output = (Image, Image, Image);

    fn run(self, _: &mut Context) -> Result<Self::Output> {
        let (n, h, w, c) = self.image.0.dim();
        ensure!(c == 3, "the picture has {c} channels, not three");
        let grey = |of: fn([f32; 3]) -> f32| {
            let value = |(b, y, x, _)| of([0, 1, 2].map(|c| self.image.0[[b, y, x, c]]));
            Image(Arc::new(Array4::from_shape_fn((n, h, w, 3), value)))
        };
        Ok((
            grey(luma),
            grey(|p| (p[2] - luma(p)) * 0.564 + 0.5),
            grey(|p| (p[0] - luma(p)) * 0.713 + 0.5),
        ))
    }
}

fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

/// Puts a picture together from brightness (Y) and colour (U, V).
#[derive(Inputs)]
#[allow(non_snake_case, reason = "the names in files")]
pub struct ImageYUVToRGB {
    /// The brightness.
    pub Y: Image,
    /// How blue.
    pub U: Image,
    /// How red.
    pub V: Image,
}

impl Node for ImageYUVToRGB {
    const CATEGORY: &str = "image/batch";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let means = [&self.Y, &self.U, &self.V].map(|i| i.0.mean_axis(Axis(3)));
        let [Some(luma), Some(blue), Some(red)] = means else {
            anyhow::bail!("a picture without channels")
        };
        let shapes = [luma.shape(), blue.shape(), red.shape()];
        ensure!(shapes.iter().all(|s| *s == shapes[0]), "Y, U and V differ in size: {shapes:?}");
        let (n, h, w) = luma.dim();
        Ok(Image(Arc::new(Array4::from_shape_fn((n, h, w, 3), |(b, y, x, c)| {
            let at = [b, y, x];
            let (blue, red) = (blue[at] - 0.5, red[at] - 0.5);
            luma[at] + [1.403 * red, -0.714 * red - 0.344 * blue, 1.773 * blue][c]
        }))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_but_for_the_rounding_of_the_standard() {
        let image =
            Array4::from_shape_fn((1, 2, 3, 3), |(_, y, x, c)| (y + 2 * x + 3 * c) as f32 / 12.0);
        let node = ImageRGBToYUV { image: Image(Arc::new(image.clone())) };
        let back = Context::bare(|ctx| {
            let (y, u, v) = node.run(ctx)?;
            ImageYUVToRGB { Y: y, U: u, V: v }.run(ctx)
        });
        let off = (&*back.unwrap().0 - &image).mapv(f32::abs).fold(0.0, |a: f32, b| a.max(*b));
        assert!(off < 5e-3, "{off}");
    }
}
