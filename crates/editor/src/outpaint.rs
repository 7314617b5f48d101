//! Outpainting by hand: the frame around a picture is dragged, and the borders of `ImagePadForOutpaint`
//! follow.

use crate::{
    lens::{WHOLE, checkerboard},
    panels::strong,
    pictures::{self, Picture, Reading},
    theme::Theme,
};
use egui::{
    Align2, Button, Color32, ColorImage, CursorIcon, DragValue, FontId, Frame, Id, Key, Pos2, Rect,
    Response, RichText, Sense, TextureHandle, TextureOptions, Ui, Vec2, WidgetInfo,
    accesskit::Role, pos2, vec2,
};
use graph::Host;
use std::sync::Arc;

/// The class of the node whose frame it is.
pub const CLASS: &str = "ImagePadForOutpaint";

/// What is added at each side, in pixels of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Borders {
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

/// What the node is told: its inputs have these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    pub borders: Borders,
    /// How far the mask fades into the picture, in pixels.
    pub feathering: u32,
}

/// What the editor of the frame asks of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Close,
    Done(Padding),
}

/// A frame around a picture.
pub struct Outpaint {
    stage: Stage,
    padding: Padding,
    /// The part of the picture that is repainted, and what it was made for.
    veil: Option<(TextureHandle, Padding)>,
}

enum Stage {
    Reading(Reading),
    Broken(String),
    Open { texture: TextureHandle, size: Vec2 },
}

/// The node's inputs take multiples of this.
const STEP: f32 = 8.0;
/// The most that the node adds at a side.
const MOST: f32 = 16_384.0;
/// Small pictures are blown up at most so much.
const LARGEST: f32 = 4.0;
/// The side of a handle, in points.
const HANDLE: f32 = 14.0;

/// The eight handles: which way each one pulls, and its name.
const HANDLES: &[([i8; 2], &str, CursorIcon)] = &[
    ([-1, 0], "Left border", CursorIcon::ResizeHorizontal),
    ([1, 0], "Right border", CursorIcon::ResizeHorizontal),
    ([0, -1], "Top border", CursorIcon::ResizeVertical),
    ([0, 1], "Bottom border", CursorIcon::ResizeVertical),
    ([-1, -1], "Top left corner", CursorIcon::ResizeNwSe),
    ([1, 1], "Bottom right corner", CursorIcon::ResizeNwSe),
    ([1, -1], "Top right corner", CursorIcon::ResizeNeSw),
    ([-1, 1], "Bottom left corner", CursorIcon::ResizeNeSw),
];

impl Borders {
    /// The four by the names of the node's inputs.
    fn each(&mut self) -> [(&'static str, &mut u32); 4] {
        let Self { left, top, right, bottom } = self;
        [("left", left), ("top", top), ("right", right), ("bottom", bottom)]
    }

    /// The picture with its borders, if its own corner is at 0.
    pub fn frame(self, size: Vec2) -> Rect {
        let min = pos2(-(self.left as f32), -(self.top as f32));
        Rect::from_min_max(min, pos2(size.x + self.right as f32, size.y + self.bottom as f32))
    }

    /// After a handle was pulled by `by` pixels: rounded to steps, never into the picture.
    #[must_use]
    pub fn pulled(self, [x, y]: [i8; 2], by: Vec2) -> Self {
        let pull = |border: u32, by: f32| {
            (((border as f32 + by) / STEP).round() * STEP).clamp(0.0, MOST) as u32
        };
        Self {
            left: if x < 0 { pull(self.left, -by.x) } else { self.left },
            top: if y < 0 { pull(self.top, -by.y) } else { self.top },
            right: if x > 0 { pull(self.right, by.x) } else { self.right },
            bottom: if y > 0 { pull(self.bottom, by.y) } else { self.bottom },
        }
    }
}

impl Padding {
    /// The values by the names of the node's inputs.
    pub fn each(&mut self) -> [(&'static str, &mut u32); 5] {
        let [left, top, right, bottom] = self.borders.each();
        [left, top, right, bottom, ("feathering", &mut self.feathering)]
    }

    /// How much of a pixel of the picture is painted anew, from 0 to 1: as the node makes its mask.
    fn repainted(&self, at: Pos2, size: Vec2) -> f32 {
        let (far, borders) = (self.feathering as f32, self.borders);
        if far <= 0.0 || 2.0 * far >= size.min_elem() {
            return 0.0;
        }
        let edges = [
            (borders.left, at.x),
            (borders.right, size.x - at.x),
            (borders.top, at.y),
            (borders.bottom, size.y - at.y),
        ];
        let near = edges.iter().filter(|(border, _)| *border > 0).map(|(_, distance)| *distance);
        let near = near.fold(far, f32::min);
        ((far - near) / far).powi(2)
    }
}

/// The longer side of the texture that shows what is repainted.
const VEIL: f32 = 256.0;

impl Outpaint {
    /// Opens the picture that the node pads.
    pub fn new(
        picture: Picture,
        padding: Padding,
        host: Arc<dyn Host>,
        ctx: &egui::Context,
    ) -> Self {
        let stage = Stage::Reading(Reading::start(picture, host, ctx));
        Self { stage, padding, veil: None }
    }

