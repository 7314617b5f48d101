//! Pictures at full size: zoomed, measured, compared.

use crate::{
    lens::{Lens, WHOLE, checkerboard, pixel_at},
    panels::{icon_button, icon_toggle, picture, strong},
    pictures::{self, Picture, Reading},
    runs::Runs,
    theme::Theme,
};
use egui::{
    Align2, Color32, CursorIcon, FontId, Frame, Key, Rect, Response, RichText, ScrollArea, Sense,
    Stroke, TextureHandle, TextureOptions, Ui, Vec2, WidgetInfo, accesskit::Role, pos2, vec2,
};
use egui_material_icons::icons::{
    ICON_ARROW_BACK, ICON_ARROW_FORWARD, ICON_BRUSH, ICON_CLOSE, ICON_COMPARE, ICON_CONTENT_COPY,
    ICON_FIT_SCREEN, ICON_LINK, ICON_SAVE,
};
use image::RgbaImage;

/// What the viewer asks of the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Close,
    /// Ask where to, and write the file there.
    SaveAs(Picture),
    EditMask(Picture),
}

/// Shows one picture of several, or two of them side by side.
pub struct Viewer {
    pictures: Vec<Picture>,
    at: usize,
    /// The picture to compare with: what was before.
    before: Option<usize>,
    /// How much of the picture's width shows what was before, from 0 to 1.
    split: f32,
    lens: Lens,
    shown: Option<Full>,
    shown_before: Option<Full>,
}

/// A picture at full size.
struct Full {
    picture: Picture,
    content: Content,
}

enum Content {
    Reading(Reading),
    Ready { pixels: RgbaImage, texture: TextureHandle },
    Broken(String),
}

/// The side of the pictures in the strip, in points.
const STRIP: f32 = 56.0;
/// So many of the earlier pictures are offered to be compared with.
const EARLIER: usize = 40;

impl Viewer {
    /// Shows the picture at a place in the list; what the graph loads and what earlier runs made is
    /// offered after it.
    pub fn new(mut pictures: Vec<Picture>, at: usize, loaded: &[Picture], runs: &Runs) -> Self {
        let earlier = runs.all().iter().rev().flat_map(|run| run.pictures.iter().rev());
        for picture in loaded.iter().chain(earlier.take(EARLIER)) {
            if !pictures.contains(picture) {
                pictures.push(picture.clone());
            }
        }
        let at = at.min(pictures.len().saturating_sub(1));
        let lens = Lens::default();
        Self { pictures, at, before: None, split: 0.5, lens, shown: None, shown_before: None }
    }

    /// The picture that is shown, with another that was before it.
    pub fn compare(&mut self, before: Picture) {
        let place = self.pictures.iter().position(|picture| *picture == before);
        self.before = Some(place.unwrap_or(self.pictures.len()));
        if place.is_none() {
            self.pictures.push(before);
        }
    }

    /// Draws it into all the room there is.
    pub fn ui(&mut self, ui: &mut Ui, theme: &Theme, runs: &Runs) -> Option<Event> {
        self.read(ui, runs);
        let mut event = self.keys(ui, runs);
        egui::Panel::top("viewer tools").show_separator_line(false).show(ui, |ui| {
            event = event.take().or(self.tools(ui, theme, runs));
        });
        if self.pictures.len() > 1 {
            egui::Panel::bottom("viewer strip").show_separator_line(false).show(ui, |ui| {
                self.strip(ui, theme, runs);
            });
        }
        Frame::new().fill(theme.canvas).show(ui, |ui| self.stage(ui, theme));
        event
    }

    /// Takes up what has been read, and has read what is to be shown.
    fn read(&mut self, ui: &Ui, runs: &Runs) {
        let want = |index: Option<usize>| index.and_then(|i| self.pictures.get(i)).cloned();
        let (now, before) = (want(Some(self.at)), want(self.before));
        for (full, picture) in [(&mut self.shown, now), (&mut self.shown_before, before)] {
            if full.as_ref().map(|full| &full.picture) != picture.as_ref() {
                *full = picture.map(|picture| Full::open(picture, runs, ui));
            }
            if let Some(full) = full {
                full.read(ui);
            }
        }
    }

