//! The widgets on a node: one for each kind of value. They show what is in the document and tell what a
//! person wants there instead.

use super::{
    brush::{Brush, line},
    combo,
};
use crate::{
    doc::{Control, Widget},
    theme::{GAP, TEXT},
};
use egui::{
    Align, Align2, Button, CornerRadius, DragValue, Id, Layout, Rect, Response, Sense, TextEdit,
    Ui, UiBuilder, accesskit::Role, pos2, vec2,
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
    /// Unique among all widgets on screen.
    pub id: Id,
    /// In canvas units.
    pub rect: Rect,
    /// `min`, `max`, `step`, `round`, as the class declares them.
    pub options: Option<&'a Map<String, Json>>,
    /// What a drop-down list offers.
    pub choices: Vec<String>,
    /// Whether the last run complained about it.
    pub wrong: bool,
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
    Line,
    Text,
}

impl Field<'_> {
    /// Draws the widget; `ui` has the style for the zoom.
    pub fn show(&self, ui: &mut Ui, brush: &Brush) -> Told {
        let rect = brush.view.rect_to_screen(self.rect);
        if self.widget.linked {
            self.paint_label(brush);
            return Told::default();
        }
        let kind = self.kind();
        if kind != Kind::Toggle {
            self.paint_box(brush, rect);
        }
        let builder = UiBuilder::new().max_rect(rect).scope_id(self.id);
        let mut ui = ui.new_child(builder.layout(Layout::right_to_left(Align::Center)));
        ui.shrink_clip_rect(rect.expand(1.0));
        match kind {
            Kind::Number { whole } => self.number(&mut ui, brush, whole),
            Kind::Seed => self.seed(&mut ui, brush),
            Kind::Toggle => self.toggle(&mut ui, brush, rect),
            Kind::Choice => self.choice(&mut ui, brush, rect),
            Kind::Line => self.line(&mut ui, brush),
            Kind::Text => self.text(&mut ui, brush, rect),
        }
    }

    fn kind(&self) -> Kind {
        let ty = self.widget.spec.as_ref().map_or("", |spec| spec.ty.as_str());
        let control = self.widget.control.is_some();
        match (ty, &self.widget.value) {
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

    fn option(&self, key: &str) -> Option<f64> {
        self.options?.get(key)?.as_f64()
    }

    fn paint_box(&self, brush: &Brush, rect: Rect) {
        let radius = CornerRadius::same((4.0 * brush.zoom).round() as u8);
        brush.painter.rect_filled(rect, radius, brush.theme.field);
        if self.wrong {
            brush.outline(rect, 4.0 * brush.zoom, 1.5, brush.theme.error);
        }
    }

    fn paint_label(&self, brush: &Brush) {
        let at = pos2(self.rect.left() + 8.0, self.rect.top() + crate::theme::ROW / 2.0);
        let color = if self.widget.linked { brush.theme.text } else { brush.theme.dim };
        brush.text(line(at, Align2::LEFT_CENTER, color, self.rect.width() * 0.55), self.label);
    }

    /// Gives the widget its name for tests and screen readers.
    fn named(&self, ui: &Ui, response: &Response) {
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(self.name.clone()));
    }

    fn number(&self, ui: &mut Ui, brush: &Brush, whole: bool) -> Told {
        let old = self.widget.value.as_f64().unwrap_or(0.0);
        let step = self.option("step").unwrap_or(if whole { 1.0 } else { 0.1 }).max(1e-6);
        let fine = self.option("round").unwrap_or(step).max(1e-6);
        let range = self.option("min").unwrap_or(f64::MIN)..=self.option("max").unwrap_or(f64::MAX);
        self.paint_part(brush, old, &range);
        self.paint_label(brush);
        let mut new = old;
        let decimals = |of: f64| (-of.log10() - 1e-9).ceil().clamp(0.0, 8.0) as usize;
        let drag = DragValue::new(&mut new)
            .range(range.clone())
            .clamp_existing_to_range(false)
            .speed(step * 0.2)
            .min_decimals(if whole { 0 } else { decimals(step).max(1) })
            .max_decimals(if whole { 0 } else { decimals(fine).max(decimals(step)).max(2) });
        ui.spacing_mut().interact_size = ui.max_rect().size();
        let response = ui.add(drag);
        self.named(ui, &response);
        if response.dragged() {
            let start = if range.start().abs() < 1e9 { *range.start() } else { 0.0 };
            new =
                (start + ((new - start) / step).round() * step).clamp(*range.start(), *range.end());
            // 0.1 steps must not end in 0.30000000000000004.
            new = egui::emath::round_to_decimals(new, decimals(fine).max(decimals(step)));
        }
        let json = || if whole { json!(new.round() as i64) } else { json!(new) };
        told(&response, (new != old).then(json))
    }

    /// How far along its range a number is, where that says something.
    fn paint_part(&self, brush: &Brush, value: f64, range: &std::ops::RangeInclusive<f64>) {
        let span = range.end() - range.start();
        if !(0.0..=4.0).contains(&span) || span == 0.0 {
            return;
        }
        let part = ((value - range.start()) / span).clamp(0.0, 1.0) as f32;
        let rect = brush.view.rect_to_screen(self.rect);
        let rect = rect.with_max_x(rect.left() + rect.width() * part);
        let radius = CornerRadius::same((4.0 * brush.zoom).round() as u8);
        brush.painter.rect_filled(rect, radius, brush.theme.accent.gamma_multiply(0.22));
    }

    /// A whole number too large for dragging, what becomes of it after each run, and dice.
    fn seed(&self, ui: &mut Ui, brush: &Brush) -> Told {
        self.paint_label(brush);
        let control = self.widget.control.unwrap_or(Control::Fixed);
        let mut wish = None;
        ui.spacing_mut().item_spacing.x = 0.0;
        let menu =
            self.button(ui, brush, control_icon(control), "what becomes of it after each run");
        egui::Popup::menu(&menu).show(|ui| {
            for (choice, title) in CONTROLS {
                let icon = control_icon(*choice).rich_text();
                if ui.add(Button::selectable(*choice == control, (icon, *title))).clicked() {
                    wish = Some(Wish::Control(*choice));
                }
            }
        });
        if self.button(ui, brush, icons::ICON_CASINO, "a new random one").clicked() {
            wish = Some(Wish::Value(json!(random())));
        }
        let mut typed =
            self.typed(ui, brush, |text| text.trim().parse::<u64>().ok().map(|n| json!(n)));
        typed.wish = wish.or(typed.wish);
        typed
    }

    fn button(&self, ui: &mut Ui, brush: &Brush, icon: MaterialIcon, what: &str) -> Response {
        let side = self.rect.height().min(crate::theme::ROW) * brush.zoom;
        let text = icon.rich_text().size(15.0 * brush.zoom).color(brush.theme.dim);
        ui.spacing_mut().button_padding = egui::Vec2::ZERO;
        let response = ui.add_sized([side, side], Button::new(text).frame(false));
        let name = format!("{}: {what}", self.name);
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, &name));
        response.on_hover_text(what)
    }

    /// A line of text; what cannot be read as a value changes nothing.
    fn typed(&self, ui: &mut Ui, brush: &Brush, read: impl Fn(&str) -> Option<Json>) -> Told {
        let id = self.id.with("text");
        let focused = ui.memory(|m| m.has_focus(id));
        let shown = match &self.widget.value {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        };
        let draft = ui.data(|d| d.get_temp::<String>(id)).filter(|_| focused);
        let mut text = draft.unwrap_or(shown);
        let label = (self.label.chars().count() as f32 * 7.5 + 16.0).min(self.rect.width() * 0.5);
        let width = ui.available_width() - label * brush.zoom;
        let margin = egui::Margin::symmetric((GAP * brush.zoom) as i8, 0);
        let edit = TextEdit::singleline(&mut text)
            .id(id)
            .frame(egui::Frame::NONE)
            .margin(margin)
            .align(egui::Align2([Align::Max, Align::Center]))
            .min_size(vec2(0.0, ui.max_rect().height()))
            .desired_width((width - margin.sum().x).max(20.0));
        let response = ui.add(edit);
        self.named(ui, &response);
        let json = response.changed().then(|| read(&text)).flatten();
        if response.has_focus() {
            ui.data_mut(|d| d.insert_temp(id, text));
        } else {
            ui.data_mut(|d| d.remove_temp::<String>(id));
        }
        told(&response, json)
    }

    fn line(&self, ui: &mut Ui, brush: &Brush) -> Told {
        self.paint_label(brush);
        self.typed(ui, brush, |text| Some(json!(text)))
    }

    /// A box of text that wraps, and scrolls when it is full.
    fn text(&self, ui: &mut Ui, brush: &Brush, rect: Rect) -> Told {
        let mut text = self.widget.value.as_str().unwrap_or("").to_owned();
        let margin = egui::Margin::symmetric((GAP * brush.zoom) as i8, (4.0 * brush.zoom) as i8);
        let mut inner =
            ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min)));
        let area = egui::ScrollArea::vertical().max_height(rect.height()).auto_shrink(false);
        let response = area.show(&mut inner, |ui| {
            let edit = TextEdit::multiline(&mut text)
                .id(self.id.with("text"))
                .frame(egui::Frame::NONE)
                .margin(margin)
                .hint_text(self.label)
                .font(egui::FontId::proportional(TEXT * brush.zoom))
                .min_size(rect.size())
                .desired_rows(1)
                .desired_width(f32::INFINITY);
            ui.add(edit)
        });
        let response = response.inner;
        self.named(ui, &response);
        if response.has_focus() {
            brush.outline(rect, 4.0 * brush.zoom, 1.0, brush.theme.accent);
        }
        told(&response, response.changed().then(|| json!(text)))
    }

    fn toggle(&self, ui: &mut Ui, brush: &Brush, rect: Rect) -> Told {
        let on = self.widget.value.as_bool().unwrap_or(false);
        let mut response = ui.interact(rect, self.id.with("toggle"), Sense::click());
        self.paint_box(brush, rect);
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
        if response.clicked() {
            response.mark_changed();
        }
        let clicked = response.clicked();
        response.widget_info(|| egui::WidgetInfo::selected(Role::CheckBox, true, on, &self.name));
        Told { wish: clicked.then(|| Wish::Value(json!(!on))), settled: clicked }
    }

    fn choice(&self, ui: &mut Ui, brush: &Brush, rect: Rect) -> Told {
        let upload =
            self.upload && self.button(ui, brush, icons::ICON_UPLOAD_FILE, "add a file").clicked();
        let rect = rect.intersect(ui.available_rect_before_wrap());
        let response = ui.interact(rect, self.id.with("combo"), Sense::click());
        self.paint_choice(brush, &response);
        let chosen = combo::popup(&response, &self.name, &self.shown(), &self.choices);
        let wish = chosen.map(|name| Wish::Value(json!(name)));
        let settled = wish.is_some();
        Told { wish: if upload { Some(Wish::Upload) } else { wish }, settled }
    }

    fn shown(&self) -> String {
        match &self.widget.value {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        }
    }

    fn paint_choice(&self, brush: &Brush, response: &Response) {
        let (theme, shown) = (brush.theme, self.shown());
        let right = self.rect.right() - if self.upload { crate::theme::ROW } else { 0.0 };
        let middle = self.rect.center().y;
        let color = if response.hovered() { theme.text } else { theme.dim };
        brush.icon(icons::ICON_UNFOLD_MORE, pos2(right - 10.0, middle), 13.0, color);
        let wide = self.rect.width() > 170.0;
        let left = if wide { self.rect.width() * 0.42 } else { 8.0 };
        if wide {
            let at = pos2(self.rect.left() + 8.0, middle);
            brush.text(line(at, Align2::LEFT_CENTER, theme.dim, left - 12.0), self.label);
        }
        // A name that the list lacks is a file that is not there.
        let missing = !self.choices.is_empty() && !self.choices.contains(&shown);
        let color = if missing { theme.error } else { theme.text };
        let room = right - 20.0 - self.rect.left() - left;
        brush.text(line(pos2(right - 20.0, middle), Align2::RIGHT_CENTER, color, room), &shown);
    }
}

/// What a response says, with the value that came of it.
fn told(response: &Response, json: Option<Json>) -> Told {
    let settled = response.drag_stopped() || response.lost_focus();
    Told { wish: json.map(Wish::Value), settled }
}

const CONTROLS: &[(Control, &str)] = &[
    (Control::Fixed, "Stays"),
    (Control::Randomize, "Random after each run"),
    (Control::Increment, "One more after each run"),
    (Control::IncrementWrap, "One more after each run, from the last to the first"),
    (Control::Decrement, "One less after each run"),
];

fn control_icon(control: Control) -> MaterialIcon {
    match control {
        Control::Fixed => icons::ICON_LOCK,
        Control::Randomize => icons::ICON_SHUFFLE,
        Control::Increment => icons::ICON_TRENDING_UP,
        Control::IncrementWrap => icons::ICON_REPEAT,
        Control::Decrement => icons::ICON_TRENDING_DOWN,
    }
}

/// A seed nobody thought of; small enough that other programs keep every digit.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now()) >> 11
}
