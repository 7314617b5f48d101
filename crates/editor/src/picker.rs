//! One of many by name: type a few letters of it, move with the arrows, press Enter.

use crate::{bar, panels, theme::Theme, thumbnails::Thumbnail};
use egui::{
    Atom, AtomExt as _, Atoms, Button, Key, Modifiers, Rect, RichText, ScrollArea, TextEdit, Ui,
    Vec2, pos2, vec2,
};
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
    pub picture: Option<Thumbnail>,
}

/// Height of the list and of a line, in points.
const HEIGHT: f32 = 420.0;
const LINE: f32 = 28.0;

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
        let mut area = ScrollArea::vertical().id_salt(question).max_height(HEIGHT);
        if field.changed() || ui.input(|i| i.key_down(Key::ArrowDown) || i.key_down(Key::ArrowUp)) {
            let pitch = LINE + ui.spacing().item_spacing.y;
            let middle = (self.line as f32 + 0.5) * pitch - HEIGHT / 2.0;
            area = area.vertical_scroll_offset(middle.max(0.0));
        }
        // Only those in sight: there may be a thousand pictures.
        area.show_rows(ui, LINE, found.len(), |ui, range| {
            for i in range {
                if self.row(ui, theme, i, line(found[i])) {
                    self.line = i;
                    chosen = true;
                }
            }
        });
        let marked = found.get(self.line).copied();
        (marked, chosen && marked.is_some_and(|item| line(item).enabled))
    }

    /// Draws a line; whether it was clicked.
    fn row(&self, ui: &mut Ui, theme: &Theme, i: usize, line: Line) -> bool {
        let size = vec2(ui.available_width(), LINE);
        // The picture lies over the space before the text.
        let side = LINE - 6.0;
        let space = Atom::default().atom_size(vec2(side + 2.0, 0.0));
        let mut words = Atoms::new(line.text);
        if line.picture.is_some() {
            words.push_left(space);
        }
        let button =
            Button::selectable(i == self.line, words).shortcut_text(line.shortcut).min_size(size);
        let row = ui.add_enabled(line.enabled, button);
        bar::name(&row, &line.name);
        if let Some(picture) = line.picture {
            let left = row.rect.left() + 6.0 + side / 2.0;
            let place = Rect::from_center_size(pos2(left, row.rect.center().y), Vec2::splat(side));
            panels::paint_picture(ui, theme, &picture, place);
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
