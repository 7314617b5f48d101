//! Where the time of networks goes.

use crate::{Program, Step};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What all runs of one kind of operation in one network took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// The program's name.
    pub network: String,
    /// The operation's, or [`Time::PREPARE`] or [`Time::TRANSFER`].
    pub op: &'static str,
    pub calls: u64,
    pub time: Duration,
    /// Of the shortest call.
    pub fastest: Duration,
    /// Floating-point operations, by the definition (a multiply-add counts two).
    pub flops: u64,
    /// Bytes of inputs, weights and outputs, each once, as f32.
    pub bytes: u64,
}

impl Time {
    /// What is no operation: making a network ready (its weights are read and packed or uploaded).
    pub const PREPARE: &'static str = "prepare";
    /// And the rest of a run: inputs and outputs are copied, the device is waited for.
    pub const TRANSFER: &'static str = "transfer";

    /// Whether it is an operation of the network.
    pub fn is_op(&self) -> bool {
        ![Self::PREPARE, Self::TRANSFER].contains(&self.op)
    }

    /// What came on top of an earlier account; nothing if nothing did.
    pub fn since(mut self, before: &[Self]) -> Option<Self> {
        let same = |t: &&Self| t.op == self.op && t.network == self.network;
        if let Some(before) = before.iter().find(same) {
            self.calls -= before.calls;
            self.time -= before.time;
            self.flops -= before.flops;
            self.bytes -= before.bytes;
        }
        (self.calls > 0).then_some(self)
    }
}

/// A device's account of its runs. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub struct Timings(Arc<Mutex<Vec<Time>>>);

impl Timings {
    /// In the order of their first run.
    pub fn all(&self) -> Vec<Time> {
        self.rows().clone()
    }

    /// Counts one run of a step.
    pub(crate) fn add(&self, program: &Program, step: &Step, time: Duration) {
        let work = [program.flops_of(step), program.bytes_of(step)];
        self.count(&program.name, step.op.name(), time, work);
    }

    /// Counts the making of a network, or of a part of it during a run.
    pub(crate) fn prepared(&self, program: &Program, time: Duration) {
        self.count(&program.name, Time::PREPARE, time, [0, 0]);
    }

    /// Counts what a run, which took `whole`, took beyond what was counted during it; `before` is what
    /// [`Timings::counted`] gave when it began.
    pub(crate) fn transferred(&self, program: &Program, whole: Duration, before: Duration) {
        let counted = self.counted().saturating_sub(before);
        let numbers = |id: &usize| program.values[*id].len() as u64;
        let inputs = program.inputs.iter().map(|(_, id)| numbers(id));
        let bytes = 4 * inputs.chain(program.outputs.iter().map(numbers)).sum::<u64>();
        self.count(&program.name, Time::TRANSFER, whole.saturating_sub(counted), [0, bytes]);
    }

    /// All time so far.
    pub(crate) fn counted(&self) -> Duration {
        self.rows().iter().map(|t| t.time).sum()
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Time>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, network: &str, op: &'static str, time: Duration, [flops, bytes]: [u64; 2]) {
        let mut rows = self.rows();
        match rows.iter_mut().rev().find(|t| t.op == op && t.network == network) {
            Some(known) => {
                known.calls += 1;
                known.time += time;
                known.fastest = known.fastest.min(time);
                known.flops += flops;
                known.bytes += bytes;
            }
            None => {
                let network = network.to_owned();
                rows.push(Time { network, op, calls: 1, time, fastest: time, flops, bytes });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Ledger, Tape, testing};
    use std::time::Instant;

    #[test]
    fn an_account_adds_up_to_what_was_waited_and_a_dry_one_counts_the_same_work() {
        let weights = testing::weights(&[("w", &[256, 256])]);
        let program = || {
            let tape = Tape::named("two layers");
            let w = weights.get("w").unwrap();
            let x = tape.input("x", &[1, 512, 256]);
            tape.finish(&[&x.linear(&w, None).silu().linear(&w, None).gelu()])
        };
        let x = testing::numbers(512 * 256, 1);
        let told = |device: &Device| {
            let start = Instant::now();
            let mut network = device.compile(program()).unwrap();
            network.run(&[&x]).unwrap();
            network.run(&[&x]).unwrap();
            (start.elapsed(), device.timings())
        };
        let (waited, times) = told(&Device::cpu());
        let counted: Duration = times.iter().map(|t| t.time).sum();
        assert!(counted <= waited && counted.as_secs_f64() > 0.5 * waited.as_secs_f64());
        let calls: Vec<_> = times.iter().map(|t| (t.op, t.calls)).collect();
        // Once when compiled, and once when the first run loads the weights.
        assert_eq!(calls, [("prepare", 2), ("linear", 4), ("map", 4), ("transfer", 2)]);
        let work = |times: &[Time]| -> Vec<_> {
            let ops = times.iter().filter(|t| t.op != Time::PREPARE);
            ops.map(|t| (t.network.clone(), t.op, t.calls, t.flops, t.bytes)).collect()
        };
        assert_eq!(work(&times), work(&told(&Device::dry(&Ledger::default())).1));
    }
}
