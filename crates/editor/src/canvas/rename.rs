//! Typing a title where it stands.

use super::{
    Canvas, CanvasContext, levels,
    scene::{Socket, group_title},
};
use crate::{
    doc::{File, History, Id},
    theme::{ROW, TEXT, TITLE},
};
use egui::{
    FontId, Key, Rect, TextEdit, Ui, pos2,
    text::{CCursor, CCursorRange},
    text_edit::TextEditState,
    vec2,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    Node(Id),
    Group(usize),
    /// An input or output of the subgraph that is seen.
    Border(Socket),
}

/// A title that is being typed.
#[derive(Clone, Debug)]
pub struct Rename {
    target: Target,
    /// None until the old title is known.
    text: Option<String>,
}

impl Rename {
    pub fn new(target: Target) -> Self {
        Self { target, text: None }
    }
}

impl Canvas {
    /// The field over the title, until Enter, Escape or a click elsewhere.
    pub(super) fn show_rename(&mut self, ui: &mut Ui, history: &mut History, cx: &CanvasContext) {
        let Some(mut rename) = self.rename.take() else { return };
        let Some((rect, old)) = self.titled(rename.target, history.file(), cx) else { return };
        let first = rename.text.is_none();
        let mut text = rename.text.take().unwrap_or(old);
        let size = (TEXT * self.view.zoom()).max(11.0);
        let place = self.view.rect_to_screen(rect).shrink(2.0);
        let place = Rect::from_min_size(place.min, place.size().max(vec2(140.0, size * 1.6)));
        let edit = TextEdit::singleline(&mut text).id(ui.scope_id().with("rename"));
        let response = ui.put(place, edit.font(FontId::proportional(size)));
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_label("Title"));
        if first {
            response.request_focus();
            select_all(ui, response.id, &text);
        }
        if !response.lost_focus() || first {
            rename.text = Some(text);
            self.rename = Some(rename);
        } else if !ui.input(|i| i.key_pressed(Key::Escape)) {
            history.edit("Rename", |doc| match rename.target {
                Target::Node(id) => doc.set_title(id, &text),
                Target::Border(socket) => doc.rename_border(socket.node, socket.slot, &text),
                Target::Group(group) => {
                    if let Some(group) = doc.groups.get_mut(group) {
                        group.title = text;
                    }
                }
            });
        }
    }

    /// Where the title stands, and what it is.
    fn titled(&self, target: Target, file: &File, cx: &CanvasContext) -> Option<(Rect, String)> {
        let doc = file.doc();
        match target {
            Target::Node(id) => {
                let placed = self.scene.get(id)?;
                let bar = Rect::from_min_size(placed.rect().min, vec2(placed.layout.body.x, TITLE));
                let title = levels::title(doc.node(id)?, file.subgraph_name(id), cx.catalog);
                Some((bar.with_min_x(bar.left() + 20.0), title))
            }
            Target::Border(socket) => {
                let at = self.scene.socket(socket)?;
                let left = if socket.output { at.x - 120.0 } else { at.x };
                let place = Rect::from_min_size(pos2(left, at.y - ROW / 2.0), vec2(120.0, ROW));
                Some((place, doc.border_label(socket.node, socket.slot)?.to_owned()))
            }
            Target::Group(group) => {
                let frame = *self.scene.groups.get(group)?;
                let height = group_title(self.view.zoom());
                let bar = Rect::from_min_size(frame.min, vec2(frame.width(), height));
                Some((bar, doc.groups.get(group)?.title.clone()))
            }
        }
    }
}

/// So that typing replaces the old title.
fn select_all(ui: &Ui, field: egui::Id, text: &str) {
    let all = CCursorRange::two(CCursor::new(0), CCursor::new(text.chars().count()));
    let mut state = TextEditState::load(ui.ctx(), field).unwrap_or_default();
    state.cursor.set_char_range(Some(all));
    state.store(ui.ctx(), field);
}
