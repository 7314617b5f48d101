//! Boxes of text: prompts with weights and the names of embeddings.

use super::{
    brush::Brush,
    widgets::{Field, Told, told},
};
use crate::{
    emphasis,
    theme::{GAP, TEXT},
};
use egui::{
    Align, CompletionPopup, CompletionQuery, FontId, Frame, Id, Key, Layout, Margin, Modifiers,
    Rect, RectAlign, ScrollArea, Suggestion, TextEdit, Ui, UiBuilder,
    text::{CCursor, CCursorRange},
    text_edit::TextEditState,
};
use serde_json::json;

/// How a prompt names an embedding.
const EMBEDDING: &str = "embedding:";
/// So many names are suggested at once.
const SUGGESTIONS: usize = 50;

impl Field<'_> {
    /// A box of text that wraps, and scrolls when it is full.
    pub fn text(&self, ui: &mut Ui, brush: &Brush, rect: Rect) -> Told {
        let id = self.id.with("text");
        let mut text = self.widget.value.as_str().unwrap_or("").to_owned();
        let reweighted = reweigh(ui, id, &mut text);
        let margin = Margin::symmetric((GAP * brush.zoom) as i8, (4.0 * brush.zoom) as i8);
        let mut inner =
            ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min)));
        let area = ScrollArea::vertical().max_height(rect.height()).auto_shrink(false);
        let response = area.show(&mut inner, |ui| {
            let edit = TextEdit::multiline(&mut text)
                .frame(Frame::NONE.inner_margin(margin))
                .hint_text(self.label)
                .font(FontId::proportional(TEXT * brush.zoom))
                .min_size(rect.size())
                .desired_rows(1)
                .desired_width(f32::INFINITY);
            let ends = |c: char| c.is_whitespace() || ",()".contains(c);
            let popup = CompletionPopup::new(id).word_boundary(ends).align(RectAlign::BOTTOM_START);
            let shown = popup.show(ui, edit, |query| self.suggestions(query));
            (shown.text_edit.response.response, shown.accepted.is_some())
        });
        let (response, completed) = response.inner;
        self.paint_focus(brush, &response, rect);
        let changed = response.changed() || reweighted || completed;
        let told = told(&response, changed.then(|| json!(text)));
        self.named(response, brush.theme);
        told
    }

    /// The embeddings whose names go on like the word at the cursor.
    fn suggestions(&self, query: &CompletionQuery) -> Vec<Suggestion> {
        let Some(typed) = query.word.strip_prefix(EMBEDDING) else { return Vec::new() };
        let typed = typed.to_lowercase();
        let fits = |name: &&String| name.to_lowercase().contains(&typed) && **name != typed;
        let names = self.embeddings.iter().filter(fits).take(SUGGESTIONS);
        names
            .map(|name| Suggestion::new(format!("{EMBEDDING}{name}")).content(name.clone()))
            .collect()
    }
}

/// Ctrl+Up and Ctrl+Down change how much the selected words count; whether they did.
fn reweigh(ui: &Ui, id: Id, text: &mut String) -> bool {
    if !ui.memory(|m| m.has_focus(id)) {
        return false;
    }
    let pressed = |key| ui.input_mut(|i| i.consume_key(Modifiers::COMMAND, key));
    let (up, down) = (pressed(Key::ArrowUp), pressed(Key::ArrowDown));
    let Some(mut state) = TextEditState::load(ui.ctx(), id).filter(|_| up != down) else {
        return false;
    };
    let Some(selected) = state.cursor.char_range() else { return false };
    let [from, to] = selected.sorted_cursors().map(|cursor| cursor.index.0);
    let Some((new, range)) = emphasis::reweighted(text, from..to, up) else { return false };
    *text = new;
    let range = CCursorRange::two(CCursor::new(range.start), CCursor::new(range.end));
    state.cursor.set_char_range(Some(range));
    state.store(ui.ctx(), id);
    true
}
