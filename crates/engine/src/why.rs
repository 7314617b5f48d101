//! Why a node ran again: found by comparing the graph that ran before with the one that runs.

use crate::{Key, Plan};
use graph::Json;
use serde_json::Map;
use std::collections::{HashMap, HashSet};

/// A graph in API form.
pub type Prompt = Map<String, Json>;

/// What made a node's earlier result useless.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// The node that changed: the one that ran, or one upstream of it.
    pub node: String,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// There was no such node, or one of another class.
    New,
    /// An input had another value, or another link.
    Input { name: String, before: Json, after: Json },
}

/// Why `id` of `after` could not use what it made in `before`: the nearest change upstream. `None` if the
/// graph is the same: then a file changed, or the result was given up for want of memory.
pub fn why(before: &Prompt, after: &Prompt, id: &str) -> Option<Cause> {
    let mut seen = HashSet::from([id]);
    let mut level = vec![id];
    while !level.is_empty() {
        let own = |node: &&str| {
            let change = change(before.get(*node), after.get(*node)?)?;
            Some(Cause { node: (*node).to_owned(), change })
        };
        if let Some(cause) = level.iter().find_map(own) {
            return Some(cause);
        }
        let upstream = level.iter().flat_map(|node| links(after, node));
        level = upstream.filter(|node| seen.insert(node)).collect();
    }
    None
}

/// A graph that was planned, and the key of each node's result.
pub struct Planned {
    prompt: Prompt,
    keys: HashMap<String, Key>,
}

impl Planned {
    #[must_use]
    pub fn new(prompt: &Prompt, plan: &Plan) -> Self {
        let keys = plan.steps.iter().map(|step| (step.id.clone(), step.key)).collect();
        Self { prompt: prompt.clone(), keys }
    }

    /// Why a node of this graph had to run although `before` it ran, in words; `title` gives the name of
    /// a node.
    #[must_use]
    pub fn why(&self, before: Option<&Self>, id: &str, title: impl Fn(&str) -> String) -> String {
        let Some(before) = before.filter(|before| before.keys.contains_key(id)) else {
            return "it did not run before".into();
        };
        if let Some(cause) = why(&before.prompt, &self.prompt, id) {
            return cause.words(id, title);
        }
        match self.changed_content(before, id) {
            None => "its result was no longer kept".into(),
            Some(node) if node == id => "a file that it reads has changed".into(),
            Some(node) => format!("a file that {} reads has changed", title(node)),
        }
    }

    /// The nearest node upstream with another key although it is fed the same.
    fn changed_content<'p>(&'p self, before: &Self, id: &'p str) -> Option<&'p str> {
        let changed = |node: &str| self.keys.get(node) != before.keys.get(node);
        let mut node = Some(id).filter(|id| changed(id))?;
        while let Some(upstream) = links(&self.prompt, node).find(|from| changed(from)) {
            node = upstream;
        }
        Some(node)
    }
}

/// What changed in the node itself.
fn change(before: Option<&Json>, after: &Json) -> Option<Change> {
    let Some(before) = before.filter(|b| b["class_type"] == after["class_type"]) else {
        return Some(Change::New);
    };
    let (before, after) = (&before["inputs"], &after["inputs"]);
    let mut names = names(after).chain(names(before));
    let name = names.find(|name| before[*name] != after[*name])?.clone();
    let (before, after) = (before[&name].clone(), after[&name].clone());
    Some(Change::Input { name, before, after })
}

fn names(inputs: &Json) -> impl Iterator<Item = &String> {
    inputs.as_object().into_iter().flat_map(Map::keys)
}

/// The nodes that feed a node.
fn links<'p>(prompt: &'p Prompt, id: &str) -> impl Iterator<Item = &'p str> {
    let inputs = prompt.get(id).and_then(|node| node["inputs"].as_object());
    inputs.into_iter().flat_map(Map::values).filter_map(link)
}

