//! The widgets of a subgraph's instance: those of its inner nodes that it shows as its own.
//!
//! A subgraph's input that feeds a widget is a widget of each instance, which has its value. Newer files also
//! list widgets of inner nodes (`proxyWidgets`). Their values are the inner nodes'; an instance may have its
//! own, and then those count. One that shares its subgraph with others gets its own when it is changed.

use super::{
    Control, Doc, File, INPUTS, Id, Node, Widget,
    json::{id, list},
    levels::Level,
    links::REROUTE,
    widgets,
};
use graph::Contract;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;

/// The list of an instance's widgets: pairs of a node's id and a widget's name.
const LIST: &str = "proxyWidgets";

/// Stands in that list for the subgraph's own inputs.
const OWN: &str = "-1";

/// How the widgets begin that may be in that list and are no rows of the instance: the control of a value
/// is beside the value, pictures are below.
const NO_ROWS: [&str; 2] = ["control_after_generate", "$$"];

/// Subgraphs in one another; more is one that holds itself.
const DEEPEST: usize = 64;

/// One of an instance's widgets, as the file has it.
#[derive(Clone, Debug)]
pub(super) struct Promoted {
    /// The inner node; none for an input of the subgraph.
    pub node: Option<Id>,
    pub widget: String,
    /// The instance's own value; null if it has none.
    pub value: Json,
    /// The pair that it was read from.
    raw: Json,
}

impl Promoted {
    pub(super) fn new(node: Option<Id>, widget: &str) -> Self {
        let id = node.map_or_else(|| OWN.to_owned(), |node| node.to_string());
        let raw = json!([id, widget]);
        Self { node, widget: widget.to_owned(), value: Json::Null, raw }
    }

    fn from_json(raw: &Json) -> Self {
        let node = id(&raw[0]).filter(|_| raw[0] != OWN);
        let widget = raw[1].as_str().unwrap_or_default().to_owned();
        Self { node, widget, value: Json::Null, raw: raw.clone() }
    }

    /// Lets it be of another inner node.
    pub(super) fn lead_to(&mut self, node: Id, widget: &str) {
        (self.node, self.widget) = (Some(node), widget.to_owned());
        (self.raw[0], self.raw[1]) = (node.to_string().into(), widget.into());
    }

    /// Its name among the instance's widgets.
    fn name(&self) -> String {
        match self.node {
            None => self.widget.clone(),
            Some(node) => format!("{node}:{}", self.widget),
        }
    }

    fn is_row(&self) -> bool {
        !NO_ROWS.iter().any(|start| self.widget.starts_with(start))
    }
}

impl Node {
    /// Its widgets if it is an instance of a subgraph.
    pub(super) fn promoted(&self) -> Vec<Promoted> {
        let listed = list(&self.raw.0.get("properties").unwrap_or(&Json::Null)[LIST]);
        let own = self.inputs.iter().filter(|slot| slot.widget.is_some());
        let mut all: Vec<Promoted> = match listed {
            [] => own.map(|slot| Promoted::new(None, &slot.name)).collect(),
            listed => listed.iter().map(Promoted::from_json).collect(),
        };
        for (promoted, value) in all.iter_mut().zip(list(&self.values)) {
            promoted.value = value.clone();
        }
        all
    }

    /// Writes them back. Those of inner nodes must be listed; of those that are inputs a file without the
    /// list has the values in the order of the inputs.
    pub(super) fn set_promoted(&mut self, mut all: Vec<Promoted>) {
        let properties = self.raw.0.get("properties").and_then(Json::as_object);
        let listed = properties.is_some_and(|properties| !list_of(properties).is_empty());
        if listed || all.iter().any(|promoted| promoted.node.is_some()) {
            let pairs: Vec<Json> = all.iter().map(|promoted| promoted.raw.clone()).collect();
            let mut properties = properties.cloned().unwrap_or_default();
            properties.insert(LIST.into(), pairs.into());
            self.raw.0.insert("properties".into(), properties.into());
        } else {
            let place = |p: &Promoted| self.inputs.iter().position(|slot| slot.name == p.widget);
            all.sort_by_key(place);
        }
        let mut values: Vec<Json> = all.into_iter().map(|promoted| promoted.value).collect();
        values.truncate(values.iter().rposition(|v| !v.is_null()).map_or(0, |last| last + 1));
        self.values = values.into();
    }
}

