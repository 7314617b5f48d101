//! Files in and out: dialogs, drops, saving without losing anyone's work.

use crate::{
    app::App,
    dialog::{Answer, Dialog, Question, Want, heading},
    doc::Id,
    drops::Target,
    open,
    pictures::Picture,
    runs,
    tabs::{Tab, stem},
    theme::GAP,
    transfer::claim,
};
use anyhow::{Context as _, Result};
use egui::{Context, RichText, Ui};
use rfd::FileDialog;
use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// What a file of weights is.
pub struct Weights {
    /// In words, a line each.
    pub about: String,
    /// The folder it belongs in, if it is of a known kind.
    pub home: Option<PathBuf>,
}

/// A dropped file of weights.
pub struct Found {
    pub path: PathBuf,
    pub weights: Weights,
}

/// What the file dialogs, each on a thread of its own, have said.
pub struct Answers {
    ctx: Context,
    /// Asks a person for a path, and waits; tests put another one in its place.
    pub(crate) pick: fn(&Want, FileDialog) -> Option<PathBuf>,
    sender: mpsc::Sender<Said>,
    receiver: mpsc::Receiver<Said>,
}

pub(crate) enum Said {
    Path(Want, PathBuf),
    /// There is no file dialog here.
    NoDialog(Want),
    /// A file was copied to where it was wanted, or not.
    Copied(Result<PathBuf>),
}

/// Endings of the pictures that can be read.
const PICTURES: &[&str] = &["png", "jpg", "jpeg", "webp", "bmp", "gif"];

/// A dialog that is closed sooner than this was never there.
const NOBODY: Duration = Duration::from_millis(250);

impl Answers {
    pub fn new(ctx: &Context) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { ctx: ctx.clone(), pick, sender, receiver }
    }

    /// Does something slow on a thread of its own.
    pub(crate) fn work(&self, work: impl FnOnce() -> Option<Said> + Send + 'static) {
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        std::thread::spawn(move || {
            if let Some(said) = work() {
                // The window may be gone.
                let _ = sender.send(said);
                ctx.request_repaint();
            }
        });
    }

    /// Asks where to, and copies a file there.
    pub(crate) fn save_copy(&self, from: PathBuf, name: String) {
        let pick = self.pick;
        self.work(move || {
            let dialog = FileDialog::new().set_title("Save the picture").set_file_name(name);
            let to = pick(&Want::Save, dialog)?;
            let bytes = std::fs::read(&from).with_context(|| from.display().to_string());
            let saved = bytes.and_then(|bytes| write_whole(&to, &bytes)).map(|()| to);
            Some(Said::Copied(saved))
        });
    }

    fn ask(&self, want: Want, dialog: FileDialog) {
        let pick = self.pick;
        self.work(move || {
            let began = Instant::now();
            match pick(&want, dialog) {
                Some(path) => Some(Said::Path(want, path)),
                None if began.elapsed() < NOBODY => Some(Said::NoDialog(want)),
                None => None,
            }
        });
    }
}

fn pick(want: &Want, dialog: FileDialog) -> Option<PathBuf> {
    match want {
        Want::Open | Want::Picture(_) => dialog.pick_file(),
        Want::Save | Want::Export | Want::Share => dialog.save_file(),
    }
}

impl App {
    pub(crate) fn ask_open(&mut self) {
        let dialog = FileDialog::new()
            .set_title("Open a graph")
            .add_filter("Graphs and pictures that carry one", &["json", "png", "webp"]);
        self.answers.ask(Want::Open, dialog);
    }

    /// Asks for a picture that a node is to load.
    pub(crate) fn ask_picture(&self, node: Id, input: String) {
        let tab = self.tab();
        let level = tab.history.file().prefix();
        let target = Target { tab: tab.number, level, node, input };
        let dialog = FileDialog::new().set_title("Add a picture").add_filter("Pictures", PICTURES);
        self.answers.ask(Want::Picture(target), dialog);
    }

    pub(crate) fn ask_save(&mut self) {
        self.tab_mut().closing = false;
        let tab = self.tab();
        let dialog =
            beside(tab).set_title("Save the graph").set_file_name(format!("{}.json", tab.title));
        self.answers.ask(Want::Save, dialog);
    }

    pub(crate) fn ask_export(&mut self) {
        let tab = self.tab();
        let dialog = beside(tab)
            .set_title("Export the API form")
            .set_file_name(format!("{}.api.json", tab.title));
        self.answers.ask(Want::Export, dialog);
    }

    pub(crate) fn ask_share(&mut self) {
        let tab = self.tab();
        let dialog = FileDialog::new()
            .set_title("Share the graph as a picture that carries it")
            .add_filter("Picture", &["png"])
            .set_file_name(format!("{}.png", tab.title));
        self.answers.ask(Want::Share, dialog);
    }

    /// Takes up what the threads have said.
    pub(crate) fn take_answers(&mut self) {
        while let Ok(said) = self.answers.receiver.try_recv() {
            match said {
                Said::Path(want, path) => self.picked(want, path),
                Said::NoDialog(want) => self.ask_path(want),
                Said::Copied(Ok(path)) => {
                    self.catalog.refresh();
                    self.toasts.tell(format!("{} is there now", path.display()));
                }
                Said::Copied(Err(error)) => self.toasts.error(&error),
            }
        }
    }

