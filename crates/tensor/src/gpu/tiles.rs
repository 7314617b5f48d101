//! How matrix products are cut into workgroups: a table of tiles, and which is taken for which product.
//!
//! The default is a model of a GPU in a few numbers ([`Tiles::cost`]); what has been measured on an adapter
//! ([`Tiles::tuned`]) overrules it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The part of a result that one workgroup makes, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tile {
    pub rows: usize,
    pub columns: usize,
    /// Quads (four numbers) of the common dimension in workgroup memory at a time.
    pub depth: usize,
    /// Threads across the columns and down the rows.
    pub threads: [usize; 2],
    /// Time of a multiplication, beside that of the largest tile: smaller tiles read more for each.
    pub price: f64,
}

/// The tiles there are: rows of [`TileClass::tile`]'s table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TileClass {
    /// 128 by 128.
    Large,
    /// 64 by 64.
    Medium,
    /// 32 by 64.
    Small,
    /// For a row or a few: as many columns as can be.
    Skinny,
    /// Through registers alone, 16 by 16 for each thread: for processors in disguise.
    Direct,
}

impl TileClass {
    pub const ALL: [Self; 5] = [Self::Large, Self::Medium, Self::Small, Self::Skinny, Self::Direct];

    pub fn tile(self) -> Tile {
        let tile =
            |rows, columns, depth, threads, price| Tile { rows, columns, depth, threads, price };
        match self {
            Self::Large => tile(128, 128, 4, [16, 16], 1.0),
            Self::Medium => tile(64, 64, 4, [8, 8], 1.15),
            Self::Small => tile(32, 64, 4, [8, 8], 1.4),
            Self::Skinny => tile(4, 256, 4, [64, 1], 2.0),
            Self::Direct => tile(16, 16, 1, [1, 1], 1.0),
        }
    }
}

impl Tile {
    /// Numbers of the result that one thread makes: rows, columns.
    pub fn each(&self) -> [usize; 2] {
        [self.rows / self.threads[1], self.columns / self.threads[0]]
    }

    /// Tiles of a result of `m` rows and `n` columns.
    pub fn count(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.columns)
    }

    /// Bytes of workgroup memory: both operands, their rows a quad longer than they need to be.
    pub fn memory(&self) -> usize {
        4 * 4 * self.depth * (self.rows + 4 + self.columns + 4)
    }
}

/// A matrix product, as far as the choice of its tile depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Rows and columns of the result.
    pub rows: usize,
    pub columns: usize,
    /// Length of the common dimension.
    pub depth: usize,
    pub reader: Reader,
    /// Whether weights are kept as f16.
    pub halves: bool,
}

/// How a product reads its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reader {
    /// Of a matrix, in whole quads.
    Rows,
    /// Patches of a picture, in whole quads of channels.
    Pixels,
    /// Patches of a picture with any number of channels.
    Scalars,
}

/// Products alike enough to share a tile: what is measured once, and kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShapeClass {
    /// Base-2 logarithms, rounded: of rows, of columns and of the common dimension.
    pub rows: u32,
    pub columns: u32,
    pub depth: u32,
    pub reader: Reader,
    pub halves: bool,
}

impl Product {
    pub fn class(&self) -> ShapeClass {
        let log = |n: usize| (n.max(1) as f64).log2().round() as u32;
        let Self { rows, columns, depth, reader, halves } = *self;
        ShapeClass { rows: log(rows), columns: log(columns), depth: log(depth), reader, halves }
    }
}

/// How one product is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    pub class: TileClass,
    /// Parts of the common dimension that are summed up by workgroups of their own.
    pub slices: usize,
}

/// Which tile is taken for which product on one adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    /// What is taken for every product; for tests, for measurements, for processors in disguise.
    pub only: Option<TileClass>,
    /// What has been found fastest here.
    pub tuned: BTreeMap<ShapeClass, TileClass>,
    /// Threads that keep the adapter busy.
    pub threads: usize,
    /// Bytes of workgroup memory that a tile may take.
    pub memory: usize,
}

impl Default for Tiles {
    /// A desktop GPU of the middle: 64 to 128 processors that hold a few hundred threads each.
    fn default() -> Self {
        Self { only: None, tuned: BTreeMap::new(), threads: 1 << 15, memory: 32 << 10 }
    }
}

/// The common dimension is cut into at most so many slices, of at least such a length each.
const SLICES: usize = 8;
const SLICE: usize = 512;
/// A tile that should take so many times as long as the best is not measured.
const PROMISING: f64 = 4.0;
/// What a slicing must save to be worth a further dispatch.
const WORTH: f64 = 0.6;
/// Multiplications that one thread does while a dispatch begins, and bytes that memory moves while every
/// thread does one.
const LAUNCH: f64 = 4000.0;
const BYTES: f64 = 1000.0;

