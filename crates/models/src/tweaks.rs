//! Changes to how a UNet computes, beside its weights.

use crate::{hypernetwork::Hypernetwork, layers::along};
use std::cell::RefCell;
use tensor::{Merging, Result, Tape, Tensor, Weights};

/// What differs from the network as it was trained.
#[derive(Clone, Default)]
pub struct Tweaks {
    pub freeu: Option<FreeU>,
    pub tiles: Option<HyperTile>,
    pub merging: Option<TokenMerging>,
    pub shrink: Option<Shrink>,
    /// One after another.
    pub hypernetworks: Vec<Hypernetwork>,
}

/// Strengthens what comes up from below and weakens the coarse part of what skips over (Si et al. 2024,
/// "FreeU"), at the two lowest resolutions, lowest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeU {
    pub backbone: [f32; 2],
    pub skip: [f32; 2],
    /// Strengthens each place by how much it stands out (the paper's final version).
    pub by_place: bool,
}

/// Self-attention at high resolutions, each query to a part of the picture only (tfernd 2023, "HyperTile"), as the
/// original does it: queries are those of a tile, but keys and values those of as many tokens in a row, and a
/// picture that is not square is cut as if it lay on its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HyperTile {
    /// In latent pixels.
    pub side: usize,
    /// How many numbers of tiles are considered, the most first. The original draws one for each block, but
    /// never the last of several (its pull request 14899); here blocks take them in turn. Up to two there is
    /// nothing to choose.
    pub options: usize,
    /// How often the picture may be halved before tiles end.
    pub depth: usize,
    /// Whether tiles are larger further down.
    pub grows: bool,
}

/// Self-attention where the picture is largest asks for fewer queries: those that are much alike ask
/// together (Bolya and Hoffman 2023, "Token Merging for Fast Stable Diffusion"). Of every 2x2 one, drawn for
/// each layer and call, is what others may go to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenMerging {
    /// The part (0..=1) of all tokens that goes to others.
    pub ratio: f64,
}

/// Draws so many numbers below 4.
pub type Random<'a> = RefCell<dyn FnMut(usize) -> Vec<u32> + 'a>;

/// A matrix that makes lines of one length into lines of another, by rows.
pub type Resampler = fn(usize, usize) -> Vec<f32>;

/// Makes the picture smaller from one input block on, so that the network sees all of a large one
/// (Kohya S. 2023, "Deep shrink").
#[derive(Clone, Copy, Debug)]
pub struct Shrink {
    pub block: usize,
    pub factor: f64,
    pub after_skip: bool,
    pub down: Resampler,
    pub up: Resampler,
}

impl FreeU {
    /// Changes what an output block reads; `x` from below, `skip` from the input block.
    pub fn apply(&self, x: &Tensor, skip: &Tensor, model_channels: usize) -> Result<[Tensor; 2]> {
        let level = [4, 2].iter().position(|times| x.channels() == times * model_channels);
        let Some(level) = level else { return Ok([x.clone(), skip.clone()]) };
        let half = x.channels() / 2;
        let (first, second) = (x.slice(3, 0, half), x.slice(3, half, half));
        let strong = match self.by_place {
            true => first.mul(&standing_out(x, half, self.backbone[level] - 1.0)?),
            false => first.affine(self.backbone[level], 0.0),
        };
        Ok([strong.concat(&[&second], 3), coarse_scaled(skip, self.skip[level])?])
    }
}

/// `by m + 1` for every place, in so many channels: `m` is the mean of the place's channels, from 0 where
/// it is smallest in the picture to 1.
fn standing_out(x: &Tensor, channels: usize, by: f32) -> Result<Tensor> {
    let &[batch, height, width, c] = x.shape() else {
        unreachable!("a picture has four dimensions")
    };
    let constants = vec![
        ("mean".to_owned(), vec![1, c], vec![1.0 / c as f32; c]),
        ("by".to_owned(), vec![channels, 1], vec![by; channels]),
        ("one".to_owned(), vec![channels], vec![1.0; channels]),
    ];
    let w = Weights::made("FreeU", constants)?;
    let mean = x.linear(&w.get("mean")?, None).reshape(&[batch, height * width]).unit_range();
    let mean = mean.reshape(&[batch, height, width, 1]);
    Ok(mean.linear(&w.get("by")?, Some(&w.get("one")?)))
}

