//! A list that drops down from a widget, with a search above it.

use egui::{
    Button, Key, Popup, PopupCloseBehavior, Response, ScrollArea, TextEdit, accesskit::Role,
};

/// Lists this long or shorter need no search.
const SHORT: usize = 8;

#[derive(Clone, Default)]
struct State {
    search: String,
    /// Which of the names that are left Enter takes.
    at: usize,
}

/// Shows the list while it is open; tells which name was chosen.
pub fn popup(button: &Response, name: &str, shown: &str, choices: &[String]) -> Option<String> {
    let label = format!("{name}: {shown}");
    button.widget_info(|| egui::WidgetInfo::labeled(Role::ComboBox, true, name));
    button.ctx.accesskit_node_builder(button.id, |node| node.set_value(label.clone()));
    let id = button.id.with("list");
    if button.clicked() {
        let at = choices.iter().position(|c| c == shown).unwrap_or(0);
        button.ctx.data_mut(|d| d.insert_temp(id, State { at, ..State::default() }));
    }
    let popup = Popup::menu(button).close_behavior(PopupCloseBehavior::CloseOnClickOutside);
    let width = button.rect.width().max(220.0);
    let inner = popup.width(width).show(|ui| {
        let mut state = ui.data(|d| d.get_temp::<State>(id)).unwrap_or_default();
        let chosen = list(ui, &mut state, button.clicked(), name, shown, choices);
        ui.data_mut(|d| d.insert_temp(id, state));
        if chosen.is_some() {
            ui.close();
        }
        chosen
    });
    inner?.inner
}

fn list(
    ui: &mut egui::Ui,
    state: &mut State,
    opened: bool,
    name: &str,
    shown: &str,
    choices: &[String],
) -> Option<String> {
    if choices.is_empty() {
        ui.weak("Nothing to choose from: the folder is empty.");
        return None;
    }
    let mut moved = opened;
    if choices.len() > SHORT {
        let edit = TextEdit::singleline(&mut state.search)
            .hint_text("Search")
            .desired_width(f32::INFINITY);
        let response = ui.add(edit);
        ui.ctx()
            .accesskit_node_builder(response.id, |node| node.set_label(format!("{name}: search")));
        if response.changed() {
            (state.at, moved) = (0, true);
        }
        response.request_focus();
    }
    let left: Vec<&String> = choices.iter().filter(|c| matches(c, &state.search)).collect();
    let pressed = |key| ui.input(|i| i.key_pressed(key));
    let step = i32::from(pressed(Key::ArrowDown)) - i32::from(pressed(Key::ArrowUp));
    if step != 0 {
        moved = true;
        state.at = state.at.saturating_add_signed(step as isize).min(left.len().saturating_sub(1));
    }
    let enter = pressed(Key::Enter) && !opened;
    let mut chosen = enter.then(|| left.get(state.at)).flatten().map(|c| (*c).clone());
    ScrollArea::vertical().max_height(300.0).show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        for (i, choice) in left.iter().enumerate() {
            let row = Button::selectable(*choice == shown, choice.as_str()).selected(i == state.at);
            let row = ui.add(row.min_size(egui::vec2(ui.available_width(), 0.0)));
            if i == state.at && moved {
                row.scroll_to_me(None);
            }
            if row.clicked() {
                chosen = Some((*choice).clone());
            }
        }
    });
    chosen
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
