//! From the API form to the UI form: a workflow that editors open, with a tidy layout.

use crate::{
    Contract, Json, Result,
    contract::{Class, WidgetSpec},
    dynamic_prompt, layout,
};
use anyhow::Context as _;
use serde_json::{Map, json};
use std::collections::{HashMap, HashSet};

/// Lays a graph out for editing. Converting back gives the same graph, except that widgets for which
/// the prompt says nothing get their defaults, and that links to missing nodes go.
///
/// An error names the node that has no `class_type`.
pub fn to_ui<'a>(prompt: &'a Map<String, Json>, contract: &'a Contract) -> Result<Json> {
    let places: HashMap<&str, usize> =
        prompt.keys().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    let draft = |(id, node): (&'a String, &'a Json)| Draft::new(id, node, contract);
    let mut drafts: Vec<Draft> = prompt.iter().map(draft).collect::<Result<_>>()?;
    let links = connect(&mut drafts, &places);
    let sizes: Vec<[f64; 2]> = drafts.iter().map(Draft::size).collect();
    let edges: Vec<(usize, usize)> = links.iter().map(|l| (l.origin, l.target)).collect();
    let corners = layout::place(&sizes, &edges);
    let nodes: Vec<Json> =
        drafts.iter().enumerate().map(|(i, d)| d.json(i, corners[i], sizes[i])).collect();
    let link = |(i, link): (usize, &Wire)| {
        let (from, to) = (&drafts[link.origin], &drafts[link.target]);
        json!([
            i + 1,
            id(from.id),
            link.slot,
            id(to.id),
            link.target_slot,
            from.outputs[link.slot].ty
        ])
    };
    let links: Vec<Json> = links.iter().enumerate().map(link).collect();
    let ids = prompt.keys().filter_map(|id| id.parse::<u32>().ok());
    let mut workflow = json!({
        "last_node_id": ids.max().unwrap_or(0),
        "last_link_id": links.len(),
        "nodes": null,
        "links": null,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    });
    // `json!` would copy the lists.
    workflow["nodes"] = nodes.into();
    workflow["links"] = links.into();
    Ok(workflow)
}

/// A link between nodes by their places in the prompt.
struct Wire {
    origin: usize,
    slot: usize,
    target: usize,
    target_slot: usize,
}

/// A node on its way into the UI form.
struct Draft<'a> {
    id: &'a str,
    class: &'a str,
    title: Option<&'a str>,
    inputs: Vec<Socket<'a>>,
    outputs: Vec<Output<'a>>,
    values: Vec<Json>,
    /// The widgets' height in pixels, and whether one is a box of text.
    widgets_height: f64,
    has_text: bool,
}

struct Socket<'a> {
    name: &'a str,
    ty: &'a str,
    widget: bool,
    /// What feeds it, as the prompt says.
    source: Option<(&'a str, usize)>,
    link: Option<usize>,
}

struct Output<'a> {
    name: &'a str,
    ty: &'a str,
    links: Vec<usize>,
}

impl<'a> Draft<'a> {
    fn new(id: &'a str, node: &'a Json, contract: &'a Contract) -> Result<Self> {
        let class = node["class_type"].as_str();
        let class = class.with_context(|| format!("node {id} has no `class_type`"))?;
        let known = contract.0.get(class);
        let mut draft = Self {
            id,
            class,
            title: node["_meta"]["title"].as_str(),
            inputs: vec![],
            outputs: known.map(outputs).unwrap_or_default(),
            values: vec![],
            widgets_height: 0.0,
            has_text: false,
        };
        draft.fill(&node["inputs"], known);
        Ok(draft)
    }

    /// Sockets first, then widgets: those of the class, then whatever else the prompt gives.
    fn fill(&mut self, given: &'a Json, class: Option<&'a Class>) {
        let constant = |name: &str| given.get(name).is_some_and(|v| source(v).is_none());
        let sockets = class.map_or(&[][..], |c| &c.sockets);
        let widgets = class.map_or(&[][..], |c| &c.widgets);
        let known: HashSet<&str> =
            class.iter().flat_map(|c| &c.inputs).map(String::as_str).collect();
        // A value where a link is needed is kept, as a widget that the class does not have.
        for (name, ty) in sockets.iter().filter(|(name, _)| !constant(name)) {
            self.socket(name, ty, given.get(name));
        }
        let others = || {
            let pairs = given.as_object().into_iter().flatten();
            pairs.filter(|(name, _)| !known.contains(name.as_str()))
        };
        for (name, value) in others().filter(|(_, v)| source(v).is_some()) {
            self.socket(name, "*", Some(value));
        }
        for spec in widgets.iter().filter(|w| !w.forced) {
            self.widget(&spec.name, &spec.ty, given.get(&spec.name), Some(spec));
        }
        let misplaced = sockets.iter().filter_map(|(name, _)| Some((name, given.get(name)?)));
        for (name, value) in misplaced.chain(others()).filter(|(_, v)| source(v).is_none()) {
            self.widget(name, type_of(value), Some(value), None);
        }
    }

