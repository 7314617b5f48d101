//! The matrix product of the CPU: rows times a weight in panels (Goto and van de Geijn 2008, without
//! packing the rows, as a network's weights are packed once and its rows are read once).

use half::{f16, slice::HalfFloatSliceExt as _};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// A tile of the result lives in registers: so many rows, so many vectors wide.
const ROWS: usize = 6;
const VECTORS: usize = 2;
/// Numbers of the common dimension done at once: so deep a panel fits the first-level cache.
const DEPTH: usize = 256;
/// Rows done at once: so many of that depth fit the second-level cache.
const BLOCK: usize = 32 * ROWS;
/// Lanes of the widest vectors there are.
const MOST_LANES: usize = 16;

/// Columns of a panel: they depend on the machine.
pub fn width() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    VECTORS * Arch::new().dispatch(Lanes)
}

/// A weight `[n, k]` in panels `[n / width][k][width]`, with zeros past the last row. Numbers that f16
/// holds exactly take half the room.
pub struct Packed {
    numbers: Stored,
    n: usize,
    k: usize,
}

enum Stored {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Packed {
    pub fn new(weight: &[f32], k: usize, fits_f16: bool) -> Self {
        let n = weight.len() / k;
        let numbers = if fits_f16 {
            let mut numbers = vec![f16::ZERO; packed_len(n, k)];
            pack(&mut numbers, [n, k], |n, k_at| f16::from_f32(weight[n * k + k_at]));
            Stored::F16(numbers)
        } else {
            let mut numbers = vec![0.0; packed_len(n, k)];
            pack(&mut numbers, [n, k], |n, k_at| weight[n * k + k_at]);
            Stored::F32(numbers)
        };
        Self { numbers, n, k }
    }

    pub fn panels(&self) -> Panels<'_> {
        let numbers = match &self.numbers {
            Stored::F32(x) => Numbers::F32(x),
            Stored::F16(x) => Numbers::F16(x),
        };
        Panels { numbers, n: self.n, k: self.k }
    }
}

/// Numbers that a weight `[n, k]` takes in panels.
pub fn packed_len(n: usize, k: usize) -> usize {
    n.next_multiple_of(width()) * k
}

/// Fills panels; `at` gives the number at `(n, k)`. What lies past `n` is left as it is.
pub fn pack<T: Send>(panels: &mut [T], [n, k]: [usize; 2], at: impl Fn(usize, usize) -> T + Sync) {
    let width = width();
    panels.par_chunks_mut(width * k).enumerate().for_each(|(panel, numbers)| {
        let columns = width.min(n - panel * width);
        for (k, row) in numbers.chunks_exact_mut(width).enumerate() {
            for (column, number) in row[..columns].iter_mut().enumerate() {
                *number = at(panel * width + column, k);
            }
        }
    });
}

/// A weight `[n, k]` in panels, wherever they are kept.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    numbers: Numbers<'a>,
    n: usize,
    k: usize,
}

#[derive(Clone, Copy)]
enum Numbers<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> Panels<'a> {
    pub fn new(numbers: &'a [f32], [n, k]: [usize; 2]) -> Self {
        assert_eq!(numbers.len(), packed_len(n, k));
        Self { numbers: Numbers::F32(numbers), n, k }
    }

    /// `y[m, n] = sum_k a[m, k] weight[n, k]`, block of rows by block of rows on all threads; `finish` gets
    /// each block with its first row's number.
    pub fn product(self, a: &[f32], y: &mut [f32], finish: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let m = y.len() / self.n.max(1);
        let threads = rayon::current_num_threads();
        if m < 4 * ROWS * threads {
            self.product_by_columns(a, y);
            return finish(0, y);
        }
        let rows = m.div_ceil(4 * threads).next_multiple_of(ROWS).min(BLOCK);
        y.par_chunks_mut(rows * self.n).enumerate().for_each(|(block, y)| {
            let a = &a[block * rows * self.k..];
            self.add(
                &Rows { numbers: a, stride: self.k, count: y.len() / self.n },
                y,
                self.n,
                false,
            );
            finish(block * rows, y);
        });
    }

    /// For few rows: threads share the columns.
    fn product_by_columns(self, a: &[f32], y: &mut [f32]) {
        let (m, width) = (y.len() / self.n, width());
        let columns = self.n.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(width);
        let whole = Shared::new(y);
        (0..self.n).into_par_iter().step_by(columns).for_each(|first| {
            let part = self.columns(first..self.n.min(first + columns));
            // SAFETY: each task has columns of its own.
            let y = unsafe { whole.from(first) };
            part.add(&Rows { numbers: a, stride: self.k, count: m }, y, self.n, false);
        });
    }

    /// Some of the columns of the product, from the first of a panel on.
    pub fn columns(self, range: std::ops::Range<usize>) -> Self {
        let start = range.start * self.k;
        let numbers = match self.numbers {
            Numbers::F32(x) => Numbers::F32(&x[start..]),
            Numbers::F16(x) => Numbers::F16(&x[start..]),
        };
        Self { numbers, n: range.len(), k: self.k }
    }

    /// On this thread: `y = a weight^T`, or `y += ..`; rows of `y` lie `stride` apart.
    pub fn add(self, a: &Rows, y: &mut [f32], stride: usize, adds: bool) {
        if a.count * self.n == 0 {
            return;
        }
        assert!(a.numbers.len() >= (a.count - 1) * a.stride + self.k);
        assert!(y.len() >= (a.count - 1) * stride + self.n);
        Arch::new().dispatch(Block { a, panels: self, y: y.as_mut_ptr(), stride, adds });
    }
}

