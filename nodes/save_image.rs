//! Pictures to files, with the graph that made them inside.

use crate::{Image, Stamp};
use anyhow::{Context as _, Result, ensure};
use graph::{Context, Inputs, Node};
use ndarray::ArrayView3;
use serde_json::json;
use std::{
    io::ErrorKind,
    path::{Component, Path, PathBuf},
    time::Instant,
};

/// Writes pictures as PNG into the output folder.
#[derive(Inputs)]
pub struct SaveImage {
    /// The pictures.
    pub images: Image,
    /// How the file names begin; may name a folder inside the output folder, and `%width%`,
    /// `%height%`, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%`.
    /// A workflow may also write `%date:yyyy-MM-dd%`, and `%KSampler.seed%` for a node's value.
    #[widget(text("ComfyUI"))]
    pub filename_prefix: String,
}

impl Node for SaveImage {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Save Image";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        save(ctx, &self.images, &self.filename_prefix, "output")
    }
}

/// Writes pictures where they are looked at once and then thrown away.
#[derive(Inputs)]
pub struct PreviewImage {
    /// The pictures.
    pub images: Image,
}

impl Node for PreviewImage {
    const CATEGORY: &str = "image";
    const TITLE: &str = "Preview Image";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        save(ctx, &self.images, "ComfyUI_temp", "temp")
    }
}

pub(crate) fn save(ctx: &mut Context, images: &Image, prefix: &str, kind: &str) -> Result<()> {
    let (_, h, w, _) = images.0.dim();
    let prefix = placeholders(prefix, w, h);
    let (subfolder, stem) = inside(&prefix)?;
    let mut folder = ctx.host.folder(kind)?;
    folder.extend(&subfolder);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut number = next_counter(&folder, &stem)?;
    let texts = texts(ctx);
    for (i, picture) in images.0.outer_iter().enumerate() {
        let stem = stem.replace("%batch_num%", &i.to_string());
        let start = Instant::now();
        let bytes = encode(&picture, &texts)?;
        ctx.took("encoding pictures", start);
        let (start, write) = (Instant::now(), |part: &Path| Ok(std::fs::write(part, &bytes)?));
        let name = write_new(&folder, &stem, "png", &mut number, &write)?;
        ctx.took("writing files", start);
        ctx.show(
            "images",
            json!({"filename": name, "subfolder": subfolder.to_string_lossy(), "type": kind}),
        );
    }
    Ok(())
}

/// The prefix as a folder and the beginning of a name, both inside the output folder.
pub(crate) fn inside(prefix: &str) -> Result<(PathBuf, String)> {
    let path = PathBuf::from(prefix.replace('\\', "/"));
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    ensure!(
        plain && !prefix.contains('\0'),
        "filename_prefix {prefix:?} leads out of the output folder"
    );
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((path.parent().map(Path::to_path_buf).unwrap_or_default(), name))
}

/// One more than the largest number of a file with this name; `%batch_num%` stands for any number.
pub(crate) fn next_counter(folder: &Path, stem: &str) -> Result<usize> {
    let (before, after) = stem.split_once("%batch_num%").unwrap_or((stem, ""));
    let number = |name: &str| -> Option<usize> {
        let rest = name.strip_prefix(before)?;
        let rest =
            rest.trim_start_matches(|c: char| stem.contains("%batch_num%") && c.is_ascii_digit());
        rest.strip_prefix(after)?.strip_prefix('_')?.split('_').next()?.parse().ok()
    };
    let names =
        std::fs::read_dir(folder)?.flatten().filter_map(|e| e.file_name().into_string().ok());
    Ok(names.filter_map(|n| number(&n)).max().map_or(1, |n| n + 1))
}

pub(crate) fn placeholders(prefix: &str, width: usize, height: usize) -> String {
    let [year, month, day, hour, minute, second] = graph::local_now();
    let values = [
        ("%width%", width.to_string()),
        ("%height%", height.to_string()),
        ("%year%", year.to_string()),
        ("%month%", format!("{month:02}")),
        ("%day%", format!("{day:02}")),
        ("%hour%", format!("{hour:02}")),
        ("%minute%", format!("{minute:02}")),
        ("%second%", format!("{second:02}")),
    ];
    values.iter().fold(prefix.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// What a file carries: the graph that ran, and the graph as the editor had it.
pub(crate) fn texts(ctx: &mut Context) -> Vec<(String, String)> {
    let start = Instant::now();
    let stamp = ctx.services.find::<Stamp>().map(|stamp| (stamp.0)(ctx.prompt));
    ctx.took("hashing files", start);
    let prompt = Some(("prompt", ctx.prompt)).filter(|(_, p)| !p.is_null());
    let extra = ctx.extra.iter().map(|(k, v)| (k.as_str(), v));
    let stamp = stamp.iter().map(|stamp| (Stamp::KEY, stamp));
    let all = prompt.into_iter().chain(extra).chain(stamp);
    all.map(|(k, v)| (k.to_owned(), graph::chunk_text(v))).collect()
}

/// Writes a file under the first free number from `number` on, which then becomes the next; gives its
/// name. It is written beside its place, so that there is never half a file, under a name that only
/// one of several runs can take.
pub(crate) fn write_new(
    folder: &Path,
    stem: &str,
    ending: &str,
    number: &mut usize,
    write: &dyn Fn(&Path) -> Result<()>,
) -> Result<String> {
    loop {
        let name = format!("{stem}_{number:05}_.{ending}");
        *number += 1;
        let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
        match std::fs::File::create_new(&part) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            file => file.with_context(|| path.display().to_string())?,
        };
        if path.exists() {
            std::fs::remove_file(&part)?;
            continue;
        }
        let written = write(&part).and_then(|()| Ok(std::fs::rename(&part, &path)?));
        written
            .inspect_err(|_| drop(std::fs::remove_file(&part)))
            .with_context(|| path.display().to_string())?;
        return Ok(name);
    }
}

fn encode(picture: &ArrayView3<f32>, texts: &[(String, String)]) -> Result<Vec<u8>> {
    let (h, w, c) = picture.dim();
    // The original cuts off what is below a whole step; so do we, to get the same bytes.
    let pixels: Vec<u8> = picture.iter().map(|x| (x * 255.0).clamp(0.0, 255.0) as u8).collect();
    graph::encode_png(&pixels, [u32::try_from(w)?, u32::try_from(h)?], c, texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_stay_inside_the_output_folder() {
        for bad in ["../x", "/etc/x", "a/../../x", "..\\x"] {
            assert!(inside(bad).is_err(), "{bad}");
        }
        assert_eq!(inside("a/b").unwrap(), (PathBuf::from("a"), "b".to_owned()));
    }

    #[test]
    fn numbers_go_on_where_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x_00001_.png", "x_00007_.png", "x_y_00009_.png", "n3_00004_.png"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(next_counter(folder.path(), "x").unwrap(), 8);
        assert_eq!(next_counter(folder.path(), "n%batch_num%").unwrap(), 5);
        assert_eq!(next_counter(folder.path(), "new").unwrap(), 1);
    }

    #[test]
    fn runs_that_write_at_the_same_time_take_different_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let write = |part: &Path| Ok(std::fs::write(part, b"picture")?);
        let run = || {
            (0..50)
                .for_each(|_| drop(write_new(folder.path(), "x", "png", &mut 1, &write).unwrap()))
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(run))));
        let names = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
        let pictures = names.filter(|n| n.to_str().is_some_and(|n| n.ends_with(".png")));
        assert_eq!(pictures.count(), 200);
    }
}
