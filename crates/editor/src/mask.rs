//! The mask editor: paints what is to be inpainted over a picture.
//!
//! The picture's colours are never touched, not even where it is masked: only the alpha channel of the new
//! file says what the mask is, as `LoadImage` reads it.

use crate::{
    brush::{Area, Brush, RADII, resized},
    lens::{Lens, WHOLE},
    panels::{icon_button, icon_toggle},
    pictures::{Picture, Reading},
    theme::{Theme, VEILS},
};
use anyhow::Result;
use canvas::Canvas;
use egui::{
    Align2, Button, Color32, FontId, Frame, Key, KeyboardShortcut, Modifiers, PointerButton, Rect,
    RichText, Sense, Slider, Ui, WidgetInfo, accesskit::Role, vec2,
};
use egui_material_icons::{MaterialIcon, icons};
use graph::Host;
use std::sync::{Arc, mpsc};

/// What the editor asks of the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Close,
    /// The picture with its mask is a new file of the input folder, by this name.
    Done(String),
}

mod canvas;
mod file;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Brush,
    Eraser,
    Rectangle,
    Fill,
}

/// Tools with their icons, names and keys.
const TOOLS: &[(Tool, MaterialIcon, &str, Key)] = &[
    (Tool::Brush, icons::ICON_BRUSH, "Brush (B)", Key::B),
    (
        Tool::Eraser,
        icons::ICON_INK_ERASER,
        "Eraser (E; X changes between brush and eraser)",
        Key::E,
    ),
    (
        Tool::Rectangle,
        icons::ICON_CROP_SQUARE,
        "Rectangle (R; Shift for a square, Alt takes away)",
        Key::R,
    ),
    (Tool::Fill, icons::ICON_FORMAT_COLOR_FILL, "Fill (F; Alt takes away)", Key::F),
];

/// Paints a mask over a picture.
pub struct MaskEditor {
    picture: Picture,
    host: Arc<dyn Host>,
    stage: Stage,
    saving: Option<mpsc::Receiver<Result<String>>>,
    /// Why the last attempt to save failed.
    failure: Option<String>,
    tool: Tool,
    brush: Brush,
    /// Which of the colours the mask is shown in.
    tint: usize,
    lens: Lens,
}

enum Stage {
    Reading(Reading),
    Broken(String),
    Open(Box<Canvas>),
}

impl MaskEditor {
    /// Opens a picture; its transparency is the mask to begin with.
    pub fn new(picture: Picture, host: Arc<dyn Host>, ctx: &egui::Context) -> Self {
        let reading = Reading::start(picture.clone(), host.clone(), ctx);
        Self {
            picture,
            host,
            stage: Stage::Reading(reading),
            saving: None,
            failure: None,
            tool: Tool::Brush,
            brush: Brush { radius: 32.0, hardness: 0.7, opacity: 1.0, erase: false },
            tint: 0,
            lens: Lens::default(),
        }
    }

    /// Draws it into all the room there is.
    pub fn ui(&mut self, ui: &mut Ui, theme: &Theme) -> Option<Event> {
        if let Some(event) = self.saved() {
            return Some(event);
        }
        self.read(ui);
        let mut event = self.keys(ui);
        egui::Panel::top("mask editor tools").show_separator_line(false).show(ui, |ui| {
            event = event.take().or(self.bar(ui, theme));
        });
        egui::Panel::bottom("mask editor brush").show_separator_line(false).show(ui, |ui| {
            self.brush_ui(ui, theme);
        });
        Frame::new().fill(theme.canvas).show(ui, |ui| self.canvas_ui(ui, theme));
        event
    }

    fn read(&mut self, ui: &Ui) {
        let Stage::Reading(reading) = &self.stage else { return };
        match reading.done() {
            None => {}
            Some(Ok(pixels)) => {
                let side = pixels.width().max(pixels.height());
                self.brush.radius = (side as f32 / 16.0).clamp(4.0, RADII.1);
                self.tint = clearest(&pixels);
                self.stage = Stage::Open(Box::new(Canvas::new(pixels, ui, VEILS[self.tint])));
            }
            Some(Err(error)) => self.stage = Stage::Broken(format!("{error:#}")),
        }
    }

    /// Whether the file has been written.
    fn saved(&mut self) -> Option<Event> {
        let saved = self.saving.as_ref()?.try_recv();
        if saved.as_ref().is_err_and(|error| *error == mpsc::TryRecvError::Empty) {
            return None;
        }
        self.saving = None;
        match saved.unwrap_or_else(|_| Err(anyhow::anyhow!("the picture could not be written"))) {
            Ok(name) => Some(Event::Done(name)),
            Err(error) => {
                self.failure = Some(format!("{error:#}"));
                None
            }
        }
    }

