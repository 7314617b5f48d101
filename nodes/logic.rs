//! One of two values; what is not chosen is not computed.

use anyhow::Result;
use graph::{Context, Inputs, Lazy, Node, Value};

/// Gives on one of two values. What feeds the other does not run.
#[derive(Inputs)]
pub struct ComfySwitchNode {
    /// Which of the two.
    #[widget(toggle(false))]
    pub switch: bool,
    /// Given on while the switch is off.
    pub on_false: Lazy<Value>,
    /// Given on while the switch is on.
    pub on_true: Lazy<Value>,
}

impl Node for ComfySwitchNode {
    const CATEGORY: &str = "logic";
    const TITLE: &str = "Switch";
    const OUTPUT_NAMES: &[&str] = &["output"];
    type Output = Value;

    fn needs(&self) -> Vec<&'static str> {
        vec![if self.switch { "on_true" } else { "on_false" }]
    }

    fn run(self, _: &mut Context) -> Result<Value> {
        if self.switch { self.on_true } else { self.on_false }.get()
    }
}
