//! Convolutions of 3 by 3 with a quarter of the multiplications, F(4x4, 3x3) (Winograd 1980; Lavin and Gray
//! 2015).
//!
//! A tile of 4 by 4 output pixels needs 6 by 6 input pixels. Both it and the kernel are transformed into 36
//! numbers for each channel; there, the convolution is a product: of matrices, as there are many tiles and
//! channels. `Y = A^T [(G g G^T) . (B^T d B)] A`, the paper's equation 8.
//!
//! Kernels are transformed anew for each block of tiles, out of the weight as it is kept for any product: that
//! costs a tenth of the products and spares four times the weight in memory, which would take longer to read.

use super::{Finisher, Panels, Rows, Shared, Strip, many_registers, width, with_scratch};
use crate::Conv;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::{array, ops::Range};

/// Output pixels of a tile, and input pixels; each way.
const TILE: usize = 4;
const PATCH: usize = 6;
const NUMBERS: usize = PATCH * PATCH;
/// Channels must come in whole vectors of the widest kind.
const LANES: usize = 16;
/// Rows of kernels unpacked at once.
const TAPS: usize = 8;
/// Between matrices, so that their rows are not all kept in the same lines of a cache.
const GAP: usize = 16;

/// What is done at once: enough tiles that transforming kernels costs little, enough columns that
/// transforming the input does, as much depth as lets all of it stay in a core's second-level cache.
struct Block {
    tiles: usize,
    depth: usize,
    columns: usize,
}

impl Block {
    const MOST_TILES: usize = 32;

    /// Processors with many registers come with large caches: 1.4 MB are taken of them, of others 0.5.
    fn new() -> Self {
        if many_registers() {
            Self { tiles: Self::MOST_TILES, depth: 64, columns: 144 }
        } else {
            Self { tiles: 24, depth: 48, columns: 64 }
        }
    }
}

/// The sizes of one convolution.
pub struct Winograd {
    /// Batch, height, width, channels.
    pub input: [usize; 4],
    /// Height, width, channels.
    pub output: [usize; 3],
    pub conv: Conv,
}

impl Winograd {
    /// Whether a convolution with this weight can be done so and needs at most two thirds of the
    /// multiplications of its definition: the tiles of small pictures reach past their edges.
    pub fn serves(weight: &[usize], conv: Conv, output: &[usize]) -> bool {
        let &[n, c, kh, kw] = weight else { return false };
        let whole = n % LANES == 0 && c % LANES == 0;
        let tiles = output[1].div_ceil(TILE) * output[2].div_ceil(TILE);
        let saves = 3 * NUMBERS * tiles <= 2 * 9 * output[1] * output[2];
        [kh, kw] == [3, 3] && conv.stride == 1 && whole && saves
    }

    /// Rows and columns of tiles of a picture.
    fn tiles(&self) -> [usize; 2] {
        [self.output[0].div_ceil(TILE), self.output[1].div_ceil(TILE)]
    }

    /// `kernels` are `[n, 9 c]`, taps first.
    pub fn run(&self, kernels: Panels, inputs: &[&[f32]], y: &mut [f32], finish: &Finisher) {
        let block = Block::new();
        let tiles = self.input[0] * self.tiles().iter().product::<usize>();
        let count = tiles.div_ceil(tiles.div_ceil(block.tiles));
        let blocks = tiles.div_ceil(count);
        // As many columns as their sums have room for; fewer if threads would be idle.
        let n = self.output[2];
        let least = (4 * rayon::current_num_threads()).div_ceil(blocks);
        let parts = (count * n).div_ceil(block.tiles * block.columns).max(least);
        let columns = n.div_ceil(parts).next_multiple_of(width());
        let parts = n.div_ceil(columns);
        let y = Shared::new(y);
        (0..blocks * parts).into_par_iter().for_each(|task| {
            let (first, column) = (task / parts * count, task % parts * columns);
            let columns = column..n.min(column + columns);
            let tiles = first..tiles.min(first + count);
            Task { of: self, kernels, tiles, columns }.run(block.depth, inputs, y, finish);
        });
    }

    /// Batch entry, and row and column of the first output pixel of a tile.
    fn place(&self, tile: usize) -> [usize; 3] {
        let [rows, columns] = self.tiles();
        [tile / (rows * columns), tile / columns % rows * TILE, tile % columns * TILE]
    }

