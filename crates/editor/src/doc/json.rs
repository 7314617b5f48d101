//! UI-form JSON in and out: nothing that is not understood is lost, nothing unchanged is rewritten.

use super::{Doc, Group, Id, Last, Link, LinkId, Mode, Node, Slot, reroutes::Listed};
use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value as Json, json};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// The JSON that a part was read from. Parts that are typed leave null in their place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raw(pub Map<String, Json>);

/// What a graph was read from, but for its nodes and groups.
#[derive(Debug, Default, PartialEq)]
pub struct Origin {
    pub raw: Raw,
    links: Vec<Entry>,
    pub(super) reroutes: Listed,
    last: Last,
}

/// A place in a list of links, or of reroutes.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    Known(i64),
    /// A gap, or what leads nowhere.
    Other(Json),
}

impl Raw {
    /// Takes the list at `key` out, if it has anything in it.
    pub(super) fn take_list(&mut self, key: &str) -> Vec<Json> {
        taken(&mut self.0, key)
    }

    /// Puts a list back in its place; one that was not there stays away while it is empty.
    pub(super) fn put_list(out: &mut Map<String, Json>, key: &str, list: Vec<Json>) {
        if !list.is_empty() || out.get(key).is_some_and(Json::is_null) {
            out.insert(key.to_owned(), list.into());
        }
    }

    /// Sets `key` unless what stands there already reads as `new`.
    pub(super) fn set<T: PartialEq>(
        out: &mut Map<String, Json>,
        key: &str,
        new: &T,
        read: impl Fn(&Json) -> T,
        write: impl Fn(&T) -> Json,
    ) {
        if read(out.get(key).unwrap_or(&Json::Null)) == *new {
            return;
        }
        match write(new) {
            Json::Null => drop(out.shift_remove(key)),
            json => drop(out.insert(key.to_owned(), json)),
        }
    }
}

/// The list at `key`, taken out if it has anything in it.
pub(super) fn taken(map: &mut Map<String, Json>, key: &str) -> Vec<Json> {
    match map.get_mut(key) {
        Some(Json::Array(list)) if !list.is_empty() => {
            let list = std::mem::take(list);
            map[key] = Json::Null;
            list
        }
        _ => Vec::new(),
    }
}

/// What a new file says beside its nodes, links and groups.
fn blank() -> Json {
    json!({"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "groups": [], "config": {},
        "extra": {}, "version": 0.4})
}

impl Default for Doc {
    fn default() -> Self {
        Self::from_json(&blank()).expect("an empty graph")
    }
}

impl Doc {
    /// Reads a graph in UI form. An error names the node that cannot be read.
    pub fn from_json(json: &Json) -> Result<Self> {
        let mut raw = Raw(json.as_object().context("a graph is a JSON object")?.clone());
        if !raw.0.get("nodes").is_some_and(Json::is_array) {
            bail!("the graph has no list `nodes`");
        }
        let mut doc = Self {
            nodes: Vec::new(),
            index: HashMap::new(),
            links: BTreeMap::new(),
            reroutes: BTreeMap::new(),
            groups: raw.take_list("groups").iter().map(Group::from_json).collect(),
            last: Last::default(),
            origin: Arc::default(),
        };
        for node in raw.take_list("nodes") {
            let node = Node::from_json(&node)?;
            if doc.node(node.id).is_some() {
                bail!("two nodes have the id {}", node.id);
            }
            doc.push(node);
        }
        doc.border_from(&mut raw);
        let links = doc.links_from_json(raw.take_list("links"));
        doc.last.node = doc.last.node.max(stated(&raw.0, LAST_NODE));
        doc.last.link = doc.last.link.max(stated(&raw.0, LAST_LINK));
        let objects = are_objects(&raw.0);
        let reroutes = doc.reroutes_from(&mut raw, objects);
        doc.last.reroute = doc.last.reroute.max(stated(&raw.0, LAST_REROUTE));
        doc.origin = Arc::new(Origin { raw, links, reroutes, last: doc.last });
        Ok(doc)
    }

    /// The graph in UI form.
    pub fn to_json(&self) -> Json {
        let mut out = self.origin.raw.0.clone();
        let Last { node, link, reroute } = self.origin.last;
        for (keys, last, old) in [
            (LAST_NODE, self.last.node, node),
            (LAST_LINK, self.last.link, link),
            (LAST_REROUTE, self.last.reroute, reroute),
        ] {
            if last != old {
                state_of(&mut out, keys, last);
            }
        }
        let ends = Ends::of(&self.links);
        let inner = self.nodes().filter(|n| !n.is_border());
        Raw::put_list(&mut out, "nodes", inner.map(|n| n.to_json(&ends)).collect());
        Raw::put_list(&mut out, "links", self.links_to_json());
        Raw::put_list(&mut out, "groups", self.groups.iter().map(Group::to_json).collect());
        self.reroutes_into(&mut out);
        self.border_into(&mut out, &ends);
        Json::Object(out)
    }