fn list_of(properties: &Map<String, Json>) -> &[Json] {
    properties.get(LIST).map_or(&[], |json| list(json))
}

/// Where a promoted widget is: in which subgraph, on which of its nodes, and its name there.
struct Source {
    level: Level,
    node: Id,
    widget: String,
}

impl File {
    /// A node's widgets in order, those that a subgraph promotes too; none if it is not on the open level.
    pub fn widgets(&self, id: Id, contract: &Contract) -> Vec<Widget> {
        self.widgets_at(self.level(), id, contract)
    }

    pub(super) fn widgets_at(&self, level: Level, id: Id, contract: &Contract) -> Vec<Widget> {
        let Some((node, inner)) = self.instance(level, id) else {
            let primitive = self.primitive_widget(level, id, contract, 0);
            return primitive
                .map_or_else(|| widgets(self.doc_at(level), id, contract), |w| vec![w]);
        };
        let rows = node.promoted().into_iter().filter(Promoted::is_row);
        let row = |promoted| self.row(level, id, promoted, contract, 0);
        let mut shown: Vec<Widget> = rows.filter_map(row).collect();
        self.tell_apart(inner, &mut shown);
        shown
    }

    /// The widgets of a node that is no instance.
    fn plain_widgets(
        &self,
        level: Level,
        id: Id,
        contract: &Contract,
        depth: usize,
    ) -> Vec<Widget> {
        match self.primitive_widget(level, id, contract, depth) {
            Some(widget) => vec![widget],
            None => widgets(self.doc_at(level), id, contract),
        }
    }

    /// The widget of that name, also if it is its name within a subgraph further in.
    pub(super) fn widget_at(
        &self,
        level: Level,
        id: Id,
        name: &str,
        contract: &Contract,
        depth: usize,
    ) -> Option<Widget> {
        if self.instance(level, id).is_none() {
            let all = self.plain_widgets(level, id, contract, depth);
            return all.into_iter().find(|widget| widget.name == name);
        }
        let (_, promoted, _) = self.promoted(level, id, name).filter(|_| depth < DEEPEST)?;
        self.row(level, id, promoted, contract, depth + 1)
    }

    /// A promoted widget as the instance has it; `None` if it is not in the subgraph.
    fn row(
        &self,
        level: Level,
        id: Id,
        promoted: Promoted,
        contract: &Contract,
        depth: usize,
    ) -> Option<Widget> {
        let (node, inner) = self.instance(level, id)?;
        let Source { level: there, node: of, widget } = self.source(inner, &promoted)?;
        let mut widget = self.widget_at(there, of, &widget, contract, depth)?;
        widget.name = promoted.name();
        if promoted.node.is_none() {
            let slot = node.input(&promoted.widget)?;
            node.inputs[slot].label().clone_into(&mut widget.label);
            widget.linked = self.doc_at(level).link_into(id, slot).is_some();
        }
        if !promoted.value.is_null() {
            widget.value = promoted.value;
        }
        Some(widget)
    }

    /// Widgets of several inner nodes that are called the same get the nodes' names before theirs.
    fn tell_apart(&self, inner: usize, shown: &mut [Widget]) {
        let labels: Vec<String> = shown.iter().map(|widget| widget.label.clone()).collect();
        let inner = self.doc_at(Level::Subgraph(inner));
        for widget in shown {
            let twice = labels.iter().filter(|label| **label == widget.label).count() > 1;
            let node = widget.name.split_once(':').and_then(|(node, _)| node.parse().ok());
            if let Some(node) = node.filter(|_| twice).and_then(|node| inner.node(node)) {
                widget.label = format!("{}: {}", node.label(), widget.label);
            }
        }
    }

    /// The node, and the place of its subgraph, if it is an instance.
    pub(super) fn instance(&self, level: Level, id: Id) -> Option<(&Node, usize)> {
        let node = self.doc_at(level).node(id)?;
        Some((node, self.place(&node.class)?))
    }