    /// Where the pixels that a tile reads begin in the input; `None` is a pixel of zeros.
    fn patch(&self, tile: usize) -> [Option<usize>; NUMBERS] {
        let Self { input: [_, height, width, c], conv, .. } = *self;
        let up = usize::from(conv.up2);
        let [b, top, left] = self.place(tile);
        let inside = |at: usize, pad: usize, size: usize| {
            at.checked_sub(pad).filter(|at| *at < size << up).map(|at| at >> up)
        };
        let rows: [_; PATCH] = array::from_fn(|y| inside(top + y, conv.pad[0], height));
        let columns: [_; PATCH] = array::from_fn(|x| inside(left + x, conv.pad[2], width));
        array::from_fn(|i| {
            Some(((b * height + rows[i / PATCH]?) * width + columns[i % PATCH]?) * c)
        })
    }

    /// The tile's pixels that are in the picture: number in the tile, number in the output.
    fn pixels(&self, tile: usize) -> impl Iterator<Item = [usize; 2]> {
        let [b, top, left] = self.place(tile);
        let [height, width, _] = self.output;
        let rows = TILE.min(height - top);
        let columns = TILE.min(width - left);
        (0..rows * columns).map(move |i| {
            let [y, x] = [i / columns, i % columns];
            [y * TILE + x, (b * height + top + y) * width + left + x]
        })
    }
}

/// Some tiles, one after another in memory order, and some columns of the output.
struct Task<'a> {
    of: &'a Winograd,
    kernels: Panels<'a>,
    tiles: Range<usize>,
    columns: Range<usize>,
}

/// 36 matrices in scratch memory.
struct Matrices<'a> {
    numbers: &'a mut [f32],
    /// Numbers of a row.
    row: usize,
}

impl<'a> Matrices<'a> {
    /// Numbers that matrices take.
    fn len([rows, row]: [usize; 2]) -> usize {
        NUMBERS * (rows * row + GAP)
    }

    /// Out of the front of `scratch`.
    fn take(scratch: &mut &'a mut [f32], [rows, row]: [usize; 2]) -> Self {
        let numbers = scratch.split_off_mut(..Self::len([rows, row]));
        Self { numbers: numbers.expect("scratch memory is asked for by this length"), row }
    }

    /// How far apart matrices begin.
    fn stride(&self) -> usize {
        self.numbers.len() / NUMBERS
    }
}

impl Task<'_> {
    fn run(&self, most: usize, inputs: &[&[f32]], y: Shared, finish: &Finisher) {
        let (wide, arch) = (width(), Arch::new());
        let mut places = [[None; NUMBERS]; Block::MOST_TILES];
        let places = &mut places[..self.tiles.len()];
        for (places, tile) in places.iter_mut().zip(self.tiles.clone()) {
            *places = self.of.patch(tile);
        }
        let shapes = [[places.len(), most], [most, wide], [places.len(), self.columns.len()]];
        let unpacked = 9 * TAPS * wide;
        with_scratch(shapes.map(Matrices::len).iter().sum::<usize>() + unpacked, |mut scratch| {
            let [mut patches, mut kernels, mut sums] =
                shapes.map(|shape| Matrices::take(&mut scratch, shape));
            for from in (0..self.of.input[3]).step_by(most) {
                let depth = from..self.of.input[3].min(from + most);
                arch.dispatch(Patches { x: inputs[0], places, depth: &depth, to: &mut patches });
                for column in self.columns.clone().step_by(wide) {
                    let of = Slab { task: self, column, depth: &depth };
                    arch.dispatch(Kernels { of, unpacked: scratch, to: &mut kernels });
                    arch.dispatch(Products {
                        of,
                        patches: &patches,
                        kernels: &kernels,
                        to: &mut sums,
                    });
                }
            }
            for (row, tile) in self.tiles.clone().enumerate() {
                arch.dispatch(Outputs { task: self, sums: &sums, row, tile, y });
                self.finish(tile, inputs, y, finish);
            }
        });
    }

    fn finish(&self, tile: usize, inputs: &[&[f32]], y: Shared, finish: &Finisher) {
        let Range { start, end } = self.columns;
        for [_, pixel] in self.of.pixels(tile) {
            // SAFETY: these columns of a pixel are of one task.
            let y = unsafe { y.from(pixel * self.of.output[2] + start) };
            finish.apply_to_columns(inputs, pixel, start, &mut y[..end - start]);
        }
    }
}

