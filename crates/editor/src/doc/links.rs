//! Links: what may be joined, joining it, parting it.

use super::{Doc, Id, Link, LinkId, Node, RerouteId, Slot};
use serde_json::Value as Json;
use std::{collections::BTreeSet, sync::Arc};

pub const REROUTE: &str = "Reroute";
pub const PRIMITIVE: &str = "PrimitiveNode";

/// A socket: a node and the place among its outputs or inputs.
pub type Socket = (Id, usize);

impl Doc {
    /// Whether a link may lead from the output to the input: both are there, their types fit, and it would
    /// close no ring. The place after the last socket of a subgraph's border stands for a new one.
    pub fn can_connect(&self, from: Socket, to: Socket) -> bool {
        let (Some(source), Some(target)) = (self.node(from.0), self.node(to.0)) else {
            return false;
        };
        if let Some(new) = self.on_border(from, to) {
            return new;
        }
        let (Some(_), Some(input)) = (source.outputs.get(from.1), target.inputs.get(to.1)) else {
            return false;
        };
        let ty = self.output_type(from);
        (source.class != PRIMITIVE || input.widget.is_some() || target.class == REROUTE)
            && self.wanted_types(to).iter().all(|wanted| super::fits(ty, wanted))
            && !self.leads_to(to.0, from.0)
    }

    /// Whether the border gets a new socket by the link; `None` if both sockets are there.
    fn on_border(&self, from: Socket, to: Socket) -> Option<bool> {
        let (source, target) = (self.node(from.0)?, self.node(to.0)?);
        let new_input = source.is_border() && from.1 == source.outputs.len();
        let new_output = target.is_border() && to.1 == target.inputs.len();
        match (new_input, new_output) {
            (false, false) => None,
            (true, true) => Some(false),
            (true, false) => Some(target.inputs.get(to.1).is_some()),
            (false, true) => Some(source.outputs.get(from.1).is_some()),
        }
    }

    /// What comes out: for a reroute, what is fed into it.
    pub fn output_type(&self, socket: Socket) -> &str {
        let mut at = socket;
        for _ in 0..=self.nodes.len() {
            let Some(node) = self.node(at.0) else { break };
            if node.class != REROUTE {
                return node.outputs.get(at.1).map_or("*", |slot| &slot.ty);
            }
            let Some(link) = self.link_into(at.0, 0) else { break };
            at = (self.links[&link].from, self.links[&link].from_slot);
        }
        "*"
    }

    /// What must fit to feed the input: for a reroute, all that it feeds.
    fn wanted_types(&self, socket: Socket) -> BTreeSet<&str> {
        let mut wanted = BTreeSet::new();
        let (mut open, mut seen) = (vec![socket], BTreeSet::new());
        while let Some((id, slot)) = open.pop() {
            let Some(node) = self.node(id).filter(|_| seen.insert((id, slot))) else { continue };
            if node.class == REROUTE {
                let fed = self.links.values().filter(|l| l.from == id);
                open.extend(fed.map(|l| (l.to, l.to_slot)));
            } else if let Some(input) = node.inputs.get(slot) {
                wanted.insert(input.ty.as_str());
            }
        }
        wanted
    }

    /// Whether links lead from one node to the other, or they are the same.
    fn leads_to(&self, from: Id, to: Id) -> bool {
        let mut edges: Vec<(Id, Id)> = self.links.values().map(|l| (l.from, l.to)).collect();
        edges.sort_unstable();
        let (mut open, mut seen) = (vec![from], BTreeSet::new());
        while let Some(id) = open.pop() {
            if id == to {
                return true;
            }
            let first = edges.partition_point(|(from, _)| *from < id);
            let next = edges[first..].iter().take_while(|(from, _)| *from == id).map(|(_, to)| *to);
            open.extend(next.filter(|next| seen.insert(*next)));
        }
        false
    }

