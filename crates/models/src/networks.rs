//! Compiled networks, kept by size.

use std::sync::{Arc, Mutex, PoisonError};
use tensor::{Device, Network, OutOfMemory, Program, Result};

/// Sizes whose compiled networks are kept; they share their weights.
const KEPT: usize = 4;

/// The size of a question to a network: what a recording depends on.
pub trait Batched: PartialEq + Clone {
    /// How many entries it has, which do not depend on each other. All inputs and outputs have them one
    /// after another.
    fn batch(&self) -> usize;
    /// The same with another number of entries.
    #[must_use]
    fn with_batch(&self, batch: usize) -> Self;
}

impl Batched for usize {
    fn batch(&self) -> usize {
        *self
    }
    fn with_batch(&self, batch: usize) -> Self {
        batch
    }
}

/// The batch, and other sizes.
impl<const N: usize> Batched for [usize; N] {
    fn batch(&self) -> usize {
        self[0]
    }
    fn with_batch(&self, batch: usize) -> Self {
        let mut size = *self;
        size[0] = batch;
        size
    }
}

/// The compiled networks of one model. Cheap to clone; clones share.
pub struct Networks<Size>(Arc<Mutex<Kept<Size>>>);

struct Kept<Size> {
    /// Newest last.
    networks: Vec<(Size, Network)>,
    /// Batches for which memory was not enough.
    refused: Vec<Size>,
}

impl<Size> Clone for Networks<Size> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Size> Default for Networks<Size> {
    fn default() -> Self {
        let kept = Kept { networks: Vec::new(), refused: Vec::new() };
        Self(Arc::new(Mutex::new(kept)))
    }
}

impl<Size: Batched> Networks<Size> {
    /// Runs the network of this size; records and compiles it if it is new. A batch for which memory is
    /// not enough is asked in halves.
    #[expect(clippy::needless_pass_by_value, reason = "most sizes are a few numbers")]
    pub fn run(
        &self,
        device: &Device,
        size: Size,
        program: impl Fn(Size) -> Result<Program>,
        inputs: &[&[f32]],
    ) -> Result<Vec<Vec<f32>>> {
        let run = |network: &mut Network, inputs: &[&[f32]]| network.run(inputs);
        self.run_by(&Way { device, program: &program, run: &run }, &size, inputs)
    }

    /// Likewise, where more belongs to a run than what is given.
    pub fn run_by(&self, way: &Way<Size>, size: &Size, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).run(way, size, inputs)
    }

    /// Gives the memory of all compiled networks back.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).networks.clear();
    }
}

/// One run of a network: outputs from inputs.
type Run<'a> = dyn Fn(&mut Network, &[&[f32]]) -> Result<Vec<Vec<f32>>> + 'a;

/// How networks are made, and run with inputs of one number of entries.
pub struct Way<'a, Size> {
    pub device: &'a Device,
    pub program: &'a dyn Fn(Size) -> Result<Program>,
    pub run: &'a Run<'a>,
}

impl<Size: Batched> Kept<Size> {
    fn run(&mut self, way: &Way<Size>, size: &Size, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        if !self.refused.contains(size) {
            match self.whole(way, size.clone(), inputs) {
                Err(error) if error.is::<OutOfMemory>() && size.batch() > 1 => {
                    self.refused.push(size.clone());
                }
                result => return result,
            }
        }
        self.halves(way, size, inputs)
    }

    fn whole(&mut self, way: &Way<Size>, size: Size, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let found = self.networks.iter().position(|(s, _)| *s == size);
        let mut entry = match found.map(|i| self.networks.remove(i)) {
            Some(entry) => entry,
            None => {
                // The oldest makes room before the new one takes its memory.
                let spare = self.networks.len().saturating_sub(KEPT - 1);
                self.networks.drain(..spare);
                let program = (way.program)(size.clone())?;
                (size, way.device.compile(program.folded())?)
            }
        };
        let result = (way.run)(&mut entry.1, inputs);
        self.networks.push(entry);
        result
    }

    fn halves(&mut self, way: &Way<Size>, size: &Size, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let (batch, middle) = (size.batch(), size.batch() / 2);
        let mut outputs: Vec<Vec<f32>> = Vec::new();
        for half in [0..middle, middle..batch] {
            let part = |x: &&[f32]| x.len() / batch * half.start..x.len() / batch * half.end;
            let inputs: Vec<&[f32]> = inputs.iter().copied().map(|x| &x[part(&x)]).collect();
            let made = self.run(way, &size.with_batch(half.len()), &inputs)?;
            outputs.resize_with(made.len(), Vec::new);
            outputs.iter_mut().zip(made).for_each(|(all, part)| all.extend(part));
        }
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::{Kind, Tape, Weights};

    fn program(weights: &Weights, batch: usize) -> Result<Program> {
        let tape = Tape::named(format!("a layer, batch {batch}"));
        let x = tape.input("x", &[batch, 64]);
        let y = x.linear(&weights.get("w")?, None);
        Ok(tape.finish(&[&y, &x.affine(2.0, 0.0)]))
    }

    #[test]
    fn a_batch_that_memory_is_not_enough_for_is_asked_in_halves() {
        let numbers = |len: usize| (0..len).map(|i| (i % 97) as f32 - 48.0).collect::<Vec<f32>>();
        let weights =
            Weights::made("w", vec![("w".into(), vec![64, 64], numbers(64 * 64))]).unwrap();
        let x = numbers(5 * 64);
        let run = |device: &Device| {
            let networks = Networks::default();
            networks.run(device, 5, |batch| program(&weights, batch), &[&x])
        };
        let free = Device::cpu();
        let expected = run(&free).unwrap();
        let need = |batch| free.need(&program(&weights, batch).unwrap()).unwrap();
        let least = |batch| need(batch).values + need(batch).all_weights().values().sum::<u64>();
        // Enough for two entries, so that 5 become 2 and 3, and the 3 become 1 and 2.
        let tight = Device::cpu_within(least(2));
        assert_eq!(run(&tight).unwrap(), expected);
        assert!(tight.memory().most() <= least(2));
        assert_eq!(tight.memory().held(Kind::Values), 0, "the networks are gone");
        let error = run(&Device::cpu_within(least(1) - 1)).unwrap_err();
        let error = error.downcast_ref::<OutOfMemory>().unwrap();
        assert_eq!((error.wanted, error.given), (least(1), least(1) - 1));
    }
}