/// Transforms some channels of the tiles' input pixels: rows are tiles.
struct Patches<'a, 'b> {
    x: &'a [f32],
    places: &'a [[Option<usize>; NUMBERS]],
    depth: &'a Range<usize>,
    to: &'a mut Matrices<'b>,
}

impl WithSimd for Patches<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let stride = self.to.stride();
        for (tile, places) in self.places.iter().enumerate() {
            for at in (0..self.depth.len()).step_by(S::F32_LANES) {
                // Loops, not closures: only what is inlined for sure is made of wide vectors.
                let mut d = [[simd.splat_f32s(0.0); PATCH]; PATCH];
                for (d, place) in d.as_flattened_mut().iter_mut().zip(places) {
                    if let Some(place) = place {
                        *d = vector::<S>(self.x, place + self.depth.start + at);
                    }
                }
                let numbers = both_ways::<S, OfPatch, PATCH, PATCH>(simd, &d);
                scatter::<S>(&numbers, &mut self.to.numbers[tile * self.to.row + at..], stride);
            }
        }
    }
}

/// A panel of columns, and some input channels of it.
#[derive(Clone, Copy)]
struct Slab<'a> {
    task: &'a Task<'a>,
    column: usize,
    depth: &'a Range<usize>,
}

/// Transforms the kernels: rows are input channels.
struct Kernels<'a, 'b> {
    of: Slab<'a>,
    /// Room for kernels that are kept as f16.
    unpacked: &'a mut [f32],
    to: &'a mut Matrices<'b>,
}

impl WithSimd for Kernels<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Slab { task, column, depth } = self.of;
        let (c, stride) = (task.of.input[3], self.to.stride());
        let mut place = 0;
        for first in depth.clone().step_by(TAPS) {
            let rows = TAPS.min(depth.end - first);
            let mut rooms = self.unpacked.chunks_exact_mut(self.unpacked.len() / 9);
            let taps: [&[f32]; 9] = array::from_fn(|tap| {
                let room = rooms.next().expect("there is room for 9 taps");
                task.kernels.rows(column, tap * c + first..tap * c + first + rows, room)
            });
            for at in (0..taps[0].len()).step_by(S::F32_LANES) {
                let mut g = [[simd.splat_f32s(0.0); 3]; 3];
                for (g, taps) in g.as_flattened_mut().iter_mut().zip(taps) {
                    *g = vector::<S>(taps, at);
                }
                let numbers = both_ways::<S, OfKernel, 3, PATCH>(simd, &g);
                scatter::<S>(&numbers, &mut self.to.numbers[place + at..], stride);
            }
            place += taps[0].len();
        }
    }
}

/// Adds the products of patches and kernels: rows are tiles.
struct Products<'a, 'b> {
    of: Slab<'a>,
    patches: &'a Matrices<'b>,
    kernels: &'a Matrices<'b>,
    to: &'a mut Matrices<'b>,
}

impl WithSimd for Products<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of: Slab { task, column, depth }, patches, kernels, to } = self;
        let columns = kernels.row.min(task.columns.end - column);
        let [patch, kernel, sum] = [patches.stride(), kernels.stride(), to.stride()];
        let first = column - task.columns.start;
        for i in 0..NUMBERS {
            let numbers = &patches.numbers[i * patch..][..patch];
            let rows = Rows { numbers, stride: patches.row, step: 1, count: task.tiles.len() };
            let panel = &kernels.numbers[i * kernel..][..depth.len() * columns];
            let y = &mut to.numbers[i * sum + first..][..sum - first];
            Strip::new(&rows, panel, columns, y, to.row, depth.start > 0).run(simd);
        }
    }
}

/// Transforms the sums of one tile into output pixels.
struct Outputs<'a, 'b> {
    task: &'a Task<'a>,
    sums: &'a Matrices<'b>,
    row: usize,
    tile: usize,
    y: Shared,
}

