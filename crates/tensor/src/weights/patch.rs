//! Tensors that are changed as they are read: what LoRAs and merges of models are made of.

use super::{Weight, Weights, serial};
use crate::Result;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

/// One change to the numbers of a tensor.
pub trait Patch: Send + Sync {
    /// Changes `x`, a tensor of this shape.
    fn apply(&self, x: &mut [f32], shape: &[usize]) -> Result<()>;
}

/// What is done to one tensor, in order.
#[derive(Clone)]
pub(super) struct Changes {
    /// Differs for every list of changes: part of what devices cache weights by.
    pub serial: u64,
    list: Vec<Arc<dyn Patch>>,
}

/// By full key.
pub(super) type Patches = BTreeMap<String, Changes>;

impl Weights {
    /// The same tensors, changed as they are read, after the changes that they already have. Keys are
    /// those below this place.
    #[must_use]
    pub fn patched(&self, patches: impl IntoIterator<Item = (String, Arc<dyn Patch>)>) -> Self {
        let mut all = (*self.patches).clone();
        for (key, patch) in patches {
            let key = format!("{}{key}", self.prefix);
            let changes = all.entry(key).or_insert(Changes { serial: 0, list: Vec::new() });
            changes.list.push(patch);
            changes.serial = serial().fetch_add(1, Ordering::Relaxed);
        }
        Self { patches: Arc::new(all), ..self.clone() }
    }

    /// The same tensors as they are in the file.
    #[must_use]
    pub fn unpatched(&self) -> Self {
        Self { patches: Arc::default(), ..self.clone() }
    }
}

impl Weight {
    /// Does what is to be done to its numbers.
    pub(super) fn change(&self, numbers: &mut [f32]) -> Result<()> {
        let patches = self.changes.iter().flat_map(|changes| &changes.list);
        patches.into_iter().try_for_each(|patch| patch.apply(numbers, &self.shape))
    }
}
