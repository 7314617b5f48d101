//! The matrix product of the CPU: rows times a weight in panels (Goto and van de Geijn 2008, without
//! packing the rows, as a network's weights are packed once and its rows are read once).

use super::{
    amx,
    panels::{MOST_VECTORS, Numbers, Panels, width, width_for},
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of the common dimension done at once, at most: so deep a panel stays in a core's first cache.
const DEPTH: usize = 160;
/// Rows done at once, and columns: rows of that depth and the part of the result take a quarter of the
/// second-level cache, which threads of other programs may share. A multiple of most tiles' rows.
const BLOCK: usize = 64;
const COLUMNS: usize = 336;
/// Fewer rows are not worth the matrix units' tiles of 16.
const FEW: usize = 8;

impl Panels<'_> {
    /// `y[m, n] = sum_k a[m, k] weight[n, k]` on all threads; `finish` gets whole rows of `y`, with the
    /// number of the first.
    pub fn product(self, a: &[f32], y: &mut [f32], finish: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let add = |part: Self, rows: Range<usize>, y: &mut [f32]| {
            let numbers = &a[rows.start * self.k..];
            let rows = Rows { numbers, stride: self.k, step: 1, count: rows.len() };
            part.add(&rows, y, self.n, false);
        };
        self.in_blocks(y, add, finish);
    }

    /// `add` makes some rows and columns of `y`, whose rows lie `n` apart; `finish` gets whole rows.
    pub fn in_blocks(
        self,
        y: &mut [f32],
        add: impl Fn(Self, Range<usize>, &mut [f32]) + Sync,
        finish: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let m = y.len() / self.n.max(1);
        let (blocks, shares) = division(m, self.units);
        let rows = m.div_ceil(blocks.max(1));
        if shares == 1 {
            y.par_chunks_mut(rows * self.n).enumerate().for_each(|(i, y)| {
                add(self, i * rows..i * rows + y.len() / self.n, y);
                finish(i * rows, y);
            });
            return;
        }
        let columns = self.n.div_ceil(shares).next_multiple_of(width());
        let shares = self.n.div_ceil(columns);
        let whole = Shared::new(y);
        (0..shares * blocks).into_par_iter().for_each(|task| {
            let (column, row) = (task / blocks * columns, task % blocks * rows);
            let part = self.columns(column..self.n.min(column + columns));
            // SAFETY: each task has rows and columns of its own.
            let y = unsafe { whole.from(row * self.n + column) };
            add(part, row..m.min(row + rows), y);
        });
        super::rows(y, self.n, finish);
    }

    /// On this thread: `y = a weight^T`, or `y += ..`; rows of `y` lie `stride` apart.
    pub fn add(self, a: &Rows, y: &mut [f32], stride: usize, adds: bool) {
        if a.count * self.n == 0 {
            return;
        }
        if self.units && a.count >= FEW {
            return amx::add(a, self, y, stride, adds);
        }
        let unpacked = match self.numbers {
            Numbers::F32(_) => 0,
            Numbers::F16(_) => DEPTH * width(),
        };
        super::with_scratch(unpacked, |unpacked| {
            Arch::new().dispatch(Block { a, panels: self, unpacked, y, stride, adds });
        });
    }

    /// Calls `f` with the rows made ready for products with this weight's columns.
    pub fn ready(&self, a: &Rows, f: impl FnOnce(Ready)) {
        let fits = a.count * self.k <= amx::ROWS * amx::SLAB;
        if fits && a.count >= FEW && self.units {
            amx::split(a, 0..self.k, |rows| f(Ready::Split(rows)));
        } else {
            f(Ready::Rows(a));
        }
    }

    /// As [`Panels::add`], of rows made ready.
    pub fn add_ready(self, a: &Ready, y: &mut [f32], stride: usize, adds: bool) {
        match a {
            Ready::Rows(a) => self.add(a, y, stride, adds),
            Ready::Split(a) => a.add(self, y, stride, adds),
        }
    }
}