/// The picture with the lowest frequencies (0 and -1 along each axis) scaled.
fn coarse_scaled(x: &Tensor, scale: f32) -> Result<Tensor> {
    let &[batch, height, width, c] = x.shape() else {
        unreachable!("a picture has four dimensions")
    };
    let lowest = |size: usize| if size > 1 { vec![0.0, -1.0] } else { vec![0.0] };
    let mut waves: Vec<f32> = Vec::new();
    for (v, u) in
        lowest(height).into_iter().flat_map(|v| lowest(width).into_iter().map(move |u| (v, u)))
    {
        let angle = |i: usize| {
            let (row, column) = ((i / width) as f64, (i % width) as f64);
            std::f64::consts::TAU * (v * row / height as f64 + u * column / width as f64)
        };
        waves.extend((0..height * width).map(|i| angle(i).cos() as f32));
        waves.extend((0..height * width).map(|i| angle(i).sin() as f32));
    }
    let (pixels, count) = (height * width, waves.len() / (height * width));
    let back = |i: usize| waves[i % count * pixels + i / count] * (scale - 1.0) / pixels as f32;
    let back: Vec<f32> = (0..waves.len()).map(back).collect();
    let line = x.reshape(&[batch, 1, pixels, c]);
    let change = along(&along(&line, 2, &waves)?, 2, &back)?;
    Ok(x.add(&change.reshape(x.shape())))
}

impl HyperTile {
    /// How the tokens of a picture of this `size` are cut, where the latent is `whole`; `turn` counts the blocks.
    /// Nothing where there is one tile.
    pub fn tiling(&self, whole: [usize; 2], size: [usize; 2], turn: usize) -> Option<Tiling> {
        let pixels = |[height, width]: [usize; 2]| height * width;
        let halvings = (0..=self.depth).find(|i| pixels(whole) == pixels(size) << (2 * i))?;
        let side = self.side << if self.grows { halvings } else { 0 };
        let picture = [size[1], size[0]];
        let tiles = picture.map(|size| {
            let sides = (side.min(size)..=size).filter(|side| size % side == 0);
            let numbers: Vec<usize> =
                sides.map(|side| size / side).take(self.options.max(1)).collect();
            numbers[turn % numbers.len().saturating_sub(1).max(1)]
        });
        (tiles != [1, 1]).then_some(Tiling { picture, tiles })
    }
}

impl TokenMerging {
    /// The input that a recording has for the destinations of each layer.
    pub const INPUT: &str = "destinations";

    /// Which of the tokens `[B, N, C]` of a layer go together; none where the picture is smaller than
    /// the whole, a single line, or too few would go.
    pub fn record(&self, tape: &Tape, x: &Tensor, [height, width]: [usize; 2]) -> Option<Merging> {
        let cells = (height / 2) * (width / 2);
        let merged = (x.dim(1) as f64 * self.ratio) as usize;
        if x.dim(1) != height * width || cells == 0 || merged == 0 {
            return None;
        }
        Some(x.merging(&tape.input(Self::INPUT, &[cells]), merged))
    }

    /// A token of every 2x2 of the picture; odd lines at its end are in none.
    pub fn destinations([height, width]: [usize; 2], random: Option<&Random>) -> Vec<f32> {
        let across = width / 2;
        let cells = height / 2 * across;
        let chosen = random.map_or_else(|| vec![0; cells], |draw| draw.borrow_mut()(cells));
        let token = |(cell, chosen): (usize, u32)| {
            let (row, column) = (2 * (cell / across), 2 * (cell % across));
            ((row + chosen as usize / 2) * width + column + chosen as usize % 2) as f32
        };
        chosen.into_iter().enumerate().map(token).collect()
    }
}

/// A picture's height and width in tokens, and how many tiles there are down and across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    picture: [usize; 2],
    tiles: [usize; 2],
}

