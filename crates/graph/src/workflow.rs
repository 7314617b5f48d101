//! The UI form to the API form: what an editor draws to what an engine runs.

use crate::{
    Json, Result,
    contract::{Class, Contract},
};
use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, json};
use std::collections::HashMap;

/// Node modes of the UI form.
const MUTED: i64 = 2;
const BYPASSED: i64 = 4;

/// Nodes that exist in editors only.
const NOTES: [&str; 2] = ["Note", "MarkdownNote"];
const REROUTE: &str = "Reroute";
const PRIMITIVE: &str = "PrimitiveNode";

/// A UI-form graph, indexed.
struct Ui<'a> {
    nodes: Vec<UiNode<'a>>,
    by_id: HashMap<String, usize>,
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

/// What an input is fed with in the end.
enum Feed {
    Link(String, usize),
    Value(Json),
    Nothing,
}

/// Converts; an error names the node that cannot be converted.
pub fn to_api(workflow: &Json, contract: &Contract) -> Result<Map<String, Json>> {
    let ui = Ui::new(workflow)?;
    let mut prompt = Map::new();
    for node in &ui.nodes {
        let virtual_node =
            NOTES.contains(&node.class) || [REROUTE, PRIMITIVE].contains(&node.class);
        if virtual_node || node.mode == MUTED || node.mode == BYPASSED {
            continue;
        }
        let title = node.json["title"].as_str().unwrap_or(node.class);
        let inputs = ui.inputs(node, contract.0.get(node.class));
        prompt.insert(
            node.id.clone(),
            json!({"inputs": inputs, "class_type": node.class, "_meta": {"title": title}}),
        );
    }
    Ok(prompt)
}

impl<'a> Ui<'a> {
    fn new(workflow: &'a Json) -> Result<Self> {
        let list = workflow["nodes"].as_array().context("the workflow has no list of nodes")?;
        let mut nodes = Vec::with_capacity(list.len());
        for json in list {
            let id = id(&json["id"]).context("a node has no id")?;
            let class = json["type"].as_str().with_context(|| format!("node {id} has no type"))?;
            refuse_groups(workflow, &id, class)?;
            nodes.push(UiNode { id, class, mode: json["mode"].as_i64().unwrap_or(0), json });
        }
        let by_id: HashMap<String, usize> =
            nodes.iter().enumerate().map(|(i, n)| (n.id.clone(), i)).collect();
        ensure!(by_id.len() == nodes.len(), "two nodes have the same id");
        let links = workflow["links"].as_array().into_iter().flatten().filter_map(link).collect();
        Ok(Self { nodes, by_id, links })
    }

    fn inputs(&self, node: &UiNode, class: Option<&Class>) -> Map<String, Json> {
        let mut inputs = widget_values(node.json, class);
        for input in array(&node.json["inputs"]) {
            let (Some(name), Some(link)) = (input["name"].as_str(), id(&input["link"])) else {
                continue;
            };
            match self.resolve(&link) {
                Feed::Link(origin, slot) => {
                    drop(inputs.insert(name.to_owned(), json!([origin, slot])))
                }
                Feed::Value(value) => drop(inputs.insert(name.to_owned(), value)),
                Feed::Nothing => drop(inputs.shift_remove(name)),
            }
        }
        inputs
    }

    /// Follows a link back through reroutes and bypassed nodes.
    fn resolve(&self, link: &str) -> Feed {
        let Some(mut link) = self.links.get(link) else { return Feed::Nothing };
        // A ring of reroutes would have no end.
        for _ in 0..=self.nodes.len() {
            let Some(node) = self.by_id.get(&link.origin).map(|i| &self.nodes[*i]) else {
                return Feed::Nothing;
            };
            let inputs = array(&node.json["inputs"]);
            let next = match (node.mode, node.class) {
                (MUTED, _) => None,
                (_, REROUTE) => inputs.first(),
                (BYPASSED, _) => passed_through(node.json, link.slot),
                (_, PRIMITIVE) => {
                    return array(&node.json["widgets_values"])
                        .first()
                        .map_or(Feed::Nothing, |v| Feed::Value(v.clone()));
                }
                _ => return Feed::Link(link.origin.clone(), link.slot),
            };
            match next.and_then(|input| self.links.get(&id(&input["link"])?)) {
                Some(further) => link = further,
                None => return Feed::Nothing,
            }
        }
        Feed::Nothing
    }
}

