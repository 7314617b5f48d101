//! Products by the matrix units of newer Intel processors (AMX).
//!
//! The units multiply bf16, which has 8 binary digits, and add up in f32. A number of f32, which has 24, is
//! nearly the sum of two of bf16; three of the four products of their parts count (Henry, Tang and Heinecke
//! 2019). That is within 2^-15 of the product, 2^-18 on the average, a digit less than f32, as Winograd's
//! convolution is too; for three products by units sixteen times as fast as vectors.

use super::{Panels, Rows, panels::MOST_WIDTH, width, width_for, with_scratch};
use multiversion::multiversion;
use std::ops::Range;

/// Rows and columns of a tile of the result, and how deep the tiles are that make it.
const TILE: usize = 16;
const DEPTH: usize = 32;
/// Numbers in a tile of bf16; scratch memory is of f32, of which one has room for two.
const LEN: usize = TILE * DEPTH;
/// Parts of a number, each in a tile of its own.
const PARTS: usize = 2;
/// Rows of one task, and how much of their depth is done at once: their parts fill a third of a core's
/// second-level cache, in which those of two panels lie, too.
pub const ROWS: usize = 256;
pub const SLAB: usize = 640;

/// Whether this processor has the units and the system lets them be used; wherever there are any, panels are
/// as wide as some tiles.
pub fn is_here() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static HERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        let find = || width_for(1) == TILE && units::are_there() && units::may_be_used();
        *HERE.get_or_init(find)
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Whether products with a weight `[n, k]` are worth the lost digit: those of large layers. Of few columns
/// there is little to do for rows that have been taken apart.
pub fn serves([n, k]: [usize; 2]) -> bool {
    n > 128 && k >= 256
}

/// Whether pieces of so many channels are whole tiles.
pub fn whole_tiles(channels: usize) -> bool {
    channels.is_multiple_of(DEPTH)
}

/// A matrix whose rows are read piece by piece.
pub trait Pieces {
    fn count(&self) -> usize;
    /// Some numbers of a row, at most [`SLAB`]; all pieces but the last are multiples of 32 long.
    fn pieces(&self, row: usize, range: Range<usize>) -> impl Iterator<Item = &[f32]>;
}

impl Pieces for Rows<'_> {
    fn count(&self) -> usize {
        self.count
    }
    fn pieces(&self, row: usize, range: Range<usize>) -> impl Iterator<Item = &[f32]> {
        assert_eq!(self.step, 1);
        std::iter::once(&self.numbers[row * self.stride..][range])
    }
}

/// On this thread: `y = a weight^T`, or `y += ..`; rows of `y` lie `stride` apart.
pub fn add(a: &impl Pieces, weight: Panels, y: &mut [f32], stride: usize, adds: bool) {
    for depth in slabs(0..weight.k) {
        let adds = adds || depth.start > 0;
        split(a, depth, |rows| rows.add(weight, y, stride, adds));
    }
}

/// Even slabs, of whole tiles.
fn slabs(depth: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let count = depth.len().div_ceil(SLAB).max(1);
    let len = depth.len().div_ceil(count).next_multiple_of(DEPTH).max(1);
    depth.clone().step_by(len).map(move |from| from..depth.end.min(from + len))
}

/// Some numbers of each row, or of each column, in parts: as strips of tiles.
pub struct Split<'a> {
    strips: &'a [u16],
    /// Rows or columns.
    count: usize,
    depth: Range<usize>,
}

/// Calls `f` with some numbers of each row in parts.
pub fn split(a: &impl Pieces, depth: Range<usize>, f: impl FnOnce(&Split)) {
    let count = a.count();
    with_scratch(count.div_ceil(TILE) * strip_len(&depth) / 2, |scratch| {
        let strips = bytemuck::cast_slice_mut(scratch);
        split_rows(a, depth.clone(), strips);
        f(&Split { strips, count, depth });
    });
}

/// Numbers of bf16 in the tiles of 16 rows or columns.
fn strip_len(depth: &Range<usize>) -> usize {
    depth.len().div_ceil(DEPTH) * PARTS * LEN
}

