//! Menus at the pointer: of the canvas, of nodes, of links, of groups. What the window does is an action by
//! its id; what the canvas does itself is a function here.

use super::{Canvas, CanvasContext, Event, Purpose, scene::Hit};
use crate::doc::{Doc, History, Id, LinkId, Mode};
use egui::{Button, PointerButton, Popup, Pos2, Response, Ui};
use egui_material_icons::{MaterialIcon, icons};
use std::collections::BTreeSet;

/// A row of a menu.
enum Row {
    /// One of the window's actions: its id, icon, title and keys.
    Action(&'static str, MaterialIcon, &'static str, &'static str),
    /// A change of the selected nodes, its icon and its keys.
    Nodes(&'static str, MaterialIcon, &'static str, fn(&mut Doc, &BTreeSet<Id>)),
    Line,
}

const CANVAS: &[Row] = &[
    Row::Action("add-node", icons::ICON_ADD_CIRCLE, "Add a node", "double click"),
    Row::Action("add-note", icons::ICON_STICKY_NOTE_2, "Add a note", ""),
    Row::Action("paste", icons::ICON_CONTENT_PASTE, "Paste", "Ctrl+V"),
    Row::Line,
    Row::Action("select-all", icons::ICON_SELECT_ALL, "Select all", "Ctrl+A"),
    Row::Action("group", icons::ICON_GROUP_WORK, "Group the selection", "Ctrl+G"),
    Row::Action("arrange", icons::ICON_ACCOUNT_TREE, "Arrange", ""),
    Row::Action("fit", icons::ICON_FIT_SCREEN, "Fit into view", "."),
    Row::Line,
    Row::Action("queue", icons::ICON_PLAY_ARROW, "Run", "Ctrl+Enter"),
];

const NODE: &[Row] = &[
    Row::Action("copy", icons::ICON_CONTENT_COPY, "Copy", "Ctrl+C"),
    Row::Action("duplicate", icons::ICON_CONTENT_COPY, "Duplicate", ""),
    Row::Nodes("Delete", icons::ICON_DELETE, "Del", |doc, ids| doc.remove(ids)),
    Row::Nodes("Delete, keep links", icons::ICON_LINK, "", |doc, ids| doc.dissolve(ids)),
    Row::Line,
    Row::Nodes("Mute", icons::ICON_BLOCK, "Ctrl+M", |doc, ids| doc.toggle_mode(ids, Mode::Muted)),
    Row::Nodes("Bypass", icons::ICON_KEYBOARD_DOUBLE_ARROW_RIGHT, "Ctrl+B", |doc, ids| {
        doc.toggle_mode(ids, Mode::Bypassed);
    }),
    Row::Nodes("Collapse", icons::ICON_UNFOLD_LESS, "Alt+C", |doc, ids| {
        let open = ids.iter().any(|id| doc.node(*id).is_some_and(|n| !n.collapsed));
        doc.set_collapsed(ids, open);
    }),
    Row::Nodes("Pin", icons::ICON_PUSH_PIN, "P", |doc, ids| {
        let loose = ids.iter().any(|id| doc.node(*id).is_some_and(|n| !n.pinned));
        doc.set_pinned(ids, loose);
    }),
    Row::Line,
    Row::Action("group", icons::ICON_GROUP_WORK, "Group", "Ctrl+G"),
    Row::Action("make-subgraph", icons::ICON_SCHEMA, "Make a subgraph", "Ctrl+Shift+E"),
    Row::Action("run-to", icons::ICON_PLAY_ARROW, "Run up to here", ""),
];

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
        let asked = response.secondary_clicked();
        let middle =
            matches!(self.hover, Hit::Middle(_)) && response.clicked_by(PointerButton::Primary);
        if (asked || middle)
            && let Some(pointer) = response.interact_pointer_pos()
        {
            self.menu = (self.hover, self.view.to_canvas(pointer));
            if let Some(id) = self.hover.node().filter(|id| !self.selection.contains(id)) {
                self.selection = BTreeSet::from([id]);
            }
        }
        let (about, at) = self.menu;
        let popup = Popup::context_menu(response).id(response.id.with("menu"));
        let popup =
            if middle { popup.open_memory(egui::SetOpenCommand::Bool(true)) } else { popup };
        popup.at_position(self.view.to_screen(at)).show(|ui| match about {
            Hit::Middle(link) | Hit::Link(link) => self.link_menu(ui, link, at, history, events),
            Hit::GroupTitle(group) | Hit::GroupCorner(group) => self.group_menu(ui, group, history),
            _ if about.node().is_some() => self.node_menu(ui, about, history, cx, events),
            _ => self.rows(ui, CANVAS, history, events),
        });
    }

    fn rows(&self, ui: &mut Ui, rows: &[Row], history: &mut History, events: &mut Vec<Event>) {
        for row in rows {
            match row {
                Row::Line => drop(ui.separator()),
                Row::Action(id, icon, title, keys) => {
                    if item(ui, *icon, title, keys) {
                        events.push(Event::Action(id));
                    }
                }
                Row::Nodes(title, icon, keys, change) => {
                    if item(ui, *icon, title, keys) {
                        history.edit(title, |doc| change(doc, &self.selection));
                    }
                }
            }
        }
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
        self.rows(ui, NODE, history, events);
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
