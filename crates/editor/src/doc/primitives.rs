//! Primitives that feed an input of a subgraph's instance: they have the widget that the instance has for it.

use super::{Control, File, Id, Widget, json::list, levels::Level, links::PRIMITIVE};
use graph::Contract;
use serde_json::{Value as Json, json};

/// What a primitive's widget is called, and where its value and its control are stored.
const NAME: &str = "value";
const VALUE: usize = 0;
const CONTROL: usize = 1;

impl File {
    /// The widget of a primitive that feeds an instance. Of all other nodes their level alone tells what
    /// widgets they have.
    pub(super) fn primitive_widget(
        &self,
        level: Level,
        id: Id,
        contract: &Contract,
        depth: usize,
    ) -> Option<Widget> {
        let doc = self.doc_at(level);
        let node = doc.node(id).filter(|node| node.class == PRIMITIVE)?;
        let link = doc.links.values().find(|link| link.from == id)?;
        let input = &self.instance(level, link.to)?.0.inputs.get(link.to_slot)?.name;
        let mut widget = self.widget_at(level, link.to, input, contract, depth + 1)?;
        let ty = widget.spec.as_ref().map_or("", |spec| &spec.ty);
        let control = list(&node.values).get(CONTROL).and_then(Control::read);
        widget.control =
            ["INT", "FLOAT", "COMBO"].contains(&ty).then(|| control.unwrap_or(Control::Fixed));
        widget.value = list(&node.values).get(VALUE).cloned().unwrap_or(widget.value);
        widget.linked = false;
        (widget.name, widget.label) = (NAME.into(), NAME.into());
        Some(widget)
    }

    /// Sets the value of such a widget; whether the node has one.
    pub(super) fn set_primitive(
        &mut self,
        level: Level,
        id: Id,
        value: &Json,
        contract: &Contract,
    ) -> bool {
        let there = self.primitive_widget(level, id, contract, 0).is_some();
        if there {
            self.store(level, id, VALUE, value.clone());
        }
        there
    }

    /// Sets the control of such a widget; whether the node has one.
    pub(super) fn set_primitive_control(
        &mut self,
        level: Level,
        id: Id,
        control: Control,
        contract: &Contract,
    ) -> bool {
        let widget = self.primitive_widget(level, id, contract, 0);
        let there = widget.is_some_and(|widget| widget.control.is_some());
        if there {
            self.store(level, id, CONTROL, json!(control.word()));
        }
        there
    }
}