/// Rows of a matrix, `stride` numbers apart.
pub struct Rows<'a> {
    pub numbers: &'a [f32],
    pub stride: usize,
    pub count: usize,
}

struct Block<'a> {
    a: &'a Rows<'a>,
    panels: Panels<'a>,
    /// Room for all rows is asserted by [`Panels::add`].
    y: *mut f32,
    stride: usize,
    adds: bool,
}

impl WithSimd for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Panels { numbers, n, k } = self.panels;
        let width = VECTORS * S::F32_LANES;
        let mut unpacked = [0.0; DEPTH * VECTORS * MOST_LANES];
        for from in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - from);
            for column in (0..n).step_by(width) {
                let place = column * k + from * width..column * k + (from + depth) * width;
                let panel = match numbers {
                    Numbers::F32(x) => &x[place],
                    Numbers::F16(x) => {
                        let unpacked = &mut unpacked[..depth * width];
                        x[place].convert_to_f32_slice(unpacked);
                        &*unpacked
                    }
                };
                let columns = width.min(n - column);
                for row in (0..self.a.count).step_by(ROWS) {
                    let tile = Tile {
                        // SAFETY: `Panels::add` has asserted that the rows are there.
                        a: unsafe { self.a.numbers.as_ptr().add(row * self.a.stride + from) },
                        a_stride: self.a.stride,
                        panel,
                        y: unsafe { self.y.add(row * self.stride + column) },
                        y_stride: self.stride,
                        columns,
                        adds: self.adds || from > 0,
                    };
                    tile.of_rows(simd, ROWS.min(self.a.count - row));
                }
            }
        }
    }
}

/// Some rows and at most a panel's width of columns of the result.
struct Tile<'a> {
    a: *const f32,
    a_stride: usize,
    panel: &'a [f32],
    y: *mut f32,
    y_stride: usize,
    columns: usize,
    adds: bool,
}

impl Tile<'_> {
    #[inline(always)]
    fn of_rows<S: Simd>(&self, simd: S, rows: usize) {
        match rows {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            4 => self.run::<S, 4>(simd),
            5 => self.run::<S, 5>(simd),
            _ => self.run::<S, ROWS>(simd),
        }
    }

    #[inline(always)]
    fn run<S: Simd, const R: usize>(&self, simd: S) {
        if self.columns > S::F32_LANES {
            self.sum::<S, R, VECTORS>(simd);
        } else {
            self.sum::<S, R, 1>(simd);
        }
    }

    #[inline(always)]
    fn sum<S: Simd, const R: usize, const V: usize>(&self, simd: S) {
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let (panel, _) = S::as_simd_f32s(self.panel);
        for (i, b) in panel.chunks_exact(VECTORS).enumerate() {
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: row r of the tile has as many numbers as the panel has rows.
                let a = simd.splat_f32s(unsafe { *self.a.add(r * self.a_stride + i) });
                for v in 0..V {
                    sums[v] = simd.mul_add_e_f32s(a, b[v], sums[v]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            // SAFETY: so many columns of the row are the tile's.
            let y = unsafe {
                std::slice::from_raw_parts_mut(self.y.add(r * self.y_stride), self.columns)
            };
            self.store::<S, V>(simd, sums, y);
        }
    }

    #[inline(always)]
    fn store<S: Simd, const V: usize>(&self, simd: S, sums: &[S::f32s; V], y: &mut [f32]) {
        let (whole, rest) = S::as_mut_simd_f32s(y);
        for (sum, y) in sums.iter().zip(&mut *whole) {
            *y = if self.adds { simd.add_f32s(*sum, *y) } else { *sum };
        }
        if !rest.is_empty() {
            let old = if self.adds { simd.partial_load_f32s(rest) } else { simd.splat_f32s(0.0) };
            simd.partial_store_f32s(rest, simd.add_f32s(sums[whole.len()], old));
        }
    }
}

/// Numbers that several threads write, each in places of its own.
#[derive(Clone, Copy)]
pub struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: whoever takes a part says that it is theirs alone.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(numbers: &mut [f32]) -> Self {
        Self { start: numbers.as_mut_ptr(), len: numbers.len() }
    }

    /// What lies from `first` on.
    ///
    /// # Safety
    /// No two threads write, or read what another writes, at the same place; the numbers outlive it.
    pub unsafe fn from<'a>(self, first: usize) -> &'a mut [f32] {
        assert!(first <= self.len);
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), self.len - first) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_product_is_its_definition_for_every_rest() {
        for m in [1, 2, 5, 6, 7, 13, 100] {
            for (n, k) in [(1, 1), (7, 3), (16, 40), (33, 256), (70, 300), (129, 520)] {
                let a = testing::numbers(m * k, 1);
                for fits_f16 in [false, true] {
                    let mut weight = testing::numbers(n * k, 2);
                    if fits_f16 {
                        weight.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
                    }
                    let exact = |i: usize| -> f64 {
                        let (a, w) = (&a[i / n * k..][..k], &weight[i % n * k..][..k]);
                        a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w)).sum()
                    };
                    let exact: Vec<f32> = (0..m * n).map(|i| exact(i) as f32).collect();
                    let mut y = vec![f32::NAN; m * n];
                    Packed::new(&weight, k, fits_f16).panels().product(&a, &mut y, &|_, _| {});
                    for (i, (y, exact)) in y.iter().zip(&exact).enumerate() {
                        assert!((y - exact).abs() < 1e-4, "{m} {n} {k}, at {i}: {y}, not {exact}");
                    }
                }
            }
        }
    }
}
