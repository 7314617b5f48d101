//! What the JSON forms need to know of each class of node: its widgets, in the order of the file.

use crate::{Input, Json, NodeType};
use serde_json::Map;
use std::collections::HashMap;

/// One widget, and the slots that follow it in `widgets_values`.
#[derive(Clone, Debug)]
pub struct WidgetSpec {
    pub name: String,
    pub ty: String,
    pub default: Json,
    /// The names in a drop-down list, where they are known.
    pub choices: Vec<Json>,
    /// A box of several lines.
    pub multiline: bool,
    /// Choices such as `{a|b}` in the text are made by the editor.
    pub dynamic: bool,
    /// No widget but a socket, for which old editors stored a value nevertheless.
    pub forced: bool,
    /// Followed by what becomes of the value after each run: "fixed", "randomize", ...
    pub control: bool,
    /// Followed by the name of the upload button.
    pub upload: bool,
}

/// One class of node.
#[derive(Clone, Debug, Default)]
pub struct Class {
    pub widgets: Vec<WidgetSpec>,
    /// Names and types of the inputs that need a link.
    pub sockets: Vec<(String, String)>,
    /// Names and types.
    pub outputs: Vec<(String, String)>,
    pub inputs: Vec<String>,
}

/// All known classes by name.
#[derive(Clone, Debug, Default)]
pub struct Contract(pub HashMap<String, Class>);

impl Contract {
    pub fn from_types(types: &[NodeType]) -> Self {
        Self(types.iter().map(|ty| (ty.name.to_owned(), Class::of(ty))).collect())
    }

    /// From what ComfyUI answers to `/object_info`.
    pub fn from_object_info(info: &Json) -> Self {
        let classes = info.as_object().into_iter().flatten();
        Self(classes.map(|(name, class)| (name.clone(), Class::from_json(class))).collect())
    }
}

impl Class {
    fn of(ty: &NodeType) -> Self {
        let mut class = Self::default();
        // Required inputs come before optional ones, whatever their order in the struct.
        for optional in [false, true] {
            for input in ty.inputs.iter().filter(|i| i.optional == optional) {
                class.add(input.name, input.ty, input.read.is_some(), &input.options);
                class.default_from_choices(input);
            }
        }
        class.outputs = ty.outputs.iter().map(|o| (o.name.to_owned(), o.ty.to_owned())).collect();
        class
    }

    fn default_from_choices(&mut self, input: &Input) {
        if let (Some(crate::widget::Choices::Names(names)), Some(widget)) =
            (&input.choices, self.widgets.last_mut())
        {
            widget.default = names.first().map_or(Json::Null, |n| (*n).into());
            widget.choices = names.iter().map(|n| (*n).into()).collect();
        }
    }

    fn from_json(json: &Json) -> Self {
        let mut class = Self::default();
        let empty = Map::new();
        for section in ["required", "optional"] {
            let inputs = json["input"][section].as_object().unwrap_or(&empty);
            let order = json["input_order"][section].as_array();
            let names: Vec<&str> = match order {
                Some(order) => order.iter().filter_map(Json::as_str).collect(),
                None => inputs.keys().map(String::as_str).collect(),
            };
            for name in names {
                let spec = &inputs.get(name).unwrap_or(&Json::Null);
                let options = spec[1].as_object().unwrap_or(&empty);
                let ty = spec[0].as_str().unwrap_or("COMBO");
                let is_widget = matches!(ty, "INT" | "FLOAT" | "STRING" | "BOOLEAN" | "COMBO")
                    && options.get("rawLink") != Some(&Json::Bool(true));
                class.add(name, ty, is_widget, options);
                let choices = spec[0].as_array().or_else(|| options.get("options")?.as_array());
                if let (Some(choices), true, Some(widget)) =
                    (choices, is_widget, class.widgets.last_mut())
                {
                    widget.choices = choices.clone();
                    if widget.default.is_null() {
                        widget.default = choices.first().cloned().unwrap_or(Json::Null);
                    }
                }
            }
        }
        class
    }

    fn add(&mut self, name: &str, ty: &str, is_widget: bool, options: &Map<String, Json>) {
        self.inputs.push(name.to_owned());
        let on = |key: &str| options.get(key) == Some(&Json::Bool(true));
        if !is_widget || on("forceInput") {
            self.sockets.push((name.to_owned(), ty.to_owned()));
        }
        if !is_widget {
            return;
        }
        self.widgets.push(WidgetSpec {
            name: name.to_owned(),
            ty: ty.to_owned(),
            choices: Vec::new(),
            multiline: on("multiline"),
            dynamic: on("dynamicPrompts"),
            forced: on("forceInput"),
            default: options.get("default").cloned().unwrap_or(Json::Null),
            control: on("control_after_generate")
                || ty == "INT" && matches!(name, "seed" | "noise_seed"),
            upload: on("image_upload") || on("video_upload"),
        });
    }
}
