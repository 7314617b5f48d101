//! Lists that drop down from a node: names, files, pictures.

use super::{
    brush::{Brush, line},
    combo,
    widgets::{Field, Told, Wish},
};
use crate::theme::ROW;
use egui::{Align2, Rect, Response, Sense, Ui, pos2};
use egui_material_icons::icons;
use serde_json::json;

impl Field<'_> {
    pub fn choice(&self, ui: &mut Ui, brush: &Brush, rect: Rect) -> Told {
        let upload =
            self.upload && self.button(ui, brush, icons::ICON_UPLOAD_FILE, "add a file").clicked();
        let rect = rect.intersect(ui.available_rect_before_wrap());
        let response = ui.interact(rect, self.id.with("combo"), Sense::click());
        self.paint_choice(brush, &response);
        self.paint_focus(brush, &response, rect);
        let list = combo::List {
            name: &self.name,
            shown: &self.shown(),
            choices: &self.choices,
            pictures: self.pictures,
        };
        let chosen = list.popup(&response, brush.theme);
        let settled = chosen.is_some();
        let wish = chosen.map(|name| Wish::Value(json!(name)));
        self.named(response, brush.theme);
        Told { wish: if upload { Some(Wish::Upload) } else { wish }, settled }
    }

    fn paint_choice(&self, brush: &Brush, response: &Response) {
        let (theme, shown) = (brush.theme, self.shown());
        let right = self.rect.right() - if self.upload { ROW } else { 0.0 };
        let middle = self.rect.center().y;
        let color = if response.hovered() { theme.text } else { theme.dim };
        brush.icon(icons::ICON_UNFOLD_MORE, pos2(right - 10.0, middle), 13.0, color);
        let label = self.rect.width() * 0.42;
        // A narrow row has room for one of the two.
        let left = if self.rect.width() > 170.0 { label } else { 8.0 };
        if left > 8.0 {
            let at = pos2(self.rect.left() + 8.0, middle);
            brush.text(line(at, Align2::LEFT_CENTER, theme.dim, left - 12.0), self.label);
        }
        let color = if self.fault.is_some() { theme.error } else { theme.text };
        let room = right - 20.0 - self.rect.left() - left;
        brush.text(line(pos2(right - 20.0, middle), Align2::RIGHT_CENTER, color, room), &shown);
    }
}
