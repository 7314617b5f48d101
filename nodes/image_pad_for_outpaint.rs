//! Outpainting begins here.

use crate::{Image, Mask};
use graph::{Context, Inputs, Node, Result};
use ndarray::{Array3, Array4, s};
use std::sync::Arc;

const GREY: f32 = 0.5;
const MAX: usize = 16_384;

/// Adds a border to an image, and makes the mask that has the border painted.
#[derive(Inputs)]
pub struct ImagePadForOutpaint {
    /// The picture.
    pub image: Image,
    /// Pixels added at the left.
    #[widget(number(0).range(0..=MAX).step(8))]
    pub left: usize,
    /// Pixels added at the top.
    #[widget(number(0).range(0..=MAX).step(8))]
    pub top: usize,
    /// Pixels added at the right.
    #[widget(number(0).range(0..=MAX).step(8))]
    pub right: usize,
    /// Pixels added at the bottom.
    #[widget(number(0).range(0..=MAX).step(8))]
    pub bottom: usize,
    /// How far, in pixels, the mask fades into the image.
    #[widget(number(40).range(0..=MAX).step(1))]
    pub feathering: usize,
}

impl Node for ImagePadForOutpaint {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Pad Image for Outpainting";
    type Output = (Image, Mask);

    fn run(self, _: &mut Context) -> Result<(Image, Mask)> {
        let Self { left, top, right, bottom, feathering: feather, .. } = self;
        let (n, h, w, c) = self.image.0.dim();
        let (height, width) = (top + h + bottom, left + w + right);
        let mut image = Array4::from_elem((n, height, width, c), GREY);
        image.slice_mut(s![.., top..top + h, left..left + w, ..]).assign(&self.image.0);

        let fades = feather > 0 && 2 * feather < h && 2 * feather < w;
        let mask = Array3::from_shape_fn((1, height, width), |(_, y, x)| {
            let inside = (top..top + h).contains(&y) && (left..left + w).contains(&x);
            if !inside {
                return 1.0;
            }
            // Distance to the nearest edge that has a border on its far side.
            let (y, x) = (y - top, x - left);
            let edges = [(top, y), (bottom, h - y), (left, x), (right, w - x)];
            let bordered = edges.iter().filter(|(border, _)| *border > 0).map(|(_, d)| *d);
            match bordered.min() {
                Some(d) if fades && d < feather => ((feather - d) as f32 / feather as f32).powi(2),
                _ => 0.0,
            }
        });
        Ok((Image(Arc::new(image)), Mask(Arc::new(mask))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_with_grey_and_masks_the_border() -> Result<()> {
        let image = Image(Arc::new(Array4::ones((1, 2, 2, 1))));
        let node =
            ImagePadForOutpaint { image, left: 1, top: 0, right: 0, bottom: 0, feathering: 0 };
        let (image, mask) = Context::bare(|ctx| node.run(ctx))?;
        assert_eq!(image.0.iter().copied().collect::<Vec<_>>(), [0.5, 1.0, 1.0, 0.5, 1.0, 1.0]);
        assert_eq!(mask.0.iter().copied().collect::<Vec<_>>(), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        Ok(())
    }
}