    /// A path was chosen for something.
    pub(crate) fn picked(&mut self, want: Want, path: PathBuf) {
        let number = self.tab().number;
        match want {
            Want::Open => self.open_path(&path),
            Want::Save => self.save_to(number, path),
            Want::Export => {
                let done = self.export(&path);
                self.tell_error(done);
            }
            Want::Share => self.share(&path),
            Want::Picture(target) => {
                let done = self.upload(&target, &path);
                self.tell_error(done.with_context(|| path.display().to_string()));
            }
        }
    }

    pub(crate) fn save(&mut self) {
        match self.tab().path.clone() {
            Some(path) => self.save_to(self.tab().number, path),
            None => self.ask_save(),
        }
    }

    pub(crate) fn save_and_close(&mut self, number: runs::Tab) {
        self.active = self.tabs.iter().position(|t| t.number == number).unwrap_or(self.active);
        self.save();
        if self.tab().number == number {
            // Closes when the file is written, which may have to wait for an answer.
            self.tab_mut().closing = true;
        }
        self.drop_closing();
    }

    /// Closes the tab that waits for its file to be written, if it is.
    fn drop_closing(&mut self) {
        let done = self.tabs.iter().find(|tab| tab.closing && !tab.modified());
        if let Some(number) = done.map(|tab| tab.number) {
            self.drop_tab(number);
        }
    }

    /// Writes the file, unless that would lose what someone else wrote.
    fn save_to(&mut self, number: runs::Tab, path: PathBuf) {
        let path = if path.extension().is_none() { path.with_extension("json") } else { path };
        let Some(tab) = self.tabs.iter().find(|tab| tab.number == number) else { return };
        if !tab.changed_on_disk(&path) {
            let written = self.write(number, &path);
            return self.tell_error(written);
        }
        let ours = tab.path.as_deref() == Some(&path);
        let what = if ours { "has changed since it was opened" } else { "is there already" };
        self.show(Dialog::Ask(Question {
            title: format!("{} {what}", stem(&path)),
            text: format!("Saving writes over {}.", path.display()),
            answers: vec![
                ("Write over it", Answer::Write(number, path)),
                ("Save elsewhere", Answer::SaveElsewhere),
                ("Cancel", Answer::Nothing),
            ],
        }));
    }

    pub(crate) fn write(&mut self, number: runs::Tab, path: &Path) -> Result<()> {
        let Some(tab) = self.tabs.iter_mut().find(|tab| tab.number == number) else {
            return Ok(());
        };
        let text = serde_json::to_vec_pretty(&tab.json())?;
        write_whole(path, &text).with_context(|| path.display().to_string())?;
        self.toasts.tell(format!("Saved {}", path.display()));
        tab.in_file(path);
        self.note_recent(path);
        self.drop_closing();
        Ok(())
    }

    fn export(&mut self, path: &Path) -> Result<()> {
        let prompt = self.tab().history.file().to_api(&self.catalog.contract)?;
        write_whole(path, &serde_json::to_vec_pretty(&prompt)?)
            .with_context(|| path.display().to_string())?;
        self.toasts.tell(format!("Exported {}", path.display()));
        Ok(())
    }

    /// Opens whatever the file is.
    pub(crate) fn open_path(&mut self, path: &Path) {
        let opened = open::path(self, path).with_context(|| path.display().to_string());
        self.tell_error(opened);
    }
}

/// A dialog that begins where the tab's file is.
fn beside(tab: &Tab) -> FileDialog {
    let dialog = FileDialog::new().add_filter("Graph", &["json"]);
    match tab.path.as_deref().and_then(Path::parent) {
        Some(folder) => dialog.set_directory(folder),
        None => dialog,
    }
}

impl Found {
    /// What the file is, and the offer to put it where it belongs; whether that is settled.
    pub fn ui(&self, app: &mut App, ui: &mut Ui) -> bool {
        heading(ui, &self.path.file_name().unwrap_or_default().to_string_lossy());
        ui.label(RichText::new(&self.weights.about).monospace());
        ui.add_space(GAP);
        self.offer(app, ui)
    }
}

/// Writes a file where none is.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_added_extension("new");
    write_whole(&part, bytes)?;
    claim(&part, path).inspect_err(|_| drop(std::fs::remove_file(&part)))
}

/// Writes beside the file, then renames: there is never half a file, not even when the power fails.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    // What a link leads to is written, not the link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beside = path.with_added_extension(format!("{}.part", std::process::id()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
    Ok(())
}

/// So many damaged files are kept for whoever wants to look at them.
const SET_ASIDE: usize = 20;

/// Moves a file of ours that cannot be read out of the way; what to tell of it.
pub fn set_aside(path: &Path, state_dir: &Path, why: anyhow::Error) -> anyhow::Error {
    let folder = state_dir.join("damaged");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let kept = folder.join(format!("{seconds}-{}-{name}", uuid::Uuid::new_v4()));
    let moved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::rename(path, &kept));
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    // The oldest are first.
    all.sort();
    let surplus = all.len().saturating_sub(SET_ASIDE);
    all.iter().take(surplus).for_each(|old| drop(std::fs::remove_file(old)));
    let place = moved.map_or_else(|_| path.to_owned(), |()| kept);
    why.context(format!("{name} is damaged and was left out; it is kept as {}", place.display()))
}

/// The name that a picture's copy is offered.
pub fn file_name(picture: &Picture) -> String {
    picture.filename.clone()
}