/// The node that a link `["id", output]` reads.
pub fn link(input: &Json) -> Option<&str> {
    match input.as_array()?.as_slice() {
        [Json::String(id), Json::Number(_)] => Some(id),
        _ => None,
    }
}

impl Cause {
    /// In words, for the node `id`; `title` gives the name of a node.
    pub fn words(&self, id: &str, title: impl Fn(&str) -> String) -> String {
        let here = self.node == id;
        match &self.change {
            Change::New if here => "it is new".into(),
            Change::New => format!("{} is new", title(&self.node)),
            Change::Input { name, before, after } => {
                let of = if here { String::new() } else { format!(" of {}", title(&self.node)) };
                format!("{name}{of} changed{}", values(before, after))
            }
        }
    }
}

/// ` from 1 to 2`, where both are short enough to read.
fn values(before: &Json, after: &Json) -> String {
    let short = |value: &Json| {
        let text = value.as_str().map_or_else(|| value.to_string(), |text| format!("“{text}”"));
        let plain = !value.is_null() && !value.is_array() && !value.is_object();
        (plain && text.chars().count() <= 24).then_some(text)
    };
    match (short(before), short(after)) {
        (Some(before), Some(after)) => format!(" from {before} to {after}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prompt(seed: u64, class: &str) -> Prompt {
        let nodes = json!({
            "1": {"class_type": class, "inputs": {"name": "a"}},
            "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "seed": seed}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
        });
        nodes.as_object().unwrap().clone()
    }

    fn words(before: &Prompt, after: &Prompt, id: &str) -> Option<String> {
        Some(why(before, after, id)?.words(id, |node| format!("node {node}")))
    }

    #[test]
    fn the_changed_input_is_named_on_its_node_and_downstream() {
        let (before, after) = (prompt(1, "Load"), prompt(2, "Load"));
        assert_eq!(words(&before, &after, "2").unwrap(), "seed changed from 1 to 2");
        assert_eq!(words(&before, &after, "3").unwrap(), "seed of node 2 changed from 1 to 2");
        assert_eq!(why(&before, &after, "1"), None);
    }

    #[test]
    fn new_nodes_and_new_links_are_told() {
        let (mut before, after) = (prompt(1, "Load"), prompt(1, "Other"));
        assert_eq!(words(&before, &after, "1").unwrap(), "it is new");
        assert_eq!(words(&before, &after, "3").unwrap(), "node 1 is new");
        before["3"]["inputs"]["images"] = json!(["1", 0]);
        assert_eq!(words(&before, &after, "3").unwrap(), "images changed");
    }

    #[test]
    fn a_changed_file_and_a_lost_result_are_told_apart() {
        use crate::{Targets, testing::with_engine};
        let prompt = json!({
            "1": {"class_type": "Read", "inputs": {"file": "a.png"}},
            "2": {"class_type": "Save", "inputs": {"value": ["1", 0]}},
        });
        let nodes = prompt.as_object().unwrap();
        with_engine(|engine, shelf| {
            let planned = |engine: &crate::Engine| {
                Planned::new(nodes, &engine.plan(&prompt, Targets::Outputs).unwrap())
            };
            let first = planned(engine);
            let why =
                |now: &Planned, id: &str| now.why(Some(&first), id, |node| format!("node {node}"));
            assert_eq!(first.why(None, "2", str::to_owned), "it did not run before");
            assert_eq!(why(&planned(engine), "2"), "its result was no longer kept");
            shelf.0.lock().unwrap().get_mut("input").unwrap().insert("a.png".into(), 9);
            assert_eq!(why(&planned(engine), "1"), "a file that it reads has changed");
            assert_eq!(why(&planned(engine), "2"), "a file that node 1 reads has changed");
        });
    }

    #[test]
    fn a_ring_of_links_ends() {
        let mut ring = prompt(1, "Load");
        ring["1"]["inputs"]["name"] = json!(["3", 0]);
        assert_eq!(why(&ring, &ring, "3"), None);
    }
}