/// The input that stands in for output `slot` of a bypassed node: the one at the same place if its
/// type fits, else the first of the same type, else the first that fits.
fn passed_through(node: &Json, slot: usize) -> Option<&Json> {
    let inputs = array(&node["inputs"]);
    let wanted =
        array(&node["outputs"]).get(slot).map_or("*", |o| o["type"].as_str().unwrap_or("*"));
    if wanted == "*" || wanted.is_empty() {
        return inputs.get(slot).or(inputs.first());
    }
    let ty = |input: &Json| input["type"].as_str().unwrap_or("*").to_owned();
    let fits = |input: &&Json| {
        ty(input) == "*" || ty(input).split(',').any(|t| wanted.split(',').any(|w| w == t))
    };
    let same_place = inputs.get(slot).filter(fits);
    same_place
        .or_else(|| inputs.iter().find(|i| ty(i) == wanted))
        .or_else(|| inputs.iter().find(fits))
}

/// Gives widgets that a workflow has no value for, because it is older than they are, their default.
pub fn fill_defaults(prompt: &mut Map<String, Json>, contract: &Contract) {
    for node in prompt.values_mut() {
        let class = node["class_type"].as_str().and_then(|c| contract.0.get(c));
        let Some(inputs) = node.get_mut("inputs").and_then(Json::as_object_mut) else { continue };
        for widget in class.iter().flat_map(|c| &c.widgets).filter(|w| !w.default.is_null()) {
            inputs.entry(&widget.name).or_insert_with(|| widget.default.clone());
        }
    }
}

/// The values typed into a node's widgets, by name.
fn widget_values(node: &Json, class: Option<&Class>) -> Map<String, Json> {
    let stored = &node["widgets_values"];
    let Some(class) = class else { return guessed_values(node) };
    if let Some(by_name) = stored.as_object() {
        let known = class
            .widgets
            .iter()
            .filter_map(|w| Some((w.name.clone(), by_name.get(&w.name)?.clone())));
        return known.map(|(name, value)| (name, wrapped(value))).collect();
    }
    let mut values = array(stored).iter().peekable();
    let mut inputs = Map::new();
    for widget in &class.widgets {
        let Some(value) = values.next() else { break };
        if !value.is_null() {
            inputs.insert(widget.name.clone(), wrapped(value.clone()));
        }
        if widget.control && values.peek().is_some_and(|v| is_control(v)) {
            values.next();
        }
        if widget.upload && values.peek().is_some_and(|v| v.as_str() == Some("image")) {
            values.next();
        }
    }
    inputs
}

/// For a class we do not know: newer files say which inputs have a widget, in order.
fn guessed_values(node: &Json) -> Map<String, Json> {
    let stored = &node["widgets_values"];
    if let Some(by_name) = stored.as_object() {
        return by_name.clone();
    }
    let mut values = array(stored).iter().peekable();
    let mut inputs = Map::new();
    for input in array(&node["inputs"]) {
        let Some(name) = input["widget"]["name"].as_str() else { continue };
        let Some(value) = values.next() else { break };
        inputs.insert(name.to_owned(), wrapped(value.clone()));
        if matches!(name, "seed" | "noise_seed") && values.peek().is_some_and(|v| is_control(v)) {
            values.next();
        }
    }
    inputs
}

/// A list among the inputs would be read as a link.
fn wrapped(value: Json) -> Json {
    if value.is_array() { json!({"__value__": value}) } else { value }
}

/// "fixed", "increment", ...; in old files whether to randomize.
fn is_control(value: &Json) -> bool {
    value.is_boolean()
        || matches!(value.as_str(), Some("fixed" | "increment" | "decrement" | "randomize"))
}

