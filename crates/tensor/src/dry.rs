//! The dry device: plans programs, computes nothing, and writes down what a run would take.

use crate::{Device, Program, Result, Timings};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What the calls of one network cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The program's name, which says its size.
    pub name: String,
    /// The file that the weights come from.
    pub file: String,
    pub calls: u64,
    /// Floating-point operations of one call.
    pub flops: u64,
    /// Bytes of weights, in the form that the device computes with.
    pub weights: u64,
    /// Bytes of activations at their peak.
    pub activations: u64,
    /// The blocks that its weights are loaded in, and dropped in each call, where the budget is not enough
    /// for all.
    pub streamed: Option<usize>,
}

/// What a [`crate::Device::dry`] was asked for. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Ledger {
    device: Arc<Device>,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    costs: Vec<Cost>,
    timings: Timings,
    /// By identity: how many networks hold a weight.
    held: HashMap<u64, usize>,
    /// Bytes in memory now, and at most so far.
    now: u64,
    peak: u64,
}

impl Default for Ledger {
    /// Of what the CPU would take.
    fn default() -> Self {
        Self::of(Arc::new(Device::cpu()))
    }
}

impl Ledger {
    /// Of what this device would take.
    #[must_use]
    pub fn of(device: Arc<Device>) -> Self {
        Self { device, book: Arc::default() }
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// By network, in the order of their first call.
    #[must_use]
    pub fn costs(&self) -> Vec<Cost> {
        self.book().costs.clone()
    }

    /// Bytes of weights and activations of all networks that are ready at once, at their peak, but no more
    /// than the device's budget. Networks share weights; each has activations of its own.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.book().peak.min(self.device.memory().budget())
    }

    pub(crate) fn timings(&self) -> Timings {
        self.book().timings.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn compile(&self, program: Program) -> Result<DryNetwork> {
        let need = self.device.need(&program)?;
        let cut = self.device.memory().cut(&program.name, &need, false)?;
        let weights = need.all_weights();
        let file = program.weights().values().next().map(|w| w.file().to_owned());
        let cost = Cost {
            name: program.name.clone(),
            file: file.unwrap_or_default(),
            calls: 0,
            flops: program.flops(),
            weights: weights.values().sum(),
            activations: need.values,
            streamed: (!cut.fits(&need)).then_some(cut.steps.len()),
        };
        let weights = weights.into_iter().collect();
        let network = DryNetwork { program, cost, weights, ledger: self.clone() };
        self.book().hold(&network);
        Ok(network)
    }
}

impl Book {
    fn hold(&mut self, network: &DryNetwork) {
        self.now += network.cost.activations;
        for (id, bytes) in &network.weights {
            let held = self.held.entry(*id).or_default();
            self.now += if *held == 0 { *bytes } else { 0 };
            *held += 1;
        }
        self.peak = self.peak.max(self.now);
    }

    fn release(&mut self, network: &DryNetwork) {
        self.now -= network.cost.activations;
        for (id, bytes) in &network.weights {
            let held = self.held.entry(*id).or_default();
            *held -= 1;
            self.now -= if *held == 0 { *bytes } else { 0 };
        }
    }

    fn count(&mut self, cost: &Cost) {
        let same = |c: &&mut Cost| (&c.name, &c.file) == (&cost.name, &cost.file);
        match self.costs.iter_mut().find(same) {
            Some(known) => known.calls += 1,
            None => self.costs.push(Cost { calls: 1, ..cost.clone() }),
        }
    }
}

/// A program that is planned and never computed.
pub struct DryNetwork {
    pub(crate) program: Program,
    /// Of a network that was not called yet.
    cost: Cost,
    /// Identities and bytes.
    weights: Vec<(u64, u64)>,
    pub(crate) ledger: Ledger,
}

impl DryNetwork {
    /// Counts the call; gives zeros.
    pub(crate) fn run(&self) -> Vec<Vec<f32>> {
        self.ledger.book().count(&self.cost);
        let timings = self.ledger.timings();
        self.program.steps.iter().for_each(|step| timings.add(&self.program, step, Duration::ZERO));
        let zeros = |id: &usize| vec![0.0; self.program.values[*id].len()];
        self.program.outputs.iter().map(zeros).collect()
    }
}

impl Drop for DryNetwork {
    fn drop(&mut self) {
        self.ledger.book().release(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Network, Tape, cpu::Packed, testing::weights};

    /// Two matrices of 4x4, of which `shared` is the same in every program.
    fn network(device: &Device, name: &str, file: &crate::Weights) -> Network {
        let tape = Tape::named(name);
        let x = tape.input("x", &[1, 2, 4]);
        let y = x.linear(&file.get("shared").unwrap(), None);
        let y = y.linear(&file.get(name).unwrap(), None);
        device.compile(tape.finish(&[&y])).unwrap()
    }

    #[test]
    fn calls_are_counted_and_shared_weights_held_once() {
        let file = weights(&[("shared", &[4, 4]), ("a", &[4, 4]), ("b", &[4, 4])]);
        let ledger = Ledger::default();
        let device = Device::dry(&ledger);
        let mut a = network(&device, "a", &file);
        assert_eq!(a.run(&[&[1.0; 8]]).unwrap(), [vec![0.0; 8]]);
        a.run(&[&[1.0; 8]]).unwrap();
        let one = ledger.peak();
        let mut b = network(&device, "b", &file);
        b.run(&[&[1.0; 8]]).unwrap();
        let costs = ledger.costs();
        let matrix = Packed::bytes([4, 4], false) as u64;
        assert_eq!(
            costs.iter().map(|c| (c.name.as_str(), c.calls)).collect::<Vec<_>>(),
            [("a", 2), ("b", 1)]
        );
        assert_eq!((costs[0].flops, costs[0].weights), (2 * (2 * 2 * 4 * 4), 2 * matrix));
        assert_eq!(one, costs[0].weights + costs[0].activations);
        assert_eq!(ledger.peak(), one + matrix + costs[1].activations);
    }

    #[test]
    fn what_is_given_back_does_not_count_for_the_peak() {
        let file = weights(&[("shared", &[4, 4]), ("a", &[4, 4]), ("b", &[4, 4])]);
        let ledger = Ledger::default();
        let device = Device::dry(&ledger);
        drop(network(&device, "a", &file));
        let one = ledger.peak();
        drop(network(&device, "b", &file));
        assert_eq!(ledger.peak(), one);
    }
}
