//! The ready graphs that come with the program, and the window in which one is chosen.

use crate::{
    app::App,
    dialog::{heading, scrolling},
    panels::fitted,
    picker::matching,
    pictures,
    theme::{GAP, RADIUS, Theme},
};
use egui::{
    Align2, FontId, Key, Modifiers, Rect, Response, RichText, Sense, Stroke, StrokeKind, TextEdit,
    TextureHandle, TextureOptions, Ui, Vec2, WidgetInfo, accesskit::Role, vec2,
};
use graph::Json;

/// A ready graph.
pub struct Template {
    pub title: &'static str,
    pub about: &'static str,
    text: &'static str,
    picture: &'static [u8],
}

macro_rules! templates { ($($name:literal $title:literal $about:literal;)*) => {
    /// The first one is what a new person sees.
    /// `$name` is that of its file in `graphs/`, without ending, and of its picture, which
    /// `weft run graphs/$name.json` made, then made smaller and a WebP.
    pub const ALL: &[Template] = &[$(Template {
        title: $title,
        about: $about,
        text: include_str!(concat!("../../../graphs/", $name, ".json")),
        picture: include_bytes!(concat!("../assets/templates/", $name, ".webp")),
    }),*];
}}
templates! {
    "text_to_image" "Text to image" "A picture from words";
    "image_to_image" "Image to image" "Repaints a picture";
    "inpaint" "Inpaint" "Fills the masked part of a picture and keeps the rest";
    "outpaint" "Outpaint" "Paints beyond a picture's edges";
    "instruct" "Instruct" "Changes a picture by a written instruction";
    "hires_fix" "High resolution in two passes" "Small first, then larger with more detail";
    "area_composition" "Area composition" "Two prompts, each in its own area";
}

impl Template {
    /// In UI form.
    pub fn json(&self) -> Json {
        serde_json::from_str(self.text).expect("the file is ours and a test reads it")
    }

    fn texture(&self, ui: &Ui) -> TextureHandle {
        let pixels = pictures::decode(self.picture).expect("the file is ours and a test reads it");
        ui.ctx().load_texture(self.title, pictures::color_image(&pixels), TextureOptions::LINEAR)
    }
}

/// The browser while it is open.
#[derive(Default)]
pub struct Browser {
    query: String,
    /// Which of those that are found is marked.
    marked: usize,
    /// By place in [`ALL`].
    pictures: Vec<TextureHandle>,
}

const COLUMNS: usize = 3;
const CARD: Vec2 = vec2(220.0, 196.0);
/// Height of a card's picture.
const PICTURE: f32 = 128.0;

impl Browser {
    /// Draws it; whether it is done.
    pub fn ui(&mut self, app: &mut App, ui: &mut Ui) -> bool {
        ui.set_width((CARD.x + GAP * 2.0) * COLUMNS as f32);
        heading(ui, "Templates");
        if self.pictures.is_empty() {
            self.pictures = ALL.iter().map(|template| template.texture(ui)).collect();
        }
        let found = self.search(&app.theme, ui);
        let mut chosen = self.keys(ui, found.len());
        scrolling(ui, "templates", |ui| {
            ui.spacing_mut().item_spacing = Vec2::splat(GAP * 2.0);
            for (row, cards) in found.chunks(COLUMNS).enumerate() {
                ui.horizontal(|ui| {
                    for (column, i) in cards.iter().enumerate() {
                        let place = row * COLUMNS + column;
                        let card = self.card(ui, &app.theme, *i, place == self.marked);
                        if card.clicked() {
                            (self.marked, chosen) = (place, true);
                        }
                    }
                });
            }
            if found.is_empty() {
                ui.label(RichText::new("No ready graph is called that").color(app.theme.dim));
            }
        });
        let chosen = found.get(self.marked).filter(|_| chosen);
        chosen.into_iter().for_each(|i| app.open_template(&ALL[*i]));
        chosen.is_some()
    }

    /// The field, and the places in [`ALL`] of what fits it, best first.
    fn search(&mut self, theme: &Theme, ui: &mut Ui) -> Vec<usize> {
        let label = ui.label(RichText::new("What do you want to make?").color(theme.dim));
        let field = TextEdit::singleline(&mut self.query).desired_width(f32::INFINITY);
        let field = ui.add(field).labelled_by(label.id);
        field.request_focus();
        if field.changed() {
            self.marked = 0;
        }
        ui.add_space(GAP);
        let all: Vec<usize> = (0..ALL.len()).collect();
        matching(&self.query, &all, |i| format!("{} {}", ALL[i].title, ALL[i].about))
    }

