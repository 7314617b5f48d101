//! Convolutions of 3 by 3 with fewer multiplications, on the CPU (Winograd 1980; Lavin and Gray 2015).
//!
//! A tile of `M` by `M` output pixels needs `A = M + 2` by `A` input pixels. Both it and the kernel are
//! transformed into `A A` numbers for each channel; there, the convolution is a product: of matrices, as there
//! are many tiles and channels. `Y = O^T [(K g K^T) . (I^T d I)] O`, the paper's equation 8.

use super::Conv;
use crate::cpu::{self, Finisher, Panels, Rows, Shared};
use multiversion::multiversion;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::{array, marker::PhantomData};

/// The transforms for tiles of `M`: the matrices I^T, K and O^T.
pub trait Tiling<const M: usize, const A: usize>: Send + Sync + 'static {
    const INPUT: [[f32; A]; A];
    const KERNEL: [[f64; 3]; A];
    const OUTPUT: [[f32; A]; M];
}

/// Four multiplications for every nine; as exact as the definition.
pub struct F2;

impl Tiling<2, 4> for F2 {
    const INPUT: [[f32; 4]; 4] =
        [[1., 0., -1., 0.], [0., 1., 1., 0.], [0., -1., 1., 0.], [0., 1., 0., -1.]];
    const KERNEL: [[f64; 3]; 4] = [[1., 0., 0.], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0., 0., 1.]];
    const OUTPUT: [[f32; 4]; 2] = [[1., 1., 1., 0.], [0., 1., -1., -1.]];
}

/// Nine multiplications for every 36; loses a decimal digit.
pub struct F4;

impl Tiling<4, 6> for F4 {
    const INPUT: [[f32; 6]; 6] = [
        [4., 0., -5., 0., 1., 0.],
        [0., -4., -4., 1., 1., 0.],
        [0., 4., -4., -1., 1., 0.],
        [0., -2., -1., 2., 1., 0.],
        [0., 2., -1., -2., 1., 0.],
        [0., 4., 0., -5., 0., 1.],
    ];
    const KERNEL: [[f64; 3]; 6] = [
        [1. / 4., 0., 0.],
        [-1. / 6., -1. / 6., -1. / 6.],
        [-1. / 6., 1. / 6., -1. / 6.],
        [1. / 24., 1. / 12., 1. / 6.],
        [1. / 24., -1. / 12., 1. / 6.],
        [0., 0., 1.],
    ];
    const OUTPUT: [[f32; 6]; 4] = [
        [1., 1., 1., 1., 1., 0.],
        [0., 1., -1., 2., -2., 0.],
        [0., 1., 1., 4., 4., 0.],
        [0., 1., -1., 8., -8., 1.],
    ];
}

/// Kernels, transformed: `A A` weights `[n, c]` in panels.
pub struct Kernels<T> {
    numbers: cpu::Numbers,
    tiling: PhantomData<T>,
}

impl<T> Kernels<T> {
    /// Bytes of `n` kernels of `c` channels.
    pub fn bytes<const M: usize, const A: usize>([n, c]: [usize; 2]) -> usize
    where
        T: Tiling<M, A>,
    {
        4 * A * A * cpu::packed_len(n, c)
    }

    /// From `[n, c, 3, 3]`.
    pub fn new<const M: usize, const A: usize>(weight: &[f32], n: usize) -> Self
    where
        T: Tiling<M, A>,
    {
        let c = weight.len() / n / 9;
        let (len, width) = (cpu::packed_len(n, c), cpu::width());
        let mut numbers = cpu::zeros(A * A * len);
        let all = Shared::new(&mut numbers);
        (0..n).into_par_iter().step_by(width).for_each(|first| {
            let wide = cpu::width_for(n - first);
            for i in 0..c {
                let mut taps = [[0.0; cpu::MOST_WIDTH]; 9];
                for (column, n) in (first..n.min(first + width)).enumerate() {
                    let kernel = &weight[(n * c + i) * 9..][..9];
                    taps.iter_mut().zip(kernel).for_each(|(taps, g)| taps[column] = *g);
                }
                for f in 0..A * A {
                    // SAFETY: each panel of each product is of one task.
                    let row = unsafe { all.from(f * len + first * c + i * wide) };
                    weighted(&T::KERNEL[f / A], &T::KERNEL[f % A], &taps, &mut row[..wide]);
                }
            }
        });
        Self { numbers, tiling: PhantomData }
    }
}

/// One number of `K g K^T`, of kernels side by side.
#[multiversion(targets = "simd")]
fn weighted(
    rows: &[f64; 3],
    columns: &[f64; 3],
    taps: &[[f32; cpu::MOST_WIDTH]; 9],
    sums: &mut [f32],
) {
    sums.fill(0.0);
    for (tap, taps) in taps.iter().enumerate() {
        let factor = (rows[tap / 3] * columns[tap % 3]) as f32;
        if factor != 0.0 {
            sums.iter_mut().zip(taps).for_each(|(sum, g)| *sum += factor * g);
        }
    }
}