    fn source(&self, inner: usize, promoted: &Promoted) -> Option<Source> {
        let level = Level::Subgraph(inner);
        let (node, widget) = match promoted.node {
            Some(node) => (node, promoted.widget.clone()),
            None => self.doc_at(level).fed_widget(&promoted.widget)?,
        };
        Some(Source { level, node, widget })
    }

    fn promoted(&self, level: Level, id: Id, name: &str) -> Option<(usize, Promoted, Source)> {
        let (node, inner) = self.instance(level, id)?;
        let mut all = node.promoted();
        let exactly = all.iter().position(|promoted| promoted.name() == name);
        let inner_name = |p: &Promoted| p.node.is_some() && p.widget == name;
        let at = exactly.or_else(|| all.iter().position(inner_name))?;
        let promoted = all.swap_remove(at);
        let source = self.source(inner, &promoted)?;
        Some((at, promoted, source))
    }

    /// Sets the value of a widget of a node of the open level; whether there is such a widget.
    pub fn set_widget(&mut self, id: Id, name: &str, value: Json, contract: &Contract) -> bool {
        self.set_widget_at(self.level(), id, name, value, contract, 0)
    }

    pub(super) fn set_widget_at(
        &mut self,
        level: Level,
        id: Id,
        name: &str,
        value: Json,
        contract: &Contract,
        depth: usize,
    ) -> bool {
        if self.instance(level, id).is_none() || depth >= DEEPEST {
            return self.set_primitive(level, id, &value, contract)
                || self.doc_at_mut(level).set_widget(id, name, value, contract);
        }
        let Some((at, promoted, source)) = self.promoted(level, id, name) else { return false };
        let Source { level: inner, node, widget } = source;
        let shared = self.is_shared(inner);
        if promoted.node.is_none() || !promoted.value.is_null() || shared {
            self.store(level, id, at, value.clone());
        }
        // Old front ends know no values of an instance's own and read the inner node's.
        promoted.node.is_none()
            || shared
            || self.set_widget_at(inner, node, &widget, value, contract, depth + 1)
    }

    /// Gives a node a value that no other has: as [`File::set_widget_at`], but the value of an instance is its
    /// own in any case.
    pub(super) fn give(
        &mut self,
        level: Level,
        id: Id,
        name: &str,
        value: Json,
        contract: &Contract,
    ) {
        match self.promoted(level, id, name) {
            Some((at, ..)) => self.store(level, id, at, value),
            None => drop(self.doc_at_mut(level).set_widget(id, name, value, contract)),
        }
    }

    fn is_shared(&self, level: Level) -> bool {
        matches!(level, Level::Subgraph(place) if self.instances_of(place).len() > 1)
    }

    pub(super) fn store(&mut self, level: Level, id: Id, at: usize, value: Json) {
        let Some(node) = self.doc_at_mut(level).node_mut(id) else { return };
        let mut values = list(&node.values).to_vec();
        values.resize(values.len().max(at + 1), Json::Null);
        values[at] = value;
        node.values = values.into();
    }

    /// Sets what becomes of a widget's value after each run; whether the widget has such a control. That of
    /// a promoted widget is the inner node's.
    pub fn set_control(
        &mut self,
        id: Id,
        name: &str,
        control: Control,
        contract: &Contract,
    ) -> bool {
        let (mut level, mut id, mut name) = (self.level(), id, name.to_owned());
        for _ in 0..DEEPEST {
            let Some((_, _, source)) = self.promoted(level, id, &name) else { break };
            (level, id, name) = (source.level, source.node, source.widget);
        }
        self.set_primitive_control(level, id, control, contract)
            || self.doc_at_mut(level).set_control(id, &name, control, contract)
    }

    /// Whether the instance through which the open subgraph was entered shows a widget of one of its nodes,
    /// though it is no input of the subgraph.
    pub fn is_promoted(&self, id: Id, widget: &str) -> bool {
        let entered = self.entered();
        let node = entered.and_then(|(level, instance)| self.doc_at(level).node(instance));
        let all = node.map(Node::promoted).unwrap_or_default();
        all.iter().any(|p| p.node == Some(id) && p.widget == widget_of(widget))
    }

