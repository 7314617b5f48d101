//! Parts of a graph on their own: copied, pasted, made twice.
//!
//! A copied part is a workflow in UI form, so that whatever opens workflows takes it, and every workflow can
//! be pasted.

use super::{Definition, Doc, File, Id, Link, Node};
use anyhow::{Result, bail, ensure};
use graph::Contract;
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Some nodes and groups of a graph; groups by their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    pub nodes: BTreeSet<Id>,
    pub groups: BTreeSet<usize>,
}

/// Nodes and groups on their own, ready to be put into a graph.
#[derive(Debug)]
pub struct Fragment {
    doc: Doc,
    incoming: Vec<Incoming>,
    /// The subgraphs of which nodes are instances.
    definitions: Vec<Definition>,
}

/// A link from what was not copied to what was.
#[derive(Debug)]
struct Incoming {
    link: Link,
    /// The class of the node that it comes from: in another file the same number is another node.
    class: String,
}

/// Where a fragment keeps the links into it, within `extra`.
const INCOMING: &str = "incoming_links";

impl Part {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.groups.is_empty()
    }
}

impl Fragment {
    /// Reads a fragment, or a whole workflow in either form. An error says why the text is none.
    pub fn read(text: &str, contract: &Contract) -> Result<Self> {
        let json = graph::read(text.as_bytes())?.to_ui(contract)?;
        let File { root, definitions, .. } = File::from_json(&json)?;
        let incoming = json["extra"][INCOMING].as_array().into_iter().flatten();
        let incoming = incoming.filter_map(Incoming::from_json).collect();
        let doc = Arc::unwrap_or_clone(root);
        ensure!(doc.nodes().len() + doc.groups.len() > 0, "the graph is empty");
        Ok(Self { doc, incoming, definitions })
    }

    /// The fragment as a workflow.
    pub fn to_json(&self) -> Json {
        let mut json = self.doc.to_json();
        if !self.definitions.is_empty() {
            let definitions: Vec<Json> = self.definitions.iter().map(Definition::to_json).collect();
            json["definitions"] = json!({ "subgraphs": definitions });
        }
        if !self.incoming.is_empty() {
            json["extra"][INCOMING] = self.incoming.iter().map(Incoming::to_json).collect();
        }
        json
    }

    /// Its left upper corner.
    pub fn corner(&self) -> [f32; 2] {
        let nodes = self.doc.nodes().map(|node| [node.bounds()[0], node.bounds()[1]]);
        let groups = self.doc.groups.iter().map(|group| [group.bounding[0], group.bounding[1]]);
        nodes.chain(groups).reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1])]).unwrap_or_default()
    }
}

impl Incoming {
    fn to_json(&self) -> Json {
        let mut json = self.link.to_json(0, true);
        json["origin_class"] = self.class.clone().into();
        json
    }

    fn from_json(json: &Json) -> Option<Self> {
        let (_, link) = super::json::read_link(json)?;
        Some(Self { link, class: json["origin_class"].as_str()?.to_owned() })
    }
}

impl Doc {
    /// A copy of the part, with the links within it and those into it. The border of a subgraph is never
    /// part of it.
    fn copy(&self, part: &Part) -> Fragment {
        let mut doc = Self::default();
        let chosen = |node: &&Node| part.nodes.contains(&node.id) && !node.is_border();
        self.nodes().filter(chosen).for_each(|node| doc.push(node.clone()));
        doc.groups = part.groups.iter().filter_map(|i| self.groups.get(*i)).cloned().collect();
        let mut incoming = Vec::new();
        for (id, link) in self.links.iter().filter(|(_, link)| doc.index.contains_key(&link.to)) {
            let link = Link { raw: None, ..Link::clone(link) };
            if doc.index.contains_key(&link.from) {
                doc.last.link = *id;
                doc.links.insert(*id, Arc::new(link));
            } else if let Some(source) = self.node(link.from) {
                incoming.push(Incoming { class: source.class.clone(), link });
            }
        }
        Fragment { doc, incoming, definitions: Vec::new() }
    }

    /// Adds all that the fragment has, under new numbers and `by` from where it was; with `incoming` also
    /// the links that led into it, as far as they can be. Tells what is new.
    fn put(&mut self, fragment: &Fragment, by: [f32; 2], incoming: bool) -> Part {
        let inner = fragment.doc.nodes().filter(|node| !node.is_border());
        let ids: BTreeMap<Id, Id> = inner.map(|n| n.id).zip(self.next_node_id()..).collect();
        let copies =
            fragment.doc.nodes().filter_map(|node| Some(node.copy(*ids.get(&node.id)?, by)));
        copies.for_each(|node| self.push(node));
        for link in fragment.doc.links.values() {
            if let (Some(&from), Some(&to)) = (ids.get(&link.from), ids.get(&link.to)) {
                self.insert(Link { from, to, raw: None, ..Link::clone(link) });
            }
        }
        for Incoming { link, class } in fragment.incoming.iter().filter(|_| incoming) {
            let source = self.node(link.from).filter(|node| node.class == *class);
            let there = source.is_some_and(|node| link.from_slot < node.outputs.len());
            if let Some(to) = ids.get(&link.to).filter(|_| there) {
                self.connect((link.from, link.from_slot), (*to, link.to_slot));
            }
        }
        ids.values().for_each(|id| self.retype(*id));
        let groups = self.groups.len();
        fragment.doc.groups.iter().for_each(|group| self.push_group(group, by));
        Part { nodes: ids.into_values().collect(), groups: (groups..self.groups.len()).collect() }
    }

