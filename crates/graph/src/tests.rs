//! Both forms together: hostile input, odd files, and round trips.

mod pairs;
mod subgraphs;
mod traps;
mod variants;

use crate::{Contract, Json, read};
use serde_json::{Map, json};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A path in the folder of reference material beside the repository, or nothing, said aloud.
pub fn shared(path: &str) -> Option<PathBuf> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("WEFT_SHARED").map_or(base, PathBuf::from).join(path);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

pub fn shared_json(path: &str) -> Option<Json> {
    shared(path).map(|path| read_json(&path))
}

fn read_json(path: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A small contract with each kind of input.
fn contract() -> Contract {
    Contract::from_object_info(&json!({
        "Sampler": {
            "input": {
                "required": {
                    "model": ["MODEL"],
                    "seed": ["INT", {"default": 0, "control_after_generate": true}],
                    "fast": ["BOOLEAN", {"default": false}],
                    "name": [["a", "fixed", "image"], {}],
                },
                "optional": {"strength": ["FLOAT", {"default": 1.0}]},
            },
            "output": ["LATENT"], "output_name": ["LATENT"],
        },
        "Text": {
            "input": {"required": {"text": ["STRING", {"multiline": true, "dynamicPrompts": true}]}},
            "output": ["CONDITIONING"], "output_name": ["CONDITIONING"],
        },
        "Old": {
            "input": {"required": {
                "a": ["INT", {}], "b": ["INT", {"forceInput": true}], "c": ["INT", {}],
            }},
            "output": [], "output_name": [],
        },
        "Picture": {
            "input": {"required": {
                "image": [["x.png"], {"image_upload": true}], "channel": [["alpha", "red"], {}],
            }},
            "output": ["MASK"], "output_name": ["MASK"],
        },
    }))
}

fn to_api(workflow: &Json) -> Map<String, Json> {
    read(workflow.to_string().as_bytes()).unwrap().to_api(&contract()).unwrap()
}

fn values(class: &str, values: impl Into<Json>) -> Json {
    let values: Json = values.into();
    let node = json!({"id": 1, "type": class, "widgets_values": values});
    to_api(&json!({"nodes": [node], "links": []}))["1"]["inputs"].clone()
}

#[test]
fn values_find_their_widgets_in_files_of_all_ages() {
    let expected = json!({"seed": 5, "fast": true, "name": "a"});
    assert_eq!(values("Sampler", json!([5, "randomize", true, "a"])), expected);
    assert_eq!(values("Sampler", json!([5, false, true, "a"])), expected);
    assert_eq!(values("Sampler", json!([5, true, "a"])), expected, "no control at all");
    let full = json!({"seed": 5, "fast": true, "name": "a", "strength": 0.5});
    assert_eq!(values("Sampler", json!([5, "fixed", true, "a", 0.5, "surplus"])), full);
    assert_eq!(values("Sampler", json!({"seed": 5, "fast": true, "name": "a"})), expected);
    let forced = json!({"a": 1, "c": 3});
    assert_eq!(values("Old", json!([1, 2, 3])), forced, "the value of a forced input is dropped");
    assert_eq!(values("Old", json!([1, 3])), forced);
    let picture = json!({"image": "y.png", "channel": "red"});
    assert_eq!(values("Picture", json!(["y.png", "image", "red"])), picture);
    assert_eq!(values("Picture", json!(["y.png", "red", "image"])), picture);
}

#[test]
fn editors_resolve_choices_and_comments_in_prompts() {
    assert_eq!(
        values("Text", json!(["a {red} cat // no dog\n\\{x\\}"])),
        json!({"text": "a red cat \n{x}"})
    );
}

/// Node 1 -> node 2 (of `mode` and class) -> the widget `seed` of node 3.
fn chain(class: &str, mode: u32, between: impl Into<Json>) -> Json {
    let between: Json = between.into();
    let third = json!({"id": 3, "type": "Sampler", "widgets_values": [7, "fixed", true, "a"],
        "inputs": [{"name": "seed", "type": "INT", "link": 2, "widget": {"name": "seed"}}]});
    let second = json!({"id": 2, "type": class, "mode": mode, "inputs": between,
        "outputs": [{"name": "x", "type": "*"}]});
    to_api(&json!({
        "nodes": [{"id": 1, "type": "Foo"}, second, third],
        "links": [[1, 1, 0, 2, 0, "INT"], [2, 2, 0, 3, 0, "INT"]],
    }))["3"]["inputs"]["seed"]
        .clone()
}

#[test]
fn a_widget_whose_link_brings_nothing_keeps_its_value() {
    let input = |ty: &str, link: Json| json!({"name": "x", "type": ty, "link": link});
    assert_eq!(chain("Reroute", 0, json!([input("*", json!(1))])), json!(["1", 0]));
    assert_eq!(chain("Reroute", 0, json!([input("*", json!(null))])), json!(7));
    assert_eq!(chain("Foo", 2, json!([])), json!(null), "muted: the input goes");
    let inputs = json!([input("MODEL", json!(null)), input("INT", json!(1))]);
    assert_eq!(chain("Foo", 4, inputs), json!(["1", 0]), "bypassed: what the consumer wants");
    assert_eq!(chain("Foo", 4, json!([input("MODEL", json!(1))])), json!(7));
}

#[test]
fn a_ring_of_reroutes_is_an_error_that_names_the_node() {
    let reroute = |id: u32, link: u32| json!({"id": id, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": link}]});
    let last = json!({"id": 3, "type": "Foo", "inputs": [{"name": "x", "type": "*", "link": 1}]});
    let workflow = json!({
        "nodes": [reroute(1, 2), reroute(2, 1), last],
        "links": [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"]],
    });
    let error = read(workflow.to_string().as_bytes()).unwrap().to_api(&contract()).unwrap_err();
    assert!(error.to_string().contains("node 3") && error.to_string().contains("ring"), "{error}");
}

fn prompt_there_and_back(prompt: &Map<String, Json>) -> Map<String, Json> {
    let text = Json::Object(prompt.clone()).to_string();
    let workflow = read(text.as_bytes()).unwrap().to_ui(&contract()).unwrap();
    to_api(&workflow)
}

#[test]
fn what_no_contract_knows_survives_both_ways() {
    let prompt = json!({
        "007": {"class_type": "Foo", "inputs": {"seed": 3, "mode": "fixed", "list": {"__value__": [1, 2]}}},
        "7": {"class_type": "Foo", "inputs": {"other": ["007", 4], "deep": {"a": 1}}},
        "55:52": {"class_type": "Sampler", "inputs": {
            "model": ["7", 0], "seed": ["007", 1], "fast": true, "name": "image", "strength": 1.0,
            "extra": "x", "more": ["7", 1],
        }},
        "18446744073709551615": {"class_type": "Text", "inputs": {"text": "{a|b} http://x /* \\{"}},
    });
    let prompt = prompt.as_object().unwrap();
    let back = prompt_there_and_back(prompt);
    for (id, node) in prompt {
        assert_eq!(back[id]["inputs"], node["inputs"], "node {id}");
        assert_eq!(back[id]["class_type"], node["class_type"], "node {id}");
    }
}

/// Choices that are the same on each run: xorshift64, Marsaglia 2003.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }
    pub fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
    fn text(&mut self) -> String {
        (0..self.below(20))
            .map(|_| self.of(&['a', ' ', '{', '}', '|', '\\', '/', '*', '\n']))
            .collect()
    }
    /// A node of a known or unknown class; links go to a node that is always there.
    fn node(&mut self) -> Json {
        let link = json!(["0", self.below(3)]);
        match self.below(3) {
            0 => json!({"class_type": "Text", "inputs": {"text": self.text()}}),
            1 => json!({"class_type": "Sampler", "inputs": {
                "model": link, "seed": self.0, "fast": self.below(2) == 1,
                "name": self.of(&["a", "fixed", "image"]), "strength": 0.25,
            }}),
            _ => json!({"class_type": "Foo", "inputs": self.inputs(&link)}),
        }
    }
    fn inputs(&mut self, link: &Json) -> Map<String, Json> {
        let wrapped = json!({"__value__": [1, "x"]});
        let values =
            [json!(-3), json!(true), json!("fixed"), json!("image"), link.clone(), wrapped];
        let names = (0..self.below(5)).map(|_| self.of(&["a", "b", "c", "seed"]).to_owned());
        let names: Vec<String> = names.collect();
        names.into_iter().map(|name| (name, self.of(&values))).collect()
    }
}

#[test]
fn any_prompt_survives_both_ways() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let nodes = 1 + random.below(12);
        let prompt: Map<_, _> = (0..nodes).map(|i| (i.to_string(), random.node())).collect();
        let back = prompt_there_and_back(&prompt);
        assert_eq!(prompt.len(), back.len());
        for (id, node) in &prompt {
            assert_eq!(back[id]["inputs"], node["inputs"], "node {id} of {prompt:?}");
        }
    }
}

#[test]
fn nodes_do_not_overlap_and_links_run_to_the_right() {
    let mut prompt = json!({"0": {"class_type": "Text", "inputs": {"text": "x"}}});
    for i in 1..40 {
        let model = json!([(i / 3).to_string(), 0]);
        prompt[i.to_string()] = json!({"class_type": "Sampler", "inputs": {"model": model}});
    }
    let workflow = read(prompt.to_string().as_bytes()).unwrap().to_ui(&contract()).unwrap();
    let nodes = workflow["nodes"].as_array().unwrap();
    let at = |n: &Json, key: &str, i: usize| n[key][i].as_f64().unwrap();
    let apart = |a: &Json, b: &Json, i: usize, title: f64| {
        at(a, "pos", i) + at(a, "size", i) + title <= at(b, "pos", i)
    };
    for (i, a) in nodes.iter().enumerate() {
        for b in &nodes[..i] {
            let beside = apart(a, b, 0, 0.0) || apart(b, a, 0, 0.0);
            assert!(beside || apart(a, b, 1, 30.0) || apart(b, a, 1, 30.0), "{a} {b}");
        }
    }
    for link in workflow["links"].as_array().unwrap() {
        let node = |id: &Json| nodes.iter().find(|n| n["id"] == *id).unwrap();
        assert!(at(node(&link[1]), "pos", 0) < at(node(&link[3]), "pos", 0), "{link}");
    }
}

/// Runs in a time that a quadratic walk exceeds (by minutes) and a slow, busy machine does not.
fn in_time<T>(f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    assert!(start.elapsed() < Duration::from_secs(30), "took {:?}", start.elapsed());
    result
}

#[test]
fn a_hundred_thousand_nodes_convert_in_seconds() {
    const N: u64 = 50_000;
    let reroute = |i: u64| json!({"id": i, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": i}]});
    let user = |i: u64| json!({"id": N + i, "type": "Sampler", "inputs": [{"name": "model", "type": "MODEL", "link": N + i}]});
    let nodes: Vec<Json> = (1..N).rev().map(reroute).chain((0..N).map(user)).collect();
    let step = |i: u64| json!([i, if i == 1 { N } else { i - 1 }, 0, i, 0, "*"]);
    let use_link = |i: u64| json!([N + i, N - 1, 0, N + i, 0, "MODEL"]);
    let mut links: Vec<Json> = (1..N).map(step).chain((1..N).map(use_link)).collect();
    links[0] = json!([1, N, 0, 1, 0, "*"]);
    let prompt = in_time(|| to_api(&json!({"nodes": nodes, "links": links})));
    assert_eq!(prompt[&(N + 7).to_string()]["inputs"]["model"], json!([N.to_string(), 0]));
}

#[test]
fn a_chain_of_a_hundred_thousand_nodes_is_laid_out_in_seconds() {
    let node =
        |i: u64| json!({"class_type": "Sampler", "inputs": {"model": [(i + 1).to_string(), 0]}});
    let prompt: Map<String, Json> = (0..100_000).map(|i| (i.to_string(), node(i))).collect();
    let text = Json::Object(prompt).to_string();
    in_time(|| read(text.as_bytes()).unwrap().to_ui(&contract()).unwrap());
}

/// Graphs of all forms to damage.
fn sample() -> [String; 4] {
    let prompt = json!({
        "1": {"class_type": "Text", "inputs": {"text": "a {b|c} // d"}},
        "2": {"class_type": "Sampler", "inputs": {"model": ["1", 0], "seed": 1, "name": "a"}},
        "3": {"class_type": "Foo", "inputs": {"x": ["2", 0], "y": [1, 2]}},
    });
    let workflow = read(prompt.to_string().as_bytes()).unwrap().to_ui(&contract()).unwrap();
    [&prompt, &workflow, &subgraphs::workflow(0), &subgraphs::group()].map(Json::to_string)
}

/// Replaces the part at `path` (each step modulo what is there) by `new`.
fn damage(json: &mut Json, path: &[usize], new: &Json) {
    let next = path.split_first().and_then(|(step, rest)| {
        let part = match &mut *json {
            Json::Array(list) if !list.is_empty() => {
                let i = step % list.len();
                list.get_mut(i)
            }
            Json::Object(map) if !map.is_empty() => {
                let i = step % map.len();
                map.values_mut().nth(i)
            }
            _ => None,
        };
        Some((part?, rest))
    });
    match next {
        Some((part, rest)) => damage(part, rest, new),
        None => *json = new.clone(),
    }
}

#[test]
fn damaged_graphs_never_panic() {
    let new = [
        json!(null),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!("Reroute"),
        json!("1"),
        json!("workflow>x"),
        json!([]),
        json!({}),
        json!(4),
        json!([["1", 0]]),
        json!(["1", u64::MAX]),
        json!("18446744073709551615"),
    ];
    let mut random = Random(2);
    let samples = sample();
    for _ in 0..5000 {
        let text = random.of(&samples);
        let mut json: Json = serde_json::from_str(&text).unwrap();
        for _ in 0..=random.below(3) {
            let path: Vec<usize> = (0..random.below(7)).map(|_| random.below(100)).collect();
            damage(&mut json, &path, &random.of(&new));
        }
        let cut = text.as_bytes()[..random.below(text.len())].to_vec();
        for bytes in [json.to_string().into_bytes(), cut] {
            if let Ok(document) = read(&bytes) {
                let _ = document.to_api(&contract());
                let _ = document.to_ui(&contract());
            }
        }
    }
}
