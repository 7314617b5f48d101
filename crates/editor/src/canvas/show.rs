//! Nodes at reading zoom: painted, named for screen readers, with widgets that work.

use super::{
    Canvas, CanvasContext, Event,
    brush::Brush,
    faults,
    gestures::Gesture,
    images::Images,
    layout::Kind,
    levels,
    nodes::{Look, Sockets, slot_label},
    scene::{Placed, Socket},
    tools,
    widgets::{Field, Told, Wish},
};
use crate::{
    catalog::PICTURES,
    doc::{self, File, History, Id, Node, Widget},
    theme::{TEXT, Theme},
};
use egui::{
    Color32, FontId, Rect, Response, RichText, Sense, Stroke, Style, TextStyle, Ui, Vec2,
    accesskit::Role, vec2,
};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// What came of drawing.
pub struct Shown {
    /// The pointer on anything that is not a widget.
    pub response: Response,
    pub wishes: Vec<(Id, String, Told)>,
    pub events: Vec<Event>,
    /// The node that has the focus, and its name in egui.
    pub focused: Option<(Id, egui::Id)>,
}

impl Shown {
    pub fn new(background: Response) -> Self {
        Self { response: background, wishes: Vec::new(), events: Vec::new(), focused: None }
    }
}

impl Canvas {
    pub(super) fn show_nodes(
        &self,
        ui: &mut Ui,
        brush: &Brush,
        history: &History,
        cx: &CanvasContext,
        shown: &mut Shown,
    ) {
        ui.set_style(style(ui.style(), brush));
        let drawn = self.drawn();
        for placed in self.scene.nodes.iter().filter(|n| n.rect().intersects(drawn)) {
            let look = self.look(history.file(), placed, cx);
            let id = ui.scope_id().with(("node", placed.id));
            let frame = brush.view.rect_to_screen(placed.rect());
            let body = ui.interact(frame, id, Sense::click_and_drag());
            body.widget_info(|| egui::WidgetInfo::labeled(Role::Group, true, look.title));
            self.hold_focus(&body, placed.id, shown);
            shown.response = shown.response.union(body);
            look.paint(brush, &self.sockets(placed.id));
            self.name_sockets(ui, brush, &look, cx);
            match placed.layout.kind {
                Kind::Note => super::notes::show(ui, brush, &look, &self.markdown, shown),
                Kind::Plain => self.show_widgets(ui, brush, history.file(), &look, cx, shown),
                Kind::Dot => {}
            }
            look.paint_pictures(&brush.faded(look.opacity()));
            tools::show(ui, brush, &look, &mut shown.events);
        }
        for placed in self.scene.nodes.iter().filter(|n| n.rect().intersects(drawn)) {
            self.look(history.file(), placed, cx).paint_footer(brush);
        }
    }

    /// A node with the focus takes the arrow keys for itself.
    fn hold_focus(&self, body: &Response, node: Id, shown: &mut Shown) {
        if self.focus == Some(node) {
            body.request_focus();
            body.ctx.request_repaint();
        }
        if body.has_focus() {
            let arrows = egui::EventFilter {
                horizontal_arrows: true,
                vertical_arrows: true,
                ..egui::EventFilter::default()
            };
            body.ctx.memory_mut(|m| m.set_focus_lock_filter(body.id, arrows));
            shown.focused = Some((node, body.id));
        }
    }

