//! Subgraphs made of nodes, and nodes made of subgraphs.

use super::{
    Doc, File, INPUTS, Id, Link, LinkId, Mode, Node, OUTPUTS, Reroute, RerouteId, Slot, is_border,
    levels::{Definition, Level},
    links::{Socket, free_name},
    promoted::Promoted,
};
use crate::theme;
use graph::Contract;
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What new subgraphs are called.
const NAME: &str = "New subgraph";

/// Width of a new instance.
const WIDTH: f32 = 270.0;

/// What crosses the border of a new subgraph: all links of one output.
struct Port {
    slot: Slot,
    /// The output that the links come from.
    from: Socket,
    /// The inputs that they lead to.
    to: Vec<Socket>,
}

impl File {
    /// Makes a subgraph of nodes of the open level, with an instance in their place, and tells its id. Links
    /// that led in or out become its inputs and outputs. `None` if none of the nodes is there.
    pub fn make_subgraph(&mut self, ids: &BTreeSet<Id>) -> Option<Id> {
        let level = self.level();
        let there = |id: &Id| !is_border(*id) && self.doc().node(*id).is_some();
        let ids: BTreeSet<Id> = ids.iter().copied().filter(there).collect();
        if ids.is_empty() {
            return None;
        }
        let id: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let name = self.free_name();
        let (inputs, outputs) = (self.doc().ports_in(&ids), self.doc().ports_out(&ids));
        let doc = self.doc().cut(&id, &name, &ids, &inputs, &outputs);
        let instance = self.doc_mut().fold(&id, &ids, &inputs, &outputs);
        self.definitions.push(Definition { id, name, doc: Arc::new(doc) });
        self.hand_down(level, &ids, instance);
        Some(instance)
    }

    fn free_name(&self) -> Arc<str> {
        let taken = |name: &str| self.definitions.iter().any(|d| *d.name == *name);
        let numbered = (2..).map(|n| format!("{NAME} {n}"));
        let mut names = std::iter::once(NAME.to_owned()).chain(numbered);
        names.find(|name| !taken(name)).expect("there are endless names").into()
    }

    /// What the level's own instances showed of nodes that are now within an instance, they show of that.
    fn hand_down(&mut self, level: Level, ids: &BTreeSet<Id>, instance: Id) {
        let Level::Subgraph(place) = level else { return };
        let mut shown: Vec<(Id, String)> = Vec::new();
        for (level, outer) in self.instances_of(place) {
            let Some(node) = self.doc_at_mut(level).node_mut(outer) else { continue };
            let mut all = node.promoted();
            let moved = |p: &&mut Promoted| p.node.is_some_and(|node| ids.contains(&node));
            for promoted in all.iter_mut().filter(moved) {
                let inner = (promoted.node.expect("it is an inner one"), promoted.widget.clone());
                if !shown.contains(&inner) {
                    shown.push(inner);
                }
                promoted.lead_to(instance, &promoted.widget.clone());
            }
            if !shown.is_empty() {
                node.set_promoted(all);
            }
        }
        if let Some(node) = self.doc_at_mut(level).node_mut(instance).filter(|_| !shown.is_empty())
        {
            let mut all = node.promoted();
            all.extend(shown.into_iter().map(|(node, widget)| Promoted::new(Some(node), &widget)));
            node.set_promoted(all);
        }
    }

    /// Puts what is in a subgraph in the place of an instance of it, with the instance's values; the ids of
    /// the nodes that it became. `None` if the node is no instance.
    pub fn unpack(&mut self, id: Id, contract: &Contract) -> Option<BTreeSet<Id>> {
        let level = self.level();
        let (node, place) = self.instance(level, id)?;
        let (node, inner) = (node.clone(), self.definitions[place].doc.clone());
        let values = inner.values_of(&node, |slot| self.doc().link_into(id, slot).is_some());
        let (ids, class) = (self.doc_mut().unfold(&node, &inner), node.class.clone());
        for (inner, widget, value) in values {
            self.give(level, ids[&inner], &widget, value, contract);
        }
        let now = |(inner, widget): (Id, String)| Some((*ids.get(&inner)?, widget));
        self.hand_up(level, id, |widget| inner.promoted_by(&node, widget).and_then(now));
        if self.instances_of(place).is_empty() {
            self.definitions.retain(|definition| *definition.id != *class);
        }
        Some(ids.into_values().collect())
    }

