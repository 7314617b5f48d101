//! Colours on a node: a swatch that opens a picker, and the digits beside it.

use super::{
    brush::{Brush, hex},
    widgets::{Field, Told, Wish},
};
use crate::theme::ROW;
use egui::{Color32, Ui, color_picker::color_edit_button_srgb, vec2};
use graph::Json;
use serde_json::json;

impl Field<'_> {
    /// Whether the value is a colour: by its type, its look, or by name and digits.
    pub fn is_color(&self, ty: &str) -> bool {
        let look = self.options.and_then(|options| options.get("display"));
        let named = || self.widget.name.contains("color") || self.widget.name.contains("colour");
        let digits = || self.widget.value.as_str().and_then(hex).is_some();
        ty == "COLOR" || look == Some(&json!("color")) || (ty == "STRING" && named() && digits())
    }

    pub fn color(&self, ui: &mut Ui, brush: &Brush) -> Told {
        self.paint_label(brush);
        let old = read(&self.widget.value);
        let mut new = old;
        ui.spacing_mut().interact_size = vec2(ROW * 1.6, ROW - 8.0) * brush.zoom;
        ui.add_space(4.0 * brush.zoom);
        let picker = color_edit_button_srgb(ui, &mut new);
        let name = format!("{}: picker", self.name);
        ui.ctx().accesskit_node_builder(picker.id, |node| node.set_label(name));
        let whole = self.widget.value.is_number();
        let mut told = self.typed(ui, brush, |text| {
            let [r, g, b, _] =
                hex(&format!("#{}", text.trim().trim_start_matches('#')))?.to_array();
            Some(write([r, g, b], whole))
        });
        if new != old {
            told.wish = Some(Wish::Value(write(new, whole)));
        }
        // A drag in the picker is one step.
        told.settled |= ui.input(|i| i.pointer.any_released());
        told
    }
}

/// Numbers hold a colour as `0xrrggbb`, texts as `#rrggbb`.
fn read(value: &Json) -> [u8; 3] {
    let of_number = |n: u64| [(n >> 16) as u8, (n >> 8) as u8, n as u8];
    let of_text = |text: &str| hex(text).unwrap_or(Color32::BLACK).to_array();
    match value {
        Json::String(text) => {
            let [r, g, b, _] = of_text(text);
            [r, g, b]
        }
        other => of_number(other.as_u64().unwrap_or(0)),
    }
}

fn write([r, g, b]: [u8; 3], whole: bool) -> Json {
    if whole {
        json!(u32::from_be_bytes([0, r, g, b]))
    } else {
        json!(format!("#{r:02x}{g:02x}{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_kept_in_the_form_that_they_had() {
        for value in [json!("#3f789e"), json!(0x003f_789e)] {
            assert_eq!(read(&value), [0x3f, 0x78, 0x9e]);
            assert_eq!(write(read(&value), value.is_number()), value);
        }
        assert_eq!(read(&json!(null)), [0, 0, 0]);
    }
}
