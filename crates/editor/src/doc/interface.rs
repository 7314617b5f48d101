//! The inputs and outputs of a subgraph: changing them, and the instances that follow.

use super::{
    Doc, File, INPUTS, Id, Link, LinkId, Node, OUTPUTS, Slot, levels::Level, promoted::Promoted,
};
use serde_json::Value as Json;
use std::sync::Arc;

impl Slot {
    /// Names it for people; the name that files use stays.
    pub(super) fn set_label(&mut self, label: Option<&str>) {
        match label.filter(|label| !label.is_empty()) {
            Some(label) => drop(self.raw.0.insert("label".into(), label.into())),
            None => drop(self.raw.0.shift_remove("label")),
        }
    }
}

impl Doc {
    /// The sockets of a node of the border.
    fn border_slots(&self, border: Id) -> &[Slot] {
        self.node(border)
            .map_or(&[], |node| if border == INPUTS { &node.outputs } else { &node.inputs })
    }

    fn border_slots_mut(&mut self, border: Id) -> Option<&mut Vec<Slot>> {
        let node = self.node_mut(border).filter(|node| node.is_border())?;
        Some(if border == INPUTS { &mut node.outputs } else { &mut node.inputs })
    }

    /// What people read beside an input or output of this subgraph.
    pub fn border_label(&self, border: Id, slot: usize) -> Option<&str> {
        Some(self.border_slots(border).get(slot)?.label())
    }

    /// Sets what people read beside an input or output of this subgraph; an empty name is the one that files use.
    pub fn rename_border(&mut self, border: Id, slot: usize, label: &str) {
        if let Some(slot) = self.border_slots_mut(border).and_then(|slots| slots.get_mut(slot)) {
            let own = slot.name == label.trim();
            slot.set_label(Some(label.trim()).filter(|_| !own));
        }
    }

    /// Moves an input or output of this subgraph to another place among its kind.
    pub fn move_border(&mut self, border: Id, from: usize, to: usize) {
        let Some(slots) = self.border_slots_mut(border) else { return };
        if from >= slots.len() || to >= slots.len() {
            return;
        }
        let slot = slots.remove(from);
        slots.insert(to, slot);
        let mut places: Vec<usize> = (0..slots.len()).collect();
        let place = places.remove(from);
        places.insert(to, place);
        self.renumber(border, border == INPUTS, |old| places.iter().position(|p| *p == old));
    }

    /// Takes an input or output of this subgraph away, its links with it.
    pub fn remove_border(&mut self, border: Id, slot: usize) {
        let Some(slots) = self.border_slots_mut(border).filter(|slots| slot < slots.len()) else {
            return;
        };
        slots.remove(slot);
        self.renumber(border, border == INPUTS, |old| match old.cmp(&slot) {
            std::cmp::Ordering::Less => Some(old),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(old - 1),
        });
    }

    /// Gives the links of a node's outputs, or inputs, the new places of their sockets; those of sockets that
    /// are gone go.
    fn renumber(&mut self, node: Id, outputs: bool, new: impl Fn(usize) -> Option<usize>) {
        let slot = |link: &Link| if outputs { link.from_slot } else { link.to_slot };
        let here = |link: &Link| if outputs { link.from == node } else { link.to == node };
        let links = self.links.iter().filter(|(_, link)| here(link));
        let links: Vec<(LinkId, usize)> = links.map(|(id, link)| (*id, slot(link))).collect();
        for (id, old) in links {
            match new(old) {
                None => self.disconnect(id),
                Some(new) if new == old => {}
                Some(new) => {
                    let link = self.links.get_mut(&id).expect("it is there");
                    Arc::make_mut(link).set_slot(outputs, new);
                }
            }
        }
    }

    fn faces(&self, border: Id) -> Vec<Face> {
        let face = |slot: &Slot| Face {
            id: slot.raw.0.get("id").cloned().unwrap_or_default(),
            name: slot.name.clone(),
            label: slot.raw.0.get("label").and_then(Json::as_str).map(str::to_owned),
            ty: slot.ty.clone(),
            widget: border == INPUTS && self.fed_widget(&slot.name).is_some(),
        };
        self.border_slots(border).iter().map(face).collect()
    }
}

