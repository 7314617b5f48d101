//! Outpainting by hand: the frame around a picture is dragged, and the borders of `ImagePadForOutpaint`
//! follow.

use crate::{
    lens::{WHOLE, checkerboard},
    theme::Theme,
};
use egui::{
    Align2, Color32, CursorIcon, FontId, Pos2, Rect, Sense, TextureHandle, Ui, Vec2, WidgetInfo,
    accesskit::Role, pos2, vec2,
};

/// What is added at each side, in pixels of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Borders {
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

/// The node's inputs take multiples of this.
const STEP: f32 = 8.0;
/// The most that the node adds at a side.
const MOST: f32 = 16_384.0;
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

/// Draws the picture of `size` pixels in the middle of the room there is, with its frame; gives the
/// borders once they were changed.
pub fn ui(
    ui: &mut Ui,
    theme: &Theme,
    texture: &TextureHandle,
    size: Vec2,
    borders: Borders,
) -> Option<Borders> {
    let (view, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    // While a handle is held the scale stays, or the frame would run away from the pointer.
    let memory = ui.scope_id().with("outpaint");
    let held: Option<Held> = ui.data(|data| data.get_temp(memory));
    let scale = held.map_or_else(|| scale(view, size, borders), |held| held.scale);
    let corner = held.map_or_else(|| corner(view, size, borders, scale), |held| held.corner);
    let screen =
        |rect: Rect| Rect::from_min_size(corner + rect.min.to_vec2() * scale, rect.size() * scale);
    let (frame, picture) =
        (screen(borders.frame(size)), screen(Rect::from_min_size(Pos2::ZERO, size)));
    checkerboard(ui, frame, [theme.field, theme.node]);
    let painter = ui.painter_at(view.expand(HANDLE));
    painter.image(texture.id(), picture, WHOLE, Color32::WHITE);
    painter.rect_stroke(frame, 0.0, (1.5, theme.accent), egui::StrokeKind::Outside);
    label(ui, theme, frame, borders.frame(size).size());
    let mut changed = None;
    for (way, name, cursor) in HANDLES {
        let at = frame.center() + frame.size() / 2.0 * vec2(f32::from(way[0]), f32::from(way[1]));
        let place = Rect::from_center_size(at, Vec2::splat(HANDLE));
        let handle =
            ui.interact(place, memory.with(name), Sense::drag()).on_hover_and_drag_cursor(*cursor);
        handle.widget_info(|| WidgetInfo::labeled(Role::Slider, true, *name));
        let fill = if handle.hovered() || handle.dragged() { theme.accent } else { Color32::WHITE };
        painter.rect(place.shrink(3.0), 2.0, fill, (1.5, theme.accent), egui::StrokeKind::Inside);
        if handle.drag_started() {
            ui.data_mut(|data| data.insert_temp(memory, Held { scale, corner, borders }));
        }
        if let Some(by) = handle.total_drag_delta().filter(|_| handle.dragged()) {
            let from = held.map_or(borders, |held| held.borders);
            changed = Some(from.pulled(*way, by / scale)).filter(|new| *new != borders);
        }
        if handle.drag_stopped() {
            ui.data_mut(|data| data.remove::<Held>(memory));
        }
    }
    changed
}

/// How things were when a handle was taken.
#[derive(Clone, Copy)]
struct Held {
    scale: f32,
    corner: Pos2,
    borders: Borders,
}

/// Points for a pixel, with room to pull the frame larger.
fn scale(view: Rect, size: Vec2, borders: Borders) -> f32 {
    let frame = borders.frame(size).size() + size * 0.5;
    (view.width() / frame.x).min(view.height() / frame.y).min(1.0)
}

/// Where the picture's corner is, if the frame is in the middle.
fn corner(view: Rect, size: Vec2, borders: Borders, scale: f32) -> Pos2 {
    view.center() - borders.frame(size).center().to_vec2() * scale
}

/// The size of the whole, below the frame.
fn label(ui: &Ui, theme: &Theme, frame: Rect, size: Vec2) {
    let words = format!("{} x {}", size.x, size.y);
    let at = frame.center_bottom() + vec2(0.0, HANDLE);
    ui.painter().text(at, Align2::CENTER_TOP, words, FontId::proportional(12.0), theme.dim);
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
    fn dragging_the_handles_changes_the_borders() {
        use egui_kittest::{Harness, kittest::Queryable};
        let draw = |ui: &mut Ui, (borders, texture): &mut (Borders, Option<TextureHandle>)| {
            let image = egui::ColorImage::filled([512, 384], Color32::from_rgb(0x40, 0x70, 0x90));
            let load = || ui.ctx().load_texture("picture", image, egui::TextureOptions::LINEAR);
            let texture = texture.get_or_insert_with(load).clone();
            let size = texture.size_vec2();
            *borders = super::ui(ui, &Theme::dark(), &texture, size, *borders).unwrap_or(*borders);
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
