//! Opening whatever a file is: a graph, a picture with or without one, weights.

use crate::{
    app::App,
    dialog::Dialog,
    files::{Found, copy_new, write_whole},
    missing,
    tabs::stem,
};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// Larger than any graph with its picture; a guard against reading something else into memory.
const MAX_BYTES: u64 = 1 << 30;

/// Opens a file that was named: one that is open already is shown.
pub fn path(app: &mut App, path: &Path) -> Result<()> {
    let path = std::path::absolute(path)?;
    if let Some(open) = app.tabs.iter().position(|tab| tab.path.as_ref() == Some(&path)) {
        app.active = open;
        return Ok(());
    }
    dropped(app, &path)
}

/// Opens a file in a tab of its own; a picture without a graph goes into the graph that is seen.
pub fn dropped(app: &mut App, path: &Path) -> Result<()> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match &*ending {
        "safetensors" | "sft" => weights(app, path),
        "png" | "webp" => match graph(app, path) {
            Err(error) if error.is::<graph::NoGraph>() => picture(app, path),
            opened => opened,
        },
        "jpg" | "jpeg" | "bmp" | "gif" => picture(app, path),
        _ => graph(app, path),
    }
}

fn graph(app: &mut App, path: &Path) -> Result<()> {
    let file = std::fs::metadata(path)?;
    if file.is_dir() {
        bail!("it is a folder, not a graph");
    }
    if file.len() > MAX_BYTES {
        bail!("it is too large for a graph");
    }
    let json = graph::read(&std::fs::read(path)?)?.to_ui(&app.catalog.contract)?;
    let tab = app.open_json(&stem(path), &json)?;
    // A picture is no place to save a graph to, and nor is the other form of it.
    let same = path.extension().is_some_and(|e| e == "json") && is_ui(path);
    if same {
        tab.in_file(path.to_owned());
    }
    let report = missing::Report::of(app);
    if !report.is_empty() {
        app.show(Dialog::Missing(report));
    }
    Ok(())
}

/// Whether the file itself is in UI form.
fn is_ui(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    let json: graph::Json = serde_json::from_slice(&text).unwrap_or_default();
    json["nodes"].is_array()
}

fn weights(app: &mut App, path: &Path) -> Result<()> {
    let weights = (app.setup.weights)(path)?;
    app.show(Dialog::Weights(Box::new(Found { path: path.to_owned(), weights })));
    Ok(())
}

/// Copies the picture into the input folder and loads it in the graph.
fn picture(app: &mut App, path: &Path) -> Result<()> {
    let name = into_input(app, path)?;
    app.load_picture(&name, None);
    Ok(())
}

/// Copies a file into the input folder under a name that is free there; gives that name.
fn into_input(app: &App, path: &Path) -> Result<String> {
    let folder = app.setup.host.folder("input")?;
    if std::path::absolute(path)?.parent() == Some(&std::path::absolute(&folder)?) {
        return Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let name = free_name(&folder, &stem(path), &ending)?;
    let to: PathBuf = folder.join(&name);
    copy_new(path, &to)?;
    Ok(name)
}

/// A name that no file of the folder has.
fn free_name(folder: &Path, stem: &str, ending: &str) -> Result<String> {
    let mut names = (0..1000).map(|i| match i {
        0 => format!("{stem}.{ending}"),
        i => format!("{stem}_{i}.{ending}"),
    });
    let free = |name: &String| !folder.join(name).exists();
    names.find(free).with_context(|| format!("{} has a thousand such names", folder.display()))
}

impl App {
    /// A picture from the clipboard goes the way of one that was dropped.
    pub(crate) fn paste_picture(&mut self, image: &egui::ColorImage) -> Result<()> {
        let [width, height] = image.size.map(|side| side as u32);
        let pixels = image.pixels.iter().flat_map(|color| color.to_srgba_unmultiplied()).collect();
        let picture = image::RgbaImage::from_raw(width, height, pixels)
            .context("it has fewer pixels than it says")?;
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png)?;
        let folder = self.setup.host.folder("input")?;
        std::fs::create_dir_all(&folder)?;
        let name = free_name(&folder, "pasted", "png")?;
        write_whole(&folder.join(&name), &png.into_inner())?;
        self.load_picture(&name, None);
        Ok(())
    }
}