/// Tiles of one task: enough rows for the products, few enough for the caches.
const TILES: usize = 96;
/// Channels must come in whole vectors of the widest kind.
pub const LANES: usize = 16;

/// The sizes of one convolution, in tiles of `M`.
pub struct Winograd {
    /// Batch, height, width, channels.
    pub input: [usize; 4],
    /// Height, width, channels.
    pub output: [usize; 3],
    pub conv: Conv,
}

impl Winograd {
    /// Rows and columns of tiles of a picture.
    fn tiles(&self, m: usize) -> [usize; 2] {
        [self.output[0].div_ceil(m), self.output[1].div_ceil(m)]
    }

    pub fn run<T: Tiling<M, A>, const M: usize, const A: usize>(
        &self,
        kernels: &Kernels<T>,
        inputs: &[&[f32]],
        y: &mut [f32],
        finish: &Finisher,
    ) {
        let [rows, columns] = self.tiles(M);
        let tiles = self.input[0] * rows * columns;
        let y = Shared::new(y);
        let blocks = tiles.div_ceil(TILES);
        let task = |block: usize, shares: bool| {
            let first = block * TILES;
            let count = TILES.min(tiles - first);
            Task::<T, M, A> { of: self, kernels, first, count, shares }.run(inputs, y, finish);
        };
        // With few tasks, threads share the work of each.
        if blocks >= 3 * rayon::current_num_threads() {
            (0..blocks).into_par_iter().for_each(|block| task(block, false));
        } else {
            (0..blocks).for_each(|block| task(block, true));
        }
    }
}

/// Some tiles, one after another in memory order.
struct Task<'a, T, const M: usize, const A: usize> {
    of: &'a Winograd,
    kernels: &'a Kernels<T>,
    first: usize,
    count: usize,
    /// Whether all threads work on it.
    shares: bool,
}

impl<T: Tiling<M, A>, const M: usize, const A: usize> Task<'_, T, M, A> {
    fn run(&self, inputs: &[&[f32]], y: Shared, finish: &Finisher) {
        let (c, n) = (self.of.input[3], self.of.output[2]);
        let [transformed, products] = [c, n].map(|channels| A * A * self.count * channels);
        cpu::with_scratch(transformed + products, |scratch| {
            let (transformed, products) = scratch.split_at_mut(transformed);
            let into = Shared::new(transformed);
            self.each(self.count, |tile| {
                Arch::new().dispatch(Inputs { task: self, x: inputs[0], tile, into });
            });
            let into = Shared::new(products);
            self.each(A * A, |f| {
                let kernels = &self.kernels.numbers;
                let kernels = &kernels[f * (kernels.len() / (A * A))..][..kernels.len() / (A * A)];
                let numbers = &transformed[f * c..];
                // SAFETY: each product has places of its own.
                let y = unsafe { into.from(f * n) };
                let rows = Rows { numbers, stride: A * A * c, step: 1, count: self.count };
                Panels::new(kernels, [n, c]).add(&rows, y, A * A * n, false);
            });
            let products = &*products;
            self.each(self.count, |tile| {
                Arch::new().dispatch(Outputs { task: self, products, tile, y });
                self.finish(tile, inputs, y, finish);
            });
        });
    }

    fn each(&self, count: usize, f: impl Fn(usize) + Sync + Send) {
        if self.shares {
            (0..count).into_par_iter().for_each(f);
        } else {
            (0..count).for_each(f);
        }
    }

    /// Batch entry, and row and column of the first output pixel of a tile.
    fn place(&self, tile: usize) -> [usize; 3] {
        let [rows, columns] = self.of.tiles(M);
        let tile = self.first + tile;
        [tile / (rows * columns), tile / columns % rows * M, tile % columns * M]
    }

    /// The tile's pixels that are in the picture: row and column in the tile, number in the output.
    fn pixels(&self, tile: usize) -> impl Iterator<Item = [usize; 3]> {
        let [b, top, left] = self.place(tile);
        let [height, width, _] = self.of.output;
        let rows = M.min(height - top);
        let columns = M.min(width - left);
        (0..rows * columns).map(move |i| {
            let [y, x] = [i / columns, i % columns];
            [y, x, (b * height + top + y) * width + left + x]
        })
    }

    fn finish(&self, tile: usize, inputs: &[&[f32]], y: Shared, finish: &Finisher) {
        let n = self.of.output[2];
        for [_, _, pixel] in self.pixels(tile) {
            // SAFETY: a pixel is of one tile.
            let y = unsafe { y.from(pixel * n) };
            finish.apply(inputs, pixel, &mut y[..n]);
        }
    }
}

