//! Pictures with few colours, as PIL chooses and places them.

use crate::Image;
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::{Array2, ArrayView3};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

type Color = [u8; 3];

/// Reduces a picture to some colours, those that fit it best.
#[derive(Inputs)]
pub struct ImageQuantize {
    /// The picture.
    pub image: Image,
    /// How many colours.
    #[widget(number(256).range(1..=256).step(1))]
    pub colors: usize,
    /// How colours in between are imitated: by handing each pixel's error on to its neighbours, or by a
    /// pattern of so many pixels.
    #[widget(one_of(["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"]))]
    pub dither: String,
}

impl Node for ImageQuantize {
    const CATEGORY: &str = "image/postprocessing";
    type Output = Image;

    fn run(self, ctx: &mut Context) -> Result<Image> {
        let channels = self.image.0.dim().3;
        ensure!(channels == 3, "the picture has {channels} channels, not three");
        let mut image = (*self.image.0).clone();
        for mut picture in image.outer_iter_mut() {
            ctx.check()?;
            let reduced = reduced(&pixels(&picture.view()), self.colors, &self.dither)?;
            picture.indexed_iter_mut().for_each(|((y, x, c), value)| {
                *value = f32::from(reduced[[y, x]][c]) / 255.0;
            });
        }
        Ok(Image(Arc::new(image)))
    }
}

fn pixels(picture: &ArrayView3<f32>) -> Array2<Color> {
    let (h, w, _) = picture.dim();
    let byte = |x: f32| (x * 255.0).clamp(0.0, 255.0) as u8;
    Array2::from_shape_fn((h, w), |(y, x)| [0, 1, 2].map(|c| byte(picture[[y, x, c]])))
}

fn reduced(pixels: &Array2<Color>, colors: usize, dither: &str) -> Result<Array2<Color>> {
    let mut palette = Palette { colors: median_cut(pixels, colors), known: HashMap::new() };
    let Some(side) = dither.strip_prefix("bayer-") else {
        return Ok(match dither {
            "none" => pixels.mapv(|color| palette.nearest(color)),
            _ => diffused(pixels, &mut palette),
        });
    };
    let pattern = bayer(side.parse()?);
    let (side, spread) = (pattern.dim().0, 512.0 / palette.colors.len() as f32);
    let shifted = |(y, x)| {
        let shift = spread * pattern[[y % side, x % side]] + 0.5;
        pixels[[y, x]].map(|v| (f32::from(v) + shift).clamp(0.0, 255.0) as u8)
    };
    Ok(Array2::from_shape_fn(pixels.raw_dim(), |at| palette.nearest(shifted(at))))
}

/// Bayer's threshold matrix (1973) around 0, of this side, a power of two.
fn bayer(side: usize) -> Array2<f32> {
    if side <= 1 {
        return Array2::zeros((1, 1));
    }
    let half = bayer(side / 2);
    let (n, cells) = (side / 2, (side * side) as f32);
    Array2::from_shape_fn((side, side), |(y, x)| {
        let offset = [[-1.5, 0.5], [1.5, -0.5]][y / n][x / n];
        half[[y % n, x % n]] + offset / cells
    })
}

/// Floyd and Steinberg 1976: a pixel's error goes to its right and to the three below.
fn diffused(pixels: &Array2<Color>, palette: &mut Palette) -> Array2<Color> {
    let (h, w) = pixels.dim();
    let mut out = pixels.clone();
    // The errors, in sixteenths, for this row and the next; one place more at either end.
    let (mut row, mut next) = (vec![[0i32; 3]; w + 2], vec![[0i32; 3]; w + 2]);
    for y in 0..h {
        for x in 0..w {
            let wanted = [0, 1, 2]
                .map(|c| (i32::from(pixels[[y, x]][c]) + row[x + 1][c] / 16).clamp(0, 255));
            let color = palette.nearest(wanted.map(|v| v as u8));
            out[[y, x]] = color;
            for c in 0..3 {
                let error = wanted[c] - i32::from(color[c]);
                row[x + 2][c] += 7 * error;
                next[x][c] += 3 * error;
                next[x + 1][c] += 5 * error;
                next[x + 2][c] += error;
            }
        }
        // As in PIL: below the end of a row only the errors of blue arrive, each in another's place.
        next[w] = [next[w][2], next[w + 1][2], next[w + 1][2]];
        row = std::mem::replace(&mut next, vec![[0; 3]; w + 2]);
    }
    out
}

struct Palette {
    colors: Vec<Color>,
    known: HashMap<Color, Color>,
}

impl Palette {
    /// The palette's colour nearest to the corner of the 4 x 4 x 4 cell that `color` lies in.
    fn nearest(&mut self, color: Color) -> Color {
        let cell = color.map(|v| v & !3);
        *self.known.entry(cell).or_insert_with(|| {
            let nearest = self.colors.iter().min_by_key(|color| distance(color, &cell));
            nearest.copied().unwrap_or_default()
        })
    }
}