impl Tiles {
    /// The tile for products of this kind, if it does not depend on their exact shape.
    pub fn class(&self, shape: &ShapeClass) -> Option<TileClass> {
        self.only.or_else(|| self.tuned.get(shape).copied())
    }

    /// How a product is done.
    pub fn tiling(&self, product: &Product) -> Tiling {
        let class = self.class(&product.class()).unwrap_or_else(|| self.cheapest(product, 1));
        let whole = Tiling { class, slices: 1 };
        if class == TileClass::Direct {
            return whole;
        }
        let sliced = (2..=SLICES.min(product.depth / SLICE)).map(|slices| {
            let class = self.class(&product.class());
            Tiling { class: class.unwrap_or_else(|| self.cheapest(product, slices)), slices }
        });
        let best = sliced.min_by(|a, b| self.cost(product, *a).total_cmp(&self.cost(product, *b)));
        best.filter(|best| self.cost(product, *best) < WORTH * self.cost(product, whole))
            .unwrap_or(whole)
    }

    /// The tiles that products may have.
    pub fn possible(&self) -> impl Iterator<Item = TileClass> {
        let fits = |class: &TileClass| match self.only {
            Some(only) => *class == only,
            None => *class != TileClass::Direct && class.tile().memory() <= self.memory,
        };
        TileClass::ALL.into_iter().filter(fits)
    }

    /// The tiles that are worth a measurement, by the model.
    pub fn promising(&self, product: &Product) -> impl Iterator<Item = TileClass> {
        let cost = |class| self.cost(product, Tiling { class, slices: 1 });
        let least = self.possible().map(cost).fold(f64::INFINITY, f64::min);
        self.possible().filter(move |class| cost(*class) <= PROMISING * least)
    }

    fn cheapest(&self, product: &Product, slices: usize) -> TileClass {
        let cost = |class: &TileClass| self.cost(product, Tiling { class: *class, slices });
        // A tile of few rows reads the weight again for every few rows.
        let tall = |class: &TileClass| {
            *class != TileClass::Skinny || product.rows <= 2 * class.tile().rows
        };
        let fit = self.possible().filter(tall);
        fit.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(TileClass::Small)
    }

    /// Time, in multiplications that one thread does: all threads work at once until there are more tiles
    /// than the adapter holds.
    fn cost(&self, product: &Product, Tiling { class, slices }: Tiling) -> f64 {
        let Product { rows, columns, depth, .. } = *product;
        let tile = class.tile();
        let threads = tile.threads[0] * tile.threads[1] * tile.count(rows, columns) * slices;
        let rounds = (threads as f64 / self.threads as f64).max(1.0);
        let [m, n] = tile.each();
        let made = rounds * tile.price * (m * n * depth / slices) as f64;
        // Partial sums are written and read again.
        let partial = LAUNCH + (8 * slices * rows * columns) as f64 / BYTES;
        made + if slices > 1 { partial } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(rows: usize, columns: usize, depth: usize) -> Product {
        Product { rows, columns, depth, reader: Reader::Rows, halves: true }
    }

    #[test]
    fn large_products_have_large_tiles_and_small_ones_are_sliced() {
        let tiles = Tiles::default();
        let tiling = |m, n, k| tiles.tiling(&product(m, n, k));
        assert_eq!(tiling(16384, 2560, 320), Tiling { class: TileClass::Large, slices: 1 });
        assert_eq!(tiling(2, 1280, 320), Tiling { class: TileClass::Skinny, slices: 1 });
        // The 3x3 convolutions of SD 1.5's middle.
        assert!(tiling(128, 1280, 11520).slices >= 4);
        // A reduction would cost more than it saves.
        assert_eq!(tiling(2048, 640, 640).slices, 1);
    }

    #[test]
    fn what_was_measured_overrules_the_model() {
        let mut tiles = Tiles::default();
        let here = product(8192, 320, 2880);
        tiles.tuned.insert(here.class(), TileClass::Small);
        assert_eq!(tiles.tiling(&here).class, TileClass::Small);
        // Of the same class.
        assert_eq!(tiles.tiling(&product(8000, 330, 2880)).class, TileClass::Small);
        tiles.only = Some(TileClass::Direct);
        assert_eq!(tiles.tiling(&here), Tiling { class: TileClass::Direct, slices: 1 });
    }

    #[test]
    fn tiles_that_do_not_fit_the_workgroup_memory_are_not_taken() {
        let tiles = Tiles { memory: 16 << 10, ..Tiles::default() };
        for (m, n, k) in [(16384, 2560, 320), (128, 1280, 11520), (2, 1280, 320), (1, 1, 1)] {
            assert!(tiles.tiling(&product(m, n, k)).class.tile().memory() <= 16 << 10);
        }
    }
}
