//! Resizing pictures and latents: weighted sums along each axis, as torch's `interpolate` has them
//! (corners not aligned, no filter when shrinking), and PIL's Lanczos.

use anyhow::{Result, bail};
use ndarray::{Array4, Axis};

pub const IMAGE_METHODS: [&str; 5] = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"];
pub const LATENT_METHODS: [&str; 5] = ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"];
pub const CROPS: [&str; 2] = ["disabled", "center"];

/// For one place of the result: the places it is made of, and how much each counts.
type Taps = Vec<(usize, f32)>;

/// `[N, H, W, C]` to another height and width. With `center`, what does not fit the new proportions
/// is cut off first.
pub fn resize(
    x: &Array4<f32>,
    method: &str,
    height: usize,
    width: usize,
    crop: &str,
) -> Result<Array4<f32>> {
    anyhow::ensure!(height * width > 0, "cannot resize to {width}x{height}");
    let x = if crop == "center" { cropped(x, height, width) } else { x.clone() };
    let (_, h, w, _) = x.dim();
    if (h, w) == (height, width) {
        return Ok(x);
    }
    if method == "lanczos" {
        let bytes = x.mapv(|v| (v * 255.0).clamp(0.0, 255.0) as u8);
        let wide = along_bytes(&bytes, 2, &lanczos(w, width));
        return Ok(along_bytes(&wide, 1, &lanczos(h, height)).mapv(|v| f32::from(v) / 255.0));
    }
    let taps = |from, to| {
        Ok(match method {
            "nearest-exact" => (0..to).map(|i| nearest(i, from, to)).collect(),
            "bilinear" => (0..to).map(|i| bilinear(i, from, to)).collect(),
            "bicubic" => (0..to).map(|i| bicubic(i, from, to)).collect(),
            "area" => (0..to).map(|i| area(i, from, to)).collect::<Vec<Taps>>(),
            _ => bail!("there is no resizing by {method}"),
        })
    };
    Ok(along(&along(&x, 2, &taps(w, width)?), 1, &taps(h, height)?))
}

/// As [`resize`], for `[N, C, H, W]`.
pub fn resize_latent(
    x: &Array4<f32>,
    method: &str,
    height: usize,
    width: usize,
    crop: &str,
) -> Result<Array4<f32>> {
    anyhow::ensure!(height * width > 0, "cannot resize to {width}x{height}");
    let last = x.view().permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned();
    let y = if method == "bislerp" {
        let last = if crop == "center" { cropped(&last, height, width) } else { last };
        slerp_along(&slerp_along(&last, 2, width), 1, height)
    } else {
        resize(&last, method, height, width, crop)?
    };
    Ok(y.permuted_axes([0, 3, 1, 2]).as_standard_layout().into_owned())
}

/// A method as the matrices that networks resample with; bislerp is none.
pub fn resampler(method: &str) -> Result<models::Resampler> {
    Ok(match method {
        "nearest-exact" => |from, to| matrix(from, to, nearest),
        "bilinear" => |from, to| matrix(from, to, bilinear),
        "bicubic" => |from, to| matrix(from, to, bicubic),
        "area" => |from, to| matrix(from, to, area),
        _ => bail!("{method} cannot be done inside a network; bicubic and bilinear can"),
    })
}

fn matrix(from: usize, to: usize, taps: fn(usize, usize, usize) -> Taps) -> Vec<f32> {
    let mut matrix = vec![0.0; to * from];
    for row in 0..to {
        taps(row, from, to)
            .into_iter()
            .for_each(|(column, weight)| matrix[row * from + column] += weight);
    }
    matrix
}

