//! A picture laid over another, through a mask.

use crate::{Image, Mask, resize};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array3, Array4, ArrayView4, ArrayViewMut4, s};
use std::{ops::Range, sync::Arc};

/// Lays `above` over `below`, both `[batch, height, width, channels]`, with its upper left corner at
/// `[y, x]`, which may lie outside. The mask, at the size of `above`, says where that shows.
pub fn lay_over(
    mut below: ArrayViewMut4<f32>,
    above: &ArrayView4<f32>,
    [y, x]: [i64; 2],
    mask: Option<&Mask>,
) -> Result<()> {
    let ((_, h, w, c), (entries, ah, aw, ac)) = (below.dim(), above.dim());
    ensure!(ac >= c, "what is laid over has {ac} channels, what lies below {c}");
    let mask = match mask {
        Some(mask) => sampling::mask::resize(&mask.0, ah, aw),
        None => Array3::ones((1, ah, aw)),
    };
    let (rows, columns) = (overlap(y, ah, h), overlap(x, aw, w));
    let (top, left) = (skipped(y), skipped(x));
    for ((b, py, px, ch), out) in below.slice_mut(s![.., rows, columns, ..]).indexed_iter_mut() {
        let (py, px) = (py + top, px + left);
        let m = mask[[b % entries % mask.dim().0, py, px]];
        *out = m * above[[b % entries, py, px, ch]] + (1.0 - m) * *out;
    }
    Ok(())
}

/// The places that something of `size` covers, put at `start` into `whole`.
fn overlap(start: i64, size: usize, whole: usize) -> Range<usize> {
    let inside = |at: i64| usize::try_from(at.max(0)).unwrap_or(whole).min(whole);
    inside(start)..inside(start.saturating_add_unsigned(size as u64))
}

/// How many of its places lie before the beginning.
fn skipped(start: i64) -> usize {
    usize::try_from(start.saturating_neg()).unwrap_or(0)
}

/// The picture with this many channels, the new ones 1.
pub fn opaque(x: &Array4<f32>, channels: usize) -> Array4<f32> {
    let (n, h, w, _) = x.dim();
    Array4::from_shape_fn((n, h, w, channels), |(b, y, x_at, c)| {
        x.get([b, y, x_at, c]).copied().unwrap_or(1.0)
    })
}

/// Lays a picture over another, through a mask.
#[derive(Inputs)]
pub struct ImageCompositeMasked {
    /// What lies below.
    pub destination: Image,
    /// What is laid over it.
    pub source: Image,
    /// Pixels from the left.
    #[widget(number(0).range(0..=16384).step(1))]
    pub x: i64,
    /// Pixels from the top.
    #[widget(number(0).range(0..=16384).step(1))]
    pub y: i64,
    /// Whether the source takes the size of the destination first.
    #[widget(toggle(false))]
    pub resize_source: bool,
    /// 1 where the source shows; all of it without a mask.
    pub mask: Option<Mask>,
}

impl Node for ImageCompositeMasked {
    const CATEGORY: &str = "image";
    const TITLE: &str = "ImageCompositeMasked";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let (_, h, w, c) = self.destination.0.dim();
        let mut source = opaque(&self.source.0, c.max(self.source.0.dim().3));
        if self.resize_source {
            source = resize::resize(&source, "bilinear", h, w, "disabled")?;
        }
        let mut image = (*self.destination.0).clone();
        lay_over(image.view_mut(), &source.view(), [self.y, self.x], self.mask.as_ref())?;
        Ok(Image(Arc::new(image)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Array4<f32> {
        Array4::from_shape_vec((1, 1, values.len(), 1), values.to_vec()).unwrap()
    }

    fn laid(x: i64, mask: Option<&[f32]>) -> Vec<f32> {
        let (mut below, above) = (row(&[0.0; 4]), row(&[1.0, 2.0, 3.0]));
        let mask =
            mask.map(|m| Mask(Arc::new(Array3::from_shape_vec((1, 1, 3), m.to_vec()).unwrap())));
        lay_over(below.view_mut(), &above.view(), [0, x], mask.as_ref()).unwrap();
        below.into_iter().collect()
    }

    #[test]
    fn what_lies_outside_is_cut_off_on_either_side() {
        assert_eq!(laid(0, None), [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(laid(2, None), [0.0, 0.0, 1.0, 2.0]);
        assert_eq!(laid(-1, None), [2.0, 3.0, 0.0, 0.0]);
        assert_eq!(laid(-3, None), [0.0; 4]);
        assert_eq!(laid(i64::MAX, None), [0.0; 4]);
        assert_eq!(laid(i64::MIN, None), [0.0; 4]);
    }

    #[test]
    fn the_mask_goes_with_what_it_masks() {
        assert_eq!(laid(-1, Some(&[1.0, 0.5, 0.0])), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(laid(2, Some(&[1.0, 0.5, 0.0])), [0.0, 0.0, 1.0, 1.0]);
    }
}
