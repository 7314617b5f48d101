//! Widgets: how an input is edited while no link feeds it, and how its JSON is read.

use crate::{Field, Json, Result, Value};
use serde_json::Map;
use std::{marker::PhantomData, ops::RangeInclusive};

/// What a drop-down list offers.
#[derive(Clone, Debug)]
pub enum Choices {
    /// Always the same names.
    Names(Vec<&'static str>),
    /// The files of a folder (`checkpoints`, `input`), asked for when shown. `extra` names come after.
    Files { folder: &'static str, extra: &'static [&'static str] },
}

/// The default, limits and look of an input of type `T`.
pub struct Widget<T> {
    pub(crate) options: Map<String, Json>,
    pub(crate) choices: Option<Choices>,
    /// Coerces JSON as ComfyUI does and gives the value; an error says what was wanted.
    pub(crate) read: fn(&Json) -> Result<Value>,
    _type: PhantomData<T>,
}

impl<T: Field> Widget<T> {
    fn new(read: fn(&Json) -> Result<Value>) -> Self {
        Self { options: Map::new(), choices: None, read, _type: PhantomData }
    }
    /// Gives no value to begin with: front ends take an empty one, a graph in API form has to have one.
    #[must_use]
    pub fn unset(mut self) -> Self {
        self.options.remove("default");
        self
    }
    /// Any other option of ComfyUI's `object_info`, by its name there.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }
}

/// A number field.
pub fn number<T: Number>(default: T) -> Widget<T> {
    Widget::new(|json| {
        let number = T::read(json).ok_or_else(|| anyhow::anyhow!("{json} is not {}", T::RANGE))?;
        Ok(Value::new(number))
    })
    .with("default", default)
}

/// A socket whose literals, which graphs in API form may have, a function of its own reads.
pub fn literal<T: Field>(read: fn(&Json) -> Result<Value>) -> Widget<T> {
    Widget::new(read).with("forceInput", true)
}

/// A seed, with the editor's "randomize after each run" button.
pub fn seed() -> Widget<u64> {
    number(0).range(0..=u64::MAX).with("control_after_generate", true)
}

/// A line of text.
pub fn text(default: &str) -> Widget<String> {
    strings().with("default", default)
}

/// A box of text for prompts: several lines, `{a|b}` choices resolved by front ends.
pub fn prompt() -> Widget<String> {
    strings().with("multiline", true).with("dynamicPrompts", true)
}

/// A box of several lines.
pub fn lines() -> Widget<String> {
    strings().with("multiline", true)
}

/// A drop-down list of fixed names.
pub fn one_of(names: impl IntoIterator<Item = &'static str>) -> Widget<String> {
    let mut widget = strings();
    widget.choices = Some(Choices::Names(names.into_iter().collect()));
    widget
}

/// A drop-down list of the files in a folder of ComfyUI's name.
pub fn file(folder: &'static str) -> Widget<String> {
    file_or(folder, &[])
}

/// As [`file`], with names after the files that stand for no file.
pub fn file_or(folder: &'static str, extra: &'static [&'static str]) -> Widget<String> {
    let mut widget = strings();
    widget.choices = Some(Choices::Files { folder, extra });
    widget
}

/// A check box.
pub fn toggle(default: bool) -> Widget<bool> {
    Widget::new(|json| Ok(Value::new(truthy(json)))).with("default", default)
}

fn strings() -> Widget<String> {
    Widget::new(|json| match json {
        Json::String(s) => Ok(Value::new(s.clone())),
        Json::Null => Ok(Value::new("None".to_owned())),
        Json::Bool(b) => Ok(Value::new(if *b { "True" } else { "False" }.to_owned())),
        other => Ok(Value::new(other.to_string())),
    })
}

/// Python's `bool(x)`.
fn truthy(json: &Json) -> bool {
    match json {
        Json::Null => false,
        Json::Bool(b) => *b,
        Json::Number(n) => n.as_f64() != Some(0.0),
        Json::String(s) => !s.is_empty(),
        Json::Array(a) => !a.is_empty(),
        Json::Object(o) => !o.is_empty(),
    }
}

impl<T: Number> Widget<T> {
    #[must_use]
    pub fn range(self, range: RangeInclusive<T>) -> Self {
        self.with("min", *range.start()).with("max", *range.end())
    }
    #[must_use]
    pub fn step(self, step: T) -> Self {
        self.with("step", step)
    }
    #[must_use]
    pub fn round(self, to: T) -> Self {
        self.with("round", to)
    }
}

/// A number that a widget can hold.
pub trait Number: Field + Copy + Into<Json> {
    /// In words, for errors: "a whole number".
    const RANGE: &'static str;
    /// Python's `int(x)` or `float(x)` of a JSON value, if it fits.
    fn read(json: &Json) -> Option<Self>;
}

macro_rules! integers { ($($ty:ty),*) => {$(
    impl Field for $ty {
        const TYPE: &'static str = "INT";
        fn from_value(value: &Value) -> Result<Self> {
            let Some(number) = whole(value) else { return value.get::<Self>().copied() };
            let limits = (<$ty>::MIN, <$ty>::MAX);
            number.try_into().map_err(|_| {
                anyhow::anyhow!("{number} is not between {} and {}", limits.0, limits.1)
            })
        }
    }
    impl Number for $ty {
        const RANGE: &'static str = "a whole number";
        fn read(json: &Json) -> Option<Self> {
            match json {
                Json::Bool(b) => Some(<$ty>::from(*b)),
                Json::String(s) => s.trim().replace('_', "").parse().ok(),
                Json::Number(n) => match (n.as_u64(), n.as_i64()) {
                    (Some(n), _) => n.try_into().ok(),
                    (_, Some(n)) => n.try_into().ok(),
                    _ => n.as_f64().filter(|f| f.is_finite()).map(|f| f.trunc() as $ty),
                },
                _ => None,
            }
        }
    }
)*}}
integers!(u32, u64, i32, i64, usize);

/// A number of any of the types that nodes have, cut to a whole one as Python's `int` does.
pub fn whole(value: &Value) -> Option<i128> {
    macro_rules! any { ($($ty:ty),*) => {
        None$(.or_else(|| value.get::<$ty>().ok().map(|n| *n as i128)))*
    }}
    any!(u32, u64, i32, i64, usize, f64, bool)
}

impl Field for f64 {
    const TYPE: &'static str = "FLOAT";
    fn from_value(value: &Value) -> Result<Self> {
        let own = value.get::<Self>();
        own.copied().or_else(|error| whole(value).map(|n| n as f64).ok_or(error))
    }
}
impl Number for f64 {
    const RANGE: &'static str = "a number";
    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(b) => Some(f64::from(u8::from(*b))),
            Json::String(s) => s.trim().parse().ok(),
            other => other.as_f64(),
        }
    }
}

impl Field for String {
    const TYPE: &'static str = "STRING";
    fn bytes(&self) -> usize {
        self.len()
    }
}
impl Field for bool {
    const TYPE: &'static str = "BOOLEAN";
}
