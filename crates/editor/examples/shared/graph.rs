//! Graphs of any size, as people have them: prompts, samplers, loaders, notes, groups.

use editor::{catalog::Catalog, doc::Doc};
use fastrand::Rng;
use graph::Json;
use serde_json::json;
use std::collections::HashMap;

/// Classes with the weight that they are drawn with.
const MIX: &[(&str, u32)] = &[
    ("KSampler", 24),
    ("CLIPTextEncode", 15),
    ("ConditioningCombine", 11),
    ("ImageCompositeMasked", 9),
    ("VAEDecode", 9),
    ("KSamplerAdvanced", 6),
    ("VAEEncodeForInpaint", 6),
    ("CheckpointLoaderSimple", 5),
    ("EmptyLatentImage", 4),
    ("LatentUpscale", 4),
    ("SaveImage", 4),
    ("LoadImage", 2),
    ("Note", 2),
];
/// Distance of the nodes from each other: at zoom 1 about a dozen fill a window.
const PITCH: [f32; 2] = [430.0, 330.0];
/// A node is fed by one of so many before it.
const NEAR: usize = 100;
/// Nodes to a group.
const GROUP: usize = 25;

const WORDS: &[&str] = &[
    "a photograph of",
    "an oil painting of",
    "a lighthouse",
    "a fox in the snow",
    "at dusk,",
    "golden light,",
    "highly detailed,",
    "35 mm,",
    "soft shadows,",
    "(masterpiece:1.2),",
    "by the sea,",
    "in the rain,",
];

/// An output that can feed inputs: node, slot, type.
type Output = (i64, usize, String);

/// A graph of so many nodes and at most so many links, always the same for a seed, in UI form.
pub fn large(catalog: &Catalog, nodes: usize, links: usize, seed: u64) -> Json {
    let mut rng = Rng::with_seed(seed);
    let mut doc = Doc::default();
    let rows = (nodes as f32).sqrt().ceil() as usize;
    for i in 0..nodes {
        let cell = [(i / rows) as f32, (i % rows) as f32];
        add(&mut doc, catalog, &mut rng, [cell[0] * PITCH[0], cell[1] * PITCH[1]]);
    }
    let mut json = doc.to_json();
    let linked = link(&mut json, links, &mut rng);
    json["links"] = linked.into();
    json["groups"] = groups(nodes, rows);
    json
}

fn add(doc: &mut Doc, catalog: &Catalog, rng: &mut Rng, at: [f32; 2]) {
    let class = drawn(rng);
    let at = [at[0] + rng.f32() * 20.0, at[1] + rng.f32() * 20.0];
    let words: Vec<&str> = (0..rng.usize(8..40)).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
    let id = match catalog.get(class) {
        Some(ty) => doc.create(ty, &catalog.contract, at),
        None => doc.create_own(class, at).expect("a class of the editor's own"),
    };
    // Where there is no text this changes nothing.
    doc.set_widget(id, "text", words.join(" ").into(), &catalog.contract);
}

fn drawn(rng: &mut Rng) -> &'static str {
    let all: u32 = MIX.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.u32(..all);
    let found = MIX.iter().find(|(_, weight)| {
        let here = at < *weight;
        at = at.saturating_sub(*weight);
        here
    });
    found.expect("it is below the sum").0
}

