//! What lies over the window and wants an answer first.

use crate::{
    app::App,
    command_palette::Commands,
    drops, files, missing,
    overlay::Overlay,
    palette::Palette,
    runs,
    settings_dialog::SettingsDialog,
    templates,
    theme::{GAP, RADIUS},
};
use egui::{Frame, Id, Modal, RichText, ScrollArea, TextEdit, Ui, ViewportCommand};
use std::path::PathBuf;

/// At most one is open.
pub enum Dialog {
    Commands(Box<Commands>),
    Nodes(Box<Palette>),
    Templates(Box<templates::Browser>),
    Settings(Box<SettingsDialog>),
    Path(PathField),
    Ask(Question),
    Missing(missing::Report),
    Weights(Vec<files::Found>),
}

/// Something to be decided.
pub struct Question {
    pub title: String,
    pub text: String,
    /// What the buttons say and do; closing the dialog does nothing.
    pub answers: Vec<(&'static str, Answer)>,
}

/// What a button of a question does.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Nothing,
    SaveAndClose(runs::Tab),
    Close(runs::Tab),
    /// Writes over what is there.
    Write(runs::Tab, PathBuf),
    SaveElsewhere,
    /// Closes the window without saving.
    Leave,
}

/// A path typed in, where there is no file dialog.
pub struct PathField {
    pub want: Want,
    pub text: String,
}

/// What a path is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    Open,
    Save,
    Export,
    Share,
    /// A picture for a node to load.
    Picture(drops::Target),
}

impl Want {
    fn title(&self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Save => "Save as",
            Self::Export => "Export API form",
            Self::Share => "Share as a picture",
            Self::Picture(_) => "Add a picture",
        }
    }
}

/// The part of the window's height that a dialog may take.
const HIGHEST: f32 = 0.8;

/// Whether a dialog stays.
#[derive(PartialEq)]
enum Next {
    Stay,
    Close,
}

impl App {
    pub(crate) fn show(&mut self, dialog: Dialog) {
        self.dialog = Some(dialog);
    }

    /// Asks for a path in the window itself.
    pub(crate) fn ask_path(&mut self, want: Want) {
        let tab = self.tab();
        let text = match (&want, &tab.path) {
            (Want::Open | Want::Picture(_), _) => String::new(),
            (Want::Save, Some(path)) => path.display().to_string(),
            (Want::Save, None) => format!("{}.json", tab.title),
            (Want::Export, _) => format!("{}.api.json", tab.title),
            (Want::Share, _) => format!("{}.png", tab.title),
        };
        self.show(Dialog::Path(PathField { want, text }));
    }

    /// Draws the dialog, if there is one.
    pub(crate) fn show_dialog(&mut self) {
        let Some(mut dialog) = self.dialog.take() else { return };
        let frame = Frame::popup(&self.ctx.global_style())
            .fill(self.theme.panel)
            .corner_radius(RADIUS * 1.5)
            .inner_margin(GAP * 3.0);
        let modal = Modal::new(Id::unique("dialog")).frame(frame).show(&self.ctx.clone(), |ui| {
            ui.set_max_height(self.ctx.content_rect().height() * HIGHEST);
            dialog.ui(self, ui)
        });
        // What the dialog did may have opened the next one.
        if self.dialog.is_none() && modal.inner == Next::Stay && !modal.should_close() {
            self.dialog = Some(dialog);
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Nothing => {}
            Answer::Close(tab) => self.drop_tab(tab),
            Answer::SaveAndClose(tab) => self.save_and_close(tab),
            Answer::Write(tab, path) => {
                let written = self.write(tab, &path);
                self.tell_error(written);
            }
            Answer::SaveElsewhere => self.ask_save(),
            Answer::Leave => self.leave(),
        }
    }

    /// Closes a tab; asks first if that would lose something.
    pub(crate) fn close(&mut self, number: runs::Tab) {
        let Some(tab) = self.tabs.iter().find(|tab| tab.number == number) else { return };
        if !tab.modified() {
            return self.drop_tab(number);
        }
        self.show(Dialog::Ask(Question {
            title: format!("Save {} before it closes?", tab.title),
            text: "It has changes that are in no file.".into(),
            answers: vec![
                ("Save", Answer::SaveAndClose(number)),
                ("Close without saving", Answer::Close(number)),
                ("Cancel", Answer::Nothing),
            ],
        }));
    }
}