    /// Takes in the links whose ends are there; the others keep their place. Slot numbers of old files may
    /// be stale: what an input says of its link is right.
    fn links_from_json(&mut self, list: Vec<Json>) -> Vec<Entry> {
        let entries = list.into_iter().map(|json| {
            let read = read_link(&json).and_then(|(id, link)| Some((id, self.settled(id, link)?)));
            let Some((id, mut link)) = read else { return Entry::Other(json) };
            link.raw = Some(json);
            self.links.insert(id, Arc::new(link));
            Entry::Known(id)
        });
        let entries = entries.collect();
        let ends = Ends::of(&self.links);
        let mut highest = self.links.keys().copied().max().unwrap_or(0);
        for node in self.nodes.iter_mut().map(Arc::make_mut) {
            let id = node.id;
            for (i, slot) in node.inputs.iter_mut().enumerate() {
                slot.read = ends.feeding(id, i).to_vec();
                highest = highest.max(slot.claims().max().unwrap_or(0));
            }
            for (i, slot) in node.outputs.iter_mut().enumerate() {
                slot.read = ends.out_of(id, i).to_vec();
                highest = highest.max(slot.claims().max().unwrap_or(0));
            }
        }
        self.last.link = highest;
        entries
    }

    /// The link with its ends put right; `None` if it leads nowhere or is there already.
    fn settled(&self, id: LinkId, mut link: Link) -> Option<Link> {
        self.node(link.from)?.outputs.get(link.from_slot)?;
        let target = self.node(link.to)?;
        if !target.is_border() {
            link.to_slot = target.inputs.iter().position(|slot| slot.claims().any(|l| l == id))?;
        }
        target.inputs.get(link.to_slot)?;
        (!self.links.contains_key(&id)).then_some(link)
    }

    /// In the order that they were read in, then the new ones.
    fn links_to_json(&self) -> Vec<Json> {
        let old: HashSet<LinkId> = self.origin.links.iter().filter_map(Entry::id).collect();
        let objects = are_objects(&self.origin.raw.0);
        let old_ones = self.origin.links.iter().filter_map(|entry| match entry {
            Entry::Other(json) => Some(json.clone()),
            Entry::Known(id) => self.links.get(id).map(|link| link.to_json(*id, objects)),
        });
        let new = self.links.iter().filter(|(id, _)| !old.contains(id));
        old_ones.chain(new.map(|(id, link)| link.to_json(*id, objects))).collect()
    }
}

impl Origin {
    /// Whether the file had the link.
    pub(super) fn has_link(&self, id: LinkId) -> bool {
        self.links.contains(&Entry::Known(id))
    }
}

/// Links are lists in files of version 0.4, objects in newer ones and in subgraphs.
fn are_objects(raw: &Map<String, Json>) -> bool {
    raw.contains_key("state") || raw.contains_key("inputNode")
}

impl Entry {
    pub(super) fn id(&self) -> Option<i64> {
        match self {
            Self::Known(id) => Some(*id),
            Self::Other(_) => None,
        }
    }
}

/// Where a file keeps the highest id: at its top, or in its `state`.
const LAST_NODE: [&str; 2] = ["last_node_id", "lastNodeId"];
const LAST_LINK: [&str; 2] = ["last_link_id", "lastLinkId"];
/// Old files do not keep this one.
const LAST_REROUTE: [&str; 2] = ["", "lastRerouteId"];

fn stated(raw: &Map<String, Json>, [top, inner]: [&str; 2]) -> i64 {
    let state = raw.get("state").unwrap_or(&Json::Null);
    let all = [raw.get(top).unwrap_or(&Json::Null), &state[inner]];
    all.into_iter().filter_map(id).max().unwrap_or(0)
}

fn state_of(out: &mut Map<String, Json>, [top, inner]: [&str; 2], last: i64) {
    match out.get_mut("state") {
        Some(Json::Object(state)) => drop(state.insert(inner.to_owned(), last.into())),
        _ if top.is_empty() => {}
        _ => drop(out.insert(top.to_owned(), last.into())),
    }
}

/// Which links touch which sockets.
pub(super) struct Ends {
    into: HashMap<(Id, usize), [LinkId; 1]>,
    out_of: HashMap<(Id, usize), Vec<LinkId>>,
}

