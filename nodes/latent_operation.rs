//! Changes to latents as values: done once, or to what guidance adds in every step.

use crate::{Latent, Model};
use anyhow::Result;
use graph::{Context, Inputs, Node};
use sampling::Patch;

const CATEGORY: &str = "latent/advanced/operations";

/// A change to latents.
#[derive(Clone, Copy, Debug)]
pub struct LatentOperation(pub sampling::LatentOperation);

/// Changes a latent.
#[derive(Inputs)]
pub struct LatentApplyOperation {
    /// The latent.
    pub samples: Latent,
    /// The change.
    pub operation: LatentOperation,
}

impl Node for LatentApplyOperation {
    const CATEGORY: &str = CATEGORY;
    type Output = Latent;

    fn run(self, _: &mut Context) -> Result<Latent> {
        Ok(self.samples.with(self.operation.0.apply(&self.samples.samples)))
    }
}

/// Changes what guidance adds in every step.
#[derive(Inputs)]
pub struct LatentApplyOperationCFG {
    /// The model.
    pub model: Model,
    /// The change.
    pub operation: LatentOperation,
}

impl Node for LatentApplyOperationCFG {
    const CATEGORY: &str = CATEGORY;
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        Ok(self.model.guided(Patch::Operation(self.operation.0)))
    }
}

/// Shortens what stands out: with it strong guidance does not glare.
#[derive(Inputs)]
pub struct LatentOperationTonemapReinhard {
    /// How far things may stand out; more changes less.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01))]
    pub multiplier: f64,
}

impl Node for LatentOperationTonemapReinhard {
    const CATEGORY: &str = CATEGORY;
    type Output = LatentOperation;

    fn run(self, _: &mut Context) -> Result<LatentOperation> {
        let multiplier = self.multiplier as f32;
        Ok(LatentOperation(sampling::LatentOperation::Tonemap { multiplier }))
    }
}

/// Brings small details out.
#[derive(Inputs)]
pub struct LatentOperationSharpen {
    /// The size of what counts as a detail, in latent pixels.
    #[widget(number(9).range(1..=31).step(1))]
    pub sharpen_radius: usize,
    /// The standard deviation of the blur that details are told by, in radii.
    #[widget(number(1.0).range(0.1..=10.0).step(0.1))]
    pub sigma: f64,
    /// How strongly, in tenths.
    #[widget(number(0.1).range(0.0..=5.0).step(0.01))]
    pub alpha: f64,
}

impl Node for LatentOperationSharpen {
    const CATEGORY: &str = CATEGORY;
    type Output = LatentOperation;

    fn run(self, _: &mut Context) -> Result<LatentOperation> {
        Ok(LatentOperation(sampling::LatentOperation::Sharpen {
            radius: self.sharpen_radius,
            sigma: self.sigma as f32,
            alpha: self.alpha as f32,
        }))
    }
}
