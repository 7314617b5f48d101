//! All actions by name: type a few letters of one, press Enter.

use crate::{
    actions::{ACTIONS, Action},
    app::App,
    bar,
};
use egui::{Button, Key, Modifiers, RichText, ScrollArea, TextEdit, Ui, vec2};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};

/// The palette while it is open.
#[derive(Default)]
pub struct Commands {
    query: String,
    /// The line that Enter takes.
    line: usize,
}

impl Commands {
    /// Draws it; what was chosen.
    pub fn ui(&mut self, app: &mut App, ui: &mut Ui) -> Option<&'static Action> {
        ui.set_width(520.0);
        let found = matching(&self.query);
        let enter = self.keys(ui, found.len());
        let label = ui.label(RichText::new("What do you want to do?").color(app.theme.dim));
        let field = TextEdit::singleline(&mut self.query)
            .font(egui::TextStyle::Heading)
            .desired_width(f32::INFINITY);
        let field = ui.add(field).labelled_by(label.id);
        field.request_focus();
        if field.changed() {
            self.line = 0;
        }
        let mut chosen = enter.then(|| found.get(self.line).copied()).flatten();
        ScrollArea::vertical().id_salt("commands").max_height(420.0).show(ui, |ui| {
            for (i, action) in found.into_iter().enumerate() {
                let enabled = (action.enabled)(app);
                let text = format!("{}   {}", action.icon.codepoint, action.title);
                let button = Button::selectable(i == self.line, text)
                    .shortcut_text(action.key(ui.ctx()))
                    .min_size(vec2(ui.available_width(), 28.0));
                let row = ui.add_enabled(enabled, button);
                bar::name(&row, action.title);
                if i == self.line && enter_or_arrow(ui) {
                    row.scroll_to_me(None);
                }
                if row.clicked() {
                    chosen = Some(action);
                }
            }
        });
        chosen.filter(|action| (action.enabled)(app))
    }

    /// Arrows move the line; true if it is taken.
    fn keys(&mut self, ui: &Ui, lines: usize) -> bool {
        let pressed = |key| ui.input_mut(|i| i.consume_key(Modifiers::NONE, key));
        let last = lines.saturating_sub(1);
        if pressed(Key::ArrowDown) {
            self.line = if self.line >= last { 0 } else { self.line + 1 };
        }
        if pressed(Key::ArrowUp) {
            self.line = if self.line == 0 { last } else { self.line - 1 };
        }
        pressed(Key::Enter)
    }
}

fn enter_or_arrow(ui: &Ui) -> bool {
    ui.input(|i| i.key_down(Key::ArrowDown) || i.key_down(Key::ArrowUp))
}

/// The actions that fit, best first; all of them in the table's order for an empty query.
fn matching(query: &str) -> Vec<&'static Action> {
    let pattern = Pattern::parse(query, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut letters = Vec::new();
    let mut score = |action: &Action| {
        let text = format!("{} {}", action.title, action.menu.title());
        pattern.score(Utf32Str::new(&text, &mut letters), &mut matcher)
    };
    let mut found: Vec<(u32, &Action)> =
        ACTIONS.iter().filter_map(|action| Some((score(action)?, action))).collect();
    // Equal ones stay in the table's order.
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, action)| action).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_letters_find_an_action() {
        assert_eq!(matching("svas")[0].id, "save-as");
        assert_eq!(matching("clear hist")[0].id, "clear-history");
        assert_eq!(matching("").len(), ACTIONS.len());
        assert!(matching("zzzqqq").is_empty());
    }
}