    fn socket(&mut self, name: &'a str, ty: &'a str, value: Option<&'a Json>) {
        let source = value.and_then(source);
        self.inputs.push(Socket { name, ty, widget: false, source, link: None });
    }

    fn widget(
        &mut self,
        name: &'a str,
        ty: &'a str,
        value: Option<&'a Json>,
        spec: Option<&'a WidgetSpec>,
    ) {
        let source = value.and_then(source);
        self.inputs.push(Socket { name, ty, widget: true, source, link: None });
        let constant = value.filter(|_| source.is_none()).map(|v| stored(v, spec));
        let default = spec.map_or(Json::Null, |s| s.default.clone());
        let before = self.values.len();
        self.values.push(constant.unwrap_or(default));
        // A graph made from a prompt keeps its seed.
        self.values.extend(spec.filter(|s| s.control).map(|_| json!("fixed")));
        self.values.extend(spec.filter(|s| s.upload).map(|_| json!("image")));
        let text = spec.is_some_and(|s| s.multiline);
        self.has_text |= text;
        self.widgets_height += LINE * (self.values.len() - before) as f64;
        self.widgets_height += if text { TEXT - LINE } else { 0.0 };
    }

    fn size(&self) -> [f64; 2] {
        let sockets = self.inputs.iter().filter(|i| !i.widget).count().max(self.outputs.len());
        let width = if self.has_text { 400.0 } else { 315.0 };
        [width, SOCKET * sockets as f64 + self.widgets_height + 10.0]
    }

    fn json(&self, order: usize, pos: [f64; 2], size: [f64; 2]) -> Json {
        let mut json = json!({
            "id": id(self.id),
            "type": self.class,
            "pos": pos,
            "size": size,
            "flags": {},
            "order": order,
            "mode": 0,
            "inputs": self.inputs.iter().map(Socket::json).collect::<Vec<_>>(),
            "outputs": self.outputs.iter().enumerate().map(Output::json).collect::<Vec<_>>(),
            "properties": {"Node name for S&R": self.class},
            "widgets_values": self.values,
        });
        if let Some(title) = self.title {
            json["title"] = title.into();
        }
        json
    }
}

/// Heights in pixels: a row of sockets, a line of widgets, a box of text.
const SOCKET: f64 = 20.0;
const LINE: f64 = 24.0;
const TEXT: f64 = 140.0;

impl Socket<'_> {
    fn json(&self) -> Json {
        let mut json = json!({"name": self.name, "type": self.ty, "link": self.link});
        if self.widget {
            json["widget"] = json!({"name": self.name});
        }
        json
    }
}

impl Output<'_> {
    fn json((slot, output): (usize, &Self)) -> Json {
        json!({"name": output.name, "type": output.ty, "slot_index": slot, "links": output.links})
    }
}

fn outputs(class: &Class) -> Vec<Output<'_>> {
    class.outputs.iter().map(|(name, ty)| Output { name, ty, links: vec![] }).collect()
}

/// More outputs than any class has: what a prompt may make of one it merely mentions.
const MOST_OUTPUTS: usize = 256;

/// Numbers the links from 1 and enters them at both ends.
fn connect(drafts: &mut [Draft], places: &HashMap<&str, usize>) -> Vec<Wire> {
    let mut links = vec![];
    for target in 0..drafts.len() {
        for target_slot in 0..drafts[target].inputs.len() {
            let Some((id, slot)) = drafts[target].inputs[target_slot].source else { continue };
            let Some(&origin) = places.get(id) else { continue };
            let outputs = &mut drafts[origin].outputs;
            if slot >= outputs.len().max(MOST_OUTPUTS) {
                continue;
            }
            while outputs.len() <= slot {
                outputs.push(Output { name: "*", ty: "*", links: vec![] });
            }
            links.push(Wire { origin, slot, target, target_slot });
            outputs[slot].links.push(links.len());
            drafts[target].inputs[target_slot].link = Some(links.len());
        }
    }
    links
}

/// The output that the value links to: a list of a node's id and a whole number.
fn source(value: &Json) -> Option<(&str, usize)> {
    match value.as_array()?.as_slice() {
        [Json::String(id), Json::Number(slot)] => Some((id, usize::try_from(slot.as_u64()?).ok()?)),
        _ => None,
    }
}

/// A value as a widget holds it.
fn stored(value: &Json, spec: Option<&WidgetSpec>) -> Json {
    match value {
        Json::Object(wrapped) if wrapped.len() == 1 && value["__value__"].is_array() => {
            value["__value__"].clone()
        }
        Json::String(text) if spec.is_some_and(|s| s.dynamic) => {
            dynamic_prompt::escape(text).into()
        }
        other => other.clone(),
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Number(n) if n.is_f64() => "FLOAT",
        Json::Number(_) => "INT",
        Json::Bool(_) => "BOOLEAN",
        Json::String(_) => "STRING",
        _ => "*",
    }
}

/// Ids that are plain numbers are numbers in the UI form.
fn id(text: &str) -> Json {
    match text.parse::<u32>() {
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}