/// Feeds inputs from nodes before them until there are enough links; gives these.
fn link(json: &mut Json, wanted: usize, rng: &mut Rng) -> Vec<Json> {
    let mut links: Vec<Json> = Vec::new();
    let mut given: HashMap<(i64, usize), Vec<usize>> = HashMap::new();
    let mut open: Vec<Output> = Vec::new();
    let nodes = json["nodes"].as_array_mut().expect("a graph has nodes");
    for node in nodes.iter_mut() {
        let id = node["id"].as_i64().expect("a node has an id");
        for (slot, input) in list(&mut node["inputs"]).iter_mut().enumerate() {
            let near = &open[open.len().saturating_sub(NEAR)..];
            let fitting: Vec<&Output> = near
                .iter()
                .filter(|(.., ty)| *ty == input["type"] && input["widget"].is_null())
                .collect();
            if links.len() >= wanted || fitting.is_empty() {
                continue;
            }
            // Mostly from the neighbourhood, as people lay out their graphs.
            let some = (0..3).map(|_| rng.usize(..fitting.len())).max().expect("three");
            let (from, from_slot, ty) = fitting[some];
            let number = links.len() + 1;
            input["link"] = number.into();
            given.entry((*from, *from_slot)).or_default().push(number);
            links.push(json!([number, from, from_slot, id, slot, ty]));
        }
        let outputs = list(&mut node["outputs"]).iter().enumerate();
        open.extend(
            outputs.map(|(slot, o)| (id, slot, o["type"].as_str().unwrap_or("*").to_owned())),
        );
    }
    for node in nodes {
        let id = node["id"].as_i64().expect("a node has an id");
        for (slot, output) in list(&mut node["outputs"]).iter_mut().enumerate() {
            output["links"] = given.remove(&(id, slot)).unwrap_or_default().into();
        }
    }
    json["last_link_id"] = links.len().into();
    links
}

fn list(json: &mut Json) -> &mut [Json] {
    json.as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}

/// Frames around pieces of columns.
fn groups(nodes: usize, rows: usize) -> Json {
    let group = |i: usize| {
        let (column, row) = (i * GROUP / rows, (i * GROUP % rows).min(rows.saturating_sub(4)));
        let [x, y] = [column as f32 * PITCH[0] - 20.0, row as f32 * PITCH[1] - 70.0];
        let color = ["#3f789e", "#8a8", "#b58b2a"][i % 3];
        json!({"title": format!("Part {}", i + 1), "bounding": [x, y, PITCH[0], 4.0 * PITCH[1]], "color": color})
    };
    (0..nodes / GROUP).map(group).collect()
}

/// A graph many times over, in rows, each in a group.
pub fn blocks(graph: &str, count: i64, columns: i64) -> Json {
    const PITCH: [f64; 2] = [1500.0, 640.0];
    let graph: Json = serde_json::from_str(graph).expect("it is a graph");
    let list = |key: &str| graph[key].as_array().cloned().unwrap_or_default();
    let mut all = json!({"nodes": [], "links": [], "groups": []});
    let mut push = |key: &str, json: Json| all[key].as_array_mut().expect("a list").push(json);
    for i in 0..count {
        let (more, [x, y]) =
            (i * 1000, [(i % columns) as f64 * PITCH[0], (i / columns) as f64 * PITCH[1]]);
        let later = |id: &Json| id.as_i64().map_or(Json::Null, |id| json!(id + more));
        for mut node in list("nodes") {
            node["id"] = later(&node["id"]);
            let at = |i: usize| node["pos"][i].as_f64().unwrap_or(0.0);
            node["pos"] = json!([at(0) + x, at(1) + y]);
            for slot in node["inputs"].as_array_mut().into_iter().flatten() {
                slot["link"] = later(&slot["link"]);
            }
            for slot in node["outputs"].as_array_mut().into_iter().flatten() {
                slot["links"] = slot["links"].as_array().into_iter().flatten().map(later).collect();
            }
            push("nodes", node);
        }
        for mut link in list("links") {
            for part in [0, 1, 3] {
                link[part] = later(&link[part]);
            }
            push("links", link);
        }
        let color = ["#3f789e", "#8a8", "#a1309b", "#b58b2a"][i as usize % 4];
        let bounding = [x - 20.0, y - 160.0, PITCH[0] - 60.0, PITCH[1] - 60.0];
        push(
            "groups",
            json!({"title": format!("Variation {}", i + 1), "bounding": bounding, "color": color}),
        );
    }
    all
}