impl Split<'_> {
    /// As [`add`], of rows in parts.
    pub fn add(&self, weight: Panels, y: &mut [f32], stride: usize, adds: bool) {
        if self.count * weight.n == 0 {
            return;
        }
        let group = 2 * width();
        let (room, strips) = (DEPTH * width(), group / TILE * strip_len(&(0..SLAB)) / 2);
        with_scratch(room + strips, |scratch| {
            let (room, strips) = scratch.split_at_mut(room);
            let strips: &mut [u16] = bytemuck::cast_slice_mut(strips);
            let units = units::Tiles::new();
            for first in (0..weight.n).step_by(group) {
                let columns = first..weight.n.min(first + group);
                for depth in slabs(self.depth.clone()) {
                    split_columns(&weight, columns.clone(), depth.clone(), strips, room);
                    let adds = adds || depth.start > self.depth.start;
                    let columns = Split { strips, count: columns.len(), depth };
                    let mut y = Part { y: &mut y[first..], stride, adds };
                    multiply(&units, self, &columns, &mut y);
                }
            }
        });
    }

    /// How many strips there are.
    fn tiles(&self) -> usize {
        self.count.div_ceil(TILE)
    }

    /// Two strips, as deep as is asked. Past the last one there is no other: it is multiplied twice.
    fn two(&self, first: usize, depth: &Range<usize>) -> [&[u16]; 2] {
        let skipped = strip_len(&(self.depth.start..depth.start));
        let place = |i: usize| i.min(self.tiles() - 1) * strip_len(&self.depth) + skipped;
        [first, first + 1].map(|i| &self.strips[place(i)..][..strip_len(depth)])
    }
}

/// Part of the result: its rows lie `stride` apart; it is added to, or made.
struct Part<'a> {
    y: &'a mut [f32],
    stride: usize,
    adds: bool,
}

fn multiply(units: &units::Tiles, rows: &Split, columns: &Split, y: &mut Part) {
    for column in (0..columns.tiles()).step_by(2) {
        let two_columns = columns.two(column, &columns.depth);
        for row in (0..rows.tiles()).step_by(2) {
            let two_rows = rows.two(row, &columns.depth);
            let [row, column] = [row, column].map(|tile| tile * TILE);
            let size = [rows.count - row, columns.count - column];
            y.square(units, two_rows, two_columns, [row, column], size);
        }
    }
}

impl Part<'_> {
    /// Two by two tiles from a row and a column on, or what of them belongs to the result: `left` rows and
    /// columns.
    fn square(
        &mut self,
        units: &units::Tiles,
        rows: [&[u16]; 2],
        columns: [&[u16]; 2],
        [row, column]: [usize; 2],
        left: [usize; 2],
    ) {
        const SIDE: usize = 2 * TILE;
        let y = &mut self.y[row * self.stride + column..];
        let [height, wide] = left.map(|left| left.min(SIDE));
        if [height, wide] == [SIDE, SIDE] {
            return units.multiply(rows, columns, y, self.stride, self.adds);
        }
        let mut whole = [0.0; SIDE * SIDE];
        units.multiply(rows, columns, &mut whole, SIDE, false);
        for (y, whole) in y.chunks_mut(self.stride).zip(whole.chunks_exact(SIDE)).take(height) {
            let y = &mut y[..wide];
            if !self.adds {
                y.fill(0.0);
            }
            super::add(y, whole);
        }
    }
}

/// Some numbers of each row as strips `[rows / 16][depth / 32][part][16][32]`. What lies past the last row
/// is left over: it makes rows of the result that nobody reads.
fn split_rows(a: &impl Pieces, depth: Range<usize>, strips: &mut [u16]) {
    let strip = strip_len(&depth);
    for row in 0..a.count() {
        let mut at = row / TILE * strip + row % TILE * DEPTH;
        for piece in a.pieces(row, depth.clone()) {
            split_piece(piece, &mut strips[at..]);
            at += piece.len() / DEPTH * PARTS * LEN;
        }
    }
}

/// To one row of as many tiles as it takes; past the end there are zeros.
#[multiversion(targets = "simd")]
fn split_piece(piece: &[f32], tiles: &mut [u16]) {
    let (whole, rest) = piece.as_chunks::<DEPTH>();
    let mut last = [0.0; DEPTH];
    last[..rest.len()].copy_from_slice(rest);
    let blocks = whole.iter().chain((!rest.is_empty()).then_some(&last));
    for (tile, block) in tiles.chunks_mut(PARTS * LEN).zip(blocks) {
        let (leading, rest) = tile.split_at_mut(LEN);
        let parts = leading[..DEPTH].iter_mut().zip(&mut rest[..DEPTH]);
        for (x, (leading, rest)) in block.iter().zip(parts) {
            let rounded_x = rounded(*x);
            *leading = (rounded_x.to_bits() >> 16) as u16;
            *rest = (rounded(x - rounded_x).to_bits() >> 16) as u16;
        }
    }
}

