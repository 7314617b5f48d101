//! Two pictures side by side.

use crate::{Image, composite::opaque, resize};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use ndarray::{Array4, Axis, concatenate, s};
use std::sync::Arc;

const COLORS: [(&str, [f32; 3]); 5] = [
    ("white", [1.0, 1.0, 1.0]),
    ("black", [0.0, 0.0, 0.0]),
    ("red", [1.0, 0.0, 0.0]),
    ("green", [0.0, 1.0, 0.0]),
    ("blue", [0.0, 0.0, 1.0]),
];

/// Puts two pictures side by side. Without a second picture the first is given on.
#[derive(Inputs)]
pub struct ImageStitch {
    /// The first picture.
    pub image1: Image,
    /// On which side of the first picture the second one comes.
    #[widget(one_of(["right", "down", "left", "up"]).with("default", "right"))]
    pub direction: String,
    /// Whether the second picture is scaled so that the sides that touch are equally long; otherwise
    /// the shorter one is padded.
    #[widget(toggle(true))]
    pub match_image_size: bool,
    /// Pixels between the two; an odd number is raised by one.
    #[widget(number(0).range(0..=1024).step(2))]
    pub spacing_width: usize,
    /// The colour between the two and of what is padded.
    #[widget(one_of(COLORS.map(|(name, _)| name)).with("default", "white"))]
    pub spacing_color: String,
    /// The second picture.
    pub image2: Option<Image>,
}

impl Node for ImageStitch {
    const CATEGORY: &str = "image/transform";
    const TITLE: &str = "Image Stitch";
    type Output = Image;

    fn run(self, _: &mut Context) -> Result<Image> {
        let Some(second) = self.image2 else { return Ok(self.image1) };
        let color = COLORS
            .iter()
            .find(|(name, _)| *name == self.spacing_color)
            .map_or([1.0; 3], |(_, c)| *c);
        let sideways = matches!(&*self.direction, "right" | "left");
        let (along, across) = if sideways { (Axis(2), Axis(1)) } else { (Axis(1), Axis(2)) };
        let channels = self.image1.0.dim().3.max(second.0.dim().3);
        let mut parts = [&self.image1, &second].map(|image| opaque(&image.0, channels));
        let entries = parts[0].dim().0.max(parts[1].dim().0);
        parts = parts.map(|part| lasting(&part, entries));
        if self.match_image_size {
            parts[1] = matched(&parts[1], along, across, parts[0].len_of(across))?;
        }
        let size = parts[0].len_of(across).max(parts[1].len_of(across));
        let mut parts: Vec<Array4<f32>> =
            parts.iter().map(|part| padded(part, across, size, &color)).collect();
        if self.spacing_width > 0 {
            let mut shape = parts[0].raw_dim();
            shape[along.index()] = self.spacing_width + self.spacing_width % 2;
            parts.insert(1, plain(shape, &color));
        }
        if matches!(&*self.direction, "left" | "up") {
            parts.reverse();
        }
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        Ok(Image(Arc::new(concatenate(along, &views)?)))
    }
}

/// The batch with its last picture repeated until it has `n`.
fn lasting(x: &Array4<f32>, n: usize) -> Array4<f32> {
    let order: Vec<usize> = (0..n).map(|i| i.min(x.dim().0 - 1)).collect();
    x.select(Axis(0), &order)
}

/// The picture scaled until it is `size` long across, its proportions kept.
fn matched(x: &Array4<f32>, along: Axis, across: Axis, size: usize) -> Result<Array4<f32>> {
    let length = x.len_of(along) as f64 * size as f64 / x.len_of(across) as f64;
    let (height, width) =
        if across == Axis(1) { (size, length as usize) } else { (length as usize, size) };
    resize::resize(x, "lanczos", height, width, "disabled")
}

/// The picture in the middle of a strip that is `size` long across.
fn padded(x: &Array4<f32>, across: Axis, size: usize, color: &[f32; 3]) -> Array4<f32> {
    let (mut shape, own) = (x.raw_dim(), x.len_of(across));
    if own == size {
        return x.clone();
    }
    shape[across.index()] = size;
    let mut strip = plain(shape, color);
    let start = (size - own) / 2;
    let middle = match across {
        Axis(1) => s![.., start..start + own, .., ..],
        _ => s![.., .., start..start + own, ..],
    };
    strip.slice_mut(middle).assign(x);
    strip
}

/// An opaque picture of one colour.
fn plain(shape: ndarray::Ix4, color: &[f32; 3]) -> Array4<f32> {
    Array4::from_shape_fn(shape, |(_, _, _, c)| color.get(c).copied().unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stitched(direction: &str, match_image_size: bool) -> Array4<f32> {
        let picture = |h, w, v| Image(Arc::new(Array4::from_elem((1, h, w, 3), v)));
        let node = ImageStitch {
            image1: picture(4, 4, 0.25),
            direction: direction.into(),
            match_image_size,
            spacing_width: 1,
            spacing_color: "red".into(),
            image2: Some(picture(2, 6, 0.75)),
        };
        Context::bare(|ctx| node.run(ctx)).unwrap().0.as_ref().clone()
    }

    #[test]
    fn sizes_follow_the_direction() {
        assert_eq!(stitched("right", true).dim(), (1, 4, 4 + 2 + 12, 3));
        assert_eq!(stitched("up", true).dim(), (1, 1 + 2 + 4, 4, 3));
        assert_eq!(stitched("left", false).dim(), (1, 4, 6 + 2 + 4, 3));
    }

    #[test]
    fn the_second_picture_comes_where_it_was_asked_for() {
        let left = stitched("left", false);
        assert_eq!(left[[0, 1, 0, 1]], 0.75);
        assert_eq!([left[[0, 0, 0, 0]], left[[0, 0, 0, 1]]], [1.0, 0.0]);
        assert_eq!(left[[0, 0, 11, 1]], 0.25);
    }
}
