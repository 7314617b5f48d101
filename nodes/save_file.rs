//! Moving pictures and other single files that carry the graph that made them.

use crate::{Image, save_image};
use anyhow::{Context as _, Result, ensure};
use graph::{Context, Inputs, Node};
use image::{ExtendedColorType, ImageEncoder, codecs::webp::WebPEncoder};
use ndarray::{ArrayView3, ArrayView4};
use serde_json::json;
use std::{path::Path, time::Instant};

/// Writes one file of the next free number into the output folder, and shows it under `list`.
pub fn save_file(
    ctx: &mut Context,
    prefix: &str,
    (width, height): (usize, usize),
    (list, ending): (&str, &str),
    bytes: &[u8],
) -> Result<()> {
    let prefix = save_image::placeholders(prefix, width, height);
    let (subfolder, stem) = save_image::inside(&prefix)?;
    let folder = ctx.host.folder("output")?.join(&subfolder);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut number = save_image::next_counter(&folder, &stem)?;
    let (start, write) = (Instant::now(), |part: &Path| Ok(std::fs::write(part, bytes)?));
    let name = save_image::write_new(&folder, &stem, ending, &mut number, &write)?;
    ctx.took("writing files", start);
    ctx.show(
        list,
        json!({"filename": name, "subfolder": subfolder.to_string_lossy(), "type": "output"}),
    );
    Ok(())
}

/// Writes a batch of pictures as one moving PNG into the output folder.
#[derive(Inputs)]
pub struct SaveAnimatedPNG {
    /// The pictures, in their order.
    pub images: Image,
    /// How the file names begin; may name a folder inside the output folder.
    #[widget(text("ComfyUI"))]
    pub filename_prefix: String,
    /// Pictures per second.
    #[widget(number(6.0).range(0.01..=1000.0).step(0.01))]
    pub fps: f64,
    /// How hard the file is compressed: from 0, not at all, to 9.
    #[widget(number(4).range(0..=9))]
    pub compress_level: u32,
}

impl Node for SaveAnimatedPNG {
    const CATEGORY: &str = "image/animation";
    const TITLE: &str = "SaveAnimatedPNG";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        let (_, h, w, _) = self.images.0.dim();
        let compression = match self.compress_level {
            0 => png::Compression::NoCompression,
            1..=3 => png::Compression::Fast,
            4..=6 => png::Compression::Balanced,
            _ => png::Compression::High,
        };
        let (texts, start) = (save_image::texts(ctx), Instant::now());
        let bytes = moving_png(&self.images.0.view(), delay(self.fps), compression, &texts)?;
        ctx.took("encoding pictures", start);
        save_file(ctx, &self.filename_prefix, (w, h), ("images", "png"), &bytes)?;
        ctx.show("animated", true.into());
        Ok(())
    }
}

/// Thousandths of a second between two pictures.
fn delay(fps: f64) -> u32 {
    (1000.0 / fps) as u32
}

fn moving_png(
    pictures: &ArrayView4<f32>,
    delay: u32,
    compression: png::Compression,
    texts: &[(String, String)],
) -> Result<Vec<u8>> {
    let (n, h, w, c) = pictures.dim();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, u32::try_from(w)?, u32::try_from(h)?);
    encoder.set_color(if c == 4 { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(compression);
    encoder.set_animated(u32::try_from(n)?, 0)?;
    // The format counts in 16 bits.
    match u16::try_from(delay) {
        Ok(delay) => encoder.set_frame_delay(delay, 1000)?,
        Err(_) => encoder.set_frame_delay(u16::try_from(delay / 1000).unwrap_or(u16::MAX), 1)?,
    }
    for (key, text) in texts {
        encoder.add_text_chunk(key.clone(), text.clone())?;
    }
    let mut writer = encoder.write_header()?;
    for picture in pictures.outer_iter() {
        writer.write_image_data(&pixels(&picture)?)?;
    }
    writer.finish()?;
    Ok(bytes)
}

fn pixels(picture: &ArrayView3<f32>) -> Result<Vec<u8>> {
    let channels = picture.dim().2;
    ensure!(
        matches!(channels, 3 | 4),
        "a moving picture has three or four channels, not {channels}"
    );
    Ok(picture.iter().map(|x| (x * 255.0).clamp(0.0, 255.0) as u8).collect())
}

/// Writes a batch of pictures as one moving WebP into the output folder; always without loss.
#[derive(Inputs)]
pub struct SaveAnimatedWEBP {
    /// The pictures, in their order.
    pub images: Image,
    /// How the file names begin; may name a folder inside the output folder.
    #[widget(text("ComfyUI"))]
    pub filename_prefix: String,
    /// Pictures per second.
    #[widget(number(6.0).range(0.01..=1000.0).step(0.01))]
    pub fps: f64,
    /// Whether every pixel is kept. Weft has no encoder that loses any: it keeps them anyway.
    #[widget(toggle(true))]
    pub lossless: bool,
    /// For files with loss: without effect.
    #[widget(number(80).range(0..=100))]
    pub quality: u32,
    /// How hard the file is compressed: without effect.
    #[widget(one_of(["default", "fastest", "slowest"]))]
    pub method: String,
}

impl Node for SaveAnimatedWEBP {
    const CATEGORY: &str = "image/animation";
    const TITLE: &str = "SaveAnimatedWEBP";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        if !self.lossless {
            ctx.note("the file is written without loss: Weft has no encoder for WebP with loss");
        }
        let (_, h, w, _) = self.images.0.dim();
        let (texts, start) = (save_image::texts(ctx), Instant::now());
        let bytes = moving_webp(&self.images.0.view(), delay(self.fps), &texts)?;
        ctx.took("encoding pictures", start);
        save_file(ctx, &self.filename_prefix, (w, h), ("images", "webp"), &bytes)?;
        ctx.show("animated", true.into());
        Ok(())
    }
}

