//! Nodes and their types.

use crate::{
    Args, Context, Field, Gate, Host, Json, List, Result, Value,
    value::Take,
    widget::{Choices, Widget},
};
use serde_json::{Map, json};

/// What runs when the graph reaches the node.
pub trait Node: Inputs + 'static {
    /// Where the node sits in menus, as `a/b`.
    const CATEGORY: &'static str;
    /// The title in menus; if empty, the class name with spaces at its capitals.
    const TITLE: &'static str = "";
    /// The names of the outputs, if not those of their types.
    const OUTPUT_NAMES: &'static [&'static str] = &[];
    /// Whether the node is a reason to run a graph, as `SaveImage` is.
    const OUTPUT_NODE: bool = false;
    /// Whether two nodes that are fed the same give the same, so that one of them need not run.
    const IDEMPOTENT: bool = true;
    type Output: Outputs;
    /// The [`Lazy`](crate::Lazy) inputs that the node cannot do without, seen from what has come so far.
    /// It is asked again when they have come, until it wants nothing more.
    fn needs(&self) -> Vec<&'static str> {
        Vec::new()
    }
    fn run(self, ctx: &mut Context) -> Result<Self::Output>;
}

/// The declared inputs of a node; implemented by `#[derive(Inputs)]`.
pub trait Inputs: Sized {
    const NAME: &'static str;
    const DOC: &'static str;
    fn inputs() -> Vec<Input>;
    fn take(args: &mut Args) -> Result<Self>;
}

/// One declared input: a socket, and a widget if it can be typed in.
pub struct Input {
    pub name: &'static str,
    pub doc: &'static str,
    /// The socket's type; for drop-down lists `COMBO`.
    pub ty: &'static str,
    pub optional: bool,
    /// Whether the node takes all values of a list at once.
    pub list: bool,
    /// Whether what feeds it runs only if the node asks for it.
    pub lazy: bool,
    /// `default`, `min`, `max`, `step`, ... by their names in ComfyUI's `object_info`.
    pub options: Map<String, Json>,
    pub choices: Option<Choices>,
    /// Coerces a literal as ComfyUI does; `None` for inputs that need a link.
    pub read: Option<fn(&Json) -> Result<Value>>,
}

impl Input {
    /// Called by the derive: `T` is the field's type, `Option<_>` makes the input optional.
    pub fn new<T: Take>(
        name: &'static str,
        doc: &'static str,
        widget: Option<Widget<T::Field>>,
    ) -> Self {
        let widget = widget.or_else(T::Field::widget);
        let (options, choices, read) = match widget {
            Some(w) => (w.options, w.choices, Some(w.read)),
            None => (Map::new(), None, None),
        };
        let ty = if choices.is_some() { "COMBO" } else { T::Field::TYPE };
        let (optional, list, lazy) = (T::OPTIONAL, T::LIST, T::LAZY);
        Self { name, doc, ty, optional, list, lazy, options, choices, read }
    }

    /// What the drop-down list offers now; `None` if the input is no list.
    pub fn names(&self, host: &dyn Host) -> Option<Vec<String>> {
        Some(match self.choices.as_ref()? {
            Choices::Names(names) => names.iter().map(|n| (*n).to_owned()).collect(),
            Choices::Files { folder, extra } => {
                let mut names = host.list(folder);
                names.extend(extra.iter().map(|n| (*n).to_owned()));
                names
            }
        })
    }

    /// The folder whose files the input names, if it does.
    pub fn folder(&self) -> Option<&'static str> {
        match self.choices {
            Some(Choices::Files { folder, .. }) => Some(folder),
            _ => None,
        }
    }

    /// The input as `/object_info` shows it: `[type or names, options]`.
    pub fn object_info(&self, host: &dyn Host) -> Json {
        let mut options = self.options.clone();
        if !self.doc.is_empty() {
            options.insert("tooltip".into(), self.doc.into());
        }
        if self.lazy {
            options.insert("lazy".into(), true.into());
        }
        match self.names(host) {
            Some(names) => json!([names, options]),
            None => json!([self.ty, options]),
        }
    }
}

/// One output socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    pub name: &'static str,
    pub ty: &'static str,
    /// Whether it gives a list, for each value of which what follows runs once.
    pub list: bool,
}

