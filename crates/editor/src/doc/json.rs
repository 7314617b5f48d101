//! UI-form JSON in and out: nothing that is not understood is lost, nothing unchanged is rewritten.

use super::{Doc, Group, Id, Link, LinkId, Mode, Node, Slot};
use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, HashMap};

/// The JSON that a part was read from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raw(pub Map<String, Json>);

impl Raw {
    pub fn number(&self, key: &str) -> Option<i64> {
        self.0.get(key)?.as_i64()
    }

    /// Sets `key` unless what stands there already reads as `new`.
    fn set<T: PartialEq>(
        out: &mut Map<String, Json>,
        key: &str,
        new: &T,
        read: impl Fn(&Json) -> T,
        write: impl Fn(&T) -> Json,
    ) {
        if read(out.get(key).unwrap_or(&Json::Null)) != *new {
            out.insert(key.to_owned(), write(new));
        }
    }
}

impl Doc {
    /// Reads a graph in UI form. An error names the node or link that cannot be read.
    pub fn from_json(json: &Json) -> Result<Self> {
        let mut raw = json.as_object().context("a graph is a JSON object")?.clone();
        let nodes = raw.remove("nodes").context("the graph has no list `nodes`")?;
        let mut doc = Self::default();
        for node in nodes.as_array().context("`nodes` is no list")? {
            let node = Node::from_json(node)?;
            if doc.node(node.id).is_some() {
                bail!("two nodes have the id {}", node.id);
            }
            doc.push(node);
        }
        for link in list(&raw.remove("links").unwrap_or_default()) {
            if let Some((id, link)) = read_link(link)? {
                doc.links.insert(id, link);
            }
        }
        let groups = raw.remove("groups");
        doc.groups = list(&groups.unwrap_or_default()).iter().map(Group::from_json).collect();
        doc.raw = Raw(raw);
        Ok(doc)
    }

    /// The graph in UI form.
    pub fn to_json(&self) -> Json {
        let mut out = self.raw.0.clone();
        let last_node = self.nodes().map(|n| n.id).max().unwrap_or(0);
        let last_link = self.links.keys().copied().max().unwrap_or(0);
        for (key, last) in [("last_node_id", last_node), ("last_link_id", last_link)] {
            if self.raw.number(key).is_none_or(|old| old < last) {
                out.insert(key.into(), last.into());
            }
        }
        let ends = Ends::of(&self.links);
        out.insert("nodes".into(), self.nodes().map(|n| n.to_json(&ends)).collect());
        out.insert("links".into(), self.links.iter().map(|(id, l)| l.to_json(*id)).collect());
        out.insert("groups".into(), self.groups.iter().map(Group::to_json).collect());
        out.entry("version").or_insert(json!(0.4));
        Json::Object(out)
    }
}

/// Which links touch which sockets.
struct Ends {
    into: HashMap<(Id, usize), LinkId>,
    out_of: HashMap<(Id, usize), Vec<LinkId>>,
}

impl Ends {
    fn of(links: &BTreeMap<LinkId, Link>) -> Self {
        let mut ends = Self { into: HashMap::new(), out_of: HashMap::new() };
        for (id, link) in links {
            ends.into.insert((link.to, link.to_slot), *id);
            ends.out_of.entry((link.from, link.from_slot)).or_default().push(*id);
        }
        ends
    }
}

impl Node {
    fn from_json(json: &Json) -> Result<Self> {
        let mut raw = json.as_object().context("a node is no JSON object")?.clone();
        let id = raw.get("id").and_then(id).context("a node has no whole number as its id")?;
        let class = json["type"].as_str().with_context(|| format!("node {id} has no type"))?;
        let slots = |json: Option<Json>| -> Vec<Slot> {
            list(&json.unwrap_or_default()).iter().map(Slot::from_json).collect()
        };
        Ok(Self {
            id,
            class: class.to_owned(),
            title: text(&json["title"]),
            pos: numbers(&json["pos"]),
            size: numbers(&json["size"]),
            mode: Mode::read(&json["mode"]),
            collapsed: truth(&json["flags"]["collapsed"]),
            pinned: truth(&json["flags"]["pinned"]),
            color: text(&json["color"]),
            bgcolor: text(&json["bgcolor"]),
            inputs: slots(raw.remove("inputs")),
            outputs: slots(raw.remove("outputs")),
            values: raw.remove("widgets_values").unwrap_or_default(),
            raw: Raw(raw),
        })
    }