    fn keys(&mut self, ui: &Ui, runs: &Runs) -> Option<Event> {
        if ui.ctx().egui_wants_keyboard_input() {
            return None;
        }
        let pressed = |key| ui.input(|i| i.key_pressed(key) && !i.modifiers.any());
        if pressed(Key::ArrowRight) {
            self.go(1);
        }
        if pressed(Key::ArrowLeft) {
            self.go(-1);
        }
        if pressed(Key::Period) {
            self.lens.fit();
        }
        for (key, factor) in [(Key::Plus, 1.25), (Key::Equals, 1.25), (Key::Minus, 0.8)] {
            if pressed(key) {
                self.lens.zoom_middle(factor);
            }
        }
        if pressed(Key::Num1) {
            self.lens.zoom_middle(1.0 / self.lens.scale);
        }
        if pressed(Key::C) {
            self.turn_compare(runs);
        }
        if ui.input(|i| i.events.contains(&egui::Event::Copy)) {
            self.copy(ui);
        }
        let picture = self.pictures.get(self.at).cloned();
        let save = picture.filter(|_| pressed(Key::S)).map(Event::SaveAs);
        save.or(pressed(Key::Escape).then_some(Event::Close))
    }

    /// Compares with what the run before made in this place, or with the next picture, or ends that.
    fn turn_compare(&mut self, runs: &Runs) {
        if self.before.take().is_some() || self.pictures.len() < 2 {
            return;
        }
        let before = self.pictures.get(self.at).and_then(|picture| previous(picture, runs));
        let next = (self.at + 1) % self.pictures.len();
        self.before = Some(next);
        before.into_iter().for_each(|picture| self.compare(picture));
    }

    fn copy(&self, ui: &Ui) {
        if let Some(pixels) = self.shown.as_ref().and_then(Full::pixels) {
            ui.copy_image(pictures::color_image(pixels));
        }
    }

    fn go(&mut self, by: isize) {
        let count = self.pictures.len().max(1) as isize;
        self.at = (self.at as isize + by).rem_euclid(count) as usize;
    }

    fn tools(&mut self, ui: &mut Ui, theme: &Theme, runs: &Runs) -> Option<Event> {
        let picture = self.pictures.get(self.at)?.clone();
        let mut event = None;
        let place = self.place();
        let title = |ui: &mut Ui| {
            ui.label(strong(theme, &picture.filename));
            ui.label(RichText::new(place).color(theme.dim));
        };
        egui::Sides::new().height(32.0).shrink_left().truncate().show(ui, title, |ui| {
            if icon_button(ui, ICON_CLOSE, "Close the viewer (Esc)").clicked() {
                event = Some(Event::Close);
            }
            ui.separator();
            if icon_button(ui, ICON_SAVE, "Save as (S)").clicked() {
                event = Some(Event::SaveAs(picture.clone()));
            }
            self.copy_buttons(ui, &picture, runs);
            if icon_button(ui, ICON_BRUSH, "Edit the mask").clicked() {
                event = Some(Event::EditMask(picture.clone()));
            }
            ui.separator();
            self.look_buttons(ui, theme, runs);
        });
        event
    }

    /// `2 of 5, 512 × 768`.
    fn place(&self) -> String {
        let place = format!("{} of {}", self.at + 1, self.pictures.len());
        match self.shown.as_ref().and_then(Full::pixels) {
            Some(pixels) => format!("{place}, {} × {}", pixels.width(), pixels.height()),
            None => place,
        }
    }

    fn copy_buttons(&self, ui: &mut Ui, picture: &Picture, runs: &Runs) {
        if icon_button(ui, ICON_CONTENT_COPY, "Copy the picture (Ctrl+C)").clicked() {
            self.copy(ui);
        }
        if icon_button(ui, ICON_LINK, "Copy the file's path").clicked()
            && let Ok(path) = picture.path(&*runs.host)
        {
            let path = std::path::absolute(&path).unwrap_or(path);
            ui.copy_text(path.display().to_string());
        }
    }

    fn look_buttons(&mut self, ui: &mut Ui, theme: &Theme, runs: &Runs) {
        let several = self.pictures.len() > 1;
        ui.add_enabled_ui(several, |ui| {
            let on = self.before.is_some();
            if icon_toggle(ui, on, ICON_COMPARE, "Compare with another picture (C)").clicked() {
                self.turn_compare(runs);
            }
        });
        if icon_button(ui, ICON_FIT_SCREEN, "Show all of it (.)").clicked() {
            self.lens.fit();
        }
        ui.label(RichText::new(format!("{:.0} %", self.lens.scale * 100.0)).color(theme.dim));
        ui.add_enabled_ui(several, |ui| {
            if icon_button(ui, ICON_ARROW_FORWARD, "Next picture (Right)").clicked() {
                self.go(1);
            }
            if icon_button(ui, ICON_ARROW_BACK, "Previous picture (Left)").clicked() {
                self.go(-1);
            }
        });
    }

