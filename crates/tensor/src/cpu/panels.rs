//! Weights as the CPU's matrix product reads them: in panels as wide as its tiles.

use super::zeros;
use half::{f16, slice::HalfFloatSliceExt as _};
use multiversion::multiversion;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of a vector, and of as many as a panel is wide. A tile of the result lives in registers.
struct Sizes;

impl WithSimd for Sizes {
    type Output = [usize; 2];
    fn with_simd<S: Simd>(self, _: S) -> [usize; 2] {
        let vectors = if S::REGISTER_COUNT >= 32 { MOST_VECTORS } else { 2 };
        [S::F32_LANES, vectors * S::F32_LANES]
    }
}

pub const MOST_VECTORS: usize = 3;
/// Columns of the widest panel there is; every panel's are a divisor of them.
pub const MOST_WIDTH: usize = MOST_VECTORS * 16;

/// Whether this processor has 32 registers for vectors.
pub fn many_registers() -> bool {
    let [lanes, width] = Arch::new().dispatch(Sizes);
    width > 2 * lanes
}

/// Columns of a panel: they depend on the machine.
pub fn width() -> usize {
    Arch::new().dispatch(Sizes)[1]
}

/// Columns of a panel that has `left` columns at most: whole vectors.
pub fn width_for(left: usize) -> usize {
    let [lanes, width] = Arch::new().dispatch(Sizes);
    width.min(left.next_multiple_of(lanes))
}

/// A weight `[n, k]` in panels `[n / width][k][width]`, of which the last has no more vectors than it needs,
/// with zeros past the last row. Numbers that f16 holds exactly take half the room.
pub struct Packed {
    numbers: Stored,
    n: usize,
    k: usize,
    units: bool,
}

enum Stored {
    F32(super::Numbers<f32>),
    F16(super::Numbers<f16>),
}

impl Packed {
    pub fn new(weight: &[f32], k: usize, fits_f16: bool) -> Self {
        Self::with_order(weight, k, fits_f16, |i| i)
    }

    /// Kernels `[n, c, taps]` as `[n, taps, c]`.
    pub fn taps_first(weight: &[f32], [c, taps]: [usize; 2], fits_f16: bool) -> Self {
        Self::with_order(weight, c * taps, fits_f16, |i| i % taps * c + i / taps)
    }

    /// `place` tells where in its row the `i`-th number of a row of the weight goes.
    fn with_order(
        weight: &[f32],
        k: usize,
        fits_f16: bool,
        place: impl Fn(usize) -> usize + Sync,
    ) -> Self {
        let n = weight.len() / k;
        let numbers = if fits_f16 {
            let mut numbers = zeros(packed_len(n, k));
            pack(&mut numbers, weight, k, place, <[f16]>::convert_from_f32_slice);
            Stored::F16(numbers)
        } else {
            let mut numbers = zeros(packed_len(n, k));
            pack(&mut numbers, weight, k, place, <[f32]>::copy_from_slice);
            Stored::F32(numbers)
        };
        Self { numbers, n, k, units: false }
    }

    /// Multiplied by matrix units, if there are `units`.
    pub fn by(self, units: bool) -> Self {
        Self { units, ..self }
    }

    /// Bytes that a weight `[n, k]` takes in panels.
    pub fn bytes([n, k]: [usize; 2], fits_f16: bool) -> usize {
        packed_len(n, k) * if fits_f16 { 2 } else { 4 }
    }

    pub fn panels(&self) -> Panels<'_> {
        let numbers = match &self.numbers {
            Stored::F32(x) => Numbers::F32(x),
            Stored::F16(x) => Numbers::F16(x),
        };
        Panels { numbers, n: self.n, k: self.k, units: self.units }
    }
}

/// Numbers that a weight `[n, k]` takes in panels.
fn packed_len(n: usize, k: usize) -> usize {
    n.next_multiple_of(Arch::new().dispatch(Sizes)[0]) * k
}

/// Fills panels; `store` gets what lies side by side in one. What lies past `n` is zero.
fn pack<T: Send>(
    panels: &mut [T],
    weight: &[f32],
    k: usize,
    place: impl Fn(usize) -> usize + Sync,
    store: impl Fn(&mut [T], &[f32]) + Sync,
) {
    let (width, n) = (width(), weight.len() / k);
    panels.par_chunks_mut(width * k).enumerate().for_each(|(panel, numbers)| {
        let (first, wide) = (panel * width, numbers.len() / k);
        let mut row = [0.0; MOST_WIDTH];
        for i in 0..k {
            for (n, number) in (first..n).zip(&mut row[..wide]) {
                *number = weight[n * k + i];
            }
            store(&mut numbers[place(i) * wide..][..wide], &row[..wide]);
        }
    });
}