/// Some columns as strips `[columns / 16][depth / 32][part][16][16][2]`: pairs of numbers along the depth
/// lie together. `room` is for a block of a panel.
fn split_columns(
    weight: &Panels,
    columns: Range<usize>,
    depth: Range<usize>,
    strips: &mut [u16],
    room: &mut [f32],
) {
    let strip = strip_len(&depth);
    let panels = strips.chunks_mut(width() / TILE * strip);
    for (column, strips) in columns.step_by(width()).zip(panels) {
        for (block, from) in depth.clone().step_by(DEPTH).enumerate() {
            let rows = from..depth.end.min(from + DEPTH);
            let wide = width_for(weight.n - column);
            let rows = weight.rows(column, rows, room);
            split_block(rows, wide, &mut strips[block * PARTS * LEN..], strip);
        }
    }
}

/// Rows `[32, wide]`, or fewer, to tiles that lie a strip apart.
#[multiversion(targets = "simd")]
fn split_block(rows: &[f32], wide: usize, tiles: &mut [u16], strip: usize) {
    const NONE: [f32; MOST_WIDTH] = [0.0; MOST_WIDTH];
    let tiles: &mut [u32] = bytemuck::cast_slice_mut(tiles);
    for pair in 0..DEPTH / 2 {
        let row = |i: usize| rows.get(i * wide..(i + 1) * wide).unwrap_or(&NONE[..wide]);
        let (even, odd) = (row(2 * pair), row(2 * pair + 1));
        let (even, odd) = (even.as_chunks::<TILE>().0, odd.as_chunks::<TILE>().0);
        for (tile, (even, odd)) in even.iter().zip(odd).enumerate() {
            let (high, low) = tiles[tile * strip / 2..][..LEN].split_at_mut(LEN / 2);
            let (high, low) = (&mut high[pair * TILE..][..TILE], &mut low[pair * TILE..][..TILE]);
            for i in 0..TILE {
                let leading = [even[i], odd[i]].map(rounded);
                let rest = [rounded(even[i] - leading[0]), rounded(odd[i] - leading[1])];
                high[i] = leading[0].to_bits() >> 16 | leading[1].to_bits();
                low[i] = rest[0].to_bits() >> 16 | rest[1].to_bits();
            }
        }
    }
}

