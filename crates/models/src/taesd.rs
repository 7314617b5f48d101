//! The tiny autoencoder (Ollin Boer Bohan 2023, "TAESD"): pictures to latents and back for a hundredth of
//! the work, and a little worse.

use crate::{
    layers::{add, conv2d, expect_shape},
    networks::Networks,
    unet::{channels_first, channels_last},
    vae::Size,
};
use tensor::{Conv, Device, Program, Result, Tape, Tensor, Weight, Weights};

/// A tiny autoencoder. Cheap to clone.
#[derive(Clone)]
pub struct Taesd {
    encoder: Weights,
    pub decoder: TinyDecoder,
    latents: Latents,
    networks: Networks<Size>,
}

/// The half that makes pictures. Cheap to clone.
#[derive(Clone)]
pub struct TinyDecoder {
    weights: Weights,
    pub latent_channels: usize,
    networks: Networks<Size>,
}

/// How the latents of a family of models are scaled for its UNet: what the tiny networks read and make.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Latents {
    scale: f32,
    shift: f32,
}

/// By the names under which ComfyUI knows the pairs of files.
const KINDS: [(&str, Latents); 4] = [
    ("taesd", Latents { scale: 0.18215, shift: 0.0 }),
    ("taesdxl", Latents { scale: 0.13025, shift: 0.0 }),
    ("taesd3", Latents { scale: 1.5305, shift: 0.0609 }),
    ("taef1", Latents { scale: 0.3611, shift: 0.1159 }),
];

/// How many pixels one latent pixel stands for.
const SCALE: usize = 8;
/// Where the activations of a decoder begin to bend, as its first layer has it.
const SOFT: f32 = 3.0;
/// The size at which every tensor is asked for once.
const TRIAL: Size = Size { batch: 1, height: 2, width: 2 };
const HALVES: Conv = Conv { stride: 2, pad: [1; 4], up2: false };

impl Taesd {
    /// The names that stand for pairs of files `NAME_encoder` and `NAME_decoder`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(name, _)| *name)
    }

    pub fn load(name: &str, encoder: Weights, decoder: Weights) -> Result<Self> {
        let kind = KINDS.iter().find(|(known, _)| *known == name);
        let (_, latents) = kind.ok_or_else(|| anyhow::anyhow!("no tiny autoencoder {name}"))?;
        let (decoder, networks) = (TinyDecoder::load(decoder)?, Networks::default());
        let this = Self { encoder, decoder, latents: *latents, networks };
        this.encoder.verdict(this.record_encoder(TRIAL))?;
        Ok(this)
    }

    /// Latents `[B, C, H, W]`, unscaled, to pictures `[B, 8 H, 8 W, 3]` of about -1 to 1.
    pub fn decode(&self, device: &Device, latent: &[f32], size: Size) -> Result<Vec<f32>> {
        let Latents { scale, shift } = self.latents;
        let scaled: Vec<f32> = latent.iter().map(|x| (x - shift) * scale).collect();
        let mut picture = self.decoder.picture(device, &scaled, size)?;
        picture.iter_mut().for_each(|x| *x = 2.0 * *x - 1.0);
        Ok(picture)
    }

    /// Pictures `[B, 8 H, 8 W, 3]` of -1 to 1 to their latents, `[B, C, H, W]`.
    pub fn encode(&self, device: &Device, picture: &[f32], size: Size) -> Result<Vec<f32>> {
        let Latents { scale, shift } = self.latents;
        let x: Vec<f32> = picture.iter().map(|x| (x + 1.0) / 2.0).collect();
        let y = self.networks.run(device, size, |size| self.record_encoder(size), &[&x])?;
        let y: Vec<f32> = y[0].iter().map(|x| x / scale + shift).collect();
        let channels = self.decoder.latent_channels;
        Ok(channels_first(&y, [size.batch, channels, size.height * size.width]))
    }

    /// How many pixels of the picture one latent pixel stands for in each direction.
    pub fn scale(&self) -> usize {
        SCALE
    }

    /// Every weight, under the key that ComfyUI gives it.
    pub fn tensors(&self) -> Result<Vec<(String, Weight)>> {
        let all = [("taesd_encoder", &self.encoder), ("taesd_decoder", &self.decoder.weights)];
        let named = |(prefix, of): (&'static str, &Weights)| {
            let keys = of.keys().into_iter().map(str::to_owned).collect::<Vec<_>>();
            let of = of.clone();
            keys.into_iter().map(move |key| Ok((format!("{prefix}.{key}"), of.get(&key)?)))
        };
        all.into_iter().flat_map(named).collect()
    }

    fn record_encoder(&self, size: Size) -> Result<Program> {
        let Size { batch, height, width } = size;
        let tape = Tape::named(format!("tiny encoder {}x{}", SCALE * width, SCALE * height));
        let x = tape.input("picture", &[batch, SCALE * height, SCALE * width, 3]);
        let h = layers(&x, &self.encoder)?;
        let channels = self.decoder.latent_channels;
        expect_shape(&h, &[batch, height, width, channels], &self.encoder)?;
        Ok(tape.finish(&[&h]))
    }
}