/// Along one axis, each pixel turned from one neighbour's direction to the other's (Shoemake 1985),
/// its length between theirs: colours of latents stay as strong as they were.
fn slerp_along(x: &Array4<f32>, axis: usize, to: usize) -> Array4<f32> {
    let from = x.len_of(Axis(axis));
    let mut shape = [x.dim().0, x.dim().1, x.dim().2, x.dim().3];
    shape[axis] = to;
    let mut y = Array4::zeros(shape);
    for (i, mut y) in y.axis_iter_mut(Axis(axis)).enumerate() {
        let at = centre(i, from, to).clamp(0.0, (from - 1) as f64);
        let (low, part) = (at as usize, at.fract() as f32);
        let (a, b) =
            (x.index_axis(Axis(axis), low), x.index_axis(Axis(axis), (low + 1).min(from - 1)));
        for ((mut y, a), b) in
            y.lanes_mut(Axis(2)).into_iter().zip(a.lanes(Axis(2))).zip(b.lanes(Axis(2)))
        {
            let (a, b) = (a.to_vec(), b.to_vec());
            y.iter_mut().zip(slerp(&a, &b, part)).for_each(|(y, v)| *y = v);
        }
    }
    y
}

fn slerp(a: &[f32], b: &[f32], part: f32) -> Vec<f32> {
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let (na, nb) = (norm(a), norm(b));
    let unit = |x: f32, n: f32| if n == 0.0 { 0.0 } else { x / n };
    let dot: f32 = a.iter().zip(b).map(|(a, b)| unit(*a, na) * unit(*b, nb)).sum();
    let mix = |wa: f32, wb: f32| a.iter().zip(b).map(move |(a, b)| (a * wa, b * wb));
    if dot > 1.0 - 1e-5 {
        return a.to_vec();
    }
    if dot < 1e-5 - 1.0 {
        return mix(1.0 - part, part).map(|(a, b)| a + b).collect();
    }
    let omega = dot.acos();
    let length = na * (1.0 - part) + nb * part;
    let (wa, wb) = (((1.0 - part) * omega).sin() / omega.sin(), (part * omega).sin() / omega.sin());
    a.iter().zip(b).map(|(a, b)| (unit(*a, na) * wa + unit(*b, nb) * wb) * length).collect()
}

/// Where one of the two sizes is 0 it follows from the other, keeping the proportions.
pub fn keep_aspect(
    width: usize,
    height: usize,
    old_width: usize,
    old_height: usize,
) -> (usize, usize) {
    let scaled = |old: usize, new: usize, by: usize| {
        (old as f64 * new as f64 / by as f64).round_ties_even().max(1.0) as usize
    };
    match (width, height) {
        (0, 0) => (old_width, old_height),
        (0, _) => (scaled(old_width, height, old_height), height),
        (_, 0) => (width, scaled(old_height, width, old_width)),
        _ => (width, height),
    }
}

fn cropped(x: &Array4<f32>, height: usize, width: usize) -> Array4<f32> {
    let (_, h, w, _) = x.dim();
    let (old, new) = (w as f64 / h as f64, width as f64 / height as f64);
    let margin = |size: usize, part: f64| {
        ((size as f64 - size as f64 * part) / 2.0).round_ties_even().max(0.0) as usize
    };
    let (dx, dy) = if old > new { (margin(w, new / old), 0) } else { (0, margin(h, old / new)) };
    x.slice(ndarray::s![.., dy..h - dy, dx..w - dx, ..]).to_owned()
}

fn along(x: &Array4<f32>, axis: usize, taps: &[Taps]) -> Array4<f32> {
    let mut shape = [x.dim().0, x.dim().1, x.dim().2, x.dim().3];
    shape[axis] = taps.len();
    let mut y = Array4::zeros(shape);
    for (mut y, taps) in y.axis_iter_mut(Axis(axis)).zip(taps) {
        for (from, weight) in taps {
            y.scaled_add(*weight, &x.index_axis(Axis(axis), *from));
        }
    }
    y
}

/// Fractional bits of the weights in [`along_bytes`].
const BITS: u32 = 22;

