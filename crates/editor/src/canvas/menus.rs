//! Menus at the pointer: of the canvas, of nodes, of links, of groups. What the window does is an action by
//! its id; what the canvas does itself is a function here.

use super::{Canvas, CanvasContext, Event, Purpose, scene::Hit};
use crate::{
    actions::action,
    doc::{History, LinkId, Mode},
};
use egui::{Button, PointerButton, Popup, Pos2, Response, Ui};
use egui_material_icons::{MaterialIcon, icons};
use std::collections::BTreeSet;

/// Actions of the window by their ids; nothing stands for a line.
const CANVAS: &[&str] = &["add-node", "add-note", "", "select-all", "fit", "", "run"];
const NODE: &[&str] =
    &["delete", "dissolve", "", "mute", "bypass", "collapse", "pin", "", "run-to"];

/// Colours for title bar and body, as files know them.
const COLORS: &[(&str, Option<[&str; 2]>)] = &[
    ("None", None),
    ("Red", Some(["#322", "#533"])),
    ("Brown", Some(["#332922", "#593930"])),
    ("Green", Some(["#232", "#353"])),
    ("Blue", Some(["#223", "#335"])),
    ("Pale blue", Some(["#2a363b", "#3f5159"])),
    ("Cyan", Some(["#233", "#355"])),
    ("Purple", Some(["#323", "#535"])),
    ("Yellow", Some(["#432", "#653"])),
    ("Black", Some(["#222", "#000"])),
];

const GROUP_COLORS: &[(&str, &str)] = &[
    ("Blue", "#3f789e"),
    ("Green", "#8a8"),
    ("Purple", "#a1309b"),
    ("Red", "#a88"),
    ("Yellow", "#b58b2a"),
    ("Grey", "#888888"),
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
        let asked = self.asked_for_menu(response);
        let middle =
            matches!(self.hover, Hit::Middle(_)) && response.clicked_by(PointerButton::Primary);
        if (asked || middle)
            && let Some(pointer) = response.ctx.pointer_interact_pos()
        {
            self.menu = (self.hover, self.view.to_canvas(pointer));
            if let Some(id) = self.hover.node().filter(|id| !self.selection.contains(id)) {
                self.selection = BTreeSet::from([id]);
            }
        }
        let (about, at) = self.menu;
        let popup = Popup::context_menu(response).id(response.id.with("menu"));
        let popup = if asked || middle {
            popup.open_memory(egui::SetOpenCommand::Bool(true))
        } else {
            popup
        };
        popup.at_position(self.view.to_screen(at)).show(|ui| match about {
            Hit::Middle(link) | Hit::Link(link) => self.link_menu(ui, link, at, history, events),
            Hit::GroupTitle(group) | Hit::GroupCorner(group) => self.group_menu(ui, group, history),
            _ if about.node().is_some() => self.node_menu(ui, about, history, cx, events),
            _ => rows(ui, CANVAS, events),
        });
    }

    /// Whether the right button was clicked, also on a widget, which takes the click and has no menu itself.
    fn asked_for_menu(&self, response: &Response) -> bool {
        let ctx = &response.ctx;
        let on_canvas = |at: Pos2| {
            self.view.screen.contains(at) && ctx.layer_id_at(at) == Some(response.layer_id)
        };
        ctx.input(|i| i.pointer.secondary_clicked())
            && ctx.pointer_interact_pos().is_some_and(on_canvas)
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
        rows(ui, NODE, events);
        if item(ui, icons::ICON_EDIT, "Rename", "double click") {
            self.rename(id);
        }
        ui.menu_button((icons::ICON_PALETTE.rich_text(), "Colour"), |ui| {
            for (name, colors) in COLORS {
                if ui.button(*name).clicked() {
                    history.edit("Colour", |doc| doc.set_colors(&self.selection, *colors));
                }
            }
        });
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
        if item(ui, icons::ICON_COMMIT, "Add a reroute", "drag the middle") {
            history.edit("Add a reroute", |doc| doc.insert_reroute(link, at.into()));
        }
        if item(ui, icons::ICON_LINK_OFF, "Delete the link", "") {
            history.edit("Disconnect", |doc| doc.disconnect(link));
        }
    }

    fn group_menu(&mut self, ui: &mut Ui, group: usize, history: &mut History) {
        let Some(frame) = self.scene.groups.get(group).copied() else { return };
        if item(ui, icons::ICON_EDIT, "Rename", "double click") {
            self.rename = Some(super::rename::Rename::new(super::rename::Target::Group(group)));
        }
        let inside = self.scene.inside(frame);
        if item(ui, icons::ICON_SELECT_ALL, "Select its nodes", "") {
            self.selection.clone_from(&inside);
        }
        if item(ui, icons::ICON_FIT_SCREEN, "Fit to its nodes", "")
            && let Some(around) = self.scene.around(&inside).filter(|_| !inside.is_empty())
        {
            let around = around.expand(20.0);
            let min = around.min - egui::vec2(0.0, crate::theme::TITLE);
            history.edit("Fit a group", |doc| {
                doc.groups[group].bounding = [min.x, min.y, around.width(), around.max.y - min.y];
            });
        }
        for (title, icon, mode) in [
            ("Mute its nodes", icons::ICON_BLOCK, Mode::Muted),
            ("Bypass its nodes", icons::ICON_KEYBOARD_DOUBLE_ARROW_RIGHT, Mode::Bypassed),
        ] {
            if item(ui, icon, title, "") {
                history.edit(title, |doc| doc.toggle_mode(&inside, mode));
            }
        }
        ui.menu_button((icons::ICON_PALETTE.rich_text(), "Colour"), |ui| {
            for (name, color) in GROUP_COLORS {
                if ui.button(*name).clicked() {
                    history
                        .edit("Colour", |doc| doc.groups[group].color = Some((*color).to_owned()));
                }
            }
        });
        ui.separator();
        if item(ui, icons::ICON_DELETE, "Delete the group", "") {
            history.edit("Delete a group", |doc| drop(doc.groups.remove(group)));
        }
    }
}

/// A row; whether it was clicked.
fn item(ui: &mut Ui, icon: MaterialIcon, title: &str, keys: &str) -> bool {
    ui.add(Button::new((icon.rich_text(), title)).shortcut_text(keys)).clicked()
}

/// The window's actions of these ids.
fn rows(ui: &mut Ui, ids: &[&'static str], events: &mut Vec<Event>) {
    for id in ids {
        if id.is_empty() {
            ui.separator();
            continue;
        }
        let action = action(id);
        if item(ui, action.icon, action.title, &action.key(ui.ctx())) {
            events.push(Event::Action(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_an_action_of_the_window() {
        CANVAS
            .iter()
            .chain(NODE)
            .filter(|id| !id.is_empty())
            .for_each(|id| assert_eq!(action(id).id, *id));
    }
}
