//! All actions by name.

use crate::{
    actions::{ACTIONS, Action},
    app::App,
    picker::{Line, Picker},
};
use egui::Ui;

/// The palette while it is open.
#[derive(Default)]
pub struct Commands(Picker);

impl Commands {
    /// Draws it; what was chosen.
    pub fn ui(&mut self, app: &App, ui: &mut Ui) -> Option<&'static Action> {
        ui.set_width(520.0);
        let all: Vec<&Action> = ACTIONS.iter().collect();
        let line = |action: &Action| Line {
            name: action.title.to_owned(),
            text: format!("{}   {}", action.icon.codepoint, action.title),
            shortcut: action.key(&app.ctx),
            enabled: (action.enabled)(app),
            picture: None,
        };
        let (marked, chosen) =
            self.0.ui(ui, &app.theme, "What do you want to do?", &all, words, line);
        marked.filter(|_| chosen)
    }
}

fn words(action: &Action) -> String {
    format!("{} {}", action.title, action.menu.title())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picker;

    #[test]
    fn a_few_letters_find_an_action() {
        let all: Vec<&Action> = ACTIONS.iter().collect();
        let matching = |query| picker::matching(query, &all, words);
        assert_eq!(matching("svas")[0].id, "save-as");
        assert_eq!(matching("clear hist")[0].id, "clear-history");
        assert_eq!(matching("").len(), ACTIONS.len());
        assert!(matching("zzzqqq").is_empty());
    }
}