impl TinyDecoder {
    /// How many pixels of the picture one latent pixel stands for in each direction.
    pub const SCALE: usize = SCALE;

    pub fn load(weights: Weights) -> Result<Self> {
        let latent_channels = weights.ranked("1.weight", 4)?.shape()[1];
        let this = Self { weights, latent_channels, networks: Networks::default() };
        this.weights.verdict(this.record(TRIAL))?;
        Ok(this)
    }

    /// Latents as the UNet has them, `[B, C, H, W]`, to pictures `[B, 8 H, 8 W, 3]` of about 0 to 1.
    pub fn picture(&self, device: &Device, scaled: &[f32], size: Size) -> Result<Vec<f32>> {
        let x = channels_last(scaled, [size.batch, self.latent_channels, size.height * size.width]);
        Ok(self.networks.run(device, size, |size| self.record(size), &[&x])?.swap_remove(0))
    }

    fn record(&self, size: Size) -> Result<Program> {
        let Size { batch, height, width } = size;
        let tape = Tape::named(format!("tiny decoder {}x{}", SCALE * width, SCALE * height));
        let x = tape.input("latent", &[batch, height, width, self.latent_channels]);
        let h = layers(&x.affine(1.0 / SOFT, 0.0).tanh(1.0).affine(SOFT, 0.0), &self.weights)?;
        expect_shape(&h, &[batch, SCALE * height, SCALE * width, 3], &self.weights)?;
        Ok(tape.finish(&[&h]))
    }
}

/// Convolutions, residual blocks, and what has no weights: where the numbers leave one out it is a
/// rectifier or a doubling, and a convolution without a bias comes after a doubling or halves itself.
fn layers(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let decodes = w.shape("0.weight").is_none();
    let keys = w.keys();
    let number = |key: &&str| key.split('.').next()?.parse::<usize>().ok();
    let last = keys.iter().filter_map(number).filter(|n| *n < keys.len()).max().unwrap_or(0);
    let mut h = x.clone();
    for i in 0..=last {
        let at = w.at(i);
        let name = i.to_string();
        if at.has("conv") {
            h = block(&h, &at)?;
        } else if at.has("bias") {
            h = conv2d(&h, &at, Conv::same(3));
            h = if decodes && i == 1 { h.relu() } else { h };
        } else if w.has(&name) {
            let channels = w.ranked(&format!("{name}.weight"), 4)?.shape()[0];
            let weight = w.shaped(&format!("{name}.weight"), &[channels, h.channels(), 3, 3]);
            let (x, conv) = if decodes { (h.upsample2x(), Conv::same(3)) } else { (h, HALVES) };
            h = x.conv2d(&weight, None, conv);
        }
    }
    Ok(h)
}

/// Three convolutions added to what they read.
fn block(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let conv = |x: &Tensor, i: usize| conv2d(x, &w.at("conv").at(i), Conv::same(3));
    let h = conv(&conv(&conv(x, 0).relu(), 2).relu(), 4);
    let skip = match w.has("skip") {
        true => x.linear(&w.shaped("skip.weight", &[h.channels(), x.channels(), 1, 1]), None),
        false => x.clone(),
    };
    Ok(add(&h, &skip, w)?.relu())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goldens::{assert_close, shared};

    /// PyTorch's numbers for the files that people use, which are in the shared folder.
    #[test]
    fn real_files_decode_and_encode_as_in_pytorch() {
        let Some(folder) = shared("models/vae_approx") else { return };
        for name in ["taesd", "taef1"] {
            let [encoder, decoder] = ["encoder", "decoder"].map(|part| {
                Weights::open(&folder.join(format!("{name}_{part}.safetensors"))).unwrap()
            });
            let taesd = Taesd::load(name, encoder, decoder).unwrap();
            let golden = format!("../../tests/goldens/taesd/{name}.safetensors");
            let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
            let golden = Weights::open(&golden).unwrap();
            let get = |key: &str| golden.get(key).unwrap().to_f32().unwrap();
            let size = Size { batch: 2, height: 5, width: 6 };
            let device = Device::cpu();
            let decoded = taesd.decode(&device, &get("latent"), size).unwrap();
            assert_close(name, &decoded, &get("decoded"));
            let encoded = taesd.encode(&device, &get("picture"), size).unwrap();
            assert_close(name, &encoded, &get("encoded"));
        }
    }
}
