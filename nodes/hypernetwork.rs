//! Hypernetworks, which change what a model looks at.

use crate::Model;
use anyhow::Result;
use graph::{Context, Inputs, Node};
use models::Hypernetwork;

/// Changes what a model looks at as a hypernetwork says. Files of today are mostly .pt, which can run
/// programs: as safetensors their tensors are named 320.0.linear.0.weight (channels, 0 for keys and 1 for
/// values, the layer's own name), and activation_func and activate_output stand in the metadata.
#[derive(Inputs)]
pub struct HypernetworkLoader {
    /// The model to change.
    pub model: Model,
    /// A file in models/hypernetworks.
    #[widget(file("hypernetworks"))]
    pub hypernetwork_name: String,
    /// How strongly the model is changed; below 0 it is changed the other way.
    #[widget(number(1.0).range(-10.0..=10.0).step(0.01))]
    pub strength: f64,
}

impl Node for HypernetworkLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "HypernetworkLoader";
    type Output = Model;

    fn run(self, ctx: &mut Context) -> Result<Model> {
        let weights = crate::loaders::weights(ctx, "hypernetworks", &self.hypernetwork_name)?;
        let network = Hypernetwork::load(&weights, self.strength as f32)?;
        crate::loaders::note_unused(ctx, &weights);
        if !network.says_activation() {
            ctx.note(format!(
                "{}: its metadata has no activation_func; taken as linear",
                self.hypernetwork_name
            ));
        }
        let unet = self.model.unet.tweaked(|tweaks| tweaks.hypernetworks.push(network));
        Ok(Model { unet, ..self.model })
    }
}
