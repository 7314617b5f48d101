//! Pictures from files.

use crate::{Image, Mask};
use anyhow::{Context as _, Result, anyhow, ensure};
use graph::{Context, File, Inputs, Node};
use image::{
    AnimationDecoder, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::gif::GifDecoder,
};
use ndarray::{Array3, Array4};
use std::{io::Cursor, path::Path, sync::Arc, time::Instant};

/// Pictures up to this many pixels, all frames together, are loaded; more would fill the memory.
const MAX_PIXELS: u64 = 1 << 27;

/// No file of such a picture is larger.
const MAX_BYTES: u64 = 1 << 30;

/// Loads a picture. Its transparency becomes the mask.
#[derive(Inputs)]
pub struct LoadImage {
    /// A file in the input folder.
    #[widget(file("input").with("image_upload", true))]
    pub image: String,
}

impl Node for LoadImage {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Load Image";
    type Output = (Image, Mask);

    fn run(self, ctx: &mut Context) -> Result<(Image, Mask)> {
        pictures(&frames(ctx, "input", &self.image)?)
    }
}

/// Loads a picture that was written before. Its transparency becomes the mask.
#[derive(Inputs)]
pub struct LoadImageOutput {
    /// A file in the output folder.
    #[widget(file("output").with("image_upload", true).with("image_folder", "output"))]
    pub image: String,
}

impl Node for LoadImageOutput {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Load Image (from Outputs)";
    type Output = (Image, Mask);

    fn run(self, ctx: &mut Context) -> Result<(Image, Mask)> {
        pictures(&frames(ctx, "output", &self.image)?)
    }
}

/// Frames as a batch, and what is transparent in them.
fn pictures(frames: &[DynamicImage]) -> Result<(Image, Mask)> {
    let (w, h) = (frames[0].width() as usize, frames[0].height() as usize);
    let same: Vec<_> =
        frames.iter().filter(|f| (f.width() as usize, f.height() as usize) == (w, h)).collect();
    let mut pixels = Vec::with_capacity(same.len() * h * w * 3);
    same.iter().for_each(|f| pixels.extend(f.to_rgb32f().into_raw()));
    let image = Array4::from_shape_vec((same.len(), h, w, 3), pixels)?;
    let mask = if frames[0].color().has_alpha() {
        let alpha =
            |f: &&DynamicImage| f.to_rgba32f().pixels().map(|p| 1.0 - p.0[3]).collect::<Vec<f32>>();
        Array3::from_shape_vec((same.len(), h, w), same.iter().flat_map(alpha).collect())?
    } else {
        Array3::zeros((1, 64, 64))
    };
    Ok((Image(Arc::new(image)), Mask(Arc::new(mask))))
}

/// Loads one channel of a picture as a mask.
#[derive(Inputs)]
pub struct LoadImageMask {
    /// A file in the input folder.
    #[widget(file("input").with("image_upload", true))]
    pub image: String,
    /// The channel; of alpha, what is transparent is masked.
    #[widget(one_of(["alpha", "red", "green", "blue"]))]
    pub channel: String,
}

impl Node for LoadImageMask {
    const CATEGORY: &str = "mask";
    const TITLE: &str = "Load Image (as Mask)";
    type Output = Mask;

    fn run(self, ctx: &mut Context) -> Result<Mask> {
        let frame = frames(ctx, "input", &self.image)?.swap_remove(0);
        if self.channel == "alpha" && !frame.color().has_alpha() {
            return Ok(Mask(Arc::new(Array3::zeros((1, 64, 64)))));
        }
        let channel =
            ["red", "green", "blue", "alpha"].iter().position(|c| *c == self.channel).unwrap_or(3);
        let value = |p: &image::Rgba<f32>| if channel == 3 { 1.0 - p.0[3] } else { p.0[channel] };
        let (w, h) = (frame.width() as usize, frame.height() as usize);
        let values = frame.to_rgba32f().pixels().map(value).collect();
        Ok(Mask(Arc::new(Array3::from_shape_vec((1, h, w), values)?)))
    }
}

/// The frames of a picture in a folder, turned as its camera says.
fn frames(ctx: &mut Context, folder: &str, name: &str) -> Result<Vec<DynamicImage>> {
    let start = Instant::now();
    let bytes = match ctx.host.find(folder, name)? {
        File::Path(path) => read(&path).with_context(|| path.display().to_string())?,
        File::Builtin(parts) => parts.concat(),
    };
    let frames = decode(&bytes).with_context(|| name.to_owned())?;
    ctx.took("reading pictures", start);
    Ok(frames)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::metadata(path)?.len();
    ensure!(
        bytes <= MAX_BYTES,
        "{bytes} bytes are too many for a picture; at most {MAX_BYTES} are read"
    );
    Ok(std::fs::read(path)?)
}

fn decode(bytes: &[u8]) -> Result<Vec<DynamicImage>> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    // 16 bits in each of four channels.
    limits.max_alloc = Some(8 * MAX_PIXELS);
    reader.limits(limits);
    let format =
        reader.format().context("not a picture that Weft reads (PNG, JPEG, WebP, GIF, BMP)")?;
    let mut decoder = reader.into_decoder().map_err(said_once)?;
    let (w, h) = decoder.dimensions();
    let pixels = u64::from(w) * u64::from(h);
    ensure!(
        pixels <= MAX_PIXELS,
        "{w}x{h} is too large: {pixels} pixels, at most {MAX_PIXELS} are loaded"
    );
    ensure!(pixels > 0, "the picture is empty");
    ensure!(format != ImageFormat::Jpeg || has_end(bytes), "the file is damaged: it has no end");
    if format == ImageFormat::Gif {
        return gif_frames(bytes, MAX_PIXELS / pixels);
    }
    let orientation = decoder.orientation().map_err(said_once)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(said_once)?;
    picture.apply_orientation(orientation);
    Ok(vec![picture])
}

/// Whether the last scan of a JPEG ends: the decoder would paint what is missing grey.
fn has_end(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|pair| pair == [0xff, marker]);
    let (end, scan) = (last(0xd9), last(0xda));
    end > scan
}

fn gif_frames(bytes: &[u8], most: u64) -> Result<Vec<DynamicImage>> {
    let mut frames = vec![];
    for frame in GifDecoder::new(Cursor::new(bytes)).map_err(said_once)?.into_frames() {
        ensure!(
            (frames.len() as u64) < most,
            "more than {most} frames of this size are too many to load"
        );
        frames.push(frame.map_err(said_once)?.into_buffer().into());
    }
    ensure!(!frames.is_empty(), "the picture is empty");
    Ok(frames)
}

/// The decoders' errors hold their cause's text already.
fn said_once(error: ImageError) -> anyhow::Error {
    match error {
        ImageError::Decoding(_) | ImageError::IoError(_) => anyhow!("the file is damaged: {error}"),
        other => anyhow!("{other}"),
    }
}
