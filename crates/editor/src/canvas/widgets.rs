//! The widgets on a node: one for each kind of value. They show what is in the document and tell what a
//! person wants there instead.

use super::brush::{Brush, line};
use crate::{
    doc::{Control, Widget},
    theme::{CORNER, GAP, ROW, Theme},
    thumbnails::Thumbnails,
};
use egui::{
    Align, Align2, Button, Id, Layout, Rect, Response, RichText, Sense, TextEdit, Ui, UiBuilder,
    WidgetInfo, accesskit::Role, pos2, vec2,
};
use egui_material_icons::{MaterialIcon, icons};
use graph::Json;
use serde_json::{Map, json};

/// A widget in its place on a node.
pub struct Field<'a> {
    pub widget: &'a Widget,
    /// "NODE TITLE: widget".
    pub name: String,
    /// What the row says.
    pub label: &'a str,
    /// What the input is for.
    pub doc: &'a str,
    /// Unique among all widgets on screen.
    pub id: Id,
    /// In canvas units.
    pub rect: Rect,
    /// `min`, `max`, `step`, `round`, as the class declares them.
    pub options: Option<&'a Map<String, Json>>,
    /// What a drop-down list offers.
    pub choices: Vec<String>,
    /// Where the small pictures are, if the list is one of pictures.
    pub pictures: Option<&'a Thumbnails>,
    /// What prompts can name.
    pub embeddings: &'a [String],
    /// What is wrong with the value, in words.
    pub fault: Option<String>,
    /// The title of the node whose link feeds it instead.
    pub source: Option<String>,
    /// Where the file list came from can be added to.
    pub upload: bool,
}

/// What a person did with a widget.
#[derive(Debug, PartialEq)]
pub enum Wish {
    Value(Json),
    Control(Control),
    /// What a note says.
    Words(String),
    /// To add a file to the list.
    Upload,
}

/// What came of drawing a widget.
#[derive(Default)]
pub struct Told {
    pub wish: Option<Wish>,
    /// The end of typing or dragging: the next change is a step of its own.
    pub settled: bool,
}

/// Which widget suits a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number { whole: bool },
    Seed,
    Toggle,
    Choice,
    Color,
    Line,
    Text,
}

