//! Masks over latents: `[batch, height, width]`, 0..=1.

use ndarray::{Array3, Array4, Axis, Zip};

/// Bilinear, corners not aligned and without a filter when shrinking, as torch's `interpolate`.
pub fn resize(mask: &Array3<f32>, height: usize, width: usize) -> Array3<f32> {
    let (n, h, w) = mask.dim();
    if (h, w) == (height, width) {
        return mask.clone();
    }
    let (rows, columns) = (taps(h, height), taps(w, width));
    Array3::from_shape_fn((n, height, width), |(i, y, x)| {
        let (top, bottom, fy) = rows[y];
        let (left, right, fx) = columns[x];
        let across = |row: usize| (1.0 - fx) * mask[[i, row, left]] + fx * mask[[i, row, right]];
        (1.0 - fy) * across(top) + fy * across(bottom)
    })
}

/// For each place of the result the two places that it lies between, and how near the second.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    let tap = |i: usize| {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let low = (at as usize).min(from - 1);
        (low, (low + 1).min(from - 1), at - low as f32)
    };
    (0..to).map(tap).collect()
}

/// A mask for each image and channel of a latent: resized, and repeated from the first image on
/// where the batch is longer. An empty mask batch masks nothing out.
pub fn for_latent(mask: &Array3<f32>, [n, c, h, w]: [usize; 4]) -> Array4<f32> {
    if mask.is_empty() {
        return Array4::ones((n, c, h, w));
    }
    let mask = resize(mask, h, w);
    let mut repeated = Array4::zeros((n, c, h, w));
    for (i, mut image) in repeated.outer_iter_mut().enumerate() {
        let source = mask.index_axis(Axis(0), i % mask.len_of(Axis(0)));
        image.outer_iter_mut().for_each(|mut channel| channel.assign(&source));
    }
    repeated
}

/// a where the mask is 1, b where it is 0.
pub fn mix(mask: &Array4<f32>, a: &Array4<f32>, b: &Array4<f32>) -> Array4<f32> {
    Zip::from(mask).and(a).and(b).map_collect(|m, a, b| a * m + b * (1.0 - m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizing_keeps_ramps_and_means() {
        let ramp = Array3::from_shape_fn((1, 4, 8), |(_, _, x)| x as f32);
        let half = resize(&ramp, 2, 4);
        // Bilinear at the centres 0.5, 2.5, 4.5, 6.5.
        assert_eq!(half.as_slice().unwrap(), [0.5, 2.5, 4.5, 6.5, 0.5, 2.5, 4.5, 6.5]);
        let double = resize(&ramp, 4, 16);
        assert_eq!(double.as_slice().unwrap()[..4], [0.0, 0.25, 0.75, 1.25]);
        assert_eq!(double.as_slice().unwrap()[15], 7.0);
    }

    #[test]
    fn a_short_mask_batch_starts_over() {
        let masks = Array3::from_shape_fn((2, 1, 1), |(i, _, _)| i as f32);
        let repeated = for_latent(&masks, [3, 2, 1, 1]);
        assert_eq!(repeated.as_slice().unwrap(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    }
}