impl Ends {
    pub(super) fn of(links: &BTreeMap<LinkId, Arc<Link>>) -> Self {
        let mut ends = Self { into: HashMap::new(), out_of: HashMap::new() };
        for (id, link) in links {
            ends.into.insert((link.to, link.to_slot), [*id]);
            ends.out_of.entry((link.from, link.from_slot)).or_default().push(*id);
        }
        ends
    }

    pub(super) fn feeding(&self, node: Id, slot: usize) -> &[LinkId] {
        self.into.get(&(node, slot)).map_or(&[], |link| link)
    }

    pub(super) fn out_of(&self, node: Id, slot: usize) -> &[LinkId] {
        self.out_of.get(&(node, slot)).map_or(&[], Vec::as_slice)
    }
}

impl Node {
    pub(super) fn from_json(json: &Json) -> Result<Self> {
        let mut raw = Raw(json.as_object().context("a node is no JSON object")?.clone());
        let id = json.get("id").and_then(id).context("a node has no whole number as its id")?;
        let class = json["type"].as_str().with_context(|| format!("node {id} has no type"))?;
        let slots = |list: Vec<Json>| list.iter().map(Slot::from_json).collect();
        Ok(Self {
            id,
            class: class.to_owned(),
            title: text(&json["title"]),
            pos: numbers(&json["pos"]),
            size: size(&json["size"]),
            mode: Mode::read(&json["mode"]),
            collapsed: truth(&json["flags"]["collapsed"]),
            pinned: truth(&json["flags"]["pinned"]),
            color: text(&json["color"]),
            bgcolor: text(&json["bgcolor"]),
            inputs: slots(raw.take_list("inputs")),
            outputs: slots(raw.take_list("outputs")),
            values: raw.0.get_mut("widgets_values").map(Json::take).unwrap_or_default(),
            raw,
        })
    }

    /// A new node without sockets and values.
    pub(super) fn bare(id: Id, class: &str, pos: [f32; 2], size: [f32; 2]) -> Self {
        let json = json!({"id": id, "type": class, "pos": pos, "size": size, "flags": {}, "order": 0,
            "mode": 0, "inputs": [], "outputs": [], "properties": {"Node name for S&R": class},
            "widgets_values": []});
        Self::from_json(&json).expect("a node has an id and a type")
    }

    fn to_json(&self, ends: &Ends) -> Json {
        let mut out = self.raw.0.clone();
        Raw::set(&mut out, "id", &Some(self.id), id, |id| json!(id));
        Raw::set(&mut out, "type", &Some(self.class.clone()), text, |t| json!(t));
        Raw::set(&mut out, "title", &self.title, text, |t| json!(t));
        Raw::set(&mut out, "pos", &self.pos, numbers, |p| coordinates(p));
        Raw::set(&mut out, "size", &self.size, size, |s| coordinates(s));
        Raw::set(&mut out, "mode", &self.mode, Mode::read, |m| m.number().into());
        Raw::set(&mut out, "color", &self.color, text, |c| json!(c));
        Raw::set(&mut out, "bgcolor", &self.bgcolor, text, |c| json!(c));
        self.flags_into(&mut out);
        let inputs = self.inputs.iter().enumerate();
        let inputs = inputs.map(|(i, s)| s.to_json("link", ends.feeding(self.id, i)));
        let outputs = self.outputs.iter().enumerate();
        let outputs = outputs.map(|(i, s)| s.to_json("links", ends.out_of(self.id, i)));
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
        let old = out.get("flags").and_then(Json::as_object);
        let mut flags = old.cloned().unwrap_or_default();
        for (key, on) in [("collapsed", self.collapsed), ("pinned", self.pinned)] {
            Raw::set(&mut flags, key, &on, truth, |on| json!(on));
        }
        if old.map_or(!flags.is_empty(), |old| *old != flags) {
            out.insert("flags".into(), flags.into());
        }
    }
}

impl Slot {
    pub(super) fn from_json(json: &Json) -> Self {
        Self {
            name: text(&json["name"]).unwrap_or_default(),
            ty: socket_type(&json["type"]),
            widget: text(&json["widget"]["name"]),
            raw: Raw(json.as_object().cloned().unwrap_or_default()),
            read: Vec::new(),
        }
    }

    pub fn input(name: &str, ty: &str) -> Self {
        Self::from_json(&json!({"name": name, "type": ty, "link": null}))
    }

    /// An input that a widget stands for.
    pub fn widget(name: &str, ty: &str) -> Self {
        Self::from_json(&json!({"name": name, "type": ty, "widget": {"name": name}, "link": null}))
    }

