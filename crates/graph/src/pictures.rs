//! The texts that pictures carry: PNG's text chunks, and the EXIF data of WebP, where ComfyUI puts
//! `prompt:{...}` and `workflow:{...}`. Pixels are never decoded; PNGs that carry texts are made here too.

use crate::{Json, Result};
use anyhow::{Context as _, bail};
use std::io::Cursor;

/// No graph is larger; a packed text that is, is an error.
const LARGEST: usize = 64 << 20;

/// Texts by keyword.
pub type Texts = Vec<(String, String)>;

/// The texts of a picture in a format that can carry a graph, with the format's name; `None` for
/// everything else.
pub fn texts(bytes: &[u8]) -> Option<(&'static str, Result<Texts>)> {
    if bytes.starts_with(b"\x89PNG") {
        Some(("PNG", png(bytes).context("a broken PNG")))
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(("WebP", webp(bytes).context("a broken WebP")))
    } else {
        None
    }
}

/// JSON as the plain text chunks of a PNG hold it: they are Latin-1, so everything beyond ASCII is escaped.
pub fn chunk_text(json: &Json) -> String {
    let mut text = String::new();
    for c in json.to_string().chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|u| text += &format!("\\u{u:04x}"));
        }
    }
    text
}

/// A PNG of 8-bit pixels, row by row, of one (grey), three (RGB) or four (RGBA) channels, with texts by
/// keyword from [`chunk_text`].
pub fn encode_png(
    pixels: &[u8],
    [width, height]: [u32; 2],
    channels: usize,
    texts: &[(String, String)],
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut png = png::Encoder::new(&mut bytes, width, height);
    png.set_color(match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        4 => png::ColorType::Rgba,
        _ => bail!("a picture of {channels} channels cannot be saved as PNG"),
    });
    png.set_depth(png::BitDepth::Eight);
    for (key, text) in texts {
        png.add_text_chunk(key.clone(), text.clone())?;
    }
    let mut writer = png.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Text after the pixels is only looked for if none stands before them.
fn png(bytes: &[u8]) -> Result<Texts> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_limits(png::Limits { bytes: LARGEST });
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info()?;
    let texts = png_texts(reader.info())?;
    if !texts.is_empty() {
        return Ok(texts);
    }
    reader.finish()?;
    png_texts(reader.info())
}

fn png_texts(info: &png::Info) -> Result<Texts> {
    let plain = info.uncompressed_latin1_text.iter();
    let mut texts: Texts = plain.map(|t| (t.keyword.clone(), utf8(&t.text))).collect();
    for text in info.compressed_latin1_text.iter().filter(|t| wanted(&t.keyword)) {
        let mut text = text.clone();
        text.decompress_text_with_limit(LARGEST).with_context(|| text.keyword.clone())?;
        texts.push((text.keyword.clone(), utf8(&text.get_text()?)));
    }
    for text in info.utf8_text.iter().filter(|t| wanted(&t.keyword)) {
        let mut text = text.clone();
        text.decompress_text_with_limit(LARGEST).with_context(|| text.keyword.clone())?;
        texts.push((text.keyword.clone(), text.get_text()?));
    }
    texts.retain(|(keyword, _)| wanted(keyword));
    Ok(texts)
}

fn wanted(keyword: &str) -> bool {
    matches!(keyword, "prompt" | "workflow" | "weft")
}

/// Latin-1 text that some programs fill with UTF-8.
fn utf8(latin1: &str) -> String {
    let bytes: Option<Vec<u8>> = latin1.chars().map(|c| u8::try_from(c).ok()).collect();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.unwrap_or_else(|| latin1.to_owned())
}

fn webp(bytes: &[u8]) -> Result<Texts> {
    let exif = exif(bytes).context("a part of it is longer than the file")?;
    let fields = ascii_fields(exif).context("its EXIF data ends too early")?;
    let text = |field: &[u8]| {
        let text = String::from_utf8_lossy(field);
        let (keyword, value) = text.split_once(':')?;
        wanted(keyword).then(|| (keyword.to_owned(), value.to_owned()))
    };
    Ok(fields.into_iter().filter_map(text).collect())
}

