//! Networks that enlarge pictures: ESRGAN's RRDB (Wang et al. 2018), Real-ESRGAN's compact SRVGG (Wang et
//! al. 2021).

use crate::{
    layers::{conv2d, count, expect_shape, linear},
    networks::Networks,
};
use std::sync::Arc;
use tensor::{Conv, Device, Program, Result, Tape, Tensor, Weights};

/// An upscaler. Cheap to clone.
#[derive(Clone)]
pub struct Upscaler {
    network: Arc<Network>,
    /// How many times wider and higher pictures become.
    pub scale: usize,
}

struct Network {
    weights: Weights,
    kind: Kind,
    networks: Networks<[usize; 3]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Squares of pixels of this size become channels first, so that the network works on less.
    Rrdb { unshuffle: usize, doublings: usize },
    /// All layers at the picture's own size; the last one's channels become squares of pixels.
    Srvgg { scale: usize },
}

const RGB: usize = 3;
/// Between what residual blocks make and what they were given.
const RESIDUAL: f32 = 0.2;
/// Sizes of a file that are larger come from damage only.
const MAX_UNSHUFFLE: usize = 8;

impl Upscaler {
    pub fn load(file: &Weights) -> Result<Self> {
        let weights = renamed(file);
        let kind = if weights.has("conv_first") { rrdb(&weights)? } else { srvgg(&weights)? };
        let scale = match kind {
            Kind::Rrdb { unshuffle, doublings } => (1 << doublings) / unshuffle,
            Kind::Srvgg { scale } => scale,
        };
        anyhow::ensure!(scale > 0, "{}: it makes pictures smaller", weights.file());
        let network = Network { weights, kind, networks: Networks::default() };
        network.weights.verdict(network.record([16, 16]))?;
        Ok(Self { network: Arc::new(network), scale })
    }

    /// A picture `[height, width, 3]` of 0 to 1 to one that is larger by the scale.
    pub fn enlarge(
        &self,
        device: &Device,
        picture: &[f32],
        [height, width]: [usize; 2],
    ) -> Result<Vec<f32>> {
        let network = &*self.network;
        let run = |size: [usize; 2], x: &[f32]| -> Result<Vec<f32>> {
            let program = |[_, height, width]: [usize; 3]| network.record([height, width]);
            let size = [1, size[0], size[1]];
            Ok(network.networks.run(device, size, program, &[x])?.swap_remove(0))
        };
        match network.kind {
            Kind::Rrdb { unshuffle: 1, .. } => run([height, width], picture),
            Kind::Rrdb { unshuffle: n, .. } => {
                let [rows, columns] = [height, width].map(|size| size.div_ceil(n));
                let y = run([rows, columns], &unshuffled(picture, [height, width], n))?;
                let made = columns * n * self.scale * RGB;
                let (wanted, lines) = (width * self.scale * RGB, height * self.scale);
                Ok(y.chunks_exact(made)
                    .take(lines)
                    .flat_map(|row| row[..wanted].to_vec())
                    .collect())
            }
            Kind::Srvgg { scale } => {
                let mut y = shuffled(&run([height, width], picture)?, [height, width], scale);
                // The network adds to the picture enlarged by nearest neighbour.
                for (i, y) in y.iter_mut().enumerate() {
                    let (row, column) = (i / (width * scale * RGB), i / RGB % (width * scale));
                    *y += picture[(row / scale * width + column / scale) * RGB + i % RGB];
                }
                Ok(y)
            }
        }
    }

    /// Bytes of activations while a picture of this size is made.
    pub fn memory(&self, [height, width]: [usize; 2]) -> Result<u64> {
        let size = match self.network.kind {
            Kind::Rrdb { unshuffle, .. } => [height, width].map(|size| size.div_ceil(unshuffle)),
            Kind::Srvgg { .. } => [height, width],
        };
        Ok(self.network.record(size)?.folded().plan().bytes())
    }
}

