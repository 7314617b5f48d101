//! A file: its graph, the subgraphs in it, and which of them is open.

use super::{Doc, Id, Node};
use anyhow::Result;
use graph::Contract;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// All levels of a file. Cloning it is cheap: levels are shared.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub(super) root: Arc<Doc>,
    pub(super) definitions: Vec<Definition>,
    unread: Arc<[Unread]>,
    path: Vec<Entered>,
}

/// One of a file's graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Root,
    /// The graph of the subgraph at this place.
    Subgraph(usize),
}

/// A subgraph that cannot be read: kept as it is. Its instances are nodes that nobody knows.
#[derive(Debug)]
struct Unread {
    place: usize,
    json: Json,
    why: String,
}

/// A subgraph as the file defines it; each node of the class `id` is an instance.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub doc: Arc<Doc>,
}

/// A step down: through which node, into which subgraph.
#[derive(Clone, Debug, PartialEq)]
struct Entered {
    instance: Id,
    definition: Arc<str>,
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.has_graphs_of(other)
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        let same_doc = Arc::ptr_eq(&self.doc, &other.doc) || self.doc == other.doc;
        self.id == other.id && self.name == other.name && same_doc
    }
}

impl File {
    /// A file of one graph.
    pub fn new(root: Doc) -> Self {
        Self { root: Arc::new(root), ..Self::default() }
    }

    /// Reads a workflow in UI form. An error names the node that cannot be read; of a subgraph that cannot be
    /// read [`File::unread`] tells.
    pub fn from_json(json: &Json) -> Result<Self> {
        let mut file = Self::new(Doc::from_json(json)?);
        let mut unread = Vec::new();
        let subgraphs = json["definitions"]["subgraphs"].as_array().into_iter().flatten();
        for (place, json) in subgraphs.enumerate() {
            let read = Definition::from_json(json).and_then(|new| match file.place(&new.id) {
                Some(_) => anyhow::bail!("two subgraphs have the id {}", new.id),
                None => Ok(new),
            });
            match read {
                Ok(definition) => file.definitions.push(definition),
                Err(error) => {
                    unread.push(Unread { place, json: json.clone(), why: format!("{error:#}") });
                }
            }
        }
        file.unread = unread.into();
        Ok(file)
    }

    /// Why subgraphs of the file cannot be read: an id, if there is one, and the reason.
    pub fn unread(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.unread.iter().map(|unread| (unread.json["id"].as_str(), unread.why.as_str()))
    }

    /// Why nodes of that class are no instances, if there is a subgraph for them that cannot be read.
    pub fn why_unread(&self, class: &str) -> Option<&str> {
        self.unread().find(|(id, _)| *id == Some(class)).map(|(_, why)| why)
    }

    /// The workflow in UI form.
    pub fn to_json(&self) -> Json {
        let mut json = self.root.to_json();
        let mut subgraphs: Vec<Json> = self.definitions.iter().map(Definition::to_json).collect();
        for Unread { place, json, .. } in self.unread.iter() {
            subgraphs.insert(subgraphs.len().min(*place), json.clone());
        }
        if !subgraphs.is_empty() || json["definitions"]["subgraphs"].is_array() {
            json["definitions"]["subgraphs"] = subgraphs.into();
        }
        json
    }

    /// The workflow as engines run it.
    pub fn to_api(&self, contract: &Contract) -> Result<Map<String, Json>> {
        let mut prompt = graph::read(self.to_json().to_string().as_bytes())?.to_api(contract)?;
        graph::fill_defaults(&mut prompt, contract);
        Ok(prompt)
    }

    /// The level that is open.
    pub fn doc(&self) -> &Doc {
        self.doc_at(self.level())
    }

    /// The level that is open; snapshots keep the old one.
    pub fn doc_mut(&mut self) -> &mut Doc {
        self.doc_at_mut(self.level())
    }

    pub(super) fn level(&self) -> Level {
        self.level_of(&self.path)
    }

    fn level_of(&self, path: &[Entered]) -> Level {
        let place = path.last().and_then(|entered| self.place(&entered.definition));
        place.map_or(Level::Root, Level::Subgraph)
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = Level> + use<> {
        [Level::Root].into_iter().chain((0..self.definitions.len()).map(Level::Subgraph))
    }

    pub(super) fn doc_at(&self, level: Level) -> &Doc {
        match level {
            Level::Root => &self.root,
            Level::Subgraph(place) => &self.definitions[place].doc,
        }
    }

    pub(super) fn doc_at_mut(&mut self, level: Level) -> &mut Doc {
        Arc::make_mut(match level {
            Level::Root => &mut self.root,
            Level::Subgraph(place) => &mut self.definitions[place].doc,
        })
    }

    pub(super) fn open(&self) -> Option<&Definition> {
        self.definition(&self.path.last()?.definition)
    }

    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.definitions.iter().position(|definition| *definition.id == *id)
    }

