//! What is refused before anything is read: other formats by their first bytes, and headers that say
//! two things at once.

use crate::Result;
use anyhow::{bail, ensure};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use std::{collections::HashSet, path::Path};

/// How the names of files end that hold programs (pickle).
pub const PICKLE_ENDINGS: &[&str] = &["ckpt", "pt", "pt2", "bin", "pth", "pkl"];

/// Why such a file is not opened, and what to do.
pub const PICKLE_REFUSED: &str = "this is a pickle file, which can run any program hidden in it when it is \
     opened, so Weft does not open it. Use the model's .safetensors edition, or convert the file to \
     safetensors with a tool that you trust";

pub fn refuse_pickles_by_name(path: &Path) -> Result<()> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    ensure!(!PICKLE_ENDINGS.contains(&ending.as_str()), PICKLE_REFUSED);
    Ok(())
}

/// Formats that are met where weights should be, by their first bytes.
pub fn refuse_others(data: &[u8]) -> Result<()> {
    const OTHERS: &[(&[u8], &str)] = &[
        (b"PK", PICKLE_REFUSED),
        (b"\x80", PICKLE_REFUSED),
        (
            b"version https://git-lfs",
            "this is a git-lfs pointer, not the weights; fetch the file itself with `git lfs pull`",
        ),
        (
            b"GGUF",
            "this is a GGUF file, which Weft does not read; use the model's .safetensors edition",
        ),
        (b"<", "this is a web page, not weights; the download went wrong"),
    ];
    // The length of a header, in 8 bytes, may look like any of them.
    let safetensors = data.get(4..9) == Some(b"\0\0\0\0{");
    let text = data.trim_ascii_start();
    let other = OTHERS.iter().find(|(start, _)| text.starts_with(start));
    if let Some((_, reason)) = other.filter(|_| !safetensors) {
        bail!("{reason}");
    }
    Ok(())
}

/// The safetensors crate keeps the last of two equal keys in silence; a lying file may mean the other.
pub fn refuse_duplicate_keys(header: &[u8]) -> Result<()> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
            let mut seen = HashSet::new();
            while let Some(key) = map.next_key::<String>()? {
                map.next_value::<IgnoredAny>()?;
                if let Some(key) = seen.replace(key) {
                    return Err(serde::de::Error::custom(format!(
                        "the tensor {key} is there twice"
                    )));
                }
            }
            Ok(())
        }
    }
    Ok(serde_json::Deserializer::from_slice(header).deserialize_map(Keys)?)
}