    /// What the level's own instances showed of an instance that is now unpacked, they show of its nodes.
    fn hand_up(&mut self, level: Level, id: Id, now: impl Fn(&str) -> Option<(Id, String)>) {
        let Level::Subgraph(place) = level else { return };
        for (level, outer) in self.instances_of(place) {
            let Some(node) = self.doc_at_mut(level).node_mut(outer) else { continue };
            let mut all = node.promoted();
            let of_it = |p: &&mut Promoted| p.node == Some(id);
            for promoted in all.iter_mut().filter(of_it) {
                if let Some((node, widget)) = now(&promoted.widget) {
                    promoted.lead_to(node, &widget);
                }
            }
            if all.iter().any(|p| p.node.is_some()) {
                node.set_promoted(all);
            }
        }
    }

    /// Sets the mode of nodes of the open level, or makes them active if all have that mode. What is in an
    /// instance gets it too, as in the usual front end, for the engine looks at each node's own.
    pub fn toggle_mode(&mut self, ids: &BTreeSet<Id>, mode: Mode) {
        let mut nodes = ids.iter().filter_map(|id| self.doc().node(*id));
        let mode = if nodes.all(|node| node.mode == mode) { Mode::Active } else { mode };
        self.set_mode(self.level(), ids, mode, &mut Vec::new());
    }

    /// `above` are the subgraphs that hold the level: one that holds itself must not be gone through for ever.
    fn set_mode(&mut self, level: Level, ids: &BTreeSet<Id>, mode: Mode, above: &mut Vec<String>) {
        self.doc_at_mut(level).set_mode(ids, mode);
        for &id in ids {
            let class = self.doc_at(level).node(id).map(|node| node.class.clone());
            let Some(class) = class.filter(|class| !above.contains(class)) else { continue };
            let Some(place) = self.own_subgraph(level, id, ids) else { continue };
            let inner = Level::Subgraph(place);
            let all = self.doc_at(inner).nodes().map(|node| node.id).collect();
            above.push(class);
            self.set_mode(inner, &all, mode, above);
            above.pop();
        }
    }

    /// The subgraph of an instance that is to be changed for these nodes alone: a copy if others have it too.
    fn own_subgraph(&mut self, level: Level, id: Id, ids: &BTreeSet<Id>) -> Option<usize> {
        let (_, place) = self.instance(level, id)?;
        if self.instances_of(place).iter().all(|(on, other)| *on == level && ids.contains(other)) {
            return Some(place);
        }
        let mut copy = self.definitions[place].clone();
        copy.id = uuid::Uuid::new_v4().to_string().into();
        copy.id.as_ref().clone_into(&mut self.doc_at_mut(level).node_mut(id)?.class);
        self.definitions.push(copy);
        Some(self.definitions.len() - 1)
    }
}

impl Doc {
    /// Links that lead from other nodes to these, by the output they come from.
    fn ports_in(&self, ids: &BTreeSet<Id>) -> Vec<Port> {
        let mut links: Vec<&Link> =
            self.crossing(|l| ids.contains(&l.to) && !ids.contains(&l.from));
        links.sort_by(|a, b| self.height(a.to, a.to_slot).total_cmp(&self.height(b.to, b.to_slot)));
        let slot = |link: &Link| {
            let input = &self.node(link.to)?.inputs[link.to_slot];
            let ty = if input.ty == "*" { &link.ty } else { &input.ty };
            let name = input.widget.as_deref().unwrap_or(&input.name);
            let name = if name.is_empty() { ty } else { name };
            let widget = input.widget.is_some();
            let mut slot = if widget { Slot::widget(name, ty) } else { Slot::input(name, ty) };
            slot.set_label(Some(input.label()).filter(|label| *label != name));
            Some(slot)
        };
        ports(links, slot)
    }

