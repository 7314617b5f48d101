//! Which part of the canvas is on screen, and how large.

use egui::{Pos2, Rect, Vec2};

/// Zooms go in steps, so that few type sizes are needed and text stays crisp.
const STEP: f32 = 1.15;
const SMALLEST: i32 = -16;
const LARGEST: i32 = 8;
/// Turning a wheel by this many points is one step.
const WHEEL: f32 = 40.0;
/// Below this zoom only headers and sockets are painted.
const OVERVIEW: f32 = 0.45;

/// The part of the canvas that is on screen.
#[derive(Clone, Debug)]
pub struct View {
    /// The canvas's place on screen, in points.
    pub screen: Rect,
    /// The canvas point in the left upper corner of `screen`.
    origin: Pos2,
    /// Zoom is `STEP` to this power.
    step: i32,
    /// Wheel movement that has not made a step yet, in points.
    wheel: f32,
}

impl Default for View {
    fn default() -> Self {
        Self { screen: Rect::ZERO, origin: Pos2::ZERO, step: 0, wheel: 0.0 }
    }
}

impl View {
    /// Screen points per canvas unit.
    pub fn zoom(&self) -> f32 {
        STEP.powi(self.step)
    }

    /// Whether nodes are too small for their widgets.
    pub fn overview(&self) -> bool {
        self.zoom() < OVERVIEW
    }

    pub fn to_screen(&self, canvas: Pos2) -> Pos2 {
        self.screen.min + (canvas - self.origin) * self.zoom()
    }

    pub fn to_canvas(&self, screen: Pos2) -> Pos2 {
        self.origin + (screen - self.screen.min) / self.zoom()
    }

    pub fn rect_to_screen(&self, canvas: Rect) -> Rect {
        Rect::from_min_max(self.to_screen(canvas.min), self.to_screen(canvas.max))
    }

    /// The canvas rectangle that is on screen.
    pub fn visible(&self) -> Rect {
        Rect::from_min_max(self.to_canvas(self.screen.min), self.to_canvas(self.screen.max))
    }

    /// Moves the canvas by screen points.
    pub fn pan(&mut self, by: Vec2) {
        self.origin -= by / self.zoom();
    }

    /// Zooms by whole steps; what is at the screen point `about` stays there.
    pub fn zoom_by(&mut self, steps: i32, about: Pos2) {
        let fixed = self.to_canvas(about);
        self.step = (self.step + steps).clamp(SMALLEST, LARGEST);
        self.origin = fixed - (about - self.screen.min) / self.zoom();
    }

    /// Zooms to where widgets are shown, if they are too small.
    pub fn readable(&mut self) {
        if self.overview() {
            self.zoom_by(-self.step, self.screen.center());
        }
    }

    /// Zooms by the movement of a wheel, in points.
    pub fn wheel(&mut self, points: f32, about: Pos2) {
        self.wheel += points;
        let steps = (self.wheel / WHEEL).trunc();
        self.wheel -= steps * WHEEL;
        self.zoom_by(steps as i32, about);
    }

    /// Shows all of a canvas rectangle, at zoom 1 at most.
    pub fn fit(&mut self, canvas: Rect) {
        let room = self.screen.size() - Vec2::splat(64.0);
        let zoom = (room / canvas.size().max(Vec2::splat(1.0))).min_elem().max(f32::MIN_POSITIVE);
        self.step = (zoom.log(STEP).floor() as i32).clamp(SMALLEST, 0);
        self.center(canvas.center());
    }

    /// Brings a canvas point into the middle of the screen.
    pub fn center(&mut self, canvas: Pos2) {
        self.origin = canvas - self.screen.size() / 2.0 / self.zoom();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::{pos2, vec2};

    fn view() -> View {
        let screen = Rect::from_min_size(pos2(100.0, 50.0), vec2(800.0, 600.0));
        View { screen, origin: pos2(-30.0, 70.0), ..View::default() }
    }

    #[test]
    fn screen_and_canvas_points_come_back_at_every_zoom() {
        let mut view = view();
        for step in SMALLEST..=LARGEST {
            view.step = step;
            let point = pos2(123.0, -456.0);
            assert!(view.to_canvas(view.to_screen(point)).distance(point) < 1e-3);
        }
    }

    #[test]
    fn zooming_keeps_what_is_under_the_pointer() {
        let mut view = view();
        let pointer = pos2(333.0, 444.0);
        let under = view.to_canvas(pointer);
        for steps in [3, -7, 100, -100] {
            view.zoom_by(steps, pointer);
            assert!(view.to_canvas(pointer).distance(under) < 0.01);
        }
        assert!((0.1..0.11).contains(&view.zoom()));
    }

    #[test]
    fn a_slow_wheel_adds_up_to_a_step() {
        let mut view = view();
        (0..5).for_each(|_| view.wheel(WHEEL / 5.0 + 0.01, pos2(0.0, 0.0)));
        assert_eq!(view.step, 1);
    }

    #[test]
    fn fitting_shows_everything_and_never_enlarges() {
        let mut view = view();
        let all = Rect::from_min_size(pos2(-5000.0, 10.0), vec2(4000.0, 900.0));
        view.fit(all);
        assert!(view.visible().contains_rect(all));
        view.fit(Rect::from_min_size(pos2(0.0, 0.0), vec2(10.0, 10.0)));
        assert_eq!(view.step, 0);
    }

    #[test]
    fn there_are_about_twenty_five_zooms_and_one_is_whole() {
        assert_eq!(LARGEST - SMALLEST + 1, 25);
        assert_eq!(View::default().zoom(), 1.0);
    }
}