/// As PIL sums: bytes by whole-number weights, rounded to bytes after each axis.
fn along_bytes(x: &Array4<u8>, axis: usize, taps: &[Vec<(usize, i64)>]) -> Array4<u8> {
    let mut shape = [x.dim().0, x.dim().1, x.dim().2, x.dim().3];
    shape[axis] = taps.len();
    Array4::from_shape_fn(shape, |(n, i, j, c)| {
        let sum = taps[[i, j][axis - 1]].iter().map(|(from, weight)| {
            let at = if axis == 1 { [n, *from, j, c] } else { [n, i, *from, c] };
            i64::from(x[at]) * weight
        });
        ((sum.sum::<i64>() + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    })
}

/// The place in the old size that the middle of place `i` falls on.
fn centre(i: usize, from: usize, to: usize) -> f64 {
    (i as f64 + 0.5) * from as f64 / to as f64 - 0.5
}

fn nearest(i: usize, from: usize, to: usize) -> Taps {
    let at = (i as f32 + 0.5) * (from as f32 / to as f32);
    vec![((at as usize).min(from - 1), 1.0)]
}

fn bilinear(i: usize, from: usize, to: usize) -> Taps {
    let at = centre(i, from, to).max(0.0);
    let low = (at as usize).min(from - 1);
    let part = (at - low as f64) as f32;
    vec![(low, 1.0 - part), ((low + 1).min(from - 1), part)]
}

/// Keys 1981, a = -0.75.
fn bicubic(i: usize, from: usize, to: usize) -> Taps {
    let at = centre(i, from, to);
    let low = at.floor();
    let weight = |distance: f64| {
        let (a, d) = (-0.75, distance.abs());
        if d <= 1.0 {
            ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
        } else {
            ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
        }
    };
    let place = |k: i64| (low as i64 + k).clamp(0, from as i64 - 1) as usize;
    (-1..=2).map(|k| (place(k), weight(at - low - k as f64) as f32)).collect()
}

fn area(i: usize, from: usize, to: usize) -> Taps {
    let (start, end) = (i * from / to, ((i + 1) * from).div_ceil(to));
    (start..end).map(|k| (k, 1.0 / (end - start) as f32)).collect()
}

/// Lanczos with three lobes, widened when shrinking.
fn lanczos(from: usize, to: usize) -> Vec<Vec<(usize, i64)>> {
    let sinc = |x: f64| {
        if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
    };
    let lobes = |d: f64| if d.abs() < 3.0 { sinc(d) * sinc(d / 3.0) } else { 0.0 };
    let whole = |(k, weight): (usize, f64)| (k, (weight * f64::from(1 << BITS)).round() as i64);
    let tap = |i| widened(i, from, to, 3.0, lobes, |x| x).into_iter().map(whole).collect();
    (0..to).map(tap).collect()
}

/// Keys 1981, a = -0.5, widened when shrinking: torch's `interpolate` with `antialias`. Of the picture in
/// its new height and width only the middle is made, `size` in each direction.
pub fn bicubic_antialiased(x: &Array4<f32>, new: [usize; 2], size: usize) -> Array4<f32> {
    let cubic = |d: f64| match d.abs() {
        d if d < 1.0 => (1.5 * d - 2.5) * d * d + 1.0,
        d if d < 2.0 => ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0,
        _ => 0.0,
    };
    let narrow = |(k, weight): (usize, f64)| (k, weight as f32);
    let taps = |from: usize, to: usize| -> Vec<Taps> {
        // As there, places are counted in f32.
        let round = |x| f64::from(x as f32);
        let tap = |i| widened(i, from, to, 2.0, cubic, round).into_iter().map(narrow).collect();
        let first = to.saturating_sub(size) / 2;
        (first..first + size).map(tap).collect()
    };
    let (_, h, w, _) = x.dim();
    along(&along(x, 2, &taps(w, new[1])), 1, &taps(h, new[0]))
}

/// The taps of a filter that reaches so far in the new size, and in the old one when enlarging; together
/// they count 1. Places are rounded as said.
fn widened(
    i: usize,
    from: usize,
    to: usize,
    reach: f64,
    filter: impl Fn(f64) -> f64,
    round: impl Fn(f64) -> f64,
) -> Vec<(usize, f64)> {
    let ratio = round(from as f64 / to as f64);
    let (scale, at) = (ratio.max(1.0), round(ratio * (i as f64 + 0.5)));
    let start = (at - reach * scale + 0.5).max(0.0) as usize;
    let end = ((at + reach * scale + 0.5) as usize).min(from);
    let weight = |k: usize| filter(round((k as f64 + 0.5 - at) / scale));
    let sum: f64 = (start..end).map(weight).sum();
    (start..end).map(|k| (k, weight(k) / sum)).collect()
}
