//! A workflow written in other ways means the same: each test rewrites workflows at random and looks at what
//! they come to.

use super::{Random, pairs::pairs};
use crate::{Contract, Json, read, widget_places};
use serde_json::{Map, json};
use std::collections::HashMap;

type Prompt = Map<String, Json>;

/// A workflow being rewritten, and what has become of the ids of its nodes.
struct Rewritten {
    json: Json,
    ids: HashMap<String, String>,
    contract: Contract,
    random: Random,
}

impl Rewritten {
    fn prompt(&self) -> Prompt {
        read(self.json.to_string().as_bytes()).unwrap().to_api(&self.contract).unwrap()
    }

    fn nodes(&mut self) -> &mut Vec<Json> {
        self.json["nodes"].as_array_mut().unwrap()
    }

    fn links(&mut self) -> &mut Vec<Json> {
        self.json["links"].as_array_mut().unwrap()
    }

    /// A number that neither a node nor a link has.
    fn fresh(&mut self) -> u64 {
        let fresh = self.json["fresh"].as_u64().unwrap_or(100_000) + 1;
        self.json["fresh"] = fresh.into();
        fresh
    }

    /// Puts a reroute into one of the links.
    fn reroute(&mut self) {
        let (id, after) = (self.fresh(), self.fresh());
        let count = self.links().len();
        let at = self.random.below(count);
        let link = self.links()[at].clone();
        self.links()[at][3] = id.into();
        self.links().push(json!([after, id, 0, link[3], link[4], link[5]]));
        for input in self.nodes().iter_mut().filter(|n| n["id"] == link[3]).flat_map(inputs) {
            if input["link"] == link[0] {
                input["link"] = after.into();
            }
        }
        let input = json!({"name": "", "type": "*", "link": link[0]});
        let output = json!({"name": "", "type": link[5], "links": [after]});
        self.nodes().push(
            json!({"id": id, "type": "Reroute", "mode": 0, "inputs": [input], "outputs": [output]}),
        );
    }

    /// A widget with a value typed in, and another value in its place: the node's number, the widget's name and
    /// type, the value. Nothing where the node chosen has none.
    fn take_value(&mut self, at: usize) -> Option<(String, String, Json)> {
        let node = self.json["nodes"][at].clone();
        let class = self.contract.0.get(node["type"].as_str()?)?;
        let values = node["widgets_values"].as_array()?;
        let own = node["inputs"].as_array().into_iter().flatten();
        let named = own.clone().filter(|i| i["widget"].is_object());
        let named = named.filter_map(|i| Some((i["name"].as_str()?, i["type"].as_str()?)));
        let places = widget_places(named, values, Some(class));
        let linked = |name: &str| own.clone().any(|i| i["name"] == name && !i["link"].is_null());
        let free: Vec<_> = places
            .iter()
            .filter(|p| p.spec.is_some_and(|s| !s.forced) && !linked(p.name))
            .filter_map(|p| Some((p.name, p.spec?.ty.as_str(), p.value?)))
            .filter(|(_, _, at)| !values[*at].is_null() && !values[*at].is_array())
            .collect();
        let (name, ty, place) = free.get(self.random.below(free.len().max(1)))?;
        let other = match &values[*place] {
            Json::Bool(on) => json!(!on),
            Json::Number(n) => json!(n.as_f64()? + 1.0),
            _ => json!("another"),
        };
        let taken = ((*name).to_owned(), (*ty).to_owned(), values[*place].clone());
        self.json["nodes"][at]["widgets_values"][*place] = other;
        Some(taken)
    }

    /// Makes a widget an input that `link` feeds.
    fn feed(&mut self, at: usize, name: &str, ty: &str, link: u64) {
        let node = &mut self.json["nodes"][at];
        if !node["inputs"].is_array() {
            node["inputs"] = json!([]);
        }
        let inputs = node["inputs"].as_array_mut().unwrap();
        inputs.retain(|input| input["name"] != name);
        inputs.push(json!({"name": name, "type": ty, "link": link, "widget": {"name": name}}));
    }

    /// Feeds a widget from a primitive.
    fn primitive(&mut self) {
        let at = self.random.below(self.json["nodes"].as_array().unwrap().len());
        let Some((name, ty, value)) = self.take_value(at) else { return };
        let (id, link) = (self.fresh(), self.fresh());
        self.feed(at, &name, &ty, link);
        let target = self.json["nodes"][at]["id"].clone();
        self.links().push(json!([link, id, 0, target, 0, ty]));
        self.nodes().push(json!({"id": id, "type": "PrimitiveNode", "mode": 0,
            "outputs": [{"name": ty, "type": ty, "links": [link]}], "widgets_values": [value, "fixed"]}));
    }