impl Field<'_> {
    /// Draws the widget; `ui` has the style for the zoom.
    pub fn show(&self, ui: &mut Ui, brush: &Brush) -> Told {
        let rect = brush.view.rect_to_screen(self.rect);
        if self.widget.linked {
            self.linked(ui, brush);
            return Told::default();
        }
        self.paint_box(brush, rect);
        let builder = UiBuilder::new().max_rect(rect).scope_id(self.id);
        let mut ui = ui.new_child(builder.layout(Layout::right_to_left(Align::Center)));
        ui.shrink_clip_rect(rect.expand(1.0));
        match self.kind() {
            Kind::Number { whole } => self.number(&mut ui, brush, whole),
            Kind::Seed => self.seed(&mut ui, brush),
            Kind::Toggle => self.toggle(&mut ui, brush, rect),
            Kind::Choice => self.choice(&mut ui, brush, rect),
            Kind::Color => self.color(&mut ui, brush),
            Kind::Line => self.line(&mut ui, brush),
            Kind::Text => self.text(&mut ui, brush, rect),
        }
    }

    fn kind(&self) -> Kind {
        let ty = self.widget.spec.as_ref().map_or("", |spec| spec.ty.as_str());
        let control = self.widget.control.is_some();
        match (ty, &self.widget.value) {
            _ if self.is_color(ty) => Kind::Color,
            ("INT", _) if control => Kind::Seed,
            ("INT", _) => Kind::Number { whole: true },
            ("FLOAT", _) => Kind::Number { whole: false },
            ("BOOLEAN", _) | ("", Json::Bool(_)) => Kind::Toggle,
            ("COMBO", _) => Kind::Choice,
            ("", Json::Number(n)) => Kind::Number { whole: n.is_i64() || n.is_u64() },
            _ if super::layout::grows(self.widget) => Kind::Text,
            _ => Kind::Line,
        }
    }

    /// `min`, `max`, `step`, `round`: as this program's class has it, or as is known of others.
    pub fn option(&self, key: &str) -> Option<f64> {
        self.limit(key)?.as_f64()
    }

    pub fn limit(&self, key: &str) -> Option<&Json> {
        let known = self.widget.spec.as_ref().and_then(|spec| match key {
            "min" => Some(&spec.limits[0]),
            "max" => Some(&spec.limits[1]),
            "step" => Some(&spec.step),
            _ => None,
        });
        let own = self.options.and_then(|options| options.get(key));
        own.or(known).filter(|limit| !limit.is_null())
    }

    fn paint_box(&self, brush: &Brush, rect: Rect) {
        let theme = brush.theme;
        brush.painter.rect_filled(rect, brush.corner(CORNER), theme.field);
        if self.fault.is_some() {
            let radius = CORNER * brush.zoom;
            brush.painter.rect_filled(rect, radius, theme.error.gamma_multiply(0.12));
            brush.outline(rect, radius, 1.5, theme.error);
        }
    }

    pub fn paint_label(&self, brush: &Brush) {
        let at = pos2(self.rect.left() + 8.0, self.rect.top() + ROW / 2.0);
        let width = self.rect.width() * 0.55;
        brush.text(line(at, Align2::LEFT_CENTER, brush.theme.dim, width), self.label);
    }

    /// Instead of a widget: where the value comes from.
    fn linked(&self, ui: &Ui, brush: &Brush) {
        let theme = brush.theme;
        let row = Rect::from_min_size(self.rect.min, vec2(self.rect.width(), ROW));
        let screen = brush.view.rect_to_screen(row);
        brush.outline(screen.shrink(1.0), CORNER * brush.zoom, 1.0, theme.field);
        self.paint_label(brush);
        let source = self.source.as_deref().unwrap_or("a link");
        let middle = row.center().y;
        brush.icon(icons::ICON_LINK, pos2(row.right() - 12.0, middle), 13.0, theme.dim);
        let at = pos2(row.right() - 22.0, middle);
        brush.text(line(at, Align2::RIGHT_CENTER, theme.dim, row.width() * 0.42), source);
        let response = ui.interact(screen, self.id.with("linked"), Sense::hover());
        let name = format!("{}, from {source}", self.name);
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
        self.explain(response, theme);
    }

    /// Gives the widget its name for tests and screen readers, and the words that a pointer over it brings.
    pub fn named(&self, response: Response, theme: &Theme) {
        let ctx = response.ctx.clone();
        ctx.accesskit_node_builder(response.id, |node| {
            node.set_label(self.name.clone());
            if let Some(fault) = &self.fault {
                node.set_description(fault.clone());
            }
        });
        // Who types has read them.
        if !response.has_focus() {
            self.explain(response, theme);
        }
    }

    /// What the input is for, what it takes, and what is wrong with it.
    pub fn explain(&self, response: Response, theme: &Theme) {
        response.on_hover_ui(|ui| {
            ui.set_max_width(320.0);
            ui.label(RichText::new(self.label).strong());
            if !self.doc.is_empty() {
                ui.label(self.doc);
            }
            if let Some(limits) = self.limits() {
                ui.label(RichText::new(limits).small().color(theme.dim));
            }
            if let Some(fault) = &self.fault {
                ui.label(RichText::new(fault).color(theme.error));
            }
        });
    }

    /// A small button at the right end of the row.
    pub fn button(&self, ui: &mut Ui, brush: &Brush, icon: MaterialIcon, what: &str) -> Response {
        let side = self.rect.height().min(ROW) * brush.zoom;
        let text = icon.rich_text().size(15.0 * brush.zoom).color(brush.theme.dim);
        ui.spacing_mut().button_padding = egui::Vec2::ZERO;
        let response = ui.add_sized([side, side], Button::new(text).frame(false));
        let name = format!("{}: {what}", self.name);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        response.on_hover_text(what)
    }

    /// A line of text; what cannot be read as a value changes nothing.
    pub fn typed(
        &self,
        ui: &mut Ui,
        brush: &Brush,
        shown: &str,
        read: impl Fn(&str) -> Option<Json>,
    ) -> Told {
        let id = self.id.with("text");
        let focused = ui.memory(|m| m.has_focus(id));
        let draft = ui.data(|d| d.get_temp::<String>(id)).filter(|_| focused);
        let mut text = draft.unwrap_or_else(|| shown.to_owned());
        let label = (self.label.chars().count() as f32 * 7.5 + 16.0).min(self.rect.width() * 0.5);
        let width = ui.available_width() - label * brush.zoom;
        let margin = egui::Margin::symmetric((GAP * brush.zoom) as i8, 0);
        let edit = TextEdit::singleline(&mut text)
            .id(id)
            .frame(egui::Frame::NONE.inner_margin(margin))
            .align(egui::Align2([Align::Max, Align::Center]))
            .min_size(vec2(0.0, ui.max_rect().height()))
            .desired_width((width - margin.sum().x).max(20.0));
        let response = ui.add(edit);
        let json = response.changed().then(|| read(&text)).flatten();
        if response.has_focus() {
            ui.data_mut(|d| d.insert_temp(id, text));
        } else {
            ui.data_mut(|d| d.remove_temp::<String>(id));
        }
        let told = told(&response, json);
        self.named(response, brush.theme);
        told
    }

    fn line(&self, ui: &mut Ui, brush: &Brush) -> Told {
        self.paint_label(brush);
        self.typed(ui, brush, &self.shown(), |text| Some(json!(text)))
    }

    fn toggle(&self, ui: &mut Ui, brush: &Brush, rect: Rect) -> Told {
        let on = self.widget.value.as_bool().unwrap_or(false);
        let mut response = ui.interact(rect, self.id.with("toggle"), Sense::click());
        self.paint_label(brush);
        let size = vec2(26.0, 14.0);
        let right = pos2(self.rect.right() - 6.0 - size.x / 2.0, self.rect.center().y);
        let pill = brush.view.rect_to_screen(Rect::from_center_size(right, size));
        let theme = brush.theme;
        let fill = if on { theme.accent } else { theme.outline };
        brush.painter.rect_filled(pill, pill.height() / 2.0, fill);
        let x =
            if on { pill.right() - pill.height() / 2.0 } else { pill.left() + pill.height() / 2.0 };
        brush.painter.circle_filled(pos2(x, pill.center().y), pill.height() * 0.36, theme.node);
        self.paint_focus(brush, &response, rect);
        let clicked = response.clicked();
        if clicked {
            response.mark_changed();
        }
        response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, &self.name));
        self.named(response, theme);
        Told { wish: clicked.then(|| Wish::Value(json!(!on))), settled: clicked }
    }

    /// A frame around what the keyboard acts on.
    pub fn paint_focus(&self, brush: &Brush, response: &Response, rect: Rect) {
        if response.has_focus() {
            brush.outline(rect, CORNER * brush.zoom, 1.0, brush.theme.accent);
        }
    }

    /// The value as text.
    pub fn shown(&self) -> String {
        match &self.widget.value {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        }
    }
}

/// What a response says, with the value that came of it.
pub fn told(response: &Response, json: Option<Json>) -> Told {
    let settled = response.drag_stopped() || response.lost_focus();
    Told { wish: json.map(Wish::Value), settled }
}
