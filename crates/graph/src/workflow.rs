//! The UI form to the API form: what an editor draws to what an engine runs.

use crate::{
    Json, Result,
    contract::{Class, Contract},
    placeholders,
    unfold::unfold,
    widget_values::{sent, widget_values},
};
use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, json};
use std::collections::HashMap;

/// Node modes of the UI form.
pub const MUTED: i64 = 2;
pub const BYPASSED: i64 = 4;

/// Nodes that exist in editors only: notes, and what popular packs have to switch others on and off.
const NOTES: [&str; 13] = [
    "Note",
    "MarkdownNote",
    "Bookmark (rgthree)",
    "Label (rgthree)",
    "Fast Actions Button (rgthree)",
    "Fast Bypasser (rgthree)",
    "Fast Groups Bypasser (rgthree)",
    "Fast Groups Muter (rgthree)",
    "Fast Muter (rgthree)",
    "Mute / Bypass Relay (rgthree)",
    "Mute / Bypass Repeater (rgthree)",
    "Node Collector (rgthree)",
    "Random Unmuter (rgthree)",
];
pub const REROUTE: &str = "Reroute";
/// What hands on its one input.
const REROUTES: [&str; 3] = [REROUTE, "Reroute (rgthree)", SETTER];
pub const PRIMITIVE: &str = "PrimitiveNode";
/// Links without a line: what reads a getter is fed by what feeds the setter of the same name.
const SETTER: &str = "SetNode";
const GETTER: &str = "GetNode";

/// A UI-form graph, indexed.
struct Ui<'a> {
    nodes: Vec<UiNode<'a>>,
    by_id: HashMap<String, usize>,
    /// By the name for placeholders, and by title.
    by_name: HashMap<&'a str, usize>,
    by_title: HashMap<&'a str, usize>,
    /// By what they say of themselves.
    setters: HashMap<(String, String), usize>,
    links: HashMap<String, Link>,
}

struct UiNode<'a> {
    id: String,
    class: &'a str,
    mode: i64,
    json: &'a Json,
}

struct Link {
    origin: String,
    slot: usize,
}

/// What a link brings in the end.
#[derive(Clone)]
enum Feed {
    Link(String, usize),
    /// A primitive's value.
    Value(Json),
    /// Nothing: the widget's own value stands.
    Nothing,
    /// Nothing, since the node is muted: the input goes, the widget's value with it.
    Muted,
    /// The link leads to itself through reroutes or bypassed nodes.
    Ring,
}

/// What the links leaving an output bring, for those found so far: by node, slot and wanted type.
type Feeds<'a> = HashMap<(usize, usize, &'a str), Feed>;

/// Converts; an error names the node that cannot be converted.
pub fn to_api(workflow: &Json, contract: &Contract) -> Result<Map<String, Json>> {
    let workflow = unfold(workflow)?;
    let ui = Ui::new(&workflow)?;
    let mut feeds = Feeds::new();
    let mut prompt = Map::new();
    for node in ui.nodes.iter().filter(|node| node.is_sent()) {
        let title = node.json["title"].as_str().unwrap_or(node.class);
        let mut inputs = ui.inputs(node, contract.0.get(node.class), &mut feeds)?;
        if let Some(Json::String(name)) = inputs.get_mut("filename_prefix") {
            *name = placeholders::fill(name, |node, widget| ui.widget(node, widget, contract));
        }
        prompt.insert(
            node.id.clone(),
            json!({"inputs": inputs, "class_type": node.class, "_meta": {"title": title}}),
        );
    }
    Ok(prompt)
}

/// The nodes, as `7 (Foo)`, whose widgets' values the API form cannot have: neither the contract nor
/// the file knows their names.
pub fn nameless(workflow: &Json, contract: &Contract) -> Result<Vec<String>> {
    let workflow = unfold(workflow)?;
    let ui = Ui::new(&workflow)?;
    let nameless = |node: &&UiNode| {
        let named = array(&node.json["inputs"]).iter().any(|input| input["widget"].is_object());
        let named = named || node.json["widgets_values_named"].is_object();
        let known = named || contract.0.contains_key(node.class);
        node.is_sent() && !known && !array(&node.json["widgets_values"]).is_empty()
    };
    let nodes = ui.nodes.iter().filter(nameless);
    Ok(nodes.map(|node| format!("{} ({})", node.id, node.class)).collect())
}