impl WithSimd for Outputs<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { task, sums, row, .. } = self;
        for at in (0..task.columns.len()).step_by(S::F32_LANES) {
            let numbers = gather(simd, &sums.numbers[row * sums.row + at..], sums.stride());
            let pixels = both_ways::<S, OfSums, PATCH, TILE>(simd, &numbers);
            for [i, pixel] in task.of.pixels(self.tile) {
                let place = pixel * task.of.output[2] + task.columns.start + at;
                // SAFETY: these columns of a pixel are of one task.
                let y = unsafe { self.y.from(place) };
                S::as_mut_simd_f32s(&mut y[..S::F32_LANES]).0[0] = pixels.as_flattened()[i];
            }
        }
    }
}

#[inline(always)]
fn vector<S: Simd>(numbers: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&numbers[at..][..S::F32_LANES]).0[0]
}

/// A vector of each matrix; they lie `stride` apart.
#[inline(always)]
fn gather<S: Simd>(simd: S, from: &[f32], stride: usize) -> [[S::f32s; PATCH]; PATCH] {
    assert!(from.len() >= (NUMBERS - 1) * stride + S::F32_LANES);
    let mut numbers = [[simd.splat_f32s(0.0); PATCH]; PATCH];
    for (y, row) in numbers.iter_mut().enumerate() {
        for (x, number) in row.iter_mut().enumerate() {
            // SAFETY: asserted above; vectors may lie anywhere.
            *number = unsafe { *from.as_ptr().add((y * PATCH + x) * stride).cast() };
        }
    }
    numbers
}

/// The reverse of [`gather`].
#[inline(always)]
fn scatter<S: Simd>(numbers: &[[S::f32s; PATCH]; PATCH], to: &mut [f32], stride: usize) {
    assert!(to.len() >= (NUMBERS - 1) * stride + S::F32_LANES);
    for (y, row) in numbers.iter().enumerate() {
        for (x, number) in row.iter().enumerate() {
            // SAFETY: as in `gather`.
            unsafe { *to.as_mut_ptr().add((y * PATCH + x) * stride).cast() = *number };
        }
    }
}

/// The product of a constant matrix and a vector, whose numbers are vectors of the processor.
trait Transform<const I: usize, const O: usize> {
    fn times<S: Simd>(simd: S, x: [S::f32s; I]) -> [S::f32s; O];
}

/// `T x T^t`.
#[inline(always)]
fn both_ways<S: Simd, T: Transform<I, O>, const I: usize, const O: usize>(
    simd: S,
    x: &[[S::f32s; I]; I],
) -> [[S::f32s; O]; O] {
    let zero = simd.splat_f32s(0.0);
    let mut rows = [[zero; O]; I];
    for (row, x) in rows.iter_mut().zip(x) {
        *row = T::times(simd, *x);
    }
    let mut numbers = [[zero; O]; O];
    for x in 0..O {
        let mut column = [zero; I];
        for (number, row) in column.iter_mut().zip(&rows) {
            *number = row[x];
        }
        let column = T::times(simd, column);
        for (row, number) in numbers.iter_mut().zip(column) {
            row[x] = number;
        }
    }
    numbers
}

/// B^T, for the points 0, 1, -1, 2, -2 and infinity:
/// ```text
/// 4  0 -5  0  1  0
/// 0 -4 -4  1  1  0
/// 0  4 -4 -1  1  0
/// 0 -2 -1  2  1  0
/// 0  2 -1 -2  1  0
/// 0  4  0 -5  0  1
/// ```
struct OfPatch;

impl Transform<PATCH, PATCH> for OfPatch {
    #[inline(always)]
    fn times<S: Simd>(s: S, [d0, d1, d2, d3, d4, d5]: [S::f32s; PATCH]) -> [S::f32s; PATCH] {
        let by = |factor| s.splat_f32s(factor);
        let (even, odd) = (s.mul_add_e_f32s(by(-4.0), d2, d4), s.mul_add_e_f32s(by(-4.0), d1, d3));
        let (even_2, odd_2) = (s.sub_f32s(d4, d2), s.sub_f32s(d3, d1));
        [
            s.mul_add_e_f32s(by(4.0), d0, s.mul_add_e_f32s(by(-5.0), d2, d4)),
            s.add_f32s(even, odd),
            s.sub_f32s(even, odd),
            s.mul_add_e_f32s(by(2.0), odd_2, even_2),
            s.mul_add_e_f32s(by(-2.0), odd_2, even_2),
            s.mul_add_e_f32s(by(4.0), d1, s.mul_add_e_f32s(by(-5.0), d3, d5)),
        ]
    }
}

