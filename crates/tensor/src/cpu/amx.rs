//! Products by the matrix units of newer Intel processors (AMX), as exact as those of f32.
//!
//! The units multiply bf16, which has 8 binary digits, and add up in f32. A number of f32, which has 24, is
//! the exact sum of three of bf16, and one that f16 holds, which has 11, of two (Henry, Tang and Heinecke
//! 2019). Of the six products of their parts all but the smallest count: it is below the last digit of f32.
//! That is five products in place of one, by units sixteen times as fast.

use super::{Numbers, Rows, with_scratch, zeros};
use multiversion::multiversion;
use rayon::prelude::*;

/// Rows and columns of a tile of the result, and how deep the tiles are that make it.
pub const TILE: usize = 16;
const DEPTH: usize = 32;
/// Numbers in a tile of bf16.
const LEN: usize = TILE * DEPTH;
/// Parts of a number of the rows, and of the weight.
const PARTS: usize = 3;
const WEIGHT_PARTS: usize = 2;
/// Rows of one task: their parts fill half of a core's second-level cache.
pub const ROWS: usize = 128;
const SLAB: usize = 1280;

/// Whether this processor has the units and the system lets them be used.
pub fn is_here() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static HERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *HERE.get_or_init(|| units::are_there() && units::may_be_used())
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Numbers of bf16 that a weight `[n, k]` takes.
pub fn packed_len(n: usize, k: usize) -> usize {
    n.div_ceil(TILE) * column_len(k)
}

/// Numbers of the weight's tiles for [`TILE`] columns of the result.
pub fn column_len(k: usize) -> usize {
    k.div_ceil(DEPTH) * WEIGHT_PARTS * LEN
}

/// A weight `[n, k]` whose numbers f16 holds, as tiles `[n / 16][k / 32][part][16][16][2]`: pairs of
/// numbers along `k` lie together.
pub fn pack(weight: &[f32], [n, k]: [usize; 2]) -> Numbers<u16> {
    let mut tiles = zeros(packed_len(n, k));
    tiles.par_chunks_mut(column_len(k)).enumerate().for_each(|(tile, numbers)| {
        let rows = weight.chunks_exact(k).skip(tile * TILE).take(TILE);
        for (column, row) in rows.enumerate() {
            let blocks = numbers.chunks_exact_mut(WEIGHT_PARTS * LEN);
            for (block, numbers) in blocks.zip(row.chunks(DEPTH)) {
                for (i, x) in numbers.iter().enumerate() {
                    let [high, low, _] = parts(*x);
                    let at = i / 2 * DEPTH + 2 * column + i % 2;
                    (block[at], block[at + LEN]) = (high, low);
                }
            }
        }
    });
    tiles
}

/// Three numbers of bf16 whose sum is `x`: each takes the leading digits of what is left.
#[inline(always)]
fn parts(x: f32) -> [u16; PARTS] {
    let leading = |x: f32| f32::from_bits(x.to_bits() & 0xFFFF_0000);
    let rest = x - leading(x);
    [x, rest, rest - leading(rest)].map(|x| (x.to_bits() >> 16) as u16)
}

/// On this thread: `y = a weight^T`, or `y += ..`, for a weight `[n, k]` in tiles; rows of `y` lie `stride`
/// apart.
pub fn add(a: &Rows, weight: &[u16], [n, k]: [usize; 2], y: &mut [f32], stride: usize, adds: bool) {
    assert_eq!(a.step, 1);
    assert!(weight.len() >= packed_len(n, k) && y.len() >= (a.count - 1) * stride + n);
    let row_tiles = a.count.div_ceil(TILE);
    let most = row_tiles * SLAB.min(k).div_ceil(DEPTH) * PARTS * LEN;
    // Scratch memory is of f32, of which one has room for two of bf16.
    with_scratch(most / 2, |split| {
        let units = units::Tiles::new();
        for from in (0..k).step_by(SLAB) {
            let depth = SLAB.min(k - from);
            let blocks = depth.div_ceil(DEPTH);
            let split: &mut [u16] = bytemuck::cast_slice_mut(split);
            let split = &mut split[..row_tiles * blocks * PARTS * LEN];
            split_rows(a, from, depth, split);
            // Past the last tile there is no other: it is multiplied twice.
            let columns = |tile: usize| {
                let tile = tile.min(n.div_ceil(TILE) - 1) * column_len(k);
                &weight[tile + from / DEPTH * WEIGHT_PARTS * LEN..][..blocks * WEIGHT_PARTS * LEN]
            };
            let rows = |tile: usize| {
                let len = blocks * PARTS * LEN;
                &split[tile.min(row_tiles - 1) * len..][..len]
            };
            for column in (0..n.div_ceil(TILE)).step_by(2) {
                let columns = [column, column + 1].map(columns);
                for row in (0..row_tiles).step_by(2) {
                    let rows = [row, row + 1].map(rows);
                    let [row, column] = [row, column].map(|tile| tile * TILE);
                    let size = [a.count - row, n - column].map(|left| left.min(2 * TILE));
                    let y = &mut y[row * stride + column..];
                    square(&units, rows, columns, size, y, stride, adds || from > 0);
                }
            }
        }
    });
}

