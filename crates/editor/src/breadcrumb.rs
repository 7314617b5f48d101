//! Subgraphs in the window: the way to the level that is seen, and what is done with instances.

use crate::{
    app::{App, MARGIN},
    bar,
    theme::RADIUS,
};
use egui::{Area, Button, Frame, Id as UiId, Order, Rect, RichText, TextEdit, Ui, vec2};
use egui_material_icons::icons::ICON_CHEVRON_RIGHT;
use std::collections::BTreeSet;

/// The levels over the canvas, outermost first; a click opens one, a click on the open one renames it.
pub fn ui(app: &mut App, ui: &mut Ui, canvas: Rect) {
    let names: Vec<String> =
        app.tab().history.file().path().map(|(_, name)| name.to_owned()).collect();
    if names.is_empty() {
        return;
    }
    let levels: Vec<String> = [app.tab().title.clone()].into_iter().chain(names).collect();
    let area = Area::new(UiId::unique("breadcrumb")).order(Order::Middle);
    area.fixed_pos(canvas.min + vec2(12.0, 12.0)).show(ui.ctx(), |ui| {
        let frame = Frame::NONE.fill(app.theme.panel).inner_margin(MARGIN).corner_radius(RADIUS);
        frame.show(ui, |ui| {
            ui.horizontal(|ui| {
                for (depth, name) in levels.iter().enumerate() {
                    if depth > 0 {
                        ui.label(RichText::new(ICON_CHEVRON_RIGHT.codepoint).color(app.theme.dim));
                    }
                    level(app, ui, depth, name, depth + 1 == levels.len());
                }
            });
        });
    });
}

fn level(app: &mut App, ui: &mut Ui, depth: usize, name: &str, open: bool) {
    let draft = UiId::unique("name of the open subgraph");
    if open && let Some(text) = ui.data(|d| d.get_temp::<String>(draft)) {
        return rename(app, ui, draft, text);
    }
    let text = RichText::new(name);
    let text = if open { text.strong() } else { text.color(app.theme.dim) };
    let response = ui.add(Button::new(text).frame(false));
    bar::name(&response, &format!("Level {name}"));
    let hint = if open { "Rename the subgraph" } else { "Back to this level" };
    if response.on_hover_text(hint).clicked() {
        if open {
            ui.data_mut(|d| d.insert_temp(draft, name.to_owned()));
        } else {
            app.leave_to(depth);
        }
    }
}

fn rename(app: &mut App, ui: &mut Ui, draft: UiId, mut text: String) {
    let edit = TextEdit::singleline(&mut text).id(draft.with("edit")).desired_width(180.0);
    let response = ui.add(edit);
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label("Name of the subgraph"));
    if !response.has_focus() && !response.lost_focus() {
        response.request_focus();
    }
    if !response.lost_focus() {
        ui.data_mut(|d| d.insert_temp(draft, text));
        return;
    }
    ui.data_mut(|d| d.remove_temp::<String>(draft));
    if !ui.input(|i| i.key_pressed(egui::Key::Escape)) {
        let history = &mut app.tab_mut().history;
        history.edit_file("Rename a subgraph", |file| file.rename_subgraph(&text));
    }
}

impl App {
    /// Leaves subgraphs until only so many are open within one another.
    fn leave_to(&mut self, depth: usize) {
        let history = &mut self.tab_mut().history;
        while history.file().path().count() > depth && history.leave() {}
    }

    /// Opens the level of a node, `12:7` if it is within a subgraph, and shows it there.
    pub(crate) fn go_to(&mut self, path: &str) {
        self.leave_to(0);
        let tab = self.tab_mut();
        let mut ids = path.split(':').filter_map(|id| id.parse().ok()).peekable();
        while let Some(id) = ids.next() {
            // A group's parts have no level of their own: then it is the group that is shown.
            if ids.peek().is_none() || !tab.history.enter(id) {
                return tab.canvas.scroll_to(id);
            }
        }
    }

    pub(crate) fn leave_subgraph(&mut self) {
        self.tab_mut().history.leave();
    }

    /// The selected nodes that are instances of subgraphs.
    pub(crate) fn selected_subgraphs(&self) -> impl Iterator<Item = crate::doc::Id> {
        let tab = self.tab();
        let ids = tab.canvas.selection.iter().copied();
        ids.filter(|id| tab.history.file().subgraph_name(*id).is_some())
    }

    pub(crate) fn enter_subgraph(&mut self) {
        let first = self.selected_subgraphs().next();
        if let Some(id) = first {
            self.tab_mut().history.enter(id);
        }
    }

    pub(crate) fn make_subgraph(&mut self) {
        let tab = self.tab_mut();
        let ids = tab.canvas.selection.clone();
        let made = tab.history.edit_file("Make a subgraph", |file| file.make_subgraph(&ids));
        if let Some(id) = made {
            tab.canvas.selection = BTreeSet::from([id]);
        }
    }

    pub(crate) fn unpack_subgraphs(&mut self) {
        let ids: Vec<_> = self.selected_subgraphs().collect();
        let tab = &mut self.tabs[self.active];
        let contract = &self.catalog.contract;
        let unpacked = tab.history.edit_file("Unpack a subgraph", |file| {
            let nodes = ids.into_iter().filter_map(|id| file.unpack(id, contract));
            nodes.flatten().collect()
        });
        tab.canvas.selection = unpacked;
    }

    /// Tells of subgraphs in the file that is seen that cannot be read.
    pub(crate) fn tell_unread(&mut self) {
        let errors: Vec<_> = self
            .tab()
            .history
            .file()
            .unread()
            .map(|(_, why)| {
                anyhow::anyhow!("a subgraph cannot be read, and is kept as it is: {why}")
            })
            .collect();
        errors.iter().for_each(|error| self.toasts.error(error));
    }
}
