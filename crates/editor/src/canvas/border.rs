//! Menus for a subgraph: of its inputs and outputs, and of what its instances show of a node.

use super::{
    Canvas, CanvasContext,
    menus::item,
    rename::{Rename, Target},
    scene::Socket,
};
use crate::doc::{History, Id};
use egui::{Button, Ui};
use egui_material_icons::icons;

impl Canvas {
    /// The menu of an input or output of the subgraph that is seen.
    pub(super) fn border_menu(&mut self, ui: &mut Ui, socket: Socket, history: &mut History) {
        let Socket { node, slot, .. } = socket;
        if history.doc().border_label(node, slot).is_none() {
            ui.label("Drag a link here, or from here");
            return;
        }
        if item(ui, icons::ICON_EDIT, "Rename", "") {
            self.rename = Some(Rename::new(Target::Border(socket)));
        }
        if slot > 0 && item(ui, icons::ICON_ARROW_UPWARD, "Move up", "") {
            history.edit("Move a socket", |doc| doc.move_border(node, slot, slot - 1));
        }
        let last = history.doc().border_label(node, slot + 1).is_none();
        if !last && item(ui, icons::ICON_ARROW_DOWNWARD, "Move down", "") {
            history.edit("Move a socket", |doc| doc.move_border(node, slot, slot + 1));
        }
        ui.separator();
        if item(ui, icons::ICON_DELETE, "Remove", "") {
            history.edit("Remove a socket", |doc| doc.remove_border(node, slot));
        }
    }

    /// Which of a node's widgets the instances of the subgraph that is seen show.
    pub(super) fn promote_menu(
        &self,
        ui: &mut Ui,
        id: Id,
        history: &mut History,
        cx: &CanvasContext,
    ) {
        let file = history.file();
        let widgets = file.widgets(id, &cx.catalog.contract);
        if file.path().next().is_none() || widgets.is_empty() {
            return;
        }
        let mut wish = None;
        ui.menu_button((icons::ICON_PUBLISH.rich_text(), "Show on the subgraph"), |ui| {
            for widget in &widgets {
                // What is an input of the subgraph is shown anyhow.
                let input = file.is_input(id, &widget.name);
                let shown = input || file.is_promoted(id, &widget.name);
                let row = Button::selectable(shown, &widget.label);
                if ui.add_enabled(!input, row).clicked() {
                    wish = Some((widget.name.clone(), !shown));
                }
            }
        });
        if let Some((widget, shown)) = wish {
            let what = if shown { "Promote a widget" } else { "Demote a widget" };
            history.edit_file(what, |file| file.promote(id, &widget, shown));
        }
    }
}
