//! A node's widgets: their values, and what becomes of them after each run.

use super::{Doc, Id, Node, edit::default_values, links::PRIMITIVE};
use graph::{Class, Contract, WidgetPlace, WidgetSpec, widget_places};
use serde_json::{Value as Json, json};
use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
};

/// A widget as it is shown.
#[derive(Clone, Debug)]
pub struct Widget {
    /// Of the input that it stands for; with the inner node's id before it if a subgraph promotes it.
    pub name: String,
    /// What its row says.
    pub label: String,
    /// The class and the input that it is of: the inner node's if a subgraph promotes it.
    pub class: String,
    pub input: String,
    /// What the contract says of it; a widget that only the file knows has none.
    pub spec: Option<WidgetSpec>,
    /// Null if the file has none and the class has no default.
    pub value: Json,
    pub control: Option<Control>,
    /// Whether a link feeds the input, so that the value does not count.
    pub linked: bool,
}

/// What becomes of a value after each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Fixed,
    Increment,
    /// As [`Control::Increment`], and from the last value on to the first.
    IncrementWrap,
    Decrement,
    Randomize,
}

impl Control {
    pub const ALL: [Self; 5] =
        [Self::Fixed, Self::Increment, Self::IncrementWrap, Self::Decrement, Self::Randomize];

    /// As files spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Increment => "increment",
            Self::IncrementWrap => "increment-wrap",
            Self::Decrement => "decrement",
            Self::Randomize => "randomize",
        }
    }

    /// Old editors only said whether to randomize.
    pub(super) fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(true) => Some(Self::Randomize),
            Json::Bool(false) => Some(Self::Fixed),
            word => Self::ALL.into_iter().find(|control| *word == control.word()),
        }
    }
}

/// A node's widgets in order; none if it is not there.
pub fn widgets(doc: &Doc, id: Id, contract: &Contract) -> Vec<Widget> {
    let Some(node) = doc.node(id) else { return vec![] };
    let fed: Vec<usize> = doc.links.values().filter(|l| l.to == id).map(|l| l.to_slot).collect();
    widgets_of(doc, node, contract, |slot| fed.contains(&slot))
}

/// The same for who knows which inputs have links: looking for them takes long in a large graph.
pub fn widgets_of(
    doc: &Doc,
    node: &Node,
    contract: &Contract,
    fed: impl Fn(usize) -> bool,
) -> Vec<Widget> {
    let class = doc.class(node, contract);
    let is_fed = |name: &str| {
        node.inputs.iter().enumerate().any(|(slot, input)| input.is_for(name) && fed(slot))
    };
    let places = node.places(class.as_deref()).into_iter();
    let widgets = places.map(|place| Widget {
        name: place.name.to_owned(),
        label: place.name.to_owned(),
        class: node.class.clone(),
        input: place.name.to_owned(),
        value: node.value(&place).cloned().unwrap_or_else(|| default(place.spec)),
        control: node.control(&place),
        linked: is_fed(place.name),
        spec: place.spec.cloned(),
    });
    widgets.collect()
}

fn default(spec: Option<&WidgetSpec>) -> Json {
    spec.and_then(|spec| default_values(spec, "").next()).unwrap_or_default()
}

impl super::Slot {
    /// Whether it is the socket of a widget.
    pub fn is_for(&self, widget: &str) -> bool {
        self.widget.as_deref().unwrap_or(&self.name) == widget
    }
}

impl Node {
    /// Where its values are, in the order of its widgets.
    fn places<'a>(&'a self, class: Option<&'a Class>) -> Vec<WidgetPlace<'a>> {
        if let (Json::Object(by_name), None) = (&self.values, class) {
            let named =
                |name: &'a String| WidgetPlace { name, spec: None, value: None, state: None };
            return by_name.keys().map(named).collect();
        }
        let own = self.inputs.iter().filter(|slot| slot.widget.is_some());
        let own = own.map(|slot| (slot.name.as_str(), slot.ty.as_str()));
        let places = widget_places(own, self.list(), class).into_iter();
        places.filter(|p| p.spec.is_none_or(|spec| !spec.forced)).collect()
    }

    fn list(&self) -> &[Json] {
        self.values.as_array().map_or(&[], Vec::as_slice)
    }

    fn value(&self, place: &WidgetPlace) -> Option<&Json> {
        match &self.values {
            Json::Object(by_name) => by_name.get(place.name),
            _ => self.list().get(place.value?),
        }
    }