/// RFC 9649: a container of frames, each compressed for itself.
fn moving_webp(
    pictures: &ArrayView4<f32>,
    delay: u32,
    texts: &[(String, String)],
) -> Result<Vec<u8>> {
    const ANIMATION: u8 = 0x02;
    const EXIF: u8 = 0x08;
    const ALPHA: u8 = 0x10;
    let (_, h, w, c) = pictures.dim();
    let (width, height) = (u32::try_from(w)?, u32::try_from(h)?);
    ensure!(width.max(height) <= 1 << 14, "{w}x{h} is too large for WebP, which ends at 16384");
    let size = [triple(width - 1), triple(height - 1)].concat();
    let flags = ANIMATION | EXIF | if c == 4 { ALPHA } else { 0 };
    let mut body = b"WEBP".to_vec();
    chunk(&mut body, b"VP8X", &[&[flags, 0, 0, 0], &*size].concat());
    // No background; without end.
    chunk(&mut body, b"ANIM", &[0; 6]);
    for picture in pictures.outer_iter() {
        let color = if c == 4 { ExtendedColorType::Rgba8 } else { ExtendedColorType::Rgb8 };
        let mut still = Vec::new();
        WebPEncoder::new_lossless(&mut still).write_image(
            &pixels(&picture)?,
            width,
            height,
            color,
        )?;
        // At the corner, not mixed with the picture before.
        let frame =
            [&[0; 6], &*size, &triple(delay.min((1 << 24) - 1)), &[0x02], &still[12..]].concat();
        chunk(&mut body, b"ANMF", &frame);
    }
    chunk(&mut body, b"EXIF", &exif(texts));
    let mut file = Vec::new();
    chunk(&mut file, b"RIFF", &body);
    Ok(file)
}

fn triple(n: u32) -> [u8; 3] {
    let [a, b, c, _] = n.to_le_bytes();
    [a, b, c]
}

fn chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    out.extend(name);
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(2), 0);
}

/// Texts as `key:text` where ComfyUI puts them: in the camera's tags from Model downwards.
fn exif(texts: &[(String, String)]) -> Vec<u8> {
    const MODEL: u16 = 0x0110;
    const TEXT: u16 = 2;
    let count = texts.len() as u16;
    let mut head = [&b"II*\0"[..], &8u32.to_le_bytes(), &count.to_le_bytes()].concat();
    let mut data = Vec::new();
    let start = head.len() + 12 * texts.len() + 4;
    // Tags stand in rising order.
    for (i, (key, text)) in texts.iter().enumerate().rev() {
        let text = format!("{key}:{text}\0");
        head.extend((MODEL - i as u16).to_le_bytes());
        head.extend(TEXT.to_le_bytes());
        head.extend((text.len() as u32).to_le_bytes());
        head.extend(((start + data.len()) as u32).to_le_bytes());
        data.extend(text.bytes());
    }
    [head, vec![0; 4], data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{AnimationDecoder, codecs::png::PngDecoder, codecs::webp::WebPDecoder};
    use ndarray::Array4;
    use std::io::Cursor;

    fn pictures() -> Array4<f32> {
        Array4::from_shape_fn((3, 6, 5, 3), |(n, y, x, c)| {
            (50 * n + 9 * y + 5 * x + c) as f32 / 255.0
        })
    }

    fn texts() -> Vec<(String, String)> {
        let graph = r#"{"1": {"class_type": "SaveAnimatedWEBP", "inputs": {}}}"#;
        vec![("prompt".into(), graph.into()), ("weft".into(), "{}".into())]
    }

    #[track_caller]
    fn check(frames: image::Frames) {
        let frames = frames.collect_frames().unwrap();
        assert_eq!(frames.len(), 3);
        for (frame, picture) in frames.iter().zip(pictures().outer_iter()) {
            let delay = frame.delay().numer_denom_ms();
            assert_eq!(delay.0 / delay.1, 125);
            for ((y, x, c), value) in picture.indexed_iter() {
                let expected = (value * 255.0) as u8;
                assert_eq!(frame.buffer().get_pixel(x as u32, y as u32).0[c], expected);
            }
        }
    }

    #[test]
    fn a_moving_webp_has_every_pixel_and_the_graph() {
        let file = moving_webp(&pictures().view(), delay(8.0), &texts()).unwrap();
        check(WebPDecoder::new(Cursor::new(&file)).unwrap().into_frames());
        let document = graph::read(&file).unwrap();
        let prompt = document.to_api(&graph::Contract::from_types(&[])).unwrap();
        assert_eq!(prompt["1"]["class_type"], "SaveAnimatedWEBP");
    }

    #[test]
    fn a_moving_png_has_every_pixel_and_the_graph() {
        let compression = png::Compression::Balanced;
        let file = moving_png(&pictures().view(), delay(8.0), compression, &texts()).unwrap();
        check(PngDecoder::new(Cursor::new(&file)).unwrap().apng().unwrap().into_frames());
        assert!(graph::read(&file).is_ok());
    }
}
