//! The window on the disk: every open graph and every run, so that nothing is lost however it ends.
//!
//! At the end of each frame the journal is shown the window; what differs from what it has, a thread writes.
//! The next start takes over the folders of windows that are gone.

mod store;

use crate::{
    app::App,
    doc::{File, History, Id},
    files::set_aside,
    runs::{self, Number, Run, Runs},
    tabs::{Stamp, Tab},
};
use anyhow::{Context as _, Result};
use graph::Json;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use store::{Folder, Store};

/// What the disk has of the window, or will have soon.
#[derive(Default)]
pub struct Journal {
    /// `None` if there is no place to write to.
    store: Option<Store>,
    window: Window,
    tabs: HashMap<runs::Tab, Seen>,
    runs: HashMap<Number, runs::Mark>,
    /// What was told last of why nothing can be written.
    told: Option<String>,
}

/// The order of things, in `window.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Window {
    tabs: Vec<runs::Tab>,
    active: usize,
    /// Runs that wait, the next one first.
    waiting: Vec<Number>,
}

/// An open graph, in a file of its own.
#[derive(Serialize, Deserialize)]
struct Kept {
    number: runs::Tab,
    title: String,
    /// Not every path is Unicode, which JSON's texts are.
    path: Option<OsString>,
    stamp: Option<Stamp>,
    modified: bool,
    /// The nodes through which the open subgraph was entered.
    level: Vec<Id>,
    workflow: Json,
}

/// What a folder holds; the tabs with their files.
#[derive(Default)]
struct Content {
    window: Window,
    tabs: Vec<(PathBuf, Kept)>,
    runs: Vec<Run>,
}

/// What a tab's file depends on.
#[derive(PartialEq)]
struct Seen {
    revision: u64,
    title: String,
    path: Option<PathBuf>,
    stamp: Option<Stamp>,
    modified: bool,
}

const WINDOW: &str = "window.json";

fn tab_file(number: runs::Tab) -> String {
    format!("tab-{number}.json")
}

fn run_file(number: Number) -> String {
    format!("run-{number}.json")
}

impl Journal {
    /// Takes up how the window is now.
    pub fn note(&mut self, tabs: &[Tab], active: usize, runs: &Runs) {
        let Some(store) = &self.store else { return };
        for tab in tabs {
            let seen = Seen::of(tab);
            if self.tabs.get(&tab.number) != Some(&seen) {
                store.put(tab_file(tab.number), kept(tab));
                self.tabs.insert(tab.number, seen);
            }
        }
        let window = Window {
            tabs: tabs.iter().map(|tab| tab.number).collect(),
            active,
            waiting: runs.queued().map(|run| run.number).collect(),
        };
        let closed = self.tabs.extract_if(|number, _| !window.tabs.contains(number));
        closed.for_each(|(number, _)| store.remove(tab_file(number)));
        note_runs(store, &mut self.runs, runs);
        if window != self.window {
            self.window = window.clone();
            store.put(WINDOW.into(), Box::new(move || json(&window)));
        }
    }

    /// Waits until all is on the disk; an error if it cannot be put there.
    pub fn flush(&self) -> Result<()> {
        self.store.as_ref().context("there is no journal")?.flush()
    }

    /// Why nothing can be written, once for each reason.
    fn news(&mut self) -> Option<String> {
        let trouble = self.store.as_ref().and_then(Store::trouble);
        let new = trouble.clone().filter(|_| trouble != self.told);
        self.told = trouble;
        new
    }
}

fn note_runs(store: &Store, noted: &mut HashMap<Number, runs::Mark>, runs: &Runs) {
    for run in runs.all() {
        if noted.get(&run.number) != Some(&run.mark()) {
            noted.insert(run.number, run.mark());
            let run = run.clone();
            store.put(run_file(run.number), Box::new(move || json(&run)));
        }
    }
    if noted.len() > runs.all().len() {
        let forgotten = noted.extract_if(|number, _| runs.get(*number).is_none());
        forgotten.for_each(|(number, _)| store.remove(run_file(number)));
    }
}

impl Seen {
    fn of(tab: &Tab) -> Self {
        Self {
            revision: tab.history.revision(),
            title: tab.title.clone(),
            path: tab.path.clone(),
            stamp: tab.seen,
            modified: tab.modified(),
        }
    }
}

