//! Choices of how the original computes, which the device makes here.

use crate::Model;
use anyhow::Result;
use graph::{Context, Inputs, Node};

/// Says which numbers a model computes with; here the device decides that, so the model stays as it is.
#[derive(Inputs)]
pub struct ModelComputeDtype {
    /// The model.
    pub model: Model,
    /// The numbers.
    #[widget(one_of(["default", "fp32", "fp16", "bf16"]))]
    pub dtype: String,
}

impl Node for ModelComputeDtype {
    const CATEGORY: &str = "advanced/debug/model";
    const TITLE: &str = "ModelComputeDtype";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        if self.dtype != "default" {
            ctx.note(format!("{}: the device computes with the numbers that it has", self.dtype));
        }
        Ok(self.model)
    }
}

/// Has the original compile a model before it runs; Weft always does that, so the model stays as it is.
#[derive(Inputs)]
pub struct TorchCompileModel {
    /// The model.
    pub model: Model,
    /// What the original compiles with.
    #[widget(one_of(["inductor", "cudagraphs"]))]
    pub backend: String,
}

impl Node for TorchCompileModel {
    const CATEGORY: &str = "_for_testing";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model)
    }
}
