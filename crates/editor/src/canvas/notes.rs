//! Notes: paper to write on.

use super::{
    brush::Brush,
    nodes::Look,
    show::Shown,
    widgets::{Told, Wish},
};
use crate::theme::{GAP, TEXT};
use egui::{FontId, Frame, Id, Rect, ScrollArea, TextEdit, Ui, UiBuilder};
use graph::Json;

/// The text of a note, to be typed in.
pub fn show(ui: &mut Ui, brush: &Brush, look: &Look, shown: &mut Shown) {
    let body = Rect::from_min_size(look.placed.pos, look.placed.layout.body).shrink(GAP);
    if !body.is_positive() {
        return;
    }
    let rect = brush.view.rect_to_screen(body);
    let id: Id = ui.scope_id().with(("note", look.node.id));
    let mut ui = ui.new_child(UiBuilder::new().max_rect(rect).scope_id(id));
    ui.shrink_clip_rect(rect);
    let mut text = text_of(&look.node.values).to_owned();
    let response = ScrollArea::vertical().auto_shrink(false).show(&mut ui, |ui| {
        let edit = TextEdit::multiline(&mut text).id(id.with("text")).frame(Frame::NONE);
        let edit = edit.font(FontId::proportional(TEXT * brush.zoom)).desired_width(f32::INFINITY);
        ui.add(edit.min_size(rect.size()).desired_rows(1).hint_text("Words beside the graph"))
    });
    let response = response.inner;
    let name = format!("{}: text", look.title);
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(name));
    let wish = response.changed().then(|| Wish::Words(text));
    let settled = response.lost_focus();
    if wish.is_some() || settled {
        shown.wishes.push((look.node.id, String::new(), Told { wish, settled }));
    }
}

/// A note's words: the first of its values.
fn text_of(values: &Json) -> &str {
    values.get(0).or_else(|| values.get("text")).and_then(Json::as_str).unwrap_or("")
}
