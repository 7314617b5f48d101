//! A folder of small files that belongs to one window, kept by a thread as it is told.
//!
//! The owner holds a lock on it, which the system releases however the process ends: so the folders of
//! windows that are gone can be told from those of windows that are open.

use crate::files::write_whole;
use anyhow::{Context as _, Result, anyhow};
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// Makes a file's content, on the thread that writes it.
pub type Content = Box<dyn Fn() -> Vec<u8> + Send>;

/// The thread that writes into the own folder, which stays when the window goes.
pub struct Store {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A folder that nobody else has as long as this is there.
pub struct Folder {
    path: PathBuf,
    lock: File,
}

/// So long several changes may gather before they are written: nobody types faster than a disk likes.
const GATHER: Duration = Duration::from_millis(200);
/// After a failure it is tried again this often.
const RETRY: Duration = Duration::from_secs(3);
/// Within each folder, and beside the folders for whoever makes or takes one.
const LOCK: &str = "lock";

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is to be written, or removed where there is no content.
    due: BTreeMap<String, Option<Content>>,
    writing: bool,
    /// Somebody waits: no gathering.
    hurry: bool,
    closed: bool,
    /// Counts the times that everything due was tried.
    rounds: u64,
    /// Why the last round failed.
    trouble: Option<String>,
}

/// A folder below `root` for a window that begins, and others that windows which are gone have left. Where
/// there are any, the first is one of them: what it holds need not be written anew.
pub fn take(root: &Path) -> Result<(Folder, Vec<Folder>)> {
    fs::create_dir_all(root)?;
    // Without it a new folder could be taken for a left one before it is locked.
    let gate = File::create(root.join(LOCK))?;
    // Not every file system has locks; `left` says what happens then.
    let _ = gate.lock();
    let mut left = left(root)?;
    let own = left.pop().map_or_else(|| Folder::new(root), Ok)?;
    Ok((own, left))
}

impl Store {
    /// Starts to write into a folder.
    pub fn start(folder: Folder) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = shared.clone();
        let thread = std::thread::Builder::new().name("journal".into());
        let thread = thread.spawn(move || worker.work(&folder.path, folder.lock))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has a file written soon; what was due under that name no longer is.
    pub fn put(&self, name: String, content: Content) {
        self.change(name, Some(content));
    }

    pub fn remove(&self, name: String) {
        self.change(name, None);
    }

    fn change(&self, name: String, content: Option<Content>) {
        self.shared.lock().due.insert(name, content);
        self.shared.changed.notify_all();
    }