    /// Links that lead from these nodes to others, by the output they come from.
    fn ports_out(&self, ids: &BTreeSet<Id>) -> Vec<Port> {
        let mut links: Vec<&Link> =
            self.crossing(|l| ids.contains(&l.from) && !ids.contains(&l.to));
        links.sort_by(|a, b| {
            self.height(a.from, a.from_slot).total_cmp(&self.height(b.from, b.from_slot))
        });
        let slot = |link: &Link| {
            let output = &self.node(link.from)?.outputs[link.from_slot];
            let name = if output.name.is_empty() { &link.ty } else { &output.name };
            let mut slot = Slot::output(name, &link.ty);
            slot.set_label(Some(output.label()).filter(|label| label != name));
            Some(slot)
        };
        ports(links, slot)
    }

    fn crossing(&self, crosses: impl Fn(&Link) -> bool) -> Vec<&Link> {
        self.links.values().map(Arc::as_ref).filter(|link| crosses(link)).collect()
    }

    /// How far down a socket is.
    fn height(&self, node: Id, slot: usize) -> f32 {
        self.node(node).map_or(0.0, |node| node.pos[1] + slot as f32)
    }

    /// A subgraph of some of the nodes.
    fn cut(
        &self,
        id: &str,
        name: &str,
        ids: &BTreeSet<Id>,
        inputs: &[Port],
        outputs: &[Port],
    ) -> Self {
        let [left, top, right, _] = self.bounds_of(ids);
        let border = |id: Id, x: f32| json!({"id": id, "bounding": [x, top, 160, 80]});
        let slots = |ports: &[Port]| -> Vec<Json> { ports.iter().map(Port::border).collect() };
        let json = json!({"id": id, "version": 1, "revision": 0, "config": {}, "name": name,
            "state": {"lastGroupId": 0, "lastNodeId": 0, "lastLinkId": 0, "lastRerouteId": 0},
            "inputNode": border(INPUTS, left - 240.0), "outputNode": border(OUTPUTS, right + 80.0),
            "inputs": slots(inputs), "outputs": slots(outputs), "widgets": [], "nodes": [],
            "groups": [], "links": [], "extra": {}});
        let mut inner = Self::from_json(&json).expect("a graph without nodes");
        for node in self.nodes().filter(|node| ids.contains(&node.id)) {
            inner.push(node.unlinked());
        }
        inner.groups = self.groups_of(ids).into_iter().map(|i| self.groups[i].clone()).collect();
        for (id, link) in &self.links {
            if ids.contains(&link.from) && ids.contains(&link.to) {
                let points = self.chain(link).into_iter().map(|r| (r, self.reroutes[&r].pos));
                inner.take_link(*id, link, points.collect());
            }
        }
        for (i, port) in inputs.iter().enumerate() {
            for to in &port.to {
                inner.link((INPUTS, i), *to);
            }
        }
        for (i, port) in outputs.iter().enumerate() {
            inner.link(port.from, (OUTPUTS, i));
        }
        inner
    }

    fn take_link(&mut self, id: LinkId, link: &Link, points: Vec<(RerouteId, [f32; 2])>) {
        let parent = self.take_points(points);
        self.links.insert(id, Arc::new(Link { parent, raw: None, ..link.clone() }));
        self.last.link = self.last.link.max(id);
    }

    /// Adds those that are not there yet as a chain; its end.
    fn take_points(&mut self, points: Vec<(RerouteId, [f32; 2])>) -> Option<RerouteId> {
        let mut parent = None;
        for (id, pos) in points {
            self.reroutes.entry(id).or_insert_with(|| Reroute::new(id, pos, parent));
            self.last.reroute = self.last.reroute.max(id);
            parent = Some(id);
        }
        parent
    }