    /// Draws it into all the room there is.
    pub fn ui(&mut self, ui: &mut Ui, theme: &Theme) -> Option<Event> {
        self.read(ui);
        let mut event = self.keys(ui);
        egui::Panel::top("outpaint tools").show_separator_line(false).show(ui, |ui| {
            event = event.or(self.bar(ui, theme));
        });
        Frame::new().fill(theme.canvas).inner_margin(24.0).show(ui, |ui| self.stage_ui(ui, theme));
        event
    }

    fn read(&mut self, ui: &Ui) {
        let Stage::Reading(reading) = &self.stage else { return };
        let Some(read) = reading.done() else { return };
        self.stage = match read {
            Ok(pixels) => {
                let size = vec2(pixels.width() as f32, pixels.height() as f32);
                let side = ui.input(|i| i.max_texture_side) as u32;
                let image = pictures::color_image(&pictures::at_most(pixels, side));
                let texture = ui.ctx().load_texture("padded", image, TextureOptions::LINEAR);
                Stage::Open { texture, size }
            }
            Err(error) => Stage::Broken(format!("{error:#}")),
        };
    }

    fn keys(&self, ui: &Ui) -> Option<Event> {
        if ui.ctx().egui_wants_keyboard_input() {
            return None;
        }
        let pressed = |key| ui.input(|i| i.key_pressed(key));
        let done = pressed(Key::Enter) && matches!(self.stage, Stage::Open { .. });
        let done = done.then_some(Event::Done(self.padding));
        done.or(pressed(Key::Escape).then_some(Event::Close))
    }

    /// The numbers at the left; what ends the work at the right.
    fn bar(&mut self, ui: &mut Ui, theme: &Theme) -> Option<Event> {
        let (mut event, open) = (None, matches!(self.stage, Stage::Open { .. }));
        let (now, mut padding) = (self.padding, self.padding);
        let numbers = |ui: &mut Ui| {
            for (name, value) in padding.each() {
                let step = if name == "feathering" { 1.0 } else { STEP };
                let label = ui.label(RichText::new(name).color(theme.dim));
                let drag = DragValue::new(value).range(0..=MOST as u32).speed(step * 0.25);
                let drag = ui.add(drag.custom_parser(crate::expression::value));
                drag.labelled_by(label.id);
                ui.add_space(4.0);
            }
        };
        egui::Sides::new().height(36.0).show(ui, numbers, |ui| {
            let words = RichText::new("Use this frame").color(theme.panel);
            let button = Button::new(words).fill(theme.accent);
            if ui.add_enabled(open, button).on_hover_text("Enter").clicked() {
                event = Some(Event::Done(now));
            }
            if ui.button("Cancel").on_hover_text("Esc").clicked() {
                event = Some(Event::Close);
            }
        });
        padding.borders.each().into_iter().for_each(|(_, value)| {
            *value = ((*value as f32 / STEP).round() * STEP) as u32;
        });
        self.padding = padding;
        event
    }

    fn stage_ui(&mut self, ui: &mut Ui, theme: &Theme) {
        let (texture, size) = match &self.stage {
            Stage::Open { texture, size } => (texture.clone(), *size),
            Stage::Reading(_) => return drop(ui.label(strong(theme, "Reading"))),
            Stage::Broken(why) => return drop(ui.label(RichText::new(why).color(theme.error))),
        };
        let veil = self.veil(ui, size, theme);
        let pulled = frame_ui(ui, theme, [&texture, &veil], size, self.padding.borders);
        self.padding.borders = pulled.unwrap_or(self.padding.borders);
    }

