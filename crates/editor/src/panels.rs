//! What the panels beside the graph are made of: cards, small buttons, times in words.

use crate::{
    theme::{self, Theme},
    thumbnails::Thumbnail,
};
use egui::{
    Align2, Button, Color32, CornerRadius, Frame, Margin, Rect, Response, RichText, Sense, Stroke,
    Ui, Vec2, WidgetInfo, accesskit::Role, pos2, vec2,
};
use egui_material_icons::MaterialIcon;
use std::time::SystemTime;

/// A button that is only an icon; `name` is its tooltip, and what screen readers say.
pub fn icon_button(ui: &mut Ui, icon: MaterialIcon, name: &str) -> Response {
    icon_button_in(ui, RichText::from(icon).size(16.0), name)
}

/// The same in a colour.
pub fn icon_button_in(ui: &mut Ui, icon: RichText, name: &str) -> Response {
    let response = ui.add(Button::new(icon).frame(false).min_size(Vec2::splat(24.0)));
    named(response, name)
}

/// A button that stays pressed while `on`.
pub fn icon_toggle(ui: &mut Ui, on: bool, icon: MaterialIcon, name: &str) -> Response {
    let text = RichText::from(icon).size(18.0);
    let response = ui.add(Button::selectable(on, text).min_size(Vec2::splat(28.0)));
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, name));
    response.on_hover_text(name)
}

/// Gives a button without words its name.
pub fn named(response: Response, name: &str) -> Response {
    let enabled = response.enabled();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, name));
    response.on_hover_text(name)
}

/// A row with something at its left, cut off where it is too long, and something at its right.
pub fn row(ui: &mut Ui, left: impl FnOnce(&mut Ui), right: impl FnOnce(&mut Ui)) {
    egui::Sides::new().height(24.0).shrink_left().truncate().show(ui, left, right);
}

/// The same as a line of small text.
pub fn line(ui: &mut Ui, left: RichText, right: RichText) {
    let sides = egui::Sides::new().height(14.0).shrink_left().truncate();
    sides.show(ui, |ui| drop(ui.label(left.small())), |ui| drop(ui.label(right.small())));
}

/// Text that stands out.
pub fn strong(theme: &Theme, text: &str) -> RichText {
    RichText::new(text).strong().color(theme.text)
}

/// A panel's title, and at its right what `tools` draws.
pub fn heading(ui: &mut Ui, theme: &Theme, title: &str, tools: impl FnOnce(&mut Ui)) {
    row(ui, |ui| drop(ui.label(strong(theme, title).size(15.0))), tools);
    ui.add_space(2.0);
}

/// A card with a coloured edge at its left.
pub fn card<R>(ui: &mut Ui, theme: &Theme, edge: Color32, content: impl FnOnce(&mut Ui) -> R) -> R {
    let frame = Frame::new().fill(theme.node).corner_radius(theme::RADIUS).inner_margin(Margin {
        left: 12,
        right: 8,
        top: 8,
        bottom: 8,
    });
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        content(ui)
    });
    let rect = shown.response.rect;
    let strip = Rect::from_min_max(rect.min, pos2(rect.left() + 4.0, rect.bottom()));
    let radius = theme::RADIUS as u8;
    let corners = CornerRadius { nw: radius, sw: radius, ne: 0, se: 0 };
    ui.painter().rect_filled(strip, corners, edge);
    shown.inner
}

/// What stands where there is nothing yet.
pub fn nothing(ui: &mut Ui, theme: &Theme, icon: MaterialIcon, title: &str, advice: &str) {
    ui.add_space(32.0);
    ui.vertical_centered(|ui| {
        ui.label(RichText::from(icon).size(40.0).color(theme.outline));
        ui.add_space(4.0);
        ui.label(RichText::new(title).color(theme.text));
        ui.label(RichText::new(advice).color(theme.dim).small());
    });
}

