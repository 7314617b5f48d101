//! The autoencoder with KL term of latent diffusion (Rombach et al. 2022, section 3.1; the network
//! is that of Esser et al. 2021): pictures to latents an eighth of their size, and back.

use crate::{
    diffusers,
    layers::{self, add, conv2d, count, expect_shape, group_norm, linear},
    networks::{Batched, Networks},
    unet::{channels_first, channels_last},
};
use tensor::{Conv, Device, Program, Result, Tape, Tensor, Weights};

/// An autoencoder. Cheap to clone.
#[derive(Clone)]
pub struct Vae {
    /// At `first_stage_model.`, or the top of a file that holds nothing else.
    pub(crate) weights: Weights,
    pub latent_channels: usize,
    decoders: Networks<Size>,
    encoders: Networks<Size>,
}

/// What a recording depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub batch: usize,
    /// In latent pixels.
    pub height: usize,
    pub width: usize,
}

impl Batched for Size {
    fn batch(&self) -> usize {
        self.batch
    }
    fn with_batch(&self, batch: usize) -> Self {
        Self { batch, ..*self }
    }
}

/// Each level halves the picture; every VAE of this kind has four.
const MAX_LEVELS: usize = 8;
const EPS: f32 = 1e-6;
/// The encoder halves with one row and column of zeros at the far edges only.
const DOWN: Conv = Conv { stride: 2, pad: [0, 1, 0, 1], up2: false };

impl Vae {
    /// Where a VAE is in a file: at the top, or where checkpoints keep it.
    pub fn inside(file: &Weights) -> Weights {
        if file.has("first_stage_model") { file.at("first_stage_model") } else { file.clone() }
    }

    /// In the layout of its authors, or of the diffusers library.
    pub fn load(weights: &Weights) -> Result<Self> {
        let weights = diffusers::vae(weights);
        let latent_channels = weights.ranked("decoder.conv_in.weight", 4)?.shape()[1];
        let this = Self {
            weights,
            latent_channels,
            decoders: Networks::default(),
            encoders: Networks::default(),
        };
        let levels = count(&this.weights, "decoder.up");
        anyhow::ensure!(
            (1..=MAX_LEVELS).contains(&levels),
            "{}: the decoder has {levels} levels, expected 1 to {MAX_LEVELS}",
            this.weights.file()
        );
        let size = Size { batch: 1, height: 1, width: 1 };
        let recorded = this.record_decoder(size).and_then(|_| this.record_encoder(size));
        this.weights.verdict(recorded)?;
        Ok(this)
    }

    /// How many pixels of the picture one latent pixel stands for in each direction.
    pub fn scale(&self) -> usize {
        1 << (count(&self.weights, "decoder.up") - 1)
    }

    /// Latents `[B, C, H, W]`, unscaled, to pictures `[B, 8 H, 8 W, 3]` of about -1 to 1.
    pub fn decode(&self, device: &Device, latent: &[f32], size: Size) -> Result<Vec<f32>> {
        let plane = size.height * size.width;
        let x = channels_last(latent, [size.batch, self.latent_channels, plane]);
        let mut y = self.decoders.run(device, size, |size| self.record_decoder(size), &[&x])?;
        Ok(y.swap_remove(0))
    }

    /// Pictures `[B, 8 H, 8 W, 3]` of -1 to 1 to the mean of their latents, `[B, C, H, W]`.
    pub fn encode(&self, device: &Device, picture: &[f32], size: Size) -> Result<Vec<f32>> {
        let y = self.encoders.run(device, size, |size| self.record_encoder(size), &[picture])?;
        Ok(channels_first(&y[0], [size.batch, self.latent_channels, size.height * size.width]))
    }

    /// What one decoding takes, without running it.
    pub fn program(&self, size: Size) -> Result<Program> {
        Ok(self.record_decoder(size)?.folded())
    }

    /// A network's name, with its size in pixels of the picture.
    fn called(&self, what: &str, size: Size) -> String {
        let [width, height] = [size.width, size.height].map(|n| n * self.scale());
        format!("{what} {width}x{height}, batch {}", size.batch)
    }