    /// Links the output to the input, in the place of what fed that; `None` if
    /// [`Doc::can_connect`] says no.
    pub fn connect(&mut self, from: Socket, to: Socket) -> Option<LinkId> {
        if !self.can_connect(from, to) {
            return None;
        }
        self.extend_border(from, to);
        if let Some(old) = self.link_into(to.0, to.1) {
            let link = &self.links[&old];
            if (link.from, link.from_slot) == from {
                return Some(old);
            }
            self.disconnect(old);
        }
        let id = self.link(from, to);
        self.retype(from.0);
        self.retype(to.0);
        Some(id)
    }

    /// As [`Doc::connect`], with the reroute that the link is to run through last, or with the link of which
    /// one end is moved here: from the same output it runs through the same reroutes.
    pub fn plug(
        &mut self,
        from: Socket,
        to: Socket,
        via: Option<RerouteId>,
        moved: Option<LinkId>,
    ) -> Option<LinkId> {
        let old = moved.and_then(|old| self.links.get(&old));
        let same = old.filter(|old| (old.from, old.from_slot) == from);
        let via = via.or(same.and_then(|old| old.parent));
        let made = self.connect(from, to)?;
        if via.is_some() {
            self.set_parent(made, via);
        }
        if let Some(old) = moved.filter(|old| *old != made) {
            self.disconnect(old);
        }
        Some(made)
    }

    /// Adds a link between sockets that are there and fit.
    pub(super) fn link(&mut self, from: Socket, to: Socket) -> LinkId {
        let wanted = &self.nodes[self.index[&to.0]].inputs[to.1].ty;
        let ty = Some(self.output_type(from)).filter(|ty| *ty != "*").unwrap_or(wanted).to_owned();
        let id = self.next_link_id();
        let link = Link {
            from: from.0,
            from_slot: from.1,
            to: to.0,
            to_slot: to.1,
            ty,
            parent: None,
            raw: None,
        };
        self.links.insert(id, Arc::new(link));
        self.last.link = id;
        id
    }

    /// Takes the link away.
    pub fn disconnect(&mut self, id: LinkId) {
        if let Some(link) = self.links.remove(&id) {
            if link.parent.is_some() {
                self.prune(&link);
            }
            self.retype(link.from);
            self.retype(link.to);
        }
    }

    /// Reroutes and primitives take the type of what they are linked to.
    pub(super) fn retype(&mut self, id: Id) {
        let Some(node) = self.node(id) else { return };
        let ty = match node.class.as_str() {
            REROUTE => self.output_type((id, 0)).to_owned(),
            PRIMITIVE => {
                let fed = self.links.values().find(|l| l.from == id);
                let fed = fed.and_then(|l| self.node(l.to)?.inputs.get(l.to_slot));
                fed.map_or("*", |slot| &slot.ty).to_owned()
            }
            _ => return,
        };
        if node.outputs.first().is_none_or(|slot| slot.ty == ty) {
            return;
        }
        self.node_mut(id).expect("it is there").outputs[0].ty.clone_from(&ty);
        let fed: Vec<LinkId> = self.links_from(id, 0).collect();
        for link in fed {
            let link = Arc::make_mut(self.links.get_mut(&link).expect("it is there"));
            link.set_type(&ty);
            let to = link.to;
            self.retype(to);
        }
    }

    /// Adds the socket that a link from or to the place after the border's last one makes.
    fn extend_border(&mut self, from: Socket, to: Socket) {
        let named = |slot: &Slot| (slot.label().to_owned(), slot.ty.clone());
        let (source, target) = (self.node(from.0), self.node(to.0));
        let input = target.and_then(|node| node.inputs.get(to.1)).map(named);
        let output = source.and_then(|node| node.outputs.get(from.1)).map(named);
        match (output, input) {
            (None, Some((name, ty))) => {
                let border = self.node_mut(from.0).expect("the border");
                border.outputs.push(Slot::border(&free_name(&name, &border.outputs), &ty));
            }
            (Some((name, ty)), None) => {
                let border = self.node_mut(to.0).expect("the border");
                border.inputs.push(Slot::border(&free_name(&name, &border.inputs), &ty));
            }
            _ => {}
        }
    }

