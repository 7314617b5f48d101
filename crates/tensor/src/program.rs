//! What a recording becomes: a list of operations over numbered values.

use crate::{Weight, ops::Op};
use std::{collections::BTreeMap, ops::Range};

/// The index of a value in [`Program::values`].
pub type ValueId = usize;

/// One intermediate array.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub shape: Vec<usize>,
    /// The value whose memory this one is, seen in another shape.
    pub view_of: Option<ValueId>,
    /// Of a view of some columns of a matrix: which.
    pub columns: Option<Columns>,
}

/// Some columns of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// How many the matrix has.
    pub of: usize,
    /// How many come before them.
    pub skip: usize,
}

impl Value {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// How far apart its rows begin in memory.
    pub fn stride(&self) -> usize {
        let dense = self.shape.last().copied().unwrap_or(1);
        self.columns.map_or(dense, |columns| columns.of)
    }
    /// Where it is in its owner's memory, from its first number to its last.
    pub fn place(&self) -> Range<usize> {
        let Some(Columns { of, skip }) = self.columns else { return 0..self.len() };
        let columns = self.shape.last().copied().unwrap_or(1);
        skip..self.len() / columns * of - of + skip + columns
    }
}

/// One operation and the value it makes.
#[derive(Debug)]
pub struct Step {
    pub op: Box<dyn Op>,
    pub inputs: Vec<ValueId>,
    pub output: ValueId,
}

/// A network, written down: operations in order, over values, from inputs to outputs.
#[derive(Debug, Default)]
pub struct Program {
    /// What it is, and of which size: for people.
    pub name: String,
    pub values: Vec<Value>,
    pub steps: Vec<Step>,
    /// Names and values to be given at each run, in order.
    pub inputs: Vec<(String, ValueId)>,
    /// The inputs of them that stay the same from run to run as a rule.
    pub steady: Vec<ValueId>,
    /// What a run gives back, in order.
    pub outputs: Vec<ValueId>,
}

impl Program {
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.values[id].shape
    }

    /// The value that owns the memory of `id`.
    pub fn owner(&self, mut id: ValueId) -> ValueId {
        while let Some(base) = self.values[id].view_of {
            id = base;
        }
        id
    }

    /// Which steps read nothing but steady inputs and what is made of them: done anew only when one of
    /// those inputs has changed.
    pub fn steady_steps(&self) -> Vec<bool> {
        let mut steady = vec![false; self.values.len()];
        self.steady.iter().for_each(|id| steady[*id] = true);
        let mut settle = |step: &Step| {
            steady[step.output] = step.inputs.iter().all(|id| steady[self.owner(*id)]);
            steady[step.output]
        };
        self.steps.iter().map(&mut settle).collect()
    }

    /// Floating-point operations of one run (a multiply-add counts two).
    pub fn flops(&self) -> u64 {
        self.steps.iter().map(|step| self.flops_of(step)).sum()
    }

    /// Floating-point operations of one step.
    pub fn flops_of(&self, step: &Step) -> u64 {
        step.op.flops(&self.shapes(step), self.shape(step.output))
    }

    /// Bytes that one step reads and writes: inputs, weights and output, each once, as f32.
    pub fn bytes_of(&self, step: &Step) -> u64 {
        let values = step.inputs.iter().chain([&step.output]).map(|id| self.values[*id].len());
        let weights = step.op.weights();
        4 * (values.sum::<usize>() + weights.iter().map(|w| w.len()).sum::<usize>()) as u64
    }

    /// The weights it reads, each once, by identity.
    pub fn weights(&self) -> BTreeMap<u64, &Weight> {
        self.steps.iter().flat_map(|step| step.op.weights()).map(|w| (w.id(), w)).collect()
    }

    /// Shapes of a step's inputs.
    pub fn shapes(&self, step: &Step) -> Vec<&[usize]> {
        step.inputs.iter().map(|id| self.shape(*id)).collect()
    }
}
