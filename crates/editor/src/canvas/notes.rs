//! Notes: paper to write on. Those in Markdown are shown as it means, and typed in after a double click.

use super::{
    brush::Brush,
    nodes::Look,
    show::Shown,
    widgets::{Told, Wish},
};
use crate::theme::{GAP, TEXT};
use egui::{
    FontId, Frame, Id, Key, OutputCommand, Rect, Response, ScrollArea, Sense, TextEdit, TextStyle,
    Ui, UiBuilder, WidgetInfo, accesskit::Role,
};
use egui_commonmark::{CommonMarkCache, CommonMarkViewer};
use graph::Json;
use std::cell::RefCell;

/// What is kept of rendered notes from frame to frame.
#[derive(Default)]
pub struct Markdown(RefCell<CommonMarkCache>);

/// The text of a note.
pub fn show(ui: &mut Ui, brush: &Brush, look: &Look, markdown: &Markdown, shown: &mut Shown) {
    let body = Rect::from_min_size(look.placed.pos, look.placed.layout.body).shrink(GAP);
    if !body.is_positive() {
        return;
    }
    let rect = brush.view.rect_to_screen(body);
    let id: Id = ui.scope_id().with(("note", look.node.id));
    let mut ui = ui.new_child(UiBuilder::new().max_rect(rect).scope_id(id));
    ui.shrink_clip_rect(rect);
    let note = Note { id, name: format!("{}: text", look.title), text: text_of(&look.node.values) };
    let typing = id.with("typing");
    let told = if look.node.class == "MarkdownNote" && !note.is_typed(&ui, typing) {
        note.rendered(&mut ui, brush, rect, typing, markdown);
        None
    } else {
        Some(note.typed(&mut ui, brush, rect, typing))
    };
    if let Some(told) = told.filter(|told| told.wish.is_some() || told.settled) {
        shown.wishes.push((look.node.id, String::new(), told));
    }
}

struct Note<'a> {
    id: Id,
    name: String,
    text: &'a str,
}

impl Note<'_> {
    fn is_typed(&self, ui: &Ui, typing: Id) -> bool {
        ui.data(|d| d.get_temp(typing)).unwrap_or(false)
    }

    /// Paper with words on it.
    fn typed(&self, ui: &mut Ui, brush: &Brush, rect: Rect, typing: Id) -> Told {
        let mut text = self.text.to_owned();
        let response = ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            let edit = TextEdit::multiline(&mut text).id(self.id.with("text")).frame(Frame::NONE);
            let edit =
                edit.font(FontId::proportional(TEXT * brush.zoom)).desired_width(f32::INFINITY);
            ui.add(edit.min_size(rect.size()).desired_rows(1).hint_text("Words beside the graph"))
        });
        let response = response.inner;
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(self.name.clone()));
        let began = ui.data_mut(|d| d.remove_temp::<bool>(typing.with("began")));
        if began.is_some() {
            response.request_focus();
        }
        let settled = response.lost_focus();
        if settled {
            ui.data_mut(|d| d.remove::<bool>(typing));
        }
        Told { wish: response.changed().then_some(Wish::Words(text)), settled }
    }

    /// Headings, lists, links; a double click or Enter begins to type.
    fn rendered(&self, ui: &mut Ui, brush: &Brush, rect: Rect, typing: Id, markdown: &Markdown) {
        // Below the links, which take the clicks that are theirs.
        let paper = ui.interact(rect, self.id.with("paper"), Sense::click());
        paper.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Document, true, &self.name);
            info.current_text_value = Some(self.text.to_owned());
            info
        });
        style(ui, brush);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            if self.text.is_empty() {
                ui.weak("Double-click to write");
            }
            let mut cache = markdown.0.borrow_mut();
            CommonMarkViewer::new()
                .indentation_spaces(2)
                .default_width(Some(rect.width() as usize))
                .show_with_id(self.id.with("markdown"), ui, &mut cache, self.text);
        });
        only_web_links(ui);
        if paper.double_clicked() || entered(ui, &paper) {
            ui.data_mut(|d| {
                d.insert_temp(typing, true);
                d.insert_temp(typing.with("began"), true);
            });
        }
    }
}

fn entered(ui: &Ui, paper: &Response) -> bool {
    paper.has_focus() && ui.input(|i| i.key_pressed(Key::Enter))
}

/// Notes come with other people's graphs: their links lead to pages, and start nothing.
fn only_web_links(ui: &Ui) {
    let is_page = |url: &str| ["http://", "https://"].iter().any(|start| url.starts_with(start));
    ui.output_mut(|output| {
        output.commands.retain(|command| match command {
            OutputCommand::OpenUrl(open) => is_page(&open.url),
            _ => true,
        });
    });
}

/// Type sizes of paper at the zoom.
fn style(ui: &mut Ui, brush: &Brush) {
    let style = ui.style_mut();
    style.override_font_id = None;
    style.url_in_tooltip = true;
    for (text, font) in &mut style.text_styles {
        font.size = brush.zoom * if *text == TextStyle::Heading { TEXT * 1.6 } else { TEXT };
    }
}

/// A note's words: the first of its values.
fn text_of(values: &Json) -> &str {
    values.get(0).or_else(|| values.get("text")).and_then(Json::as_str).unwrap_or("")
}
