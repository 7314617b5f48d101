//! The API form to the UI form: nodes in columns by how far they are from the beginning.

use crate::{Contract, Json, Result};
use serde_json::{Map, json};
use std::collections::HashMap;

const COLUMN: f64 = 360.0;
const GAP: f64 = 50.0;
const WIDTH: f64 = 300.0;
const ROW: f64 = 24.0;

/// Lays a graph out. Converting back gives an equal graph.
pub fn to_ui(prompt: &Map<String, Json>, contract: &Contract) -> Result<Json> {
    let ids: HashMap<&str, u64> = numbers(prompt);
    let depth = depths(prompt);
    let (mut nodes, mut links, mut bottoms) =
        (Vec::new(), Vec::new(), HashMap::<usize, f64>::new());
    for (id, node) in prompt {
        let column = depth[id.as_str()];
        let y = bottoms.get(&column).copied().unwrap_or(0.0);
        let ui = ui_node(id, node, &ids, contract, &mut links);
        let height = ROW * (2.0 + ui.rows as f64) + if ui.text { 120.0 } else { 0.0 };
        bottoms.insert(column, y + height + GAP);
        let mut json = ui.json;
        json["pos"] = json!([column as f64 * COLUMN, y]);
        json["size"] = json!([WIDTH, height]);
        nodes.push(json);
    }
    fill_outputs(&mut nodes, &links);
    let last = ids.values().max().copied().unwrap_or(0);
    Ok(json!({
        "last_node_id": last, "last_link_id": links.len(), "nodes": nodes, "links": links,
        "groups": [], "config": {}, "extra": {}, "version": 0.4,
    }))
}

struct Drawn {
    json: Json,
    rows: usize,
    text: bool,
}

fn ui_node(
    id: &str,
    node: &Json,
    ids: &HashMap<&str, u64>,
    contract: &Contract,
    links: &mut Vec<Json>,
) -> Drawn {
    let class_name = node["class_type"].as_str().unwrap_or_default();
    let class = contract.0.get(class_name).cloned().unwrap_or_default();
    let empty = Map::new();
    let values = node["inputs"].as_object().unwrap_or(&empty);
    let mut inputs = Vec::new();
    for (name, value) in values {
        let socket = class.sockets.iter().find(|(n, _)| n == name);
        let widget = class.widgets.iter().any(|w| w.name == *name);
        let Some((from, slot)) = link(value).filter(|(from, _)| ids.contains_key(from)) else {
            continue;
        };
        let ty = socket.map_or("*", |(_, ty)| ty);
        let number = links.len() + 1;
        links.push(json!([number, ids[from], slot, ids[id], inputs.len(), ty]));
        let mut input = json!({"name": name, "type": ty, "link": number});
        if widget {
            input["widget"] = json!({"name": name});
        }
        inputs.push(input);
    }
    let mut stored = Vec::new();
    for widget in &class.widgets {
        let value = values.get(&widget.name).filter(|v| link(v).is_none());
        let value = value.map_or(&widget.default, |v| v.get("__value__").unwrap_or(v));
        stored.push(value.clone());
        stored.extend(widget.control.then(|| json!("fixed")));
        stored.extend(widget.upload.then(|| json!("image")));
    }
    let outputs = class.outputs.iter().enumerate();
    let outputs: Vec<Json> = outputs
        .map(|(i, (name, ty))| json!({"name": name, "type": ty, "links": null, "slot_index": i}))
        .collect();
    let rows = inputs.len().max(outputs.len()) + stored.len();
    let text = values.get("text").is_some_and(Json::is_string);
    let mut json = json!({
        "id": ids[id], "type": class_name, "pos": [0, 0], "size": [0, 0], "flags": {}, "order": ids[id], "mode": 0,
        "inputs": inputs, "outputs": outputs, "properties": {"Node name for S&R": class_name}, "widgets_values": stored,
    });
    if let Some(title) = node["_meta"]["title"].as_str().filter(|t| *t != class_name) {
        json["title"] = title.into();
    }
    Drawn { json, rows, text }
}

/// Each output lists the links that leave it.
fn fill_outputs(nodes: &mut [Json], links: &[Json]) {
    let mut leaving = HashMap::<(u64, u64), Vec<Json>>::new();
    for link in links {
        let from = (link[1].as_u64().unwrap_or(0), link[2].as_u64().unwrap_or(0));
        leaving.entry(from).or_default().push(link[0].clone());
    }
    for node in nodes {
        let id = node["id"].as_u64().unwrap_or(0);
        for (slot, output) in node["outputs"].as_array_mut().into_iter().flatten().enumerate() {
            if let Some(links) = leaving.remove(&(id, slot as u64)) {
                output["links"] = links.into();
            }
        }
    }
}

/// Whole-number ids as they are; others get numbers of their own.
fn numbers(prompt: &Map<String, Json>) -> HashMap<&str, u64> {
    let own: HashMap<&str, u64> =
        prompt.keys().filter_map(|id| Some((id.as_str(), id.parse().ok()?))).collect();
    let mut next = own.values().max().copied().unwrap_or(0);
    let number = |id: &String| {
        own.get(id.as_str()).copied().unwrap_or_else(|| {
            next += 1;
            next
        })
    };
    let all: Vec<u64> = prompt.keys().map(number).collect();
    prompt.keys().map(String::as_str).zip(all).collect()
}

/// The longest way from a node that reads nothing, without recursion; rings stop at their length.
fn depths(prompt: &Map<String, Json>) -> HashMap<&str, usize> {
    let sources = |node: &Json| -> Vec<String> {
        let inputs = node["inputs"].as_object().into_iter().flatten();
        inputs.filter_map(|(_, v)| link(v)).map(|(from, _)| from.to_owned()).collect()
    };
    let mut depth: HashMap<&str, usize> = prompt.keys().map(|id| (id.as_str(), 0)).collect();
    for _ in 0..prompt.len().min(1000) {
        let mut changed = false;
        for (id, node) in prompt {
            let new = sources(node)
                .iter()
                .filter_map(|s| depth.get(s.as_str()))
                .max()
                .map_or(0, |d| d + 1);
            if new > depth[id.as_str()] && new < prompt.len() {
                depth.insert(id, new);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depth
}

/// `["4", 0]` is a link.
fn link(value: &Json) -> Option<(&str, u64)> {
    match value.as_array()?.as_slice() {
        [from, slot] => Some((from.as_str()?, slot.as_u64()?)),
        _ => None,
    }
}
