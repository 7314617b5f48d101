//! Low-rank adaptations and their kin: changes to the weights of a network, in a file of their own.
//!
//! LoRA (Hu et al. 2021), with a convolution in the middle LoCon; LoHa and LoKr (Yeh et al. 2023,
//! "LyCORIS", section 3); weight decomposition (Liu et al. 2024, "DoRA", equation 5); whole differences.

mod delta;

use crate::{Clip, Unet, diffusers};
use delta::{Delta, Dora};
use std::{collections::HashMap, sync::Arc};
use tensor::{Patch, Result, Weights, told};

/// Names that a file may use for a module, and the module's own name.
type Names = HashMap<String, String>;

impl Unet {
    /// The names under which LoRA files know the modules.
    fn lora_names(&self) -> Names {
        let mut names = Names::new();
        for (here, there) in diffusers::modules(&self.weights) {
            let mut add = |name: String| drop(names.insert(name, here.clone()));
            add(format!("lora_unet_{}", here.replace('.', "_")));
            add(format!("diffusion_model.{here}"));
            let Some(there) = there else { continue };
            let flat = there.replace('.', "_");
            add(format!("lora_unet_{flat}"));
            add(format!("lycoris_{flat}"));
            let processor = there.replace(".to_", ".processor.to_");
            let processor = match processor.strip_suffix(".to_out.0") {
                Some(before) => format!("{before}.to_out"),
                None => processor,
            };
            add(format!("unet.{processor}"));
            add(processor);
        }
        names
    }

    /// The network with the changes of a LoRA file, done this strongly, and what does not fit in words.
    pub fn with_lora(&self, lora: &Weights, strength: f32) -> Result<(Self, Option<String>)> {
        let (patches, misfits) = patches(lora, &self.lora_names(), &self.weights, strength)?;
        Ok((self.reweighted(self.weights.patched(patches)), misfits))
    }
}

impl Clip {
    /// As for the UNet.
    fn lora_names(&self) -> Names {
        let text = self.weights.at("text_model");
        let keys = text.keys();
        let modules = keys.iter().filter_map(|key| key.strip_suffix(".weight"));
        let kind = if self.is_open_clip() { "clip_h" } else { "clip_l" };
        let named = |module: &str| {
            let flat = module.replace('.', "_");
            [
                format!("lora_te_text_model_{flat}"),
                format!("lora_te1_text_model_{flat}"),
                format!("text_encoder.text_model.{module}"),
                format!("text_encoders.{kind}.transformer.text_model.{module}"),
            ]
            .map(|name| (name, format!("text_model.{module}")))
        };
        modules.flat_map(named).collect()
    }

    /// As [`Unet::with_lora`].
    pub fn with_lora(&self, lora: &Weights, strength: f32) -> Result<(Self, Option<String>)> {
        let (patches, misfits) = patches(lora, &self.lora_names(), &self.weights, strength)?;
        Ok((self.reweighted(self.weights.patched(patches))?, misfits))
    }
}

/// Changes by the key of the tensor that they change.
type Patches = Vec<(String, Arc<dyn Patch>)>;

/// The changes that a file has for the network at `base`, and which of them have another shape.
fn patches(
    lora: &Weights,
    names: &Names,
    base: &Weights,
    strength: f32,
) -> Result<(Patches, Option<String>)> {
    let (mut patches, mut misfits) = (Patches::new(), Vec::new());
    for (name, module) in names {
        for (key, delta) in deltas(lora, name, module)? {
            let Some(shape) = base.shape(&key) else { continue };
            if delta.fits(shape) {
                let dora = Dora::load(lora, name, &key)?;
                patches.push((key, Arc::new(Change { delta, dora, strength })));
            } else {
                misfits.push(format!("{name} (for {key} of {shape:?})"));
            }
        }
    }
    // In one order on every run: hash maps have none.
    patches.sort_by(|(a, _), (b, _)| a.cmp(b));
    misfits.sort();
    Ok((patches, told("of another shape than the model's", &misfits)))
}

/// What a file has for one module: changes of its weight, and of its bias.
fn deltas(lora: &Weights, name: &str, module: &str) -> Result<Vec<(String, Delta)>> {
    let (weight, bias) = (format!("{module}.weight"), format!("{module}.bias"));
    let mut found = Vec::new();
    if let Some(delta) = Delta::load(lora, name)? {
        found.push((weight.clone(), delta));
    }
    let whole = [("w_norm", &weight), ("b_norm", &bias), ("diff", &weight), ("diff_b", &bias)];
    for (kind, key) in whole {
        if let Some(difference) = delta::optional(lora, &format!("{name}.{kind}"))? {
            found.push((key.clone(), Delta::Whole(difference)));
        }
    }
    if let Some(numbers) = delta::optional(lora, &format!("{name}.set_weight"))? {
        found.push((weight, Delta::Set(numbers)));
    }
    Ok(found)
}

/// A change of one tensor.
struct Change {
    delta: Delta,
    dora: Option<Dora>,
    strength: f32,
}

impl Patch for Change {
    fn apply(&self, x: &mut [f32], shape: &[usize]) -> Result<()> {
        let delta = self.delta.numbers()?;
        match (&self.delta, &self.dora) {
            (Delta::Set(_), _) => x.copy_from_slice(&delta),
            (_, Some(dora)) => dora.apply(x, &delta, shape, self.strength)?,
            _ => x.iter_mut().zip(&delta).for_each(|(x, d)| *x += self.strength * d),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
