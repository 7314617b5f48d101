//! Pictures to latents and back; inpainting and instruction conditioning, which are made of them.

use crate::{Conditioning, Image, Latent, Mask, Vae, resize, vae_tiled};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use models::VaeSize;
use ndarray::{Array3, Array4, ArrayView4, Axis, s};
use std::sync::Arc;
use tensor::Device;

impl Vae {
    /// How many pixels one latent pixel stands for in each direction.
    pub fn scale(&self) -> usize {
        match self {
            Self::Network(vae) => vae.scale(),
            Self::Tiny(vae) => vae.scale(),
            Self::PixelSpace => 1,
        }
    }

    fn latent_channels(&self) -> usize {
        match self {
            Self::Network(vae) => vae.latent_channels,
            Self::Tiny(vae) => vae.decoder.latent_channels,
            Self::PixelSpace => 3,
        }
    }

    /// Latents `[B, C, H, W]`, unscaled, to pictures `[B, 8 H, 8 W, 3]` of 0 to 1: in tiles where memory
    /// is not enough for the whole.
    pub fn decode(&self, ctx: &mut Context, latent: &Array4<f32>) -> Result<Array4<f32>> {
        let whole = self.decode_whole(ctx, latent).map(shown);
        vae_tiled::or_in_tiles(ctx, whole, latent.dim().2.max(latent.dim().3), |ctx, tiles| {
            vae_tiled::decode(ctx, self, latent, tiles)
        })
    }

    /// All at once, to pictures of about -1 to 1.
    pub fn decode_whole(&self, ctx: &Context, latent: &Array4<f32>) -> Result<Array4<f32>> {
        let (batch, channels, height, width) = latent.dim();
        ensure!(
            channels == self.latent_channels(),
            "the latent has {channels} channels, the VAE {}",
            self.latent_channels()
        );
        let scale = self.scale();
        let mut pictures = Vec::with_capacity(batch * height * width * scale * scale * 3);
        // One at a time: the decoder needs more memory than anything else.
        for one in latent.axis_chunks_iter(Axis(0), 1) {
            ctx.check()?;
            pictures.extend(self.decode_one(ctx, &one)?);
        }
        Ok(Array4::from_shape_vec((batch, height * scale, width * scale, 3), pictures)?)
    }

    /// One latent to a picture of about -1 to 1.
    fn decode_one(&self, ctx: &Context, one: &ArrayView4<f32>) -> Result<Vec<f32>> {
        let (_, _, height, width) = one.dim();
        let size = VaeSize { batch: 1, height, width };
        let numbers = one.as_standard_layout();
        let numbers = numbers.as_slice().expect("just laid out");
        match self {
            Self::Network(vae) => vae.decode(&ctx.services.get::<Device>(), numbers, size),
            Self::Tiny(vae) => vae.decode(&ctx.services.get::<Device>(), numbers, size),
            Self::PixelSpace => {
                Ok(one.view().permuted_axes([0, 2, 3, 1]).iter().copied().collect())
            }
        }
    }

    /// Pictures of 0 to 1 to the mean of their latents: in tiles where memory is not enough for the whole.
    /// What is over a multiple of 8 is cut off evenly.
    pub fn encode(&self, ctx: &mut Context, pictures: &Array4<f32>) -> Result<Array4<f32>> {
        let whole = self.encode_whole(ctx, pictures);
        let side = pictures.dim().1.max(pictures.dim().2) / self.scale();
        vae_tiled::or_in_tiles(ctx, whole, side, |ctx, tiles| {
            vae_tiled::encode(ctx, self, pictures, tiles.times(self.scale()))
        })
    }

    /// All at once.
    pub fn encode_whole(&self, ctx: &Context, pictures: &Array4<f32>) -> Result<Array4<f32>> {
        let scale = self.scale();
        let pictures = cut_to_multiple(pictures, scale);
        let (batch, h, w, _) = pictures.dim();
        let (height, width) = (h / scale, w / scale);
        ensure!(height * width > 0, "the picture is smaller than {scale} pixels");
        let mut latents = Vec::new();
        for one in pictures.axis_chunks_iter(Axis(0), 1) {
            ctx.check()?;
            latents.extend(self.encode_one(ctx, &one)?);
        }
        Ok(Array4::from_shape_vec((batch, self.latent_channels(), height, width), latents)?)
    }

