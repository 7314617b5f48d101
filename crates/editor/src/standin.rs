//! Stand-ins until the document's history and the canvas are here.

use crate::{
    catalog::Catalog,
    doc::{Doc, Id},
    runs::Runs,
    theme::Theme,
};
use std::collections::BTreeSet;

pub struct History {
    doc: Doc,
    past: Vec<(Doc, &'static str)>,
    future: Vec<(Doc, &'static str)>,
    revision: u64,
}

impl History {
    pub fn new(doc: Doc) -> Self {
        Self { doc, past: vec![], future: vec![], revision: 0 }
    }
    pub fn doc(&self) -> &Doc {
        &self.doc
    }
    pub fn revision(&self) -> u64 {
        self.revision
    }
    pub fn edit<R>(&mut self, what: &'static str, f: impl FnOnce(&mut Doc) -> R) -> R {
        self.past.push((self.doc.clone(), what));
        self.revision += 1;
        f(&mut self.doc)
    }
    pub fn undo(&mut self) -> Option<&'static str> {
        let (doc, what) = self.past.pop()?;
        self.future.push((std::mem::replace(&mut self.doc, doc), what));
        self.revision += 1;
        Some(what)
    }
    pub fn redo(&mut self) -> Option<&'static str> {
        let (doc, what) = self.future.pop()?;
        self.past.push((std::mem::replace(&mut self.doc, doc), what));
        self.revision += 1;
        Some(what)
    }
}

#[derive(Default)]
pub struct Canvas {
    pub selection: BTreeSet<Id>,
}

pub struct CanvasContext<'a> {
    pub catalog: &'a Catalog,
    pub theme: &'a Theme,
    pub runs: &'a Runs,
}

impl Canvas {
    pub fn ui(&mut self, ui: &mut egui::Ui, history: &mut History, cx: &CanvasContext) {
        let rect = ui.available_rect_before_wrap();
        ui.painter().rect_filled(rect, 0.0, cx.theme.canvas);
        for node in history.doc().nodes() {
            let pos = rect.min + egui::vec2(60.0 + node.pos[0], 80.0 + node.pos[1]);
            let r = egui::Rect::from_min_size(pos, node.size.into());
            ui.painter().rect_filled(r, 6.0, cx.theme.node);
            ui.painter().text(
                r.min,
                egui::Align2::LEFT_BOTTOM,
                node.label(),
                egui::FontId::proportional(13.0),
                cx.theme.text,
            );
        }
        ui.allocate_rect(rect, egui::Sense::click());
    }
}
