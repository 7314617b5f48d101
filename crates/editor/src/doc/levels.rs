//! A file: its graph, the subgraphs in it, and which of them is open.

use super::{Doc, Id};
use anyhow::Result;
use graph::Contract;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// All levels of a file. Cloning it is cheap: levels are shared.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub(super) root: Arc<Doc>,
    pub(super) definitions: Vec<Definition>,
    path: Vec<Entered>,
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

    /// Reads a workflow in UI form. An error names the node, and the subgraph, that cannot be read.
    pub fn from_json(json: &Json) -> Result<Self> {
        let mut file = Self::new(Doc::from_json(json)?);
        for json in json["definitions"]["subgraphs"].as_array().into_iter().flatten() {
            file.definitions.push(Definition::from_json(json)?);
        }
        Ok(file)
    }

    /// The workflow in UI form.
    pub fn to_json(&self) -> Json {
        let mut json = self.root.to_json();
        let subgraphs: Vec<Json> = self.definitions.iter().map(Definition::to_json).collect();
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
        self.open().map_or(&self.root, |definition| &definition.doc)
    }

    /// The level that is open; snapshots keep the old one.
    pub fn doc_mut(&mut self) -> &mut Doc {
        let place = self.path.last().and_then(|entered| self.place(&entered.definition));
        Arc::make_mut(match place {
            Some(place) => &mut self.definitions[place].doc,
            None => &mut self.root,
        })
    }

    pub(super) fn open(&self) -> Option<&Definition> {
        self.definition(&self.path.last()?.definition)
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.definitions.iter().position(|definition| *definition.id == *id)
    }

    pub(super) fn definition(&self, id: &str) -> Option<&Definition> {
        Some(&self.definitions[self.place(id)?])
    }

    /// The name of the subgraph that a node of the open level is an instance of, if it is one.
    pub fn subgraph_name(&self, id: Id) -> Option<&str> {
        Some(&self.definition(&self.doc().node(id)?.class)?.name)
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

    /// All levels; the open one may be among them twice if subgraphs are.
    pub(super) fn docs_mut(&mut self) -> impl Iterator<Item = &mut Arc<Doc>> {
        [&mut self.root].into_iter().chain(self.definitions.iter_mut().map(|d| &mut d.doc))
    }

    /// Changes values on all levels as their controls say: to be called after each run is queued.
    pub fn after_queue(&mut self, contract: &Contract) {
        for doc in self.docs_mut() {
            Arc::make_mut(doc).after_queue(contract);
        }
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
        if json["name"].as_str().is_some_and(|name| *name != *self.name) {
            json["name"] = (*self.name).into();
        }
        json
    }
}
