//! The window of the settings: looks, running, folders, and the key of every action.

use crate::{
    actions::{ACTIONS, Action, Menu},
    app::App,
    bar,
    dialog::{heading, scrolling},
    keys,
    panels::icon_button,
    picker::matching,
    theme::{GAP, Theme},
};
use egui::{ComboBox, Event, Grid, Key, KeyboardShortcut, RichText, TextEdit, Ui};
use egui_material_icons::icons::{ICON_BACKSPACE, ICON_EDIT, ICON_UNDO};

/// The window while it is open.
#[derive(Default)]
pub struct SettingsDialog {
    page: Page,
    query: String,
    /// The action whose key is to be pressed.
    waits: Option<&'static Action>,
    /// A key that was pressed for the action and is another's.
    taken: Option<(KeyboardShortcut, &'static Action)>,
}

/// A part of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    #[default]
    General,
    Keys,
    Folders,
}

impl Page {
    const ALL: [(Self, &str); 3] =
        [(Self::General, "General"), (Self::Keys, "Keys"), (Self::Folders, "Folders")];
}

/// How large text and everything else is.
const SIZES: &[f32] = &[0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0];

impl SettingsDialog {
    /// Opens at a page.
    pub fn at(page: Page) -> Self {
        Self { page, ..Self::default() }
    }

    /// Draws it; whether it is done.
    pub fn ui(&mut self, app: &mut App, ui: &mut Ui) -> bool {
        ui.set_width(620.0);
        self.listen(app);
        heading(ui, "Settings");
        ui.horizontal(|ui| {
            for (page, title) in Page::ALL {
                ui.selectable_value(&mut self.page, page, title);
            }
        });
        ui.separator();
        let before = app.settings.clone();
        scrolling(ui, "settings", |ui| match self.page {
            Page::General => general(app, ui),
            Page::Keys => self.keys(app, ui),
            Page::Folders => folders(app, ui),
        });
        if app.settings != before {
            app.take_settings();
        }
        ui.add_space(GAP);
        ui.button("Close").clicked()
    }

    /// Takes the key that is pressed for an action, before anything else sees it.
    fn listen(&mut self, app: &mut App) {
        let Some(action) = self.waits else { return };
        let (mut found, mut clipboard) = (None, false);
        app.ctx.input_mut(|input| {
            input.events.retain(|event| match event {
                Event::Copy | Event::Cut | Event::Paste(_) => {
                    clipboard = true;
                    false
                }
                Event::Key { key, pressed: true, modifiers, .. } => {
                    found = Some((*key, *modifiers));
                    false
                }
                _ => true,
            });
        });
        if clipboard {
            app.toasts.tell("Ctrl+C, Ctrl+X and Ctrl+V are the clipboard's");
        }
        let Some((key, modifiers)) = found else { return };
        self.waits = None;
        if key == Key::Escape {
            return;
        }
        let key = keys::pressed(key, modifiers);
        match keys::owner(&app.ctx, key, action) {
            Some(_) => self.taken = Some((key, action)),
            None => app.settings.keys.choose(action, &[key]),
        }
        app.take_settings();
    }

    fn keys(&mut self, app: &mut App, ui: &mut Ui) {
        ui.horizontal(|ui| {
            let label = ui.label(RichText::new("Search").color(app.theme.dim));
            let field = TextEdit::singleline(&mut self.query).desired_width(260.0);
            ui.add(field).labelled_by(label.id);
        });
        let all: Vec<&Action> = ACTIONS.iter().collect();
        let found = matching(&self.query, &all, |action| {
            format!("{} {}", action.title, action.menu.title())
        });
        for menu in Menu::ALL {
            let actions = found.iter().filter(|action| action.menu == menu);
            let mut actions = actions.peekable();
            if actions.peek().is_some() {
                ui.label(RichText::new(menu.title()).strong());
            }
            for action in actions {
                ui.push_id(action.id, |ui| self.row(app, ui, action));
            }
        }
    }

