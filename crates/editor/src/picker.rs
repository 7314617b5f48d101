//! One of many by name: type a few letters of it, move with the arrows, press Enter.

use crate::{bar, theme::Theme};
use egui::{Button, Key, Modifiers, RichText, ScrollArea, TextEdit, Ui, vec2};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};

/// What has been typed, and which line is marked.
#[derive(Default)]
pub struct Picker {
    query: String,
    line: usize,
}

/// How something looks in the list.
pub struct Line {
    /// Its accessible name.
    pub name: String,
    pub text: String,
    pub shortcut: String,
    pub enabled: bool,
}

/// Height of the list, in points.
const HEIGHT: f32 = 420.0;

impl Picker {
    /// Draws the field and the list of what fits, best first. Gives what is marked, and whether it was
    /// chosen.
    pub fn ui<T: Copy>(
        &mut self,
        ui: &mut Ui,
        theme: &Theme,
        question: &str,
        all: &[T],
        words: impl Fn(T) -> String,
        line: impl Fn(T) -> Line,
    ) -> (Option<T>, bool) {
        let found = matching(&self.query, all, words);
        let mut chosen = self.keys(ui, found.len());
        let label = ui.label(RichText::new(question).color(theme.dim));
        let field = TextEdit::singleline(&mut self.query)
            .font(egui::TextStyle::Heading)
            .desired_width(f32::INFINITY);
        let field = ui.add(field).labelled_by(label.id);
        field.request_focus();
        if field.changed() {
            self.line = 0;
        }
        // Always as high, so that nothing jumps while a person types.
        let list = ScrollArea::vertical().id_salt(question).auto_shrink([true, false]);
        list.min_scrolled_height(HEIGHT).max_height(HEIGHT).show(ui, |ui| {
            for (i, item) in found.iter().enumerate() {
                if self.row(ui, i, line(*item)) {
                    self.line = i;
                    chosen = true;
                }
            }
        });
        let marked = found.get(self.line).copied();
        (marked, chosen && marked.is_some_and(|item| line(item).enabled))
    }

    /// Draws a line; whether it was clicked.
    fn row(&self, ui: &mut Ui, i: usize, line: Line) -> bool {
        let button = Button::selectable(i == self.line, line.text)
            .shortcut_text(line.shortcut)
            .min_size(vec2(ui.available_width(), 28.0));
        let row = ui.add_enabled(line.enabled, button);
        bar::name(&row, &line.name);
        let moved = ui.input(|i| i.key_down(Key::ArrowDown) || i.key_down(Key::ArrowUp));
        if i == self.line && moved {
            row.scroll_to_me(None);
        }
        row.clicked()
    }

    /// Arrows move the mark; true if it is taken.
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

/// What fits the query, best first; all in their order for an empty query.
pub fn matching<T: Copy>(query: &str, all: &[T], words: impl Fn(T) -> String) -> Vec<T> {
    let pattern = Pattern::parse(query, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut letters = Vec::new();
    let mut score = |item: T| {
        let words = words(item);
        pattern.score(Utf32Str::new(&words, &mut letters), &mut matcher)
    };
    let mut found: Vec<(u32, T)> =
        all.iter().filter_map(|item| Some((score(*item)?, *item))).collect();
    // Equal ones stay in their order.
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, item)| item).collect()
}
