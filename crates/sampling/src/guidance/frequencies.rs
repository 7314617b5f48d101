//! Guidance whose coarse and fine parts count differently (Huang et al. 2025, "FreSca", section 4).

use crate::Latent;
use ndarray::Array2;
use std::{f64::consts::TAU, ops::Range};

/// The latent with its low frequencies, those of less than `cutoff` along both axes, scaled by `low` and all
/// others by `high`.
pub(super) fn scaled(x: &Latent, low: f32, high: f32, cutoff: usize) -> Latent {
    let (_, _, height, width) = x.dim();
    let [[rows, rows_i], [columns, columns_i]] = [height, width].map(|size| passes(size, cutoff));
    let mut y = x * high;
    for (x, mut y) in x.outer_iter().zip(y.outer_iter_mut()) {
        for (x, mut y) in x.outer_iter().zip(y.outer_iter_mut()) {
            // The real part of the product of both complex filters.
            let passed = rows.dot(&x).dot(&columns) + rows_i.dot(&x).dot(&columns_i);
            y.scaled_add(low - high, &passed);
        }
    }
    y
}

/// The matrix that lets the low frequencies of a line pass, its real and its imaginary part. The imaginary
/// one changes its sign where the line stands on the left.
fn passes(size: usize, cutoff: usize) -> [Array2<f32>; 2] {
    let half = (size / 2) as i64;
    let waves = taken(size, cutoff).map(|shifted| shifted as i64 - half).collect::<Vec<_>>();
    let sum = |distance: i64, part: fn(f64) -> f64| {
        let angle = |wave: &i64| TAU * (wave * distance) as f64 / size as f64;
        (waves.iter().map(|wave| part(angle(wave))).sum::<f64>() / size as f64) as f32
    };
    [f64::cos as fn(f64) -> f64, f64::sin]
        .map(|part| Array2::from_shape_fn((size, size), |(n, m)| sum(n as i64 - m as i64, part)))
}

/// Which of the frequencies, zero in their middle, are low. As in the original a cutoff of more than half the
/// size counts from the other end.
fn taken(size: usize, cutoff: usize) -> Range<usize> {
    let half = size / 2;
    let start = if cutoff <= half { half - cutoff } else { (size + half).saturating_sub(cutoff) };
    start..(half + cutoff).min(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: every frequency of the plane one after another.
    fn by_definition(x: &Latent, low: f64, high: f64, cutoff: usize) -> Vec<f64> {
        let (_, _, h, w) = x.dim();
        let places: Vec<(usize, usize)> = (0..h * w).map(|i| (i / w, i % w)).collect();
        let low_at = |k: usize, size: usize| taken(size, cutoff).contains(&((k + size / 2) % size));
        let angle = |(a, b): (usize, usize), (c, d): (usize, usize)| {
            TAU * ((a * c) as f64 / h as f64 + (b * d) as f64 / w as f64)
        };
        let scaled = places.iter().map(|k| {
            let sum = |part: fn(f64) -> f64| -> f64 {
                places.iter().map(|n| f64::from(x[[0, 0, n.0, n.1]]) * part(angle(*k, *n))).sum()
            };
            let scale = if low_at(k.0, h) && low_at(k.1, w) { low } else { high };
            (scale * sum(f64::cos), -scale * sum(f64::sin))
        });
        let scaled: Vec<(f64, f64)> = scaled.collect();
        let back = |n: &(usize, usize)| {
            let terms = places
                .iter()
                .zip(&scaled)
                .map(|(k, (re, im))| re * angle(*k, *n).cos() - im * angle(*k, *n).sin());
            terms.sum::<f64>() / (h * w) as f64
        };
        places.iter().map(back).collect()
    }

    #[test]
    fn low_and_high_frequencies_are_scaled_each_by_its_own() {
        for (height, width, cutoff) in [(8, 8, 2), (9, 12, 3), (8, 5, 1), (6, 16, 5)] {
            let x = Latent::from_shape_fn((1, 1, height, width), |(_, _, y, x)| {
                ((7 * y + 3 * x * x) % 11) as f32 - 5.0
            });
            let y = scaled(&x, 0.5, 1.5, cutoff);
            for (got, expected) in y.iter().zip(by_definition(&x, 0.5, 1.5, cutoff)) {
                assert!((f64::from(*got) - expected).abs() < 1e-4, "{got}, expected {expected}");
            }
        }
    }

    #[test]
    fn a_large_cutoff_counts_from_the_other_end() {
        assert_eq!(taken(64, 20), 12..52);
        assert_eq!(taken(16, 20), 4..16);
        assert_eq!(taken(16, 100), 0..16);
    }
}