/// A tab's file; copying the graph is cheap, writing it out is not and is the thread's work.
fn kept(tab: &Tab) -> store::Content {
    let file = tab.history.file().clone();
    let (number, title, stamp, modified) =
        (tab.number, tab.title.clone(), tab.seen, tab.modified());
    let path = tab.path.clone().map(PathBuf::into_os_string);
    Box::new(move || {
        let (title, path) = (title.clone(), path.clone());
        let level = file.path().map(|(id, _)| id).collect();
        json(&Kept { number, title, path, stamp, modified, level, workflow: file.to_json() })
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it is plain data with texts as keys")
}

impl App {
    /// Has the journal write what has changed.
    pub(crate) fn keep(&mut self) {
        self.journal.note(&self.tabs, self.active, &self.runs);
        if let Some(why) = self.journal.news() {
            let error = anyhow::anyhow!("Unsaved changes cannot be kept: {why}");
            self.toasts.error(&error);
        }
    }

    /// Starts the journal and brings back what windows that are gone have left.
    pub(crate) fn restore(&mut self) {
        let root = self.setup.state_dir.join("journal");
        let started = store::take(&root).and_then(|(own, left)| self.adopt(own, left));
        let started = started.with_context(|| format!("the journal in {}", root.display()));
        self.tell_error(started);
        if !self.tabs.is_empty() {
            self.toasts.remind(format!("Back from last time: {}", names(&self.tabs)));
        }
    }

    fn adopt(&mut self, own: Folder, left: Vec<Folder>) -> Result<()> {
        self.journal.window = self.take_over(&own, true)?;
        for tab in &self.tabs {
            self.journal.tabs.insert(tab.number, Seen::of(tab));
        }
        for folder in &left {
            self.take_over(folder, false)?;
        }
        self.journal.store = Some(Store::start(own)?);
        self.keep();
        if left.is_empty() {
            return Ok(());
        }
        // Only what is in our own folder may go from theirs.
        self.journal.flush()?;
        left.into_iter().try_for_each(Folder::remove)
    }

    /// Opens what a folder holds; how it says that things were arranged. What comes from the own folder is on
    /// the disk already.
    fn take_over(&mut self, folder: &Folder, own: bool) -> Result<Window> {
        let Content { window, tabs, runs } = self.content(folder)?;
        let mut numbers = HashMap::new();
        for (path, kept) in tabs {
            let old = kept.number;
            let opened = self.reopen(kept);
            numbers.extend(self.sound(&path, opened).map(|new| (old, new)));
        }
        let shown = window.tabs.get(window.active).and_then(|old| numbers.get(old));
        let shown = self.tabs.iter().position(|tab| Some(&tab.number) == shown);
        self.active = shown.unwrap_or(self.active);
        if own {
            // A number of a tab that is closed may be given again, so such a run is written anew.
            let same = runs.iter().filter(|run| numbers.get(&run.tab) == Some(&run.tab));
            self.journal.runs = same.map(|run| (run.number, run.mark())).collect();
        }
        let tab = |old| numbers.get(&old).copied().unwrap_or(0);
        self.runs.take_back(runs, &window.waiting, tab);
        Ok(window)
    }

    /// What can be read of a folder, the tabs in their order.
    fn content(&mut self, folder: &Folder) -> Result<Content> {
        let mut content = Content::default();
        for path in folder.files()? {
            match path.file_name().and_then(|name| name.to_str()).unwrap_or_default() {
                WINDOW => content.window = self.read(&path).unwrap_or_default(),
                name if name.starts_with("tab-") => {
                    content.tabs.extend(self.read::<Kept>(&path).map(|kept| (path, kept)));
                }
                name if name.starts_with("run-") => content.runs.extend(self.read::<Run>(&path)),
                _ => {}
            }
        }
        let order = content.window.tabs.clone();
        let place = |number| order.iter().position(|tab| *tab == number).unwrap_or(usize::MAX);
        content.tabs.sort_by_key(|(_, kept)| (place(kept.number), kept.number));
        Ok(content)
    }

    fn reopen(&mut self, kept: Kept) -> Result<runs::Tab> {
        let mut history = History::reopened(File::from_json(&kept.workflow)?, kept.modified);
        for id in kept.level {
            history.enter(id);
        }
        let free = self.tabs.iter().all(|tab| tab.number != kept.number);
        let tab = self.open_history(&kept.title, history, free.then_some(kept.number));
        tab.path = kept.path.map(PathBuf::from);
        tab.seen = kept.stamp;
        Ok(tab.number)
    }

    fn read<T: DeserializeOwned>(&mut self, path: &Path) -> Option<T> {
        let read = fs::read(path).map_err(anyhow::Error::from);
        let read = read.and_then(|text| Ok(serde_json::from_slice(&text)?));
        self.sound(path, read)
    }

    /// What was read; a file that is damaged is set aside and told of.
    fn sound<T>(&mut self, path: &Path, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.toasts.error(&set_aside(path, &self.setup.state_dir, error))).ok()
    }
}

/// `a, b (not saved)`.
fn names(tabs: &[Tab]) -> String {
    let name = |tab: &Tab| {
        let mark = if tab.modified() { " (not saved)" } else { "" };
        format!("{}{mark}", tab.title)
    };
    tabs.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
