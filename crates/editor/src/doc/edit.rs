//! New nodes, and changes to nodes that concern them alone.

use super::{
    Doc, Id, Mode, Node, Slot,
    links::{PRIMITIVE, REROUTE},
};
use crate::theme;
use graph::{Contract, NodeType, WidgetSpec};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// A class of node that only editors know: it is not sent to the engine.
pub struct EditorsOwn {
    pub class: &'static str,
    pub title: &'static str,
    pub doc: &'static str,
    /// Whether it has an input and an output for anything.
    sockets: [bool; 2],
    size: [f32; 2],
}

pub const EDITORS_OWN: [EditorsOwn; 4] = [
    EditorsOwn {
        class: REROUTE,
        title: "Reroute",
        doc: "A point that a link runs through.",
        sockets: [true, true],
        size: [75.0, 26.0],
    },
    EditorsOwn {
        class: PRIMITIVE,
        title: "Primitive",
        doc: "One value for the widgets that it is linked to.",
        sockets: [false, true],
        size: [210.0, 82.0],
    },
    EditorsOwn {
        class: "Note",
        title: "Note",
        doc: "Words beside the graph.",
        sockets: [false, false],
        size: [260.0, 120.0],
    },
    EditorsOwn {
        class: "MarkdownNote",
        title: "Markdown Note",
        doc: "Words beside the graph, with Markdown.",
        sockets: [false, false],
        size: [260.0, 120.0],
    },
];

/// Width of a new node, and of one that has a box of text; height of that box.
const WIDTH: f32 = 270.0;
const WIDE: f32 = 400.0;
const TEXT_BOX: f32 = 140.0;

impl Doc {
    /// Adds a node of the class with its sockets, and widgets as they are by default. Files are not chosen
    /// yet: a list of them has no default.
    pub fn create(&mut self, ty: &NodeType, contract: &Contract, pos: [f32; 2]) -> Id {
        let mut node = Node::bare(self.next_node_id(), ty.name, pos, [0.0; 2]);
        let class = contract.0.get(ty.name);
        for (name, socket) in class.iter().flat_map(|c| &c.sockets) {
            let optional = ty.input(name).is_some_and(|input| input.optional);
            node.inputs.push(Slot::socket(name, socket, optional));
        }
        let widgets = class.iter().flat_map(|c| &c.widgets).filter(|w| !w.forced);
        let mut values = Vec::new();
        let mut text = 0.0;
        for widget in widgets.clone() {
            node.inputs.push(Slot::widget(&widget.name, &widget.ty));
            values.extend(default_values(widget, "randomize"));
            text += if widget.multiline { TEXT_BOX - theme::ROW } else { 0.0 };
        }
        node.values = values.into();
        node.outputs.extend(ty.outputs.iter().map(|o| Slot::output(o.name, o.ty)));
        let sockets = class.map_or(0, |c| c.sockets.len()).max(ty.outputs.len());
        let rows = sockets + widgets.count();
        let width = if text > 0.0 { WIDE } else { WIDTH };
        node.size = [width, 2.0 * theme::GAP + theme::ROW * rows as f32 + text];
        self.add(node)
    }

    /// Adds a node that only editors know; `None` if there is no such class.
    pub fn create_own(&mut self, class: &str, pos: [f32; 2]) -> Option<Id> {
        let own = EDITORS_OWN.iter().find(|own| own.class == class)?;
        let mut node = Node::bare(self.next_node_id(), class, pos, own.size);
        let [input, output] = own.sockets;
        node.inputs.extend(input.then(|| Slot::socket("", "*", false)));
        node.outputs.extend(output.then(|| Slot::output("", "*")));
        if !input && !output {
            node.values = json!([""]);
        }
        Some(self.add(node))
    }

    fn add(&mut self, node: Node) -> Id {
        let id = node.id;
        self.push(node);
        id
    }

    /// Changes each of the nodes that are there, but for the border of a subgraph.
    pub fn each(&mut self, ids: &BTreeSet<Id>, mut change: impl FnMut(&mut Node)) {
        for &id in ids.iter().filter(|id| !super::is_border(**id)) {
            if let Some(node) = self.node_mut(id) {
                change(node);
            }
        }
    }

    pub fn set_mode(&mut self, ids: &BTreeSet<Id>, mode: Mode) {
        self.each(ids, |node| node.mode = mode);
    }

    pub fn set_collapsed(&mut self, ids: &BTreeSet<Id>, collapsed: bool) {
        self.each(ids, |node| node.collapsed = collapsed);
    }

    pub fn set_pinned(&mut self, ids: &BTreeSet<Id>, pinned: bool) {
        self.each(ids, |node| node.pinned = pinned);
    }

    /// Of title bar and body, as `#rrggbb`; `None` for those of the theme.
    pub fn set_colors(&mut self, ids: &BTreeSet<Id>, colors: Option<[&str; 2]>) {
        self.each(ids, |node| {
            node.color = colors.map(|[title, _]| title.to_owned());
            node.bgcolor = colors.map(|[_, body]| body.to_owned());
        });
    }

    /// The title a person gives; an empty one is none.
    pub fn set_title(&mut self, id: Id, title: &str) {
        if let Some(node) = self.node_mut(id) {
            node.title = Some(title.trim().to_owned()).filter(|title| !title.is_empty());
        }
    }

    /// Moves nodes that are not pinned, the border of a subgraph too.
    pub fn move_by(&mut self, ids: &BTreeSet<Id>, [dx, dy]: [f32; 2]) {
        for &id in ids {
            if let Some(node) = self.node_mut(id).filter(|node| !node.pinned) {
                node.pos = [node.pos[0] + dx, node.pos[1] + dy];
            }
        }
    }

    pub fn resize(&mut self, id: Id, size: [f32; 2]) {
        if let Some(node) = self.node_mut(id) {
            node.size = size;
        }
    }
}

impl Slot {
    /// A socket that only a link can feed; front ends draw one that is optional in another shape.
    fn socket(name: &str, ty: &str, optional: bool) -> Self {
        let mut slot = Self::input(name, ty);
        if optional {
            slot.raw.0.insert("shape".into(), json!(7));
        }
        slot
    }
}

/// What a file stores for a widget that nobody has touched: its value, the state of its control and the
/// name of its upload button.
pub(super) fn default_values(spec: &WidgetSpec, control: &str) -> impl Iterator<Item = Json> {
    let value = match (&spec.default, spec.ty.as_str()) {
        (Json::Null, "STRING") => json!(""),
        (Json::Null, "BOOLEAN") => json!(false),
        (Json::Null, "INT" | "FLOAT") => json!(0),
        (Json::Null, _) => spec.choices.first().cloned().unwrap_or_default(),
        (default, _) => default.clone(),
    };
    let control = spec.control.then(|| json!(control));
    [Some(value), control, spec.upload.then(|| json!("image"))].into_iter().flatten()
}
