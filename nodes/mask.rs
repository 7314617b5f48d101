//! Masks: made, turned round, grown, softened.

use crate::{Image, Mask, save_image};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Array3, Axis};
use std::sync::Arc;

/// Swaps what is to be painted and what is kept.
#[derive(Inputs)]
pub struct InvertMask {
    /// The mask.
    pub mask: Mask,
}

impl Node for InvertMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "InvertMask";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        Ok(Mask(Arc::new(self.mask.0.mapv(|x| 1.0 - x))))
    }
}

/// Shows a mask as a grey picture, which is looked at once and then thrown away.
#[derive(Inputs)]
pub struct MaskPreview {
    /// The mask.
    pub mask: Mask,
}

impl Node for MaskPreview {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "MaskPreview";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        let (n, h, w) = self.mask.0.dim();
        let grey = self.mask.0.view().insert_axis(Axis(3));
        let picture = grey.broadcast((n, h, w, 3)).expect("one channel for all").to_owned();
        save_image::save(ctx, &Image(Arc::new(picture)), "ComfyUI_temp", "temp")
    }
}

/// A mask of one value everywhere.
#[derive(Inputs)]
pub struct SolidMask {
    /// 0 keeps, 1 paints.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01))]
    pub value: f64,
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub width: usize,
    /// In pixels.
    #[widget(number(512).range(1..=16384).step(1))]
    pub height: usize,
}

impl Node for SolidMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "SolidMask";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        Ok(Mask(Arc::new(Array3::from_elem((1, self.height, self.width), self.value as f32))))
    }
}

/// Makes a mask larger, or with a negative number smaller.
#[derive(Inputs)]
pub struct GrowMask {
    /// The mask.
    pub mask: Mask,
    /// Pixels; below zero the mask shrinks.
    #[widget(number(0).range(-16384..=16384).step(1))]
    pub expand: i64,
    /// Grows in diamonds instead of squares.
    #[widget(toggle(true))]
    pub tapered_corners: bool,
}

impl Node for GrowMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "GrowMask";
    type Output = Mask;

    fn run(self, ctx: &mut Context) -> Result<Mask> {
        let mut mask = (*self.mask.0).clone();
        let (_, h, w) = mask.dim();
        // Past the picture's own size nothing changes any more.
        for _ in 0..self.expand.unsigned_abs().min((h + w) as u64) {
            ctx.check()?;
            mask = if self.expand < 0 {
                step(&mask, self.tapered_corners, f32::min)
            } else {
                step(&mask, self.tapered_corners, f32::max)
            };
        }
        Ok(Mask(Arc::new(mask)))
    }
}

/// Each place becomes the largest or smallest of itself and its neighbours.
fn step(mask: &Array3<f32>, tapered: bool, choose: fn(f32, f32) -> f32) -> Array3<f32> {
    let (_, h, w) = mask.dim();
    // The picture's edge is mirrored, so that it neither grows nor shrinks anything.
    let near = |i: usize, d: i64, n: usize| i.saturating_add_signed(d as isize).min(n - 1);
    Array3::from_shape_fn(mask.raw_dim(), |(b, y, x)| {
        let offsets = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx)));
        let counted = offsets.filter(|(dy, dx)| !tapered || dy * dx == 0);
        counted
            .map(|(dy, dx): (i64, i64)| mask[[b, near(y, dy, h), near(x, dx, w)]])
            .fold(mask[[b, y, x]], choose)
    })
}

/// Lets a mask fade out towards the picture's edges.
#[derive(Inputs)]
pub struct FeatherMask {
    /// The mask.
    pub mask: Mask,
    /// Pixels from the left edge.
    #[widget(number(0).range(0..=16384).step(1))]
    pub left: usize,
    /// Pixels from the upper edge.
    #[widget(number(0).range(0..=16384).step(1))]
    pub top: usize,
    /// Pixels from the right edge.
    #[widget(number(0).range(0..=16384).step(1))]
    pub right: usize,
    /// Pixels from the lower edge.
    #[widget(number(0).range(0..=16384).step(1))]
    pub bottom: usize,
}

impl Node for FeatherMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "FeatherMask";
    type Output = Mask;

    fn run(self, _: &mut Context) -> Result<Mask> {
        let (_, h, w) = self.mask.0.dim();
        let [left, right] = [self.left.min(w), self.right.min(w)];
        let [top, bottom] = [self.top.min(h), self.bottom.min(h)];
        // Counted from the far edge, the original's first place is the near edge: the fade there
        // begins one place further in, and the near edge gets the first factor.
        let far = |i: usize, n: usize| if i == 0 { 0 } else { n - i };
        let mut mask = (*self.mask.0).clone();
        let mut fade = |axis: usize, at: usize, i: usize, over: usize| {
            let factor = (i + 1) as f32 / over as f32;
            mask.index_axis_mut(Axis(axis), at).mapv_inplace(|m| m * factor);
        };
        (0..left).for_each(|i| fade(2, i, i, left));
        (0..right).for_each(|i| fade(2, far(i, w), i, right));
        (0..top).for_each(|i| fade(1, i, i, top));
        (0..bottom).for_each(|i| fade(1, far(i, h), i, bottom));
        Ok(Mask(Arc::new(mask)))
    }
}
