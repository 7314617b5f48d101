//! All nodes by name, category and documentation, and the pictures there are to load; what is chosen
//! comes into the graph.

use crate::{
    app::App,
    canvas::{PendingLink, Purpose},
    catalog::Catalog,
    doc::{Doc, Id, fits},
    help, panels,
    picker::{Line, Picker},
    pictures::Picture,
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

/// Of the list and the help beside it, in points.
const HEIGHT: f32 = 480.0;

impl Palette {
    pub fn new(at: [f32; 2], purpose: Purpose) -> Self {
        Self { picker: Picker::default(), at, purpose }
    }

    /// Draws it, with what there is to know of the marked line beside; whether it is done.
    pub fn ui(&mut self, app: &mut App, ui: &mut Ui) -> bool {
        let pictures = app.catalog.choices(LOADER, PICTURE).unwrap_or_default();
        let nodes = offered(app.catalog.types, &self.purpose);
        let loader = nodes.iter().copied().find(|ty| ty.name == LOADER);
        let loads = pictures.iter().filter_map(|name| Some(Offer::Picture(loader?, name)));
        let all: Vec<Offer> = nodes.iter().copied().map(Offer::Node).chain(loads).collect();
        let (mut marked, mut chosen) = (None, false);
        ui.set_max_height(HEIGHT);
        ui.horizontal_top(|ui| {
            // It does not change its size while someone types.
            ui.set_height(HEIGHT);
            ui.vertical(|ui| {
                ui.set_width(420.0);
                let (question, line) = ("Which node?", |offer: Offer| offer.line(app));
                (marked, chosen) =
                    self.picker.ui(ui, &app.theme, question, &all, Offer::words, line);
            });
            ui.separator();
            ui.vertical(|ui| {
                ui.set_width(300.0);
                ScrollArea::vertical().id_salt("node help").max_height(HEIGHT).show(ui, |ui| {
                    marked.into_iter().for_each(|offer| offer.help(app, ui));
                });
            });
        });
        if let Some(offer) = marked.filter(|_| chosen) {
            self.put(app, offer);
        }
        chosen
    }

    fn put(&self, app: &mut App, offer: Offer) {
        let tab = &mut app.tabs[app.active];
        let (catalog, ty) = (&app.catalog, offer.class());
        tab.history.edit("Add a node", |doc| {
            let id = add(doc, catalog, ty, self.at);
            if let Offer::Picture(_, name) = offer {
                doc.set_widget(id, PICTURE, name.into(), &catalog.contract);
            }
            match &self.purpose {
                Purpose::Add => {}
                Purpose::Fit(link) => attach(doc, link, id),
                Purpose::Insert(link) => drop(doc.insert_on(*link, id)),
            }
        });
    }
}

/// The class that loads a picture, and its input.
pub const LOADER: &str = "LoadImage";
const PICTURE: &str = "image";

/// A line of the palette.
#[derive(Clone, Copy)]
enum Offer<'a> {
    Node(&'a NodeType),
    /// A picture of the input folder, and what loads it.
    Picture(&'a NodeType, &'a str),
}

impl<'a> Offer<'a> {
    fn class(self) -> &'a NodeType {
        match self {
            Self::Node(ty) | Self::Picture(ty, _) => ty,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Node(ty) => format!("{} {} {} {}", ty.title, ty.name, ty.category, ty.doc),
            Self::Picture(_, name) => name.to_owned(),
        }
    }

    fn line(self, app: &App) -> Line {
        let (text, shortcut, picture) = match self {
            Self::Node(ty) => (ty.title.clone(), ty.category.to_owned(), None),
            Self::Picture(ty, name) => {
                let picture = app.runs.thumbnails.get(&Picture::input(name));
                (name.to_owned(), ty.title.clone(), Some(picture))
            }
        };
        Line { name: text.clone(), text, shortcut, enabled: true, picture }
    }

    fn help(self, app: &App, ui: &mut Ui) {
        ScrollArea::vertical().id_salt("node help").max_height(HEIGHT).show(ui, |ui| {
            if let Self::Picture(_, name) = self {
                let thumbnail = app.runs.thumbnails.get(&Picture::input(name));
                panels::picture(ui, &app.theme, &thumbnail, 280.0, name);
            }
            help::class(ui, &app.theme, self.class());
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