    /// An action, its keys, and what can be done about them.
    fn row(&mut self, app: &mut App, ui: &mut Ui, action: &'static Action) {
        let title = action.title.trim_end_matches('…');
        let left = |ui: &mut Ui| drop(ui.label(format!("{}   {title}", action.icon.codepoint)));
        let waits = self.waits.is_some_and(|other| other.id == action.id);
        egui::Sides::new().height(24.0).show(ui, left, |ui| {
            if app.settings.keys.has(action)
                && icon_button(ui, ICON_UNDO, &format!("Usual key for {title}")).clicked()
            {
                app.settings.keys.reset(action);
            }
            let keys = keys::of(ui.ctx(), action);
            ui.add_enabled_ui(!keys.is_empty(), |ui| {
                if icon_button(ui, ICON_BACKSPACE, &format!("No key for {title}")).clicked() {
                    app.settings.keys.choose(action, &[]);
                }
            });
            if icon_button(ui, ICON_EDIT, &format!("Change the key of {title}")).clicked() {
                (self.waits, self.taken) = (Some(action), None);
            }
            let words = keys.iter().map(|key| ui.ctx().format_shortcut(key)).collect::<Vec<_>>();
            if waits {
                ui.label(RichText::new("Press a key, or Esc to leave it").color(app.theme.accent));
            } else {
                ui.label(RichText::new(words.join(", ")).monospace());
            }
        });
        if let Some((key, _)) = self.taken.filter(|(_, other)| other.id == action.id) {
            self.conflict(app, ui, key, action);
        }
    }

    fn conflict(
        &mut self,
        app: &mut App,
        ui: &mut Ui,
        key: KeyboardShortcut,
        action: &'static Action,
    ) {
        let Some(owner) = keys::owner(&app.ctx, key, action) else { return };
        ui.horizontal(|ui| {
            let words =
                format!("{} is the key of “{}”", ui.ctx().format_shortcut(&key), owner.title);
            ui.label(RichText::new(words).color(app.theme.warning));
            if ui.button("Take it").clicked() {
                let mut left = keys::of(&app.ctx, owner);
                left.retain(|other| *other != key);
                app.settings.keys.choose(owner, &left);
                app.settings.keys.choose(action, &[key]);
                self.taken = None;
            }
            if ui.button("Leave it").clicked() {
                self.taken = None;
            }
        });
    }
}

fn general(app: &mut App, ui: &mut Ui) {
    section(ui, &app.theme, "Look");
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
    ui.horizontal(|ui| {
        let label = ui.label("Size of text and all else");
        let percent = |size: f32| format!("{:.0} %", size * 100.0);
        let list = ComboBox::from_id_salt("size").selected_text(percent(app.settings.size));
        let list = list.show_ui(ui, |ui| {
            for size in SIZES {
                ui.selectable_value(&mut app.settings.size, *size, percent(*size));
            }
        });
        bar::name(&list.response.labelled_by(label.id), "Size of text and all else");
    });
    section(ui, &app.theme, "Running");
    ui.checkbox(&mut app.settings.previews, "Samplers show the picture as it comes");
    preview_method(app, ui);
    ui.label(format!("Computes on {}", app.setup.device));
    let about = "weft edit --device cpu, gpu or auto chooses another";
    ui.label(RichText::new(about).small().color(app.theme.dim));
}

fn preview_method(app: &mut App, ui: &mut Ui) {
    let Some((_, title)) = app.setup.previews.of(&app.settings) else { return };
    ui.add_enabled_ui(app.settings.previews, |ui| {
        ui.horizontal(|ui| {
            let label = ui.label("Made by");
            let list = ComboBox::from_id_salt("preview method").width(260.0).selected_text(title);
            let list = list.show_ui(ui, |ui| {
                for (name, title) in &app.setup.previews.names {
                    let chosen = &mut app.settings.preview_method;
                    ui.selectable_value(chosen, (*name).to_owned(), *title);
                }
            });
            bar::name(&list.response.labelled_by(label.id), "Previews made by");
        });
    });
}

/// What is set where the program is started.
fn folders(app: &App, ui: &mut Ui) {
    let about = "weft edit --models, --input, --output or --comfyui chooses others";
    ui.label(RichText::new(about).small().color(app.theme.dim));
    Grid::new("folders").num_columns(2).show(ui, |ui| {
        for (name, path) in &app.setup.folders {
            ui.label(name);
            ui.label(RichText::new(path.display().to_string()).monospace());
            ui.end_row();
        }
    });
}