    /// Whether an input of the open subgraph feeds a widget of one of its nodes: it is one of the instances
    /// then.
    pub fn is_input(&self, id: Id, widget: &str) -> bool {
        let inputs = self.doc().node(INPUTS).map_or(&[][..], |border| &border.outputs);
        let fed = inputs.iter().flat_map(|input| self.doc().fed_widgets(&input.name));
        fed.into_iter().any(|(node, name)| node == id && name == widget)
    }

    /// Lets all instances of the open subgraph show a widget of one of its nodes, or no longer; one that is
    /// an input of the subgraph stays one.
    pub fn promote(&mut self, id: Id, widget: &str, shown: bool) {
        let Level::Subgraph(inner) = self.level() else { return };
        let widget = widget_of(widget);
        for (level, instance) in self.instances_of(inner) {
            let Some(node) = self.doc_at_mut(level).node_mut(instance) else { continue };
            let mut all = node.promoted();
            let is_it = |p: &Promoted| p.node == Some(id) && p.widget == widget;
            let there = all.iter().any(is_it);
            match shown {
                true if !there => all.push(Promoted::new(Some(id), widget)),
                false if there => all.retain(|promoted| !is_it(promoted)),
                _ => continue,
            }
            node.set_promoted(all);
        }
    }

    /// Changes values on all levels as their controls say: to be called after each run is queued.
    pub fn after_queue(&mut self, contract: &Contract) {
        for level in self.levels() {
            self.doc_at_mut(level).after_queue(contract);
            for (id, name, next) in self.next_values(level, contract) {
                self.set_widget_at(level, id, &name, next, contract, 0);
            }
        }
    }

    /// What comes after the values that instances, and primitives before them, have of their own.
    fn next_values(&self, level: Level, contract: &Contract) -> Vec<(Id, String, Json)> {
        let ids = || self.doc_at(level).nodes().map(|node| node.id);
        let primitives =
            ids().filter_map(|id| Some((id, self.primitive_widget(level, id, contract, 0)?)));
        let primitives =
            primitives.filter_map(|(id, w)| Some((id, w.name.clone(), w.next(w.control?)?)));
        let instances = ids().filter_map(|id| Some((id, self.instance(level, id)?.0)));
        let next = instances.flat_map(|(id, node)| {
            let all = node.promoted().into_iter();
            let own = all.filter(|p| p.node.is_none() || !p.value.is_null());
            let own: Vec<String> = own.map(|promoted| promoted.name()).collect();
            let shown = self.widgets_at(level, id, contract).into_iter();
            let shown = shown.filter(move |w| !w.linked && own.contains(&w.name));
            shown.filter_map(move |w| Some((id, w.name.clone(), w.next(w.control?)?)))
        });
        next.chain(primitives).collect()
    }
}

/// The name of a widget in the list of the level above: without the node within a subgraph further in.
fn widget_of(name: &str) -> &str {
    name.split_once(':').filter(|(node, _)| node.parse::<Id>().is_ok()).map_or(name, |(_, w)| w)
}

impl Doc {
    /// The node, and its widget, that an input of this subgraph feeds first.
    pub(super) fn fed_widget(&self, input: &str) -> Option<(Id, String)> {
        self.fed_widgets(input).into_iter().next()
    }

    /// The widgets that an input of this subgraph feeds, by their nodes; through old reroutes too.
    pub(super) fn fed_widgets(&self, input: &str) -> Vec<(Id, String)> {
        let slots = self.node(INPUTS).map_or(&[][..], |node| &node.outputs);
        let slot = slots.iter().position(|slot| slot.name == input);
        let mut open: Vec<_> = slot.into_iter().map(|slot| (INPUTS, slot)).collect();
        let (mut seen, mut fed) = (BTreeSet::new(), Vec::new());
        while let Some(from) = open.pop().filter(|from| seen.insert(*from)) {
            for link in self.links_from(from.0, from.1).map(|link| &self.links[&link]) {
                let Some(node) = self.node(link.to) else { continue };
                let widget = node.inputs.get(link.to_slot).and_then(|slot| slot.widget.clone());
                fed.extend(widget.map(|widget| (link.to, widget)));
                open.extend((node.class == REROUTE).then_some((link.to, 0)));
            }
        }
        fed
    }
}