    /// One picture of 0 to 1, of a size that the network can take, to its latent, channels first.
    fn encode_one(&self, ctx: &Context, one: &ArrayView4<f32>) -> Result<Vec<f32>> {
        let (_, h, w, _) = one.dim();
        let one = one.slice(s![.., .., .., ..3]).mapv(|x| x * 2.0 - 1.0);
        let size = VaeSize { batch: 1, height: h / self.scale(), width: w / self.scale() };
        let numbers = one.as_standard_layout();
        let numbers = numbers.as_slice().expect("just laid out");
        match self {
            Self::Network(vae) => vae.encode(&ctx.services.get::<Device>(), numbers, size),
            Self::Tiny(vae) => vae.encode(&ctx.services.get::<Device>(), numbers, size),
            Self::PixelSpace => Ok(one.permuted_axes([0, 3, 1, 2]).iter().copied().collect()),
        }
    }
}

/// Pictures of -1 to 1 as people see them.
pub fn shown(pictures: Array4<f32>) -> Array4<f32> {
    pictures.mapv_into(|x| ((x + 1.0) / 2.0).clamp(0.0, 1.0))
}

pub fn cut_to_multiple(x: &Array4<f32>, of: usize) -> Array4<f32> {
    let (_, h, w, _) = x.dim();
    let (dy, dx) = (h % of / 2, w % of / 2);
    x.slice(s![.., dy..dy + h / of * of, dx..dx + w / of * of, ..]).to_owned()
}

/// Turns a latent into a picture.
#[derive(Inputs)]
pub struct VAEDecode {
    /// What the sampler made.
    pub samples: Latent,
    /// Knows how latents look.
    pub vae: Vae,
}

impl Node for VAEDecode {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "VAE Decode";
    type Output = Image;

    fn run(self, ctx: &mut Context) -> Result<Image> {
        Ok(Image(Arc::new(self.vae.decode(ctx, &self.samples.samples)?)))
    }
}

/// Turns a picture into a latent.
#[derive(Inputs)]
pub struct VAEEncode {
    /// The picture.
    pub pixels: Image,
    /// Knows how latents look.
    pub vae: Vae,
}

impl Node for VAEEncode {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "VAE Encode";
    type Output = Latent;

    fn run(self, ctx: &mut Context) -> Result<Latent> {
        Ok(Latent::new(self.vae.encode(ctx, &self.pixels.0)?))
    }
}

/// Turns a picture into a latent whose masked part is grey and to be painted anew.
#[derive(Inputs)]
pub struct VAEEncodeForInpaint {
    /// The picture.
    pub pixels: Image,
    /// Knows how latents look.
    pub vae: Vae,
    /// 1 where the picture is to be painted anew.
    pub mask: Mask,
    /// Pixels by which the painted part is larger than the mask.
    #[widget(number(6).range(0..=64).step(1))]
    pub grow_mask_by: usize,
}

impl Node for VAEEncodeForInpaint {
    const CATEGORY: &str = "latent/inpaint";
    const TITLE: &str = "VAE Encode (for Inpainting)";
    type Output = Latent;

    fn run(self, ctx: &mut Context) -> Result<Latent> {
        let (pixels, mask) = masked_pixels(&self.pixels, &self.mask, self.vae.scale());
        let grown =
            if self.grow_mask_by == 0 { mask.clone() } else { grown(&mask, self.grow_mask_by) };
        let latent = Latent::new(self.vae.encode(ctx, &grey(&pixels, &mask))?);
        let noise_mask = Some(Mask(Arc::new(grown.mapv(f32::round_ties_even))));
        Ok(Latent { noise_mask, ..latent })
    }
}

