//! What a model predicts, and for which noise levels.

use crate::Model;
use anyhow::Result;
use graph::{Context, Inputs, Node};
use sampling::{LatentFormat, ModelSampling, Prediction};

const CATEGORY: &str = "advanced/model";

/// Also changes how latents lie for the model.
const PLAYGROUND: &str = "edm_playground_v2.5";

/// Takes a model to have been trained on Stable Diffusion's timesteps.
#[derive(Inputs)]
pub struct ModelSamplingDiscrete {
    /// The model.
    pub model: Model,
    /// What it predicts: the noise, a velocity, the noise in few steps, or the picture.
    #[widget(one_of(["eps", "v_prediction", "lcm", "x0", "img_to_img"]))]
    pub sampling: String,
    /// Whether its last timestep is pure noise.
    #[widget(toggle(false))]
    pub zsnr: bool,
}

impl Node for ModelSamplingDiscrete {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ModelSamplingDiscrete";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let prediction = match self.sampling.as_str() {
            "v_prediction" => Prediction::V,
            "lcm" => Prediction::Consistency,
            "x0" => Prediction::X0,
            "img_to_img" => Prediction::ImageToImage,
            _ => Prediction::Eps,
        };
        let levels = match self.zsnr {
            true => ModelSampling::zero_terminal_snr(prediction),
            false => ModelSampling::stable_diffusion(prediction),
        };
        let distilled = prediction == Prediction::Consistency;
        let sampling = if distilled { levels.distilled() } else { levels };
        Ok(Model { sampling: sampling.into(), ..self.model })
    }
}

/// Takes a model to have been trained on any noise level in a range.
#[derive(Inputs)]
pub struct ModelSamplingContinuousEDM {
    /// The model.
    pub model: Model,
    /// What it predicts.
    #[widget(one_of(["v_prediction", "edm", super::model_sampling::PLAYGROUND, "eps", "cosmos_rflow"]))]
    pub sampling: String,
    /// The highest noise level.
    #[widget(number(120.0).range(0.0..=1000.0).step(0.001).with("round", false))]
    pub sigma_max: f64,
    /// The lowest noise level.
    #[widget(number(0.002).range(0.0..=1000.0).step(0.001).with("round", false))]
    pub sigma_min: f64,
}

impl Node for ModelSamplingContinuousEDM {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ModelSamplingContinuousEDM";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let range = self.sigma_min..=self.sigma_max;
        let sampling = match self.sampling.as_str() {
            "v_prediction" => ModelSampling::continuous(Prediction::V, range, 1.0)?,
            "edm" | PLAYGROUND => ModelSampling::continuous(Prediction::Edm, range, 0.5)?,
            "cosmos_rflow" => ModelSampling::rectified_flow(range)?,
            _ => ModelSampling::continuous(Prediction::Eps, range, 1.0)?,
        };
        let playground = self.sampling == PLAYGROUND;
        let latent = if playground { LatentFormat::PLAYGROUND } else { self.model.latent };
        Ok(Model { latent, sampling: sampling.into(), ..self.model })
    }
}

/// Takes a model to predict a velocity at any noise level in a range.
#[derive(Inputs)]
pub struct ModelSamplingContinuousV {
    /// The model.
    pub model: Model,
    /// What it predicts.
    #[widget(one_of(["v_prediction"]))]
    pub sampling: String,
    /// The highest noise level.
    #[widget(number(500.0).range(0.0..=1000.0).step(0.001).with("round", false))]
    pub sigma_max: f64,
    /// The lowest noise level.
    #[widget(number(0.03).range(0.0..=1000.0).step(0.001).with("round", false))]
    pub sigma_min: f64,
}

impl Node for ModelSamplingContinuousV {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ModelSamplingContinuousV";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let sampling =
            ModelSampling::continuous_angle(Prediction::V, self.sigma_min..=self.sigma_max)?;
        Ok(Model { sampling: sampling.into(), ..self.model })
    }
}

/// Takes a model to predict the velocity of a rectified flow, as Stable Diffusion 3.
#[derive(Inputs)]
pub struct ModelSamplingSD3 {
    /// The model.
    pub model: Model,
    /// Above 1 spends more steps on noisy levels, as large pictures want.
    #[widget(number(3.0).range(0.0..=100.0).step(0.01))]
    pub shift: f64,
}

impl Node for ModelSamplingSD3 {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ModelSamplingSD3";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let sampling = ModelSampling::flow(self.shift, 1000, 1000.0)?;
        Ok(Model { sampling: sampling.into(), ..self.model })
    }
}

/// The same for models that know the time of a flow from 0 to 1, as AuraFlow.
#[derive(Inputs)]
pub struct ModelSamplingAuraFlow {
    /// The model.
    pub model: Model,
    /// Above 1 spends more steps on noisy levels, as large pictures want.
    #[widget(number(1.73).range(0.0..=100.0).step(0.01))]
    pub shift: f64,
}

impl Node for ModelSamplingAuraFlow {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ModelSamplingAuraFlow";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let sampling = ModelSampling::flow(self.shift, 1000, 1.0)?;
        Ok(Model { sampling: sampling.into(), ..self.model })
    }
}

/// The same with a shift that follows the picture's size, as Flux.
#[derive(Inputs)]
pub struct ModelSamplingFlux {
    /// The model.
    pub model: Model,
    /// The logarithm of the shift for 1024x1024 pixels.
    #[widget(number(1.15).range(0.0..=100.0).step(0.01))]
    pub max_shift: f64,
    /// The logarithm of the shift for 256x256 pixels.
    #[widget(number(0.5).range(0.0..=100.0).step(0.01))]
    pub base_shift: f64,
    /// The picture's width in pixels.
    #[widget(number(1024).range(16..=16384).step(8))]
    pub width: usize,
    /// The picture's height in pixels.
    #[widget(number(1024).range(16..=16384).step(8))]
    pub height: usize,
}

/// Linear between two numbers of tokens, of which there is one for 16x16 pixels.
fn log_shift(base: f64, max: f64, pixels: usize) -> f64 {
    const FEW: f64 = 256.0;
    const MANY: f64 = 4096.0;
    let tokens = pixels as f64 / 256.0;
    (max - base) / (MANY - FEW) * (tokens - FEW) + base
}

impl Node for ModelSamplingFlux {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "ModelSamplingFlux";
    type Output = Model;

    fn run(self, _: &mut Context) -> Result<Model> {
        let log_shift = log_shift(self.base_shift, self.max_shift, self.width * self.height);
        let sampling = ModelSampling::flow(log_shift.exp(), 10_000, 1.0)?;
        Ok(Model { sampling: sampling.into(), ..self.model })
    }
}

#[cfg(test)]
mod tests {
    use super::log_shift;

    #[test]
    fn the_shift_of_flux_follows_the_size() {
        let shift = |side: usize| log_shift(0.5, 1.15, side * side);
        assert!((shift(256) - 0.5).abs() < 1e-12 && (shift(1024) - 1.15).abs() < 1e-12);
        assert!((shift(512) - 0.63).abs() < 1e-12, "{}", shift(512));
    }
}