fn refuse_groups(workflow: &Json, node: &str, class: &str) -> Result<()> {
    let subgraphs = array(&workflow["definitions"]["subgraphs"]);
    if subgraphs.iter().any(|s| s["id"].as_str() == Some(class)) {
        bail!(
            "node {node} is a subgraph; Weft does not read subgraphs yet: unpack it in the editor first"
        );
    }
    if class.starts_with("workflow>") || class.starts_with("workflow/") {
        bail!(
            "node {node} ({class}) is a group node; Weft does not read group nodes yet: convert it to nodes first"
        );
    }
    Ok(())
}

/// A link as a list (0.4) or an object (1.0): its id, and where it comes from.
fn link(json: &Json) -> Option<(String, Link)> {
    let part = |i: usize, name: &str| if json.is_array() { &json[i] } else { &json[name] };
    let slot = usize::try_from(part(2, "origin_slot").as_u64()?).ok()?;
    Some((id(part(0, "id"))?, Link { origin: id(part(1, "origin_id"))?, slot }))
}

/// Ids are numbers or strings.
fn id(json: &Json) -> Option<String> {
    match json {
        Json::Number(n) => Some(n.to_string()),
        Json::String(s) => Some(s.clone()),
        _ => None,
    }
}

fn array(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn shared(path: &str) -> Option<PathBuf> {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
        let path = std::env::var_os("WEFT_SHARED").map_or(base, PathBuf::from).join(path);
        let there = path.exists();
        if !there {
            eprintln!("SKIPPED: {} is not there", path.display());
        }
        there.then_some(path)
    }

    fn read(path: &Path) -> Json {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Inputs that the contract knows, numbers as f64.
    fn comparable(prompt: &Map<String, Json>, contract: &Contract) -> Json {
        let number = |v: &Json| v.as_f64().map_or_else(|| v.clone(), |f| json!(f));
        let node = |n: &Json| {
            let class = n["class_type"].as_str().unwrap();
            let known = contract.0.get(class).map(|c| &c.inputs);
            let inputs = n["inputs"].as_object().unwrap().iter();
            let kept = inputs.filter(|(k, _)| known.is_none_or(|known| known.contains(k)));
            let kept: std::collections::BTreeMap<_, _> =
                kept.map(|(k, v)| (k.clone(), number(v))).collect();
            json!({"class_type": class, "inputs": kept})
        };
        prompt
            .iter()
            .map(|(id, n)| (id.clone(), node(n)))
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect::<Map<_, _>>()
            .into()
    }

    #[test]
    fn shared_workflows_convert_to_what_the_editor_sent() {
        let (Some(pairs), Some(info)) =
            (shared("corpus/pairs"), shared("reference/object_info.json"))
        else {
            return;
        };
        let contract = Contract::from_object_info(&read(&info));
        let mut wrong = Vec::new();
        for entry in std::fs::read_dir(pairs).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some(stem) = name.strip_suffix(".workflow.json") else { continue };
            let workflow = read(&path);
            let prompt = read(&path.with_file_name(format!("{stem}.prompt.json")));
            match to_api(&workflow, &contract) {
                Ok(got) => {
                    let (got, expected) = (
                        comparable(&got, &contract),
                        comparable(prompt.as_object().unwrap(), &contract),
                    );
                    if got != expected {
                        let ids = expected
                            .as_object()
                            .unwrap()
                            .iter()
                            .filter(|(id, n)| got.get(id.as_str()) != Some(n));
                        wrong.push(format!(
                            "{stem}: {:?}",
                            ids.map(|(id, n)| format!(
                                "{id} {n} got {:?}",
                                got.get(id).map(ToString::to_string)
                            ))
                            .collect::<Vec<_>>()
                        ));
                    }
                }
                Err(e) if e.to_string().contains("yet") => {}
                Err(e) => wrong.push(format!("{stem}: {e}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
