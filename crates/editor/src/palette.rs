//! All nodes by name, category and documentation; what is chosen comes into the graph.

use crate::{
    app::App,
    canvas::{PendingLink, Purpose},
    catalog::Catalog,
    doc::{Doc, Id, fits},
    help,
    picker::{Line, Picker},
};
use egui::{ScrollArea, Ui};
use graph::NodeType;

/// The palette while it is open.
pub struct Palette {
    picker: Picker,
    /// Where on the canvas the node will be.
    at: [f32; 2],
    purpose: Purpose,
}

impl Palette {
    pub fn new(at: [f32; 2], purpose: Purpose) -> Self {
        Self { picker: Picker::default(), at, purpose }
    }

    /// Draws it, with the help of the marked node beside; whether it is done.
    pub fn ui(&mut self, app: &mut App, ui: &mut Ui) -> bool {
        let all = offered(app.catalog.types, &self.purpose);
        let line = |ty: &NodeType| Line {
            name: ty.title.clone(),
            text: ty.title.clone(),
            shortcut: ty.category.to_owned(),
            enabled: true,
        };
        let (mut marked, mut chosen) = (None, false);
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(420.0);
                let question = "Which node?";
                (marked, chosen) = self.picker.ui(ui, &app.theme, question, &all, words, line);
            });
            ui.separator();
            ui.vertical(|ui| {
                ui.set_width(300.0);
                ScrollArea::vertical().id_salt("node help").max_height(480.0).show(ui, |ui| {
                    marked.into_iter().for_each(|ty| help::class(ui, &app.theme, ty));
                });
            });
        });
        if let Some(ty) = marked.filter(|_| chosen) {
            self.put(app, ty);
        }
        chosen
    }

    fn put(&self, app: &mut App, ty: &NodeType) {
        let tab = &mut app.tabs[app.active];
        tab.history.edit("Add a node", |doc| {
            let id = add(doc, &app.catalog, ty, self.at);
            match &self.purpose {
                Purpose::Add => {}
                Purpose::Fit(link) => attach(doc, link, id),
                Purpose::Insert(link) => drop(doc.insert_on(*link, id)),
            }
        });
    }
}

/// Adds a node; its lists of files begin with their first one.
pub fn add(doc: &mut Doc, catalog: &Catalog, ty: &NodeType, at: [f32; 2]) -> Id {
    let id = doc.create(ty, &catalog.contract, at);
    for input in ty.inputs.iter().filter(|input| input.folder().is_some()) {
        let first = catalog.choices(ty.name, input.name).and_then(|names| names.into_iter().next());
        if let Some(first) = first {
            doc.set_widget(id, input.name, first.into(), &catalog.contract);
        }
    }
    id
}

/// Links the end in hand to the first socket of the node that fits.
fn attach(doc: &mut Doc, link: &PendingLink, id: Id) {
    let Some(node) = doc.node(id) else { return };
    let slots = if link.fixed.output { node.inputs.len() } else { node.outputs.len() };
    let fixed = (link.fixed.node, link.fixed.slot);
    let ends = |slot| if link.fixed.output { (fixed, (id, slot)) } else { ((id, slot), fixed) };
    let fit = (0..slots).map(ends).find(|(from, to)| doc.can_connect(*from, *to));
    if let Some((from, to)) = fit {
        doc.plug(from, to, link.via, link.moved);
    }
}

/// The classes that serve the purpose.
fn offered<'a>(types: &'a [NodeType], purpose: &Purpose) -> Vec<&'a NodeType> {
    let takes = |ty: &NodeType, out: &str| ty.inputs.iter().any(|i| fits(out, i.ty));
    let gives = |ty: &NodeType, into: &str| ty.outputs.iter().any(|o| fits(o.ty, into));
    let serves = |ty: &&NodeType| match purpose {
        Purpose::Add | Purpose::Insert(_) => true,
        Purpose::Fit(link) if link.fixed.output => takes(ty, &link.ty),
        Purpose::Fit(link) => gives(ty, &link.ty),
    };
    types.iter().filter(serves).collect()
}

fn words(ty: &NodeType) -> String {
    format!("{} {} {} {}", ty.title, ty.name, ty.category, ty.doc)
}