    fn insert(&mut self, link: Link) {
        self.last.link = self.next_link_id();
        self.links.insert(self.last.link, Arc::new(link));
    }

    /// Copies the part within the graph, `by` from where it is. Tells what is new.
    pub fn duplicate(&mut self, part: &Part, by: [f32; 2], incoming: bool) -> Part {
        self.put(&self.copy(part), by, incoming)
    }
}

impl Node {
    /// The same under another number, `by` away, linked to nothing. A pin held it to its old place.
    fn copy(&self, id: Id, [dx, dy]: [f32; 2]) -> Self {
        let mut node = Self { id, pos: [self.pos[0] + dx, self.pos[1] + dy], ..self.clone() };
        node.pinned = false;
        let slots = node.inputs.iter_mut().chain(&mut node.outputs);
        slots.for_each(super::Slot::forget_links);
        node
    }
}

impl File {
    /// A copy of a part of the open level, with the subgraphs that it needs.
    pub fn copy(&self, part: &Part) -> Fragment {
        let mut fragment = self.doc().copy(part);
        fragment.definitions =
            used(&self.definitions, &fragment.doc).into_iter().cloned().collect();
        fragment
    }

    /// Puts a fragment into the open level, as [`Doc::duplicate`] does, and its subgraphs into the file: one
    /// that differs from what the file has under its id gets another. Tells what is new on the level.
    pub fn paste(&mut self, fragment: &Fragment, by: [f32; 2], incoming: bool) -> Result<Part> {
        let mut file = self.clone();
        let names = file.add_definitions(fragment)?;
        let part = file.doc_mut().put(fragment, by, incoming);
        file.doc_mut().each(&part.nodes, |node| {
            if let Some(name) = names.get(&node.class) {
                node.class.clone_from(name);
            }
        });
        if let Some(open) = file.open()
            && used(&file.definitions, &open.doc).iter().any(|inner| inner.id == open.id)
        {
            bail!("the subgraph {:?} would hold itself", open.name);
        }
        *self = file;
        Ok(part)
    }

    /// Adds the subgraphs that the fragment's nodes need and the file lacks. Tells those whose ids had to
    /// be others.
    fn add_definitions(&mut self, fragment: &Fragment) -> Result<BTreeMap<String, String>> {
        let needed = used(&fragment.definitions, &fragment.doc);
        let differs = |new: &Definition| {
            self.definition(&new.id).is_some_and(|old| old.to_json() != new.to_json())
        };
        let clash = |new: &&&Definition| {
            differs(new) || used(&fragment.definitions, &new.doc).into_iter().any(differs)
        };
        let other = |new: &&Definition| (new.id.to_string(), uuid::Uuid::new_v4().to_string());
        let names: BTreeMap<String, String> = needed.iter().filter(clash).map(other).collect();
        for new in needed {
            let renamed = names.contains_key(&*new.id);
            if renamed || self.definition(&new.id).is_none() {
                self.definitions.push(new.renamed(&names)?);
            }
        }
        Ok(names)
    }
}

/// The definitions of all instances among the nodes, and of those within these.
fn used<'a>(all: &'a [Definition], doc: &'a Doc) -> Vec<&'a Definition> {
    let mut found: Vec<&Definition> = Vec::new();
    let mut open = vec![doc];
    while let Some(doc) = open.pop() {
        let classes: BTreeSet<&str> = doc.nodes().map(|node| node.class.as_str()).collect();
        for new in all.iter().filter(|d| classes.contains(&*d.id)) {
            if found.iter().all(|old| old.id != new.id) {
                found.push(new);
                open.push(&new.doc);
            }
        }
    }
    found
}

impl Definition {
    /// The same with other ids for itself and for the subgraphs that it holds.
    fn renamed(&self, names: &BTreeMap<String, String>) -> Result<Self> {
        let mut json = self.to_json();
        let rename = |id: &mut Json| {
            if let Some(name) = id.as_str().and_then(|id| names.get(id)) {
                *id = name.clone().into();
            }
        };
        rename(&mut json["id"]);
        let nodes = json["nodes"].as_array_mut().into_iter().flatten();
        nodes.for_each(|node| rename(&mut node["type"]));
        Self::from_json(&json)
    }
}
