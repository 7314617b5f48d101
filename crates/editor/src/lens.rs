//! How a picture is looked at: how large, and which part of it.

use egui::{Color32, Key, PointerButton, Pos2, Rect, Response, Ui, Vec2, pos2, vec2};

/// A place and a scale at which a picture is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lens {
    /// Points on the screen for a pixel of the picture.
    pub scale: f32,
    /// Where the picture's top left corner is, from that of the view.
    pub offset: Vec2,
    /// Whether the whole picture is kept in sight.
    fit: bool,
    /// By what it is to be zoomed about the middle of the view.
    wanted: f32,
}

/// Smallest and largest scale.
const SCALES: (f32, f32) = (0.02, 64.0);
/// Room around a picture that is seen whole, in points.
const MARGIN: f32 = 16.0;

impl Default for Lens {
    fn default() -> Self {
        Self { scale: 1.0, offset: Vec2::ZERO, fit: true, wanted: 1.0 }
    }
}

impl Lens {
    /// The whole picture, as large as it may be without being blown up more than to whole pixels.
    pub fn fit(&mut self) {
        self.fit = true;
    }

    /// Where a pixel is on the screen.
    pub fn to_screen(&self, view: Rect, pixel: Pos2) -> Pos2 {
        view.min + self.offset + pixel.to_vec2() * self.scale
    }

    /// Which pixel, and where within it, is under a point of the screen.
    pub fn to_pixel(&self, view: Rect, point: Pos2) -> Pos2 {
        ((point - view.min - self.offset) / self.scale).to_pos2()
    }

    /// Where a picture of this size is on the screen.
    pub fn rect(&self, view: Rect, size: Vec2) -> Rect {
        Rect::from_min_size(self.to_screen(view, Pos2::ZERO), size * self.scale)
    }

    /// The pixel under the point stays there.
    pub fn zoom(&mut self, view: Rect, point: Pos2, factor: f32) {
        let pixel = self.to_pixel(view, point);
        self.scale = (self.scale * factor).clamp(SCALES.0, SCALES.1);
        self.offset = point - view.min - pixel.to_vec2() * self.scale;
        self.fit = false;
    }

    /// Pixel for point, about the middle of the view.
    pub fn actual_size(&mut self, view: Rect) {
        self.zoom(view, view.center(), 1.0 / self.scale);
    }

    /// To be zoomed about the middle of the view, when it is next known.
    pub fn zoom_middle(&mut self, factor: f32) {
        self.wanted *= factor;
    }

    pub fn pan(&mut self, by: Vec2) {
        self.offset += by;
        self.fit = false;
    }

    /// Wheel and pinch zoom at the pointer; the middle button, or any with space held, pans, and the first
    /// one if `drag`. Whether a drag is one that pans.
    pub fn navigate(&mut self, ui: &Ui, view: &Response, size: Vec2, drag: bool) -> bool {
        if self.fit {
            self.place(view.rect, size);
        }
        let wanted = std::mem::replace(&mut self.wanted, 1.0);
        if wanted != 1.0 {
            self.zoom(view.rect, view.rect.center(), wanted);
        }
        let space = ui.input(|i| i.key_down(Key::Space));
        let primary = view.dragged_by(PointerButton::Primary) && (drag || space);
        let pans = primary || view.dragged_by(PointerButton::Middle);
        if pans {
            self.pan(view.drag_delta());
        }
        if let Some(pointer) = view.hover_pos() {
            let (scroll, pinch) = ui.input(|i| (i.smooth_scroll_delta.y, i.zoom_delta()));
            let factor = pinch * (scroll * 0.004).exp();
            if factor != 1.0 {
                self.zoom(view.rect, pointer, factor);
            }
        }
        pans
    }

    fn place(&mut self, view: Rect, size: Vec2) {
        let room = view.shrink(MARGIN).size().max(Vec2::splat(1.0));
        let largest = (room.x / size.x).min(room.y / size.y);
        // Small pictures are blown up by whole factors, so that their pixels are equal squares.
        self.scale =
            if largest > 1.0 { largest.floor() } else { largest }.clamp(SCALES.0, SCALES.1);
        self.offset = (view.size() - size * self.scale) / 2.0;
    }
}

/// What shows through where a picture is transparent.
pub fn checkerboard(ui: &Ui, rect: Rect, colors: [Color32; 2]) {
    let visible = rect.intersect(ui.clip_rect());
    if !visible.is_positive() {
        return;
    }
    const SQUARE: f32 = 12.0;
    let painter = ui.painter_at(visible);
    painter.rect_filled(visible, 0.0, colors[0]);
    let first = ((visible.min - rect.min) / SQUARE).floor();
    let (columns, rows) =
        ((visible.width() / SQUARE) as i32 + 2, (visible.height() / SQUARE) as i32 + 2);
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        let (x, y) = (first.x + column as f32, first.y + row as f32);
        if (x + y) as i64 % 2 == 1 {
            let corner = rect.min + vec2(x, y) * SQUARE;
            painter.rect_filled(Rect::from_min_size(corner, Vec2::splat(SQUARE)), 0.0, colors[1]);
        }
    }
}

/// The pixel at a place, if there is one.
pub fn pixel_at(place: Pos2, size: [u32; 2]) -> Option<[u32; 2]> {
    let inside = |v: f32, n: u32| v >= 0.0 && v < n as f32;
    let all = inside(place.x, size[0]) && inside(place.y, size[1]);
    all.then_some([place.x as u32, place.y as u32])
}

/// From the corner of a picture to where it ends, for egui.
pub const WHOLE: Rect = Rect { min: pos2(0.0, 0.0), max: pos2(1.0, 1.0) };

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: Rect = Rect { min: pos2(10.0, 20.0), max: pos2(410.0, 320.0) };

    #[test]
    fn zooming_keeps_the_pixel_under_the_pointer() {
        let mut lens = Lens::default();
        lens.place(VIEW, vec2(1000.0, 500.0));
        let pointer = pos2(123.0, 77.0);
        let before = lens.to_pixel(VIEW, pointer);
        lens.zoom(VIEW, pointer, 3.0);
        assert!((lens.to_pixel(VIEW, pointer) - before).length() < 1e-2);
        assert!((lens.to_screen(VIEW, before) - pointer).length() < 1e-2);
        lens.zoom(VIEW, pointer, 1e9);
        assert_eq!(lens.scale, SCALES.1);
    }

    #[test]
    fn a_picture_that_fits_is_whole_and_in_the_middle() {
        let mut lens = Lens::default();
        for size in [vec2(1000.0, 500.0), vec2(32.0, 32.0), vec2(1.0, 5000.0)] {
            lens.place(VIEW, size);
            let rect = lens.rect(VIEW, size);
            assert!(VIEW.contains_rect(rect), "{rect:?}");
            assert!((rect.center() - VIEW.center()).length() < 1e-2);
        }
    }

    #[test]
    fn only_places_inside_the_picture_have_a_pixel() {
        assert_eq!(pixel_at(pos2(3.9, 0.0), [4, 4]), Some([3, 0]));
        assert_eq!(pixel_at(pos2(4.0, 0.0), [4, 4]), None);
        assert_eq!(pixel_at(pos2(-0.1, 0.0), [4, 4]), None);
    }
}