    fn record_decoder(&self, size: Size) -> Result<Program> {
        let w = &self.weights.at("decoder");
        let tape = Tape::named(self.called("VAE decoder", size));
        let mut h =
            tape.input("latent", &[size.batch, size.height, size.width, self.latent_channels]);
        if self.weights.has("post_quant_conv") {
            h = linear(&h, &self.weights.at("post_quant_conv"));
        }
        h = conv2d(&h, &w.at("conv_in"), Conv::same(3));
        h = middle(&h, &w.at("mid"))?;
        for level in (0..count(w, "up")).rev() {
            let w = w.at("up").at(level);
            for i in 0..count(&w, "block") {
                h = res(&h, &w.at("block").at(i))?;
            }
            if w.has("upsample") {
                h = conv2d(&h.upsample2x(), &w.at("upsample.conv"), Conv::same(3));
            }
        }
        h = group_norm(&h, &w.at("norm_out"), EPS)?.silu();
        h = conv2d(&h, &w.at("conv_out"), Conv::same(3));
        let [height, width] = [size.height, size.width].map(|n| n * self.scale());
        expect_shape(&h, &[size.batch, height, width, 3], w)?;
        Ok(tape.finish(&[&h]))
    }

    fn record_encoder(&self, size: Size) -> Result<Program> {
        let w = &self.weights.at("encoder");
        let scale = self.scale();
        let tape = Tape::named(self.called("VAE encoder", size));
        let x = tape.input("picture", &[size.batch, size.height * scale, size.width * scale, 3]);
        let mut h = conv2d(&x, &w.at("conv_in"), Conv::same(3));
        for level in 0..count(w, "down") {
            let w = w.at("down").at(level);
            for i in 0..count(&w, "block") {
                h = res(&h, &w.at("block").at(i))?;
            }
            if w.has("downsample") {
                anyhow::ensure!(h.dim(1) > 1, "{} is a level too many", w.place());
                h = conv2d(&h, &w.at("downsample.conv"), DOWN);
            }
        }
        h = middle(&h, &w.at("mid"))?;
        h = group_norm(&h, &w.at("norm_out"), EPS)?.silu();
        h = conv2d(&h, &w.at("conv_out"), Conv::same(3));
        if self.weights.has("quant_conv") {
            h = linear(&h, &self.weights.at("quant_conv"));
        }
        // The first half of the channels is the mean, the second the logarithm of the variance.
        expect_shape(&h, &[size.batch, size.height, size.width, 2 * self.latent_channels], w)?;
        Ok(tape.finish(&[&h.slice(3, 0, self.latent_channels)]))
    }
}

fn middle(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let h = res(x, &w.at("block_1"))?;
    let h = attention(&h, &w.at("attn_1"))?;
    res(&h, &w.at("block_2"))
}

fn res(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let h = group_norm(x, &w.at("norm1"), EPS)?.silu();
    let h = conv2d(&h, &w.at("conv1"), Conv::same(3));
    let h = group_norm(&h, &w.at("norm2"), EPS)?.silu();
    let h = conv2d(&h, &w.at("conv2"), Conv::same(3));
    if w.has("nin_shortcut") {
        return add(&linear(x, &w.at("nin_shortcut")), &h, w);
    }
    add(x, &h, w)
}

/// All pixels attend to all pixels, in one head.
fn attention(x: &Tensor, w: &Weights) -> Result<Tensor> {
    let &[b, height, width, c] = x.shape() else { unreachable!("a picture has four dimensions") };
    let h = group_norm(x, &w.at("norm"), EPS)?.reshape(&[b, height * width, c]);
    let (q, k, v) = (linear(&h, &w.at("q")), linear(&h, &w.at("k")), linear(&h, &w.at("v")));
    let h = layers::attention([&q, &k, &v], 1, false, w)?;
    let h = linear(&h, &w.at("proj_out"));
    Ok(add(&x.reshape(&[b, height * width, c]), &h, w)?.reshape(x.shape()))
}