fn distance(a: &Color, b: &Color) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
}

/// More colours are counted in coarser steps.
const MOST_COUNTED: usize = 1 << 16;

/// What an axis' extent counts for, in the eye.
const WEIGHTS: [u32; 3] = [77, 150, 29];

/// A box in the cube of colours: colours, and how many pixels have each.
struct Block {
    colors: Vec<(Color, usize)>,
    pixels: usize,
}

/// Heckbert's median cut (1982): the fullest box is cut in two until there are enough, each of which
/// gives its mean.
fn median_cut(pixels: &Array2<Color>, colors: usize) -> Vec<Color> {
    let distinct =
        |shift: u32| pixels.iter().map(|p| p.map(|v| v >> shift)).collect::<HashSet<_>>();
    let shift = (0..8).find(|shift| distinct(*shift).len() <= MOST_COUNTED).unwrap_or(7);
    let mut counts = HashMap::new();
    pixels.iter().for_each(|p| *counts.entry(p.map(|v| v >> shift)).or_insert(0) += 1);
    let mut blocks = vec![Block { colors: counts.into_iter().collect(), pixels: pixels.len() }];
    while blocks.len() < colors {
        let fullest = (0..blocks.len()).filter(|i| blocks[*i].colors.len() > 1);
        let Some(fullest) = fullest.min_by_key(|i| Reverse(blocks[*i].pixels)) else { break };
        let block = blocks.remove(fullest);
        blocks.splice(fullest..fullest, block.cut());
    }
    means(pixels, shift, &blocks)
}

impl Block {
    /// The bright half and the dark half, along the widest axis.
    fn cut(mut self) -> [Self; 2] {
        let extent = |axis: usize| {
            let values = || self.colors.iter().map(|(color, _)| color[axis]);
            let range = values().max().unwrap_or(0) - values().min().unwrap_or(0);
            WEIGHTS[axis] * u32::from(range)
        };
        let axis = (0..3).min_by_key(|axis| Reverse(extent(*axis))).unwrap_or(0);
        self.colors.sort_unstable_by_key(|(color, _)| Reverse(color[axis]));
        let mut counted = 0;
        let median = self.colors.iter().find(|(_, count)| {
            counted += count;
            2 * counted > self.pixels
        });
        let (median, darkest) = (median.map(|(color, _)| color[axis]), self.colors.last());
        let darkest = darkest.map(|(color, _)| color[axis]);
        // Colours of one value stay together; neither half is empty.
        let bright = |color: &Color| {
            if median == darkest {
                Some(color[axis]) > darkest
            } else {
                Some(color[axis]) >= median
            }
        };
        let (bright, dark): (Vec<_>, Vec<_>) =
            self.colors.into_iter().partition(|(c, _)| bright(c));
        [bright, dark].map(|colors| {
            let pixels = colors.iter().map(|(_, count)| count).sum();
            Self { colors, pixels }
        })
    }
}

/// The mean, rounded, of the pixels in each box.
fn means(pixels: &Array2<Color>, shift: u32, blocks: &[Block]) -> Vec<Color> {
    let places =
        blocks.iter().enumerate().flat_map(|(i, b)| b.colors.iter().map(move |(c, _)| (*c, i)));
    let places: HashMap<Color, usize> = places.collect();
    let mut sums = vec![[0u64; 3]; blocks.len()];
    for pixel in pixels {
        let sum = &mut sums[places[&pixel.map(|v| v >> shift)]];
        (0..3).for_each(|c| sum[c] += u64::from(pixel[c]));
    }
    let mean = |(sum, block): (&[u64; 3], &Block)| {
        sum.map(|sum| (sum as f64 / block.pixels as f64 + 0.5) as u8)
    };
    sums.iter().zip(blocks).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_colours_as_asked_for_and_those_that_are_there_if_fewer() {
        let ramp = Array2::from_shape_fn((16, 16), |(y, x)| [(16 * y) as u8, (16 * x) as u8, 0]);
        assert_eq!(median_cut(&ramp, 7).len(), 7);
        let two =
            Array2::from_shape_fn((4, 4), |(y, _)| if y == 0 { [9, 9, 9] } else { [200, 0, 0] });
        assert_eq!(
            median_cut(&two, 7).into_iter().collect::<HashSet<_>>(),
            HashSet::from([[9, 9, 9], [200, 0, 0]])
        );
    }

    #[test]
    fn bayers_pattern_of_two() {
        let expected = [-0.375, 0.125, 0.375, -0.125];
        assert_eq!(bayer(2).iter().copied().collect::<Vec<_>>(), expected);
    }
}