/// A weight `[n, k]` in panels, wherever they are kept.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    pub(super) numbers: Numbers<'a>,
    pub(super) n: usize,
    pub(super) k: usize,
    /// Whether matrix units multiply by it.
    pub units: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> Panels<'a> {
    pub fn new(numbers: &'a [f32], [n, k]: [usize; 2]) -> Self {
        assert_eq!(numbers.len(), packed_len(n, k));
        Self { numbers: Numbers::F32(numbers), n, k, units: false }
    }

    /// Some of the columns of the product, from the first of a panel on.
    pub fn columns(self, range: Range<usize>) -> Self {
        let start = range.start * self.k;
        let numbers = match self.numbers {
            Numbers::F32(x) => Numbers::F32(&x[start..]),
            Numbers::F16(x) => Numbers::F16(&x[start..]),
        };
        Self { numbers, n: range.len(), ..self }
    }

    /// Some rows of the panel that begins at `column`; unpacked into `room` if they are kept as f16.
    pub fn rows<'b>(&'b self, column: usize, rows: Range<usize>, room: &'b mut [f32]) -> &'b [f32] {
        let width = width_for(self.n - column);
        let place = column * self.k + rows.start * width..column * self.k + rows.end * width;
        match self.numbers {
            Numbers::F32(x) => &x[place],
            Numbers::F16(x) => {
                unpack(&x[place], &mut room[..rows.len() * width]);
                &room[..rows.len() * width]
            }
        }
    }
}

/// From f16, finite numbers only.
fn unpack(from: &[f16], to: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { unpack_on_avx512(from, to) };
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("f16c") {
        // SAFETY: as above.
        return unsafe { unpack_on_f16c(from, to) };
    }
    unpack_by_bits(from, to);
}

/// With the instruction made for it, three times as fast as by the bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn unpack_on_avx512(from: &[f16], to: &mut [f32]) {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm512_cvtph_ps, _mm512_storeu_ps};
    let (from, from_rest) = from.as_chunks::<16>();
    let (to, to_rest) = to.as_chunks_mut::<16>();
    for (from, to) in from.iter().zip(to) {
        // SAFETY: both have as many numbers as are read and written.
        unsafe {
            let halves = _mm256_loadu_si256(from.as_ptr().cast());
            _mm512_storeu_ps(to.as_mut_ptr(), _mm512_cvtph_ps(halves));
        }
    }
    unpack_by_bits(from_rest, to_rest);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn unpack_on_f16c(from: &[f16], to: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (from, from_rest) = from.as_chunks::<8>();
    let (to, to_rest) = to.as_chunks_mut::<8>();
    for (from, to) in from.iter().zip(to) {
        // SAFETY: both have as many numbers as are read and written.
        unsafe {
            let halves = _mm_loadu_si128(from.as_ptr().cast());
            _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(halves));
        }
    }
    unpack_by_bits(from_rest, to_rest);
}

/// Without a branch, so that it is done with vectors.
#[multiversion(targets = "simd")]
fn unpack_by_bits(from: &[f16], to: &mut [f32]) {
    const BIAS: u32 = (127 - 15) << 23;
    for (to, from) in to.iter_mut().zip(from) {
        let bits = u32::from(from.to_bits());
        let size = (bits & 0x7FFF) << 13;
        // Below 2^-14 there is no leading one: it is put there and taken away.
        let small = f32::from_bits(size | (BIAS + (1 << 23))) - f32::from_bits(BIAS + (1 << 23));
        let number = if size < 1 << 23 { small.to_bits() } else { size.wrapping_add(BIAS) };
        *to = f32::from_bits(number | (bits & 0x8000) << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_f16_is_unpacked_as_it_is() {
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|x| x.is_finite()).collect();
        for unpack in [unpack, unpack_by_bits] {
            let mut unpacked = vec![0.0; all.len()];
            unpack(&all, &mut unpacked);
            for (number, unpacked) in all.iter().zip(unpacked) {
                assert_eq!(number.to_f32().to_bits(), unpacked.to_bits());
            }
        }
    }

    #[test]
    fn a_weight_takes_the_bytes_that_are_told() {
        for (n, k) in [(1, 1), (33, 40), (96, 64), (320, 1280)] {
            for fits_f16 in [false, true] {
                let weight = vec![0.5; n * k];
                let bytes = |packed: Packed| match packed.numbers {
                    Stored::F32(x) => size_of_val(&x[..]),
                    Stored::F16(x) => size_of_val(&x[..]),
                };
                let in_panels = bytes(Packed::new(&weight, k, fits_f16));
                assert_eq!(in_panels, Packed::bytes([n, k], fits_f16), "{n} {k}");
            }
        }
    }
}