    /// All pictures, small; while comparing, a click chooses what was before.
    fn strip(&mut self, ui: &mut Ui, theme: &Theme, runs: &Runs) {
        if self.before.is_some() {
            ui.label(RichText::new("Click the picture to compare with").small().color(theme.dim));
        }
        ScrollArea::horizontal().id_salt("viewer strip").show(ui, |ui| {
            ui.horizontal(|ui| {
                for (i, one) in self.pictures.iter().enumerate() {
                    let name = format!("Picture {}", i + 1);
                    let shown = picture(ui, theme, &runs.thumbnails.get(one), STRIP, &name);
                    mark(ui, theme, shown.rect, i == self.at, Some(i) == self.before);
                    if shown.clicked() {
                        match &mut self.before {
                            Some(before) if i != self.at => *before = i,
                            _ => self.at = i,
                        }
                    }
                }
            });
        });
    }

    fn stage(&mut self, ui: &mut Ui, theme: &Theme) {
        let view = ui.allocate_response(ui.available_size(), Sense::click_and_drag());
        view.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Picture"));
        let Some(full) = &self.shown else { return };
        let (pixels, texture) = match &full.content {
            Content::Ready { pixels, texture } => (pixels, texture),
            Content::Reading(_) => return message(ui, view.rect, "Reading", theme.dim),
            Content::Broken(why) => return message(ui, view.rect, why, theme.error),
        };
        let size = vec2(pixels.width() as f32, pixels.height() as f32);
        let rect = self.lens.rect(view.rect, size);
        let split = self.shown_before.as_ref().map(|_| split_ui(ui, &view, rect, &mut self.split));
        if split.as_ref().is_none_or(|handle| !handle.dragged()) {
            self.lens.navigate(ui, &view, size, true);
        }
        if view.double_clicked() {
            if (self.lens.scale - 1.0).abs() < 1e-3 {
                self.lens.fit();
            } else {
                self.lens.actual_size(view.rect);
            }
        }
        let rect = self.lens.rect(view.rect, size);
        let painter = ui.painter_at(view.rect);
        checkerboard(ui, rect.intersect(view.rect), [theme.field, theme.node]);
        painter.image(texture.id(), rect, WHOLE, Color32::WHITE);
        if let Some(before) = &self.shown_before {
            before.paint_left(ui, theme, view.rect, rect, self.split);
        }
        let pointer = view.hover_pos().map(|point| self.lens.to_pixel(view.rect, point));
        let size = [pixels.width(), pixels.height()];
        if let Some([x, y]) = pointer.and_then(|place| pixel_at(place, size)) {
            let before = self.shown_before.as_ref().and_then(Full::pixels);
            let before = before.and_then(|b| b.get_pixel_checked(x, y)).map(|pixel| pixel.0);
            values(ui, theme, view.rect, [x, y], pixels.get_pixel(x, y).0, before);
        }
    }
}

/// What the run before made in the place of a picture.
fn previous(picture: &Picture, runs: &Runs) -> Option<Picture> {
    let at = runs.all().iter().rposition(|run| run.pictures.contains(picture))?;
    let run = &runs.all()[at];
    let place = run.pictures.iter().position(|other| other == picture)?;
    let mut earlier = runs.all()[..at].iter().rev().filter(|other| other.tab == run.tab);
    earlier.find_map(|other| other.pictures.get(place).filter(|old| *old != picture)).cloned()
}

impl Full {
    fn open(picture: Picture, runs: &Runs, ui: &Ui) -> Self {
        let reading = Reading::start(picture.clone(), runs.host.clone(), ui.ctx());
        Self { picture, content: Content::Reading(reading) }
    }

    fn read(&mut self, ui: &Ui) {
        let Content::Reading(reading) = &self.content else { return };
        let Some(read) = reading.done() else { return };
        self.content = match read {
            Ok(pixels) => {
                let side = ui.input(|i| i.max_texture_side) as u32;
                let shown = pictures::color_image(&pictures::at_most(pixels.clone(), side));
                // Large pixels are looked at one by one.
                let options = TextureOptions {
                    magnification: egui::TextureFilter::Nearest,
                    ..TextureOptions::LINEAR
                };
                let texture = ui.ctx().load_texture("viewer", shown, options);
                Content::Ready { pixels, texture }
            }
            Err(error) => Content::Broken(format!("{error:#}")),
        };
    }

