//! Painting nodes: body, title, sockets, what a run did to them. Widgets are drawn over this.

use super::{
    brush::{Brush, Line, hex, line},
    layout::{Kind, PAD},
    scene::Placed,
};
use crate::{
    catalog::Catalog,
    doc::{Mode, Node, Slot},
    runs::NodeState,
    theme::{GAP, RADIUS, TEXT},
};
use egui::{Align2, Color32, CornerRadius, Pos2, Rect, Stroke, StrokeKind, pos2, vec2};
use egui_material_icons::icons;

/// A node and all that its looks depend on.
pub struct Look<'a> {
    pub node: &'a Node,
    pub placed: &'a Placed,
    pub state: Option<&'a NodeState>,
    pub title: String,
    /// Whether this program runs its class.
    pub known: bool,
    /// Why its subgraph cannot be read.
    pub unread: Option<&'a str>,
    pub selected: bool,
}

/// How sockets are to be drawn.
pub struct Sockets<'a> {
    pub linked: Box<dyn Fn(usize, bool) -> bool + 'a>,
    pub lit: Box<dyn Fn(usize, bool) -> bool + 'a>,
}

/// What the title bar says: a person's title, else the class's own.
pub fn title(node: &Node, catalog: &Catalog) -> String {
    let own = || catalog.get(&node.class).map_or(node.class.clone(), |ty| ty.title.clone());
    node.title.clone().filter(|t| !t.is_empty()).unwrap_or_else(own)
}

/// What is shown of a socket's name.
pub fn slot_label(slot: &Slot) -> &str {
    let label = |key: &str| slot.raw.0.get(key)?.as_str().filter(|l| !l.is_empty());
    label("label").or_else(|| label("localized_name")).unwrap_or(&slot.name)
}

