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

/// A widget, and where a node's list `widgets_values` keeps what belongs to it, as far as it reaches.
pub struct WidgetPlace<'a> {
    pub name: &'a str,
    /// What the contract says of it, if it knows it.
    pub spec: Option<&'a WidgetSpec>,
    pub value: Option<usize>,
    /// Of its control or upload button.
    pub state: Option<usize>,
}

/// What becomes of a number after each run: the editor's own.
const CONTROL: &str = "control_after_generate";

/// A widget's name, and what the contract says of it.
type Widget<'a> = (&'a str, Option<&'a WidgetSpec>);

/// The widgets of a node in order. `own` are its inputs, in order, that say that they are widgets: names
/// and types.
pub fn widget_places<'a>(
    own: impl Iterator<Item = (&'a str, &'a str)>,
    values: &[Json],
    class: Option<&'a Class>,
) -> Vec<WidgetPlace<'a>> {
    in_order(&widgets(own, class), values)
}

/// The values typed into a node's widgets, by name. What the file lacks is left out.
pub fn widget_values(node: &Json, class: Option<&Class>) -> Map<String, Json> {
    let own = node["inputs"].as_array().into_iter().flatten().filter(|i| i["widget"].is_object());
    // The newest editors write the names down as well.
    let named = &node["widgets_values_named"];
    let nameless = class.is_none() && own.clone().next().is_none() && named.is_object();
    let stored = if nameless { named } else { &node["widgets_values"] };
    if let (Some(by_name), None) = (stored.as_object(), class) {
        let values = by_name.iter().filter(|(name, _)| *name != CONTROL);
        return values.map(|(name, value)| (name.clone(), sent(value, None))).collect();
    }
    let own = own.filter_map(|i| Some((i["name"].as_str()?, i["type"].as_str().unwrap_or("*"))));
    let values = stored.as_array().map_or(&[][..], Vec::as_slice);
    let places = widget_places(own, values, class).into_iter();
    let pairs = places.filter_map(|place| {
        let value = match stored {
            Json::Object(by_name) => by_name.get(place.name),
            _ => place.value.map(|at| &values[at]),
        };
        Some((place.name, place.spec, value?))
    });
    pairs
        .filter(|(_, spec, value)| !value.is_null() && spec.is_none_or(|s| !s.forced))
        .map(|(name, spec, value)| (name.to_owned(), sent(value, spec)))
        .collect()
}

/// A value as it is sent: prompts resolved; lists wrapped, which could be taken for links.
pub fn sent(value: &Json, spec: Option<&WidgetSpec>) -> Json {
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
fn widgets<'a>(
    own: impl Iterator<Item = (&'a str, &'a str)>,
    class: Option<&'a Class>,
) -> Vec<Widget<'a>> {
    let known = class.map_or(&[][..], |c| &c.widgets);
    let spec = |name: &str| known.iter().find(|w| w.name == name);
    let own = own.filter(|(_, ty)| !matches!(*ty, "IMAGEUPLOAD" | "AUDIOUPLOAD"));
    let own: Vec<Widget> = own.map(|(name, _)| (name, spec(name))).collect();
    let newer = own.iter().any(|(_, spec)| spec.is_none());
    if newer && known.iter().all(|k| own.iter().any(|(name, _)| *name == k.name)) {
        return own;
    }
    let known = known.iter().map(|spec| (spec.name.as_str(), Some(spec)));
    known.chain(own.into_iter().filter(|(_, spec)| spec.is_none())).collect()
}

/// Where each widget's value is. Old editors stored values for inputs with
/// `forceInput` too; that is seen from the count.
fn in_order<'a>(widgets: &[Widget<'a>], values: &[Json]) -> Vec<WidgetPlace<'a>> {
    let forced = |(_, spec): &Widget| spec.is_some_and(|s| s.forced);
    let places =
        |(_, spec): &Widget| 1 + spec.map_or(0, |s| usize::from(s.control) + usize::from(s.upload));
    let stored_forced = values.len() == widgets.iter().map(places).sum::<usize>();
    let stored = |w: &Widget| stored_forced || !forced(w);
    let spare_from = |i: usize| widgets[i..].iter().filter(|w| stored(w));
    let mut left = spare_from(0).count();
    let mut at = 0;
    let mut out = Vec::with_capacity(widgets.len());
    for (i, widget) in widgets.iter().enumerate() {
        let mut place = WidgetPlace { name: widget.0, spec: widget.1, value: None, state: None };
        if stored(widget) && at < values.len() {
            place.value = Some(at);
            (at, left) = (at + 1, left - 1);
            let rest = &values[at..];
            let fits = || spare_from(i + 1).zip(rest).take(NEAR).all(|((_, s), v)| accepts(*s, v));
            let is_state = |v: &Json| state_of(widget.1, v) && (rest.len() > left || !fits());
            if rest.first().is_some_and(is_state) {
                place.state = Some(at);
                at += 1;
            }
        }
        out.push(place);
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
