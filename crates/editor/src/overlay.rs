//! What takes the canvas's place for a while: a picture at full size, a mask that is being painted.

use crate::{
    app::App,
    canvas,
    doc::{Id, Slot, widgets},
    files,
    mask::{self, MaskEditor},
    outpaint::{self, Outpaint, Padding},
    palette::LOADER,
    pictures::Picture,
    viewer::{self, Viewer},
};
use anyhow::Result;
use egui::Ui;
use std::collections::BTreeSet;

pub enum Overlay {
    Viewer(Box<Viewer>),
    /// The node that will load the picture with its mask; a new one if there is none.
    Mask(Box<MaskEditor>, Option<Id>),
    /// The node whose borders they are.
    Outpaint(Box<Outpaint>, Id),
}

impl App {
    pub(crate) fn view(&mut self, pictures: Vec<Picture>, at: usize) {
        let nodes = self.tab().history.doc().nodes();
        let loaded: Vec<Picture> = nodes.filter_map(|node| self.loaded(node.id)).collect();
        let viewer = Viewer::new(pictures, at, &loaded, &self.runs);
        self.overlay = Some(Overlay::Viewer(Box::new(viewer)));
    }

    /// Shows the pictures of a node, beginning with one.
    pub(crate) fn view_node(&mut self, id: Id, at: usize) {
        let made = self.runs.node(id).map(|state| state.pictures.clone()).unwrap_or_default();
        let loaded = self.loaded(id).filter(|_| made.is_empty());
        let pictures: Vec<Picture> = made.into_iter().chain(loaded).collect();
        if !pictures.is_empty() {
            self.view(pictures, at);
        }
    }

    /// Paints a mask on what a node loads, or on what it shows.
    pub(crate) fn edit_mask(&mut self, id: Id) {
        let loaded = self.loaded(id);
        let shown = || self.runs.node(id)?.pictures.first().cloned();
        let Some(picture) = loaded.clone().or_else(shown) else { return };
        self.paint(picture, loaded.map(|_| id));
    }

    fn paint(&mut self, picture: Picture, node: Option<Id>) {
        let editor = MaskEditor::new(picture, self.setup.host.clone(), &self.ctx);
        self.overlay = Some(Overlay::Mask(Box::new(editor), node));
    }

    /// The picture that a node loads.
    fn loaded(&self, id: Id) -> Option<Picture> {
        let doc = self.tab().history.doc();
        let input = self.catalog.picture_input(&doc.node(id)?.class)?;
        canvas::images::loaded(input, &widgets(doc, id, &self.catalog.contract))
    }

    /// Lets the frame of a node be dragged around the picture that it pads.
    pub(crate) fn outpaint(&mut self, id: Id) {
        let Some(picture) = self.upstream(id) else {
            return self.toasts.tell(
                "There is no picture to put a frame around yet: connect one to the node, or run \
                 the graph once",
            );
        };
        let mut padding = Padding::default();
        let all = widgets(self.tab().history.doc(), id, &self.catalog.contract);
        for (name, value) in padding.each() {
            let stored = all.iter().find(|widget| widget.name == name);
            *value = stored.and_then(|w| w.value.as_u64()).map_or(0, |n| n.min(16_384) as u32);
        }
        let frame = Outpaint::new(picture, padding, self.setup.host.clone(), &self.ctx);
        self.overlay = Some(Overlay::Outpaint(Box::new(frame), id));
    }

    /// The last picture known of those that come into a node: what a node above loads, or what was shown
    /// of its output.
    fn upstream(&self, id: Id) -> Option<Picture> {
        let doc = self.tab().history.doc();
        let (mut at, mut seen) = (id, BTreeSet::new());
        while seen.insert(at) {
            let node = doc.node(at)?;
            let carries = |slot: &Slot| matches!(slot.ty.as_str(), "IMAGE" | "*");
            let inputs = node.inputs.iter().enumerate().filter(|(_, slot)| carries(slot));
            let link = inputs.filter_map(|(slot, _)| doc.link_into(at, slot)).next()?;
            let from = (doc.links[&link].from, doc.links[&link].from_slot);
            let shown = || {
                let ends = doc.links_from(from.0, from.1).map(|link| doc.links[&link].to);
                let mut nodes = std::iter::once(from.0).chain(ends.filter(|end| *end != id));
                nodes.find_map(|node| self.runs.node(node)?.pictures.first().cloned())
            };
            if let Some(picture) = self.loaded(from.0).or_else(shown) {
                return Some(picture);
            }
            at = from.0;
        }
        None
    }

