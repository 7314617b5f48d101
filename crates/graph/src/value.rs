//! What travels along links.

use crate::{Result, Widget};
use std::{any::Any, collections::HashMap, sync::Arc};

/// A type that can travel along a link.
pub trait Field: Clone + Send + Sync + 'static {
    /// The name by which sockets are matched, such as `LATENT`.
    const TYPE: &'static str;
    /// The widget shown while nothing is linked; `None` for a socket only.
    fn widget() -> Option<Widget<Self>> {
        None
    }
    /// Memory held, in bytes: what the cache counts.
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
    /// What a link brought, as this type. Numbers are converted from one Rust type to the other.
    fn from_value(value: &Value) -> Result<Self> {
        value.get::<Self>().cloned()
    }
    fn into_value(self) -> Value {
        Value::new(self)
    }
}

/// Anything: what a node gives on without looking at it.
impl Field for Value {
    const TYPE: &'static str = "*";
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn from_value(value: &Value) -> Result<Self> {
        Ok(value.clone())
    }
    fn into_value(self) -> Value {
        self
    }
}

/// Stands for a value and stops what reads it: such nodes do not run, and what reads those does not
/// either. The rest of the graph does.
#[derive(Clone, Debug)]
struct Blocker(Option<String>);

/// An output that may stop what reads it.
#[derive(Clone, Debug)]
pub enum Gate<T> {
    Open(T),
    /// With what a person should know, if anything.
    Shut(Option<String>),
}

impl<T> Gate<T> {
    pub(crate) fn value(self, open: impl FnOnce(T) -> Value) -> Value {
        match self {
            Self::Open(value) => open(value),
            Self::Shut(reason) => Value { ty: "*", bytes: 0, data: Arc::new(Blocker(reason)) },
        }
    }
}

/// Several values of one type. As an input: all that come along the link at once, where other inputs
/// have the node run once for each. As an output: values that what follows runs once for each of.
#[derive(Clone, Debug, Default)]
pub struct List<T>(pub Vec<T>);

/// An input that is computed only if the node asks for it: see [`crate::Node::needs`].
#[derive(Clone, Debug)]
pub struct Lazy<T>(pub Option<T>);

impl<T> Lazy<T> {
    /// The value that was asked for.
    pub fn get(self) -> Result<T> {
        self.0.ok_or_else(|| anyhow::anyhow!("an input that was not asked for is missing"))
    }
}

/// A value on a link, its type forgotten. Cheap to clone.
#[derive(Clone)]
pub struct Value {
    pub ty: &'static str,
    pub bytes: usize,
    data: Arc<dyn Any + Send + Sync>,
}

impl Value {
    pub fn new<T: Field>(data: T) -> Self {
        Self { ty: T::TYPE, bytes: data.bytes(), data: Arc::new(data) }
    }

    /// Whether it stops what reads it.
    pub fn blocks(&self) -> bool {
        self.data.is::<Blocker>()
    }

    /// What a person should know of why it stops what reads it.
    pub fn reason(&self) -> Option<&str> {
        self.data.downcast_ref::<Blocker>()?.0.as_deref()
    }

    /// The value as a `T`; an error names both types.
    pub fn get<T: Field>(&self) -> Result<&T> {
        self.data
            .downcast_ref()
            .ok_or_else(|| anyhow::anyhow!("expected {}, got {}", T::TYPE, self.ty))
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.ty, self.bytes)
    }
}

/// The values handed to one node, by input name: several where the input takes a list, else one.
#[derive(Clone, Default)]
pub struct Args(pub HashMap<&'static str, Vec<Value>>);

impl Args {
    /// The value among them that stops the node, if one does.
    pub fn blocker(&self) -> Option<&Value> {
        self.0.values().flatten().find(|value| value.blocks())
    }

    /// Takes an input out. `Option<T>` fields are optional inputs.
    pub fn take<T: Take>(&mut self, name: &str) -> Result<T> {
        T::take(self.0.remove(name), name)
    }
}

/// How a field of a node is filled: `T` must be there, `Option<T>` may be, `List<T>` is all that comes,
/// `Lazy<T>` is there once it was asked for.
pub trait Take: Sized {
    type Field: Field;
    const OPTIONAL: bool = false;
    const LIST: bool = false;
    const LAZY: bool = false;
    fn take(values: Option<Vec<Value>>, name: &str) -> Result<Self>;
}

impl<T: Field> Take for T {
    type Field = T;
    fn take(values: Option<Vec<Value>>, name: &str) -> Result<T> {
        let values = values.ok_or_else(|| anyhow::anyhow!("input `{name}` is missing"))?;
        let value = values.first();
        let value = value.ok_or_else(|| anyhow::anyhow!("input `{name}` is an empty list"))?;
        named(T::from_value(value), name)
    }
}

impl<T: Field> Take for Option<T> {
    type Field = T;
    const OPTIONAL: bool = true;
    fn take(values: Option<Vec<Value>>, name: &str) -> Result<Option<T>> {
        let value = values.and_then(|values| values.into_iter().next());
        value.map(|v| named(T::from_value(&v), name)).transpose()
    }
}

impl<T: Field> Take for List<T> {
    type Field = T;
    const LIST: bool = true;
    fn take(values: Option<Vec<Value>>, name: &str) -> Result<Self> {
        let values = values.ok_or_else(|| anyhow::anyhow!("input `{name}` is missing"))?;
        Ok(Self(values.iter().map(|v| named(T::from_value(v), name)).collect::<Result<_>>()?))
    }
}

impl<T: Field> Take for Lazy<T> {
    type Field = T;
    const LAZY: bool = true;
    fn take(values: Option<Vec<Value>>, name: &str) -> Result<Self> {
        Ok(Self(<Option<T> as Take>::take(values, name)?))
    }
}

fn named<T>(taken: Result<T>, name: &str) -> Result<T> {
    taken.map_err(|error| error.context(format!("input `{name}`")))
}
