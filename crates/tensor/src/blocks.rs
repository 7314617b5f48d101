//! A network's steps in blocks, whose weights come and go together.

use crate::{
    Result,
    memory::{Held, Memory},
};
use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    panic::resume_unwind,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What a network takes of a device's memory.
#[derive(Clone, Debug, Default)]
pub struct Need {
    /// Bytes of what it computes.
    pub values: u64,
    /// For each step, the weights that it reads: identities and bytes.
    pub weights: Vec<Vec<(u64, u64)>>,
}

impl Need {
    /// The weights of all steps, each once.
    pub fn all_weights(&self) -> BTreeMap<u64, u64> {
        self.weights.iter().flatten().copied().collect()
    }
}

/// Bytes of a block's weights at most, if a step alone has not more: so much is read ahead.
const BLOCK: u64 = 64 << 20;
/// Of what a budget leaves for weights, the part that a block may take.
const PART: u64 = 8;

/// How a network's steps are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub steps: Vec<Range<usize>>,
    /// Of each block's weights.
    bytes: Vec<u64>,
    /// What the budget leaves for weights.
    room: u64,
}

impl Cut {
    /// Whether all blocks can be held at once.
    pub fn fits(&self, need: &Need) -> bool {
        need.all_weights().values().sum::<u64>() <= self.room
    }
}

impl Memory {
    /// Cuts a network into blocks that the budget lets in one by one; an error if one is too much. With
    /// `whole` it stays in one piece where there is no budget.
    pub fn cut(&self, name: &str, need: &Need, whole: bool) -> Result<Cut> {
        let budget = self.budget();
        let room = budget.saturating_sub(need.values);
        let share = match budget {
            u64::MAX if whole => u64::MAX,
            _ => BLOCK.min(room / PART),
        };
        let (mut steps, mut bytes) = (Vec::<Range<usize>>::new(), Vec::<u64>::new());
        let mut here = HashSet::new();
        for (i, weights) in need.weights.iter().enumerate() {
            let new = |here: &HashSet<u64>| {
                weights.iter().filter(|(id, _)| !here.contains(id)).map(|(_, bytes)| bytes).sum()
            };
            let more: u64 = new(&here);
            match (steps.last_mut(), bytes.last_mut()) {
                (Some(block), Some(sum)) if sum.saturating_add(more) <= share => {
                    (block.end, *sum) = (i + 1, *sum + more);
                }
                _ => {
                    here.clear();
                    steps.push(i..i + 1);
                    bytes.push(new(&here));
                }
            }
            here.extend(weights.iter().map(|(id, _)| *id));
        }
        let least = need.values.saturating_add(bytes.iter().max().copied().unwrap_or_default());
        if least > budget {
            return Err(self.lacks(name, least).into());
        }
        Ok(Cut { steps, bytes, room })
    }
}

/// A network's blocks on a device; of each, what the device makes of it.
pub struct Blocks<T> {
    cut: Cut,
    held: Vec<Arc<Held<T>>>,
}

impl<T: Send + 'static> Blocks<T> {
    pub fn new(cut: Cut, memory: &Arc<Memory>, network: u64) -> Self {
        let held = cut.steps.iter().map(|_| Held::new(memory, network)).collect();
        Self { cut, held }
    }

    /// Drops all of them.
    pub fn clear(&self) {
        self.held.iter().for_each(|block| drop(block.take()));
    }

    /// Goes through the blocks that are wanted: loads each that is not there, the next one while this one
    /// computes. Tells how long it waited for blocks.
    pub fn run(
        &self,
        wanted: impl Fn(Range<usize>) -> bool,
        load: impl Fn(Range<usize>) -> Result<T> + Sync,
        mut compute: impl FnMut(Range<usize>, &T) -> Result<()>,
    ) -> Result<Duration> {
        let steps = |i: usize| self.cut.steps[i].clone();
        let load = &load;
        thread::scope(|scope| {
            let mut coming: Option<thread::ScopedJoinHandle<Result<T>>> = None;
            let mut waited = Duration::ZERO;
            let wanted: Vec<usize> = (0..self.held.len()).filter(|i| wanted(steps(*i))).collect();
            for (at, i) in wanted.iter().copied().enumerate() {
                let held = &self.held[i];
                let start = Instant::now();
                let is_here = held.is_here();
                let block = match coming.take() {
                    Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic))?,
                    None => held.take().map_or_else(|| load(steps(i)), Ok)?,
                };
                waited += if is_here { Duration::ZERO } else { start.elapsed() };
                let next = wanted.get(at + 1).copied().filter(|next| self.is_to_come(i, *next));
                coming = next.map(|next| scope.spawn(move || load(steps(next))));
                compute(steps(i), &block)?;
                held.put(block);
            }
            Ok(waited)
        })
    }

    /// Whether block `next` is not there yet, and there is room for it beside block `i`.
    fn is_to_come(&self, i: usize, next: usize) -> bool {
        let together = self.cut.bytes[i] + self.cut.bytes[next];
        !self.held[next].is_here() && together <= self.cut.room
    }
}
