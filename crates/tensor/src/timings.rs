//! Where the time of networks goes.

use crate::{Program, Step};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What all runs of one kind of operation in one network took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// The program's name.
    pub network: String,
    /// The operation's.
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts one run of a step.
    pub(crate) fn add(&self, program: &Program, step: &Step, time: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let op = step.op.name();
        let known = all.iter_mut().rev().find(|t| t.op == op && t.network == program.name);
        let (flops, bytes) = (program.flops_of(step), program.bytes_of(step));
        match known {
            Some(known) => {
                known.calls += 1;
                known.time += time;
                known.fastest = known.fastest.min(time);
                known.flops += flops;
                known.bytes += bytes;
            }
            None => {
                let network = program.name.clone();
                all.push(Time { network, op, calls: 1, time, fastest: time, flops, bytes });
            }
        }
    }
}