    fn pixels(&self) -> Option<&RgbaImage> {
        match &self.content {
            Content::Ready { pixels, .. } => Some(pixels),
            _ => None,
        }
    }

    /// Paints it over the left part of the other picture, stretched to its size.
    fn paint_left(&self, ui: &Ui, theme: &Theme, view: Rect, rect: Rect, split: f32) {
        let x = rect.left() + rect.width() * split;
        let left = Rect::from_min_max(rect.min, pos2(x, rect.bottom())).intersect(view);
        if let Content::Ready { texture, .. } = &self.content {
            let painter = ui.painter_at(left);
            painter.rect_filled(left, 0.0, theme.field);
            painter.image(texture.id(), rect, WHOLE, Color32::WHITE);
        }
        let painter = ui.painter_at(view);
        let (top, bottom) = (rect.top().max(view.top()), rect.bottom().min(view.bottom()));
        painter.line_segment([pos2(x, top), pos2(x, bottom)], Stroke::new(2.0, Color32::WHITE));
        let middle = pos2(x, (top + bottom) / 2.0);
        painter.circle(
            middle,
            12.0,
            Color32::WHITE,
            Stroke::new(1.0, Color32::from_black_alpha(90)),
        );
        let font = FontId::new(16.0, ICON_COMPARE.font_family());
        painter.text(
            middle,
            Align2::CENTER_CENTER,
            ICON_COMPARE.codepoint,
            font,
            Color32::from_gray(40),
        );
        for (words, side) in [("Before", -1.0), ("After", 1.0)] {
            chip(ui, pos2(x + side * 40.0, top + 20.0), words);
        }
    }
}

/// The handle between two pictures, to be dragged.
fn split_ui(ui: &Ui, view: &Response, rect: Rect, split: &mut f32) -> Response {
    let x = rect.left() + rect.width() * *split;
    let grip =
        Rect::from_center_size(pos2(x, view.rect.center().y), vec2(24.0, view.rect.height()));
    let handle = ui.interact(grip, view.id.with("split"), Sense::click_and_drag());
    if handle.dragged() && rect.width() > 0.0 {
        *split = (*split + handle.drag_delta().x / rect.width()).clamp(0.0, 1.0);
    }
    let value = f64::from(*split);
    handle.widget_info(|| WidgetInfo::slider(true, value, "Before and after"));
    handle.on_hover_and_drag_cursor(CursorIcon::ResizeHorizontal)
}

/// Where the pointer is and the colour there: red, green, blue, alpha.
fn values(
    ui: &Ui,
    theme: &Theme,
    view: Rect,
    [x, y]: [u32; 2],
    now: [u8; 4],
    before: Option<[u8; 4]>,
) {
    let words = |[r, g, b, a]: [u8; 4]| format!("{r:3} {g:3} {b:3} {a:3}  #{r:02x}{g:02x}{b:02x}");
    let before_text = before.map(|b| format!("{}  before   ", words(b))).unwrap_or_default();
    let text = format!("{x}, {y}   {before_text}{}", words(now));
    let painter = ui.painter_at(view);
    let galley = painter.layout_no_wrap(text, FontId::monospace(12.0), theme.text);
    let place = Rect::from_min_size(
        view.left_bottom() + vec2(8.0, -32.0),
        galley.size() + vec2(36.0, 10.0),
    );
    painter.rect_filled(place, 5.0, theme.panel.gamma_multiply(0.92));
    let swatch = Rect::from_center_size(place.left_center() + vec2(15.0, 0.0), Vec2::splat(14.0));
    painter.rect_filled(swatch, 3.0, Color32::from_rgb(now[0], now[1], now[2]));
    painter.galley(place.min + vec2(30.0, 5.0), galley, theme.text);
}

fn chip(ui: &Ui, center: egui::Pos2, words: &str) {
    let galley =
        ui.painter().layout_no_wrap(words.into(), FontId::proportional(11.0), Color32::WHITE);
    let place = Rect::from_center_size(center, galley.size() + vec2(12.0, 6.0));
    ui.painter().rect_filled(place, 4.0, Color32::from_black_alpha(150));
    ui.painter().galley(place.center() - galley.size() / 2.0, galley, Color32::WHITE);
}

fn mark(ui: &Ui, theme: &Theme, rect: Rect, shown: bool, before: bool) {
    let color = if shown { theme.accent } else { theme.warning };
    if shown || before {
        let stroke = Stroke::new(2.0, color);
        ui.painter().rect_stroke(rect, crate::theme::RADIUS, stroke, egui::StrokeKind::Inside);
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