    fn save(&mut self, ctx: &egui::Context) {
        let Stage::Open(canvas) = &self.stage else { return };
        let (pixels, mask) = (canvas.pixels.clone(), canvas.mask.clone());
        let (host, name, ctx) = (self.host.clone(), self.picture.filename.clone(), ctx.clone());
        let (sender, receiver) = mpsc::channel();
        self.saving = Some(receiver);
        std::thread::spawn(move || {
            // The editor may be closed before the file is written; the file stays.
            let _ = sender.send(file::write(&pixels, &mask, &name, &*host));
            ctx.request_repaint();
        });
    }

    fn keys(&mut self, ui: &Ui) -> Option<Event> {
        if ui.ctx().egui_wants_keyboard_input() {
            return None;
        }
        let pressed = |key| ui.input(|i| i.key_pressed(key) && !i.modifiers.command);
        if let Some((tool, ..)) = TOOLS.iter().find(|(.., key)| pressed(*key)) {
            self.tool = *tool;
        }
        if pressed(Key::X) {
            self.tool = if self.tool == Tool::Eraser { Tool::Brush } else { Tool::Eraser };
        }
        for (key, larger) in [(Key::OpenBracket, false), (Key::CloseBracket, true)] {
            if pressed(key) {
                self.brush.radius = resized(self.brush.radius, larger);
            }
        }
        if pressed(Key::C) {
            self.turn_tint();
        }
        if pressed(Key::Period) {
            self.lens.fit();
        }
        let took = |modifiers, key| {
            ui.input_mut(|i| i.consume_shortcut(&KeyboardShortcut::new(modifiers, key)))
        };
        let shifted = Modifiers::COMMAND | Modifiers::SHIFT;
        if took(shifted, Key::Z) || took(Modifiers::COMMAND, Key::Y) {
            self.change(|canvas| canvas.undo.redo(&mut canvas.mask));
        } else if took(Modifiers::COMMAND, Key::Z) {
            self.change(|canvas| canvas.undo.undo(&mut canvas.mask));
        }
        pressed(Key::Escape).then_some(Event::Close)
    }

    /// Shows the mask in the next colour.
    fn turn_tint(&mut self) {
        self.tint = (self.tint + 1) % VEILS.len();
        if let Stage::Open(canvas) = &mut self.stage {
            canvas.tint(VEILS[self.tint]);
        }
    }

    /// Changes the mask and shows it.
    fn change(&mut self, change: impl FnOnce(&mut Canvas) -> Option<Area>) {
        if let Stage::Open(canvas) = &mut self.stage
            && canvas.stroke.is_none()
            && let Some(area) = change(canvas)
        {
            canvas.show(area);
        }
    }

    /// Tools at the left; what ends the work at the right.
    fn bar(&mut self, ui: &mut Ui, theme: &Theme) -> Option<Event> {
        let (mut event, mut save) = (None, false);
        let (saving, open) = (self.saving.is_some(), matches!(self.stage, Stage::Open(_)));
        let failure = self.failure.clone().unwrap_or_default();
        let finish = |ui: &mut Ui| {
            let words = if saving { "Saving" } else { "Use this mask" };
            let button = Button::new(RichText::new(words).color(theme.panel)).fill(theme.accent);
            save = ui.add_enabled(open && !saving, button).clicked();
            event = ui.button("Cancel").clicked().then_some(Event::Close);
            ui.label(RichText::new(failure).color(theme.error));
        };
        egui::Sides::new().height(36.0).show(ui, |ui| self.tools(ui), finish);
        if save {
            self.save(ui.ctx());
        }
        event
    }

    fn tools(&mut self, ui: &mut Ui) {
        for (tool, icon, name, _) in TOOLS {
            if icon_toggle(ui, self.tool == *tool, *icon, name).clicked() {
                self.tool = *tool;
            }
        }
        ui.separator();
        self.change_buttons(ui);
    }

    fn change_buttons(&mut self, ui: &mut Ui) {
        let (can_undo, can_redo) = match &self.stage {
            Stage::Open(canvas) => (canvas.undo.can_undo(), canvas.undo.can_redo()),
            _ => (false, false),
        };
        let button = |ui: &mut Ui, on: bool, icon, name| {
            ui.add_enabled_ui(on, |ui| icon_button(ui, icon, name).clicked()).inner
        };
        if button(ui, can_undo, icons::ICON_UNDO, "Undo (Ctrl+Z)") {
            self.change(|canvas| canvas.undo.undo(&mut canvas.mask));
        }
        if button(ui, can_redo, icons::ICON_REDO, "Redo (Ctrl+Shift+Z)") {
            self.change(|canvas| canvas.undo.redo(&mut canvas.mask));
        }
        ui.separator();
        if button(ui, true, icons::ICON_INVERT_COLORS, "Invert the mask") {
            self.change(|canvas| canvas.step(|mask| Some(mask.map(|value| 255 - value))));
        }
        if button(ui, true, icons::ICON_LAYERS_CLEAR, "Clear the mask") {
            self.change(|canvas| canvas.step(|mask| Some(mask.map(|_| 0))));
        }
        if button(ui, true, icons::ICON_PALETTE, "Another colour for the mask (C)") {
            self.turn_tint();
        }
        if button(ui, true, icons::ICON_FIT_SCREEN, "Show all of it (.)") {
            self.lens.fit();
        }
    }