    /// Waits until all is on the disk; an error if it cannot be put there.
    pub fn flush(&self) -> Result<()> {
        let mut state = self.shared.lock();
        if state.writing || !state.due.is_empty() {
            let last = state.rounds + 1 + u64::from(state.writing && !state.due.is_empty());
            state.hurry = true;
            self.shared.changed.notify_all();
            let waiting = |state: &mut State| state.rounds < last;
            let waited = self.shared.changed.wait_while(state, waiting);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.trouble.as_ref().map_or(Ok(()), |why| Err(anyhow!("{why}")))
    }

    /// Why nothing can be written at the moment, if so.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().trouble.clone()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        (state.closed, state.hurry) = (true, true);
        drop(state);
        self.shared.changed.notify_all();
        // A panic of the thread has been told on standard error.
        self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock is given back when the last file is written.
    fn work(&self, folder: &Path, _lock: File) {
        while let Some(due) = self.next() {
            let mut trouble = None;
            let mut failed = BTreeMap::new();
            for (name, content) in due {
                if let Err(error) = write(folder, &name, content.as_ref()) {
                    trouble = Some(format!("{error:#}"));
                    failed.insert(name, content);
                }
            }
            self.done(failed, trouble);
        }
    }

    /// What is to be written now; `None` when the window is gone.
    fn next(&self) -> Option<BTreeMap<String, Option<Content>>> {
        let nothing = |state: &mut State| state.due.is_empty() && !state.closed;
        let waited = self.changed.wait_while(self.lock(), nothing);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        let pause = if state.trouble.is_some() { RETRY } else { GATHER };
        let waited = self.changed.wait_timeout_while(state, pause, |state| !state.hurry);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.due.is_empty() && state.closed {
            return None;
        }
        (state.writing, state.hurry) = (true, state.closed);
        Some(std::mem::take(&mut state.due))
    }

    /// What failed is due again, unless there is something newer.
    fn done(&self, failed: BTreeMap<String, Option<Content>>, trouble: Option<String>) {
        let mut state = self.lock();
        state.writing = false;
        state.rounds += 1;
        state.trouble = trouble;
        if !state.closed {
            for (name, content) in failed {
                state.due.entry(name).or_insert(content);
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

fn write(folder: &Path, name: &str, content: Option<&Content>) -> Result<()> {
    let path = folder.join(name);
    let done = match content {
        // Somebody may have tidied up.
        Some(content) => fs::create_dir_all(folder)
            .map_err(anyhow::Error::from)
            .and_then(|()| write_whole(&path, &content())),
        None if path.exists() => fs::remove_file(&path).map_err(anyhow::Error::from),
        None => Ok(()),
    };
    done.with_context(|| path.display().to_string())
}

/// The folders that nobody holds.
fn left(root: &Path) -> Result<Vec<Folder>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        // What is no folder of ours, or not for us to write, is none of our business.
        let Ok(lock) = File::create(path.join(LOCK)) else { continue };
        // Where there are no locks, taking what belongs to another window doubles it and loses nothing:
        // that window writes on into a new folder of the same name.
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            found.push(Folder { path, lock });
        }
    }
    Ok(found)
}

impl Folder {
    fn new(root: &Path) -> Result<Self> {
        let path = root.join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&path)?;
        let lock = File::create(path.join(LOCK))?;
        let _ = lock.lock();
        Ok(Self { path, lock })
    }

    /// Its files; those that were only half written are removed.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("json") => files.push(path),
                Some("part") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        files.sort();
        Ok(files)
    }

    /// Its content is in good hands now.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.path).with_context(|| self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn text(text: &str) -> Content {
        let text = text.to_owned();
        Box::new(move || text.clone().into_bytes())
    }

    fn contents(folder: &Folder) -> Vec<String> {
        let files = folder.files().unwrap();
        files.into_iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    /// A store in a folder of its own, which is given too.
    fn start(root: &Path) -> (Store, PathBuf) {
        let (own, _) = take(root).unwrap();
        let path = own.path.clone();
        (Store::start(own).unwrap(), path)
    }

    #[test]
    fn a_change_is_on_the_disk_within_a_second_unasked() {
        let root = tempfile::tempdir().unwrap();
        let (store, folder) = start(root.path());
        let began = Instant::now();
        store.put("a.json".into(), text("a"));
        while !folder.join("a.json").exists() {
            assert!(began.elapsed() < Duration::from_secs(1), "not written in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn the_folder_of_a_window_that_is_gone_is_taken_and_that_of_an_open_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (first, folder) = start(root.path());
        first.put("a.json".into(), text("a"));
        first.put("b.json".into(), text("old"));
        first.put("b.json".into(), text("new"));
        first.put("c.json".into(), text("c"));
        first.remove("c.json".into());
        first.flush().unwrap();
        fs::write(folder.join("d.json.7.part"), "half").unwrap();
        let (second, other) = start(root.path());
        assert_ne!(folder, other, "both are open");
        drop((first, second));
        let (own, mut left) = take(root.path()).unwrap();
        assert_eq!(left.len(), 1);
        left.push(own);
        left.sort_by_key(|one| one.path != folder);
        assert_eq!(contents(&left[0]), ["a", "new"]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "and the lock");
        left.remove(0).remove().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn what_cannot_be_written_is_told_and_written_when_it_can_be() {
        let root = tempfile::tempdir().unwrap();
        let (store, folder) = start(root.path());
        // A folder of that name is in the way.
        let way = folder.join("a.json");
        fs::create_dir(&way).unwrap();
        store.put("a.json".into(), text("a"));
        let error = store.flush().unwrap_err().to_string();
        assert!(error.contains("a.json"), "{error}");
        fs::remove_dir(&way).unwrap();
        store.flush().unwrap();
        assert!(store.trouble().is_none());
        assert_eq!(fs::read_to_string(&way).unwrap(), "a");
    }
}