    fn to_json(&self, ends: &Ends) -> Json {
        let mut out = self.raw.0.clone();
        Raw::set(&mut out, "id", &Some(self.id), id, |id| json!(id));
        Raw::set(&mut out, "type", &Some(self.class.clone()), text, |t| json!(t));
        Raw::set(&mut out, "title", &self.title, text, |t| json!(t));
        Raw::set(&mut out, "pos", &self.pos, numbers, |p| json!(p));
        Raw::set(&mut out, "size", &self.size, numbers, |s| json!(s));
        Raw::set(&mut out, "mode", &self.mode, Mode::read, |m| m.number().into());
        Raw::set(&mut out, "color", &self.color, text, |c| json!(c));
        Raw::set(&mut out, "bgcolor", &self.bgcolor, text, |c| json!(c));
        self.flags_into(&mut out);
        // A list that was not there stays away while it is empty.
        let inputs =
            self.inputs.iter().enumerate().map(|(i, s)| s.input_json(ends.into.get(&(self.id, i))));
        let outputs = self
            .outputs
            .iter()
            .enumerate()
            .map(|(i, s)| s.output_json(ends.out_of.get(&(self.id, i))));
        let lists: [(&str, Vec<Json>); 2] =
            [("inputs", inputs.collect()), ("outputs", outputs.collect())];
        for (key, slots) in lists {
            if !slots.is_empty() {
                out.insert(key.into(), slots.into());
            }
        }
        if !self.values.is_null() {
            out.insert("widgets_values".into(), self.values.clone());
        }
        Json::Object(out)
    }

    fn flags_into(&self, out: &mut Map<String, Json>) {
        let mut flags = out.get("flags").and_then(Json::as_object).cloned().unwrap_or_default();
        for (key, on) in [("collapsed", self.collapsed), ("pinned", self.pinned)] {
            Raw::set(&mut flags, key, &on, truth, |on| json!(on));
        }
        out.insert("flags".into(), flags.into());
    }
}

impl Slot {
    fn from_json(json: &Json) -> Self {
        Self {
            name: text(&json["name"]).unwrap_or_default(),
            // Some files give a number for "anything".
            ty: text(&json["type"]).unwrap_or_else(|| "*".into()),
            widget: text(&json["widget"]["name"]),
            raw: Raw(json.as_object().cloned().unwrap_or_default()),
        }
    }

    fn named(&self) -> Map<String, Json> {
        let mut out = self.raw.0.clone();
        let ty = |json: &Json| text(json).unwrap_or_else(|| "*".into());
        Raw::set(&mut out, "name", &Some(self.name.clone()), text, |n| json!(n));
        Raw::set(&mut out, "type", &self.ty, ty, |t| json!(t));
        let widget = |json: &Json| text(&json["name"]);
        Raw::set(&mut out, "widget", &self.widget, widget, |w| json!({"name": w}));
        out
    }

    fn input_json(&self, link: Option<&LinkId>) -> Json {
        let mut out = self.named();
        Raw::set(&mut out, "link", &link.copied(), id, |l| json!(l));
        out.entry("link").or_insert(Json::Null);
        Json::Object(out)
    }

    fn output_json(&self, links: Option<&Vec<LinkId>>) -> Json {
        let mut out = self.named();
        let sorted = |json: &Json| {
            let mut ids: Vec<LinkId> = list(json).iter().filter_map(id).collect();
            ids.sort_unstable();
            ids
        };
        let links = links.cloned().unwrap_or_default();
        Raw::set(&mut out, "links", &links, sorted, |l| json!(l));
        out.entry("links").or_insert(json!([]));
        Json::Object(out)
    }
}

