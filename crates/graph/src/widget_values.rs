//! Which widget each of a node's `widgets_values` belongs to.
//!
//! They are stored by order, those of linked inputs included, mixed with the states of controls that
//! are no inputs. Editors of different ages disagree about which controls there are, so a control is
//! recognised by its value where the count leaves a doubt.

use crate::{
    Json,
    contract::{Class, WidgetSpec},
    dynamic_prompt,
};
use serde_json::{Map, json};

/// A widget's name, and what the contract says of it.
type Widget<'a> = (&'a str, Option<&'a WidgetSpec>);

/// The values typed into a node's widgets, by name. What the file lacks is left out.
pub fn widget_values(node: &Json, class: Option<&Class>) -> Map<String, Json> {
    let stored = &node["widgets_values"];
    if let (Some(by_name), None) = (stored.as_object(), class) {
        return by_name.iter().map(|(name, value)| (name.clone(), sent(value, None))).collect();
    }
    let widgets = widgets(node, class);
    let values: Vec<Option<&Json>> = match stored {
        Json::Object(by_name) => widgets.iter().map(|(name, _)| by_name.get(*name)).collect(),
        Json::Array(values) => in_order(&widgets, values),
        _ => vec![],
    };
    let pairs = widgets.iter().zip(values);
    let pairs = pairs.filter_map(|((name, spec), value)| Some((*name, *spec, value?)));
    pairs
        .filter(|(_, spec, value)| !value.is_null() && spec.is_none_or(|s| !s.forced))
        .map(|(name, spec, value)| (name.to_owned(), sent(value, spec)))
        .collect()
}

/// A value as it is sent: prompts resolved; lists wrapped, which could be taken for links.
fn sent(value: &Json, spec: Option<&WidgetSpec>) -> Json {
    match value {
        Json::Array(_) => json!({"__value__": value}),
        Json::String(text) if spec.is_some_and(|s| s.dynamic) => {
            dynamic_prompt::resolve(text).into()
        }
        other => other.clone(),
    }
}

/// The class's widgets in order, then those of which only the file speaks, but for buttons. A file
/// that names them all and more was made with a newer class, whose order it has.
fn widgets<'a>(node: &'a Json, class: Option<&'a Class>) -> Vec<Widget<'a>> {
    let known = class.map_or(&[][..], |c| &c.widgets);
    let spec = |name: &str| known.iter().find(|w| w.name == name);
    let own = node["inputs"].as_array().into_iter().flatten().filter(|i| i["widget"].is_object());
    let own = own.filter(|i| !matches!(i["type"].as_str(), Some("IMAGEUPLOAD" | "AUDIOUPLOAD")));
    let own: Vec<Widget> = own.filter_map(|i| i["name"].as_str()).map(|n| (n, spec(n))).collect();
    let newer = own.iter().any(|(_, spec)| spec.is_none());
    if newer && known.iter().all(|k| own.iter().any(|(name, _)| *name == k.name)) {
        return own;
    }
    let known = known.iter().map(|spec| (spec.name.as_str(), Some(spec)));
    known.chain(own.into_iter().filter(|(_, spec)| spec.is_none())).collect()
}

/// One value per widget, as far as they reach. Old editors stored values for inputs with
/// `forceInput` too; that is seen from the count.
fn in_order<'a>(widgets: &[Widget], values: &'a [Json]) -> Vec<Option<&'a Json>> {
    let forced = |(_, spec): &Widget| spec.is_some_and(|s| s.forced);
    let places =
        |(_, spec): &Widget| 1 + spec.map_or(0, |s| usize::from(s.control) + usize::from(s.upload));
    let stored_forced = values.len() == widgets.iter().map(places).sum::<usize>();
    let stored = |w: &Widget| stored_forced || !forced(w);
    let spare_from = |i: usize| widgets[i..].iter().filter(|w| stored(w));
    let mut left = spare_from(0).count();
    let mut rest = values;
    let mut out = Vec::with_capacity(widgets.len());
    for (i, widget) in widgets.iter().enumerate() {
        if !stored(widget) {
            out.push(None);
            continue;
        }
        let Some((value, after)) = rest.split_first() else { break };
        out.push(Some(value));
        (rest, left) = (after, left - 1);
        let fits = || spare_from(i + 1).zip(rest).take(NEAR).all(|((_, s), v)| accepts(*s, v));
        let is_state = |v: &Json| state_of(widget.1, v) && (rest.len() > left || !fits());
        if rest.first().is_some_and(is_state) {
            rest = &rest[1..];
        }
    }
    out
}

/// Whether an editor may have stored this as the state of the widget's control: what becomes of a
/// number after each run (once whether to randomize it), the name of an upload button, or a gap.
fn state_of(spec: Option<&WidgetSpec>, value: &Json) -> bool {
    let (control, upload) = spec.map_or((true, false), |s| (s.control, s.upload));
    let words = ["fixed", "increment", "increment-wrap", "decrement", "randomize"];
    match value {
        Json::String(word) if control => words.contains(&word.as_str()),
        Json::String(button) if upload => matches!(button.as_str(), "image" | "video" | ""),
        Json::Bool(_) => control && spec.is_some(),
        Json::Null => spec.is_some() && (control || upload),
        _ => false,
    }
}

/// How many values tell whether the widgets fit them as they stand.
const NEAR: usize = 8;

/// Whether the widget can hold the value; one that only the file knows can hold anything.
fn accepts(spec: Option<&WidgetSpec>, value: &Json) -> bool {
    let Some(spec) = spec else { return true };
    match spec.ty.as_str() {
        "INT" | "FLOAT" => value.is_number(),
        "BOOLEAN" => value.is_boolean(),
        "COMBO" if !spec.choices.is_empty() => spec.choices.contains(value),
        _ => value.is_string(),
    }
}