    /// The groups that have some of these nodes in them, and no others.
    fn groups_of(&self, ids: &BTreeSet<Id>) -> Vec<usize> {
        let is_in = |[x, y, w, h]: [f32; 4], node: &Node| {
            let [left, top, right, bottom] = node.bounds();
            let [dx, dy] = [(left + right) / 2.0 - x, (top + bottom) / 2.0 - y];
            (0.0..=w).contains(&dx) && (0.0..=h).contains(&dy)
        };
        let only_these = |frame: [f32; 4]| {
            let mut inside = self.nodes().filter(|node| is_in(frame, node)).peekable();
            inside.peek().is_some() && inside.all(|node| ids.contains(&node.id))
        };
        let groups = self.groups.iter().enumerate();
        groups.filter(|(_, group)| only_these(group.bounding)).map(|(i, _)| i).collect()
    }

    /// Puts an instance of the subgraph in the place of the nodes that it is made of.
    fn fold(&mut self, class: &str, ids: &BTreeSet<Id>, inputs: &[Port], outputs: &[Port]) -> Id {
        let [left, top, right, bottom] = self.bounds_of(ids);
        let rows = inputs.len().max(outputs.len()) as f32;
        let size = [WIDTH, 2.0 * theme::GAP + theme::ROW * rows.max(1.0)];
        let pos = [(left + right - size[0]) / 2.0, (top + bottom - size[1]) / 2.0];
        let id = self.next_node_id();
        let mut node = Node::bare(id, class, pos.map(f32::round), size);
        node.raw.0.insert("properties".into(), json!({}));
        node.inputs = inputs.iter().map(|port| port.slot.clone()).collect();
        node.outputs = outputs.iter().map(|port| port.slot.clone()).collect();
        for group in self.groups_of(ids).into_iter().rev() {
            self.groups.remove(group);
        }
        self.remove(ids);
        self.push(node);
        for (i, port) in inputs.iter().enumerate() {
            self.link(port.from, (id, i));
            self.retype(port.from.0);
        }
        for (i, port) in outputs.iter().enumerate() {
            for to in &port.to {
                self.link((id, i), *to);
            }
        }
        id
    }

    /// Puts what the subgraph is made of in the place of an instance; the new ids of its nodes.
    fn unfold(&mut self, instance: &Node, inner: &Self) -> BTreeMap<Id, Id> {
        let middle =
            |[left, top, right, bottom]: [f32; 4]| [(left + right) / 2.0, (top + bottom) / 2.0];
        let nodes = || inner.nodes().filter(|node| !node.is_border());
        let (to, from) = (middle(instance.bounds()), middle(super::around(nodes())));
        let by = [(to[0] - from[0]).round(), (to[1] - from[1]).round()];
        let moved = |[x, y]: [f32; 2]| [x + by[0], y + by[1]];
        let mut ids = BTreeMap::new();
        for node in nodes() {
            let id = if self.node(node.id).is_none() { node.id } else { self.next_node_id() };
            ids.insert(node.id, id);
            self.push(Node { id, pos: moved(node.pos), ..node.unlinked() });
        }
        self.groups.extend(inner.groups.iter().cloned().map(|mut group| {
            [group.bounding[0], group.bounding[1]] = moved([group.bounding[0], group.bounding[1]]);
            group
        }));
        let first = self.last.reroute;
        for (from, to, link) in self.unfolded_links(instance, inner, &ids) {
            let points = inner.chain(link).into_iter();
            let points = points.map(|r| (first + r, moved(inner.reroutes[&r].pos))).collect();
            let parent = self.take_points(points);
            let id = self.link(from, to);
            self.set_parent(id, parent);
        }
        self.remove(&BTreeSet::from([instance.id]));
        ids.values().for_each(|id| self.retype(*id));
        ids
    }

