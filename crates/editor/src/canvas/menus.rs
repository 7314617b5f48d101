//! Menus at the pointer: of the canvas, of nodes, of links, of groups. What the window does is an action by
//! its id; what the canvas does itself is a function here.

use super::{Canvas, CanvasContext, Event, Purpose, scene::Hit};
use crate::{
    actions::{Action, Menu, action},
    doc::{History, LinkId},
};
use egui::{Button, PointerButton, Popup, Pos2, Response, Ui};
use egui_material_icons::{MaterialIcon, icons};

/// Actions of the window by their ids; nothing stands for a line.
const CANVAS: &[&str] = &[
    "add-node",
    "add-note",
    "",
    "paste",
    "paste-linked",
    "select-all",
    "",
    "arrange",
    "fit",
    "minimap",
    "snap",
    "",
    "run",
];
const NODE: &[&str] = &[
    "cut",
    "copy",
    "duplicate",
    "delete",
    "dissolve",
    "",
    "mute",
    "bypass",
    "collapse",
    "pin",
    "",
    "run-to",
    "make-subgraph",
    "open-node",
    "rename",
];

/// What there is beside that for an instance of a subgraph.
const INSTANCE: &[&str] = &["enter-subgraph", "unpack-subgraph"];

/// How all links are drawn.
const LINKS: &[&str] = &["link-style", "hide-links"];

const GROUP: &[&str] = &[
    "rename",
    "select-contents",
    "fit-groups",
    "",
    "cut",
    "copy",
    "duplicate",
    "",
    "mute",
    "bypass",
    "arrange",
    "",
    "ungroup",
    "delete-contents",
];

impl Canvas {
    /// Opens menus at clicks of the right button, and at clicks on a link's middle.
    pub(super) fn menus(
        &mut self,
        response: &Response,
        history: &mut History,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        let asked = response.secondary_clicked();
        let middle =
            matches!(self.hover, Hit::Middle(_)) && response.clicked_by(PointerButton::Primary);
        if (asked || middle)
            && let Some(pointer) = response.interact_pointer_pos()
        {
            self.menu = (self.hover, self.view.to_canvas(pointer));
            if self.hover.node().is_some() || self.hover.group().is_some() {
                self.select_for_moving(self.hover, egui::Modifiers::NONE);
            }
        }
        let (about, at) = self.menu;
        let popup = Popup::context_menu(response).id(response.id.with("menu"));
        let popup =
            if middle { popup.open_memory(egui::SetOpenCommand::Bool(true)) } else { popup };
        popup.at_position(self.view.to_screen(at)).show(|ui| match about {
            Hit::Middle(link) | Hit::Link(link) => {
                self.link_menu(ui, link, at, history, cx, events)
            }
            Hit::Reroute(id) => {
                if item(ui, icons::ICON_DELETE, "Delete the reroute", "") {
                    history.edit("Delete a reroute", |doc| doc.remove_reroute(id));
                }
            }
            Hit::Socket(socket) if crate::doc::is_border(socket.node) => {
                self.border_menu(ui, socket, history);
            }
            Hit::GroupTitle(group) | Hit::GroupCorner(group) => {
                self.group_menu(ui, group, cx, events)
            }
            _ if about.node().is_some() => self.node_menu(ui, about, history, cx, events),
            _ => rows(ui, CANVAS, cx, events),
        });
    }

    fn node_menu(
        &mut self,
        ui: &mut Ui,
        about: Hit,
        history: &mut History,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        let Some(id) = about.node() else { return };
        let Some(class) = history.doc().node(id).map(|n| n.class.clone()) else { return };
        if cx.runs.node(id).is_some_and(|s| !s.images.is_empty()) || class.starts_with("LoadImage")
        {
            if item(ui, icons::ICON_BRUSH, "Edit the mask", "") {
                events.push(Event::EditMask(id));
            }
            ui.separator();
        }
        rows(ui, NODE, cx, events);
        if history.file().subgraph_name(id).is_some() {
            rows(ui, INSTANCE, cx, events);
        }
        self.promote_menu(ui, id, history, cx);
        submenu(ui, icons::ICON_ALIGN_HORIZONTAL_LEFT, Menu::Arrange, cx, events);
        submenu(ui, icons::ICON_PALETTE, Menu::Color, cx, events);
        if item(ui, icons::ICON_HELP, "Help", "F1") {
            events.push(Event::Help(class));
        }
    }

    fn link_menu(
        &self,
        ui: &mut Ui,
        link: LinkId,
        at: Pos2,
        history: &mut History,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        if item(ui, icons::ICON_ADD_CIRCLE, "Insert a node", "") {
            let purpose = Purpose::Insert(link);
            events.push(Event::OpenPalette {
                at: at.into(),
                screen: self.view.to_screen(at),
                purpose,
            });
        }
        if item(ui, icons::ICON_COMMIT, "Add a reroute", "Alt+click") {
            history.edit("Add a reroute", |doc| self.add_reroute(doc, link, at));
        }
        if item(ui, icons::ICON_LINK_OFF, "Delete the link", "") {
            history.edit("Disconnect", |doc| doc.disconnect(link));
        }
        ui.separator();
        rows(ui, LINKS, cx, events);
    }

    fn group_menu(&self, ui: &mut Ui, group: usize, cx: &CanvasContext, events: &mut Vec<Event>) {
        if self.scene.groups.get(group).is_none() {
            return;
        }
        rows(ui, GROUP, cx, events);
        submenu(ui, icons::ICON_PALETTE, Menu::Color, cx, events);
    }
}

/// A row; whether it was clicked.
pub(super) fn item(ui: &mut Ui, icon: MaterialIcon, title: &str, keys: &str) -> bool {
    ui.add(Button::new((icon.rich_text(), title)).shortcut_text(keys)).clicked()
}

/// The window's actions of these ids.
fn rows(ui: &mut Ui, ids: &[&'static str], cx: &CanvasContext, events: &mut Vec<Event>) {
    for id in ids {
        if id.is_empty() {
            ui.separator();
        } else {
            row(ui, action(id), cx, events);
        }
    }
}

/// One of the window's menus.
fn submenu(
    ui: &mut Ui,
    icon: MaterialIcon,
    menu: Menu,
    cx: &CanvasContext,
    events: &mut Vec<Event>,
) {
    ui.menu_button((icon.rich_text(), menu.title()), |ui| {
        let mut part = 0;
        for action in menu.actions() {
            if part != action.part {
                ui.separator();
            }
            part = action.part;
            row(ui, action, cx, events);
        }
    });
}

fn row(ui: &mut Ui, action: &Action, cx: &CanvasContext, events: &mut Vec<Event>) {
    ui.add_enabled_ui(cx.able.contains(action.id), |ui| {
        if item(ui, action.icon, action.title, &action.key(ui.ctx())) {
            events.push(Event::Action(action.id));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_an_action_of_the_window() {
        let all = [CANVAS, NODE, GROUP, INSTANCE, LINKS].concat();
        all.iter().filter(|id| !id.is_empty()).for_each(|id| assert_eq!(action(id).id, *id));
    }
}