/// The EXIF data in the chunks of a RIFF file, empty if it has none; `None` if the file is cut off.
fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = &bytes[12..];
    while let Some((name, after)) = rest.split_first_chunk::<4>() {
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (content, after) = after.split_at_checked(length)?;
        if name == b"EXIF" {
            return Some(content.strip_prefix(b"Exif\0\0").unwrap_or(content));
        }
        // Chunks are padded to even lengths; the last pad may be missing.
        rest = after.get(length % 2..).unwrap_or(&[]);
    }
    Some(&[])
}

/// The ASCII fields (type 2) of the first directory of TIFF data, without their ending zero.
fn ascii_fields(tiff: &[u8]) -> Option<Vec<&[u8]>> {
    let big = tiff.starts_with(b"MM");
    let number = |at: usize, bytes: usize| {
        let part = tiff.get(at..at.checked_add(bytes)?)?;
        let join = |n: usize, byte: &u8| n << 8 | usize::from(*byte);
        Some(if big { part.iter().fold(0, join) } else { part.iter().rev().fold(0, join) })
    };
    if tiff.is_empty() {
        return Some(vec![]);
    }
    let directory = number(4, 4)?;
    let mut fields = vec![];
    for i in 0..number(directory, 2)? {
        let entry = directory + 2 + 12 * i;
        if number(entry + 2, 2)? == 2 {
            let length = number(entry + 4, 4)?;
            let start = if length <= 4 { entry + 8 } else { number(entry + 8, 4)? };
            let text = tiff.get(start..start.checked_add(length)?)?;
            fields.push(text.strip_suffix(b"\0").unwrap_or(text));
        }
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use crate::{Contract, read};

    const PROMPT: &str = r#"{"1": {"class_type": "Foo", "inputs": {"x": "é"}}}"#;

    fn class_in(bytes: &[u8]) -> String {
        let prompt = read(bytes).unwrap().to_api(&Contract::default()).unwrap();
        assert_eq!(prompt["1"]["inputs"]["x"], "é");
        prompt["1"]["class_type"].as_str().unwrap().to_owned()
    }

    /// A black pixel with the text before it or after it.
    fn png(write: impl FnOnce(&mut png::Writer<&mut Vec<u8>>), before: bool) -> Vec<u8> {
        let mut bytes = vec![];
        let encoder = png::Encoder::new(&mut bytes, 1, 1);
        let mut writer = encoder.write_header().unwrap();
        if before {
            write(&mut writer);
            writer.write_image_data(&[0]).unwrap();
        } else {
            writer.write_image_data(&[0]).unwrap();
            write(&mut writer);
        }
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn every_kind_of_text_chunk_is_read_before_and_after_the_pixels() {
        use png::text_metadata::{ITXtChunk, ZTXtChunk};
        for before in [true, false] {
            let packed = ZTXtChunk::new("prompt", PROMPT);
            assert_eq!(class_in(&png(|w| w.write_text_chunk(&packed).unwrap(), before)), "Foo");
            let mut utf8 = ITXtChunk::new("prompt", PROMPT);
            utf8.compressed = before;
            assert_eq!(class_in(&png(|w| w.write_text_chunk(&utf8).unwrap(), before)), "Foo");
            let raw = [b"prompt\0".as_slice(), PROMPT.as_bytes()].concat();
            let chunk = png::chunk::tEXt;
            assert_eq!(class_in(&png(|w| w.write_chunk(chunk, &raw).unwrap(), before)), "Foo");
        }
    }

    #[test]
    fn a_png_that_is_made_carries_its_graph() {
        let prompt: crate::Json = serde_json::from_str(PROMPT).unwrap();
        let texts = [("prompt".to_owned(), super::chunk_text(&prompt))];
        let bytes = super::encode_png(&[0; 12], [1, 3], 4, &texts).unwrap();
        assert_eq!(class_in(&bytes), "Foo");
        assert!(super::encode_png(&[0; 12], [1, 3], 5, &texts).is_err());
    }

    #[test]
    fn pictures_without_a_graph_and_broken_ones_say_so() {
        let error = |bytes: &[u8]| format!("{:#}", read(bytes).unwrap_err());
        let bare = png(|_| {}, true);
        assert!(error(&bare).contains("carries no graph"));
        assert!(error(&bare[..20]).contains("broken PNG"));
        let words = png(|w| w.write_text_chunk(&text("prompt", "a cat")).unwrap(), true);
        assert!(error(&words).contains("prompt"), "{}", error(&words));
        let both = png(
            |w| {
                w.write_text_chunk(&text("prompt", "a cat")).unwrap();
                w.write_text_chunk(&text("workflow", r#"{"nodes": [], "links": []}"#)).unwrap();
            },
            true,
        );
        assert!(read(&both).is_ok(), "one good text is enough");
    }

    fn text(keyword: &str, text: &str) -> png::text_metadata::TEXtChunk {
        png::text_metadata::TEXtChunk::new(keyword, text)
    }

    /// EXIF with one text field, in either byte order.
    fn webp(big: bool) -> Vec<u8> {
        let text = format!("prompt:{PROMPT}\0");
        let length = u32::try_from(text.len()).unwrap();
        let two = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let four = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let order = if big { b"MM" } else { b"II" };
        let mut tiff = [order.as_slice(), &two(42), &four(8), &two(1)].concat();
        tiff.extend([two(0x0110).as_slice(), &two(2), &four(length), &four(22)].concat());
        tiff.extend(text.as_bytes());
        let size = u32::try_from(tiff.len()).unwrap().to_le_bytes();
        [b"RIFF\0\0\0\0WEBPVP8 \x01\0\0\0x\0EXIF", size.as_slice(), &tiff].concat()
    }

    #[test]
    fn webp_exif_is_read_in_both_byte_orders_and_cut_files_never_panic() {
        for big in [true, false] {
            let bytes = webp(big);
            assert_eq!(class_in(&bytes), "Foo");
            for cut in 0..bytes.len() {
                assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            for i in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[i] = 0xff;
                let _ = read(&bytes);
            }
        }
    }

    #[test]
    fn texts_that_unpack_to_more_than_any_graph_are_refused() {
        let large = " ".repeat(super::LARGEST + 1);
        let packed = png::text_metadata::ZTXtChunk::new("prompt", large);
        let bytes = png(|w| w.write_text_chunk(&packed).unwrap(), true);
        assert!(bytes.len() < 1 << 20);
        let error = format!("{:#}", read(&bytes).unwrap_err());
        assert!(error.contains("broken PNG: prompt"), "{error}");
    }

    #[test]
    fn damaged_texts_of_pngs_never_panic() {
        use png::text_metadata::{EncodableTextChunk, ITXtChunk, ZTXtChunk};
        let mut utf8 = ITXtChunk::new("workflow", PROMPT);
        utf8.compressed = true;
        let mut chunks = [vec![], vec![]];
        ZTXtChunk::new("prompt", PROMPT).encode(&mut chunks[0]).unwrap();
        utf8.encode(&mut chunks[1]).unwrap();
        let mut random = crate::tests::Random(3);
        for _ in 0..3000 {
            // Length and name before the content, a checksum after it.
            let mut content = random.of(&chunks);
            content = content[8..content.len() - 4].to_vec();
            content.truncate(random.below(2 * content.len()) + 1);
            for _ in 0..random.below(4) {
                let at = random.below(content.len());
                content[at] = random.of(&[0, 1, b'"', 0x7f, 0x80, 0xff]);
            }
            let kind = random.of(&[png::chunk::tEXt, png::chunk::zTXt, png::chunk::iTXt]);
            let _ = read(&png(|w| w.write_chunk(kind, &content).unwrap(), true));
        }
    }
}
