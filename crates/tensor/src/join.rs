//! Linear layers that read the same values are one product, of their weights below each other: queries,
//! keys and values; the time step for all blocks; the text for all blocks. What each would make is some
//! columns of the result.

use crate::{
    Weight,
    ops::{Act, Epilogue, Linear},
    program::{Columns, Program, Step, Value, ValueId},
};

/// What layers must have in common: the input, whether there is a bias, how weights are kept, and how long
/// their rows are.
type Kind = (ValueId, bool, bool, Vec<usize>);

impl Program {
    pub(crate) fn join_linears(&mut self, steps: &mut [Option<Step>]) {
        let mut groups: Vec<(Kind, Vec<usize>)> = Vec::new();
        for at in 0..steps.len() {
            let Some(kind) = self.joinable(steps, at) else { continue };
            match groups.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, group)) => group.push(at),
                None => groups.push((kind, vec![at])),
            }
        }
        for (_, group) in groups.iter().filter(|(_, group)| group.len() > 1) {
            self.join(steps, group);
        }
    }

    /// What kind of layer step `at` is, if it can be joined with others: one that is nothing but a product
    /// and a bias, and whose readers all can read some columns of a matrix.
    fn joinable(&self, steps: &[Option<Step>], at: usize) -> Option<Kind> {
        let step = steps[at].as_ref()?;
        let Linear { weight, epilogue, gated } = step.op.linear()?;
        let bare = epilogue.act == Act::Identity
            && epilogue.row.is_none()
            && epilogue.residual.is_none()
            && !gated;
        // Devices read columns in quads.
        let in_quads = weight.shape()[0].is_multiple_of(4);
        if !bare || !in_quads || !self.read_as_columns(steps, step.output) {
            return None;
        }
        let kind = (epilogue.bias.is_some(), weight.fits_f16(), weight.shape()[1..].to_vec());
        Some((step.inputs[0], kind.0, kind.1, kind.2))
    }

    fn read_as_columns(&self, steps: &[Option<Step>], id: ValueId) -> bool {
        let seen = self.outputs.contains(&id) || self.values.iter().any(|v| v.view_of == Some(id));
        let reads = |step: &Step| {
            let mut places = step.inputs.iter().enumerate().filter(|(_, input)| **input == id);
            places.all(|(i, _)| step.op.reads_columns(i))
        };
        !seen && steps.iter().flatten().all(reads)
    }

    /// Makes the layers of these steps one, in the place of the first.
    fn join(&mut self, steps: &mut [Option<Step>], group: &[usize]) {
        let members: Vec<Step> = group.iter().filter_map(|at| steps[*at].take()).collect();
        let layers: Vec<&Linear> = members.iter().filter_map(|step| step.op.linear()).collect();
        let weights: Vec<&Weight> = layers.iter().map(|layer| &layer.weight).collect();
        let biases: Vec<&Weight> = layers.iter().filter_map(|l| l.epilogue.bias.as_ref()).collect();
        let bias = (!biases.is_empty()).then(|| Weight::joined(&biases));
        let weight = Weight::joined(&weights);
        let of = weight.shape()[0];
        let output = self.values.len();
        let mut shape = self.shape(members[0].output).to_vec();
        *shape.last_mut().expect("a layer makes columns") = of;
        self.values.push(Value { shape, view_of: None, columns: None });
        let mut skip = 0;
        for step in &members {
            let value = &mut self.values[step.output];
            (value.view_of, value.columns) = (Some(output), Some(Columns { of, skip }));
            skip += value.shape.last().copied().unwrap_or_default();
        }
        let epilogue = Epilogue { bias, ..Epilogue::default() };
        let op = Box::new(Linear { weight, epilogue, gated: false });
        steps[group[0]] = Some(Step { op, inputs: members[0].inputs.clone(), output });
    }
}
