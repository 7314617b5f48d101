//! The open files.

use crate::{canvas::Canvas, doc::History, runs};
use graph::Json;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// An open file: a graph, how it is looked at, and where it is kept.
pub struct Tab {
    pub number: runs::Tab,
    /// What the tab says: the file's name without its ending.
    pub title: String,
    pub path: Option<PathBuf>,
    /// The file as it was when it was last read or written by us.
    pub seen: Option<Stamp>,
    pub history: History,
    pub canvas: Canvas,
    /// The revision that ran last by itself.
    pub ran: u64,
    /// Whether it closes as soon as it is in its file.
    pub closing: bool,
}

/// What tells whether someone else wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    time: Option<SystemTime>,
    size: u64,
}

impl Stamp {
    /// `None` if the file is not there.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { time: meta.modified().ok(), size: meta.len() })
    }
}

impl Tab {
    /// A graph that is in no file yet.
    pub fn new(number: runs::Tab, title: &str, history: History) -> Self {
        let now = history.revision();
        Self {
            number,
            title: title.to_owned(),
            path: None,
            seen: None,
            history,
            canvas: Canvas::default(),
            ran: now,
            closing: false,
        }
    }

    /// Whether there is something that closing would lose.
    pub fn modified(&self) -> bool {
        self.history.is_modified()
    }

    /// The whole file in UI form.
    pub fn json(&self) -> Json {
        self.history.file().to_json()
    }

    /// The file now holds what the tab shows.
    pub fn in_file(&mut self, path: &Path) {
        self.title = stem(path);
        self.seen = Stamp::of(path);
        self.path = Some(path.to_owned());
        self.history.mark_saved();
    }

    /// Whether the file is no longer as we left it.
    pub fn changed_on_disk(&self, path: &Path) -> bool {
        let now = Stamp::of(path);
        now.is_some() && (self.path.as_deref() != Some(path) || now != self.seen)
    }
}

/// A file's name without folder and ending.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