    /// The links of a subgraph as they are without its border: what leads to it leads on.
    fn unfolded_links<'a>(
        &self,
        instance: &Node,
        inner: &'a Self,
        ids: &BTreeMap<Id, Id>,
    ) -> Vec<(Socket, Socket, &'a Link)> {
        let input = |slot: usize| {
            let name = &inner.node(INPUTS)?.outputs.get(slot)?.name;
            let link = self.link_into(instance.id, instance.input_for(name, slot)?)?;
            let link = &self.links[&link];
            Some((link.from, link.from_slot))
        };
        let outputs = |slot: usize| {
            let name = inner.node(OUTPUTS).and_then(|node| Some(&node.inputs.get(slot)?.name));
            let named = instance.outputs.iter().position(|output| Some(&output.name) == name);
            let links = self.links_from(instance.id, named.unwrap_or(slot));
            let ends = links.map(|link| (self.links[&link].to, self.links[&link].to_slot));
            ends.collect::<Vec<_>>()
        };
        let mut out = Vec::new();
        for link in inner.links.values() {
            let from = match link.from {
                INPUTS => input(link.from_slot),
                from => ids.get(&from).map(|from| (*from, link.from_slot)),
            };
            let to = match link.to {
                OUTPUTS => outputs(link.to_slot),
                to => ids.get(&to).map(|to| (*to, link.to_slot)).into_iter().collect(),
            };
            out.extend(
                from.into_iter().flat_map(|from| to.iter().map(move |to| (from, *to, &**link))),
            );
        }
        out
    }

    /// The inner node and its widget that an instance shows under the name.
    fn promoted_by(&self, instance: &Node, widget: &str) -> Option<(Id, String)> {
        let promoted = instance.promoted().into_iter().find(|p| p.widget == widget)?;
        match promoted.node {
            Some(node) => Some((node, promoted.widget)),
            None => self.fed_widget(widget),
        }
    }

    /// The values that an instance has of its own, by the inner nodes and widgets that they are for.
    fn values_of(
        &self,
        instance: &Node,
        linked: impl Fn(usize) -> bool,
    ) -> Vec<(Id, String, Json)> {
        let mut values = Vec::new();
        for promoted in instance.promoted().into_iter().filter(|p| !p.value.is_null()) {
            match promoted.node {
                Some(node) if self.node(node).is_some() => {
                    values.push((node, promoted.widget, promoted.value));
                }
                Some(_) => {}
                None if instance.input(&promoted.widget).is_some_and(&linked) => {}
                None => {
                    let fed = self.fed_widgets(&promoted.widget).into_iter();
                    values.extend(fed.map(|(id, widget)| (id, widget, promoted.value.clone())));
                }
            }
        }
        values
    }
}

impl Port {
    /// As an input or output of the subgraph.
    fn border(&self) -> Json {
        let mut slot = Slot::border(&self.slot.name, &self.slot.ty);
        slot.set_label(Some(self.slot.label()).filter(|label| *label != self.slot.name));
        Json::Object(slot.raw.0)
    }
}

/// Links as ports, with names of their own.
fn ports(links: Vec<&Link>, slot: impl Fn(&Link) -> Option<Slot>) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for link in links {
        let (from, to) = ((link.from, link.from_slot), (link.to, link.to_slot));
        if let Some(port) = ports.iter_mut().find(|port| port.from == from) {
            port.to.push(to);
        } else if let Some(mut slot) = slot(link) {
            let taken: Vec<Slot> = ports.iter().map(|port| port.slot.clone()).collect();
            let name = free_name(&slot.name, &taken);
            slot.widget = slot.widget.map(|_| name.clone());
            slot.name = name;
            ports.push(Port { slot, from, to: vec![to] });
        }
    }
    ports
}

impl Node {
    /// The node as it goes into another graph, where links have other numbers.
    fn unlinked(&self) -> Self {
        let mut node = self.clone();
        node.inputs.iter_mut().chain(&mut node.outputs).for_each(Slot::forget_links);
        node
    }
}
