//! Two models made one: every weight a sum of both.

use crate::{Clip, Unet, Vae, openclip};
use std::sync::Arc;
use tensor::{Patch, Result, Source, Weight, Weights, told};

/// How much of each: `own x + other y`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    pub own: f32,
    pub other: f32,
}

struct Mix {
    shares: Shares,
    other: Weight,
}

impl Patch for Mix {
    fn apply(&self, x: &mut [f32], _: &[usize]) -> Result<()> {
        let Shares { own, other } = self.shares;
        x.iter_mut().zip(self.other.to_f32()?).for_each(|(x, y)| *x = own * *x + other * y);
        Ok(())
    }
}

/// A step from a network's own weight towards another's, on top of what else was done to it.
struct Step {
    own: Weight,
    other: Weight,
    strength: f32,
}

impl Patch for Step {
    fn apply(&self, x: &mut [f32], _: &[usize]) -> Result<()> {
        let (own, other) = (self.own.to_f32()?, self.other.to_f32()?);
        let ends = own.iter().zip(&other);
        x.iter_mut().zip(ends).for_each(|(x, (own, other))| *x += self.strength * (other - own));
        Ok(())
    }
}

/// The weights of `a` with those of `b` mixed in, and in words which of them stay as they are because `b`
/// has no such tensor, or one of another shape.
fn mixed(
    a: &Weights,
    b: &Weights,
    shares: &dyn Fn(&str) -> Shares,
) -> Result<(Weights, Option<String>)> {
    let mix = |key: &str| Ok(Arc::new(Mix { shares: shares(key), other: b.get(key)? }) as _);
    paired(a, b, &mix)
}

/// The weights of `a` with a step towards those of `b`.
fn stepped(a: &Weights, b: &Weights, strength: f32) -> Result<(Weights, Option<String>)> {
    let own = a.unpatched();
    let step =
        |key: &str| Ok(Arc::new(Step { own: own.get(key)?, other: b.get(key)?, strength }) as _);
    paired(a, b, &step)
}

/// The weights of `a`, each changed by what `patch` makes of its key, where `b` has such a tensor too.
fn paired(
    a: &Weights,
    b: &Weights,
    patch: &dyn Fn(&str) -> Result<Arc<dyn Patch>>,
) -> Result<(Weights, Option<String>)> {
    let (mut patches, mut alone) = (Vec::new(), Vec::new());
    for key in a.keys() {
        // What is no weight, such as positions, is the same in both.
        if a.dtype(key).and_then(tensor::Dtype::size).is_none() {
            continue;
        }
        if a.shape(key) != b.shape(key) {
            alone.push(key);
            continue;
        }
        patches.push((key.to_owned(), patch(key)?));
    }
    let told = told("not merged, as the other model has no such tensor", &alone);
    Ok((a.patched(patches), told))
}

/// `x` times a number.
struct Scale(f32);

impl Patch for Scale {
    fn apply(&self, x: &mut [f32], _: &[usize]) -> Result<()> {
        x.iter_mut().for_each(|x| *x *= self.0);
        Ok(())
    }
}

fn scaled(weights: &Weights, by: &dyn Fn(&str) -> Option<f64>) -> Weights {
    let keys = weights.keys();
    let scaled = keys.iter().filter_map(|key| Some((*key, by(key).filter(|by| *by != 1.0)?)));
    let patch = |(key, by): (&str, f64)| -> (String, Arc<dyn Patch>) {
        (key.to_owned(), Arc::new(Scale(by as f32)))
    };
    weights.patched(scaled.map(patch))
}

impl Unet {
    /// This network with some weights multiplied, by their keys.
    #[must_use]
    pub fn scaled(&self, by: &dyn Fn(&str) -> Option<f64>) -> Self {
        self.reweighted(scaled(&self.weights, by))
    }

    /// This network with `other` mixed in; `shares` by the key of the weight.
    pub fn mixed(
        &self,
        other: &Self,
        shares: &dyn Fn(&str) -> Shares,
    ) -> Result<(Self, Option<String>)> {
        let (weights, told) = mixed(&self.weights, &other.weights, shares)?;
        Ok((self.reweighted(weights), told))
    }

    /// This network changed by the difference of `other` and its file's weights, this strongly.
    pub fn stepped(&self, other: &Self, strength: f32) -> Result<(Self, Option<String>)> {
        let (weights, told) = stepped(&self.weights, &other.weights, strength)?;
        Ok((self.reweighted(weights), told))
    }

    /// Every weight, under its key in a checkpoint.
    pub fn tensors(&self) -> Result<Vec<(String, Weight)>> {
        tensors("model.diffusion_model.", &self.weights)
    }
}

impl Clip {
    /// This network with some weights multiplied, by their keys.
    pub fn scaled(&self, by: &dyn Fn(&str) -> Option<f64>) -> Result<Self> {
        self.reweighted(scaled(&self.weights, by))
    }

    /// This network with `other` mixed in.
    pub fn mixed(&self, other: &Self, shares: Shares) -> Result<(Self, Option<String>)> {
        let (weights, told) = mixed(&self.weights, &other.weights, &|_| shares)?;
        Ok((self.reweighted(weights)?, told))
    }

    /// As [`Unet::stepped`].
    pub fn stepped(&self, other: &Self, strength: f32) -> Result<(Self, Option<String>)> {
        let (weights, told) = stepped(&self.weights, &other.weights, strength)?;
        Ok((self.reweighted(weights)?, told))
    }

    /// Every weight, under its key in a file of its own.
    pub fn tensors(&self) -> Result<Vec<(String, Weight)>> {
        let mut tensors = tensors("", &self.weights)?;
        let parts = ["text_model.", "text_projection."];
        tensors.retain(|(key, _)| parts.iter().any(|part| key.starts_with(part)));
        Ok(tensors)
    }

    /// Every weight, under its key in a checkpoint of the text encoder's family.
    pub fn checkpoint_tensors(&self) -> Result<Vec<(String, Source)>> {
        let tensors = self.tensors()?;
        let (prefix, tensors): (_, Vec<(String, Source)>) = match self.is_open_clip() {
            true => ("cond_stage_model.model.", openclip::text_stored(tensors)),
            false => {
                let stored = tensors.into_iter().map(|(key, weight)| (key, weight.into()));
                ("cond_stage_model.transformer.", stored.collect())
            }
        };
        Ok(tensors.into_iter().map(|(key, source)| (format!("{prefix}{key}"), source)).collect())
    }
}

impl Vae {
    /// Every weight, under its key in a file of its own.
    pub fn tensors(&self) -> Result<Vec<(String, Weight)>> {
        tensors("", &self.weights)
    }
}

fn tensors(prefix: &str, weights: &Weights) -> Result<Vec<(String, Weight)>> {
    let keys = weights.keys();
    let is_weight = |key: &&&str| weights.dtype(key).and_then(tensor::Dtype::size).is_some();
    let named = |key: &&str| Ok((format!("{prefix}{key}"), weights.get(key)?));
    keys.iter().filter(is_weight).map(named).collect()
}