impl Tiling {
    /// Tokens of the picture as tokens of its tiles, each an entry of the batch.
    pub fn cut(&self, x: &Tensor) -> Tensor {
        let ([height, width], [down, across]) = (self.picture, self.tiles);
        let (batch, c) = (x.dim(0), x.channels());
        let (h, w) = (height / down, width / across);
        let x = x.reshape(&[batch * down, h, across, w * c]).permute(&[0, 2, 1, 3]);
        x.reshape(&[batch * down * across, h * w, c])
    }

    /// As many entries, each of tokens in a row.
    pub fn rows(&self, x: &Tensor) -> Tensor {
        let tiles = self.tiles[0] * self.tiles[1];
        x.reshape(&[x.dim(0) * tiles, x.dim(1) / tiles, x.channels()])
    }

    /// The reverse of [`Tiling::cut`].
    pub fn joined(&self, x: &Tensor) -> Tensor {
        let ([height, width], [down, across]) = (self.picture, self.tiles);
        let (batch, c) = (x.dim(0) / (down * across), x.channels());
        let (h, w) = (height / down, width / across);
        let x = x.reshape(&[batch * down, across, h, w * c]).permute(&[0, 2, 1, 3]);
        x.reshape(&[batch, height * width, c])
    }
}

impl Shrink {
    pub fn smaller(&self, x: &Tensor) -> Result<Tensor> {
        let size = |n: usize| ((n as f64 / self.factor).round_ties_even() as usize).max(1);
        resampled(x, [size(x.dim(1)), size(x.dim(2))], self.down)
    }
}

/// A picture of another size.
pub fn resampled(x: &Tensor, [height, width]: [usize; 2], by: Resampler) -> Result<Tensor> {
    let x = along(x, 2, &by(x.dim(2), width))?;
    along(&x, 1, &by(x.dim(1), height))
}

/// The pixel that lies at the beginning of each new one.
pub fn nearest(from: usize, to: usize) -> Vec<f32> {
    (0..to * from).map(|i| if i % from == i / from * from / to { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::{Device, Tape};

    #[test]
    fn tiles_are_rectangles_of_the_picture_and_go_together_again() {
        let tape = Tape::new();
        let x = tape.input("x", &[1, 8, 1]);
        let tiling = Tiling { picture: [2, 4], tiles: [1, 2] };
        let tiles = tiling.cut(&x);
        let (whole, rows) = (tiling.joined(&tiles), tiling.rows(&x));
        assert_eq!(rows.shape(), tiles.shape());
        let mut network = Device::cpu().compile(tape.finish(&[&tiles, &whole, &rows])).unwrap();
        let numbers: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let made = network.run(&[&numbers]).unwrap();
        assert_eq!(made[0], [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!((&made[1], &made[2]), (&numbers, &numbers));
    }

    #[test]
    fn one_token_of_every_square_is_drawn() {
        let whole = [5, 6];
        assert_eq!(TokenMerging::destinations(whole, None), [0.0, 2.0, 4.0, 12.0, 14.0, 16.0]);
        let random = RefCell::new(|n: usize| (0..n as u32).map(|i| i % 4).collect());
        let drawn = TokenMerging::destinations(whole, Some(&random));
        assert_eq!(drawn, [0.0, 3.0, 10.0, 19.0, 14.0, 17.0]);
    }

    #[test]
    fn tiles_are_as_many_as_may_be_and_end_below() {
        let tiles = |options, whole: [usize; 2], size, turn| {
            let tiles = HyperTile { side: 16, options, depth: 1, grows: true };
            tiles.tiling(whole, size, turn).map(|tiling| tiling.tiles)
        };
        for (options, turn) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)] {
            assert_eq!(tiles(options, [64, 64], [64, 64], turn), Some([4, 4]), "{options}");
        }
        assert_eq!(tiles(3, [64, 64], [64, 64], 1), Some([2, 2]), "the second of three");
        assert_eq!(tiles(1, [64, 128], [64, 128], 0), Some([8, 4]), "on its side");
        assert_eq!(tiles(1, [64, 128], [32, 64], 0), Some([2, 1]), "larger below");
        assert_eq!(tiles(1, [64, 128], [16, 32], 0), None, "too far down");
        assert_eq!(tiles(1, [7, 9], [4, 5], 0), None, "not halved");
        assert_eq!(tiles(1, [7, 64], [7, 64], 0), Some([4, 1]), "smaller than a tile");
    }
}
