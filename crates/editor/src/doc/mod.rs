//! The graph as it is edited: typed where the editor changes it, raw where it does not.
//!
//! A document comes from UI-form JSON and goes back into it with nothing lost: each part keeps the JSON it
//! was read from, and writes over it only what has changed. Cloning is cheap (nodes are shared), so that a
//! snapshot for undo costs a list of pointers.

mod json;

use crate::doc::json::Raw;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A node's number in its graph.
pub type Id = i64;
/// A link's number in its graph.
pub type LinkId = i64;

/// A graph: one level of a file.
#[derive(Clone, Debug, Default)]
pub struct Doc {
    /// In drawing order: later ones lie on top.
    nodes: Vec<Arc<Node>>,
    /// Where each node stands in `nodes`.
    index: HashMap<Id, usize>,
    pub links: BTreeMap<LinkId, Link>,
    pub groups: Vec<Group>,
    pub(crate) raw: Raw,
}

/// What happens to a node when the graph runs; numbers as in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Active,
    Muted,
    Bypassed,
    /// A mode that Weft does not know: kept, treated as active.
    Other(i64),
}

/// A node as it is drawn. Distances are in the canvas's units: pixels at zoom 1.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: Id,
    pub class: String,
    /// The title a person gave it.
    pub title: Option<String>,
    /// Top left corner of the body; the title bar lies above it.
    pub pos: [f32; 2],
    pub size: [f32; 2],
    pub mode: Mode,
    pub collapsed: bool,
    pub pinned: bool,
    /// Of the title bar and of the body, as `#rrggbb`.
    pub color: Option<String>,
    pub bgcolor: Option<String>,
    pub inputs: Vec<Slot>,
    pub outputs: Vec<Slot>,
    /// `widgets_values` as stored: a list in the class's order, or an object by name.
    pub values: serde_json::Value,
    pub(crate) raw: Raw,
}

/// An input or output socket.
#[derive(Clone, Debug)]
pub struct Slot {
    pub name: String,
    /// `*` fits everything; several types are separated by commas.
    pub ty: String,
    /// The widget that stands for the input while nothing is linked to it.
    pub widget: Option<String>,
    pub(crate) raw: Raw,
}

/// A connection from an output to an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub from: Id,
    pub from_slot: usize,
    pub to: Id,
    pub to_slot: usize,
    pub ty: String,
    pub(crate) raw: Raw,
}

/// A coloured frame behind nodes.
#[derive(Clone, Debug)]
pub struct Group {
    pub title: String,
    /// Left, top, width, height.
    pub bounding: [f32; 4],
    pub color: Option<String>,
    pub(crate) raw: Raw,
}

impl Doc {
    /// In drawing order.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> + ExactSizeIterator {
        self.nodes.iter().map(Arc::as_ref)
    }

    pub fn node(&self, id: Id) -> Option<&Node> {
        Some(&self.nodes[*self.index.get(&id)?])
    }

    /// To change it; a snapshot that shares it keeps the old one.
    pub fn node_mut(&mut self, id: Id) -> Option<&mut Node> {
        Some(Arc::make_mut(&mut self.nodes[*self.index.get(&id)?]))
    }

    /// The link that feeds an input.
    pub fn link_into(&self, to: Id, to_slot: usize) -> Option<LinkId> {
        // Links are few per node, and a graph's links are walked once a frame at most.
        self.links.iter().find(|(_, l)| (l.to, l.to_slot) == (to, to_slot)).map(|(id, _)| *id)
    }

    /// Takes the node in as the topmost; its id must be new.
    pub fn push(&mut self, node: Node) {
        let old = self.index.insert(node.id, self.nodes.len());
        assert!(old.is_none(), "node {} is there twice", node.id);
        self.nodes.push(Arc::new(node));
    }

    /// An id that no node has had yet.
    pub fn next_node_id(&self) -> Id {
        let last = self.raw.number("last_node_id").unwrap_or(0);
        self.index.keys().copied().max().unwrap_or(0).max(last) + 1
    }

    /// An id that no link has had yet.
    pub fn next_link_id(&self) -> LinkId {
        let last = self.raw.number("last_link_id").unwrap_or(0);
        self.links.keys().copied().max().unwrap_or(0).max(last) + 1
    }
}

impl Node {
    /// What the title bar says: the title a person gave it, else the class.
    pub fn label(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.class)
    }

    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|slot| slot.name == name)
    }
}

/// Whether an output of type `from` may feed an input of type `to`.
pub fn fits(from: &str, to: &str) -> bool {
    from == "*" || to == "*" || to.split(',').any(|t| from.split(',').any(|f| f.trim() == t.trim()))
}
