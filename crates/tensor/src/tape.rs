//! Recording: tensors without data, whose operations are written down.

use crate::{
    ops::Op,
    program::{Program, Step, Value, ValueId},
};
use std::{cell::RefCell, rc::Rc};

/// Writes down what is done with its tensors.
#[derive(Clone, Default)]
pub struct Tape(Rc<RefCell<Program>>);

/// A value on a tape: a shape, and how it is computed. Cheap to clone.
#[derive(Clone)]
pub struct Tensor {
    pub(crate) id: ValueId,
    shape: Rc<[usize]>,
    tape: Tape,
}

impl Tape {
    pub fn new() -> Self {
        Self::default()
    }

    /// A tape for a program of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Rc::new(RefCell::new(Program { name: name.into(), ..Program::default() })))
    }

    /// A value that every run is given.
    pub fn input(&self, name: &str, shape: &[usize]) -> Tensor {
        let tensor = self.value(shape, None);
        self.0.borrow_mut().inputs.push((name.to_owned(), tensor.id));
        tensor
    }

    /// An input that stays the same from run to run as a rule, as a prompt does from step to step: what
    /// depends on nothing else is computed only when it changes.
    pub fn steady_input(&self, name: &str, shape: &[usize]) -> Tensor {
        let tensor = self.input(name, shape);
        self.0.borrow_mut().steady.push(tensor.id);
        tensor
    }

    /// Ends the recording: what the run shall give back.
    pub fn finish(self, outputs: &[&Tensor]) -> Program {
        let mut program = self.0.take();
        program.outputs = outputs.iter().map(|t| t.id).collect();
        program
    }

    fn value(&self, shape: &[usize], view_of: Option<ValueId>) -> Tensor {
        let values = &mut self.0.borrow_mut().values;
        values.push(Value { shape: shape.to_vec(), view_of, columns: None });
        Tensor { id: values.len() - 1, shape: shape.into(), tape: self.clone() }
    }
}

impl Tensor {
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The size of dimension `i`.
    #[track_caller]
    pub fn dim(&self, i: usize) -> usize {
        self.shape[i]
    }

    /// The size of the last dimension.
    pub fn channels(&self) -> usize {
        *self.shape.last().expect("a tensor has dimensions")
    }

    /// The same numbers in another shape of the same length.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Tensor {
        let (old, new) = (self.shape.iter().product::<usize>(), shape.iter().product::<usize>());
        assert_eq!(old, new, "cannot see {:?} as {shape:?}", self.shape);
        self.tape.value(shape, Some(self.id))
    }

    /// Writes an operation down; `self` is its first input.
    pub(crate) fn record(
        &self,
        op: impl Op + 'static,
        others: &[&Tensor],
        shape: &[usize],
    ) -> Tensor {
        let inputs = [self.id].into_iter().chain(others.iter().map(|t| t.id)).collect();
        let output = self.tape.value(shape, None);
        let step = Step { op: Box::new(op), inputs, output: output.id };
        self.tape.0.borrow_mut().steps.push(step);
        output
    }
}