/// The picture and its mask at its size, both cut to a multiple of `scale` pixels.
fn masked_pixels(pixels: &Image, mask: &Mask, scale: usize) -> (Array4<f32>, Array3<f32>) {
    let (_, h, w, _) = pixels.0.dim();
    let mask = sampling::mask::resize(&mask.0, h, w);
    let (dy, dx) = (h % scale / 2, w % scale / 2);
    let mask =
        mask.slice(s![.., dy..dy + h / scale * scale, dx..dx + w / scale * scale]).to_owned();
    (cut_to_multiple(&pixels.0, scale), mask)
}

/// Masked pixels, rounded, become the grey that latents have at zero.
fn grey(pixels: &Array4<f32>, mask: &Array3<f32>) -> Array4<f32> {
    let entries = mask.dim().0;
    Array4::from_shape_fn(pixels.raw_dim(), |(b, y, x, c)| {
        let keep = 1.0 - mask[[b % entries, y, x]].round_ties_even();
        (pixels[[b, y, x, c]] - 0.5) * keep + 0.5
    })
}

/// The sum, at most 1, of the rounded mask under a square of `by` pixels.
fn grown(mask: &Array3<f32>, by: usize) -> Array3<f32> {
    let (n, h, w) = mask.dim();
    let pad = (by - 1).div_ceil(2);
    Array3::from_shape_fn((n, h, w), |(b, y, x)| {
        let rows = y.saturating_sub(pad)..(y + by - pad).min(h);
        let hit =
            rows.flat_map(|y| (x.saturating_sub(pad)..(x + by - pad).min(w)).map(move |x| (y, x)));
        hit.map(|(y, x)| mask[[b, y, x]].round_ties_even()).sum::<f32>().clamp(0.0, 1.0)
    })
}

/// Tells an inpainting checkpoint which part of a picture to paint anew.
#[derive(Inputs)]
pub struct InpaintModelConditioning {
    /// What the picture should show.
    pub positive: Conditioning,
    /// What it should not show.
    pub negative: Conditioning,
    /// Knows how latents look.
    pub vae: Vae,
    /// The picture.
    pub pixels: Image,
    /// 1 where the picture is to be painted anew.
    pub mask: Mask,
    /// Whether the sampler keeps the rest; without, the whole picture is sampled.
    #[widget(toggle(true))]
    pub noise_mask: bool,
}

impl Node for InpaintModelConditioning {
    const CATEGORY: &str = "conditioning/inpaint";
    const TITLE: &str = "InpaintModelConditioning";
    const OUTPUT_NAMES: &[&str] = &["positive", "negative", "latent"];
    type Output = (Conditioning, Conditioning, Latent);

    fn run(self, ctx: &mut Context) -> Result<Self::Output> {
        let (pixels, mask) = masked_pixels(&self.pixels, &self.mask, 8);
        let concat = Arc::new(self.vae.encode(ctx, &grey(&pixels, &mask))?);
        let samples = self.vae.encode(ctx, &pixels)?;
        let mask = Mask(Arc::new(mask));
        let told = |c: &Conditioning| {
            c.map(|e| {
                e.payload.concat_latent = Some(concat.clone());
                e.payload.concat_mask = Some(mask.clone());
            })
        };
        let (positive, negative) = (told(&self.positive), told(&self.negative));
        let noise_mask = self.noise_mask.then_some(mask);
        Ok((positive, negative, Latent { noise_mask, ..Latent::new(samples) }))
    }
}

/// Shows an instruction checkpoint the picture that the instruction is about.
#[derive(Inputs)]
pub struct InstructPixToPixConditioning {
    /// The instruction.
    pub positive: Conditioning,
    /// What should not come out.
    pub negative: Conditioning,
    /// Knows how latents look.
    pub vae: Vae,
    /// The picture to change.
    pub pixels: Image,
}

impl Node for InstructPixToPixConditioning {
    const CATEGORY: &str = "conditioning/instructpix2pix";
    const TITLE: &str = "InstructPixToPixConditioning";
    const OUTPUT_NAMES: &[&str] = &["positive", "negative", "latent"];
    type Output = (Conditioning, Conditioning, Latent);

