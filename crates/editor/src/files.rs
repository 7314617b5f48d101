//! Files in and out: dialogs, drops, saving without losing anyone's work.

use crate::{
    app::App,
    dialog::{Answer, Dialog, Question, Want, heading},
    open,
    pictures::Picture,
    runs,
    tabs::{Tab, stem},
    theme::GAP,
};
use anyhow::{Context as _, Result, ensure};
use egui::{Context, RichText, Ui};
use rfd::FileDialog;
use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
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
    pub(crate) pick: fn(Want, FileDialog) -> Option<PathBuf>,
    sender: mpsc::Sender<Said>,
    receiver: mpsc::Receiver<Said>,
}

enum Said {
    Path(Want, PathBuf),
    /// There is no file dialog here.
    NoDialog(Want),
    /// A file was copied to where it was wanted, or not.
    Copied(Result<PathBuf>),
}

/// A dialog that is closed sooner than this was never there.
const NOBODY: Duration = Duration::from_millis(250);

impl Answers {
    pub fn new(ctx: &Context) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { ctx: ctx.clone(), pick, sender, receiver }
    }

    /// Does something slow on a thread of its own.
    fn work(&self, work: impl FnOnce() -> Option<Said> + Send + 'static) {
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
            let to = pick(Want::Save, dialog)?;
            let bytes = std::fs::read(&from).with_context(|| from.display().to_string());
            let saved = bytes.and_then(|bytes| write_whole(&to, &bytes)).map(|()| to);
            Some(Said::Copied(saved))
        });
    }

    fn ask(&self, want: Want, dialog: FileDialog) {
        let pick = self.pick;
        self.work(move || {
            let began = Instant::now();
            match pick(want, dialog) {
                Some(path) => Some(Said::Path(want, path)),
                None if began.elapsed() < NOBODY => Some(Said::NoDialog(want)),
                None => None,
            }
        });
    }
}

fn pick(want: Want, dialog: FileDialog) -> Option<PathBuf> {
    match want {
        Want::Open => dialog.pick_file(),
        Want::Save | Want::Export => dialog.save_file(),
    }
}

impl App {
    pub(crate) fn ask_open(&mut self) {
        let dialog = FileDialog::new()
            .set_title("Open a graph")
            .add_filter("Graphs and pictures that carry one", &["json", "png", "webp"]);
        self.answers.ask(Want::Open, dialog);
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
            let written = self.write(number, path);
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

    pub(crate) fn write(&mut self, number: runs::Tab, path: PathBuf) -> Result<()> {
        let Some(tab) = self.tabs.iter_mut().find(|tab| tab.number == number) else {
            return Ok(());
        };
        let text = serde_json::to_vec_pretty(&tab.json())?;
        write_whole(&path, &text).with_context(|| path.display().to_string())?;
        self.toasts.tell(format!("Saved {}", path.display()));
        tab.in_file(path);
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

    /// Opens what was dropped on the window.
    pub(crate) fn take_dropped(&mut self) {
        let dropped = self.ctx.input_mut(|i| std::mem::take(&mut i.raw.dropped_files));
        for file in dropped {
            let opened = open::dropped(self, file.path());
            let opened = opened.with_context(|| file.path().display().to_string());
            self.tell_error(opened);
        }
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
    /// What the file is, and the offer to put it where it belongs; whether the dialog is done.
    pub fn ui(&mut self, app: &mut App, ui: &mut Ui) -> bool {
        ui.set_max_width(560.0);
        heading(ui, &self.path.file_name().unwrap_or_default().to_string_lossy());
        ui.label(RichText::new(&self.weights.about).monospace());
        ui.add_space(GAP);
        let mut done = false;
        if let Some(home) = self.weights.home.clone() {
            let target = home.join(self.path.file_name().unwrap_or_default());
            let there = target.exists();
            let text = if there { "is there already" } else { "is where it belongs" };
            ui.label(format!("{} {text}", target.display()));
            if ui.add_enabled(!there, egui::Button::new("Copy it there")).clicked() {
                let from = self.path.clone();
                app.answers.work(move || Some(Said::Copied(copy_new(&from, &target))));
                done = true;
            }
        }
        done | ui.button("Close").clicked()
    }
}

/// Copies a file to a place where none is. Half a file is never seen under its name.
pub fn copy_new(from: &Path, to: &Path) -> Result<PathBuf> {
    let folder = to.parent().context("a file has a folder")?;
    std::fs::create_dir_all(folder)?;
    ensure!(!to.exists(), "{} is there already", to.display());
    let part = to.with_added_extension("part");
    let copied = std::fs::copy(from, &part).and_then(|_| std::fs::rename(&part, to));
    copied
        .inspect_err(|_| drop(std::fs::remove_file(&part)))
        .with_context(|| to.display().to_string())?;
    Ok(to.to_owned())
}

/// Writes beside the file, then renames: there is never half a file.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_added_extension(format!("{}.part", std::process::id()));
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
    Ok(())
}

/// The name that a picture's copy is offered.
pub fn file_name(picture: &Picture) -> String {
    picture.filename.clone()
}