/// A thin bar; `part` from 0 to 1.
pub fn bar(ui: &mut Ui, theme: &Theme, part: f32, name: &str) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 6.0), Sense::hover());
    let done =
        Rect::from_min_size(rect.min, vec2(rect.width() * part.clamp(0.0, 1.0), rect.height()));
    ui.painter().rect_filled(rect, 3.0, theme.field);
    ui.painter().rect_filled(done, 3.0, theme.accent);
    let percent = f64::from(part * 100.0).round();
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, name);
        info.value = Some(percent);
        info
    });
}

/// A picture in a square, whole and centred; `name` is what screen readers say.
pub fn picture(
    ui: &mut Ui,
    theme: &Theme,
    thumbnail: &Thumbnail,
    side: f32,
    name: &str,
) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
    paint_picture(ui, theme, thumbnail, rect);
    if response.hovered() || response.has_focus() {
        let stroke = Stroke::new(1.5, theme.accent);
        ui.painter().rect_stroke(rect, theme::RADIUS, stroke, egui::StrokeKind::Inside);
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, name));
    match thumbnail {
        Thumbnail::Broken(why) => response.on_hover_text(why),
        _ => response,
    }
}

/// A picture in a place, whole and centred; an icon while there is none.
pub fn paint_picture(ui: &Ui, theme: &Theme, thumbnail: &Thumbnail, rect: Rect) {
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, theme::RADIUS, theme.field);
    match thumbnail {
        Thumbnail::Ready(texture, _) => {
            let fit = fitted(texture.size_vec2(), rect);
            egui::Image::new((texture.id(), fit.size()))
                .corner_radius(theme::RADIUS)
                .paint_at(ui, fit);
        }
        Thumbnail::Loading => {
            centred(ui, rect, egui_material_icons::icons::ICON_IMAGE, theme.outline)
        }
        Thumbnail::Broken(_) => {
            centred(ui, rect, egui_material_icons::icons::ICON_BROKEN_IMAGE, theme.muted);
        }
    }
}

fn centred(ui: &Ui, rect: Rect, icon: MaterialIcon, color: Color32) {
    let font = egui::FontId::new(28.0, icon.font_family());
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, icon.codepoint, font, color);
}

/// The largest place of these proportions within `rect`, never larger than life.
pub fn fitted(size: Vec2, rect: Rect) -> Rect {
    let scale = (rect.width() / size.x).min(rect.height() / size.y).min(1.0);
    Rect::from_center_size(rect.center(), size * scale)
}

/// `0.42 s`, `12.3 s`, `3:07`, `1:02:45`.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 59.95 => format!("{s:.1} s"),
        _ if whole < 3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60),
    }
}

/// `just now`, `5 min ago`, `3 h ago`, `2 days ago`.
pub fn ago(then: SystemTime, now: SystemTime) -> String {
    let minutes = now.duration_since(then).unwrap_or_default().as_secs() / 60;
    match minutes {
        0 => "just now".into(),
        1..60 => format!("{minutes} min ago"),
        60..1440 => format!("{} h ago", minutes / 60),
        1440..2880 => "yesterday".into(),
        _ => format!("{} days ago", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let words = [0.416, 12.34, 59.97, 187.0, 3765.0].map(seconds);
        assert_eq!(words, ["0.42 s", "12.3 s", "1:00", "3:07", "1:02:45"]);
        let then = |minutes: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minutes);
        let words = [0, 5, 200, 1500, 4000].map(|minutes| ago(then(0), then(minutes)));
        assert_eq!(words, ["just now", "5 min ago", "3 h ago", "yesterday", "2 days ago"]);
    }

    #[test]
    fn pictures_fit_whole_and_are_never_blown_up() {
        let square = Rect::from_min_size(pos2(0.0, 0.0), Vec2::splat(100.0));
        assert_eq!(fitted(vec2(400.0, 200.0), square).size(), vec2(100.0, 50.0));
        assert_eq!(fitted(vec2(40.0, 20.0), square).size(), vec2(40.0, 20.0));
    }
}