    fn pad(&mut self, id: Id, mut padding: Padding) {
        let tab = &mut self.tabs[self.active];
        tab.history.edit("Drag the frame", |doc| {
            for (name, value) in padding.each() {
                doc.set_widget(id, name, (*value).into(), &self.catalog.contract);
            }
        });
    }

    /// Draws it; whether there is one.
    pub(crate) fn show_overlay(&mut self, ui: &mut Ui) -> bool {
        match self.overlay.take() {
            None => return false,
            Some(Overlay::Viewer(mut viewer)) => match viewer.ui(ui, &self.theme, &self.runs) {
                None => self.overlay = Some(Overlay::Viewer(viewer)),
                Some(viewer::Event::Close) => {}
                Some(viewer::Event::EditMask(picture)) => self.paint(picture, None),
                Some(viewer::Event::SaveAs(picture)) => {
                    self.overlay = Some(Overlay::Viewer(viewer));
                    let asked = self.save_picture(&picture);
                    self.tell_error(asked);
                }
            },
            Some(Overlay::Mask(mut editor, node)) => match editor.ui(ui, &self.theme) {
                None => self.overlay = Some(Overlay::Mask(editor, node)),
                Some(mask::Event::Close) => {}
                Some(mask::Event::Done(name)) => self.load_masked(&name, node),
            },
            Some(Overlay::Outpaint(mut frame, id)) => match frame.ui(ui, &self.theme) {
                None => self.overlay = Some(Overlay::Outpaint(frame, id)),
                Some(outpaint::Event::Close) => {}
                Some(outpaint::Event::Done(padding)) => self.pad(id, padding),
            },
        }
        true
    }

    fn save_picture(&mut self, picture: &Picture) -> Result<()> {
        let from = picture.path(&*self.setup.host)?;
        self.answers.save_copy(from, files::file_name(picture));
        Ok(())
    }

    /// Lets a node load a picture of the input folder: the one given, the selected one that can, or a new
    /// one.
    pub(crate) fn load_picture(&mut self, name: &str, node: Option<Id>) {
        let tab = self.tab();
        let loads = |id: &Id| tab.history.doc().node(*id).is_some_and(|n| n.class == LOADER);
        let node = node.or_else(|| tab.canvas.selection.iter().copied().find(loads));
        self.load_into(name, node);
    }

    /// Lets a node, or a new one, load a picture of the input folder; gives the new one.
    pub(crate) fn load_into(&mut self, name: &str, node: Option<Id>) -> Option<Id> {
        self.catalog.refresh();
        let tab = &mut self.tabs[self.active];
        let (catalog, mut at) = (&self.catalog, tab.canvas.place(&self.ctx));
        let new = catalog.get(LOADER);
        let mut made = None;
        tab.history.edit("Load a picture", |doc| {
            // Several that come at once must not hide each other.
            while doc.nodes().any(|node| node.pos == at) {
                at = at.map(|side| side + BESIDE);
            }
            let id = node.or_else(|| Some(crate::palette::add(doc, catalog, new?, at)));
            let class = id.and_then(|id| doc.node(id)).map(|node| node.class.clone());
            let input = class.and_then(|class| catalog.picture_input(&class));
            if let (Some(id), Some(input)) = (id, input) {
                doc.set_widget(id, input, name.into(), &catalog.contract);
                made = Some(id).filter(|_| node.is_none());
            }
        });
        self.toasts.tell(format!("{name} is in the input folder"));
        made
    }

    fn load_masked(&mut self, name: &str, node: Option<Id>) {
        if let Some(made) = self.load_into(name, node) {
            self.tab_mut().canvas.selection = BTreeSet::from([made]);
        }
    }
}

/// From a node that is in the way to where the next one may be, in canvas units.
const BESIDE: f32 = 40.0;
