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
    /// The limits and the step of a number, or null.
    pub limits: [Json; 2],
    pub step: Json,
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

/// ComfyUI's own classes, made by `data/classes.jq`: graphs convert whether Weft runs their nodes or
/// not.
const CLASSES: &str = include_str!("../data/classes.json");

impl Contract {
    /// The node types of this program, and ComfyUI's classes that it does not run.
    pub fn from_types(types: &[NodeType]) -> Self {
        let classes = serde_json::from_str(CLASSES).expect("the file is ours");
        let mut contract = Self::from_object_info(&classes);
        contract.0.extend(types.iter().map(|ty| (ty.name.to_owned(), Class::of(ty))));
        contract
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
                let is_widget = input.read.is_some() && has_widget(input.ty);
                class.add(input.name, input.ty, is_widget, &input.options);
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
        for section in ["required", "optional"] {
            let inputs = &json["input"][section];
            let names: Vec<&str> = match json["input_order"][section].as_array() {
                Some(order) => order.iter().filter_map(Json::as_str).collect(),
                None => {
                    inputs.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect()
                }
            };
            names.into_iter().for_each(|name| class.add_json(name, &inputs[name]));
        }
        let texts = |key: &str| json[key].as_array().into_iter().flatten().filter_map(Json::as_str);
        let outputs = texts("output_name").zip(texts("output"));
        class.outputs = outputs.map(|(name, ty)| (name.to_owned(), ty.to_owned())).collect();
        class
    }

    /// An input as `[type, options]`; the type may be a list of names.
    fn add_json(&mut self, name: &str, spec: &Json) {
        let empty = Map::new();
        let options = spec[1].as_object().unwrap_or(&empty);
        let ty = spec[0].as_str().unwrap_or("COMBO");
        let is_widget = has_widget(ty) && options.get("rawLink") != Some(&Json::Bool(true));
        self.add(name, ty, is_widget, options);
        let choices = spec[0].as_array().or_else(|| options.get("options")?.as_array());
        if let (Some(choices), true, Some(widget)) = (choices, is_widget, self.widgets.last_mut()) {
            widget.choices.clone_from(choices);
            if widget.default.is_null() {
                widget.default = choices.first().cloned().unwrap_or(Json::Null);
            }
        }
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
            limits: ["min", "max"].map(|key| options.get(key).cloned().unwrap_or_default()),
            step: options.get("step").cloned().unwrap_or_default(),
            multiline: on("multiline"),
            dynamic: on("dynamicPrompts"),
            forced: on("forceInput"),
            default: options.get("default").cloned().unwrap_or_else(|| empty(ty)),
            control: on("control_after_generate")
                || ty == "INT" && matches!(name, "seed" | "noise_seed"),
            upload: on("image_upload") || on("video_upload") || on("file_upload"),
        });
    }
}

/// Whether inputs of this type can be typed in.
fn has_widget(ty: &str) -> bool {
    matches!(ty, "INT" | "FLOAT" | "STRING" | "BOOLEAN" | "COMBO")
}

/// What front ends begin with where a class does not say.
fn empty(ty: &str) -> Json {
    match ty {
        "INT" | "FLOAT" => 0.into(),
        "STRING" => "".into(),
        "BOOLEAN" => false.into(),
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::shared_json;

    #[test]
    fn the_shipped_classes_are_those_of_the_reference() {
        let Some(info) = shared_json("reference/object_info.json") else { return };
        let (ours, reference) = (Contract::from_types(&[]), Contract::from_object_info(&info));
        assert_eq!(ours.0.len(), reference.0.len());
        // Lists of names are not shipped, nor are default texts.
        let facts = |w: &WidgetSpec| {
            let flags = [w.multiline, w.dynamic, w.forced, w.control, w.upload];
            (w.name.clone(), w.ty.clone(), flags)
        };
        for (name, class) in &reference.0 {
            let ours = &ours.0[name];
            let widgets = |c: &Class| c.widgets.iter().map(facts).collect::<Vec<_>>();
            assert_eq!(widgets(ours), widgets(class), "{name}");
            assert_eq!((&ours.inputs, &ours.sockets), (&class.inputs, &class.sockets), "{name}");
            assert_eq!(ours.outputs, class.outputs, "{name}");
        }
    }
}
