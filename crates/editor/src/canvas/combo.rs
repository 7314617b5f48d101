//! A list that drops down from a widget, with a search above it.

use crate::{
    panels,
    pictures::Picture,
    theme::Theme,
    thumbnails::{Thumbnail, Thumbnails},
};
use egui::{
    Button, EventFilter, FontId, Key, Popup, PopupCloseBehavior, Rect, Response, ScrollArea, Sense,
    TextEdit, Ui, Vec2, WidgetInfo,
    accesskit::Role,
    epaint::text::{LayoutJob, TextWrapping},
    pos2, vec2,
};

/// Lists this long or shorter need no search.
const SHORT: usize = 8;
/// Height of a name, of a picture, and of the whole list, in points.
const ROW: f32 = 22.0;
const PICTURE: f32 = 52.0;
const TALLEST: f32 = 320.0;

/// What drops down.
pub struct List<'a> {
    /// Of the widget, for screen readers.
    pub name: &'a str,
    /// What is chosen now.
    pub shown: &'a str,
    pub choices: &'a [String],
    /// Shows each name's picture, of the input folder.
    pub pictures: Option<&'a Thumbnails>,
}

#[derive(Clone, Default)]
struct State {
    search: String,
    /// Which of the names that are left Enter takes.
    at: usize,
}

impl List<'_> {
    /// Shows the list while it is open; tells which name was chosen.
    pub fn popup(&self, button: &Response, theme: &Theme) -> Option<String> {
        let enabled = button.enabled();
        button.widget_info(|| WidgetInfo::labeled(Role::ComboBox, enabled, self.name));
        button.ctx.accesskit_node_builder(button.id, |node| node.set_value(self.shown));
        let id = button.id.with("list");
        if button.clicked() {
            let at = self.choices.iter().position(|c| c == self.shown).unwrap_or(0);
            button.ctx.data_mut(|d| d.insert_temp(id, State { at, ..State::default() }));
        }
        let popup = Popup::menu(button).close_behavior(PopupCloseBehavior::CloseOnClickOutside);
        let width = button.rect.width().max(if self.pictures.is_some() { 300.0 } else { 220.0 });
        let inner = popup.width(width).show(|ui| {
            let mut state = ui.data(|d| d.get_temp::<State>(id)).unwrap_or_default();
            let chosen = self.ui(ui, &mut state, button, theme);
            ui.data_mut(|d| d.insert_temp(id, state));
            if chosen.is_some() {
                button.request_focus();
                ui.close();
            }
            chosen
        });
        inner?.inner
    }

    fn ui(
        &self,
        ui: &mut Ui,
        state: &mut State,
        button: &Response,
        theme: &Theme,
    ) -> Option<String> {
        if self.choices.is_empty() {
            ui.weak("Nothing to choose from: the folder is empty.");
            return None;
        }
        let opened = button.clicked();
        let mut moved = opened;
        if self.choices.len() > SHORT {
            moved |= self.search(ui, state);
        } else {
            // Arrows move in the list, not to the next widget.
            button.request_focus();
            let filter = EventFilter { vertical_arrows: true, ..EventFilter::default() };
            ui.memory_mut(|m| m.set_focus_lock_filter(button.id, filter));
        }
        let left: Vec<&String> =
            self.choices.iter().filter(|c| matches(c, &state.search)).collect();
        let pressed = |key| ui.input(|i| i.key_pressed(key));
        let step = i32::from(pressed(Key::ArrowDown)) - i32::from(pressed(Key::ArrowUp));
        if step != 0 {
            moved = true;
            let last = left.len().saturating_sub(1);
            state.at = state.at.saturating_add_signed(step as isize).min(last);
        }
        let enter = pressed(Key::Enter) && !opened;
        let entered = enter.then(|| left.get(state.at)).flatten().map(|c| (*c).clone());
        entered.or_else(|| self.rows(ui, &left, state.at, moved, theme))
    }

    /// The field above the list; whether the search has changed.
    fn search(&self, ui: &mut Ui, state: &mut State) -> bool {
        let edit = TextEdit::singleline(&mut state.search)
            .hint_text("Search")
            .desired_width(f32::INFINITY);
        let response = ui.add(edit);
        let name = format!("{}: search", self.name);
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(name));
        response.request_focus();
        if response.changed() {
            state.at = 0;
        }
        response.changed()
    }

    /// Only those in sight are drawn: folders may have thousands of files.
    fn rows(
        &self,
        ui: &mut Ui,
        left: &[&String],
        at: usize,
        moved: bool,
        theme: &Theme,
    ) -> Option<String> {
        let height = if self.pictures.is_some() { PICTURE } else { ROW };
        let mut area = ScrollArea::vertical().max_height(TALLEST);
        if moved {
            let pitch = height + ui.spacing().item_spacing.y;
            area = area.vertical_scroll_offset((at as f32 * pitch - TALLEST / 2.0).max(0.0));
        }
        let mut chosen = None;
        area.show_rows(ui, height, left.len(), |ui, range| {
            for i in range {
                if self.row(ui, left[i], i == at, height, theme).clicked() {
                    chosen = Some(left[i].clone());
                }
            }
        });
        chosen
    }

    fn row(&self, ui: &mut Ui, name: &str, marked: bool, height: f32, theme: &Theme) -> Response {
        let size = vec2(ui.available_width(), height);
        let Some(pictures) = self.pictures else {
            return ui.add(Button::selectable(marked, name).truncate().min_size(size));
        };
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, marked, name));
        let look = ui.style().interact_selectable(&response, marked);
        if marked || response.hovered() {
            ui.painter().rect_filled(rect, look.corner_radius, look.weak_bg_fill);
        }
        let thumbnail = pictures.get(&Picture::input(name));
        let about = match &thumbnail {
            Thumbnail::Ready(_, [width, height]) => format!("{width} × {height}"),
            Thumbnail::Loading => String::new(),
            Thumbnail::Broken(why) => why.clone(),
        };
        let place = Rect::from_min_size(rect.min, Vec2::splat(height)).shrink(3.0);
        panels::paint_picture(ui, theme, &thumbnail, place);
        let left = place.right() + 8.0;
        let write = |dy: f32, size: f32, color, words: String| {
            let job = LayoutJob {
                wrap: TextWrapping::truncate_at_width(rect.right() - left),
                ..LayoutJob::simple_singleline(words, FontId::proportional(size), color)
            };
            let galley = ui.painter().layout_job(job);
            let at = pos2(left, rect.center().y + dy - galley.size().y / 2.0);
            ui.painter().galley(at, galley, color);
        };
        write(-8.0, 13.0, theme.text, name.to_owned());
        write(9.0, 11.0, theme.dim, about);
        response
    }
}

/// Whether a name holds all words of the search.
fn matches(name: &str, search: &str) -> bool {
    let name = name.to_lowercase();
    search.to_lowercase().split_whitespace().all(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_wants_all_its_words_in_any_order_and_case() {
        assert!(matches("dpmpp_2m_SDE", "sde 2m"));
        assert!(!matches("dpmpp_2m", "sde 2m"));
        assert!(matches("anything", " "));
    }
}
