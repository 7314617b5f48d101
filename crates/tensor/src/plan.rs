//! Memory: which slot each value lives in.

use crate::program::{Program, ValueId};
use std::{cmp::Reverse, ops::RangeInclusive};

/// From the step that makes a value to the last one that reads it.
type Life = RangeInclusive<usize>;

/// Slots are multiples of so many numbers: of 256 bytes, as GPUs want it.
const WHOLE: usize = 64;

/// Where values live while a program runs. Two values share a slot only if one is dead before the
/// other is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The slot of each value; `None` for values nobody makes or reads. Views have their owner's.
    pub slot_of: Vec<Option<usize>>,
    /// Length of each slot, in numbers: whole multiples of [`WHOLE`].
    pub slots: Vec<usize>,
}

impl Plan {
    /// Bytes of all slots: the peak of the activations.
    pub fn bytes(&self) -> u64 {
        4 * self.slots.iter().sum::<usize>() as u64
    }
}

impl Program {
    /// Assigns slots by size, the largest value first, so that no slot is larger than what it was made for
    /// (Pisarchyk and Lee 2020, "Greedy by Size for Shared Objects"): to each the smallest one whose values
    /// live at other times.
    pub fn plan(&self) -> Plan {
        let mut lives: Vec<(ValueId, Life)> = self.lives();
        lives.sort_by_key(|(id, _)| Reverse(self.values[*id].len()));
        let mut plan = Plan { slot_of: vec![None; self.values.len()], slots: Vec::new() };
        let mut taken: Vec<Vec<Life>> = Vec::new();
        for (id, life) in lives {
            let apart = |other: &Life| other.end() < life.start() || life.end() < other.start();
            let slot = taken.iter().rposition(|lives| lives.iter().all(apart));
            let slot = slot.unwrap_or_else(|| {
                plan.slots.push(self.values[id].len().next_multiple_of(WHOLE));
                taken.push(Vec::new());
                taken.len() - 1
            });
            taken[slot].push(life);
            plan.slot_of[id] = Some(slot);
        }
        for id in 0..self.values.len() {
            plan.slot_of[id] = plan.slot_of[self.owner(id)];
        }
        plan
    }

    /// The values with memory of their own that are inputs or made by a step, and when they live.
    fn lives(&self) -> Vec<(ValueId, Life)> {
        let last = self.last_reads();
        let inputs = self.inputs.iter().map(|(_, id)| (*id, 0..=last[*id]));
        let made = self.steps.iter().enumerate();
        // What is kept from run to run has a slot that nothing else uses, ever.
        let kept = self.kept();
        let first = |at: usize, id: &ValueId| if kept.contains(id) { 0 } else { at };
        let made = made
            .map(|(at, step)| (step.output, first(at, &step.output)..=last[step.output].max(at)));
        inputs.chain(made).collect()
    }

    /// Values made by steady steps that others read, or that are given back.
    fn kept(&self) -> Vec<ValueId> {
        let steady = self.steady_steps();
        let mut read = vec![false; self.values.len()];
        let others = self.steps.iter().zip(&steady).filter(|(_, steady)| !**steady);
        let reads = others.flat_map(|(step, _)| &step.inputs).chain(&self.outputs);
        reads.for_each(|id| read[self.owner(*id)] = true);
        let made = self.steps.iter().zip(&steady).filter(|(_, steady)| **steady);
        made.map(|(step, _)| step.output).filter(|id| read[*id]).collect()
    }

    /// The last step that reads each value, itself or through a view; past the end for outputs,
    /// inputs (which are written before every run) and what is kept.
    fn last_reads(&self) -> Vec<usize> {
        let mut last = vec![0; self.values.len()];
        for (at, step) in self.steps.iter().enumerate() {
            step.inputs.iter().for_each(|id| last[self.owner(*id)] = at);
        }
        let inputs = self.inputs.iter().map(|(_, id)| *id);
        let after = self.outputs.iter().copied().chain(inputs).chain(self.kept());
        after.for_each(|id| last[self.owner(id)] = usize::MAX);
        last
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Program, Tape,
        testing::{Random, devices, numbers},
    };

    /// Sums of what there is, some seen in another shape.
    fn random_sums(seed: u64) -> Program {
        let mut random = Random(seed);
        let tape = Tape::new();
        let mut values = vec![tape.input("x", &[1, 2, 4]), tape.steady_input("y", &[1, 2, 4])];
        for _ in 0..30 {
            let a = values[random.below(values.len())].clone();
            let b = values[random.below(values.len())].clone();
            values.push(if random.below(4) == 0 { a.reshape(&[1, 2, 4]) } else { a.add(&b) });
        }
        tape.finish(&[&values[31], &values[20]])
    }

    #[test]
    fn steady_steps_are_done_when_an_input_of_theirs_changes() {
        let [a, b] = [1, 2].map(|seed| numbers(8, seed));
        for device in devices(u64::MAX) {
            for seed in 0..10 {
                let mut network = device.compile(random_sums(seed)).unwrap();
                for (x, y) in [(&a, &a), (&b, &a), (&b, &b), (&a, &b), (&a, &a)] {
                    let mut fresh = device.compile(random_sums(seed)).unwrap();
                    let expected = fresh.run(&[x, y]).unwrap();
                    assert_eq!(network.run(&[x, y]).unwrap(), expected, "{}", device.name());
                }
            }
        }
    }

    #[test]
    fn steady_steps_are_not_done_twice() {
        let program = || {
            let tape = Tape::new();
            let (x, y) = (tape.input("x", &[1, 2, 4]), tape.steady_input("y", &[1, 2, 4]));
            tape.finish(&[&x.add(&y.softmax())])
        };
        let device = crate::Device::cpu();
        let mut network = device.compile(program()).unwrap();
        let calls = |name: &str| {
            let of = |t: &crate::Time| t.op == name;
            device.timings().iter().filter(|t| of(t)).map(|t| t.calls).sum::<u64>()
        };
        for (y, softmaxes) in [(1.0, 1), (1.0, 1), (2.0, 2), (2.0, 2)] {
            network.run(&[&[0.0; 8], &[y; 8]]).unwrap();
            assert_eq!(calls("softmax"), softmaxes);
        }
        assert_eq!(calls("binary"), 4);
    }

    #[test]
    fn values_that_live_at_once_have_slots_of_their_own() {
        for seed in 0..50 {
            let program = random_sums(seed);
            let (plan, last) = (program.plan(), program.last_reads());
            let mut owner_of_slot = vec![None; plan.slots.len()];
            for id in program.inputs.iter().map(|(_, id)| *id).chain(program.kept()) {
                owner_of_slot[plan.slot_of[id].unwrap()] = Some(id);
            }
            for (at, step) in program.steps.iter().enumerate() {
                for id in &step.inputs {
                    let slot = plan.slot_of[*id].unwrap();
                    assert_eq!(owner_of_slot[slot], Some(program.owner(*id)), "step {at}");
                }
                let slot = plan.slot_of[step.output].unwrap();
                let before: Option<usize> = owner_of_slot[slot];
                let dead = |id: usize| id == step.output || last[id] < at;
                assert!(before.is_none_or(dead), "step {at} overwrites a live value");
                owner_of_slot[slot] = Some(step.output);
            }
        }
    }
}
