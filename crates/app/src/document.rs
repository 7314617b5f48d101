//! A graph from the command line: read, changed by `--set`, in API form.

use anyhow::{Context as _, Result, bail};
use graph::{Input, Json, NodeType};
use serde_json::Map;
use std::{collections::BTreeSet, io::Read as _, path::Path};

/// A graph in API form, and what else a picture made from it shall carry.
pub struct Graph {
    /// Node id to class and inputs.
    pub prompt: Map<String, Json>,
    /// `workflow`: the UI form, if the graph came in it.
    pub extra: Map<String, Json>,
}

/// Larger than any graph with its picture; a guard against reading something else into memory.
const MAX_BYTES: u64 = 1 << 30;

/// Reads a file, or standard input for `-`.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let file = std::fs::File::open(path)?;
    anyhow::ensure!(!file.metadata()?.is_dir(), "it is a folder, not a graph");
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes beside the file, then renames: there is never half a file. What a link leads to is written; what is
/// no file, such as a pipe, is written as it is.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return Ok(std::fs::write(path, bytes)?);
    }
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
    Ok(())
}

/// What to call the source of a graph.
pub fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

impl Graph {
    pub fn open(path: &Path, types: &[NodeType]) -> Result<Self> {
        Self::read(path, types).with_context(|| name(path))
    }

    fn read(path: &Path, types: &[NodeType]) -> Result<Self> {
        let document = graph::read(&read_bytes(path)?)?;
        let contract = graph::Contract::from_types(types);
        let mut prompt = document.to_api(&contract)?;
        if document.is_ui() {
            graph::fill_defaults(&mut prompt, &contract);
        }
        let extra = document.workflow().map(|w| ("workflow".to_owned(), w)).into_iter().collect();
        Ok(Self { prompt, extra })
    }

    /// Applies `ID.INPUT=VALUE`, where ID is an id, a title or a class that one node has.
    pub fn set(&mut self, assignment: &str, types: &[NodeType]) -> Result<()> {
        let (place, value) = assignment
            .split_once('=')
            .with_context(|| format!("--set {assignment}: expected ID.INPUT=VALUE"))?;
        let (node, input) = place
            .rsplit_once('.')
            .with_context(|| format!("--set {assignment}: expected ID.INPUT before the ="))?;
        let id = self.find(node).with_context(|| format!("--set {assignment}"))?;
        let node = &mut self.prompt[&id];
        let class = node["class_type"].as_str().unwrap_or_default().to_owned();
        let ty = types.iter().find(|ty| ty.name == class);
        let known = ty.and_then(|ty| ty.input(input));
        if let (Some(ty), None) = (ty, known) {
            let names: Vec<&str> = ty.inputs.iter().map(|i| i.name).collect();
            bail!("--set {place}: {class} has no input `{input}`, only {}", names.join(", "));
        }
        let text = known.is_some_and(|i| matches!(i.ty, "STRING" | "COMBO"));
        let value = match serde_json::from_str(value) {
            Ok(json) if !text => json,
            _ => Json::String(value.to_owned()),
        };
        let inputs = node.get_mut("inputs").and_then(Json::as_object_mut);
        inputs.context("the node has no inputs")?.insert(input.to_owned(), value);
        Ok(())
    }

    /// The one node with this id, title or class.
    pub fn find(&self, name: &str) -> Result<String> {
        if self.prompt.contains_key(name) {
            return Ok(name.to_owned());
        }
        let titled =
            |n: &Json| n["_meta"]["title"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(name));
        let classed =
            |n: &Json| n["class_type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(name));
        for matches in [&titled as &dyn Fn(&Json) -> bool, &classed] {
            let ids: Vec<&String> =
                self.prompt.iter().filter(|(_, n)| matches(n)).map(|(id, _)| id).collect();
            match ids.as_slice() {
                [] => {}
                [id] => return Ok((*id).clone()),
                _ => bail!("several nodes are called `{name}`: {}; use an id", list(&ids)),
            }
        }
        let all: Vec<String> =
            self.prompt.iter().map(|(id, n)| format!("{id} ({})", label(n))).collect();
        bail!("no node is called `{name}`; there are {}", all.join(", "))
    }

    /// What people call a node: its title, else its class.
    pub fn label(&self, id: &str) -> String {
        self.prompt.get(id).map_or_else(|| id.to_owned(), label)
    }

    /// A node's label and id in at most so many characters.
    pub fn short_label(&self, id: &str, most: usize) -> String {
        let (label, id) = (self.label(id), format!(" [{id}]"));
        let room = most.saturating_sub(id.chars().count());
        if label.chars().count() <= room {
            return label + &id;
        }
        label.chars().take(room.saturating_sub(1)).collect::<String>() + "…" + &id
    }

    /// Raises every seed by `by`: what "run it again" means for a graph. Where a seed comes from another
    /// node, such as PrimitiveInt, that one's number is raised.
    pub fn advance_seeds(&mut self, by: u64, types: &[NodeType]) {
        let controlled = |node: &Json| -> Vec<&Input> {
            let ty = types.iter().find(|ty| Some(ty.name) == node["class_type"].as_str());
            let inputs = ty.iter().flat_map(|ty| &ty.inputs);
            inputs.filter(|i| i.options.contains_key("control_after_generate")).collect()
        };
        let mut seeds = BTreeSet::new();
        for (id, node) in &self.prompt {
            for input in controlled(node).into_iter().filter(|input| is_seed(input)) {
                let from = node["inputs"][input.name][0].as_str();
                let source = from.and_then(|from| self.prompt.get_key_value(from));
                match source {
                    None => drop(seeds.insert((id.clone(), input.name))),
                    Some((from, source)) => {
                        seeds.extend(controlled(source).iter().map(|i| (from.clone(), i.name)));
                    }
                }
            }
        }
        for (id, name) in seeds {
            let value = self.prompt[&id].get_mut("inputs").and_then(|inputs| inputs.get_mut(name));
            if let Some((value, old)) = value.and_then(|v| v.as_u64().map(|old| (v, old))) {
                *value = old.wrapping_add(by).into();
            }
        }
    }
}

/// Seeds go as far as 64 bits do; other numbers that front ends change after a run do not.
fn is_seed(input: &Input) -> bool {
    input.options.get("max").and_then(Json::as_u64) == Some(u64::MAX)
}

fn label(node: &Json) -> String {
    let title = node["_meta"]["title"].as_str().filter(|t| !t.is_empty());
    title.or(node["class_type"].as_str()).unwrap_or("?").to_owned()
}

fn list(ids: &[&String]) -> String {
    ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn seeds_go_up_wherever_they_come_from_and_other_numbers_stay() {
        let primitive = |value| json!({"class_type": "PrimitiveInt", "inputs": {"value": value}});
        let prompt = json!({
            "1": primitive(64), "2": primitive(7),
            "3": {"class_type": "KSampler", "inputs": {"seed": ["2", 0], "steps": ["1", 0]}},
            "4": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 9}},
        });
        let mut graph = Graph { prompt: prompt.as_object().unwrap().clone(), extra: Map::new() };
        graph.advance_seeds(1, &nodes::all());
        let value = |id: &str, name: &str| graph.prompt[id]["inputs"][name].as_u64();
        assert_eq!((value("1", "value"), value("2", "value")), (Some(64), Some(8)));
        assert_eq!((value("4", "seed"), value("4", "steps")), (Some(6), Some(9)));
    }
}