/// What leaves a node by one output: a value, or a list of them.
pub trait Slot {
    /// The type, and whether it is a list.
    fn socket() -> (&'static str, bool);
    fn values(self) -> Vec<Value>;
}

impl<T: Field> Slot for T {
    fn socket() -> (&'static str, bool) {
        (T::TYPE, false)
    }
    fn values(self) -> Vec<Value> {
        vec![self.into_value()]
    }
}

impl<T: Field> Slot for List<T> {
    fn socket() -> (&'static str, bool) {
        (T::TYPE, true)
    }
    fn values(self) -> Vec<Value> {
        self.0.into_iter().map(T::into_value).collect()
    }
}

impl<T: Field> Slot for Gate<T> {
    fn socket() -> (&'static str, bool) {
        (T::TYPE, false)
    }
    fn values(self) -> Vec<Value> {
        vec![self.value(T::into_value)]
    }
}

/// Nothing, one slot, or a tuple of them.
pub trait Outputs {
    /// The type of each slot, and whether it is a list.
    fn sockets() -> Vec<(&'static str, bool)>;
    /// The values of each slot.
    fn into_values(self) -> Vec<Vec<Value>>;
}

impl Outputs for () {
    fn sockets() -> Vec<(&'static str, bool)> {
        vec![]
    }
    fn into_values(self) -> Vec<Vec<Value>> {
        vec![]
    }
}

impl<A: Slot> Outputs for A {
    fn sockets() -> Vec<(&'static str, bool)> {
        vec![A::socket()]
    }
    fn into_values(self) -> Vec<Vec<Value>> {
        vec![self.values()]
    }
}

macro_rules! tuples { ($($($name:ident $index:tt),*;)*) => {$(
    impl<$($name: Slot),*> Outputs for ($($name,)*) {
        fn sockets() -> Vec<(&'static str, bool)> { vec![$($name::socket()),*] }
        fn into_values(self) -> Vec<Vec<Value>> { vec![$(self.$index.values()),*] }
    }
)*}}
tuples! {
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
}

/// A node with its Rust type forgotten: what registry, engine, server and editor see.
pub struct NodeType {
    pub name: &'static str,
    pub title: String,
    pub category: &'static str,
    pub doc: &'static str,
    pub output_node: bool,
    pub idempotent: bool,
    /// Required ones and optional ones, each in the order of the file format.
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub run: fn(Args, &mut Context) -> Result<Vec<Vec<Value>>>,
    pub needs: fn(Args) -> Result<Vec<&'static str>>,
}

impl NodeType {
    pub fn of<N: Node>() -> Self {
        let sockets = N::Output::sockets();
        let named = |(i, (ty, list))| {
            let name = N::OUTPUT_NAMES.get(i).copied().unwrap_or(ty);
            Output { name, ty, list }
        };
        Self {
            name: N::NAME,
            title: if N::TITLE.is_empty() { spaced(N::NAME) } else { N::TITLE.to_owned() },
            category: N::CATEGORY,
            doc: N::DOC,
            output_node: N::OUTPUT_NODE,
            idempotent: N::IDEMPOTENT,
            inputs: N::inputs(),
            outputs: sockets.into_iter().enumerate().map(named).collect(),
            run: |mut args, ctx| Ok(N::take(&mut args)?.run(ctx)?.into_values()),
            needs: |mut args| Ok(N::take(&mut args)?.needs()),
        }
    }

    /// Whether it takes lists whole, and so runs once whatever their lengths.
    pub fn takes_lists(&self) -> bool {
        self.inputs.iter().any(|input| input.list)
    }

    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// The node's entry in ComfyUI's `/object_info`.
    pub fn object_info(&self, host: &dyn Host) -> Json {
        let section = |optional| -> Map<String, Json> {
            let inputs = self.inputs.iter().filter(|i| i.optional == optional);
            inputs.map(|i| (i.name.into(), i.object_info(host))).collect()
        };
        let (mut input, mut order) = (Map::new(), Map::new());
        for (name, section) in [("required", section(false)), ("optional", section(true))] {
            if name == "required" || !section.is_empty() {
                order.insert(name.into(), section.keys().cloned().collect());
                input.insert(name.into(), section.into());
            }
        }
        json!({
            "input": input,
            "input_order": order,
            "output": self.outputs.iter().map(|o| o.ty).collect::<Vec<_>>(),
            "output_is_list": self.outputs.iter().map(|o| o.list).collect::<Vec<_>>(),
            "output_name": self.outputs.iter().map(|o| o.name).collect::<Vec<_>>(),
            "name": self.name,
            "display_name": self.title,
            "description": self.doc,
            "python_module": "weft",
            "category": self.category,
            "output_node": self.output_node,
        })
    }
}

/// `VAEDecode` to `VAE Decode`: a space before a capital that begins a word.
fn spaced(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut title = String::new();
    for (i, c) in chars.iter().enumerate() {
        let after_small = i > 0 && chars[i - 1].is_lowercase();
        let before_small = chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        if i > 0 && c.is_uppercase() && (after_small || before_small) {
            title.push(' ');
        }
        title.push(*c);
    }
    title
}

#[cfg(test)]
mod tests {
    #[test]
    fn titles_follow_the_capitals() {
        assert_eq!(super::spaced("VAEDecode"), "VAE Decode");
        assert_eq!(super::spaced("KSampler"), "K Sampler");
        assert_eq!(
            super::spaced("InstructPixToPixConditioning"),
            "Instruct Pix To Pix Conditioning"
        );
    }
}
