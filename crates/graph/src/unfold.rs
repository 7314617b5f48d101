//! Subgraphs and group nodes, unfolded into the nodes they stand for.
//!
//! What crosses their border goes through reroutes made for it, or through primitives where the
//! instance has a widget's value of its own: the conversion follows those anyhow.

use crate::{
    Json, Result, groups,
    workflow::{BYPASSED, MUTED, PRIMITIVE, REROUTE, array, id, part},
};
use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

/// Where the links in a subgraph come from that feed its inputs, and where those of its outputs go.
pub const INPUTS: &str = "-10";
pub const OUTPUTS: &str = "-20";

/// Subgraphs in one another; more is taken for one that holds itself.
const DEEPEST: usize = 64;

/// Few subgraphs in one another can stand for any number of nodes and links.
const MOST_PARTS: usize = 500_000;

/// The workflow without subgraphs and groups. Inner ids follow the outer one's and a colon: `55:52`.
///
/// An error names the node that cannot be unfolded.
pub fn unfold(workflow: &Json) -> Result<Cow<'_, Json>> {
    let subgraphs = array(&workflow["definitions"]["subgraphs"]);
    let subgraphs = subgraphs.iter().filter_map(|s| Some((s["id"].as_str()?, s))).collect();
    let mut flat =
        Flat { subgraphs, groups: &workflow["extra"]["groupNodes"], nodes: vec![], links: vec![] };
    let nodes = array(&workflow["nodes"]);
    if !nodes.iter().any(|node| flat.is_folded(node)) {
        return Ok(Cow::Borrowed(workflow));
    }
    flat.scope("", nodes, array(&workflow["links"]), &Values::new(), 0)?;
    let mut unfolded = json!({"nodes": null, "links": null});
    // `json!` would copy the lists.
    unfolded["nodes"] = flat.nodes.into();
    unfolded["links"] = flat.links.into();
    Ok(Cow::Owned(unfolded))
}

struct Flat<'a> {
    subgraphs: HashMap<&'a str, &'a Json>,
    /// By name.
    groups: &'a Json,
    nodes: Vec<Json>,
    links: Vec<Json>,
}

impl<'a> Flat<'a> {
    fn is_folded(&self, node: &Json) -> bool {
        let class = node["type"].as_str().unwrap_or_default();
        self.subgraphs.contains_key(class) || group_name(class).is_some()
    }

    /// Adds the nodes and links of a graph; `prefix` goes before their ids.
    fn scope(
        &mut self,
        prefix: &str,
        nodes: &[Json],
        links: &[Json],
        values: &Values,
        depth: usize,
    ) -> Result<()> {
        let outermost = prefix.split(':').next().unwrap_or_default();
        ensure!(depth <= DEEPEST, "the subgraph of node {outermost} holds itself");
        let unfolded = nodes.iter().filter(|node| self.is_folded(node) && !is_off(node));
        let unfolded: HashSet<String> = unfolded.filter_map(|node| id(&node["id"])).collect();
        for link in links {
            self.link(prefix, link, &unfolded);
        }
        nodes.iter().try_for_each(|node| self.node(prefix, node, values, depth))
    }

    fn link(&mut self, prefix: &str, link: &Json, unfolded: &HashSet<String>) -> Option<()> {
        let origin = id(part(link, 1, "origin_id"))?;
        let slot = part(link, 2, "origin_slot").as_u64()?;
        let name = format!("{prefix}{}", id(part(link, 0, "id"))?);
        if id(part(link, 3, "target_id")).is_some_and(|target| target == OUTPUTS) {
            let output = part(link, 4, "target_slot").as_u64()?;
            self.nodes.push(reroute(&format!("{prefix}{OUTPUTS}:{output}"), &json!(name)));
        }
        let (origin, slot) = if origin == INPUTS {
            (format!("{prefix}{INPUTS}:{slot}"), 0)
        } else if unfolded.contains(&origin) {
            (format!("{prefix}{origin}:{OUTPUTS}:{slot}"), 0)
        } else {
            (format!("{prefix}{origin}"), slot)
        };
        self.links.push(json!([name, origin, slot]));
        Some(())
    }

