//! Pictures in the folders of a graph: where they are, and their pixels.

use anyhow::{Context as _, Result, bail, ensure};
use egui::ColorImage;
use graph::{File, Host, Json};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbaImage, imageops::FilterType};
use serde::{Deserialize, Serialize};
use std::{
    io::Cursor,
    path::{Component, Path, PathBuf},
};

/// No picture that is shown takes more memory than this while it is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A picture as nodes name it in what they show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Picture {
    /// `output`, `temp` or `input`.
    #[serde(rename = "type")]
    pub folder: String,
    #[serde(default)]
    pub subfolder: String,
    pub filename: String,
}

impl Picture {
    /// A picture in the input folder, by the name that `LoadImage` has for it.
    pub fn input(name: &str) -> Self {
        let (subfolder, filename) = name.rsplit_once('/').unwrap_or(("", name));
        Self { folder: "input".into(), subfolder: subfolder.into(), filename: filename.into() }
    }

    /// All pictures in what a node shows.
    pub fn all_of(ui: &serde_json::Map<String, Json>) -> Vec<Self> {
        let images = ui.get("images").and_then(Json::as_array).into_iter().flatten();
        images.filter_map(|image| serde_json::from_value(image.clone()).ok()).collect()
    }

    /// The name below its folder.
    pub fn name(&self) -> String {
        match &*self.subfolder {
            "" => self.filename.clone(),
            folder => format!("{folder}/{}", self.filename),
        }
    }

    /// Where it is; an error for pictures that come with the program.
    pub fn path(&self, host: &dyn Host) -> Result<PathBuf> {
        match self.file(host)? {
            File::Path(path) => Ok(path),
            File::Builtin(_) => bail!("{} comes with the program and is no file", self.name()),
        }
    }

    /// The file as it is.
    pub fn bytes(&self, host: &dyn Host) -> Result<Vec<u8>> {
        match self.file(host)? {
            File::Path(path) => std::fs::read(&path).with_context(|| path.display().to_string()),
            File::Builtin(parts) => Ok(parts.concat()),
        }
    }

    /// Its pixels, in sRGB, transparency not multiplied in.
    pub fn read(&self, host: &dyn Host) -> Result<RgbaImage> {
        decode(&self.bytes(host)?).with_context(|| self.name())
    }

    fn file(&self, host: &dyn Host) -> Result<File> {
        let name = self.name();
        let plain = Path::new(&name).components().all(|c| matches!(c, Component::Normal(_)));
        ensure!(plain, "{name} leads out of the {} folder", self.folder);
        // Only the input folder is searched by name; it also has pictures that are no files.
        if self.folder == "input" {
            return host.find("input", &name);
        }
        Ok(File::Path(host.folder(&self.folder)?.join(name)))
    }
}

/// The pixels of a PNG, JPEG, WebP, GIF or BMP, turned as its camera says.
pub fn decode(bytes: &[u8]) -> Result<RgbaImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgba8())
}

/// The picture with its longer side at most `side` pixels.
pub fn at_most(picture: RgbaImage, side: u32) -> RgbaImage {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return picture;
    }
    let part = |n: u32| (u64::from(n) * u64::from(side) / u64::from(longer)).max(1) as u32;
    image::imageops::resize(&picture, part(width), part(height), FilterType::Triangle)
}

/// As egui takes it.
pub fn color_image(picture: &RgbaImage) -> ColorImage {
    let size = [picture.width() as usize, picture.height() as usize];
    ColorImage::from_rgba_unmultiplied(size, picture.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_shows_names_pictures_and_other_entries_are_passed_over() {
        let ui = serde_json::json!({"images": [
            {"filename": "a.png", "subfolder": "x", "type": "output"}, {"filename": 3}
        ], "text": ["hello"]});
        let all = Picture::all_of(ui.as_object().unwrap());
        assert_eq!(all.iter().map(Picture::name).collect::<Vec<_>>(), ["x/a.png"]);
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused() {
        struct Home;
        impl Host for Home {
            fn list(&self, _: &str) -> Vec<String> {
                vec![]
            }
            fn find(&self, _: &str, name: &str) -> Result<File> {
                Ok(File::Path(name.into()))
            }
            fn folder(&self, name: &str) -> Result<PathBuf> {
                Ok(Path::new("/home").join(name))
            }
            fn fingerprint(&self, _: &str, _: &str) -> Result<u64> {
                Ok(0)
            }
        }
        let picture = |folder: &str, subfolder: &str| Picture {
            folder: folder.into(),
            subfolder: subfolder.into(),
            filename: "a.png".into(),
        };
        assert!(picture("output", "..").path(&Home).is_err());
        assert!(picture("input", "/etc").path(&Home).is_err());
        let good = picture("output", "x").path(&Home).unwrap();
        assert_eq!(good, Path::new("/home/output/x/a.png"));
    }

    #[test]
    fn large_pictures_are_made_smaller_in_their_proportions() {
        let small = at_most(RgbaImage::new(2000, 3), 500);
        assert_eq!(small.dimensions(), (500, 1));
        assert_eq!(at_most(RgbaImage::new(20, 30), 500).dimensions(), (20, 30));
    }
}
