//! Undo and redo: snapshots of the file, which share what they have in common.

use super::{Doc, File};

/// More steps than anybody undoes.
const MOST_STEPS: usize = 300;

/// A file and how it came to be.
#[derive(Debug, Default)]
pub struct History {
    now: File,
    past: Vec<Step>,
    future: Vec<Step>,
    /// The key of the last step, while steps with that key go into it.
    merging: Option<u64>,
    revision: u64,
    saved: File,
}

/// What was done, and the file on the other side of it.
#[derive(Debug)]
struct Step {
    what: &'static str,
    file: File,
}

impl History {
    pub fn new(doc: Doc) -> Self {
        Self::of(File::new(doc))
    }

    /// The history of a file that was just read, or made: it counts as saved.
    pub fn of(file: File) -> Self {
        Self { now: file.clone(), saved: file, ..Self::default() }
    }

    pub fn file(&self) -> &File {
        &self.now
    }

    /// The level that is open.
    pub fn doc(&self) -> &Doc {
        self.now.doc()
    }

    /// Changes the open level, as one step; none if that changes nothing.
    pub fn edit<R>(&mut self, what: &'static str, change: impl FnOnce(&mut Doc) -> R) -> R {
        self.edit_file(what, |file| change(file.doc_mut()))
    }

    /// As [`History::edit`], but goes into the last step if that had the same key and nothing came between:
    /// typing, dragging.
    pub fn edit_merged<R>(
        &mut self,
        what: &'static str,
        key: u64,
        change: impl FnOnce(&mut Doc) -> R,
    ) -> R {
        self.edit_file_merged(what, key, |file| change(file.doc_mut()))
    }

    /// Ends the merging of steps: a key is up, a gesture over.
    pub fn settle(&mut self) {
        self.merging = None;
    }

    /// Changes more than the open level, as one step.
    pub fn edit_file<R>(&mut self, what: &'static str, change: impl FnOnce(&mut File) -> R) -> R {
        let result = self.step(what, false, change);
        self.merging = None;
        result
    }

    /// As [`History::edit_merged`], of more than the open level.
    pub fn edit_file_merged<R>(
        &mut self,
        what: &'static str,
        key: u64,
        change: impl FnOnce(&mut File) -> R,
    ) -> R {
        let merges = self.merging == Some(key);
        let result = self.step(what, merges, change);
        self.merging = Some(key);
        result
    }

    fn step<R>(
        &mut self,
        what: &'static str,
        merges: bool,
        change: impl FnOnce(&mut File) -> R,
    ) -> R {
        let before = self.now.clone();
        let result = change(&mut self.now);
        if self.now == before {
            return result;
        }
        self.now.follow(&before);
        self.revision += 1;
        self.future.clear();
        if !merges {
            self.past.push(Step { what, file: before });
            let surplus = self.past.len().saturating_sub(MOST_STEPS);
            self.past.drain(..surplus);
        }
        result
    }

    /// Changes the file without a step, as seeds change after each run: undoing what came before undoes it
    /// too.
    pub fn adjust<R>(&mut self, change: impl FnOnce(&mut File) -> R) -> R {
        self.revision += 1;
        self.merging = None;
        change(&mut self.now)
    }

    /// Undoes the last step and says what it was.
    pub fn undo(&mut self) -> Option<&'static str> {
        let Step { what, file } = self.past.pop()?;
        let mut file = std::mem::replace(&mut self.now, file);
        // Redoing shows where it was done, not where somebody was when it was undone.
        file.open_as(&self.now);
        self.future.push(Step { what, file });
        self.turned();
        Some(what)
    }

    /// Does again what was undone last, and says what it was.
    pub fn redo(&mut self) -> Option<&'static str> {
        let Step { what, file } = self.future.pop()?;
        let file = std::mem::replace(&mut self.now, file);
        self.past.push(Step { what, file });
        self.turned();
        Some(what)
    }

    fn turned(&mut self) {
        self.merging = None;
        self.revision += 1;
    }

    /// What [`History::undo`] would undo.
    pub fn undoes(&self) -> Option<&'static str> {
        self.past.last().map(|step| step.what)
    }

    /// What [`History::redo`] would do.
    pub fn redoes(&self) -> Option<&'static str> {
        self.future.last().map(|step| step.what)
    }

    /// Another number after each change, also of the level that is open.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Opens the subgraph that the node is an instance of; whether it is one.
    pub fn enter(&mut self, id: super::Id) -> bool {
        self.adjust(|file| file.enter(id))
    }

    /// Opens the level above; whether there is one.
    pub fn leave(&mut self) -> bool {
        self.adjust(File::leave)
    }

    /// Takes the file as it is now for what is on the disk.
    pub fn mark_saved(&mut self) {
        self.saved = self.now.clone();
    }

    /// Whether the file differs from what is on the disk.
    pub fn is_modified(&self) -> bool {
        !self.now.has_graphs_of(&self.saved)
    }
}