impl UiNode<'_> {
    /// Whether it is in the API form; what editors alone know and what is switched off is not.
    fn is_sent(&self) -> bool {
        let editors = NOTES.contains(&self.class)
            || REROUTES.contains(&self.class)
            || [PRIMITIVE, GETTER].contains(&self.class);
        !editors && self.mode != MUTED && self.mode != BYPASSED
    }

    /// What links without a line are called here, by the graph or subgraph that the node is in.
    fn wireless(&self) -> Option<(&str, &str)> {
        let scope = self.id.rsplit_once(':').map_or("", |(scope, _)| scope);
        Some((scope, array(&self.json["widgets_values"]).first()?.as_str()?))
    }
}

impl<'a> Ui<'a> {
    fn new(workflow: &'a Json) -> Result<Self> {
        let list = workflow["nodes"].as_array().context("the workflow has no list of nodes")?;
        let mut nodes = Vec::with_capacity(list.len());
        for json in list {
            let id = id(&json["id"]).context("a node has no id")?;
            let class = json["type"].as_str().with_context(|| format!("node {id} has no type"))?;
            nodes.push(UiNode { id, class, mode: json["mode"].as_i64().unwrap_or(0), json });
        }
        let mut by_id = HashMap::new();
        for (i, node) in nodes.iter().enumerate() {
            ensure!(
                by_id.insert(node.id.clone(), i).is_none(),
                "two nodes have the id {}",
                node.id
            );
        }
        let by = |name: fn(&'a Json) -> &'a Json| {
            let named = nodes.iter().enumerate().rev();
            named.filter_map(|(i, node)| Some((name(node.json).as_str()?, i))).collect()
        };
        let by_name = by(|node| &node["properties"]["Node name for S&R"]);
        let by_title = by(|node| &node["title"]);
        let setters = nodes.iter().enumerate().filter(|(_, node)| node.class == SETTER);
        let setters = setters.filter_map(|(i, node)| {
            let (scope, name) = node.wireless()?;
            Some(((scope.to_owned(), name.to_owned()), i))
        });
        let setters = setters.collect();
        let links = workflow["links"].as_array().into_iter().flatten().filter_map(link).collect();
        Ok(Self { nodes, by_id, by_name, by_title, setters, links })
    }

    fn inputs(
        &self,
        node: &UiNode<'a>,
        class: Option<&Class>,
        feeds: &mut Feeds<'a>,
    ) -> Result<Map<String, Json>> {
        let mut inputs = widget_values(node.json, class);
        for input in array(&node.json["inputs"]) {
            let (Some(name), Some(link)) = (input["name"].as_str(), id(&input["link"])) else {
                continue;
            };
            match self.resolve(&link, ty(input), feeds) {
                Feed::Link(origin, slot) => {
                    drop(inputs.insert(name.to_owned(), json!([origin, slot])))
                }
                Feed::Value(value) => {
                    let spec = class.and_then(|c| c.widgets.iter().find(|w| w.name == name));
                    drop(inputs.insert(name.to_owned(), sent(&value, spec)))
                }
                Feed::Muted => drop(inputs.shift_remove(name)),
                Feed::Nothing => {}
                Feed::Ring => bail!(
                    "node {}: its input {name} is fed by a ring of reroutes or bypassed nodes",
                    node.id
                ),
            }
        }
        Ok(inputs)
    }

    /// The value in a widget of the first node of that name.
    fn widget(&self, node: &str, widget: &str, contract: &Contract) -> Option<Json> {
        let node = &self.nodes[*self.by_name.get(node).or_else(|| self.by_title.get(node))?];
        widget_values(node.json, contract.0.get(node.class)).shift_remove(widget)
    }

    /// Follows a link back through reroutes and bypassed nodes. Each output is passed once, however
    /// many links come by.
    fn resolve(&self, link: &str, wanted: &'a str, feeds: &mut Feeds<'a>) -> Feed {
        let mut link = self.links.get(link);
        let mut passed = Vec::new();
        let feed = loop {
            let Some((at, slot)) = link.and_then(|l| Some((*self.by_id.get(&l.origin)?, l.slot)))
            else {
                break Feed::Nothing;
            };
            let key = (at, slot, wanted);
            if let Some(known) = feeds.get(&key) {
                break known.clone();
            }
            // Who comes by here again before the end is found walks in a ring.
            feeds.insert(key, Feed::Ring);
            passed.push(key);
            match self.step(&self.nodes[at], slot, wanted) {
                Step::End(feed) => break feed,
                Step::Back(input) => link = input.and_then(|i| self.links.get(&id(&i["link"])?)),
            }
        };
        feeds.extend(passed.into_iter().map(|key| (key, feed.clone())));
        feed
    }

    fn step(&self, node: &UiNode<'a>, slot: usize, wanted: &str) -> Step<'a> {
        match (node.mode, node.class) {
            (_, class) if REROUTES.contains(&class) => {
                Step::Back(array(&node.json["inputs"]).first())
            }
            (_, GETTER) => Step::Back(self.setter(node)),
            (_, PRIMITIVE) => {
                let value = array(&node.json["widgets_values"]).first();
                Step::End(value.map_or(Feed::Nothing, |v| Feed::Value(v.clone())))
            }
            (MUTED, _) => Step::End(Feed::Muted),
            (BYPASSED, _) => Step::Back(passed_through(node.json, slot, wanted)),
            _ => Step::End(Feed::Link(node.id.clone(), slot)),
        }
    }
}

impl<'a> Ui<'a> {
    /// What feeds the setter that a getter names: one of the same graph, or of one around it.
    fn setter(&self, getter: &UiNode<'a>) -> Option<&'a Json> {
        let (mut scope, name) = getter.wireless()?;
        loop {
            if let Some(setter) = self.setters.get(&(scope.to_owned(), name.to_owned())) {
                return array(&self.nodes[*setter].json["inputs"]).first();
            }
            if scope.is_empty() {
                return None;
            }
            scope = scope.rsplit_once(':').map_or("", |(outer, _)| outer);
        }
    }
}

enum Step<'a> {
    End(Feed),
    /// Further back, through this input if there is one.
    Back(Option<&'a Json>),
}

/// The input that stands in for output `slot` of a bypassed node: the one at the same place if its
/// type fits the output and what the consumer wants, else the first of the wanted type, else the
/// first that fits.
fn passed_through<'a>(node: &'a Json, slot: usize, wanted: &str) -> Option<&'a Json> {
    let inputs = array(&node["inputs"]);
    let same_place = inputs.get(slot);
    if matches!(wanted, "*" | "") {
        return same_place.or(inputs.first());
    }
    let output = array(&node["outputs"]).get(slot).map_or("*", ty);
    let same_place = same_place.filter(|i| fits(ty(i), output) && fits(ty(i), wanted));
    same_place
        .or_else(|| inputs.iter().find(|i| ty(i) == wanted))
        .or_else(|| inputs.iter().find(|i| fits(ty(i), wanted)))
}

/// The type of a socket. Old files give the list of names for a drop-down list.
fn ty(socket: &Json) -> &str {
    match &socket["type"] {
        Json::String(ty) => ty,
        Json::Array(_) => "COMBO",
        _ => "*",
    }
}

/// Whether a link may join the types; each may be several, separated by commas.
pub fn fits(a: &str, b: &str) -> bool {
    let any = |ty: &str| matches!(ty, "*" | "");
    any(a) || any(b) || a.split(',').any(|a| b.split(',').any(|b| a.trim() == b.trim()))
}

/// Gives widgets that a workflow has no value for, because it is older than they are, their default.
pub fn fill_defaults(prompt: &mut Map<String, Json>, contract: &Contract) {
    for node in prompt.values_mut() {
        let class = node["class_type"].as_str().and_then(|c| contract.0.get(c));
        let Some(inputs) = node.get_mut("inputs").and_then(Json::as_object_mut) else { continue };
        for widget in
            class.iter().flat_map(|c| &c.widgets).filter(|w| !w.forced && !w.default.is_null())
        {
            inputs.entry(&widget.name).or_insert_with(|| widget.default.clone());
        }
    }
}

fn link(json: &Json) -> Option<(String, Link)> {
    let slot = usize::try_from(part(json, 2, "origin_slot").as_u64()?).ok()?;
    Some((id(part(json, 0, "id"))?, Link { origin: id(part(json, 1, "origin_id"))?, slot }))
}

/// A part of a link, which is a list (0.4) or an object (1.0).
pub fn part<'a>(link: &'a Json, place: usize, name: &str) -> &'a Json {
    if link.is_array() { &link[place] } else { &link[name] }
}

/// Ids are numbers or strings.
pub fn id(json: &Json) -> Option<String> {
    match json {
        Json::Number(n) => Some(n.to_string()),
        Json::String(s) => Some(s.clone()),
        _ => None,
    }
}

pub fn array(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}
