//! T2I-Adapter: a small network that reads the picture once for a whole run.

use super::Residuals;
use crate::{
    layers::{along, conv, conv2d, expect_shape},
    networks::Networks,
};
use tensor::{Conv, Device, Program, Result, Tape, Tensor, Weights};

pub struct Adapter {
    weights: Weights,
    /// Square of pixels that becomes channels at once.
    pub unshuffle: usize,
    /// 3, or 1 for grey pictures.
    colours: usize,
    networks: Networks<[usize; 3]>,
}

const LEVELS: usize = 4;
/// Residual blocks of a level.
const BLOCKS: usize = 2;
/// The last input block of each level of Stable Diffusion 1: where the level's result is added.
const STEP: usize = 3;

impl Adapter {
    pub fn is_in(file: &Weights) -> bool {
        let names = ["conv_in.weight", "adapter.conv_in.weight"];
        names.iter().any(|name| file.shape(name).is_some())
            && (file.has("body.0.block1") || file.has("adapter.body"))
    }

    pub fn load(file: &Weights) -> Result<Self> {
        let by_level = file.keys().iter().any(|key| key.contains(".resnets."));
        let weights = file.renamed(|key| name(key, by_level));
        let channels = weights.ranked("conv_in.weight", 4)?.shape()[1];
        let (unshuffle, colours) = match channels {
            64 => (8, 1),
            192 => (8, 3),
            _ => anyhow::bail!(
                "{}: an adapter that reads {channels} channels is for SDXL, which does not run yet",
                weights.file()
            ),
        };
        let this = Self { weights, unshuffle, colours, networks: Networks::default() };
        this.weights.verdict(this.record([1, 8, 8]))?;
        Ok(this)
    }

    pub fn read(&self, device: &Device, pictures: &[f32], shape: [usize; 3]) -> Result<Residuals> {
        let [batch, height, width] = shape;
        let grey = |p: &[f32]| p.iter().sum::<f32>() / p.len() as f32;
        let pictures: Vec<f32> = match self.colours {
            1 => pictures.chunks_exact(3).map(grey).collect(),
            _ => pictures.to_vec(),
        };
        let x = unshuffled(&pictures, [batch, height, width, self.colours], self.unshuffle);
        let size = [batch, height / self.unshuffle, width / self.unshuffle];
        let made = self.networks.run(device, size, |size| self.record(size), &[&x])?;
        let mut input = vec![None; LEVELS * STEP];
        for (level, made) in made.into_iter().enumerate() {
            input[level * STEP + STEP - 1] = Some(made);
        }
        Ok(Residuals { input, ..Residuals::default() })
    }

    fn record(&self, [batch, height, width]: [usize; 3]) -> Result<Program> {
        let w = &self.weights;
        let tape = Tape::named(format!(
            "T2I-Adapter {}x{}",
            width * self.unshuffle,
            height * self.unshuffle
        ));
        let channels = self.colours * self.unshuffle * self.unshuffle;
        let mut h = tape.input("picture", &[batch, height, width, channels]);
        h = conv2d(&h, &w.at("conv_in"), Conv::same(3));
        let mut made = Vec::new();
        for level in 0..LEVELS {
            for block in 0..BLOCKS {
                let w = w.at("body").at(level * BLOCKS + block);
                if level > 0 && block == 0 {
                    h = halved(&h, &w)?;
                }
                h = residual(&h, &w)?;
            }
            made.push(h.clone());
        }
        Ok(tape.finish(&made.iter().collect::<Vec<_>>()))
    }
}

/// The block's own convolution, or the mean of every four pixels; zeros beside an odd picture count.
fn halved(x: &Tensor, w: &Weights) -> Result<Tensor> {
    if w.has("down_opt.op") {
        return Ok(conv2d(x, &w.at("down_opt.op"), Conv { stride: 2, ..Conv::same(3) }));
    }
    let means = |from: usize| {
        let (odd, to) = (from % 2, from.div_ceil(2));
        let matrix = |i: usize| {
            let (row, column) = (i / from, i % from + odd);
            if column / 2 == row { 0.5 } else { 0.0 }
        };
        (0..to * from).map(matrix).collect::<Vec<f32>>()
    };
    let x = along(x, 1, &means(x.dim(1)))?;
    along(&x, 2, &means(x.dim(2)))
}

fn residual(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let x = if w.has("in_conv") { conv(x, &w.at("in_conv"))? } else { x.clone() };
    let h = conv2d(&x, &w.at("block1"), Conv::same(3)).relu();
    let h = conv(&h, &w.at("block2"))?;
    let skip = if w.has("skep") { conv(&x, &w.at("skep"))? } else { x };
    expect_shape(&h, skip.shape(), w)?;
    Ok(h.add(&skip))
}

/// Squares of pixels as channels: `[B, H, W, C]` to `[B, H / n, W / n, C n n]`.
fn unshuffled(x: &[f32], [batch, height, width, channels]: [usize; 4], n: usize) -> Vec<f32> {
    let (rows, columns) = (height / n, width / n);
    let mut y = Vec::with_capacity(x.len());
    for place in 0..batch * rows * columns {
        let (b, row, column) = (place / (rows * columns), place / columns % rows, place % columns);
        for i in 0..channels * n * n {
            let (c, dy, dx) = (i / (n * n), i / n % n, i % n);
            y.push(x[((b * height + row * n + dy) * width + column * n + dx) * channels + c]);
        }
    }
    y
}

/// The name here of a tensor of the diffusers library's layout, which counts blocks by level.
fn name(key: &str, by_level: bool) -> Option<String> {
    let key = key.strip_prefix("adapter.").unwrap_or(key);
    let Some((level, rest)) = key.strip_prefix("body.").and_then(|k| k.split_once('.')) else {
        return Some(key.to_owned());
    };
    let first = level.parse::<usize>().ok()? * if by_level { BLOCKS } else { 1 };
    let block = rest.strip_prefix("resnets.").and_then(|rest| rest.split_once('.'));
    let (block, rest) = block.map_or((Some(0), rest), |(block, rest)| (block.parse().ok(), rest));
    Some(format!("body.{}.{rest}", first + block?))
}

#[cfg(test)]
mod tests {
    use super::unshuffled;

    #[test]
    fn squares_of_pixels_become_channels_colour_by_colour() {
        // Two rows of four pixels of two colours.
        let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let y = unshuffled(&x, [1, 2, 4, 2], 2);
        assert_eq!(y[..8], [0.0, 2.0, 8.0, 10.0, 1.0, 3.0, 9.0, 11.0]);
    }
}
