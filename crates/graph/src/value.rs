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

/// The values handed to one node, by input name.
#[derive(Default)]
pub struct Args(pub HashMap<&'static str, Value>);

impl Args {
    /// Takes an input out. `Option<T>` fields are optional inputs.
    pub fn take<T: Take>(&mut self, name: &str) -> Result<T> {
        T::take(self.0.remove(name), name)
    }
}

/// How a field of a node is filled: `T` must be there, `Option<T>` may be.
pub trait Take: Sized {
    type Field: Field;
    const OPTIONAL: bool;
    fn take(value: Option<Value>, name: &str) -> Result<Self>;
}

impl<T: Field> Take for T {
    type Field = T;
    const OPTIONAL: bool = false;
    fn take(value: Option<Value>, name: &str) -> Result<T> {
        let value = value.ok_or_else(|| anyhow::anyhow!("input `{name}` is missing"))?;
        value.get::<T>().cloned()
    }
}

impl<T: Field> Take for Option<T> {
    type Field = T;
    const OPTIONAL: bool = true;
    fn take(value: Option<Value>, _: &str) -> Result<Option<T>> {
        value.map(|v| v.get::<T>().cloned()).transpose()
    }
}
