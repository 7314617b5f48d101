//! The file that a mask becomes: the picture with the mask as its transparency.

use crate::brush::Mask;
use anyhow::{Context as _, Result};
use graph::Host;
use image::{ImageFormat, RgbaImage};
use std::io::Cursor;

/// Where new files go, below the input folder.
const FOLDER: &str = "clipspace";
/// The picture with the mask as its transparency; colours stay as they are.
fn masked(pixels: &RgbaImage, mask: &Mask) -> RgbaImage {
    let mut picture = pixels.clone();
    for (pixel, value) in picture.pixels_mut().zip(&mask.values) {
        pixel.0[3] = 255 - value;
    }
    picture
}

/// Writes the masked picture as a new file of the input folder; gives its name there.
pub fn write(pixels: &RgbaImage, mask: &Mask, name: &str, host: &dyn Host) -> Result<String> {
    let mut png = Cursor::new(Vec::new());
    masked(pixels, mask).write_to(&mut png, ImageFormat::Png)?;
    let folder = host.folder("input")?.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let stem = stem(name);
    let free = |n: &u32| !folder.join(format!("{stem}-mask-{n}.png")).exists();
    let number = (1..).find(free).context("no number is free")?;
    let name = format!("{stem}-mask-{number}.png");
    // Written beside its place, so that there is never half a picture.
    let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    std::fs::write(&part, png.into_inner()).with_context(|| part.display().to_string())?;
    std::fs::rename(&part, &path).with_context(|| path.display().to_string())?;
    Ok(format!("{FOLDER}/{name}"))
}

/// `cat` of `cat.jpeg` and of `cat-mask-3.png`: masks of masks keep the picture's name.
fn stem(name: &str) -> &str {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match stem.rsplit_once("-mask-") {
        Some((first, number)) if number.parse::<u32>().is_ok() => first,
        _ => stem,
    }
}
