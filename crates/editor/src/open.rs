//! Opening whatever a file is: a graph, a picture with or without one, weights.

use crate::{
    app::App,
    dialog::Dialog,
    doc::Id,
    files::Found,
    missing,
    tabs::stem,
    transfer::{How, Progress, put},
};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// Larger than any graph with its picture; a guard against reading something else into memory.
const MAX_BYTES: u64 = 1 << 30;

/// Opens a file that was named: one that is open already is shown.
pub fn path(app: &mut App, path: &Path) -> Result<()> {
    let path = std::path::absolute(path)?;
    if let Some(open) = app.tabs.iter().position(|tab| tab.path.as_ref() == Some(&path)) {
        app.active = open;
        return Ok(());
    }
    dropped(app, &path, None)
}

/// Opens a file in a tab of its own; a picture without a graph goes into the graph that is seen. `onto` is
/// the node on which it was dropped if that loads pictures: then a picture is for it, whatever it carries.
pub fn dropped(app: &mut App, path: &Path, onto: Option<Id>) -> Result<()> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match &*ending {
        "safetensors" | "sft" => weights(app, path),
        "ckpt" | "pt" | "pth" | "bin" => {
            bail!("reading weights of this kind can run code; Weft takes .safetensors files only")
        }
        "png" | "webp" if onto.is_none() => match graph(app, path) {
            Err(error) if error.is::<graph::NoGraph>() => picture(app, path, None),
            opened => opened,
        },
        "png" | "webp" | "jpg" | "jpeg" | "bmp" | "gif" => picture(app, path, onto),
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
        tab.in_file(path);
    }
    app.note_recent(path);
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
    let found = Found { path: path.to_owned(), weights };
    match &mut app.dialog {
        Some(Dialog::Weights(all)) => all.push(found),
        _ => app.show(Dialog::Weights(vec![found])),
    }
    Ok(())
}

/// Copies the picture into the input folder and loads it in the graph.
fn picture(app: &mut App, path: &Path, onto: Option<Id>) -> Result<()> {
    let name = into_input(app, path)?;
    app.load_into(&name, onto);
    Ok(())
}

/// Copies a file into the input folder under a name that is free there; gives that name.
pub(crate) fn into_input(app: &App, path: &Path) -> Result<String> {
    let folder = app.setup.host.folder("input")?;
    if std::path::absolute(path)?.parent() == Some(&std::path::absolute(&folder)?) {
        return Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    new_input(app, &stem(path), &ending, |to| {
        put(path, to, How::Copy, &Progress::default()).map(drop)
    })
}

/// Has a file made in the input folder under a name that is free there; gives that name.
pub(crate) fn new_input(
    app: &App,
    stem: &str,
    ending: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<String> {
    let folder = app.setup.host.folder("input")?;
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut names = (0..1000).map(|i| match i {
        0 => format!("{stem}.{ending}"),
        i => format!("{stem}_{i}.{ending}"),
    });
    let free = |name: &String| !folder.join(name).exists();
    let name = names.find(free).context("the input folder has a thousand such names")?;
    make(&folder.join(&name))?;
    Ok(name)
}
