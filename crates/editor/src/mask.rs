//! The mask editor: paints what is to be inpainted over a picture.
//!
//! The picture's colours are never touched, not even where it is masked: only the alpha channel of the new
//! file says what the mask is, as `LoadImage` reads it.

use crate::{
    brush::{Area, Brush, Mask, Patch, RADII, Stroke, Touch, Undo, corners, resized},
    lens::{Lens, WHOLE, pixel_at},
    panels::{icon_button, icon_toggle},
    pictures::{self, Picture, Reading},
    theme::Theme,
};
use anyhow::{Context as _, Result};
use egui::{
    Align2, Button, Color32, ColorImage, CursorIcon, FontId, Frame, Key, KeyboardShortcut,
    Modifiers, PointerButton, Pos2, Rect, Response, RichText, Sense, Slider, TextureHandle,
    TextureOptions, Ui, WidgetInfo, accesskit::Role, vec2,
};
use egui_material_icons::{MaterialIcon, icons};
use graph::Host;
use image::{ImageFormat, RgbaImage};
use std::{
    io::Cursor,
    sync::{Arc, mpsc},
};

/// What the editor asks of the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Close,
    /// The picture with its mask is a new file of the input folder, by this name.
    Done(String),
}

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

/// Where new files go, below the input folder.
const FOLDER: &str = "clipspace";
/// Large pixels are squares.
const SHARP: TextureOptions =
    TextureOptions { magnification: egui::TextureFilter::Nearest, ..TextureOptions::LINEAR };
/// How much of the mask's colour lies over the picture.
const VEIL: f32 = 0.62;

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
    lens: Lens,
}

enum Stage {
    Reading(Reading),
    Broken(String),
    Open(Box<Canvas>),
}