impl Look<'_> {
    /// Colours of the title bar and of the body.
    pub fn colors(&self, brush: &Brush) -> (Color32, Color32) {
        let theme = brush.theme;
        let paper = self.placed.layout.kind == Kind::Note;
        let own = |text: &Option<String>| {
            // Stored colours are made for a dark screen.
            let color = text.as_deref().and_then(hex)?;
            Some(if theme.dark { color } else { color.lerp_to_gamma(Color32::WHITE, 0.7) })
        };
        let note = |base: Color32, part| {
            if paper { base.lerp_to_gamma(theme.warning, part) } else { base }
        };
        let title = own(&self.node.color).unwrap_or(note(theme.title, 0.25));
        let body = own(&self.node.bgcolor).unwrap_or(note(theme.node, 0.12));
        let tint = |color: Color32, part| match self.node.mode {
            Mode::Bypassed => color.lerp_to_gamma(theme.bypassed, part),
            _ => color,
        };
        (tint(title, 0.5), tint(body, 0.3))
    }

    /// Whether something stands in the way of running the node.
    pub fn failed(&self) -> bool {
        self.state.is_some_and(|s| s.error.is_some() || !s.problems.is_empty())
    }

    fn outline(&self, brush: &Brush) -> (f32, Color32) {
        let theme = brush.theme;
        if self.failed() {
            (2.0, theme.error)
        } else if self.state.is_some_and(|s| s.running) {
            (2.0, theme.good)
        } else if self.selected {
            (2.0, theme.accent)
        } else {
            (1.0, theme.outline)
        }
    }

    pub fn opacity(&self) -> f32 {
        if self.node.mode == Mode::Muted { 0.4 } else { 1.0 }
    }

    /// Everything but the widgets.
    pub fn paint(&self, brush: &Brush, sockets: &Sockets) {
        let brush = &brush.faded(self.opacity());
        if self.placed.layout.kind == Kind::Dot {
            return self.paint_dot(brush, sockets);
        }
        self.paint_body(brush);
        self.paint_title(brush);
        if let Some(state) = self.state.filter(|s| s.running) {
            self.paint_progress(brush, state);
        }
        self.paint_sockets(brush, sockets);
        self.paint_footer(brush);
    }

    /// Body and title bar without their text: all that is left of a node from afar.
    pub fn paint_body(&self, brush: &Brush) {
        let (title, body) = self.colors(brush);
        let frame = brush.view.rect_to_screen(self.placed.rect());
        let radius = corner(brush);
        if brush.zoom > 0.3 {
            let shadow = frame.translate(vec2(0.0, 2.0 * brush.zoom));
            brush.painter.rect_filled(shadow, radius, Color32::from_black_alpha(40));
        }
        brush.painter.rect_filled(frame, radius, body);
        let bar = brush.view.rect_to_screen(self.bar());
        let open = self.placed.layout.body.y > 0.0;
        let bottom = if open { CornerRadius::ZERO } else { radius };
        let radii = CornerRadius { sw: bottom.sw, se: bottom.se, ..radius };
        brush.painter.rect_filled(bar, radii, title);
        let (width, color) = self.outline(brush);
        brush.painter.rect_stroke(frame, radius, Stroke::new(width, color), StrokeKind::Outside);
    }

    fn bar(&self) -> Rect {
        let frame = self.placed.rect();
        Rect::from_min_size(frame.min, vec2(frame.width(), self.placed.layout.title))
    }

    fn paint_title(&self, brush: &Brush) {
        let (theme, bar) = (brush.theme, self.bar());
        let middle = bar.center().y;
        let arrow =
            if self.node.collapsed { icons::ICON_CHEVRON_RIGHT } else { icons::ICON_EXPAND_MORE };
        brush.icon(arrow, pos2(bar.left() + 13.0, middle), 15.0, theme.dim);
        let mut right = bar.right() - 8.0;
        for (icon, color) in self.badges(brush) {
            brush.icon(icon, pos2(right - 6.0, middle), 14.0, color);
            right -= 18.0;
        }
        if let Some(text) = self.state.and_then(told) {
            let width = text.chars().count() as f32 * 6.0 + 4.0;
            let at = pos2(right, middle);
            brush.text(
                Line {
                    at,
                    anchor: Align2::RIGHT_CENTER,
                    size: 11.0,
                    color: theme.dim,
                    width: 160.0,
                },
                &text,
            );
            right -= width;
        }
        let left = bar.left() + 24.0;
        brush.text(
            line(pos2(left, middle), Align2::LEFT_CENTER, theme.text, right - left),
            &self.title,
        );
    }

    fn badges(&self, brush: &Brush) -> Vec<(egui_material_icons::MaterialIcon, Color32)> {
        let (theme, mode) = (brush.theme, self.node.mode);
        let all = [
            (self.failed(), icons::ICON_ERROR, theme.error),
            (
                !self.known && self.placed.layout.kind == Kind::Plain,
                icons::ICON_HELP,
                theme.warning,
            ),
            (self.state.is_some_and(|s| s.cached), icons::ICON_BOLT, theme.good),
            (self.node.pinned, icons::ICON_PUSH_PIN, theme.dim),
            (mode == Mode::Muted, icons::ICON_BLOCK, theme.text),
            (mode == Mode::Bypassed, icons::ICON_KEYBOARD_DOUBLE_ARROW_RIGHT, theme.text),
        ];
        all.into_iter().filter(|(on, ..)| *on).map(|(_, icon, color)| (icon, color)).collect()
    }

    fn paint_progress(&self, brush: &Brush, state: &NodeState) {
        let bar = self.bar();
        let part = state.progress.map_or(0.0, |(done, all)| done as f32 / all.max(1) as f32);
        let track =
            Rect::from_min_size(pos2(bar.left(), bar.bottom() - 3.0), vec2(bar.width(), 3.0));
        let filled = track.with_max_x(track.left() + track.width() * part);
        brush.painter.rect_filled(brush.view.rect_to_screen(track), 0.0, brush.theme.field);
        brush.painter.rect_filled(brush.view.rect_to_screen(filled), 0.0, brush.theme.good);
    }

    fn paint_sockets(&self, brush: &Brush, sockets: &Sockets) {
        let with_widget = |slot: usize| self.node.inputs[slot].widget.is_some();
        let half = self.placed.layout.body.x - 2.0 * PAD;
        for (socket, at) in self.placed.sockets() {
            let (slot, output) = (socket.slot, socket.output);
            let side = if output { &self.node.outputs } else { &self.node.inputs };
            let Some(it) = side.get(slot) else {
                brush.icon(icons::ICON_ADD_CIRCLE, at, 13.0, brush.theme.dim);
                continue;
            };
            let (linked, lit) = ((sockets.linked)(slot, output), (sockets.lit)(slot, output));
            if self.node.collapsed && slot > 0 && !linked {
                continue;
            }
            brush.socket(at, &it.ty, linked, lit);
            if self.node.collapsed || (!output && self.row_of(with_widget(slot), at)) {
                continue;
            }
            let (anchor, dx) =
                if output { (Align2::RIGHT_CENTER, -PAD) } else { (Align2::LEFT_CENTER, PAD) };
            let color = if lit { brush.theme.text } else { brush.theme.dim.gamma_multiply(0.6) };
            let color = if linked { color } else { color.lerp_to_gamma(brush.theme.dim, 0.6) };
            let width = if self.node.outputs.is_empty() || self.node.inputs.is_empty() {
                half
            } else {
                half * 0.6
            };
            brush.text(line(at + vec2(dx, 0.0), anchor, color, width), slot_label(it));
        }
    }

    /// Whether a widget stands beside the socket and names it.
    fn row_of(&self, has_widget: bool, at: Pos2) -> bool {
        let y = at.y - self.placed.pos.y;
        has_widget && self.placed.layout.widgets.iter().any(|row| row.rect.y_range().contains(y))
    }

    /// A dot with its two sockets.
    fn paint_dot(&self, brush: &Brush, sockets: &Sockets) {
        let rect = self.placed.rect();
        let ty = self.node.outputs.first().map_or("*", |slot| slot.ty.as_str());
        let middle = brush.view.to_screen(rect.center());
        let pill = Rect::from_center_size(middle, vec2(28.0, 18.0) * brush.zoom);
        let (_, body) = self.colors(brush);
        let (width, color) = self.outline(brush);
        brush.painter.rect(
            pill,
            pill.height() / 2.0,
            body,
            Stroke::new(width, color),
            StrokeKind::Outside,
        );
        brush.painter.circle_filled(middle, 3.5 * brush.zoom, brush.theme.socket(ty));
        for (socket, at) in self.placed.sockets() {
            let lit = (sockets.lit)(socket.slot, socket.output);
            if !(sockets.linked)(socket.slot, socket.output) || !lit {
                brush.socket(at, ty, false, lit);
            }
        }
    }

    /// Below the node: what is wrong with it.
    fn paint_footer(&self, brush: &Brush) {
        let theme = brush.theme;
        let frame = self.placed.rect();
        let unknown = (!self.known && self.placed.layout.kind == Kind::Plain).then(|| {
            let text = match self.unread {
                Some(why) => format!("Its subgraph cannot be read and is kept as it is: {why}"),
                None => format!("Weft does not know “{}”; it is kept as it is", self.node.class),
            };
            (theme.warning, text)
        });
        let errors = self.state.into_iter().flat_map(messages).map(|text| (theme.error, text));
        let mut top = frame.bottom() + GAP;
        for (color, text) in errors.chain(unknown) {
            let room = (frame.width() - 2.0 * GAP).max(160.0) * brush.zoom;
            let font = egui::FontId::proportional((TEXT - 1.0) * brush.zoom);
            let galley = brush.painter.layout(text, font, color, room);
            let size = (galley.size() / brush.zoom) + vec2(2.0 * GAP, GAP);
            let area = Rect::from_min_size(pos2(frame.left(), top), size);
            let fill = theme.panel.lerp_to_gamma(color, 0.12);
            let on_screen = brush.view.rect_to_screen(area);
            brush.painter.rect_filled(on_screen, corner(brush), fill);
            let at = brush.view.to_screen(area.min + vec2(GAP, GAP / 2.0));
            brush.painter.galley(at, galley, color);
            top += size.y + 3.0;
        }
    }

    /// Pictures side by side in their place, as large as fits, with the size of the first.
    pub fn paint_pictures(&self, brush: &Brush) {
        let (Some(place), Some(state)) = (self.placed.layout.picture, self.state) else { return };
        let place = place.translate(self.placed.pos.to_vec2());
        let caption = 16.0;
        let area = place.with_max_y(place.bottom() - caption);
        for (rect, image) in grid(area, &state.images) {
            let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
            brush.painter.image(image.id(), brush.view.rect_to_screen(rect), whole, Color32::WHITE);
        }
        if let Some(first) = state.images.first() {
            let [w, h] = first.size();
            let at = pos2(place.center().x, place.bottom() - caption / 2.0);
            let look = Line {
                at,
                anchor: Align2::CENTER_CENTER,
                size: 11.0,
                color: brush.theme.dim,
                width: place.width(),
            };
            brush.text(look, &format!("{w} × {h}"));
        }
    }
}