/// To bf16, as a number of f32.
#[inline(always)]
fn rounded(x: f32) -> f32 {
    f32::from_bits(x.to_bits().wrapping_add(0x8000) & 0xFFFF_0000)
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod units {
    use super::{DEPTH, LEN, PARTS, TILE};
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
            assert!(super::is_here());
            #[repr(align(64))]
            struct Shapes([u8; 64]);
            let mut shapes = Shapes([0; 64]);
            shapes.0[0] = 1;
            for tile in 0..8 {
                shapes.0[16 + 2 * tile] = (2 * DEPTH) as u8;
                shapes.0[48 + tile] = TILE as u8;
            }
            // SAFETY: the units are there.
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
            let blocks = columns[0].len() / (PARTS * LEN);
            assert!(blocks > 0 && y.len() >= (2 * TILE - 1) * stride + 2 * TILE);
            assert!(columns.iter().all(|c| c.len() >= blocks * PARTS * LEN));
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
                    // The weight's leading part by both parts of the rows,
                    "tileloadd tmm6, [{b0} + {s}]", "tileloadd tmm7, [{b1} + {s}]",
                    "tileloadd tmm4, [{a0} + {s} + 1024]", "tileloadd tmm5, [{a1} + {s} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm4, [{a0} + {s}]", "tileloadd tmm5, [{a1} + {s}]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    // and the rest of it by the leading one.
                    "tileloadd tmm6, [{b0} + {s} + 1024]", "tileloadd tmm7, [{b1} + {s} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a0}, 2048", "add {a1}, 2048", "add {b0}, 2048", "add {b1}, 2048",
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
            unreachable!("nothing is done by units that are not there")
        }

        pub fn multiply(&self, _: [&[u16]; 2], _: [&[u16]; 2], _: &mut [f32], _: usize, _: bool) {
            unreachable!("nothing is done by units that are not there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conv, Device, Tape, Tensor, Weight, cpu::Packed, testing};
    use half::f16;

    #[test]
    fn two_parts_are_a_number_of_f16_and_nearly_one_of_f32() {
        let sum = |x: f32| rounded(x) + rounded(x - rounded(x));
        let numbers = testing::numbers(10_000, 1);
        for x in numbers.iter().flat_map(|x| [*x, 1e-6 * x, 1e20 * x]).chain([0.0, -0.0]) {
            assert!((sum(x) - x).abs() <= x.abs() * 2_f32.powi(-16), "{x}");
            assert_eq!(rounded(x).to_bits() & 0xFFFF, 0);
        }
        for x in (0..=u16::MAX).map(f16::from_bits).filter(|x| x.is_finite()) {
            assert_eq!(sum(x.to_f32()), x.to_f32());
        }
        for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(!sum(x).is_finite());
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

    /// Told by the digit that is lost.
    #[test]
    fn large_layers_are_made_by_the_units_and_small_ones_are_exact() {
        if !is_here() {
            return eprintln!("skipped: this processor has no matrix units for bf16");
        }
        let differ = |record: &dyn Fn(&Tensor, &Weight) -> Tensor, shape: &[usize]| {
            let weight = testing::weights(&[("w", shape)]).get("w").unwrap();
            let x = testing::numbers(8 * 8 * shape[1], 1);
            let [units, twin] = [Device::cpu(), Device::twin()].map(|device| {
                let tape = Tape::new();
                let y = record(&tape.input("x", &[1, 8, 8, shape[1]]), &weight);
                let program = tape.finish(&[&y]).folded();
                device.compile(program).unwrap().run(&[&x]).unwrap()
            });
            units != twin
        };
        let linear = |x: &Tensor, w: &Weight| x.linear(w, None);
        let gated = |x: &Tensor, w: &Weight| x.linear(w, None).geglu();
        let conv2d = |x: &Tensor, w: &Weight| x.conv2d(w, None, Conv::same(3));
        for (large, small) in [([160, 256], [128, 256]), ([160, 256], [160, 224])] {
            assert!(differ(&linear, &large) && !differ(&linear, &small));
            assert!(differ(&gated, &large) && !differ(&gated, &small));
        }
        assert!(differ(&conv2d, &[160, 32, 3, 3]));
        // Few columns, and pixels that are no whole tiles.
        assert!(!differ(&conv2d, &[128, 32, 3, 3]) && !differ(&conv2d, &[160, 48, 3, 3]));
    }

    #[test]
    fn a_product_is_as_near_as_is_said() {
        if !is_here() {
            return eprintln!("skipped: this processor has no matrix units for bf16");
        }
        for (m, n, k) in
            [(1, 1, 1), (16, 16, 32), (17, 33, 40), (70, 100, 300), (32, 64, 1280), (40, 20, 2600)]
        {
            let a = testing::numbers(m * k, 1);
            let rows = Rows { numbers: &a, stride: k, step: 1, count: m };
            for fits_f16 in [false, true] {
                let mut weight = testing::numbers(n * k, 2);
                if fits_f16 {
                    weight.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
                }
                let packed = Packed::new(&weight, k, fits_f16);
                let mut y = vec![0.5; m * n];
                for adds in [true, false] {
                    add(&rows, packed.panels(), &mut y, n, adds);
                    for (i, y) in y.iter().enumerate() {
                        let (a, w) = (&a[i / n * k..][..k], &weight[i % n * k..][..k]);
                        let products = a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w));
                        let size: f64 = products.clone().map(f64::abs).sum();
                        let squares: f64 = products.clone().map(|x| x * x).sum();
                        let exact = products.sum::<f64>() + if adds { 0.5 } else { 0.0 };
                        let error = (f64::from(*y) - exact).abs();
                        // At most, and six times what is to be expected.
                        let bounds =
                            [2_f64.powi(-15) * size, 6.0 * 2_f64.powi(-18) * squares.sqrt()];
                        let bound = bounds[0].min(bounds[1]) + 1e-6;
                        assert!(error < bound, "{m} {n} {k}, at {i}: {y}, not {exact}");
                    }
                }
            }
        }
    }
}