/// A link as a list of six or as an object; `None` for the gaps that old editors left.
fn read_link(json: &Json) -> Result<Option<(LinkId, Link)>> {
    let fields = match json {
        Json::Null => return Ok(None),
        Json::Array(list) => list.clone(),
        Json::Object(map) => ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"]
            .map(|key| map.get(key).cloned().unwrap_or_default())
            .to_vec(),
        _ => bail!("a link is neither a list nor an object: {json}"),
    };
    let number = |i: usize| fields.get(i).and_then(id);
    let [Some(link), Some(from), Some(from_slot), Some(to), Some(to_slot)] =
        [0, 1, 2, 3, 4].map(number)
    else {
        bail!("a link does not name its ends by numbers: {json}")
    };
    let slot = |n: i64| usize::try_from(n).with_context(|| format!("link {link} has a slot {n}"));
    let raw = Raw([("link".to_owned(), json.clone())].into_iter().collect());
    let ty = fields.get(5).and_then(text).unwrap_or_else(|| "*".into());
    let link_ = Link { from, from_slot: slot(from_slot)?, to, to_slot: slot(to_slot)?, ty, raw };
    Ok(Some((link, link_)))
}

impl Link {
    fn to_json(&self, id: LinkId) -> Json {
        let old = self.raw.0.get("link");
        let same = |old: &Json| {
            read_link(old).ok().flatten().is_some_and(|(old_id, old)| old_id == id && old == *self)
        };
        match old {
            Some(old) if same(old) => old.clone(),
            Some(Json::Object(old)) => {
                let mut out = old.clone();
                out.extend([
                    ("id".to_owned(), json!(id)),
                    ("origin_id".to_owned(), json!(self.from)),
                    ("origin_slot".to_owned(), json!(self.from_slot)),
                    ("target_id".to_owned(), json!(self.to)),
                    ("target_slot".to_owned(), json!(self.to_slot)),
                    ("type".to_owned(), json!(self.ty)),
                ]);
                Json::Object(out)
            }
            _ => json!([id, self.from, self.from_slot, self.to, self.to_slot, self.ty]),
        }
    }
}

impl Group {
    fn from_json(json: &Json) -> Self {
        Self {
            title: text(&json["title"]).unwrap_or_default(),
            bounding: numbers(&json["bounding"]),
            color: text(&json["color"]),
            raw: Raw(json.as_object().cloned().unwrap_or_default()),
        }
    }

    fn to_json(&self) -> Json {
        let mut out = self.raw.0.clone();
        Raw::set(&mut out, "title", &Some(self.title.clone()), text, |t| json!(t));
        Raw::set(&mut out, "bounding", &self.bounding, numbers, |b| json!(b));
        Raw::set(&mut out, "color", &self.color, text, |c| json!(c));
        Json::Object(out)
    }
}

impl Mode {
    fn read(json: &Json) -> Self {
        match json.as_i64().unwrap_or(0) {
            0 => Self::Active,
            2 => Self::Muted,
            4 => Self::Bypassed,
            other => Self::Other(other),
        }
    }
    fn number(self) -> i64 {
        match self {
            Self::Active => 0,
            Self::Muted => 2,
            Self::Bypassed => 4,
            Self::Other(other) => other,
        }
    }
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(json: &Json) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn truth(json: &Json) -> bool {
    json.as_bool().unwrap_or(false)
}

/// A whole number, also if it is written as text.
fn id(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

/// Numbers in a list, or in an object with the keys "0", "1", ...
fn numbers<const N: usize>(json: &Json) -> [f32; N] {
    std::array::from_fn(|i| {
        let number = json.get(i).or_else(|| json.get(i.to_string()));
        number.and_then(Json::as_f64).unwrap_or(0.0) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal but for the way numbers are written.
    fn same(a: &Json, b: &Json) -> bool {
        match (a, b) {
            (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
            (Json::Array(a), Json::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Object(a), Json::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
            }
            _ => a == b,
        }
    }

    fn workflows(folder: &str) -> Vec<std::path::PathBuf> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let Ok(entries) = std::fs::read_dir(&folder) else {
            eprintln!("SKIPPED: {} is not there", folder.display());
            return Vec::new();
        };
        let paths = entries.map(|e| e.unwrap().path());
        paths.filter(|p| p.extension().is_some_and(|e| e == "json")).collect()
    }

    #[test]
    fn every_workflow_is_written_as_it_was_read() {
        let ours = workflows("graphs");
        assert!(ours.len() >= 7);
        for path in ours.into_iter().chain(workflows("../shared/corpus/pairs")) {
            let json: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if json["nodes"].is_array() {
                let written = Doc::from_json(&json).unwrap().to_json();
                assert!(same(&json, &written), "{}", path.display());
            }
        }
    }
}