    pub(super) fn look<'a>(
        &self,
        file: &'a File,
        placed: &'a Placed,
        cx: &CanvasContext<'a>,
    ) -> Look<'a> {
        let node = &*placed.node;
        let subgraph = file.subgraph_of(node);
        let own = doc::EDITORS_OWN.iter().any(|own| own.class == node.class) || node.is_border();
        Look {
            node,
            placed,
            state: cx.runs.node(placed.id),
            images: self.images(file, placed, cx),
            title: levels::title(node, subgraph, cx.catalog),
            known: own || cx.catalog.get(&node.class).is_some() || subgraph.is_some(),
            unread: file.why_unread(&node.class),
            selected: self.selection.contains(&placed.id),
        }
    }

    pub(super) fn images(&self, file: &File, placed: &Placed, cx: &CanvasContext) -> Images {
        Images::of(&placed.node, || self.scene.widgets(file, placed, &cx.catalog.contract), cx)
    }

    /// How a node's sockets stand: linked or not, and lit unless a link in hand does not fit.
    pub(super) fn sockets(&self, node: Id) -> Sockets<'_> {
        let linked =
            move |slot, output| self.scene.linked.contains_key(&Socket { node, slot, output });
        let lit = move |slot, output| match &self.gesture {
            Gesture::Link(pending) => pending.may_end(&self.scene, Socket { node, slot, output }),
            _ => true,
        };
        let dragging = matches!(self.gesture, Gesture::Link(_));
        Sockets { dragging, linked: Box::new(linked), lit: Box::new(lit) }
    }

    fn name_sockets(&self, ui: &Ui, brush: &Brush, look: &Look, cx: &CanvasContext) {
        for (socket, at) in look.placed.sockets() {
            let side = if socket.output { &look.node.outputs } else { &look.node.inputs };
            let place =
                Rect::from_center_size(brush.view.to_screen(at), Vec2::splat(12.0 * brush.zoom));
            let id = ui.scope_id().with(("socket", socket));
            let response = ui.interact(place, id, Sense::hover());
            let what = if socket.output { "output" } else { "input" };
            let slot = side.get(socket.slot);
            let label = slot.map_or("new", slot_label);
            let name = || format!("{}: {label} ({what})", look.title);
            response.widget_info(|| egui::WidgetInfo::labeled(Role::Unknown, true, name()));
            let ty = cx.catalog.get(&look.node.class);
            let ty = ty.filter(|_| !socket.output);
            response.on_hover_ui(|ui| {
                if let Some(slot) = slot {
                    let input = ty.and_then(|ty| ty.input(&slot.name));
                    explain(ui, cx.theme, slot, input.map_or("", |input| input.doc));
                }
            });
            if self.hover == super::scene::Hit::Socket(socket) {
                brush.painter.circle_stroke(
                    place.center(),
                    8.0 * brush.zoom,
                    Stroke::new(1.5, brush.theme.text),
                );
            }
        }
    }

    fn show_widgets(
        &self,
        ui: &mut Ui,
        brush: &Brush,
        file: &File,
        look: &Look,
        cx: &CanvasContext,
        shown: &mut Shown,
    ) {
        if look.placed.layout.widgets.is_empty() {
            return;
        }
        let widgets = self.scene.widgets(file, look.placed, &cx.catalog.contract);
        let brush = &brush.faded(look.opacity());
        ui.scope(|ui| {
            ui.multiply_opacity(look.opacity());
            for row in &look.placed.layout.widgets {
                let Some(widget) = widgets.get(row.widget) else { continue };
                let rect = row.rect.translate(look.placed.pos.to_vec2());
                let source = widget.linked.then(|| self.source(file, look.node, &widget.name, cx));
                let field = field(ui, look, widget, rect, source.flatten(), cx);
                let told = field.show(ui, brush);
                if told.wish.is_some() || told.settled {
                    shown.wishes.push((look.node.id, widget.name.clone(), told));
                }
            }
        });
    }

    /// The title of the node that feeds a widget.
    fn source(&self, file: &File, node: &Node, widget: &str, cx: &CanvasContext) -> Option<String> {
        let slot = node.inputs.iter().position(|slot| slot.is_for(widget))?;
        let from = *self.scene.linked.get(&Socket { node: node.id, slot, output: false })?;
        let from = file.doc().node(from)?;
        Some(levels::title(from, file.subgraph_of(from), cx.catalog).to_owned())
    }

    /// Does what people want of widgets.
    pub(super) fn obey(
        &mut self,
        wishes: Vec<(Id, String, Told)>,
        history: &mut History,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        let contract = &cx.catalog.contract;
        for (id, name, told) in wishes {
            let mut hash = DefaultHasher::new();
            (id, &name).hash(&mut hash);
            match told.wish {
                Some(Wish::Value(value)) => {
                    history.edit_file_merged("Change a value", hash.finish(), |file| {
                        file.set_widget(id, &name, value, contract);
                    });
                }
                Some(Wish::Control(control)) => history.edit_file("Change a control", |file| {
                    file.set_control(id, &name, control, contract);
                }),
                Some(Wish::Words(text)) => {
                    history.edit_merged("Write a note", hash.finish(), |doc| {
                        doc.each(&BTreeSet::from([id]), |node| {
                            node.values = serde_json::json!([text])
                        });
                    })
                }
                Some(Wish::Upload) => events.push(Event::Upload(id, name)),
                None => {}
            }
            if told.settled {
                history.settle();
            }
        }
    }
}

