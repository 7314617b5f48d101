//! Networks as in their papers, recorded with `tensor`; which of them a file holds; the tokenizer.

mod clip;
mod control;
mod diffusers;
mod families;
mod gligen;
#[cfg(test)]
mod goldens;
mod hypernetwork;
mod layers;
mod lora;
mod merge;
mod networks;
mod openclip;
mod preview;
pub mod prompt;
mod signs;
mod style;
mod taesd;
mod tokenizer;
mod tweaks;
mod unet;
mod upscale;
mod vae;
mod vision;

pub use clip::{Clip, Encoded};
pub use control::{Asked, ControlNet, Hint, Residuals};
pub use families::{
    Checkpoint, Concat, Family, KINDS, Kind, Use, identify, load_clip, load_unet, unused,
};
pub use gligen::{Gligen, Grounding, Object};
pub use hypernetwork::Hypernetwork;
pub use merge::Shares;
pub use preview::Preview;
pub use style::StyleAdapter;
pub use taesd::{Taesd, TinyDecoder};
pub use tweaks::{FreeU, HyperTile, Random, Resampler, Shrink, TokenMerging, Tweaks};
pub use unet::{Answer, Heads, LookedAt, Mode, Question, Size as UnetSize, Unet, sinusoid};
pub use upscale::Upscaler;
pub use vae::{Size as VaeSize, Vae};
pub use vision::{ClipVision, Seen};