/// A matrix: rows are `stride` numbers apart, the numbers of a row `step`.
pub struct Rows<'a> {
    pub numbers: &'a [f32],
    pub stride: usize,
    pub step: usize,
    pub count: usize,
}

/// How many blocks `m` rows are divided into, and their columns into how many shares: enough tasks for a
/// quicker thread to take more. For matrix units rows are made ready anew for each share, so that as many
/// for each thread are enough.
pub fn division(m: usize, units: bool) -> (usize, usize) {
    let blocks = m.div_ceil(if units { amx::ROWS } else { BLOCK });
    let threads = rayon::current_num_threads();
    let enough = |tasks: usize| tasks >= 3 * threads || units && tasks.is_multiple_of(threads);
    let shares = (1..3 * threads).find(|shares| enough(shares * blocks));
    (blocks, shares.unwrap_or(3 * threads))
}

/// Rows as several products read them.
pub enum Ready<'a> {
    Rows(&'a Rows<'a>),
    Split(&'a amx::Split<'a>),
}

struct Block<'a> {
    a: &'a Rows<'a>,
    panels: Panels<'a>,
    /// Room for a panel of numbers that were kept as f16.
    unpacked: &'a mut [f32],
    y: &'a mut [f32],
    stride: usize,
    adds: bool,
}

impl WithSimd for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Panels { n, k, .. } = self.panels;
        let width = width();
        let slab = k.div_ceil(k.div_ceil(DEPTH));
        for first in (0..n).step_by(COLUMNS) {
            for from in (0..k).step_by(slab) {
                let to = k.min(from + slab);
                let a = Rows { numbers: &self.a.numbers[from * self.a.step..], ..*self.a };
                for column in (first..n.min(first + COLUMNS)).step_by(width) {
                    let panel = self.panels.rows(column, from..to, self.unpacked);
                    let y = &mut self.y[column..];
                    let columns = width.min(n - column);
                    let adds = self.adds || from > 0;
                    Strip::new(&a, panel, columns, y, self.stride, adds).run(simd);
                }
            }
        }
    }
}

/// All rows of the part of the result that one panel makes.
pub struct Strip<'a> {
    a: &'a Rows<'a>,
    panel: &'a [f32],
    columns: usize,
    y: *mut f32,
    stride: usize,
    adds: bool,
}

impl<'a> Strip<'a> {
    /// `y = a panel`, or `y += ..`: so many columns, and as many numbers of each row of `a` as the panel
    /// has rows. Rows of `y` lie `stride` apart.
    #[inline(always)]
    pub fn new(
        a: &'a Rows,
        panel: &'a [f32],
        columns: usize,
        y: &'a mut [f32],
        stride: usize,
        adds: bool,
    ) -> Self {
        let depth = panel.len() / width_for(columns);
        assert!(a.count * depth > 0);
        assert!(a.numbers.len() > (a.count - 1) * a.stride + (depth - 1) * a.step);
        assert!(y.len() >= (a.count - 1) * stride + columns);
        Self { a, panel, columns, y: y.as_mut_ptr(), stride, adds }
    }

    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S) {
        let mut row = 0;
        while row < self.a.count {
            let tile = Tile {
                // SAFETY: `Strip::new` has asserted that the rows are there.
                a: unsafe { self.a.numbers.as_ptr().add(row * self.a.stride) },
                a_stride: self.a.stride,
                a_step: self.a.step,
                panel: self.panel,
                y: unsafe { self.y.add(row * self.stride) },
                y_stride: self.stride,
                columns: self.columns,
                adds: self.adds,
            };
            row += tile.most_rows(simd, self.a.count - row);
        }
    }
}

/// Some rows and at most a panel's width of columns of the result.
struct Tile<'a> {
    a: *const f32,
    a_stride: usize,
    a_step: usize,
    panel: &'a [f32],
    y: *mut f32,
    y_stride: usize,
    columns: usize,
    adds: bool,
}

