//! Work on a large picture piece by piece: tiles that overlap, mixed by weights that fade at their edges.

use anyhow::Result;
use ndarray::{Array2, Array4, Axis, s};
use tensor::OutOfMemory;

/// How a picture is cut: height and width of a tile, and what neighbours share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    pub height: usize,
    pub width: usize,
    pub overlap: usize,
}

/// What `work` makes with these tiles or, where memory is not enough, with the largest smaller ones for
/// which it is, down to about `smallest`; and with which. That they do not fit is known before work begins.
pub fn smaller_until_they_fit<T>(
    mut tiles: Tiles,
    smallest: usize,
    mut work: impl FnMut(Tiles) -> Result<T>,
) -> Result<(T, Tiles)> {
    loop {
        match work(tiles) {
            Err(error) if error.is::<OutOfMemory>() && tiles.height.min(tiles.width) > smallest => {
                tiles = tiles.smaller();
            }
            result => return Ok((result?, tiles)),
        }
    }
}

impl Tiles {
    /// Of which neighbours share a quarter.
    pub fn square(side: usize) -> Self {
        Self { height: side, width: side, overlap: side / 4 }
    }

    /// In units of which `n` make one.
    pub fn times(self, n: usize) -> Self {
        Self { height: self.height * n, width: self.width * n, overlap: self.overlap * n }
    }

    /// A quarter shorter in each direction.
    pub fn smaller(self) -> Self {
        let [height, width, overlap] = [self.height, self.width, self.overlap].map(|n| n * 3 / 4);
        Self { height, width, overlap }
    }

    /// The tile's places along an axis, each with its length.
    fn along(tile: usize, overlap: usize, size: usize) -> Vec<(usize, usize)> {
        if size <= tile {
            return vec![(0, size)];
        }
        let starts = (0..size.saturating_sub(overlap)).step_by(tile.saturating_sub(overlap).max(1));
        let place = |start: usize| {
            let start = start.min(size - overlap);
            (start, tile.min(size - start))
        };
        starts.map(place).collect()
    }

    /// Where the tiles of a picture of this size begin, and how large they are: `[y, x, height, width]`.
    pub fn places(&self, height: usize, width: usize) -> Vec<[usize; 4]> {
        let columns = Self::along(self.width, self.overlap, width);
        let rows = Self::along(self.height, self.overlap, height);
        let row = |(y, h): (usize, usize)| columns.iter().map(move |(x, w)| [y, *x, h, *w]);
        rows.into_iter().flat_map(row).collect()
    }

    /// One picture `[1, H, W, C]` by way of its tiles, each of which `f` makes `scale` times as large. As
    /// in the original all edges fade, also those of the picture: there only one tile counts.
    pub fn map(
        &self,
        x: &Array4<f32>,
        scale: f64,
        f: &mut dyn FnMut(Array4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let (_, height, width, _) = x.dim();
        if height <= self.height && width <= self.width {
            return f(x.clone());
        }
        let scaled = |n: usize| (n as f64 * scale).round_ties_even() as usize;
        let mut sum: Option<Array4<f32>> = None;
        let mut weight = Array2::zeros((scaled(height), scaled(width)));
        for [y, x0, h, w] in self.places(height, width) {
            let made = f(x.slice(s![.., y..y + h, x0..x0 + w, ..]).to_owned())?;
            let (_, h, w, channels) = made.dim();
            let shape = (1, scaled(height), scaled(width), channels);
            let sum = sum.get_or_insert_with(|| Array4::zeros(shape));
            let fades = fades(h, w, scaled(self.overlap));
            let (rows, columns) = (scaled(y)..scaled(y) + h, scaled(x0)..scaled(x0) + w);
            let mut place = sum.slice_mut(s![0, rows.clone(), columns.clone(), ..]);
            for (c, mut place) in place.axis_iter_mut(Axis(2)).enumerate() {
                place += &(&fades * &made.slice(s![0, .., .., c]));
            }
            let mut place = weight.slice_mut(s![rows, columns]);
            place += &fades;
        }
        let mut sum = sum.ok_or_else(|| anyhow::anyhow!("there is nothing to cut into tiles"))?;
        sum.indexed_iter_mut().for_each(|((_, y, x, _), v)| *v /= weight[[y, x]]);
        Ok(sum)
    }
}

/// Weights that rise from every edge over so many pixels.
fn fades(height: usize, width: usize, over: usize) -> Array2<f32> {
    let fade = |i: usize, size: usize| {
        if over >= size {
            return 1.0;
        }
        let side = |distance: usize| {
            if distance < over { (distance + 1) as f32 / over as f32 } else { 1.0 }
        };
        side(i) * side(size - 1 - i)
    };
    Array2::from_shape_fn((height, width), |(y, x)| fade(y, height) * fade(x, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_gives_the_same_picture() {
        for (height, width) in [(10, 10), (37, 50), (16, 100), (100, 9)] {
            let x = Array4::from_shape_fn((1, height, width, 3), |(_, y, x, c)| {
                (y * 7 + x * 3 + c) as f32
            });
            let tiles = Tiles { height: 16, width: 16, overlap: 4 };
            let y = tiles.map(&x, 1.0, &mut Ok).unwrap();
            let off = x.iter().zip(&y).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-3, "{height}x{width}: off by {off}");
        }
    }

    #[test]
    fn no_tile_is_larger_than_it_may_be() {
        let tiles = Tiles { height: 512, width: 512, overlap: 32 };
        let places = tiles.places(1024, 700);
        assert!(places.iter().all(|[_, _, h, w]| *h <= 512 && *w <= 512));
        assert_eq!(places.len(), 3 * 2);
    }
}
