//! Large files on their way into a folder: copied or moved on a thread, with a bar that says how far it is.

use crate::{
    app::App,
    files::{Found, Said},
    panels,
    theme::Theme,
};
use anyhow::{Context as _, Result, bail, ensure};
use egui::{ProgressBar, RichText, Ui};
use egui_material_icons::icons::ICON_CLOSE;
use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Files that are under way.
#[derive(Default)]
pub struct Transfers(Vec<(String, Arc<Progress>)>);

/// How far a file is, and whether it shall go on.
#[derive(Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
    over: AtomicBool,
}

/// What becomes of the file where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Copy,
    Move,
}

/// Bytes copied between two looks at whether to go on.
const PIECE: usize = 4 << 20;
/// How often the bar is drawn.
const LOOK: Duration = Duration::from_millis(100);

impl App {
    /// Begins to bring a file to a place where none is.
    pub(crate) fn transfer(&mut self, from: PathBuf, to: PathBuf, how: How) {
        let progress = Arc::new(Progress::default());
        let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.transfers.0.push((name, progress.clone()));
        self.answers.work(move || {
            let done = put(&from, &to, how, &progress);
            progress.over.store(true, Ordering::Relaxed);
            Some(Said::Copied(done))
        });
    }
}

impl Transfers {
    /// Draws a bar for each file, in a row.
    pub fn ui(&mut self, ui: &mut Ui, theme: &Theme) {
        self.0.retain(|(_, progress)| !progress.over.load(Ordering::Relaxed));
        for (name, progress) in &self.0 {
            ui.ctx().request_repaint_after(LOOK);
            ui.separator();
            ui.label(RichText::new(name).small().color(theme.dim));
            let part = progress.part();
            let bar = ProgressBar::new(part).desired_width(120.0).desired_height(8.0);
            ui.add(bar).on_hover_text(format!("{:.0} %", part * 100.0));
            if panels::icon_button(ui, ICON_CLOSE, &format!("Stop copying {name}")).clicked() {
                progress.stop.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Progress {
    fn part(&self) -> f32 {
        let total = self.total.load(Ordering::Relaxed).max(1);
        (self.done.load(Ordering::Relaxed) as f64 / total as f64) as f32
    }
}

impl Found {
    /// The offer to put the file where it belongs; whether it was taken.
    pub fn offer(&self, app: &mut App, ui: &mut Ui) -> bool {
        let Some(home) = &self.weights.home else {
            ui.label("Weft does not know which folder it belongs in.");
            return false;
        };
        let target = home.join(self.path.file_name().unwrap_or_default());
        let there = target.exists();
        let text = if there { "is there already" } else { "is where it belongs" };
        ui.label(format!("{} {text}", target.display()));
        let mut taken = false;
        ui.add_enabled_ui(!there, |ui| {
            ui.horizontal(|ui| {
                for (how, text) in [(How::Copy, "Copy it there"), (How::Move, "Move it there")] {
                    if ui.button(text).clicked() {
                        app.transfer(self.path.clone(), target.clone(), how);
                        taken = true;
                    }
                }
            });
        });
        taken
    }
}

/// Brings a file to a place where none is, never over another, and never half; gives that place.
pub fn put(from: &Path, to: &Path, how: How, progress: &Progress) -> Result<PathBuf> {
    let put = || {
        let folder = to.parent().context("a file has a folder")?;
        fs::create_dir_all(folder)?;
        ensure!(!to.exists(), "it is there already");
        // A second name costs nothing where both places are on one disk.
        if how == How::Copy || fs::hard_link(from, to).is_err() {
            copy(from, to, progress)?;
        }
        if how == How::Move {
            fs::remove_file(from).context("it is copied, but cannot be removed where it was")?;
        }
        Ok(to.to_owned())
    };
    put().with_context(|| to.display().to_string())
}

fn copy(from: &Path, to: &Path, progress: &Progress) -> Result<()> {
    let part = to.with_added_extension(format!("{}.part", std::process::id()));
    let copied = pieces(from, &part, progress).and_then(|()| claim(&part, to));
    copied.inspect_err(|_| drop(fs::remove_file(&part)))
}

fn pieces(from: &Path, to: &Path, progress: &Progress) -> Result<()> {
    let (mut source, mut target) = (File::open(from)?, File::create(to)?);
    progress.total.store(source.metadata()?.len(), Ordering::Relaxed);
    let mut piece = vec![0; PIECE];
    loop {
        if progress.stop.load(Ordering::Relaxed) {
            bail!("stopped; nothing was left there");
        }
        match source.read(&mut piece)? {
            0 => return Ok(target.sync_all()?),
            length => target.write_all(&piece[..length])?,
        }
        progress.done.fetch_add(PIECE as u64, Ordering::Relaxed);
    }
}

/// Gives a finished file its name, unless another has it.
pub fn claim(part: &Path, to: &Path) -> Result<()> {
    match fs::hard_link(part, to) {
        Ok(()) => Ok(fs::remove_file(part)?),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("it is there already"),
        // Not every disk knows second names.
        Err(_) if to.exists() => bail!("it is there already"),
        Err(_) => Ok(fs::rename(part, to)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_copied_or_moved_and_never_over_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let content = vec![7; PIECE * 2 + 5];
        fs::write(path("a"), &content).unwrap();
        let progress = Progress::default();
        put(&path("a"), &path("new/b"), How::Copy, &progress).unwrap();
        assert!(progress.part() >= 1.0);
        assert!(path("a").exists() && fs::read(path("new/b")).unwrap() == content);
        put(&path("a"), &path("c"), How::Move, &Progress::default()).unwrap();
        assert!(!path("a").exists() && fs::read(path("c")).unwrap() == content);
        fs::write(path("d"), "d").unwrap();
        for how in [How::Copy, How::Move] {
            let error = put(&path("d"), &path("c"), how, &Progress::default()).unwrap_err();
            assert!(format!("{error:#}").contains("there already"), "{error:#}");
        }
        assert_eq!(fs::read(path("c")).unwrap(), content);
    }

    #[test]
    fn a_copy_that_is_stopped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "a").unwrap();
        let progress = Progress { stop: true.into(), ..Progress::default() };
        put(&folder.path().join("a"), &folder.path().join("b"), How::Copy, &progress).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