/// The open picture.
struct Canvas {
    pixels: RgbaImage,
    /// The picture without its transparency, and over it the mask.
    texture: TextureHandle,
    veil: TextureHandle,
    mask: Mask,
    undo: Undo,
    stroke: Option<Stroke>,
    /// Where a rectangle begins, or the last stroke ended; pixels.
    anchor: Option<Pos2>,
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
            lens: Lens::default(),
        }
    }

    /// Draws it into all the room there is.
    pub fn ui(&mut self, ui: &mut Ui, theme: &Theme) -> Option<Event> {
        if let Some(event) = self.saved() {
            return Some(event);
        }
        self.read(ui, theme);
        let mut event = self.keys(ui, theme);
        egui::Panel::top("mask editor tools").show_separator_line(false).show(ui, |ui| {
            event = event.take().or(self.bar(ui, theme));
        });
        egui::Panel::bottom("mask editor brush").show_separator_line(false).show(ui, |ui| {
            self.brush_ui(ui, theme);
        });
        Frame::new().fill(theme.canvas).show(ui, |ui| self.canvas_ui(ui, theme));
        event
    }

    fn read(&mut self, ui: &Ui, theme: &Theme) {
        let Stage::Reading(reading) = &self.stage else { return };
        match reading.done() {
            None => {}
            Some(Ok(pixels)) => self.stage = Stage::Open(Box::new(Canvas::new(pixels, ui, theme))),
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
            let _ = sender.send(write(&pixels, &mask, &name, &*host));
            ctx.request_repaint();
        });
    }

    fn keys(&mut self, ui: &Ui, theme: &Theme) -> Option<Event> {
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
        if pressed(Key::Period) {
            self.lens.fit();
        }
        let took = |modifiers, key| {
            ui.input_mut(|i| i.consume_shortcut(&KeyboardShortcut::new(modifiers, key)))
        };
        let shifted = Modifiers::COMMAND | Modifiers::SHIFT;
        if took(shifted, Key::Z) || took(Modifiers::COMMAND, Key::Y) {
            self.change(theme, |canvas| canvas.undo.redo(&mut canvas.mask));
        } else if took(Modifiers::COMMAND, Key::Z) {
            self.change(theme, |canvas| canvas.undo.undo(&mut canvas.mask));
        }
        pressed(Key::Escape).then_some(Event::Close)
    }

    /// Changes the mask and shows it.
    fn change(&mut self, theme: &Theme, change: impl FnOnce(&mut Canvas) -> Option<Area>) {
        if let Stage::Open(canvas) = &mut self.stage
            && canvas.stroke.is_none()
            && let Some(area) = change(canvas)
        {
            canvas.show(area, theme);
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
        egui::Sides::new().height(36.0).show(ui, |ui| self.tools(ui, theme), finish);
        if save {
            self.save(ui.ctx());
        }
        event
    }

    fn tools(&mut self, ui: &mut Ui, theme: &Theme) {
        for (tool, icon, name, _) in TOOLS {
            if icon_toggle(ui, self.tool == *tool, *icon, name).clicked() {
                self.tool = *tool;
            }
        }
        ui.separator();
        self.change_buttons(ui, theme);
    }

    fn change_buttons(&mut self, ui: &mut Ui, theme: &Theme) {
        let (can_undo, can_redo) = match &self.stage {
            Stage::Open(canvas) => (canvas.undo.can_undo(), canvas.undo.can_redo()),
            _ => (false, false),
        };
        let button = |ui: &mut Ui, on: bool, icon, name| {
            ui.add_enabled_ui(on, |ui| icon_button(ui, icon, name).clicked()).inner
        };
        if button(ui, can_undo, icons::ICON_UNDO, "Undo (Ctrl+Z)") {
            self.change(theme, |canvas| canvas.undo.undo(&mut canvas.mask));
        }
        if button(ui, can_redo, icons::ICON_REDO, "Redo (Ctrl+Shift+Z)") {
            self.change(theme, |canvas| canvas.undo.redo(&mut canvas.mask));
        }
        ui.separator();
        if button(ui, true, icons::ICON_INVERT_COLORS, "Invert the mask") {
            self.change(theme, |canvas| canvas.step(|mask| Some(mask.map(|value| 255 - value))));
        }
        if button(ui, true, icons::ICON_LAYERS_CLEAR, "Clear the mask") {
            self.change(theme, |canvas| canvas.step(|mask| Some(mask.map(|_| 0))));
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
        let alt = ui.input(|i| i.modifiers.alt);
        let erase = match self.tool {
            Tool::Brush => false,
            Tool::Eraser => true,
            Tool::Rectangle | Tool::Fill => alt,
        };
        let brush = Brush { erase, ..self.brush };
        if !pans {
            canvas.touch(ui, &view, &self.lens, self.tool, brush, theme);
        }
        let rect = self.lens.rect(view.rect, size);
        let painter = ui.painter_at(view.rect);
        painter.image(canvas.texture.id(), rect, WHOLE, Color32::WHITE);
        painter.image(canvas.veil.id(), rect, WHOLE, Color32::WHITE);
        painter.rect_stroke(rect, 0.0, (1.0, theme.outline), egui::StrokeKind::Outside);
        canvas.cursor(ui, &view, &self.lens, self.tool, brush, theme);
    }
}

impl Canvas {
    fn new(pixels: RgbaImage, ui: &Ui, theme: &Theme) -> Self {
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        let mut mask = Mask::new(width, height);
        for (value, pixel) in mask.values.iter_mut().zip(pixels.pixels()) {
            *value = 255 - pixel.0[3];
        }
        let mut opaque = pixels.clone();
        opaque.pixels_mut().for_each(|pixel| pixel.0[3] = 255);
        let load = |name, image| ui.ctx().load_texture(name, image, SHARP);
        let texture = load("masked picture", pictures::color_image(&opaque));
        let veil = load("mask", veil(&mask, mask.all(), theme));
        Self { pixels, texture, veil, mask, undo: Undo::default(), stroke: None, anchor: None }
    }

    /// Changes the mask as one step to undo; gives what changed.
    fn step(&mut self, change: impl FnOnce(&mut Mask) -> Option<Patch>) -> Option<Area> {
        let patch = change(&mut self.mask)?;
        let area = patch.area;
        self.undo.push(patch);
        Some(area)
    }

    fn show(&mut self, area: Area, theme: &Theme) {
        self.veil.set_partial(area.min, veil(&self.mask, area, theme), SHARP);
    }

    /// What the pointer does with the tool.
    fn touch(
        &mut self,
        ui: &Ui,
        view: &Response,
        lens: &Lens,
        tool: Tool,
        brush: Brush,
        theme: &Theme,
    ) {
        let pointer = view.interact_pointer_pos().map(|point| lens.to_pixel(view.rect, point));
        let down = view.is_pointer_button_down_on()
            && ui.input(|i| i.pointer.button_down(PointerButton::Primary));
        let shift = ui.input(|i| i.modifiers.shift);
        let changed = match (tool, pointer) {
            (Tool::Brush | Tool::Eraser, Some(at)) if down => {
                self.paint(ui, view, lens, at, brush, shift)
            }
            (Tool::Brush | Tool::Eraser, _) => self.lift(),
            (Tool::Rectangle, Some(at)) if down => {
                let start = ui.input(|i| i.pointer.press_origin());
                self.anchor = Some(start.map_or(at, |point| lens.to_pixel(view.rect, point)));
                None
            }
            (Tool::Rectangle, Some(at)) if view.drag_stopped() => {
                let start = self.anchor.take().unwrap_or(at);
                self.step(|mask| mask.rectangle(corners(start, at, shift), brush))
            }
            (Tool::Fill, Some(at)) if view.clicked() => {
                let size = [self.mask.width as u32, self.mask.height as u32];
                let pixel = pixel_at(at, size).map(|[x, y]| [x as usize, y as usize]);
                pixel.and_then(|pixel| self.step(|mask| Some(mask.fill(pixel, brush))))
            }
            _ => None,
        };
        if let Some(area) = changed {
            self.show(area, theme);
        }
    }

    /// The stroke goes on; with Shift it begins where the last one ended, as a straight line.
    fn paint(
        &mut self,
        ui: &Ui,
        view: &Response,
        lens: &Lens,
        at: Pos2,
        brush: Brush,
        shift: bool,
    ) -> Option<Area> {
        let begins = self.stroke.is_none();
        let stroke = self.stroke.get_or_insert_with(|| Stroke::new(&self.mask, brush));
        let pressure = pressure(ui);
        let mut changed = None;
        let line = self.anchor.filter(|_| begins && shift);
        // A frame may bring several places; all of them count, or quick curves would have corners.
        let places = moves(ui).into_iter().map(|point| lens.to_pixel(view.rect, point));
        let places = line.into_iter().chain(places.filter(|_| !begins)).chain([at]);
        for at in places {
            if let Some(area) = stroke.to(&mut self.mask, Touch { at, pressure }) {
                changed = Some(changed.map_or(area, |all: Area| all.union(area)));
            }
        }
        self.anchor = Some(at);
        changed
    }

    /// The stroke is over.
    fn lift(&mut self) -> Option<Area> {
        let patch = self.stroke.take()?.end()?;
        self.undo.push(patch);
        None
    }

    /// What the tool would touch: the brush's size as a circle, a rectangle under way.
    fn cursor(
        &self,
        ui: &Ui,
        view: &Response,
        lens: &Lens,
        tool: Tool,
        brush: Brush,
        theme: &Theme,
    ) {
        let painter = ui.painter_at(view.rect);
        let rings = [(3.0, Color32::from_black_alpha(140)), (1.5, Color32::WHITE)];
        match tool {
            Tool::Brush | Tool::Eraser => {
                let Some(point) = view.hover_pos().or(view.interact_pointer_pos()) else { return };
                ui.set_cursor_icon(CursorIcon::None);
                for (width, color) in rings {
                    painter.circle_stroke(point, brush.radius * lens.scale, (width, color));
                }
                let soft = brush.radius * brush.hardness * lens.scale;
                painter.circle_stroke(point, soft, (1.0, Color32::from_white_alpha(70)));
                painter.circle_filled(
                    point,
                    1.5,
                    if brush.erase { theme.text } else { theme.accent },
                );
            }
            Tool::Rectangle => {
                ui.set_cursor_icon(CursorIcon::Crosshair);
                let pointer = view.interact_pointer_pos().filter(|_| view.dragged());
                let Some((start, point)) = self.anchor.zip(pointer) else { return };
                let square = ui.input(|i| i.modifiers.shift);
                let rect = corners(start, lens.to_pixel(view.rect, point), square);
                let rect = Rect::from_two_pos(
                    lens.to_screen(view.rect, rect.min),
                    lens.to_screen(view.rect, rect.max),
                );
                painter.rect_filled(rect, 0.0, theme.accent.gamma_multiply(0.3));
                painter.rect_stroke(rect, 0.0, rings[1], egui::StrokeKind::Middle);
            }
            Tool::Fill => ui.set_cursor_icon(CursorIcon::Crosshair),
        }
    }
}

/// How hard a pen is pressed, where the system tells; 1 for a mouse.
fn pressure(ui: &Ui) -> f32 {
    let force = |event: &egui::Event| match event {
        egui::Event::Touch { force, .. } => *force,
        _ => None,
    };
    ui.input(|i| i.events.iter().rev().find_map(force)).filter(|force| *force > 0.0).unwrap_or(1.0)
}

/// All the places that the pointer went over since the last frame.
fn moves(ui: &Ui) -> Vec<Pos2> {
    let place = |event: &egui::Event| match event {
        egui::Event::PointerMoved(point) => Some(*point),
        _ => None,
    };
    ui.input(|i| i.events.iter().filter_map(place).collect())
}

/// Part of the mask in its colour.
fn veil(mask: &Mask, area: Area, theme: &Theme) -> ColorImage {
    let [r, g, b, _] = theme.error.to_array();
    let shades: Vec<Color32> = (0..=255u8)
        .map(|value| Color32::from_rgba_unmultiplied(r, g, b, (f32::from(value) * VEIL) as u8))
        .collect();
    let pixels = area.pixels().map(|(y, x)| shades[usize::from(mask.values[y * mask.width + x])]);
    ColorImage::new([area.width(), area.height()], pixels.collect())
}

/// The picture with the mask as its transparency; colours stay as they are.
fn masked(pixels: &RgbaImage, mask: &Mask) -> RgbaImage {
    let mut picture = pixels.clone();
    for (pixel, value) in picture.pixels_mut().zip(&mask.values) {
        pixel.0[3] = 255 - value;
    }
    picture
}

/// Writes the masked picture as a new file of the input folder; gives its name there.
fn write(pixels: &RgbaImage, mask: &Mask, name: &str, host: &dyn Host) -> Result<String> {
    let mut png = Cursor::new(Vec::new());
    masked(pixels, mask).write_to(&mut png, ImageFormat::Png)?;
    let folder = host.folder("input")?.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let stem = stem(name);
    let free = |n: &u32| !folder.join(format!("{stem}-mask-{n}.png")).exists();
    let number = (1..).find(free).context("no number is free")?;
    let name = format!("{stem}-mask-{number}.png");
    // Written beside its place, so that there is never half a picture.
    let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    std::fs::write(&part, png.into_inner()).with_context(|| part.display().to_string())?;
    std::fs::rename(&part, &path).with_context(|| path.display().to_string())?;
    Ok(format!("{FOLDER}/{name}"))
}

/// `cat` of `cat.jpeg` and of `cat-mask-3.png`: masks of masks keep the picture's name.
fn stem(name: &str) -> &str {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match stem.rsplit_once("-mask-") {
        Some((first, number)) if number.parse::<u32>().is_ok() => first,
        _ => stem,
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

#[cfg(test)]
mod tests;
