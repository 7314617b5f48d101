//! What a node is (typed inputs, typed outputs, one `run`), and the two JSON forms of a graph.
//!
//! ```
//! use graph::{Context, Inputs, Node, Result};
//!
//! /// Adds two numbers.
//! #[derive(Inputs)]
//! struct Add {
//!     /// The first number.
//!     #[widget(number(0).range(0..=100))]
//!     a: i64,
//!     /// The second number.
//!     #[widget(number(0).range(0..=100))]
//!     b: i64,
//! }
//!
//! impl Node for Add {
//!     const CATEGORY: &str = "math";
//!     type Output = i64;
//!     fn run(self, _: &mut Context) -> Result<i64> {
//!         Ok(self.a + self.b)
//!     }
//! }
//! assert_eq!(graph::NodeType::of::<Add>().outputs[0].ty, "INT");
//! ```

mod clock;
mod context;
mod contract;
mod document;
mod dynamic_prompt;
mod groups;
mod layout;
mod node;
mod pictures;
mod placeholders;
mod to_ui;
mod unfold;
mod value;
pub mod widget;
mod widget_values;
mod workflow;

#[cfg(test)]
mod tests;

pub use clock::local_now;
pub use context::{Context, Event, Expansion, File, Host, Interrupted, Services};
pub use contract::{Class, Contract, WidgetSpec};
pub use document::{Document, NoGraph, read};
pub use node::{Input, Inputs, Node, NodeType, Output, Outputs};
pub use node_derive::Inputs;
pub use pictures::{chunk_text, encode_png};
pub use value::{Args, Field, Gate, Lazy, List, Value};
pub use widget::Widget;
pub use widget_values::{WidgetPlace, widget_places};
pub use workflow::{fill_defaults, fits};

pub use serde_json::Value as Json;
pub type Result<T> = anyhow::Result<T>;
