//! Workflows that people shared, beside what the same editor sent for them.

use super::{read_json, shared, shared_json};
use crate::{Contract, Json, read};
use serde_json::{Map, json};
use std::{collections::BTreeMap, path::PathBuf};

/// The name, the workflow and the prompt of each pair.
pub fn pairs() -> Vec<(String, Json, Json)> {
    let files = shared("corpus/pairs").into_iter().flat_map(|p| std::fs::read_dir(p).unwrap());
    let workflow = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".workflow.json")?.to_owned();
        let prompt = read_json(&path.with_file_name(format!("{name}.prompt.json")));
        Some((name, read_json(&path), prompt))
    };
    files.filter_map(|entry| workflow(entry.unwrap().path())).collect()
}

fn to_api(workflow: &Json, contract: &Contract) -> Json {
    let document = read(workflow.to_string().as_bytes()).unwrap();
    document.to_api(contract).unwrap().into()
}

/// By id: the class, and the inputs that `known` has; numbers as floats.
fn comparable(prompt: &Json, known: &Contract) -> BTreeMap<String, Json> {
    let number = |v: &Json| v.as_f64().map_or_else(|| v.clone(), |f| json!(f));
    let node = |node: &Json| {
        let class = node["class_type"].as_str().unwrap();
        let known = known.0.get(class).map(|c| &c.inputs);
        let inputs = node["inputs"].as_object().unwrap().iter();
        let inputs = inputs.filter(|(name, _)| known.is_none_or(|known| known.contains(name)));
        let inputs: BTreeMap<_, _> = inputs.map(|(k, v)| (k.clone(), number(v))).collect();
        json!({"class_type": class, "inputs": inputs})
    };
    prompt.as_object().unwrap().iter().map(|(id, n)| (id.clone(), node(n))).collect()
}

/// Each node with what feeds it, and so on, in place of ids; sorted.
fn without_ids(nodes: &BTreeMap<String, Json>) -> Vec<String> {
    fn whole(nodes: &BTreeMap<String, Json>, id: &str) -> Json {
        let mut node = nodes[id].clone();
        for input in node["inputs"].as_object_mut().unwrap().values_mut() {
            if let Some(from) = input[0].as_str().map(str::to_owned) {
                *input = json!([whole(nodes, &from), input[1]]);
            }
        }
        node
    }
    let mut all: Vec<String> = nodes.keys().map(|id| whole(nodes, id).to_string()).collect();
    all.sort();
    all
}

#[test]
fn shared_workflows_convert_to_what_the_editor_sent() {
    let Some(reference) = shared_json("reference/object_info.json") else { return };
    let reference = Contract::from_object_info(&reference);
    let shipped = Contract::from_types(&[]);
    for (name, workflow, prompt) in pairs() {
        let ours = comparable(&to_api(&workflow, &shipped), &reference);
        let sent = comparable(&prompt, &reference);
        // The editor gave the parts of a group just made the ids that they had before.
        if workflow["extra"]["groupNodes"].is_object() {
            assert_eq!(without_ids(&ours), without_ids(&sent), "{name}");
            continue;
        }
        assert!(ours.keys().eq(sent.keys()), "{name}: {:?}, not {:?}", ours.keys(), sent.keys());
        for (id, node) in &sent {
            assert_eq!(&ours[id], node, "{name}, node {id}");
        }
    }
}

#[test]
fn shared_workflows_are_the_same_after_another_round() {
    let contract = Contract::from_types(&[]);
    for (name, workflow, _) in pairs() {
        let first = to_api(&workflow, &contract);
        let laid_out = read(first.to_string().as_bytes()).unwrap().to_ui(&contract).unwrap();
        let mut second = to_api(&laid_out, &contract);
        // Widgets younger than the workflow get their defaults when it is laid out.
        let nodes = first.as_object().unwrap();
        for (id, node) in nodes {
            let had = |name: &String, _: &mut Json| !node["inputs"][name].is_null();
            let inputs: &mut Map<String, Json> = second[id]["inputs"].as_object_mut().unwrap();
            inputs.retain(had);
        }
        assert_eq!(first, second, "{name}");
    }
}