    /// Arrows move the mark, also from row to row; true if what is marked is taken.
    fn keys(&mut self, ui: &Ui, count: usize) -> bool {
        let pressed = |key| ui.input_mut(|i| i.consume_key(Modifiers::NONE, key));
        // Left and right move in what is typed as long as there is something.
        let sideways = self.query.is_empty();
        let steps = [
            (Key::ArrowDown, true, COLUMNS as isize),
            (Key::ArrowUp, true, -(COLUMNS as isize)),
            (Key::ArrowRight, sideways, 1),
            (Key::ArrowLeft, sideways, -1),
        ];
        for (key, active, step) in steps {
            let to = self.marked as isize + step;
            if active && pressed(key) && (0..count as isize).contains(&to) {
                self.marked = to as usize;
            }
        }
        pressed(Key::Enter)
    }

    fn card(&self, ui: &mut Ui, theme: &Theme, i: usize, marked: bool) -> Response {
        let template = &ALL[i];
        let (rect, response) = ui.allocate_exact_size(CARD, Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, marked, template.title));
        if marked && ui.input(|i| i.key_down(Key::ArrowDown) || i.key_down(Key::ArrowUp)) {
            response.scroll_to_me(None);
        }
        let fill = if response.hovered() { theme.title } else { theme.node };
        let stroke =
            if marked { Stroke::new(2.0, theme.accent) } else { Stroke::new(1.0, theme.outline) };
        ui.painter().rect(rect, RADIUS, fill, stroke, StrokeKind::Inside);
        let inner = rect.shrink(GAP * 1.5);
        let frame = Rect::from_min_size(inner.min, vec2(inner.width(), PICTURE));
        ui.painter().rect_filled(frame, RADIUS, theme.field);
        let texture = &self.pictures[i];
        let place = fitted(texture.size_vec2(), frame);
        egui::Image::new((texture.id(), place.size())).corner_radius(RADIUS).paint_at(ui, place);
        let at = frame.left_bottom() + vec2(0.0, GAP);
        let painter = ui.painter_at(inner);
        let title = painter.text(
            at,
            Align2::LEFT_TOP,
            template.title,
            FontId::proportional(14.0),
            theme.text,
        );
        let about = template.about.to_owned();
        let about = painter.layout(about, FontId::proportional(11.5), theme.dim, inner.width());
        painter.galley(title.left_bottom() + vec2(0.0, 2.0), about, theme.dim);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::{empty, window};
    use egui_kittest::kittest::{NodeT as _, Queryable as _};

    #[test]
    fn every_ready_graph_is_a_template_with_a_small_picture() {
        let graphs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../graphs");
        let files = std::fs::read_dir(graphs).unwrap().flatten();
        let files: Vec<_> =
            files.filter(|e| e.path().extension().is_some_and(|e| e == "json")).collect();
        assert_eq!(files.len(), ALL.len());
        for template in ALL {
            assert!(template.json()["nodes"].is_array(), "{}", template.title);
            let picture = pictures::decode(template.picture).unwrap();
            assert!(picture.width().max(picture.height()) <= 256);
            assert!(template.picture.len() <= 25 << 10, "{}", template.title);
        }
    }

    #[test]
    fn a_template_is_found_and_opened_with_the_keyboard_alone() {
        let (mut harness, _state) = window(&empty());
        harness.key_press_modifiers(Modifiers::COMMAND, Key::T);
        harness.run_steps(3);
        harness.get_by_label("Inpaint");
        harness.key_press(Key::ArrowRight);
        harness.step();
        harness.key_press(Key::ArrowDown);
        harness.step();
        let marked = harness.get_by_label("Instruct").accesskit_node().toggled();
        assert_eq!(marked, Some(egui::accesskit::Toggled::True));
        harness.event(egui::Event::Text("outside edges".into()));
        harness.run_steps(2);
        harness.event(egui::Event::Text("zzz".into()));
        harness.run_steps(2);
        harness.get_by_label("No ready graph is called that");
        for _ in 0.."outside edgeszzz".len() {
            harness.key_press(Key::Backspace);
            harness.step();
        }
        harness.event(egui::Event::Text("beyond".into()));
        harness.run_steps(2);
        harness.key_press(Key::Enter);
        harness.run_steps(2);
        assert_eq!(harness.state().tab().title, "Outpaint");
        assert!(harness.state().dialog.is_none());
    }
}