    fn node(&mut self, prefix: &str, node: &Json, values: &Values, depth: usize) -> Result<()> {
        ensure!(
            self.nodes.len() + self.links.len() < MOST_PARTS,
            "the subgraphs stand for more than {MOST_PARTS} nodes and links"
        );
        let own = id(&node["id"]).with_context(|| match prefix.strip_suffix(':') {
            Some(outer) => format!("a node within the subgraph of node {outer} has no id"),
            None => "a node has no id".to_owned(),
        })?;
        let name = format!("{prefix}{own}");
        let mut renamed = renamed(prefix, &name, node);
        let none = HashMap::new();
        let given = values.get(&own).unwrap_or(&none);
        if let Some(inner) = self.inner(&name, node)? {
            let prefix = format!("{name}:");
            let promoted = Promoted::new(node, given);
            self.border(&prefix, &renamed, &inner, &promoted);
            let (nodes, links) = (array(&inner["nodes"]), array(&inner["links"]));
            self.scope(&prefix, nodes, links, &promoted.inner, depth + 1)?;
        }
        if !self.is_folded(node) || is_off(node) {
            // What is off reads no values, and hands on only what it was linked to.
            let given = given.iter().filter(|_| !is_off(node));
            given.for_each(|(widget, value)| self.give(&name, &mut renamed, widget, value));
            self.nodes.push(renamed);
        }
        Ok(())
    }

    /// Feeds a widget with a value in the place of the one in the node, unless a link feeds it.
    fn give(&mut self, name: &str, node: &mut Json, widget: &str, value: &Json) {
        let source = format!("{name}:{widget}");
        if !node["inputs"].is_array() {
            node["inputs"] = json!([]);
        }
        let inputs = node["inputs"].as_array_mut().expect("it was made one");
        let is_it = |input: &Json| input["widget"]["name"] == widget || input["name"] == widget;
        match inputs.iter_mut().find(|input| is_it(input)) {
            Some(input) if !input["link"].is_null() => return,
            Some(input) => input["link"] = json!(source),
            None => inputs.push(json!({"name": widget, "link": source})),
        }
        self.nodes.push(primitive(&source, value));
        self.links.push(json!([source, source, 0]));
    }

    /// The graph that a node stands for. Of what is in a subgraph that is switched off, each node says
    /// itself whether it is; what is in such a group is off.
    fn inner(&self, name: &str, node: &Json) -> Result<Option<Cow<'a, Json>>> {
        let class = node["type"].as_str().unwrap_or_default();
        if let Some(subgraph) = self.subgraphs.get(class) {
            return Ok(Some(Cow::Borrowed(*subgraph)));
        }
        let Some(group) = group_name(class).filter(|_| !is_off(node)) else { return Ok(None) };
        let Some(group) = self.groups.get(group) else {
            bail!("node {name} is the group node {group:?}, whose parts are not in the file");
        };
        let inner = groups::as_subgraph(node, group)
            .with_context(|| format!("node {name}, a group node, cannot be unfolded"))?;
        Ok(Some(Cow::Owned(inner)))
    }

    /// Adds what brings in the inputs of an instance: a link, a widget's value, or nothing.
    fn border(&mut self, prefix: &str, instance: &Json, inner: &Json, promoted: &Promoted) {
        let own = array(&instance["inputs"]);
        let by_name: HashMap<_, _> = own.iter().map(|o| (o["name"].as_str(), o)).collect();
        let behind = promoted.behind(inner);
        for (i, input) in array(&inner["inputs"]).iter().enumerate() {
            let input = input["name"].as_str().unwrap_or_default();
            let own = by_name.get(&Some(input)).copied().or(own.get(i));
            let link = own.map_or(&Json::Null, |own| &own["link"]);
            let name = format!("{prefix}{INPUTS}:{i}");
            let value = promoted.own.get(input).or(behind.get(&(i as u64)));
            self.nodes.push(match value.filter(|_| link.is_null()) {
                Some(value) => primitive(&name, value),
                None => reroute(&name, link),
            });
        }
    }
}

fn reroute(name: &str, link: &Json) -> Json {
    json!({"id": name, "type": REROUTE, "inputs": [{"name": "", "type": "*", "link": link}]})
}

