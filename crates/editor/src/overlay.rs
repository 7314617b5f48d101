//! What takes the canvas's place for a while: a picture at full size, a mask that is being painted.

use crate::{
    app::App,
    doc::{Id, widgets},
    files,
    mask::{self, MaskEditor},
    pictures::Picture,
    viewer::{self, Viewer},
};
use anyhow::Result;
use egui::Ui;

pub enum Overlay {
    Viewer(Box<Viewer>),
    /// The node that will load the picture with its mask; a new one if there is none.
    Mask(Box<MaskEditor>, Option<Id>),
}

impl App {
    pub(crate) fn view(&mut self, pictures: Vec<Picture>, at: usize) {
        self.overlay = Some(Overlay::Viewer(Box::new(Viewer::new(pictures, at, &self.runs))));
    }

    /// Shows the pictures of a node, beginning with one.
    pub(crate) fn view_node(&mut self, id: Id, at: usize) {
        let pictures = self.runs.node(id).map(|state| state.pictures.clone()).unwrap_or_default();
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

    /// The picture that a node loads by the name in its widget `image`.
    fn loaded(&self, id: Id) -> Option<Picture> {
        let doc = self.tab().history.doc();
        let all = widgets(doc, id, &self.catalog.contract);
        let image = all.into_iter().find(|w| w.name == "image")?;
        doc.node(id)?.class.starts_with("LoadImage").then_some(())?;
        Some(Picture::input(image.value.as_str()?))
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
                Some(mask::Event::Done(name)) => self.load_picture(&name, node),
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
        self.catalog.refresh();
        let tab = &mut self.tabs[self.active];
        let loads = |id: &Id| tab.history.doc().node(*id).is_some_and(|n| n.class == "LoadImage");
        let node = node.or_else(|| tab.canvas.selection.iter().copied().find(loads));
        let (catalog, at) = (&self.catalog, tab.canvas.place(&self.ctx));
        let Some(ty) = catalog.get("LoadImage") else { return };
        tab.history.edit("Load a picture", |doc| {
            let id = node.unwrap_or_else(|| crate::palette::add(doc, catalog, ty, at));
            doc.set_widget(id, "image", name.into(), &catalog.contract);
        });
        self.toasts.tell(format!("{name} is in the input folder"));
    }
}