impl App {
    /// Keeps the window open where closing it would lose something, and asks. The journal brings unsaved
    /// graphs back at the next start, so there is nothing to ask while it can be written: a question that
    /// saves nobody anything is soon clicked away unread. Closing a tab does throw it away, and asks.
    pub(crate) fn guard_window(&mut self) {
        let asked = self.ctx.input(|i| i.viewport().close_requested());
        if !asked || self.leaving {
            return;
        }
        let unsaved: Vec<&str> =
            self.tabs.iter().filter(|t| t.modified()).map(|t| t.title.as_str()).collect();
        let painting = matches!(self.overlay, Some(Overlay::Mask(..)));
        let text = match self.journal.flush() {
            _ if painting => "The mask that is being painted is in no file.".to_owned(),
            Err(error) if !unsaved.is_empty() => {
                format!(
                    "Changes that are in no file: {}. They cannot be kept: {error:#}.",
                    unsaved.join(", ")
                )
            }
            _ => return,
        };
        self.ctx.send_viewport_cmd(ViewportCommand::CancelClose);
        self.show(Dialog::Ask(Question {
            title: "Leave without saving?".into(),
            text,
            answers: vec![("Leave", Answer::Leave), ("Stay", Answer::Nothing)],
        }));
    }

    fn leave(&mut self) {
        self.leaving = true;
        self.ctx.send_viewport_cmd(ViewportCommand::Close);
    }
}

impl Dialog {
    fn ui(&mut self, app: &mut App, ui: &mut Ui) -> Next {
        let done = match self {
            Self::Commands(commands) => {
                let chosen = commands.ui(app, ui);
                let done = chosen.is_some();
                if let Some(action) = chosen {
                    action.fire(app);
                }
                done
            }
            Self::Nodes(palette) => palette.ui(app, ui),
            Self::Templates(browser) => browser.ui(app, ui),
            Self::Settings(settings) => settings.ui(app, ui),
            Self::Path(field) => path(app, ui, field),
            Self::Ask(question) => ask(app, ui, question),
            Self::Missing(report) => report.ui(app, ui),
            Self::Weights(all) => weights(app, ui, all),
        };
        if done { Next::Close } else { Next::Stay }
    }
}

/// Draws what may be long: as high as the window allows.
pub fn scrolling<R>(ui: &mut Ui, name: &str, content: impl FnOnce(&mut Ui) -> R) -> R {
    let height = (ui.ctx().content_rect().height() - 260.0).clamp(160.0, 560.0);
    let area = ScrollArea::vertical().id_salt(name).max_height(height).min_scrolled_height(height);
    area.show(ui, content).inner
}

/// The first line of a dialog.
pub fn heading(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).strong().size(18.0));
    ui.add_space(GAP);
}

fn ask(app: &mut App, ui: &mut Ui, question: &Question) -> bool {
    ui.set_max_width(460.0);
    heading(ui, &question.title);
    ui.label(&question.text);
    ui.add_space(GAP * 2.0);
    let mut chosen = None;
    ui.horizontal(|ui| {
        for (text, answer) in &question.answers {
            if ui.button(*text).clicked() {
                chosen = Some(answer.clone());
            }
        }
    });
    let done = chosen.is_some();
    chosen.into_iter().for_each(|answer| app.answer(answer));
    done
}

fn path(app: &mut App, ui: &mut Ui, field: &mut PathField) -> bool {
    ui.set_width(520.0);
    heading(ui, field.want.title());
    let label = ui.label(RichText::new("Path of the file").color(app.theme.dim));
    let edit = TextEdit::singleline(&mut field.text).desired_width(f32::INFINITY);
    let edit = ui.add(edit).labelled_by(label.id);
    if ui.memory(egui::Memory::focused).is_none() {
        edit.request_focus();
    }
    let enter = edit.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
    ui.add_space(GAP);
    let (mut go, mut cancel) = (enter, false);
    ui.horizontal(|ui| {
        go |= ui.button("OK").clicked();
        cancel = ui.button("Cancel").clicked();
    });
    if go && !field.text.trim().is_empty() {
        app.picked(field.want.clone(), PathBuf::from(field.text.trim()));
        return true;
    }
    cancel
}

/// Draws what each dropped file of weights is, until all are settled.
fn weights(app: &mut App, ui: &mut Ui, all: &mut Vec<files::Found>) -> bool {
    ui.set_max_width(560.0);
    scrolling(ui, "weights", |ui| {
        let mut number = 0;
        all.retain(|found| {
            number += 1;
            !ui.push_id(number, |ui| found.ui(app, ui)).inner
        });
    });
    ui.add_space(GAP);
    ui.button("Close").clicked() || all.is_empty()
}