impl Tile<'_> {
    /// With as many rows as there are registers for, of those left; how many that were.
    #[inline(always)]
    fn most_rows<S: Simd>(&self, simd: S, left: usize) -> usize {
        match self.columns.div_ceil(S::F32_LANES) {
            1 => self.rows_of::<S, 1>(simd, left),
            2 => self.rows_of::<S, 2>(simd, left),
            _ => self.rows_of::<S, MOST_VECTORS>(simd, left),
        }
    }

    #[inline(always)]
    fn rows_of<S: Simd, const V: usize>(&self, simd: S, left: usize) -> usize {
        match left {
            8.. if S::REGISTER_COUNT >= 32 => self.sum::<S, 8, V>(simd),
            6.. if S::REGISTER_COUNT < 32 => self.sum::<S, 6, V>(simd),
            4.. => self.sum::<S, 4, V>(simd),
            2.. => self.sum::<S, 2, V>(simd),
            _ => self.sum::<S, 1, V>(simd),
        }
    }

    #[inline(always)]
    fn sum<S: Simd, const R: usize, const V: usize>(&self, simd: S) -> usize {
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let (panel, _) = S::as_simd_f32s(self.panel);
        // Every third row has a pointer; the compiler must not make it a chain of additions, each of
        // which would wait for the one before.
        let firsts = std::array::from_fn(|i| self.a.wrapping_add(3 * i * self.a_stride));
        let [p0, p1, p2] = std::hint::black_box::<[_; 3]>(firsts);
        let mut at = 0;
        for b in panel.chunks_exact(V) {
            for r in 0..R {
                let a = [p0, p1, p2][r / 3].wrapping_add(at + r % 3 * self.a_stride);
                // SAFETY: a row of the tile has as many numbers as the panel has rows.
                let a = simd.splat_f32s(unsafe { *a });
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(a, b[v], sums[r][v]);
                }
            }
            at += self.a_step;
        }
        if self.columns == V * S::F32_LANES {
            // SAFETY: so many columns of so many rows are the tile's.
            unsafe { store(simd, sums, self.y, self.y_stride, self.adds) };
        } else {
            let mut whole = [[simd.splat_f32s(0.0); V]; R];
            // SAFETY: as many as there are.
            unsafe { store(simd, sums, whole.as_mut_ptr().cast(), V * S::F32_LANES, false) };
            self.store_part(bytemuck::cast_slice(whole.as_flattened()), V * S::F32_LANES);
        }
        R
    }

    /// What belongs to the tile of rows that are `width` long.
    fn store_part(&self, rows: &[f32], width: usize) {
        for (r, row) in rows.chunks_exact(width).enumerate() {
            // SAFETY: so many columns of the row are the tile's.
            let y = unsafe {
                std::slice::from_raw_parts_mut(self.y.add(r * self.y_stride), self.columns)
            };
            if !self.adds {
                y.fill(0.0);
            }
            super::add(y, row);
        }
    }
}

/// Stores sums, or adds them; in loops of a length known to the compiler and without calls, so that it
/// keeps them in registers.
///
/// # Safety
/// `y` has the rows, `stride` apart.
#[inline(always)]
unsafe fn store<S: Simd, const R: usize, const V: usize>(
    simd: S,
    sums: [[S::f32s; V]; R],
    y: *mut f32,
    stride: usize,
    adds: bool,
) {
    let place = |r, v| y.wrapping_add(r * stride + v * S::F32_LANES).cast::<S::f32s>();
    if adds {
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                unsafe { *place(r, v) = simd.add_f32s(*sum, *place(r, v)) };
            }
        }
    } else {
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                unsafe { *place(r, v) = *sum };
            }
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
    use crate::{cpu::Packed, testing};
    use half::f16;

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
