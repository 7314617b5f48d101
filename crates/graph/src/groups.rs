//! Group nodes, the forerunners of subgraphs, as subgraphs.
//!
//! A group has no list of its inputs and outputs: they are those of its nodes, in order, that no
//! link inside takes.

use crate::{
    Json, Result,
    unfold::{INPUTS, OUTPUTS},
    workflow::array,
};
use anyhow::ensure;
use serde_json::json;
use std::collections::HashSet;

/// The group that a node is an instance of, with the instance's values; an error if the two do not
/// fit.
pub fn as_subgraph(instance: &Json, group: &Json) -> Result<Json> {
    let nodes = array(&group["nodes"]).iter().enumerate().map(|(i, node)| unlinked(i, node));
    let mut parts = Parts { nodes: nodes.collect(), links: vec![] };
    parts.set_values(array(&instance["widgets_values"]))?;
    for link in array(&group["links"]) {
        let place = |i: usize| usize::try_from(link[i].as_u64()?).ok();
        let from = Some(&link[0]).filter(|from| from.is_u64());
        if let (Some(from), Some(slot), Some(to), Some(input)) =
            (from, place(1), place(2), place(3))
        {
            parts.link(from, slot, to, input);
        }
    }
    let outputs = parts.outputs(group);
    let inputs = parts.inputs(&group["config"]);
    let own = array(&instance["inputs"]);
    ensure!(
        inputs.len() == own.len(),
        "it has {} inputs, its parts have {}",
        own.len(),
        inputs.len()
    );
    for (i, (node, input)) in inputs.into_iter().enumerate() {
        parts.link(&json!(INPUTS), i, node, input);
    }
    for (i, (node, output)) in outputs.into_iter().enumerate() {
        let name = parts.links.len();
        parts.links.push(json!([name, node, output, OUTPUTS, i]));
    }
    Ok(json!({"inputs": own, "nodes": parts.nodes, "links": parts.links}))
}

/// A part of the group under its number, its links forgotten.
fn unlinked(i: usize, node: &Json) -> Json {
    let mut node = node.clone();
    if let Some(fields) = node.as_object_mut() {
        fields.insert("id".into(), i.into());
    }
    for input in node.get_mut("inputs").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(fields) = input.as_object_mut() {
            fields.insert("link".into(), Json::Null);
        }
    }
    node
}

struct Parts {
    nodes: Vec<Json>,
    links: Vec<Json>,
}

impl Parts {
    /// Deals the instance's values out to the parts, each of which knows how many it has.
    fn set_values(&mut self, mut values: &[Json]) -> Result<()> {
        let places = self.nodes.iter().map(|node| array(&node["widgets_values"]).len());
        let places: usize = places.sum();
        let count = values.len();
        ensure!(count == places, "it has {count} values, its parts have {places}");
        for node in &mut self.nodes {
            if let Some(own) = node.get_mut("widgets_values").and_then(Json::as_array_mut) {
                let (first, rest) = values.split_at(own.len());
                own.clone_from_slice(first);
                values = rest;
            }
        }
        Ok(())
    }

    /// Adds a link to an input of a part, if there is such.
    fn link(&mut self, from: &Json, slot: usize, to: usize, input: usize) {
        let socket = self.nodes.get_mut(to).and_then(|n| n.get_mut("inputs")?.get_mut(input));
        if let Some(socket) = socket.and_then(Json::as_object_mut) {
            let name = self.links.len();
            socket.insert("link".into(), name.into());
            self.links.push(json!([name, from, slot, to, input]));
        }
    }

    /// The inputs left open, by node and place: sockets, then widgets.
    fn inputs(&self, config: &Json) -> Vec<(usize, usize)> {
        let open = |widgets: bool| {
            self.sockets("inputs").filter_map(move |(node, i, input)| {
                let name = input["name"].as_str().unwrap_or_default();
                let hidden = &config[node.to_string()]["input"][name]["visible"];
                let open = input["link"].is_null() && *hidden != json!(false);
                (open && input["widget"].is_object() == widgets).then_some((node, i))
            })
        };
        open(false).chain(open(true)).collect()
    }

    /// The outputs that can be linked from outside, by node and place.
    fn outputs(&self, group: &Json) -> Vec<(usize, usize)> {
        let place = |node: &Json, i: &Json| Some((node.as_u64()?, i.as_u64()?));
        let taken: HashSet<_> = self.links.iter().filter_map(|l| place(&l[1], &l[2])).collect();
        let external = array(&group["external"]).iter();
        let external: HashSet<_> = external.filter_map(|e| place(&e[0]["index"], &e[1])).collect();
        let shown = |&(node, i, _): &(usize, usize, &Json)| {
            let config = &group["config"][node.to_string()]["output"][i.to_string()]["visible"];
            let place = (node as u64, i as u64);
            config.as_bool().unwrap_or(!taken.contains(&place) || external.contains(&place))
        };
        self.sockets("outputs").filter(shown).map(|(node, i, _)| (node, i)).collect()
    }

    /// Node, place and socket.
    fn sockets(&self, list: &'static str) -> impl Iterator<Item = (usize, usize, &Json)> {
        let lists = self.nodes.iter().enumerate().map(move |(i, node)| (i, array(&node[list])));
        lists.flat_map(|(node, list)| {
            list.iter().enumerate().map(move |(i, socket)| (node, i, socket))
        })
    }
}