fn rrdb(w: &Weights) -> Result<Kind> {
    let channels = w.ranked("conv_first.weight", 4)?.shape()[1];
    let unshuffle = (1..=MAX_UNSHUFFLE).find(|n| n * n * RGB == channels);
    let unshuffle = unshuffle.ok_or_else(|| {
        anyhow::anyhow!(w.wrong("conv_first.weight", "a layer that reads pictures of 3 colours"))
    })?;
    let doublings = (1..).take_while(|i| w.has(&format!("conv_up{i}"))).count();
    Ok(Kind::Rrdb { unshuffle, doublings })
}

fn srvgg(w: &Weights) -> Result<Kind> {
    let last = count(w, "body").saturating_sub(1);
    let key = format!("body.{last}.weight");
    let channels = w.ranked(&key, 4)?.shape()[0];
    let scale = (1..=MAX_UNSHUFFLE).find(|n| n * n * RGB == channels);
    let scale = scale
        .ok_or_else(|| anyhow::anyhow!(w.wrong(&key, "a layer that makes squares of 3 colours")))?;
    Ok(Kind::Srvgg { scale })
}

impl Network {
    fn record(&self, [height, width]: [usize; 2]) -> Result<Program> {
        let tape = Tape::named(format!("upscaler {width}x{height}"));
        let w = &self.weights;
        let y = match self.kind {
            Kind::Rrdb { unshuffle, doublings } => {
                let x = tape.input("picture", &[1, height, width, RGB * unshuffle * unshuffle]);
                let y = record_rrdb(&x, w, doublings)?;
                expect_shape(&y, &[1, height << doublings, width << doublings, RGB], w)?;
                y
            }
            Kind::Srvgg { scale } => {
                let y = record_srvgg(&tape.input("picture", &[1, height, width, RGB]), w);
                expect_shape(&y, &[1, height, width, RGB * scale * scale], w)?;
                y
            }
        };
        Ok(tape.finish(&[&y]))
    }
}

/// Residual dense blocks at the size of the picture, then doublings by nearest neighbour.
fn record_rrdb(x: &Tensor, w: &Weights, doublings: usize) -> Result<Tensor> {
    let conv = |x: &Tensor, name: &str| conv2d(x, &w.at(name), Conv::same(3));
    let first = conv(x, "conv_first");
    let mut h = first.clone();
    for i in 0..count(w, "body") {
        let w = w.at("body").at(i);
        let mut inner = h.clone();
        for block in ["rdb1", "rdb2", "rdb3"] {
            inner = dense(&inner, &w.at(block))?;
        }
        h = h.add(&inner.affine(RESIDUAL, 0.0));
    }
    h = conv(&h, "conv_body").add(&first);
    for i in 1..=doublings {
        h = conv(&h.upsample2x(), &format!("conv_up{i}")).leaky_relu();
    }
    Ok(conv(&conv(&h, "conv_hr").leaky_relu(), "conv_last"))
}

/// Five convolutions, each of which reads what all before it made. Some files (ESRGAN+) have two more
/// residuals inside.
fn dense(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let plus = w.has("conv1x1");
    let mut made = vec![x.clone()];
    for i in 1..=4 {
        let all = x.concat(&made[1..].iter().collect::<Vec<_>>(), 3);
        let all = if made.len() == 1 { x.clone() } else { all };
        let mut y = conv2d(&all, &w.at(format!("conv{i}")), Conv::same(3)).leaky_relu();
        if plus && i == 2 {
            let weight = w.shaped("conv1x1.weight", &[y.channels(), x.channels(), 1, 1]);
            y = y.add(&x.linear(&weight, None));
        }
        if plus && i == 4 {
            anyhow::ensure!(y.shape() == made[2].shape(), "{} has blocks of two sizes", w.place());
            y = y.add(&made[2]);
        }
        made.push(y);
    }
    let all = x.concat(&made[1..].iter().collect::<Vec<_>>(), 3);
    let y = conv2d(&all, &w.at("conv5"), Conv::same(3));
    expect_shape(&y, x.shape(), w)?;
    Ok(x.add(&y.affine(RESIDUAL, 0.0)))
}

