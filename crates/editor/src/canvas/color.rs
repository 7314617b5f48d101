//! Colours on a node: a swatch that opens a picker, and the digits beside it.

use super::{
    brush::{Brush, hex},
    widgets::{Field, Told, Wish},
};
use crate::{bar, theme::ROW};
use egui::{Color32, Ui, color_picker::color_edit_button_srgb, vec2};
use graph::Json;
use serde_json::json;

impl Field<'_> {
    /// Whether the value is a colour: by its type, its look, or its name, as classes of which no more is
    /// known have only that.
    pub fn is_color(&self, ty: &str) -> bool {
        let look = self.options.and_then(|options| options.get("display"));
        let name = &self.widget.name;
        let named = || ["color", "colour"].iter().any(|word| name.ends_with(word));
        let digits = || self.widget.value.as_str().and_then(hex).is_some();
        match ty {
            "COLOR" => true,
            "STRING" => look == Some(&json!("color")) || named() && digits(),
            "INT" => look == Some(&json!("color")) || named(),
            _ => false,
        }
    }

    pub fn color(&self, ui: &mut Ui, brush: &Brush) -> Told {
        self.paint_label(brush);
        let old = read(&self.widget.value);
        let mut new = old;
        ui.spacing_mut().interact_size = vec2(ROW * 1.6, ROW - 8.0) * brush.zoom;
        ui.add_space(4.0 * brush.zoom);
        let picker = color_edit_button_srgb(ui, &mut new);
        bar::name(&picker, &format!("{}: picker", self.name));
        let whole = self.widget.value.is_number();
        let digits = write(old, false);
        let mut told = self.typed(ui, brush, digits.as_str().unwrap_or_default(), |text| {
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
