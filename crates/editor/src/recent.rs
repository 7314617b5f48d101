//! The graphs that were opened or saved last, for all windows.

use crate::{
    app::App,
    files::{set_aside, write_whole},
    theme::GAP,
};
use anyhow::{Context as _, Result};
use egui::{Button, Ui};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// So many are remembered.
const MOST: usize = 12;
const FILE: &str = "recent.json";

/// The latest first.
fn read(state_dir: &Path) -> Result<Vec<PathBuf>> {
    let path = state_dir.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = fs::read(&path).map_err(anyhow::Error::from);
    let read = read.and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.map_err(|error| set_aside(&path, state_dir, error))
}

fn write(state_dir: &Path, all: &[PathBuf]) -> Result<()> {
    // The file's texts are Unicode, which not every path is.
    let all: Vec<&str> = all.iter().filter_map(|path| path.to_str()).take(MOST).collect();
    fs::create_dir_all(state_dir)?;
    write_whole(&state_dir.join(FILE), &serde_json::to_vec_pretty(&all)?).context(FILE)
}

impl App {
    /// Remembers a file as the latest. Other windows may have noted theirs since we last looked.
    pub(crate) fn note_recent(&mut self, path: &Path) {
        let all = read(&self.setup.state_dir);
        let noted = all.and_then(|mut all| {
            all.retain(|other| other != path);
            all.insert(0, path.to_owned());
            write(&self.setup.state_dir, &all)
        });
        self.tell_error(noted);
    }

    /// Draws the menu of the files.
    pub(crate) fn recent_ui(&mut self, ui: &mut Ui) {
        ui.menu_button("Open recent", |ui| {
            ui.set_min_width(220.0);
            let all = read(&self.setup.state_dir).unwrap_or_default();
            for path in &all {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let entry =
                    ui.add(Button::new(&*name).wrap()).on_hover_text(path.display().to_string());
                if entry.clicked() {
                    self.open_path(path);
                    ui.close();
                }
            }
            if all.is_empty() {
                ui.add_space(GAP);
                ui.weak("No file was opened or saved yet");
            } else {
                ui.separator();
                if ui.button("Clear the list").clicked() {
                    let cleared = write(&self.setup.state_dir, &[]);
                    self.tell_error(cleared);
                    ui.close();
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::{empty, window};
    use egui_kittest::kittest::Queryable as _;

    #[test]
    fn files_are_opened_again_from_the_menu() {
        let (mut harness, state) = window(&empty());
        let app = harness.state_mut();
        for name in ["a.json", "b.json", "a.json"] {
            app.write(app.tab().number, &state.path().join(name)).unwrap();
        }
        let all = read(state.path()).unwrap();
        assert_eq!(all, [state.path().join("a.json"), state.path().join("b.json")]);
        for label in ["Menu", "File", "Open recent", "b.json"] {
            harness.get_by_label(label).click();
            harness.run_steps(3);
        }
        assert_eq!(harness.state().tab().title, "b");
    }

    #[test]
    fn a_dozen_are_kept_and_a_damaged_list_is_set_aside() {
        let (mut harness, state) = window(&empty());
        (0..20)
            .for_each(|i| harness.state_mut().note_recent(&state.path().join(format!("{i}.json"))));
        let all = read(state.path()).unwrap();
        assert_eq!((all.len(), all[0].ends_with("19.json")), (MOST, true));
        fs::write(state.path().join(FILE), "[1").unwrap();
        assert!(read(state.path()).unwrap_err().to_string().contains("damaged"));
        assert!(read(state.path()).unwrap().is_empty());
    }
}
