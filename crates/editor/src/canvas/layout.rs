//! Where the parts of a node lie: sockets, widgets, picture. All in canvas units, from the node's `pos`.

use crate::{
    doc::{INPUTS, Id, Node, OUTPUTS, Widget},
    theme::{GAP, ROW, TITLE},
};
use egui::{Pos2, Rect, Vec2, pos2, vec2};

/// Space between a node's edge and its widgets: room for sockets.
pub const PAD: f32 = 12.0;
/// Distance from one widget's top to the next one's.
const PITCH: f32 = ROW + 4.0;
/// What a box of text and a picture need at least.
const TEXT_BOX: f32 = 3.0 * ROW;
const PICTURE: f32 = 140.0;
/// A reroute's body.
const DOT: Vec2 = vec2(28.0, 18.0);
/// Narrower nodes are drawn this wide.
const NARROWEST: f32 = 120.0;

/// How a node is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Paper with text, which does not run.
    Note,
    /// A point that a link runs through.
    Dot,
}

impl Kind {
    pub fn of(class: &str) -> Self {
        match class {
            "Note" | "MarkdownNote" => Self::Note,
            "Reroute" => Self::Dot,
            _ => Self::Plain,
        }
    }
}

/// The parts of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub kind: Kind,
    /// The body as it is drawn: the stored size, or more if its parts need it. Nothing if collapsed.
    pub body: Vec2,
    /// Height of the title bar above the body.
    pub title: f32,
    /// The middles of the sockets.
    pub inputs: Vec<Pos2>,
    pub outputs: Vec<Pos2>,
    pub widgets: Vec<Row>,
    pub picture: Option<Rect>,
}

/// A widget's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Which of the node's widgets.
    pub widget: usize,
    pub rect: Rect,
}

impl Layout {
    pub fn new(node: &Node, widgets: &[Widget], picture: bool) -> Self {
        match Kind::of(&node.class) {
            Kind::Dot => Self::dot(node),
            kind if node.collapsed => Self::collapsed(node, kind),
            kind => Self::open(node, kind, widgets, picture),
        }
    }

    /// The whole node, its title bar included.
    pub fn frame(&self) -> Rect {
        Rect::from_min_max(pos2(0.0, -self.title), self.body.to_pos2())
    }

    fn dot(node: &Node) -> Self {
        let middle = vec2(node.size[0], node.size[1]).min(vec2(75.0, 26.0)) / 2.0;
        let at = |x: f32| pos2(middle.x + x, middle.y);
        Self {
            kind: Kind::Dot,
            body: middle * 2.0,
            title: 0.0,
            inputs: vec![at(-DOT.x / 2.0); node.inputs.len()],
            outputs: vec![at(DOT.x / 2.0); node.outputs.len()],
            widgets: Vec::new(),
            picture: None,
        }
    }

    fn collapsed(node: &Node, kind: Kind) -> Self {
        let width = node.size[0].clamp(NARROWEST, 200.0);
        Self {
            kind,
            body: vec2(width, 0.0),
            title: TITLE,
            inputs: vec![pos2(0.0, -TITLE / 2.0); node.inputs.len()],
            outputs: vec![pos2(width, -TITLE / 2.0); node.outputs.len()],
            widgets: Vec::new(),
            picture: None,
        }
    }

    fn open(node: &Node, kind: Kind, widgets: &[Widget], picture: bool) -> Self {
        let width = node.size[0].max(NARROWEST);
        let row_of = |slot: &crate::doc::Slot| {
            let name = slot.widget.as_ref()?;
            widgets.iter().position(|w| w.name == *name)
        };
        let plain = node.inputs.iter().filter(|slot| row_of(slot).is_none()).count();
        // The border of a subgraph has room for one more.
        let more = |border: Id| usize::from(node.id == border);
        let (ins, outs) = (more(OUTPUTS), node.outputs.len() + more(INPUTS));
        let sockets = (plain + ins).max(outs);
        let top = GAP + sockets as f32 * ROW + if sockets > 0 { 2.0 } else { 0.0 };
        let (rows, picture, bottom) = stack(node, widgets, picture, top, width);
        let middle = |row: usize| GAP + (row as f32 + 0.5) * ROW;
        let mut free = 0..;
        let inputs = node.inputs.iter().map(|slot| match row_of(slot) {
            Some(widget) => pos2(0.0, rows[widget].rect.top() + ROW / 2.0),
            None => pos2(0.0, middle(free.next().unwrap_or(0))),
        });
        let mut inputs: Vec<Pos2> = inputs.collect();
        inputs.extend((0..ins).map(|_| pos2(0.0, middle(plain))));
        Self {
            kind,
            inputs,
            outputs: (0..outs).map(|i| pos2(width, middle(i))).collect(),
            body: vec2(width, node.size[1].max(bottom)),
            title: TITLE,
            widgets: rows,
            picture,
        }
    }
}

/// Widgets below each other and the picture below them; what room is left goes to boxes of text and to
/// the picture. Also tells where it all ends.
fn stack(
    node: &Node,
    widgets: &[Widget],
    picture: bool,
    top: f32,
    width: f32,
) -> (Vec<Row>, Option<Rect>, f32) {
    let least = |w: &Widget| if grows(w) { TEXT_BOX } else { ROW };
    let mut needed: f32 = widgets.iter().map(|w| least(w) + PITCH - ROW).sum::<f32>() + top + 4.0;
    needed += if picture { PICTURE + GAP } else { 0.0 };
    let growing = widgets.iter().filter(|w| grows(w)).count();
    // A picture takes all the room there is: texts of such a node stay small.
    let spare = (node.size[1] - needed).max(0.0);
    let each = if picture { 0.0 } else { spare / growing.max(1) as f32 };
    let mut y = top;
    let mut rows = Vec::with_capacity(widgets.len());
    for (widget, w) in widgets.iter().enumerate() {
        let height = least(w) + if grows(w) { each } else { 0.0 };
        let rect = Rect::from_min_size(pos2(PAD, y), vec2(width - 2.0 * PAD, height));
        rows.push(Row { widget, rect });
        y += height + PITCH - ROW;
    }
    let below = Rect::from_min_size(pos2(PAD, y), vec2(width - 2.0 * PAD, PICTURE + spare));
    (rows, picture.then_some(below), needed)
}

/// Whether the widget is a box of text.
pub fn grows(widget: &Widget) -> bool {
    widget.spec.as_ref().is_some_and(|spec| spec.multiline)
}