/// What an input or output of a subgraph looks like from outside.
#[derive(Clone, Debug, PartialEq)]
struct Face {
    id: Json,
    name: String,
    label: Option<String>,
    ty: String,
    /// Whether it is a widget of the instances.
    widget: bool,
}

impl Face {
    fn is(&self, other: &Self) -> bool {
        if self.id.is_null() { self.name == other.name } else { self.id == other.id }
    }

    /// Makes an instance's socket look like it; a new one if there was none.
    fn slot(&self, old: Option<&Slot>, input: bool) -> Slot {
        let new = || if input { Slot::input("", "*") } else { Slot::output("", "*") };
        let mut slot = old.cloned().unwrap_or_else(new);
        slot.name.clone_from(&self.name);
        slot.ty.clone_from(&self.ty);
        slot.widget = self.widget.then(|| self.name.clone());
        slot.set_label(self.label.as_deref());
        slot
    }
}

impl File {
    /// Lets instances have the inputs and outputs that their subgraphs now have, where these have changed.
    pub(super) fn follow(&mut self, before: &Self) {
        for place in 0..self.definitions.len() {
            let new = &self.definitions[place];
            let Some(old) = before.definition(&new.id) else { continue };
            if Arc::ptr_eq(&old.doc, &new.doc) {
                continue;
            }
            for border in [INPUTS, OUTPUTS] {
                let (old, new) = (old.doc.faces(border), self.definitions[place].doc.faces(border));
                if old != new {
                    for (level, id) in self.instances_of(place) {
                        self.doc_at_mut(level).conform(id, border == INPUTS, &old, &new);
                    }
                }
            }
        }
    }

    /// Names the subgraph that is open.
    pub fn rename_subgraph(&mut self, name: &str) {
        if let Level::Subgraph(place) = self.level()
            && !name.trim().is_empty()
        {
            self.definitions[place].name = name.trim().into();
        }
    }
}

impl Doc {
    fn conform(&mut self, id: Id, inputs: bool, old: &[Face], new: &[Face]) {
        let Some(node) = self.node(id) else { return };
        let slots = if inputs { &node.inputs } else { &node.outputs };
        let place = |face: &Face| {
            let was = old.iter().position(|old| face.is(old))?;
            let named = slots.iter().position(|slot| slot.name == old[was].name);
            named.or(Some(was).filter(|was| *was < slots.len()))
        };
        let places: Vec<Option<usize>> = new.iter().map(place).collect();
        let made = new.iter().zip(&places);
        let made = made.map(|(face, old)| face.slot(old.and_then(|i| slots.get(i)), inputs));
        let (made, promoted): (Vec<Slot>, _) = (made.collect(), node.promoted());
        self.renumber(id, !inputs, |old| places.iter().position(|place| *place == Some(old)));
        let node = self.node_mut(id).expect("it is there");
        if inputs {
            node.inputs = made;
            node.set_promoted(following(promoted, new));
        } else {
            node.outputs = made;
        }
    }
}

/// The widgets of an instance, without those of inputs that are none any more, with those that are new.
fn following(mut all: Vec<Promoted>, new: &[Face]) -> Vec<Promoted> {
    let is_of = |face: &Face, p: &Promoted| p.node.is_none() && p.widget == face.name;
    all.retain(|p| p.node.is_some() || new.iter().any(|face| face.widget && is_of(face, p)));
    for face in new.iter().filter(|face| face.widget) {
        if !all.iter().any(|p| is_of(face, p)) {
            all.push(Promoted::new(None, &face.name));
        }
    }
    all
}

impl Node {
    /// The place of an instance's input that stands for the subgraph's input of that name and place.
    pub(super) fn input_for(&self, name: &str, place: usize) -> Option<usize> {
        self.input(name).or(Some(place).filter(|place| *place < self.inputs.len()))
    }
}