/// G:
/// ```text
///  1/4    0    0
/// -1/6 -1/6 -1/6
/// -1/6  1/6 -1/6
/// 1/24 1/12  1/6
/// 1/24 -1/12 1/6
///    0    0    1
/// ```
struct OfKernel;

impl Transform<3, PATCH> for OfKernel {
    #[inline(always)]
    fn times<S: Simd>(s: S, [g0, g1, g2]: [S::f32s; 3]) -> [S::f32s; PATCH] {
        let by = |factor| s.splat_f32s(factor);
        let even = s.mul_f32s(by(-1.0 / 6.0), s.add_f32s(g0, g2));
        let even_2 = s.mul_add_e_f32s(by(1.0 / 24.0), g0, s.mul_f32s(by(1.0 / 6.0), g2));
        [
            s.mul_f32s(by(0.25), g0),
            s.mul_add_e_f32s(by(-1.0 / 6.0), g1, even),
            s.mul_add_e_f32s(by(1.0 / 6.0), g1, even),
            s.mul_add_e_f32s(by(1.0 / 12.0), g1, even_2),
            s.mul_add_e_f32s(by(-1.0 / 12.0), g1, even_2),
            g2,
        ]
    }
}

/// A^T:
/// ```text
/// 1 1  1 1  1 0
/// 0 1 -1 2 -2 0
/// 0 1  1 4  4 0
/// 0 1 -1 8 -8 1
/// ```
struct OfSums;

impl Transform<PATCH, TILE> for OfSums {
    #[inline(always)]
    fn times<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::f32s; PATCH]) -> [S::f32s; TILE] {
        let by = |factor| s.splat_f32s(factor);
        let (even, odd) = (s.add_f32s(m1, m2), s.sub_f32s(m1, m2));
        let (even_2, odd_2) = (s.add_f32s(m3, m4), s.sub_f32s(m3, m4));
        [
            s.add_f32s(s.add_f32s(m0, even), even_2),
            s.mul_add_e_f32s(by(2.0), odd_2, odd),
            s.mul_add_e_f32s(by(4.0), even_2, even),
            s.add_f32s(s.mul_add_e_f32s(by(8.0), odd_2, odd), m5),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 3x3 convolutions of SD 1.5 at 512x512 that keep the size: input and output channels, the side of
    /// what they make; those that double the size stand where they arrive.
    #[rustfmt::skip]
    const SD15: &[[usize; 3]] = &[
        // The UNet, from the first level down.
        [320, 320, 64], [640, 320, 64], [960, 320, 64], [640, 640, 64],
        [320, 640, 32], [640, 640, 32], [960, 640, 32], [1280, 640, 32], [1920, 640, 32], [1280, 1280, 32],
        [640, 1280, 16], [1280, 1280, 16], [1920, 1280, 16], [2560, 1280, 16],
        [1280, 1280, 8], [2560, 1280, 8],
        // The VAE's decoder; the encoder has no others.
        [512, 512, 64], [512, 512, 128], [512, 512, 256], [512, 256, 256], [256, 256, 256],
        [256, 256, 512], [256, 128, 512], [128, 128, 512],
    ];

    #[test]
    fn layers_of_stable_diffusion_are_done_with_a_quarter_of_the_multiplications() {
        let serves = |[c, n, side]: [usize; 3], conv| {
            Winograd::serves(&[n, c, 3, 3], conv, &[2, side, side, n])
        };
        for &[c, n, side] in SD15 {
            assert!(serves([c, n, side], Conv::same(3)), "{c} to {n} channels, {side}x{side}");
            let halving = Conv { stride: 2, ..Conv::same(3) };
            assert!(!serves([c, n, side / 2], halving));
        }
        for few in [[4, 320, 64], [320, 4, 64], [4, 512, 64], [128, 3, 512]] {
            assert!(!serves(few, Conv::same(3)), "{few:?}");
        }
    }

    #[test]
    fn a_picture_of_which_tiles_would_be_mostly_edge_is_done_by_the_definition() {
        let sides = (1..=9).filter(|side| {
            Winograd::serves(&[16, 16, 3, 3], Conv::same(3), &[1, *side, *side, 16])
        });
        assert_eq!(sides.collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
        assert!(!Winograd::serves(&[16, 16, 3, 3], Conv::same(3), &[1, 1, 8, 16]));
    }
}