    pub fn output(name: &str, ty: &str) -> Self {
        Self::from_json(&json!({"name": name, "type": ty, "links": []}))
    }

    /// A socket on the border of a subgraph.
    pub(super) fn border(name: &str, ty: &str) -> Self {
        Self::from_json(
            &json!({"id": uuid::Uuid::new_v4().to_string(), "name": name, "type": ty, "linkIds": []}),
        )
    }

    /// Says of no link that it has it.
    pub(super) fn forget_links(&mut self) {
        self.read.clear();
        for (key, none) in [("link", Json::Null), ("links", json!([])), ("linkIds", json!([]))] {
            if let Some(links) = self.raw.0.get_mut(key) {
                *links = none;
            }
        }
    }

    /// The links that it says it has.
    fn claims(&self) -> impl Iterator<Item = LinkId> {
        let raw = |key: &str| self.raw.0.get(key);
        let many = ["links", "linkIds"].into_iter().filter_map(raw).flat_map(list);
        raw("link").into_iter().chain(many).filter_map(id)
    }

    pub(super) fn to_json(&self, key: &str, links: &[LinkId]) -> Json {
        let mut out = self.raw.0.clone();
        Raw::set(&mut out, "name", &Some(self.name.clone()), text, |n| json!(n));
        Raw::set(&mut out, "type", &self.ty, socket_type, |t| json!(t));
        let widget = |json: &Json| text(&json["name"]);
        Raw::set(&mut out, "widget", &self.widget, widget, |w| json!({"name": w}));
        if links != self.read {
            let one = links.first().map_or(Json::Null, |link| json!(link));
            out.insert(key.to_owned(), if key == "link" { one } else { json!(links) });
        }
        Json::Object(out)
    }
}

/// A link as a list of six or as an object; `None` if it does not name its ends.
pub(super) fn read_link(json: &Json) -> Option<(LinkId, Link)> {
    const KEYS: [&str; 6] = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"];
    let field = |i: usize| if json.is_array() { &json[i] } else { &json[KEYS[i]] };
    let number = |i: usize| id(field(i));
    let slot = |i: usize| usize::try_from(number(i)?).ok();
    let ty = socket_type(field(5));
    let link = Link {
        from: number(1)?,
        from_slot: slot(2)?,
        to: number(3)?,
        to_slot: slot(4)?,
        ty,
        parent: id(&json["parentId"]),
        raw: None,
    };
    Some((number(0)?, link))
}

impl Link {
    pub(super) fn to_json(&self, id: LinkId, object: bool) -> Json {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let Self { from, from_slot, to, to_slot, ty, parent, .. } = self;
        if object {
            let mut json = json!({"id": id, "origin_id": from, "origin_slot": from_slot,
                "target_id": to, "target_slot": to_slot, "type": ty});
            if let Some(parent) = parent {
                json["parentId"] = json!(parent);
            }
            json
        } else {
            json!([id, from, from_slot, to, to_slot, ty])
        }
    }
}

impl Group {
    pub(super) fn from_json(json: &Json) -> Self {
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
        Raw::set(&mut out, "bounding", &self.bounding, numbers, |b| coordinates(b));
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

pub(super) fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(json: &Json) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn truth(json: &Json) -> bool {
    json.as_bool().unwrap_or(false)
}

/// A whole number, also if it is written as text.
pub(super) fn id(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

/// Numbers in a list, or in an object with the keys "0", "1", ... Those that no canvas can show are
/// brought near.
pub(super) fn numbers<const N: usize>(json: &Json) -> [f32; N] {
    std::array::from_fn(|i| {
        let number = json.get(i).or_else(|| json.get(i.to_string()));
        (number.and_then(Json::as_f64).unwrap_or(0.0) as f32).clamp(-1e7, 1e7)
    })
}

/// A node's size; one that the file does not tell is small.
fn size(json: &Json) -> [f32; 2] {
    let size: [f32; 2] = numbers(json);
    if size == [0.0; 2] { [210.0, 46.0] } else { size }
}

/// Numbers as short as they can be.
pub(super) fn coordinates(numbers: &[f32]) -> Json {
    let short = |n: &f32| n.to_string().parse::<f64>().unwrap_or_default();
    let whole = |n: f64| if n.fract() == 0.0 { json!(n as i64) } else { json!(n) };
    numbers.iter().map(|n| whole(short(n))).collect()
}

/// The type of a socket. Old files give a number for "anything", and the list of names for a drop-down
/// list.
fn socket_type(json: &Json) -> String {
    match json {
        Json::String(ty) => ty.clone(),
        Json::Array(_) => "COMBO".into(),
        _ => "*".into(),
    }
}