    /// Puts some nodes into a subgraph, with some of their values promoted in one way or the other.
    fn subgraph(&mut self) {
        let id = self.fresh();
        let count = self.nodes().len();
        let chosen: Vec<usize> = (0..count).filter(|_| self.random.below(3) == 0).collect();
        let proxies = self.random.below(2) == 0;
        let (mut given, mut values) = (Vec::new(), Vec::new());
        for at in chosen.iter().copied().filter(|_| self.random.below(2) == 0).collect::<Vec<_>>() {
            if let Some((name, ty, value)) = self.take_value(at) {
                let link = self.fresh();
                if !proxies {
                    self.feed(at, &name, &ty, link);
                }
                given.push((link, self.json["nodes"][at]["id"].clone(), name, ty));
                values.push(value);
            }
        }
        let mut inside = Vec::new();
        for at in chosen.into_iter().rev() {
            inside.push(self.nodes().remove(at));
        }
        self.move_ids(id, &inside);
        let mut border =
            Border { id, inputs: vec![], outputs: vec![], inner: vec![], outer: vec![] };
        let is_inside = |node: &Json| inside.iter().any(|n| n["id"] == *node);
        for link in std::mem::take(self.links()) {
            border.cross(&link, is_inside(&link[1]), is_inside(&link[3]));
        }
        for link in &border.outputs {
            let end = self.json["fresh"].as_u64().unwrap() + 1;
            self.json["fresh"] = end.into();
            border.inner.push(object(&json!([end, link[0], link[1], -20, link[2], "*"])));
        }
        let mut own: Vec<Json> = border
            .inputs
            .iter()
            .enumerate()
            .map(|(i, input)| json!({"name": format!("in{i}"), "type": "*", "link": input[2]}))
            .collect();
        let mut listed = Vec::new();
        for (i, (link, node, widget, ty)) in given.into_iter().enumerate() {
            let name = format!("widget{i}");
            if proxies {
                let node = node.as_str().map_or_else(|| node.to_string(), str::to_owned);
                listed.push(json!([node, widget]));
            } else {
                border.inner.push(object(&json!([link, -10, own.len(), node, 0, ty])));
                own.push(json!({"name": name, "type": ty, "link": null, "widget": {"name": name}}));
            }
        }
        let definition = json!({"id": format!("sub-{id}"), "name": "s", "nodes": inside, "links": border.inner,
            "inputs": own, "outputs": []});
        let mut instance = json!({"id": id, "type": format!("sub-{id}"), "mode": 0, "inputs": own,
            "outputs": [], "widgets_values": values});
        if proxies {
            instance["properties"] = json!({"proxyWidgets": listed});
        }
        *self.links() = border.outer;
        self.nodes().push(instance);
        if self.json["definitions"].is_null() {
            self.json["definitions"] = json!({"subgraphs": []});
        }
        self.json["definitions"]["subgraphs"].as_array_mut().unwrap().push(definition);
    }

    fn move_ids(&mut self, into: u64, inside: &[Json]) {
        for now in self.ids.values_mut() {
            let outermost = now.split(':').next().unwrap();
            if inside.iter().any(|n| id(&n["id"]) == outermost) {
                *now = format!("{into}:{now}");
            }
        }
    }

    /// The newer way to write links, with the places of their ends forgotten.
    fn as_objects(&mut self) {
        for link in self.links() {
            *link = object(link);
            link["target_slot"] = 77.into();
        }
        self.json["version"] = 1.into();
    }
}

fn inputs(node: &mut Json) -> impl Iterator<Item = &mut Json> {
    node.get_mut("inputs").and_then(Json::as_array_mut).into_iter().flatten()
}

