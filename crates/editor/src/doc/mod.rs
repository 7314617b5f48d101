//! The graph as it is edited: typed where the editor changes it, raw where it does not.
//!
//! A document comes from UI-form JSON and goes back into it with nothing lost: each part keeps the JSON it
//! was read from, and writes over it only what has changed. Cloning is cheap (nodes and links are shared),
//! so that a snapshot for undo costs a list of pointers.

pub mod arrange;
mod border;
#[cfg(test)]
mod check;
mod clipboard;
mod edit;
mod groups;
mod history;
mod interface;
mod json;
mod levels;
mod links;
mod primitives;
mod promoted;
mod reroutes;
mod subgraphs;
#[cfg(test)]
pub(crate) mod tests;
mod widgets;

pub use clipboard::{Fragment, Part};
pub use edit::EDITORS_OWN;
pub use graph::fits;
pub use history::History;
use levels::Definition;
pub use levels::File;
pub use reroutes::{Reroute, RerouteId};
pub use widgets::{Control, Widget, widgets, widgets_of};

use crate::{
    doc::json::{Origin, Raw},
    theme,
};
use ahash::HashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A node's number in its graph.
pub type Id = i64;
/// A link's number in its graph.
pub type LinkId = i64;

/// The nodes that stand for the border of a subgraph: one has its inputs as outputs, the other its outputs
/// as inputs.
pub const INPUTS: Id = -10;
pub const OUTPUTS: Id = -20;

/// A graph: one level of a file.
#[derive(Clone, Debug)]
pub struct Doc {
    /// In drawing order: later ones lie on top.
    nodes: Vec<Arc<Node>>,
    /// Where each node stands in `nodes`.
    index: HashMap<Id, usize>,
    /// Both ends of each are there, and no input has two.
    pub links: BTreeMap<LinkId, Arc<Link>>,
    pub reroutes: BTreeMap<RerouteId, Reroute>,
    pub groups: Vec<Group>,
    last: Last,
    origin: Arc<Origin>,
}

/// The highest numbers that were ever given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Last {
    node: Id,
    link: LinkId,
    reroute: RerouteId,
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    pub name: String,
    /// `*` fits everything; several types are separated by commas.
    pub ty: String,
    /// The widget that stands for the input while nothing is linked to it.
    pub widget: Option<String>,
    pub(crate) raw: Raw,
    /// The links that it had when it was read, in order.
    read: Vec<LinkId>,
}

/// A connection from an output to an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub from: Id,
    pub from_slot: usize,
    pub to: Id,
    pub to_slot: usize,
    pub ty: String,
    /// The last reroute that it runs through.
    pub parent: Option<RerouteId>,
    /// What it was read from, until it is changed.
    raw: Option<serde_json::Value>,
}

/// A coloured frame behind nodes.
#[derive(Clone, Debug, PartialEq)]
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

    /// The same; one that has not changed since is the same one.
    pub fn shared_nodes(&self) -> &[Arc<Node>] {
        &self.nodes
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
        self.links.iter().find(|(_, l)| (l.to, l.to_slot) == (to, to_slot)).map(|(id, _)| *id)
    }

    /// The links that leave an output.
    pub fn links_from(&self, from: Id, from_slot: usize) -> impl Iterator<Item = LinkId> {
        let links = self.links.iter();
        links.filter(move |(_, l)| (l.from, l.from_slot) == (from, from_slot)).map(|(id, _)| *id)
    }

    /// Takes the node in as the topmost; its id must be new.
    pub fn push(&mut self, node: Node) {
        self.last.node = self.last.node.max(node.id);
        let old = self.index.insert(node.id, self.nodes.len());
        assert!(old.is_none(), "node {} is there twice", node.id);
        self.nodes.push(Arc::new(node));
    }

    /// Keeps the nodes for which `keep` holds, in the order that `key` gives.
    fn reorder(&mut self, keep: impl Fn(Id) -> bool, key: impl Fn(Id) -> bool) {
        self.nodes.retain(|node| keep(node.id));
        self.nodes.sort_by_key(|node| key(node.id));
        self.index = self.nodes.iter().enumerate().map(|(i, node)| (node.id, i)).collect();
    }

    /// Draws the node over all others.
    pub fn raise(&mut self, id: Id) {
        if self.nodes.last().is_some_and(|top| top.id != id) {
            self.reorder(|_| true, |other| other == id);
        }
    }

    /// Left, top, right and bottom of nodes; zeros if they are not there.
    fn bounds_of(&self, ids: &BTreeSet<Id>) -> [f32; 4] {
        around(self.nodes().filter(|node| ids.contains(&node.id)))
    }

    /// An id that no node has had yet.
    pub fn next_node_id(&self) -> Id {
        self.last.node + 1
    }

    /// An id that no link has had yet.
    pub fn next_link_id(&self) -> LinkId {
        self.last.link + 1
    }
}

impl PartialEq for Doc {
    fn eq(&self, other: &Self) -> bool {
        /// Shared parts need no look.
        fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
            Arc::ptr_eq(a, b) || a == b
        }
        self.last == other.last
            && self.nodes.len() == other.nodes.len()
            && self.links.len() == other.links.len()
            && self.nodes.iter().zip(&other.nodes).all(|(a, b)| same(a, b))
            && self.links.iter().zip(&other.links).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
            && self.groups == other.groups
            && self.reroutes == other.reroutes
            && same(&self.origin, &other.origin)
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

    /// Whether it stands for the border of a subgraph.
    pub fn is_border(&self) -> bool {
        is_border(self.id)
    }

    /// The node's box with its title bar: left, top, right, bottom.
    pub fn bounds(&self) -> [f32; 4] {
        let [x, y] = self.pos;
        let height = if self.collapsed { 0.0 } else { self.size[1] };
        [x, y - theme::TITLE, x + self.size[0], y + height]
    }
}

/// Left, top, right and bottom of nodes; zeros if there are none.
fn around<'a>(nodes: impl Iterator<Item = &'a Node>) -> [f32; 4] {
    let all = nodes.map(Node::bounds);
    all.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
        .unwrap_or_default()
}

/// Whether the node stands for the border of a subgraph.
pub fn is_border(id: Id) -> bool {
    [INPUTS, OUTPUTS].contains(&id)
}

impl Slot {
    /// What it is called on the screen.
    pub fn label(&self) -> &str {
        let label = |key: &str| self.raw.0.get(key).and_then(serde_json::Value::as_str);
        label("label").or_else(|| label("localized_name")).unwrap_or(&self.name)
    }
}