    fn control(&self, place: &WidgetPlace) -> Option<Control> {
        let stored = place.state.and_then(|at| Control::read(&self.list()[at]));
        // A file without the state is one whose seeds stay.
        stored.or(place.spec.filter(|spec| spec.control).map(|_| Control::Fixed))
    }
}

impl Doc {
    /// What the contract, or the editor itself, says of the node's class.
    pub(super) fn class<'a>(&self, node: &Node, contract: &'a Contract) -> Option<Cow<'a, Class>> {
        match node.class.as_str() {
            "Note" | "MarkdownNote" => Some(Cow::Owned(class_of(text_box()))),
            PRIMITIVE => self.primitive(node, contract).map(Cow::Owned),
            class => contract.0.get(class).map(Cow::Borrowed),
        }
    }

    /// A primitive has the widget of the first input that it feeds.
    fn primitive(&self, node: &Node, contract: &Contract) -> Option<Class> {
        let link = self.links.values().find(|l| l.from == node.id)?;
        let target = self.node(link.to).filter(|target| target.class != PRIMITIVE)?;
        let input = target.inputs.get(link.to_slot)?;
        let class = self.class(target, contract)?;
        let spec = class.widgets.iter().find(|spec| input.is_for(&spec.name))?;
        let control = matches!(spec.ty.as_str(), "INT" | "FLOAT" | "COMBO");
        Some(class_of(WidgetSpec { name: "value".into(), control, upload: false, ..spec.clone() }))
    }

    /// Sets a widget's value; whether there is such a widget.
    pub fn set_widget(&mut self, id: Id, name: &str, value: Json, contract: &Contract) -> bool {
        let Some(node) = self.node(id) else { return false };
        let class = self.class(node, contract);
        let Some(place) = node.places(class.as_deref()).into_iter().find(|p| p.name == name) else {
            return false;
        };
        if node.value(&place) == Some(&value) {
            return true;
        }
        let mut values = node.values.clone();
        match &mut values {
            Json::Object(by_name) => drop(by_name.insert(name.to_owned(), value)),
            _ => {
                let (mut list, at) = node.completed(class.as_deref(), name);
                list[at] = value;
                values = list.into();
            }
        }
        self.node_mut(id).expect("it is there").values = values;
        true
    }

    /// Sets what becomes of a widget's value after each run; whether the widget has such a control.
    pub fn set_control(
        &mut self,
        id: Id,
        name: &str,
        control: Control,
        contract: &Contract,
    ) -> bool {
        let Some(node) = self.node(id) else { return false };
        let class = self.class(node, contract);
        let places = node.places(class.as_deref());
        let Some(place) = places.iter().find(|p| p.name == name && node.control(p).is_some())
        else {
            return false;
        };
        let (mut list, value) = node.completed(class.as_deref(), name);
        let state = place.state.unwrap_or(value + 1);
        let stored = list.get(state).is_some_and(|state| Control::read(state).is_some());
        if place.state.is_some() || place.value.is_none() && stored {
            list[state] = json!(control.word());
        } else {
            list.insert(state, json!(control.word()));
        }
        self.node_mut(id).expect("it is there").values = list.into();
        true
    }

    /// The place of the input that stands for a widget, so that it can be linked; old files have none until
    /// then.
    pub fn widget_input(&mut self, id: Id, name: &str, contract: &Contract) -> Option<usize> {
        let node = self.node(id)?;
        if let Some(input) = node.inputs.iter().position(|slot| slot.is_for(name)) {
            return Some(input);
        }
        let class = self.class(node, contract)?;
        let spec = class.widgets.iter().find(|spec| spec.name == name)?;
        let slot = super::Slot::widget(name, &spec.ty);
        let node = self.node_mut(id)?;
        node.inputs.push(slot);
        Some(node.inputs.len() - 1)
    }

    /// Changes values as their controls say: to be called after each run is queued. Whether any changed.
    pub fn after_queue(&mut self, contract: &Contract) -> bool {
        let mut changes = Vec::new();
        for node in self.nodes() {
            for widget in widgets(self, node.id, contract).into_iter().filter(|w| !w.linked) {
                let next = widget.control.and_then(|control| widget.next(control));
                changes.extend(next.map(|next| (node.id, widget.name, next)));
            }
        }
        let any = !changes.is_empty();
        for (id, name, value) in changes {
            self.set_widget(id, &name, value, contract);
        }
        any
    }
}

