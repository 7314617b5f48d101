//! What a node is for, from its own documentation.

use crate::{app::App, theme::Theme};
use egui::{RichText, Ui};
use graph::NodeType;

/// The class of the selected node, or how to go on if none is selected.
pub fn ui(app: &mut App, ui: &mut Ui) {
    let tab = app.tab();
    let node = tab.canvas.selection.first().and_then(|id| tab.history.doc().node(*id));
    match node.map(|node| (&node.class, app.catalog.get(&node.class))) {
        Some((_, Some(ty))) => class(ui, &app.theme, ty),
        Some((name, None)) => drop(ui.label(format!("Weft does not have the node {name}."))),
        None => drop(ui.label("Select a node to read what it does.")),
    }
}

/// A class of node with its sockets.
pub fn class(ui: &mut Ui, theme: &Theme, ty: &NodeType) {
    ui.label(RichText::new(&ty.title).heading());
    ui.label(RichText::new(format!("{}  ·  {}", ty.name, ty.category)).small().color(theme.dim));
    ui.label(ty.doc);
    for input in &ty.inputs {
        ui.separator();
        socket(ui, theme, input.name, input.ty);
        ui.label(input.doc);
    }
    if !ty.outputs.is_empty() {
        ui.separator();
        ui.label(RichText::new("Gives").strong());
    }
    for output in &ty.outputs {
        socket(ui, theme, output.name, output.ty);
    }
}

fn socket(ui: &mut Ui, theme: &Theme, name: &str, ty: &str) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(name).strong());
        ui.label(RichText::new(ty.to_lowercase()).small().color(theme.socket(ty)));
    });
}