    /// Puts a node into a link, by its first open sockets that fit; whether that can be done.
    pub fn insert_on(&mut self, link: LinkId, id: Id) -> bool {
        let (Some(link), Some(node)) = (self.links.get(&link).cloned(), self.node(id)) else {
            return false;
        };
        if link.from == id || link.to == id {
            return false;
        }
        let (from, to) = ((link.from, link.from_slot), (link.to, link.to_slot));
        let open = |i: &usize| self.link_into(id, *i).is_none() && self.can_connect(from, (id, *i));
        let input = (0..node.inputs.len()).find(open);
        let output = (0..node.outputs.len()).find(|i| self.can_connect((id, *i), to));
        let (Some(input), Some(output)) = (input, output) else { return false };
        let Some(new) = self.connect(from, (id, input)) else { return false };
        self.set_parent(new, link.parent);
        self.connect((id, output), to).is_some()
    }

    /// Removes nodes, their links with them. The border of a subgraph stays.
    pub fn remove(&mut self, ids: &BTreeSet<Id>) {
        let gone = |id: Id| ids.contains(&id) && !super::is_border(id);
        let links = self.links.iter().filter(|(_, l)| gone(l.from) || gone(l.to));
        let links: Vec<LinkId> = links.map(|(id, _)| *id).collect();
        links.into_iter().for_each(|link| self.disconnect(link));
        self.reorder(|id| !gone(id), |_| false);
    }

    /// Removes nodes; what they fed is fed by what fed them, where the types allow.
    pub fn dissolve(&mut self, ids: &BTreeSet<Id>) {
        for &id in ids {
            let outgoing: Vec<Arc<Link>> =
                self.links.values().filter(|l| l.from == id).cloned().collect();
            for link in outgoing {
                if let Some(from) = self.passed_through(id, link.from_slot, &link.ty) {
                    self.connect(from, (link.to, link.to_slot));
                }
            }
        }
        self.remove(ids);
    }

    /// What feeds the node's input that stands in for the output when the node is bypassed: the one of the
    /// same place, else the first that fits.
    fn passed_through(&self, id: Id, slot: usize, ty: &str) -> Option<Socket> {
        let inputs = &self.node(id)?.inputs;
        let places = [slot].into_iter().chain(0..inputs.len()).filter(|i| *i < inputs.len());
        let mut sources = places.filter_map(|i| Some(&self.links[&self.link_into(id, i)?]));
        let source = sources.find(|l| super::fits(self.output_type((l.from, l.from_slot)), ty))?;
        Some((source.from, source.from_slot))
    }
}

impl Link {
    fn set_type(&mut self, ty: &str) {
        ty.clone_into(&mut self.ty);
        match &mut self.raw {
            Some(Json::Array(parts)) if parts.len() > 5 => parts[5] = ty.into(),
            Some(Json::Object(parts)) => drop(parts.insert("type".into(), ty.into())),
            _ => {}
        }
    }

    /// Gives the place of its socket among the outputs, or the inputs, of the node there.
    pub(super) fn set_slot(&mut self, output: bool, slot: usize) {
        let (place, key) = if output { (2, "origin_slot") } else { (4, "target_slot") };
        *(if output { &mut self.from_slot } else { &mut self.to_slot }) = slot;
        match &mut self.raw {
            Some(Json::Array(parts)) if parts.len() > place => parts[place] = slot.into(),
            Some(Json::Object(parts)) => drop(parts.insert(key.into(), slot.into())),
            _ => {}
        }
    }

    pub(super) fn set_parent(&mut self, parent: Option<RerouteId>) {
        self.parent = parent;
        if let Some(Json::Object(parts)) = &mut self.raw {
            match parent {
                Some(parent) => drop(parts.insert("parentId".into(), parent.into())),
                None => drop(parts.shift_remove("parentId")),
            }
        }
    }
}

/// `name`, with a number if it is taken.
pub(super) fn free_name(name: &str, slots: &[Slot]) -> String {
    let taken = |name: &str| slots.iter().any(|slot| slot.name == name);
    let numbered = (1..).map(|n| format!("{name}_{n}"));
    let mut names = [name.to_owned()].into_iter().chain(numbered);
    names.find(|name| !taken(name)).expect("there are endless names")
}

impl Node {
    /// Whether it is drawn as a mere point of a link.
    pub fn is_reroute(&self) -> bool {
        self.class == REROUTE
    }
}
