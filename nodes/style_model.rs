//! Styles of pictures as words.

use crate::{ClipVisionOutput, Conditioning};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use models::StyleAdapter;
use ndarray::{Array3, Axis, concatenate};
use std::sync::Arc;
use tensor::Device;

/// A network that says a picture's style in words.
#[derive(Clone)]
pub struct StyleModel {
    pub network: StyleAdapter,
}

/// Loads a style model.
#[derive(Inputs)]
pub struct StyleModelLoader {
    /// A file in models/style_models.
    #[widget(file("style_models"))]
    pub style_model_name: String,
}

impl Node for StyleModelLoader {
    const CATEGORY: &str = "loaders";
    const TITLE: &str = "Load Style Model";
    type Output = StyleModel;

    fn run(self, ctx: &mut Context) -> Result<StyleModel> {
        let weights = crate::loaders::weights(ctx, "style_models", &self.style_model_name)?;
        let network = StyleAdapter::load(&weights)?;
        crate::loaders::note_unused(ctx, &weights);
        Ok(StyleModel { network })
    }
}

/// Adds the style of pictures to a prompt.
#[derive(Inputs)]
pub struct StyleModelApply {
    /// The prompt.
    pub conditioning: Conditioning,
    /// What says styles in words.
    pub style_model: StyleModel,
    /// The pictures.
    pub clip_vision_output: ClipVisionOutput,
    /// How strongly.
    #[widget(number(1.0).range(0.0..=10.0).step(0.001))]
    pub strength: f64,
    /// Whether the words are made stronger, or the look at them (of models that can).
    #[widget(one_of(["multiply", "attn_bias"]))]
    pub strength_type: String,
}

impl Node for StyleModelApply {
    const CATEGORY: &str = "conditioning/style_model";
    const TITLE: &str = "Apply Style Model";
    type Output = Conditioning;

    fn run(self, ctx: &mut Context) -> Result<Conditioning> {
        let device = ctx.services.get::<Device>();
        let mut words = self.style_model.network.words(&device, &self.clip_vision_output.0)?;
        let multiplied = self.strength_type == "multiply";
        if multiplied {
            words.iter_mut().for_each(|x| *x *= self.strength as f32);
        } else if self.strength != 1.0 {
            // So it is in the original: only Flux reads the bias.
            ctx.note("attn_bias changes nothing for this model; multiply does");
        }
        let entries = self.conditioning.0.iter().cloned().map(|mut entry| {
            let tokens = &entry.payload.tokens;
            let (width, own) = (tokens.dim().2, self.style_model.network.word_channels);
            anyhow::ensure!(
                width == own,
                "the style model is for another family: its words have {own} channels, the prompt's {width}"
            );
            let words = Array3::from_shape_vec((1, words.len() / width, width), words.clone())?;
            entry.payload.tokens = Arc::new(concatenate![Axis(1), **tokens, words]);
            Ok(entry)
        });
        Ok(Conditioning(Arc::new(entries.collect::<Result<_>>()?)))
    }
}
