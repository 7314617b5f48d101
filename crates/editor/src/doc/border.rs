//! The border of a subgraph: its inputs and its outputs, as two nodes.

use super::{
    Doc, INPUTS, Node, OUTPUTS, Slot,
    json::{Ends, Raw, coordinates, numbers},
};
use serde_json::{Map, Value as Json};

impl Doc {
    pub(super) fn border_from(&mut self, raw: &mut Raw) {
        let [left, top, right, _] = super::around(self.nodes());
        for (id, title, key, list, pos) in [
            (INPUTS, "Inputs", "inputNode", "inputs", [left - 240.0, top]),
            (OUTPUTS, "Outputs", "outputNode", "outputs", [right + 80.0, top]),
        ] {
            let slots = raw.take_list(list);
            if slots.is_empty() && !raw.0.contains_key(key) || self.node(id).is_some() {
                continue;
            }
            let slots: Vec<Slot> = slots.iter().map(Slot::from_json).collect();
            let frame = raw.0.get(key).map(|node| numbers(&node["bounding"]));
            let [x, y, w, h] = frame.unwrap_or([pos[0], pos[1], 160.0, 0.0]);
            let height = crate::theme::ROW * (slots.len() + 1) as f32;
            let mut node = Node::bare(id, title, [x, y], [w.max(120.0), h.max(height)]);
            if id == INPUTS {
                node.outputs = slots
            } else {
                node.inputs = slots
            }
            self.push(node);
        }
    }

    pub(super) fn border_into(&self, out: &mut Map<String, Json>, ends: &Ends) {
        if let Some(node) = self.node(INPUTS) {
            let slots = node.outputs.iter().enumerate();
            let slots = slots.map(|(i, slot)| slot.to_json("linkIds", ends.out_of(INPUTS, i)));
            Raw::put_list(out, "inputs", slots.collect());
            node.frame_into(out, "inputNode");
        }
        if let Some(node) = self.node(OUTPUTS) {
            let slots = node.inputs.iter().enumerate();
            let slots = slots.map(|(i, slot)| slot.to_json("linkIds", ends.feeding(OUTPUTS, i)));
            Raw::put_list(out, "outputs", slots.collect());
            node.frame_into(out, "outputNode");
        }
    }
}

impl Node {
    fn frame_into(&self, out: &mut Map<String, Json>, key: &str) {
        if let Some(Json::Object(frame)) = out.get_mut(key) {
            let [_, _, w, h]: [f32; 4] = numbers(frame.get("bounding").unwrap_or(&Json::Null));
            let bounding = [self.pos[0], self.pos[1], w, h];
            Raw::set(frame, "bounding", &bounding, numbers, |b| coordinates(b));
        }
    }
}