fn section(ui: &mut Ui, theme: &Theme, title: &str) {
    ui.add_space(GAP * 2.0);
    ui.label(RichText::new(title).small().color(theme.dim));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::tests::{empty, setup_on, window, window_of, window_on},
        settings::{PreviewMethods, Settings},
    };
    use egui::Modifiers;
    use egui_kittest::kittest::Queryable as _;
    use std::{cell::RefCell, rc::Rc};

    #[test]
    fn a_key_is_changed_conflicts_are_told_and_it_is_kept() {
        let (mut harness, state) = window(&empty());
        harness
            .state_mut()
            .show(crate::dialog::Dialog::Settings(Box::new(SettingsDialog::at(Page::Keys))));
        harness.run_steps(2);
        let change = |harness: &mut egui_kittest::Harness<App>, title: &str, modifiers, key| {
            harness.get_by_label(&format!("Change the key of {title}")).click_accesskit();
            harness.run_steps(2);
            harness.get_by_label_contains("Press a key");
            harness.key_press_modifiers(modifiers, key);
            harness.run_steps(2);
        };
        change(&mut harness, "New graph", Modifiers::ALT, Key::N);
        let keys = |harness: &egui_kittest::Harness<App>, id| {
            keys::of(&harness.ctx, crate::actions::action(id))
        };
        let alt_n = KeyboardShortcut::new(Modifiers::ALT, Key::N);
        assert_eq!(keys(&harness, "new"), [alt_n]);
        change(&mut harness, "Open by path", Modifiers::ALT, Key::N);
        harness.get_by_label_contains("is the key of “New graph”");
        assert_eq!(keys(&harness, "new"), [alt_n], "not before it is said");
        harness.get_by_label("Take it").click_accesskit();
        harness.run_steps(2);
        assert_eq!((keys(&harness, "open-path"), keys(&harness, "new")), (vec![alt_n], vec![]));
        change(&mut harness, "Save", Modifiers::NONE, Key::Escape);
        assert!(harness.state().dialog.is_some(), "Esc leaves the key and not the window");
        drop(harness);
        let mut harness = window_on(state.path());
        harness.step();
        assert_eq!(keys(&harness, "open-path"), [alt_n]);
        harness.key_press_modifiers(Modifiers::ALT, Key::N);
        harness.run_steps(2);
        harness.get_by_label("Path of the file");
    }

    #[test]
    fn the_method_of_previews_is_chosen_told_to_the_program_and_kept() {
        let state = tempfile::tempdir().unwrap();
        let told = Rc::new(RefCell::new(Vec::new()));
        let opened = |given| {
            let told = told.clone();
            let mut setup = setup_on(state.path());
            setup.previews = PreviewMethods {
                names: vec![("auto", "What fits"), ("taesd", "The tiny decoder")],
                given,
                choose: Box::new(move |name| told.borrow_mut().push(name.map(str::to_owned))),
            };
            window_of(setup)
        };
        let last = || told.borrow().last().cloned().unwrap();
        let mut harness = opened(None);
        assert_eq!(last().as_deref(), Some("auto"));
        harness.state_mut().show(crate::dialog::Dialog::Settings(Box::default()));
        harness.run_steps(2);
        harness.get_by_label("Previews made by").click_accesskit();
        harness.run_steps(2);
        harness.get_by_label("The tiny decoder").click_accesskit();
        harness.run_steps(2);
        assert_eq!(last().as_deref(), Some("taesd"));
        harness.get_by_label("Samplers show the picture as it comes").click_accesskit();
        harness.run_steps(2);
        assert_eq!(last(), None);
        harness.get_by_label("Samplers show the picture as it comes").click_accesskit();
        harness.run_steps(2);
        drop(harness);
        drop(opened(None));
        assert_eq!(last().as_deref(), Some("taesd"), "it is kept");
        drop(opened(Some("auto")));
        assert_eq!(last().as_deref(), Some("auto"), "the command line counts more");
        drop(opened(Some("none")));
        assert_eq!(last(), None);
    }

    #[test]
    fn a_damaged_file_of_settings_is_set_aside_aloud() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("settings.json"), "{\"light\": ").unwrap();
        let mut harness = window_on(state.path());
        harness.step();
        harness.get_by_label_contains("settings.json is damaged");
        assert_eq!(harness.state().settings, Settings::default());
        assert_eq!(std::fs::read_dir(state.path().join("damaged")).unwrap().count(), 1);
    }
}