fn id(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

fn object(link: &Json) -> Json {
    json!({"id": link[0], "origin_id": link[1], "origin_slot": link[2], "target_id": link[3],
        "target_slot": link[4], "type": link[5]})
}

/// The links of a subgraph and across its border.
struct Border {
    id: u64,
    /// What comes in: node, output, link.
    inputs: Vec<[Json; 3]>,
    /// What goes out: node, output, number.
    outputs: Vec<[Json; 3]>,
    inner: Vec<Json>,
    outer: Vec<Json>,
}

impl Border {
    fn cross(&mut self, link: &Json, from_inside: bool, to_inside: bool) {
        let source = [&link[1], &link[2]];
        match (from_inside, to_inside) {
            (true, true) => self.inner.push(object(link)),
            (false, false) => self.outer.push(link.clone()),
            (false, true) => {
                let same = self.inputs.iter().position(|i| [&i[0], &i[1]] == source);
                let at = same.unwrap_or(self.inputs.len());
                if same.is_none() {
                    self.inputs.push([link[1].clone(), link[2].clone(), link[0].clone()]);
                    self.outer.push(json!([link[0], link[1], link[2], self.id, at, link[5]]));
                }
                self.inner.push(object(&json!([link[0], -10, at, link[3], link[4], link[5]])));
            }
            (true, false) => {
                let same = self.outputs.iter().position(|o| [&o[0], &o[1]] == source);
                let at = same.unwrap_or(self.outputs.len());
                if same.is_none() {
                    self.outputs.push([link[1].clone(), link[2].clone(), at.into()]);
                }
                self.outer.push(json!([link[0], self.id, at, link[3], link[4], link[5]]));
            }
        }
    }
}

/// The prompt under other ids, and numbers as floats.
fn renamed(prompt: &Prompt, ids: &HashMap<String, String>) -> Prompt {
    let value = |value: &Json| match (value[0].as_str(), value.as_f64()) {
        (Some(from), _) => json!([ids[from], value[1]]),
        (_, Some(number)) => json!(number),
        _ => value.clone(),
    };
    let node = |(id, node): (&String, &Json)| {
        let inputs: std::collections::BTreeMap<&String, Json> =
            node["inputs"].as_object().unwrap().iter().map(|(k, v)| (k, value(v))).collect();
        (ids[id].clone(), json!({"class_type": node["class_type"], "inputs": inputs}))
    };
    prompt.iter().map(node).collect()
}

/// Every shared workflow without group nodes, and one that the repository has.
fn workflows() -> Vec<(String, Json)> {
    let own = include_str!("../../../../graphs/inpaint.json");
    let contract = Contract::from_types(&[]);
    let own = read(own.as_bytes()).unwrap().to_ui(&contract).unwrap();
    let shared = pairs()
        .into_iter()
        .filter(|(_, workflow, _)| !workflow["nodes"].to_string().contains("\"workflow/"));
    let shared = shared.map(|(name, workflow, _)| (name, workflow));
    std::iter::once(("own".to_owned(), own)).chain(shared).collect()
}

/// Mutes and bypasses some nodes of a workflow.
fn switch_off(workflow: &mut Json, random: &mut Random) {
    for node in workflow["nodes"].as_array_mut().unwrap() {
        if random.below(6) == 0 {
            node["mode"] = random.of(&[2, 4]).into();
        }
    }
}

/// Rewrites each workflow `rounds` times by steps chosen at random, in every second round with nodes switched off,
/// and compares.
fn means_the_same(rounds: usize, step: impl Fn(&mut Rewritten), finish: impl Fn(&mut Rewritten)) {
    for (name, workflow) in workflows() {
        for round in 0..rounds {
            let nodes = workflow["nodes"].as_array().unwrap();
            let ids = nodes.iter().map(|n| (id(&n["id"]), id(&n["id"]))).collect();
            let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (round as u64 + 1));
            let contract = Contract::from_types(&[]);
            let mut json = workflow.clone();
            if round % 2 == 1 {
                switch_off(&mut json, &mut random);
            }
            let mut rewritten = Rewritten { json, ids, contract, random };
            let before = rewritten.prompt();
            for _ in 0..1 + rewritten.random.below(6) {
                step(&mut rewritten);
            }
            finish(&mut rewritten);
            let expected = renamed(&before, &rewritten.ids);
            let now: HashMap<String, String> =
                rewritten.prompt().keys().map(|k| (k.clone(), k.clone())).collect();
            let after = rewritten.prompt();
            let missing: Vec<_> = expected.keys().filter(|k| !now.contains_key(*k)).collect();
            assert!(missing.is_empty(), "{name}, round {round}: without {missing:?}");
            let after = renamed(&after, &now);
            for (id, node) in &expected {
                assert_eq!(
                    &after[id], node,
                    "{name}, round {round}, node {id}\n{}",
                    rewritten.json
                );
            }
            assert_eq!(after.len(), expected.len(), "{name}, round {round}");
        }
    }
}

#[test]
fn reroutes_and_primitives_change_nothing() {
    means_the_same(
        10,
        |w| if w.random.below(2) == 0 { w.reroute() } else { w.primitive() },
        |w| {
            if w.random.below(2) == 0 {
                w.as_objects()
            }
        },
    );
}

#[test]
fn subgraphs_in_subgraphs_with_promoted_values_change_nothing() {
    means_the_same(
        20,
        |w| match w.random.below(4) {
            0 => w.reroute(),
            1 => w.primitive(),
            _ => w.subgraph(),
        },
        |_| {},
    );
}