impl Node {
    /// All values, with defaults where the file ends early, and the place of the widget's. The widget must
    /// be one of the node's.
    fn completed(&self, class: Option<&Class>, name: &str) -> (Vec<Json>, usize) {
        let mut list = self.list().to_vec();
        let mut at = None;
        for place in self.places(class) {
            let here = place.value.unwrap_or(list.len());
            if place.value.is_none() {
                match place.spec {
                    Some(spec) => list.extend(default_values(spec, "fixed")),
                    None => list.push(Json::Null),
                }
            }
            at = at.or((place.name == name).then_some(here));
        }
        (list, at.expect("the widget is the node's"))
    }
}

impl Widget {
    /// What comes after the value; `None` if it stays.
    pub(super) fn next(&self, control: Control) -> Option<Json> {
        let spec = self.spec.as_ref()?;
        match &self.value {
            Json::Number(_) if spec.ty == "FLOAT" => {
                next_float(spec, self.value.as_f64()?, control)
            }
            Json::Number(_) => next_whole(spec, whole(&self.value)?, control),
            value => next_choice(spec, value, control),
        }
    }
}

/// Seeds stay below this, as in the usual front end, whose numbers are floats.
const LARGEST: i128 = 1 << 50;

fn next_whole(spec: &WidgetSpec, value: i128, control: Control) -> Option<Json> {
    let [min, max] = &spec.limits;
    let (min, max) = (whole(min).unwrap_or(0), whole(max).unwrap_or(LARGEST));
    let step = whole(&spec.step).unwrap_or(1).max(1);
    let next = match control {
        Control::Fixed => return None,
        Control::IncrementWrap if value + step > max => min,
        Control::Increment | Control::IncrementWrap => (value + step).min(max),
        Control::Decrement => (value - step).max(min),
        Control::Randomize => {
            let (min, max) = (min.max(-LARGEST), max.min(LARGEST));
            min + i128::from(by_chance()) % ((max - min) / step + 1).max(1) * step
        }
    };
    // All between the limits are numbers of one kind or the other.
    Some(u64::try_from(next).map_or_else(|_| json!(next as i64), |next| json!(next)))
}

fn next_float(spec: &WidgetSpec, value: f64, control: Control) -> Option<Json> {
    let [min, max] = &spec.limits;
    let (min, max) = (min.as_f64().unwrap_or(0.0), max.as_f64().unwrap_or(1.0));
    let step = spec.step.as_f64().filter(|step| *step > 0.0).unwrap_or(0.1);
    let next = match control {
        Control::Fixed => return None,
        Control::IncrementWrap if value + step > max => min,
        Control::Increment | Control::IncrementWrap => (value + step).min(max),
        Control::Decrement => (value - step).max(min),
        Control::Randomize => {
            let steps = ((max - min) / step).floor().clamp(0.0, LARGEST as f64);
            (min + (by_chance() % (steps as u64 + 1)) as f64 * step).min(max)
        }
    };
    Some(json!(next))
}

fn next_choice(spec: &WidgetSpec, value: &Json, control: Control) -> Option<Json> {
    let at = spec.choices.iter().position(|choice| choice == value)?;
    let last = spec.choices.len() - 1;
    let next = match control {
        Control::Fixed => return None,
        Control::IncrementWrap if at == last => 0,
        Control::Increment | Control::IncrementWrap => (at + 1).min(last),
        Control::Decrement => at.saturating_sub(1),
        Control::Randomize => usize::try_from(by_chance()).unwrap_or(0) % (last + 1),
    };
    Some(spec.choices[next].clone())
}

fn whole(json: &Json) -> Option<i128> {
    let float = || json.as_f64().filter(|n| n.abs() <= LARGEST as f64).map(|n| n as i128);
    json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from)).or_else(float)
}

/// A number that nobody can foresee.
pub(super) fn by_chance() -> u64 {
    RandomState::new().hash_one(0)
}

fn class_of(spec: WidgetSpec) -> Class {
    Class { widgets: vec![spec], ..Class::default() }
}

fn text_box() -> WidgetSpec {
    WidgetSpec {
        name: "text".into(),
        ty: "STRING".into(),
        default: "".into(),
        choices: vec![],
        limits: [Json::Null, Json::Null],
        step: Json::Null,
        multiline: true,
        dynamic: false,
        forced: false,
        control: false,
        upload: false,
    }
}