    fn brush_ui(&mut self, ui: &mut Ui, theme: &Theme) {
        ui.horizontal(|ui| {
            ui.spacing_mut().slider_width = 110.0;
            let slider = |ui: &mut Ui, name: &str, slider: Slider| {
                let label = ui.label(RichText::new(name).color(theme.dim));
                let label = label.on_hover_text("Dragging with the right button changes it too");
                ui.add(slider).labelled_by(label.id);
                ui.add_space(10.0);
            };
            let mut size = self.brush.radius * 2.0;
            let sizes = RADII.0 * 2.0..=RADII.1 * 2.0;
            slider(
                ui,
                "Size [ ]",
                Slider::new(&mut size, sizes).logarithmic(true).fixed_decimals(0),
            );
            self.brush.radius = size / 2.0;
            let percent = |value| {
                Slider::new(value, 0.0..=1.0).custom_formatter(|v, _| format!("{:.0} %", v * 100.0))
            };
            slider(ui, "Hardness", percent(&mut self.brush.hardness));
            slider(ui, "Opacity", percent(&mut self.brush.opacity));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.label(
                    RichText::new(format!("{:.0} %", self.lens.scale * 100.0)).color(theme.dim),
                );
            });
        });
    }

    fn canvas_ui(&mut self, ui: &mut Ui, theme: &Theme) {
        let view = ui.allocate_response(ui.available_size(), Sense::click_and_drag());
        view.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Picture with mask"));
        let canvas = match &mut self.stage {
            Stage::Open(canvas) => canvas,
            Stage::Reading(_) => return message(ui, view.rect, "Reading", theme.dim),
            Stage::Broken(why) => return message(ui, view.rect, why, theme.error),
        };
        let size = vec2(canvas.mask.width as f32, canvas.mask.height as f32);
        let pans = self.lens.navigate(ui, &view, size, false);
        // The other button makes the brush larger to the right, and harder upwards.
        let sizes = view.dragged_by(PointerButton::Secondary);
        if sizes {
            let by = view.drag_delta();
            let radius = self.brush.radius + by.x / self.lens.scale;
            self.brush.radius = radius.clamp(RADII.0, RADII.1);
            self.brush.hardness = (self.brush.hardness - by.y * 0.005).clamp(0.0, 1.0);
        }
        let alt = ui.input(|i| i.modifiers.alt);
        let erase = match self.tool {
            Tool::Brush => false,
            Tool::Eraser => true,
            Tool::Rectangle | Tool::Fill => alt,
        };
        let brush = Brush { erase, ..self.brush };
        if !pans && !ui.input(|i| i.key_down(Key::Space)) {
            canvas.touch(ui, &view, &self.lens, self.tool, brush);
        }
        let rect = self.lens.rect(view.rect, size);
        let painter = ui.painter_at(view.rect);
        painter.image(canvas.texture.id(), rect, WHOLE, Color32::WHITE);
        painter.image(canvas.veil.id(), rect, WHOLE, Color32::WHITE);
        painter.rect_stroke(rect, 0.0, (1.0, theme.outline), egui::StrokeKind::Outside);
        canvas.cursor(ui, &view, &self.lens, self.tool, brush, theme);
    }
}

fn message(ui: &Ui, view: Rect, words: &str, color: Color32) {
    ui.painter().text(
        view.center(),
        Align2::CENTER_CENTER,
        words,
        FontId::proportional(14.0),
        color,
    );
}

/// The veil whose colour the picture has least of.
fn clearest(pixels: &image::RgbaImage) -> usize {
    const NEAR: u32 = 150 * 150;
    let is_near = |pixel: &image::Rgba<u8>, veil: Color32| {
        let parts = pixel.0.iter().zip(veil.to_array()).take(3);
        parts.map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>() < NEAR
    };
    let share = |veil: &usize| pixels.pixels().filter(|p| is_near(p, VEILS[*veil])).count();
    (0..VEILS.len()).min_by_key(share).unwrap_or(0)
}

#[cfg(test)]
mod tests;
