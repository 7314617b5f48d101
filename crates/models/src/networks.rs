//! Compiled networks, kept by size.

use std::sync::{Arc, Mutex};
use tensor::{Device, Network, Program, Result};

/// Sizes whose compiled networks are kept; they share their weights.
const KEPT: usize = 4;

/// The compiled networks of one model, newest last. Cheap to clone; clones share.
pub struct Networks<Size>(Arc<Mutex<Vec<(Size, Network)>>>);

impl<Size> Clone for Networks<Size> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Size> Default for Networks<Size> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Size: PartialEq> Networks<Size> {
    /// Runs the network of this size; records and compiles it if it is new.
    pub fn run(
        &self,
        device: &Device,
        size: Size,
        program: impl FnOnce() -> Result<Program>,
        inputs: &[&[f32]],
    ) -> Result<Vec<Vec<f32>>> {
        self.with(device, size, program, |network| network.run(inputs))
    }

    /// Lends the network of this size, likewise.
    pub fn with<T>(
        &self,
        device: &Device,
        size: Size,
        program: impl FnOnce() -> Result<Program>,
        run: impl FnOnce(&mut Network) -> Result<T>,
    ) -> Result<T> {
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = kept.iter().position(|(s, _)| *s == size).map(|i| kept.remove(i));
        let mut entry = match found {
            Some(entry) => entry,
            None => {
                // The oldest makes room before the new one takes its memory.
                let spare = kept.len().saturating_sub(KEPT - 1);
                kept.drain(..spare);
                (size, device.compile(program()?.folded())?)
            }
        };
        let result = run(&mut entry.1);
        kept.push(entry);
        result
    }

    /// Gives the memory of all compiled networks back.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}
