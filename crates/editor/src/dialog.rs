//! What lies over the window and wants an answer first.

use crate::{
    actions::ACTIONS,
    app::App,
    command_palette::Commands,
    files, missing,
    palette::Palette,
    runs, templates,
    theme::{GAP, RADIUS, Theme},
};
use egui::{
    Button, Frame, Grid, Id, Modal, RichText, ScrollArea, TextEdit, Ui, ViewportCommand, vec2,
};
use std::path::PathBuf;

/// At most one is open.
pub enum Dialog {
    Commands(Box<Commands>),
    Nodes(Box<Palette>),
    Templates,
    Settings,
    Path(PathField),
    Ask(Question),
    Missing(missing::Report),
    Weights(Box<files::Found>),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Open,
    Save,
    Export,
}

impl Want {
    fn title(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Save => "Save as",
            Self::Export => "Export API form",
        }
    }
}

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
        let text = match (want, &tab.path) {
            (Want::Open, _) => String::new(),
            (Want::Save, Some(path)) => path.display().to_string(),
            (Want::Save, None) => format!("{}.json", tab.title),
            (Want::Export, _) => format!("{}.api.json", tab.title),
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
        let modal = Modal::new(Id::unique("dialog"))
            .frame(frame)
            .show(&self.ctx.clone(), |ui| dialog.ui(self, ui));
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
                let written = self.write(tab, path);
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
    /// Keeps the window open where closing it would lose something, and asks.
    pub(crate) fn guard_window(&mut self) {
        let asked = self.ctx.input(|i| i.viewport().close_requested());
        let unsaved: Vec<&str> =
            self.tabs.iter().filter(|t| t.modified()).map(|t| t.title.as_str()).collect();
        if !asked || self.leaving || unsaved.is_empty() {
            return;
        }
        self.ctx.send_viewport_cmd(ViewportCommand::CancelClose);
        let text = format!("Changes that are in no file: {}.", unsaved.join(", "));
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
            Self::Templates => browse(app, ui),
            Self::Settings => settings(app, ui),
            Self::Path(field) => path(app, ui, field),
            Self::Ask(question) => ask(app, ui, question),
            Self::Missing(report) => report.ui(&app.theme, ui),
            Self::Weights(found) => found.ui(app, ui),
        };
        if done { Next::Close } else { Next::Stay }
    }
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
    if !edit.has_focus() && !edit.lost_focus() {
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
        app.picked(field.want, PathBuf::from(field.text.trim()));
        return true;
    }
    cancel
}

fn browse(app: &mut App, ui: &mut Ui) -> bool {
    ui.set_width(720.0);
    heading(ui, "Templates");
    let mut chosen = None;
    ScrollArea::vertical().id_salt("templates").max_height(520.0).show(ui, |ui| {
        Grid::new("templates").num_columns(3).spacing(vec2(GAP * 2.0, GAP * 2.0)).show(ui, |ui| {
            for (i, template) in templates::ALL.iter().enumerate() {
                if template.card(ui, &app.theme) {
                    chosen = Some(template);
                }
                if i % 3 == 2 {
                    ui.end_row();
                }
            }
        });
    });
    chosen.into_iter().for_each(|template| app.open_template(template));
    chosen.is_some()
}

fn settings(app: &mut App, ui: &mut Ui) -> bool {
    ui.set_width(560.0);
    heading(ui, "Settings");
    let before = app.settings.clone();
    ui.horizontal(|ui| {
        ui.label("Theme");
        ui.selectable_value(&mut app.settings.light, false, "Dark");
        ui.selectable_value(&mut app.settings.light, true, "Light");
    });
    ui.horizontal(|ui| {
        ui.label("Links");
        for (style, title) in crate::canvas::Style::ALL {
            ui.selectable_value(&mut app.settings.link_style, style, title);
        }
        ui.checkbox(&mut app.settings.hide_links, "hidden");
    });
    if app.settings != before {
        app.take_settings();
    }
    ScrollArea::vertical().id_salt("settings").max_height(480.0).show(ui, |ui| {
        section(ui, &app.theme, "Computes on");
        ui.label(&app.setup.device);
        section(ui, &app.theme, "Folders");
        Grid::new("folders").num_columns(2).show(ui, |ui| {
            for (name, path) in &app.setup.folders {
                ui.label(name);
                ui.label(RichText::new(path.display().to_string()).monospace());
                ui.end_row();
            }
        });
        section(ui, &app.theme, "Keys");
        Grid::new("keys").num_columns(2).striped(true).show(ui, |ui| {
            for action in ACTIONS.iter().filter(|action| !action.keys.is_empty()) {
                let keys: Vec<String> =
                    action.keys.iter().map(|key| ui.ctx().format_shortcut(key)).collect();
                ui.label(action.title);
                ui.label(RichText::new(keys.join(", ")).monospace());
                ui.end_row();
            }
        });
    });
    ui.add_space(GAP);
    ui.add(Button::new("Close")).clicked()
}

fn section(ui: &mut Ui, theme: &Theme, title: &str) {
    ui.add_space(GAP * 2.0);
    ui.label(RichText::new(title).small().color(theme.dim));
}