fn renamed(prefix: &str, name: &str, node: &Json) -> Json {
    let mut node = node.clone();
    node["id"] = name.into();
    for input in node.get_mut("inputs").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(link) = id(&input["link"]) {
            input["link"] = format!("{prefix}{link}").into();
        }
    }
    node
}

fn primitive(name: &str, value: &Json) -> Json {
    json!({"id": name, "type": PRIMITIVE, "widgets_values": [value]})
}

/// Values by the names of the widgets that they are for.
type ByWidget<'a> = HashMap<&'a str, &'a Json>;

/// Values for widgets within a subgraph, by the ids of its nodes.
type Values<'a> = HashMap<String, ByWidget<'a>>;

/// What an instance has in its widgets.
struct Promoted<'a> {
    /// By the input of the subgraph.
    own: ByWidget<'a>,
    /// For widgets of inner nodes. An instance without such a value has the inner node's.
    inner: Values<'a>,
}

impl<'a> Promoted<'a> {
    /// Newer files list the widgets; older ones have one for each input that is a widget. `given` are the
    /// values that the level above has for them.
    fn new(instance: &'a Json, given: &ByWidget<'a>) -> Self {
        let values = array(&instance["widgets_values"]);
        let listed = array(&instance["properties"]["proxyWidgets"]);
        let inputs = array(&instance["inputs"]).iter().filter(|own| own["widget"].is_object());
        let places: Vec<(Option<String>, &str)> = if listed.is_empty() {
            inputs.map(|input| (None, input["name"].as_str().unwrap_or_default())).collect()
        } else {
            listed.iter().map(|w| (id(&w[0]), w[1].as_str().unwrap_or_default())).collect()
        };
        let mut promoted = Self { own: HashMap::new(), inner: HashMap::new() };
        for (i, (node, widget)) in places.into_iter().enumerate() {
            let stored = values.get(i).filter(|value| !value.is_null());
            let Some(value) = given.get(widget).copied().or(stored) else { continue };
            match node.filter(|node| node != INSTANCE) {
                None => drop(promoted.own.insert(widget, value)),
                Some(_) if NO_INPUTS.iter().any(|prefix| widget.starts_with(prefix)) => {}
                Some(node) => drop(promoted.inner.entry(node).or_default().insert(widget, value)),
            }
        }
        promoted
    }

    /// The values for inner widgets that inputs of the subgraph feed, by the number of the input.
    fn behind(&self, inner: &Json) -> HashMap<u64, &'a Json> {
        let mut behind = HashMap::new();
        if self.inner.is_empty() {
            return behind;
        }
        let nodes = array(&inner["nodes"]).iter().filter_map(|n| Some((id(&n["id"])?, n)));
        let nodes: HashMap<String, &Json> = nodes.collect();
        let is_border = |link: &&Json| id(part(link, 1, "origin_id")).is_some_and(|o| o == INPUTS);
        for link in array(&inner["links"]).iter().filter(is_border) {
            let value = || {
                let (slot, target) =
                    (part(link, 2, "origin_slot").as_u64()?, id(part(link, 3, "target_id"))?);
                let values = self.inner.get(&target)?;
                let is_fed = |input: &&Json| input["link"] == *part(link, 0, "id");
                let input = array(&nodes.get(&target)?["inputs"]).iter().find(is_fed)?;
                let widget = input["widget"]["name"].as_str().or(input["name"].as_str())?;
                Some((slot, *values.get(widget)?))
            };
            behind.extend(value());
        }
        behind
    }
}

/// Stands in the list of an instance's widgets for the subgraph's own inputs.
const INSTANCE: &str = "-1";

/// How the widgets begin that may be promoted and are no inputs of their nodes: states and pictures.
const NO_INPUTS: [&str; 2] = ["control_after_generate", "$$"];

fn group_name(class: &str) -> Option<&str> {
    class.strip_prefix("workflow>").or_else(|| class.strip_prefix("workflow/"))
}

/// Muted or bypassed: what follows is fed as if it were one node.
fn is_off(node: &Json) -> bool {
    matches!(node["mode"].as_i64(), Some(MUTED | BYPASSED))
}