    /// The veil over what is repainted of the picture; made anew when that changes.
    fn veil(&mut self, ui: &Ui, size: Vec2, theme: &Theme) -> TextureHandle {
        if let Some((veil, _)) = self.veil.as_ref().filter(|(_, made)| *made == self.padding) {
            return veil.clone();
        }
        let scale = (VEIL / size.max_elem()).min(1.0);
        let [width, height] = [size.x, size.y].map(|n| (n * scale).ceil().max(1.0) as usize);
        let pixel = |x: usize, y: usize| pos2(x as f32 + 0.5, y as f32 + 0.5) / scale;
        let shade = |part| theme.accent.gamma_multiply(0.8 * part);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| pixel(x, y)));
        let pixels = places.map(|at| shade(self.padding.repainted(at, size))).collect();
        let image = ColorImage::new([width, height], pixels);
        let veil = ui.ctx().load_texture("repainted", image, TextureOptions::LINEAR);
        self.veil = Some((veil.clone(), self.padding));
        veil
    }
}

/// Draws the picture of `size` pixels, and what lies over it, in the middle of the room there is, with its
/// frame; gives the borders once they were changed.
fn frame_ui(
    ui: &mut Ui,
    theme: &Theme,
    textures: [&TextureHandle; 2],
    size: Vec2,
    borders: Borders,
) -> Option<Borders> {
    let (view, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    // While a handle is held the scale stays, or the frame would run away from the pointer.
    let memory = ui.scope_id().with("outpaint");
    let held: Option<Held> = ui.data(|data| data.get_temp(memory));
    let now = held.unwrap_or_else(|| Held::new(view, size, borders));
    let frame = now.to_screen(borders.frame(size));
    let picture = now.to_screen(Rect::from_min_size(Pos2::ZERO, size));
    checkerboard(ui, frame, [theme.field, theme.node]);
    let painter = ui.painter_at(view.expand(HANDLE));
    painter.rect_filled(frame, 0.0, theme.accent.gamma_multiply(0.12));
    for texture in textures {
        painter.image(texture.id(), picture, WHOLE, Color32::WHITE);
    }
    painter.rect_stroke(frame, 0.0, (1.5, theme.accent), egui::StrokeKind::Outside);
    labels(ui, theme, frame, picture, size, borders);
    let handle = |(way, name, cursor): &([i8; 2], &str, CursorIcon)| {
        let side = vec2(f32::from(way[0]), f32::from(way[1]));
        let place = frame.center() + frame.size() / 2.0 * side;
        let handle = handle_ui(ui, theme, place, memory.with(name), name, *cursor);
        if handle.drag_started() {
            ui.data_mut(|data| data.insert_temp(memory, now));
        }
        if handle.drag_stopped() {
            ui.data_mut(|data| data.remove::<Held>(memory));
        }
        let by = handle.total_drag_delta().filter(|_| handle.dragged())?;
        Some(now.borders.pulled(*way, by / now.scale)).filter(|new| *new != borders)
    };
    HANDLES.iter().map(handle).fold(None, |changed, new| new.or(changed))
}

/// A small square to take hold of.
fn handle_ui(ui: &Ui, theme: &Theme, at: Pos2, id: Id, name: &str, cursor: CursorIcon) -> Response {
    let place = Rect::from_center_size(at, Vec2::splat(HANDLE));
    let handle = ui.interact(place, id, Sense::drag()).on_hover_and_drag_cursor(cursor);
    handle.widget_info(|| WidgetInfo::labeled(Role::Slider, true, name));
    let fill = if handle.hovered() || handle.dragged() { theme.accent } else { Color32::WHITE };
    let stroke = (1.5, theme.accent);
    ui.painter().rect(place.shrink(3.0), 2.0, fill, stroke, egui::StrokeKind::Inside);
    handle
}

/// How things were when a handle was taken.
#[derive(Clone, Copy)]
struct Held {
    /// Points for a pixel.
    scale: f32,
    /// Where the picture's corner is.
    corner: Pos2,
    borders: Borders,
}

impl Held {
    /// The frame in the middle, with room to pull it larger.
    fn new(view: Rect, size: Vec2, borders: Borders) -> Self {
        let frame = borders.frame(size);
        let room = frame.size() + size * 0.5;
        let scale = (view.width() / room.x).min(view.height() / room.y).min(LARGEST);
        Self { scale, corner: view.center() - frame.center().to_vec2() * scale, borders }
    }

    fn to_screen(self, rect: Rect) -> Rect {
        Rect::from_min_size(self.corner + rect.min.to_vec2() * self.scale, rect.size() * self.scale)
    }
}

/// The size of the whole below the frame, and of each border in it.
fn labels(ui: &Ui, theme: &Theme, frame: Rect, picture: Rect, size: Vec2, mut borders: Borders) {
    let write = |at: Pos2, anchor: Align2, words: String, color: Color32| {
        ui.painter().text(at, anchor, words, FontId::proportional(12.0), color);
    };
    let whole = borders.frame(size).size();
    let below = frame.center_bottom() + vec2(0.0, HANDLE);
    write(below, Align2::CENTER_TOP, format!("{} × {}", whole.x, whole.y), theme.text);
    let middles = [
        pos2((frame.left() + picture.left()) / 2.0, picture.center().y),
        pos2(picture.center().x, (frame.top() + picture.top()) / 2.0),
        pos2((frame.right() + picture.right()) / 2.0, picture.center().y),
        pos2(picture.center().x, (frame.bottom() + picture.bottom()) / 2.0),
    ];
    for (at, (_, border)) in middles.into_iter().zip(borders.each()) {
        if *border > 0 {
            write(at, Align2::CENTER_CENTER, format!("+{border}"), theme.accent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_follow_the_handle_in_steps_and_stay_outside_of_the_picture() {
        let start = Borders { left: 16, ..Borders::default() };
        assert_eq!(start.pulled([-1, 0], vec2(-21.0, 99.0)), Borders { left: 40, ..start });
        assert_eq!(start.pulled([-1, 0], vec2(500.0, 0.0)).left, 0);
        assert_eq!(
            start.pulled([1, 1], vec2(8.0, 12.1)),
            Borders { right: 8, bottom: 16, ..start }
        );
        assert_eq!(start.pulled([0, -1], vec2(0.0, -1e9)).top, 16_384);
        assert_eq!(start.pulled([1, 0], vec2(3.0, 0.0)), start);
    }

    #[test]
    fn the_frame_is_the_picture_with_its_borders() {
        let borders = Borders { left: 8, top: 16, right: 24, bottom: 0 };
        let frame = borders.frame(vec2(100.0, 50.0));
        assert_eq!((frame.min, frame.size()), (pos2(-8.0, -16.0), vec2(132.0, 66.0)));
    }

    #[test]
    fn the_mask_fades_in_from_edges_that_have_a_border() {
        let size = vec2(100.0, 100.0);
        let borders = Borders { left: 8, ..Borders::default() };
        let padding = Padding { borders, feathering: 20 };
        assert_eq!(padding.repainted(pos2(0.0, 50.0), size), 1.0);
        assert_eq!(padding.repainted(pos2(10.0, 50.0), size), 0.25);
        assert_eq!(padding.repainted(pos2(20.0, 50.0), size), 0.0);
        assert_eq!(padding.repainted(pos2(99.0, 50.0), size), 0.0, "nothing is added there");
        let wide = Padding { feathering: 50, ..padding };
        assert_eq!(wide.repainted(pos2(0.0, 50.0), size), 0.0, "no room to fade");
    }

    #[test]
    fn dragging_the_handles_changes_the_borders() {
        use egui_kittest::{Harness, kittest::Queryable};
        let draw = |ui: &mut Ui, (borders, texture): &mut (Borders, Option<TextureHandle>)| {
            let image = egui::ColorImage::filled([512, 384], Color32::from_rgb(0x40, 0x70, 0x90));
            let load = || ui.ctx().load_texture("picture", image, egui::TextureOptions::LINEAR);
            let texture = texture.get_or_insert_with(load).clone();
            let size = texture.size_vec2();
            let both = [&texture, &texture];
            *borders = frame_ui(ui, &Theme::dark(), both, size, *borders).unwrap_or(*borders);
        };
        let builder = Harness::builder().with_size(vec2(640.0, 480.0)).wgpu();
        let mut harness = builder.build_ui_state(draw, (Borders::default(), None));
        let (start, scale) =
            (harness.get_by_label("Bottom right corner").rect().center(), 464.0 / 576.0);
        let end = start + vec2(64.0, 32.0) * scale;
        harness.drag_at(start);
        harness.step();
        for part in [0.5, 1.0] {
            harness.hover_at(start + (end - start) * part);
            harness.step();
        }
        harness.drop_at(end);
        harness.run_ok();
        if let Some(dir) = std::env::var_os("WEFT_LOOK") {
            let picture = harness.render().unwrap();
            picture.save(std::path::Path::new(&dir).join("outpaint.png")).unwrap();
        }
        let pulled = harness.state().0;
        assert_eq!((pulled.left, pulled.top), (0, 0));
        assert!(
            (56..=72).contains(&pulled.right) && (24..=40).contains(&pulled.bottom),
            "{pulled:?}"
        );
    }
}
