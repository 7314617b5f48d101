//! What a graph needs that is not here: classes of nodes, and files.

use crate::{
    app::App,
    catalog::Catalog,
    dialog::heading,
    doc::{Doc, Node, widgets},
    theme::{GAP, Theme},
};
use egui::{RichText, ScrollArea, Ui};
use std::collections::BTreeMap;

/// Everything that is missing.
#[derive(Default)]
pub struct Report {
    /// Classes that this program does not run, and how many nodes are of each.
    classes: BTreeMap<String, usize>,
    files: Vec<File>,
}

struct File {
    name: String,
    /// Whose folders were searched, in the host's words.
    why: String,
    near: Vec<String>,
}

/// Classes that only editors know: they run nothing.
const EDITORS: &[&str] = &["Note", "MarkdownNote", "Reroute", "PrimitiveNode"];

impl Report {
    /// What the graph that is seen lacks.
    pub fn of(app: &App) -> Self {
        let mut report = Self::default();
        let doc = app.tab().history.doc();
        for node in doc.nodes() {
            report.class(app, node);
            report.files(app, doc, node);
        }
        report
    }

    fn class(&mut self, app: &App, node: &Node) {
        let known = app.catalog.get(&node.class).is_some() || EDITORS.contains(&&*node.class);
        if !known {
            *self.classes.entry(node.class.clone()).or_default() += 1;
        }
    }

    fn files(&mut self, app: &App, doc: &Doc, node: &Node) {
        for (folder, name) in named(&app.catalog, doc, node) {
            let Err(error) = app.setup.host.find(folder, &name) else { continue };
            if self.files.iter().all(|file| file.name != name) {
                let all = app.setup.host.list(folder);
                let near = engine::nearest(&name, all.iter().map(String::as_str));
                let near = near.into_iter().map(str::to_owned).collect();
                self.files.push(File { name, why: format!("{error:#}"), near });
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.files.is_empty()
    }

    /// Draws it; whether the dialog is done.
    pub fn ui(&mut self, theme: &Theme, ui: &mut Ui) -> bool {
        ui.set_width(560.0);
        heading(ui, "This graph needs what is not here");
        ScrollArea::vertical().id_salt("missing").max_height(460.0).show(ui, |ui| {
            if !self.classes.is_empty() {
                ui.label(RichText::new("Nodes that Weft does not have").strong());
                ui.label(RichText::new("They stay in the graph as they are.").color(theme.dim));
            }
            for (class, count) in &self.classes {
                ui.label(format!("{class}  × {count}"));
            }
            ui.add_space(GAP);
            for file in &self.files {
                ui.label(RichText::new(&file.name).strong());
                ui.label(RichText::new(&file.why).color(theme.dim));
                if !file.near.is_empty() {
                    ui.label(format!("Near names that are here: {}", file.near.join(", ")));
                }
                ui.add_space(GAP);
            }
        });
        ui.button("Close").clicked()
    }
}

/// The files that a node's widgets name, with their folders.
fn named(catalog: &Catalog, doc: &Doc, node: &Node) -> Vec<(&'static str, String)> {
    let Some(ty) = catalog.get(&node.class) else { return Vec::new() };
    let all = widgets(doc, node.id, &catalog.contract).into_iter().filter(|w| !w.linked);
    all.filter_map(|w| Some((ty.input(&w.name)?.folder()?, w.value.as_str()?.to_owned()))).collect()
}