fn record_srvgg(x: &Tensor, w: &Weights) -> Tensor {
    let mut h = x.clone();
    for i in 0..count(w, "body") {
        let w = w.at("body").at(i);
        h = match w.shape("weight") {
            Some([_]) => h.prelu(&w.shaped("weight", &[h.channels()])),
            Some([_, _, 1, 1]) => linear(&h, &w),
            _ => conv2d(&h, &w, Conv::same(3)),
        };
    }
    h
}

/// Squares of pixels as channels; what is missing at the far edges is mirrored.
fn unshuffled(x: &[f32], [height, width]: [usize; 2], n: usize) -> Vec<f32> {
    let [rows, columns] = [height, width].map(|size| size.div_ceil(n));
    let inside =
        |i: usize, size: usize| if i < size { i } else { (2 * size - 2).saturating_sub(i) };
    let mut y = Vec::with_capacity(rows * columns * n * n * RGB);
    for place in 0..rows * columns {
        for i in 0..RGB * n * n {
            let (c, dy, dx) = (i / (n * n), i / n % n, i % n);
            let row = inside(place / columns * n + dy, height);
            let column = inside(place % columns * n + dx, width);
            y.push(x[(row * width + column) * RGB + c]);
        }
    }
    y
}

/// Channels as squares of pixels: `[H, W, 3 n n]` to `[n H, n W, 3]`.
fn shuffled(x: &[f32], [height, width]: [usize; 2], n: usize) -> Vec<f32> {
    let pixel = |i: usize| {
        let (c, column, row) = (i % RGB, i / RGB % (width * n), i / RGB / (width * n));
        let place = row / n * width + column / n;
        x[place * RGB * n * n + (c * n + row % n) * n + column % n]
    };
    (0..height * width * n * n * RGB).map(pixel).collect()
}

/// The newer names of a file in one of ESRGAN's older layouts.
fn renamed(file: &Weights) -> Weights {
    let file = if file.has("params_ema") { file.at("params_ema") } else { file.clone() };
    let file = if file.has("params") { file.at("params") } else { file };
    if file.has("RRDB_trunk") {
        return file.renamed(from_first_layout);
    }
    if !file.has("model.1.sub") {
        return file;
    }
    let body = count(&file, "model.1.sub") - 1;
    let keys = file.keys();
    let number = |key: &&str| key.strip_prefix("model.")?.split('.').next()?.parse().ok();
    let mut after: Vec<usize> = keys.iter().filter_map(number).filter(|n| *n > 1).collect();
    after.sort_unstable();
    after.dedup();
    file.renamed(|key| from_old_layout(key, body, &after))
}

/// `RRDB_trunk.0.RDB1.conv1.weight`
fn from_first_layout(key: &str) -> Option<String> {
    let (module, part) = key.rsplit_once('.')?;
    let module = match module {
        "trunk_conv" => "conv_body".to_owned(),
        "HRconv" => "conv_hr".to_owned(),
        _ => module
            .replace("RRDB_trunk.", "body.")
            .replace("RDB", "rdb")
            .replace("upconv", "conv_up"),
    };
    Some(format!("{module}.{part}"))
}

/// `model.1.sub.0.RDB1.conv1.0.weight`; of the layers `after` the body the last two do not double.
fn from_old_layout(key: &str, body: usize, after: &[usize]) -> Option<String> {
    let (module, part) = key.rsplit_once('.')?;
    let module = module.strip_prefix("model.")?;
    if module == "0" {
        return Some(format!("conv_first.{part}"));
    }
    if let Some(block) = module.strip_prefix("1.sub.") {
        let named = block.replace("RDB", "rdb");
        let named = named.strip_suffix(".0").filter(|_| block.contains("conv")).unwrap_or(&named);
        let is_last = block.parse() == Ok(body);
        return Some(if is_last {
            format!("conv_body.{part}")
        } else {
            format!("body.{named}.{part}")
        });
    }
    let place = after.iter().position(|n| module.parse() == Ok(*n))?;
    Some(match after.len() - place {
        1 => format!("conv_last.{part}"),
        2 => format!("conv_hr.{part}"),
        _ => format!("conv_up{}.{part}", place + 1),
    })
}

#[cfg(test)]
mod tests;