/// Transforms the input pixels of one tile.
struct Inputs<'a, T, const M: usize, const A: usize> {
    task: &'a Task<'a, T, M, A>,
    x: &'a [f32],
    tile: usize,
    into: Shared,
}

impl<T: Tiling<M, A>, const M: usize, const A: usize> WithSimd for Inputs<'_, T, M, A> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Winograd { input: [_, height, width, c], conv, .. } = *self.task.of;
        let up = usize::from(conv.up2);
        let [b, top, left] = self.task.place(self.tile);
        let inside = |at: usize, pad: usize, size: usize| {
            at.checked_sub(pad).filter(|at| *at < size << up).map(|at| at >> up)
        };
        let rows: [_; A] = array::from_fn(|y| inside(top + y, conv.pad[0], height));
        let columns: [_; A] = array::from_fn(|x| inside(left + x, conv.pad[2], width));
        let pixel = |y: usize, x: usize| Some(((b * height + rows[y]?) * width + columns[x]?) * c);
        let pixels: [[_; A]; A] = array::from_fn(|y| array::from_fn(|x| pixel(y, x)));
        let zero = simd.splat_f32s(0.0);
        for at in (0..c).step_by(S::F32_LANES) {
            // Loops, not closures: only what is inlined for sure is made of wide vectors.
            let mut rows = [[zero; A]; A];
            for (row, pixels) in rows.iter_mut().zip(&pixels) {
                let mut d = [zero; A];
                for (d, pixel) in d.iter_mut().zip(pixels) {
                    if let Some(pixel) = pixel {
                        *d = S::as_simd_f32s(&self.x[pixel + at..][..S::F32_LANES]).0[0];
                    }
                }
                *row = times(simd, &T::INPUT, &d);
            }
            for x in 0..A {
                let numbers = times(simd, &T::INPUT, &column(&rows, x, zero));
                for (y, numbers) in numbers.into_iter().enumerate() {
                    let place = (self.tile * A * A + y * A + x) * c + at;
                    // SAFETY: each tile has places of its own.
                    let to = unsafe { self.into.from(place) };
                    S::as_mut_simd_f32s(&mut to[..S::F32_LANES]).0[0] = numbers;
                }
            }
        }
    }
}

/// Transforms the products of one tile back into output pixels.
struct Outputs<'a, T, const M: usize, const A: usize> {
    task: &'a Task<'a, T, M, A>,
    products: &'a [f32],
    tile: usize,
    y: Shared,
}

impl<T: Tiling<M, A>, const M: usize, const A: usize> WithSimd for Outputs<'_, T, M, A> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n = self.task.of.output[2];
        let zero = simd.splat_f32s(0.0);
        for at in (0..n).step_by(S::F32_LANES) {
            let mut rows = [[zero; M]; A];
            for (y, row) in rows.iter_mut().enumerate() {
                let mut products = [zero; A];
                for (x, product) in products.iter_mut().enumerate() {
                    let place = (self.tile * A * A + y * A + x) * n + at;
                    *product = S::as_simd_f32s(&self.products[place..][..S::F32_LANES]).0[0];
                }
                *row = times(simd, &T::OUTPUT, &products);
            }
            let mut columns = [[zero; M]; M];
            for (x, numbers) in columns.iter_mut().enumerate() {
                *numbers = times(simd, &T::OUTPUT, &column(&rows, x, zero));
            }
            for [y, x, pixel] in self.task.pixels(self.tile) {
                // SAFETY: a pixel is of one tile.
                let to = unsafe { self.y.from(pixel * n + at) };
                S::as_mut_simd_f32s(&mut to[..S::F32_LANES]).0[0] = columns[x][y];
            }
        }
    }
}

#[inline(always)]
fn column<V: Copy, const X: usize, const Y: usize>(
    rows: &[[V; X]; Y],
    x: usize,
    zero: V,
) -> [V; Y] {
    let mut column = [zero; Y];
    for (number, row) in column.iter_mut().zip(rows) {
        *number = row[x];
    }
    column
}

/// The product of a matrix of constants and a vector of vectors.
#[inline(always)]
fn times<S: Simd, const I: usize, const O: usize>(
    simd: S,
    matrix: &[[f32; I]; O],
    x: &[S::f32s; I],
) -> [S::f32s; O] {
    let mut products = [simd.splat_f32s(0.0); O];
    for (product, row) in products.iter_mut().zip(matrix) {
        for (factor, x) in row.iter().zip(x) {
            if *factor != 0.0 {
                *product = simd.mul_add_e_f32s(simd.splat_f32s(*factor), *x, *product);
            }
        }
    }
    products
}