    pub(super) fn definition(&self, id: &str) -> Option<&Definition> {
        Some(&self.definitions[self.place(id)?])
    }

    /// The nodes that are instances of the subgraph at that place, on all levels.
    pub(super) fn instances_of(&self, place: usize) -> Vec<(Level, Id)> {
        let class = &self.definitions[place].id;
        let on = |level| self.doc_at(level).nodes().map(move |node| (level, node));
        let nodes = self.levels().flat_map(on);
        nodes.filter(|(_, n)| *n.class == **class).map(|(level, n)| (level, n.id)).collect()
    }

    /// The instance through which the open subgraph was entered, and its level.
    pub(super) fn entered(&self) -> Option<(Level, Id)> {
        let (last, above) = self.path.split_last()?;
        Some((self.level_of(above), last.instance))
    }

    /// The name of the subgraph that a node of the open level is an instance of, if it is one.
    pub fn subgraph_name(&self, id: Id) -> Option<&str> {
        self.subgraph_of(self.doc().node(id)?)
    }

    /// The same for who has the node at hand.
    pub fn subgraph_of(&self, node: &Node) -> Option<&str> {
        Some(&self.definition(&node.class)?.name)
    }

    /// From the outermost level to the open one, without the former: node and name of each.
    pub fn path(&self) -> impl Iterator<Item = (Id, &str)> {
        let name = |id: &Arc<str>| self.definition(id).map_or("", |definition| &definition.name);
        self.path.iter().map(move |entered| (entered.instance, name(&entered.definition)))
    }

    /// Before the ids of the open level's nodes in the engine's reports: `12:` inside node 12.
    pub fn prefix(&self) -> String {
        self.path.iter().map(|entered| format!("{}:", entered.instance)).collect()
    }

    /// Opens the subgraph that the node is an instance of; whether it is one.
    pub fn enter(&mut self, id: Id) -> bool {
        let class = self.doc().node(id).map(|node| &node.class);
        let Some(definition) = class.and_then(|class| self.definition(class)) else { return false };
        let entered = Entered { instance: id, definition: definition.id.clone() };
        self.path.push(entered);
        true
    }

    /// Opens the level above; whether there is one.
    pub fn leave(&mut self) -> bool {
        self.path.pop().is_some()
    }

    /// Whether the graphs are the same, whichever is open.
    pub(super) fn has_graphs_of(&self, other: &Self) -> bool {
        let same_root = Arc::ptr_eq(&self.root, &other.root) || self.root == other.root;
        same_root && self.definitions == other.definitions
    }

    /// Opens what is open in the other, as far as this has it too.
    pub(super) fn open_as(&mut self, other: &Self) {
        let there = |entered: &&Entered| self.place(&entered.definition).is_some();
        self.path = other.path.iter().take_while(there).cloned().collect();
    }

    /// All levels, each subgraph once however often it is used.
    pub fn docs(&self) -> impl Iterator<Item = &Doc> {
        [&*self.root].into_iter().chain(self.definitions.iter().map(|d| &*d.doc))
    }

    /// The graph of the subgraph that nodes of this class are instances of.
    pub fn subgraph(&self, class: &str) -> Option<&Doc> {
        Some(&self.definition(class)?.doc)
    }

    /// All levels; the open one may be among them twice if subgraphs are.
    pub(crate) fn docs_mut(&mut self) -> impl Iterator<Item = &mut Arc<Doc>> {
        [&mut self.root].into_iter().chain(self.definitions.iter_mut().map(|d| &mut d.doc))
    }
}

impl Definition {
    pub(super) fn from_json(json: &Json) -> Result<Self> {
        use anyhow::Context as _;
        let text = |key: &str| json[key].as_str().map(Arc::from);
        let id: Arc<str> = text("id").context("a subgraph has no id")?;
        let name = text("name").unwrap_or_else(|| id.clone());
        let doc = Doc::from_json(json).with_context(|| format!("subgraph {name:?}"))?;
        Ok(Self { id, name, doc: Arc::new(doc) })
    }

    pub(super) fn to_json(&self) -> Json {
        let mut json = self.doc.to_json();
        if json["name"].as_str() != Some(&self.name) && json["id"] != *self.name {
            json["name"] = (*self.name).into();
        }
        // A copy has another id than what it was made from.
        json["id"] = (*self.id).into();
        json
    }
}
