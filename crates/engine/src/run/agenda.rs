//! What a run has to do.

use crate::{Cache, Plan, Source, Step};
use std::collections::{BTreeSet, HashSet};

/// What is to be done, in the order of the plan. It grows when a node asks for a lazy input.
#[derive(Default)]
pub(super) struct Agenda {
    /// Not looked at yet: each is run or, if its result is there, reported.
    pub open: BTreeSet<usize>,
    /// Those that must run. What only cached steps read must not.
    pub due: BTreeSet<usize>,
    /// Those that were run or reported.
    done: BTreeSet<usize>,
    /// How many nodes run: equal ones run once.
    pub total: usize,
}

impl Agenda {
    pub fn new(plan: &Plan, cache: &Cache) -> Self {
        let mut this = Self::default();
        this.add(plan, cache, &plan.targets);
        this
    }

    /// Takes steps on, and what they read but for lazy inputs; gives those that became due: also again,
    /// if a result is no longer there.
    pub fn add(&mut self, plan: &Plan, cache: &Cache, steps: &[usize]) -> BTreeSet<usize> {
        let absent = |i: usize| !cache.contains(plan.steps[i].key);
        let to_come = &self.due - &self.done;
        let new = &closure(plan, steps, absent) - &to_come;
        self.done.retain(|step| !new.contains(step));
        self.due.extend(&new);
        self.open.extend(&closure(plan, steps, |_| true) - &self.done);
        self.total += new.iter().map(|i| plan.steps[*i].key).collect::<HashSet<_>>().len();
        new
    }

    /// The first step that is not looked at yet.
    pub fn next(&mut self) -> Option<usize> {
        self.open.pop_first()
    }

    pub fn done(&mut self, step: usize) {
        self.done.insert(step);
    }
}

/// These steps, and upstream of them those that are reached without lazy inputs, as far as `wanted`.
fn closure(plan: &Plan, steps: &[usize], wanted: impl Fn(usize) -> bool) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), steps.to_vec());
    while let Some(i) = open.pop() {
        if wanted(i) && found.insert(i) {
            open.extend(plan.steps[i].reads_at_once());
        }
    }
    found
}

impl Step<'_> {
    /// As [`Step::reads`] without the lazy inputs.
    fn reads_at_once(&self) -> impl Iterator<Item = usize> {
        let lazy = |name: &str| self.node.input(name).is_some_and(|input| input.lazy);
        self.inputs.iter().filter_map(move |(name, source)| match source {
            Source::Link { step, .. } if !lazy(name) => Some(*step),
            _ => None,
        })
    }
}