    fn run(self, ctx: &mut Context) -> Result<Self::Output> {
        let concat = Arc::new(self.vae.encode(ctx, &self.pixels.0)?);
        let told = |c: &Conditioning| c.map(|e| e.payload.concat_latent = Some(concat.clone()));
        let empty = Latent::new(Array4::zeros(concat.raw_dim()));
        Ok((told(&self.positive), told(&self.negative), empty))
    }
}

/// Marks the part of a latent that the sampler may paint.
#[derive(Inputs)]
pub struct SetLatentNoiseMask {
    /// The latent.
    pub samples: Latent,
    /// 1 where it may be painted.
    pub mask: Mask,
}

impl Node for SetLatentNoiseMask {
    const CATEGORY: &str = "latent/inpaint";
    const TITLE: &str = "Set Latent Noise Mask";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        Ok(Latent { noise_mask: Some(self.mask), ..self.samples })
    }
}

const METHODS: [&str; 5] = resize::LATENT_METHODS;
const CROPS: [&str; 2] = resize::CROPS;

/// Makes a latent larger or smaller, to a size.
#[derive(Inputs)]
pub struct LatentUpscale {
    /// The latent.
    pub samples: Latent,
    /// How values between old ones are found.
    #[widget(one_of(super::vae::METHODS))]
    pub upscale_method: String,
    /// In pixels; 0 keeps the proportions.
    #[widget(number(512).range(0..=16384).step(8))]
    pub width: usize,
    /// In pixels; 0 keeps the proportions.
    #[widget(number(512).range(0..=16384).step(8))]
    pub height: usize,
    /// Whether what does not fit the proportions is cut off.
    #[widget(one_of(super::vae::CROPS))]
    pub crop: String,
}

impl Node for LatentUpscale {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "Upscale Latent";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        if (self.width, self.height) == (0, 0) {
            return Ok(self.samples);
        }
        let (_, _, h, w) = self.samples.samples.dim();
        let at_least = |n: usize| if n == 0 { 0 } else { n.max(64) };
        let (width, height) =
            resize::keep_aspect(at_least(self.width), at_least(self.height), w, h);
        let (width, height) = (at_least(width) / 8, at_least(height) / 8);
        let samples = resize::resize_latent(
            &self.samples.samples,
            &self.upscale_method,
            height,
            width,
            &self.crop,
        )?;
        Ok(self.samples.with(samples))
    }
}

/// Makes a latent larger or smaller, by a factor.
#[derive(Inputs)]
pub struct LatentUpscaleBy {
    /// The latent.
    pub samples: Latent,
    /// How values between old ones are found.
    #[widget(one_of(super::vae::METHODS))]
    pub upscale_method: String,
    /// The factor.
    #[widget(number(1.5).range(0.01..=8.0).step(0.01))]
    pub scale_by: f64,
}

impl Node for LatentUpscaleBy {
    const CATEGORY: &str = "latent";
    const TITLE: &str = "Upscale Latent By";
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        let (_, _, h, w) = self.samples.samples.dim();
        let size = |n: usize| (n as f64 * self.scale_by).round_ties_even() as usize;
        let samples = resize::resize_latent(
            &self.samples.samples,
            &self.upscale_method,
            size(h),
            size(w),
            "disabled",
        )?;
        Ok(self.samples.with(samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixel_space_gives_pictures_back_at_their_size() -> Result<()> {
        let picture =
            Array4::from_shape_fn((2, 5, 7, 3), |(n, y, x, c)| (n + y + 2 * x + c) as f32 / 32.0);
        let [latent, back] = Context::bare(|ctx| {
            let latent = Vae::PixelSpace.encode(ctx, &picture)?;
            let back = Vae::PixelSpace.decode(ctx, &latent)?;
            anyhow::Ok([latent, back])
        })?;
        assert_eq!(latent.dim(), (2, 3, 5, 7));
        assert_eq!(latent[[1, 2, 3, 4]], picture[[1, 3, 4, 2]] * 2.0 - 1.0);
        assert_eq!(back, picture);
        Ok(())
    }
}