fn field<'a>(
    ui: &Ui,
    look: &'a Look,
    widget: &'a Widget,
    rect: Rect,
    source: Option<String>,
    cx: &CanvasContext<'a>,
) -> Field<'a> {
    let (class, catalog) = (&widget.class, cx.catalog);
    let spec = widget.spec.as_ref();
    let listed = spec.filter(|s| s.ty == "COMBO").map(|s| {
        let known = s.choices.iter().filter_map(|c| c.as_str().map(str::to_owned));
        catalog.choices(class, &widget.input).unwrap_or_else(|| known.collect())
    });
    let input = catalog.get(class).and_then(|ty| ty.input(&widget.input));
    let pictures = catalog.folder(class, &widget.input) == Some(PICTURES);
    let mut field = Field {
        widget,
        name: format!("{}: {}", look.title, widget.label),
        label: &widget.label,
        doc: input.map_or("", |input| input.doc),
        id: ui.scope_id().with(("widget", look.node.id, &widget.name)),
        rect,
        options: input.map(|input| &input.options),
        choices: listed.unwrap_or_default(),
        pictures: pictures.then_some(&cx.runs.thumbnails),
        embeddings: &catalog.embeddings,
        fault: None,
        source,
        upload: spec.is_some_and(|s| s.upload),
    };
    let own = field.own_fault(class, cx).filter(|_| !widget.linked);
    field.fault = faults::complaint(look.state, widget).or(own);
    field
}

/// What a socket takes or gives.
fn explain(ui: &mut Ui, theme: &Theme, slot: &doc::Slot, words: &str) {
    ui.set_max_width(280.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new(slot_label(slot)).strong());
        ui.label(RichText::new(&slot.ty).small().color(theme.socket(&slot.ty)));
    });
    if !words.is_empty() {
        ui.label(words);
    }
}

/// egui's style at the zoom, with widgets that have no frames: the canvas paints those.
fn style(old: &Style, brush: &Brush) -> Style {
    let mut style = old.clone();
    let zoom = brush.zoom;
    for font in style.text_styles.values_mut() {
        font.size = TEXT * zoom;
    }
    style.drag_value_text_style = TextStyle::Body;
    style.override_font_id = Some(FontId::proportional(TEXT * zoom));
    style.spacing.item_spacing *= zoom;
    style.spacing.button_padding = vec2(8.0, 0.0) * zoom;
    style.spacing.interact_size *= zoom;
    style.spacing.scroll.bar_width *= zoom;
    style.interaction.selectable_labels = false;
    let widgets = &mut style.visuals.widgets;
    let all = [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active, &mut widgets.open];
    for look in all {
        look.weak_bg_fill = Color32::TRANSPARENT;
        look.bg_fill = Color32::TRANSPARENT;
        look.bg_stroke = Stroke::NONE;
        look.expansion = 0.0;
    }
    widgets.hovered.weak_bg_fill = brush.theme.outline.gamma_multiply(0.35);
    style
}
