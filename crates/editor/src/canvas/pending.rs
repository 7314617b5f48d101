//! A link in hand: which sockets it may end at.

use super::scene::{Scene, Socket};
use crate::doc::{self, Doc, Id, LinkId, RerouteId};
use std::collections::BTreeSet;

/// A link of which one end is in hand.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingLink {
    /// The end that stays.
    pub fixed: Socket,
    pub ty: String,
    /// The link that is being moved elsewhere.
    pub moved: Option<LinkId>,
    /// The reroute that it is to run through last.
    pub via: Option<RerouteId>,
    /// Nodes that would make a ring.
    barred: BTreeSet<Id>,
    /// What sockets of the other side there are that fit.
    fitting: BTreeSet<(Id, usize)>,
}

impl PendingLink {
    pub fn new(doc: &Doc, fixed: Socket, moved: Option<LinkId>) -> Self {
        let side = doc.node(fixed.node).map(|n| if fixed.output { &n.outputs } else { &n.inputs });
        let ty = match fixed.output {
            true => doc.output_type((fixed.node, fixed.slot)),
            false => side.and_then(|s| s.get(fixed.slot)).map_or("*", |slot| &slot.ty),
        };
        let ty = ty.to_owned();
        let mut new = Self {
            fixed,
            ty,
            moved,
            via: None,
            barred: reach(doc, fixed),
            fitting: BTreeSet::new(),
        };
        new.fitting = doc.nodes().flat_map(|node| new.fits(node)).collect();
        new
    }

    fn fits(&self, node: &doc::Node) -> Vec<(Id, usize)> {
        if self.barred.contains(&node.id) {
            return Vec::new();
        }
        let side = if self.fixed.output { &node.inputs } else { &node.outputs };
        let fit = |ty: &str| {
            if self.fixed.output { doc::fits(&self.ty, ty) } else { doc::fits(ty, &self.ty) }
        };
        let fitting = side.iter().enumerate().filter(|(_, slot)| fit(&slot.ty));
        // The border has room for one more.
        let more = self.fixed.output == (node.id == doc::OUTPUTS);
        let more = (node.is_border() && more).then_some((node.id, side.len()));
        fitting.map(|(slot, _)| (node.id, slot)).chain(more).collect()
    }

    /// Whether a node of the class could be linked to what is in hand.
    pub fn fits_class(&self, class: &graph::NodeType) -> bool {
        if self.fixed.output {
            class.inputs.iter().any(|input| doc::fits(&self.ty, input.ty))
        } else {
            class.outputs.iter().any(|output| doc::fits(output.ty, &self.ty))
        }
    }

    /// Whether the link may end at the socket; where it begins counts too.
    pub fn may_end(&self, _: &Scene, socket: Socket) -> bool {
        socket == self.fixed
            || socket.output != self.fixed.output
                && self.fitting.contains(&(socket.node, socket.slot))
    }

    /// Output and input, once the other end is known.
    pub fn ends(&self, other: (Id, usize)) -> [(Id, usize); 2] {
        let fixed = (self.fixed.node, self.fixed.slot);
        if self.fixed.output { [fixed, other] } else { [other, fixed] }
    }
}

/// The node itself, and those from which links lead to it, or to which links lead from it.
fn reach(doc: &Doc, fixed: Socket) -> BTreeSet<Id> {
    let mut seen = BTreeSet::from([fixed.node]);
    loop {
        let count = seen.len();
        for link in doc.links.values() {
            let (near, far) =
                if fixed.output { (link.to, link.from) } else { (link.from, link.to) };
            if seen.contains(&near) {
                seen.insert(far);
            }
        }
        if seen.len() == count {
            return seen;
        }
    }
}
