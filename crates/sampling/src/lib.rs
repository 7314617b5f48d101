//! From noise to a latent with any denoiser: schedules, samplers, noise and guidance.
//!
//! Knows no model and no device: a [`Network`] is anything that answers for a batch of latents.
//! Everything here is host arithmetic in f32, so a run is the same on every machine.
//!
//! ```text
//! Network --ModelSampling, Cond--> guided denoised --noise mask--> Denoiser --Sampler--> Latent
//! ```

mod beta;
mod brownian;
pub mod guidance;
pub mod ksample;
mod latent_format;
mod latent_operation;
pub mod mask;
mod model_sampling;
pub mod noise;
mod noise_augmentation;
mod sample;
pub mod samplers;
pub mod schedules;
#[cfg(test)]
mod testing;

pub use brownian::BrownianTree;
pub use guidance::{Area, Call, Cond, Grade, Guider, Network, Patch, Region, Reuse, Rule};
pub use ksample::KSample;
pub use latent_format::LatentFormat;
pub use latent_operation::LatentOperation;
pub use model_sampling::{ModelSampling, Prediction};
pub use noise_augmentation::NoiseAugmentation;
pub use sample::{LatentInput, Run, Sampled, SamplerNoise, sample};
pub use samplers::{Method, SAMPLERS, Sampler};
pub use schedules::{SCHEDULERS, Scheduler};

/// `[batch, channels, height / 8, width / 8]`
pub type Latent = ndarray::Array4<f32>;
