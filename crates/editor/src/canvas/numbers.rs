//! Numbers on a node: dragged, typed, reckoned with; and seeds.

use super::{
    brush::Brush,
    widgets::{Field, Told, Wish, told},
};
use crate::{doc::Control, expression, theme::CORNER};
use egui::{Button, DragValue, Ui, emath::round_to_decimals};
use egui_material_icons::{MaterialIcon, icons};
use serde_json::json;
use std::ops::RangeInclusive;

/// How a number may change.
struct Scale {
    range: RangeInclusive<f64>,
    step: f64,
    /// What is typed is rounded to this.
    fine: f64,
    /// Digits after the point.
    decimals: usize,
}

impl Scale {
    fn of(field: &Field, whole: bool) -> Self {
        let step = field.option("step").unwrap_or(if whole { 1.0 } else { 0.1 }).max(1e-6);
        let fine = field.option("round").unwrap_or(if whole { step } else { 1e-6 }).max(1e-6);
        let range = field.range();
        let shown = field.option("round").unwrap_or(step).min(step);
        Self { range, step, fine, decimals: if whole { 0 } else { digits(shown).max(1) } }
    }

    /// The nearest number that is so many steps from the least one.
    fn snapped(&self, value: f64, step: f64) -> f64 {
        let least = if self.range.start().abs() < 1e9 { *self.range.start() } else { 0.0 };
        let value = least + ((value - least) / step).round() * step;
        // 0.1 steps must not end in 0.30000000000000004.
        round_to_decimals(value, digits(step)).clamp(*self.range.start(), *self.range.end())
    }
}

/// How many digits after the point a number has.
fn digits(number: f64) -> usize {
    (-number.log10() - 1e-9).ceil().clamp(0.0, 8.0) as usize
}

impl Field<'_> {
    pub fn number(&self, ui: &mut Ui, brush: &Brush, whole: bool) -> Told {
        let old = self.widget.value.as_f64().unwrap_or(0.0);
        let scale = Scale::of(self, whole);
        self.paint_part(brush, old, &scale.range);
        let mut new = old;
        // Arrows go by whole steps, a pointer by fifths of them.
        let held = ui.input(|i| i.pointer.any_down());
        let drag = DragValue::new(&mut new)
            .range(scale.range.clone())
            .clamp_existing_to_range(false)
            .speed(if held { scale.step * 0.2 } else { scale.step })
            .custom_parser(expression::value)
            .prefix(egui::Atom::grow())
            .min_decimals(scale.decimals)
            .max_decimals(if whole { 0 } else { 6 });
        // What is no number is shown as it is, and marked as wrong.
        let raw = (!self.widget.value.is_number()).then(|| self.shown());
        let drag = match raw.filter(|raw| !raw.is_empty()) {
            Some(raw) => drag.custom_formatter(move |_, _| raw.clone()),
            None => drag,
        };
        ui.spacing_mut().interact_size = ui.max_rect().size();
        let response = ui.add(drag);
        self.paint_label(brush);
        self.paint_focus(brush, &response, response.rect);
        if new != old {
            new = scale.snapped(new, if response.dragged() { scale.step } else { scale.fine });
        }
        let json = || if whole { json!(new.round() as i64) } else { json!(new) };
        let told = told(&response, (new != old).then(json));
        self.named(response, brush.theme);
        told
    }

    /// How far along its range a number is, where that says something.
    fn paint_part(&self, brush: &Brush, value: f64, range: &RangeInclusive<f64>) {
        let span = range.end() - range.start();
        if !(0.0..=4.0).contains(&span) || span == 0.0 {
            return;
        }
        let part = ((value - range.start()) / span).clamp(0.0, 1.0) as f32;
        let rect = brush.view.rect_to_screen(self.rect);
        let rect = rect.with_max_x(rect.left() + rect.width() * part);
        let fill = brush.theme.accent.gamma_multiply(0.22);
        brush.painter.rect_filled(rect, brush.corner(CORNER), fill);
    }

    /// A whole number too large for dragging, what becomes of it after each run, and dice.
    pub fn seed(&self, ui: &mut Ui, brush: &Brush) -> Told {
        self.paint_label(brush);
        let control = self.widget.control.unwrap_or(Control::Fixed);
        let mut wish = None;
        ui.spacing_mut().item_spacing.x = 0.0;
        let menu =
            self.button(ui, brush, control_icon(control), "what becomes of it after each run");
        egui::Popup::menu(&menu).show(|ui| {
            for (choice, title) in CONTROLS {
                let icon = control_icon(*choice).rich_text();
                if ui.add(Button::selectable(*choice == control, (icon, *title))).clicked() {
                    wish = Some(Wish::Control(*choice));
                }
            }
        });
        if self.button(ui, brush, icons::ICON_CASINO, "a new random one").clicked() {
            wish = Some(Wish::Value(json!(random())));
        }
        let range = self.range();
        let mut typed =
            self.typed(ui, brush, &self.shown(), |text| seed(text, &range).map(|seed| json!(seed)));
        typed.wish = wish.or(typed.wish);
        typed
    }
}

/// A seed as typed. Large ones are no numbers for arithmetic, which would round them.
fn seed(text: &str, range: &RangeInclusive<f64>) -> Option<u64> {
    let plain = text.trim().parse().ok();
    let reckoned = || expression::value(text).filter(|n| (0.0..9e15).contains(n)).map(|n| n as u64);
    plain.or_else(reckoned).filter(|seed| range.contains(&(*seed as f64)))
}

const CONTROLS: &[(Control, &str)] = &[
    (Control::Fixed, "Stays"),
    (Control::Randomize, "Random after each run"),
    (Control::Increment, "One more after each run"),
    (Control::IncrementWrap, "Counts up, and begins again after the last"),
    (Control::Decrement, "One less after each run"),
];

fn control_icon(control: Control) -> MaterialIcon {
    match control {
        Control::Fixed => icons::ICON_LOCK,
        Control::Randomize => icons::ICON_SHUFFLE,
        Control::Increment => icons::ICON_TRENDING_UP,
        Control::IncrementWrap => icons::ICON_REPEAT,
        Control::Decrement => icons::ICON_TRENDING_DOWN,
    }
}

/// A seed nobody thought of; small enough that other programs keep every digit.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now()) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_their_steps_from_the_least_one() {
        let scale = Scale { range: 16.0..=100.0, step: 8.0, fine: 8.0, decimals: 0 };
        assert_eq!(scale.snapped(21.0, 8.0), 24.0);
        assert_eq!(scale.snapped(0.0, 8.0), 16.0);
        assert_eq!(scale.snapped(999.0, 8.0), 100.0);
        let scale = Scale { range: 0.0..=100.0, step: 0.1, fine: 0.01, decimals: 2 };
        assert_eq!(scale.snapped(0.30000000000000004, 0.1), 0.3);
        assert_eq!(scale.snapped(7.128, 0.01), 7.13);
    }

    #[test]
    fn every_digit_of_a_large_seed_counts() {
        let all = 0.0..=u64::MAX as f64;
        assert_eq!(seed("18446744073709551615", &all), Some(u64::MAX));
        assert_eq!(seed(" 6*7 ", &all), Some(42));
        assert_eq!(seed("-1", &all), None);
        assert_eq!(seed("cat", &all), None);
    }
}