/// All that is wrong with a node, in words.
fn messages(state: &NodeState) -> Vec<String> {
    let problems = state.problems.iter().map(|(input, text)| match input {
        Some(input) => format!("{input}: {text}"),
        None => text.clone(),
    });
    state.error.iter().cloned().chain(problems).collect()
}

/// How far a node is, or how long it took.
fn told(state: &NodeState) -> Option<String> {
    if !state.running {
        return state.seconds.filter(|s| *s >= 0.05).map(|s| format!("{s:.1} s"));
    }
    let (done, all) = state.progress?;
    let rate = state.rate.map(|r| {
        if r >= 1.0 {
            format!(" · {r:.1}/s")
        } else {
            format!(" · {:.1} s each", 1.0 / r.max(1e-3))
        }
    });
    let left = state.left.map(|s| format!(" · {s:.0} s left"));
    Some(format!("{done}/{all}{}{}", rate.unwrap_or_default(), left.unwrap_or_default()))
}

/// The rectangle of each picture, in rows and columns.
pub fn grid(area: Rect, images: &[egui::TextureHandle]) -> Vec<(Rect, &egui::TextureHandle)> {
    let columns = (images.len() as f32).sqrt().ceil().max(1.0);
    let rows = (images.len() as f32 / columns).ceil().max(1.0);
    let cell = area.size() / vec2(columns, rows);
    let place = |i: usize, image: &egui::TextureHandle| {
        let at = vec2(i as f32 % columns, (i as f32 / columns).floor());
        let cell = Rect::from_min_size(area.min + at * cell, cell).shrink(1.0);
        let size = egui::Vec2::from(image.size().map(|n| n.max(1) as f32));
        Rect::from_center_size(cell.center(), size * (cell.size() / size).min_elem())
    };
    images.iter().enumerate().map(|(i, image)| (place(i, image), image)).collect()
}

fn corner(brush: &Brush) -> CornerRadius {
    CornerRadius::same((RADIUS * brush.zoom).round().clamp(0.0, 32.0) as u8)
}