/// Two by two tiles of the result, or what of them belongs to it.
fn square(
    units: &units::Tiles,
    rows: [&[u16]; 2],
    columns: [&[u16]; 2],
    size: [usize; 2],
    y: &mut [f32],
    stride: usize,
    adds: bool,
) {
    const SIDE: usize = 2 * TILE;
    if size == [SIDE, SIDE] {
        return units.multiply(rows, columns, y, stride, adds);
    }
    let mut whole = [0.0; SIDE * SIDE];
    units.multiply(rows, columns, &mut whole, SIDE, false);
    for (y, whole) in y.chunks_mut(stride).zip(whole.chunks_exact(SIDE)).take(size[0]) {
        let y = &mut y[..size[1]];
        if !adds {
            y.fill(0.0);
        }
        super::add(y, whole);
    }
}

/// Some columns of the rows as tiles `[rows / 16][depth / 32][part][16][32]`, with zeros where there are no
/// more.
#[multiversion(targets = "simd")]
fn split_rows(a: &Rows, from: usize, depth: usize, into: &mut [u16]) {
    let tile_len = depth.div_ceil(DEPTH) * PARTS * LEN;
    for (tile, into) in into.chunks_exact_mut(tile_len).enumerate() {
        for row in 0..TILE {
            let at = tile * TILE + row;
            let numbers =
                if at < a.count { &a.numbers[at * a.stride + from..][..depth] } else { &[] };
            let (whole, rest) = numbers.as_chunks::<DEPTH>();
            let mut last = [0.0; DEPTH];
            last[..rest.len()].copy_from_slice(rest);
            let blocks = whole.iter().chain(std::iter::repeat(&last));
            for (into, block) in into.chunks_exact_mut(PARTS * LEN).zip(blocks) {
                for (i, x) in block.iter().enumerate() {
                    let [high, middle, low] = parts(*x);
                    let at = row * DEPTH + i;
                    (into[at], into[LEN + at], into[2 * LEN + at]) = (high, middle, low);
                }
            }
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod units {
    use super::{DEPTH, LEN, PARTS, TILE, WEIGHT_PARTS};
    use std::arch::{asm, x86_64};

    /// Whether the processor has tiles of bf16 and the system saves them.
    pub fn are_there() -> bool {
        const BF16: u32 = 1 << 22;
        const TILES: u32 = 1 << 24;
        const SYSTEM_SAVES: u32 = 1 << 27;
        let [highest, features, system] =
            [x86_64::__cpuid(0).eax, x86_64::__cpuid_count(7, 0).edx, x86_64::__cpuid(1).ecx];
        highest >= 7
            && features & (BF16 | TILES) == BF16 | TILES
            && system & SYSTEM_SAVES != 0
            // SAFETY: the system saves extended registers, so it can be asked which.
            && unsafe { saved_registers() } & SAVED == SAVED
    }

    /// Those that tiles need: their shapes and their numbers.
    const SAVED: u64 = 0b11 << 17;

    #[target_feature(enable = "xsave")]
    fn saved_registers() -> u64 {
        // SAFETY: register 0 exists wherever there are any.
        unsafe { x86_64::_xgetbv(0) }
    }

    /// Linux gives the memory in which tiles are saved to those who ask
    /// (<https://docs.kernel.org/arch/x86/xstate.html>).
    pub fn may_be_used() -> bool {
        const REQUEST_PERMISSION: libc::c_long = 0x1023;
        const TILE_NUMBERS: libc::c_long = 18;
        // SAFETY: the call takes two numbers and changes nothing but the permission.
        unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_NUMBERS) == 0 }
    }

    /// The shapes of this thread's tiles, as long as it lives.
    pub struct Tiles;

    impl Tiles {
        pub fn new() -> Self {
            #[repr(align(64))]
            struct Shapes([u8; 64]);
            let mut shapes = Shapes([0; 64]);
            shapes.0[0] = 1;
            for tile in 0..8 {
                shapes.0[16 + 2 * tile] = (2 * DEPTH) as u8;
                shapes.0[48 + tile] = TILE as u8;
            }
            // SAFETY: a weight is packed for the units only where they are.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, readonly)) };
            Self
        }
    }

    impl Drop for Tiles {
        fn drop(&mut self) {
            // SAFETY: as above.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }

    impl Tiles {
        /// `y = rows columns`, or `y += ..`: two by two tiles of the result, whose rows lie `stride` apart.
        pub fn multiply(
            &self,
            rows: [&[u16]; 2],
            columns: [&[u16]; 2],
            y: &mut [f32],
            stride: usize,
            adds: bool,
        ) {
            let blocks = columns[0].len() / (WEIGHT_PARTS * LEN);
            assert!(blocks > 0 && y.len() >= (2 * TILE - 1) * stride + 2 * TILE);
            assert!(columns.iter().all(|c| c.len() >= blocks * WEIGHT_PARTS * LEN));
            assert!(rows.iter().all(|r| r.len() >= blocks * PARTS * LEN));
            let [y0, y1] = [0, TILE * stride].map(|at| y[at..].as_mut_ptr());
            // SAFETY: there are so many numbers, and the shapes of tiles are set.
            unsafe {
                asm!(
                    "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                    "test {adds:e}, {adds:e}",
                    "jz 2f",
                    "tileloadd tmm0, [{y0} + {t}]", "tileloadd tmm1, [{y0} + {t} + 64]",
                    "tileloadd tmm2, [{y1} + {t}]", "tileloadd tmm3, [{y1} + {t} + 64]",
                    "2:",
                    // The weight's leading digits by all three parts of the rows,
                    "tileloadd tmm6, [{b0} + {s}]", "tileloadd tmm7, [{b1} + {s}]",
                    "tileloadd tmm4, [{a0} + {s} + 2048]", "tileloadd tmm5, [{a1} + {s} + 2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm4, [{a0} + {s} + 1024]", "tileloadd tmm5, [{a1} + {s} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm4, [{a0} + {s}]", "tileloadd tmm5, [{a1} + {s}]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    // and the rest of it by the leading two.
                    "tileloadd tmm6, [{b0} + {s} + 1024]", "tileloadd tmm7, [{b1} + {s} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm4, [{a0} + {s} + 1024]", "tileloadd tmm5, [{a1} + {s} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a0}, 3072", "add {a1}, 3072", "add {b0}, 2048", "add {b1}, 2048",
                    "dec {n}",
                    "jnz 2b",
                    "tilestored [{y0} + {t}], tmm0", "tilestored [{y0} + {t} + 64], tmm1",
                    "tilestored [{y1} + {t}], tmm2", "tilestored [{y1} + {t} + 64], tmm3",
                    a0 = inout(reg) rows[0].as_ptr() => _, a1 = inout(reg) rows[1].as_ptr() => _,
                    b0 = inout(reg) columns[0].as_ptr() => _, b1 = inout(reg) columns[1].as_ptr() => _,
                    y0 = in(reg) y0, y1 = in(reg) y1, t = in(reg) 4 * stride, s = in(reg) 64_usize,
                    n = inout(reg) blocks => _, adds = in(reg) u32::from(adds),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    }
}

/// Elsewhere there are none.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod units {
    pub struct Tiles;

    impl Tiles {
        pub fn new() -> Self {
            unreachable!("nothing is packed for units that are not there")
        }

        pub fn multiply(&self, _: [&[u16]; 2], _: [&[u16]; 2], _: &mut [f32], _: usize, _: bool) {
            unreachable!("nothing is packed for units that are not there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use half::f16;

    fn sum(parts: &[u16]) -> f32 {
        parts.iter().map(|part| f32::from_bits(u32::from(*part) << 16)).sum()
    }

    #[test]
    fn three_parts_are_the_number_and_two_are_one_of_f16() {
        let numbers = testing::numbers(10_000, 1);
        for x in numbers.iter().flat_map(|x| [*x, 1e-6 * x, 1e20 * x]).chain([0.0, -0.0, f32::MAX])
        {
            assert_eq!(sum(&parts(x)), x);
        }
        for x in (0..=u16::MAX).map(f16::from_bits).filter(|x| x.is_finite()) {
            assert_eq!(sum(&parts(x.to_f32())[..WEIGHT_PARTS]), x.to_f32());
        }
    }

    /// What Linux lists it saves, too. Whether it may be used is for the system to say.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn the_units_are_found_where_the_system_lists_them() {
        let Ok(listed) = std::fs::read_to_string("/proc/cpuinfo") else {
            return eprintln!("skipped: no /proc/cpuinfo here");
        };
        let lists = |flag| listed.split_whitespace().any(|word| word == flag);
        assert_eq!(units::are_there(), lists("amx_tile") && lists("amx_bf16"));
    }

    #[test]
    fn a_product_is_as_exact_as_one_of_f32() {
        if !is_here() {
            return eprintln!("skipped: this processor has no matrix units for bf16");
        }
        for (m, n, k) in
            [(1, 1, 1), (16, 16, 32), (17, 33, 40), (70, 100, 300), (32, 64, 1280), (40, 20, 2600)]
        {
            let a = testing::numbers(m * k, 1);
            let weight: Vec<f32> =
                testing::numbers(n * k, 2).iter().map(|x| f16::from_f32(*x).to_f32()).collect();
            let packed = pack(&weight, [n, k]);
            let rows = Rows { numbers: &a, stride: k, step: 1, count: m };
            let mut y = vec![0.5; m * n];
            for adds in [true, false] {
                add(&rows, &packed, [n, k], &mut y, n, adds);
                for (i, y) in y.iter().enumerate() {
                    let (a, w) = (&a[i / n * k..][..k], &weight[i % n * k..][..k]);
                    let products = a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w));
                    let size: f64 = products.clone().map(f64::abs).sum();
                    let exact = products.sum::<f64>() + if adds { 0.5 } else { 0.0 };
                    let error = (f64::from(*y) - exact).abs();
                    assert!(error < 1e-6 * (1.0 + size), "{m} {n} {k}, at {i}: {y}, not {exact}");
                }
            }
        }
    }
}
