//! Elementwise operations done where their input is made, so that no pass over memory is spent on them.

use crate::{
    ops::Fusable,
    program::{Program, Step, ValueId},
};

impl Program {
    /// Moves activations, sums and upsampling into the operations that can do them on the way, and makes
    /// linear layers that read the same one.
    /// Results stay the same up to rounding.
    #[must_use]
    pub fn folded(mut self) -> Self {
        let mut steps: Vec<Option<Step>> =
            std::mem::take(&mut self.steps).into_iter().map(Some).collect();
        for at in 0..steps.len() {
            let Some(step) = &steps[at] else { continue };
            let Some(kind) = step.op.fusable() else { continue };
            match kind {
                Fusable::Upsample => self.fold_into_reader(&mut steps, at),
                Fusable::Act(_) | Fusable::Geglu => {
                    self.fold_into_producer(&mut steps, at, 0, kind);
                }
                Fusable::Add => {
                    let producer = |i: usize| producer_of(&steps, steps[at].as_ref()?.inputs[i]);
                    // The operand that is made last is the one whose result is still at hand.
                    let order = if producer(1) > producer(0) { [1, 0] } else { [0, 1] };
                    let _ = order.iter().any(|i| self.fold_into_producer(&mut steps, at, *i, kind));
                }
            }
        }
        self.join_linears(&mut steps);
        self.steps = steps.into_iter().flatten().collect();
        self
    }

    /// Lets the operation that makes input `i` of step `at` do the work of step `at` too.
    fn fold_into_producer(
        &self,
        steps: &mut [Option<Step>],
        at: usize,
        i: usize,
        kind: Fusable,
    ) -> bool {
        let Some(step) = &steps[at] else { return false };
        let (value, output) = (step.inputs[i], step.output);
        let other = step.inputs.get(1 - i.min(1)).copied().filter(|_| step.inputs.len() == 2);
        let Some(from) = producer_of(steps, value) else { return false };
        if self.uses(steps, value) != 1 {
            return false;
        }
        let row = other.is_some_and(|o| self.shape(o) != self.shape(value));
        // Only the second operand of a sum may be one row for every picture.
        if row && i == 1 {
            return false;
        }
        let Some(producer) = &mut steps[from] else { return false };
        if !producer.op.absorb(kind, producer.inputs.len(), row) {
            return false;
        }
        producer.inputs.extend(other);
        producer.output = output;
        steps[at] = steps[from].take();
        true
    }

    /// Lets the one convolution that reads an upsampled picture upsample as it reads.
    fn fold_into_reader(&self, steps: &mut [Option<Step>], at: usize) {
        let Some(step) = &steps[at] else { return };
        let (small, large) = (step.inputs[0], step.output);
        let reads = |s: &Option<Step>| s.as_ref().is_some_and(|s| s.inputs.first() == Some(&large));
        let Some(reader) = steps.iter().position(reads) else { return };
        if self.uses(steps, large) != 1 {
            return;
        }
        let Some(conv) = &mut steps[reader] else { return };
        if conv.op.absorb(Fusable::Upsample, conv.inputs.len(), false) {
            conv.inputs[0] = small;
            steps[at] = None;
        }
    }

    /// How often a value is read: by steps, through views, or as an output.
    fn uses(&self, steps: &[Option<Step>], id: ValueId) -> usize {
        let by_steps = steps.iter().flatten().flat_map(|s| &s.inputs).filter(|i| **i == id).count();
        let by_views = self.values.iter().filter(|v| v.view_of == Some(id)).count();
        by_steps + by_views + self.outputs.iter().filter(|o| **o == id).count()
    }
}

fn producer_of(steps: &[Option<Step>], id: ValueId) -> Option<usize> {
    steps.iter().position(|s| s.as_ref().is_some_and(|s| s.output == id))
}

#[cfg(test)]
mod tests {
    use crate::{Conv, Device, Tape, testing};

    /// A ResBlock with everything that can be folded.
    fn block() -> crate::Program {
        let w = testing::weights(&[
            ("conv", &[8, 8, 3, 3]),
            ("b", &[8]),
            ("skip", &[8, 8, 1, 1]),
            ("g", &[8]),
        ]);
        let get = |key: &str| w.get(key).unwrap();
        let tape = Tape::new();
        let x = tape.input("x", &[2, 3, 4, 8]);
        let row = tape.input("row", &[2, 8]);
        let h = x.group_norm(4, &get("g"), &get("b"), 1e-5).silu();
        let h = h.upsample2x().conv2d(&get("conv"), Some(&get("b")), Conv::same(3));
        let h = h.add(&row).silu();
        let skip = x.upsample2x().conv2d(&get("skip"), None, Conv::same(1));
        let y = skip.add(&h);
        tape.finish(&[&y, &row])
    }

    /// A network of `len` operations drawn at random, over pictures `[2, 4, 6, 8]`.
    fn random(seed: u64, len: usize) -> crate::Program {
        let w = testing::weights(&[
            ("conv", &[8, 8, 3, 3]),
            ("q", &[8, 8]),
            ("k", &[8, 8]),
            ("v", &[8, 8]),
            ("wide", &[16, 8]),
            ("narrower", &[8, 16]),
            ("b", &[8]),
            ("g", &[8]),
        ]);
        let get = |key: &str| w.get(key).unwrap();
        let (conv, wide, narrow, b, g) =
            (get("conv"), get("wide"), get("narrower"), get("b"), get("g"));
        let [q, k, v] = ["q", "k", "v"].map(get);
        let mut random = testing::Random(seed);
        let tape = Tape::new();
        let row = tape.input("row", &[2, 8]);
        let mut made = vec![tape.input("x", &[2, 4, 6, 8])];
        for _ in 0..len {
            let x = made[random.below(made.len())].clone();
            let other = made[random.below(made.len())].clone();
            let tokens = x.reshape(&[2, 24, 8]);
            made.push(match random.below(15) {
                0 => x.conv2d(&conv, Some(&b), Conv::same(3)),
                1 => x.upsample2x().conv2d(&conv, None, Conv { stride: 2, ..Conv::same(3) }),
                2 => x.group_norm(4, &g, &b, 1e-5),
                3 => x.silu(),
                4 => x.linear(&wide, None).gelu().linear(&narrow, Some(&b)),
                5 => x.add(&other),
                6 => x.add(&row),
                7 => x.linear(&wide, None).geglu(),
                8 => x.concat(&[&other], 3).linear(&narrow, None),
                9 => tokens.attention(&tokens, &tokens, 2, false).reshape(&[2, 4, 6, 8]),
                10 => tokens.layer_norm(&g, &b, 1e-5).reshape(&[2, 4, 6, 8]),
                11 => x.mul(&row),
                // Products of the same values, which become one.
                12 => {
                    let [q, k, v] = [&q, &k, &v].map(|w| tokens.linear(w, Some(&b)));
                    q.attention(&k, &v, 2, true).reshape(&[2, 4, 6, 8])
                }
                13 => x.conv2d(&conv, None, Conv::same(3)).add(&row.linear(&q, Some(&b))),
                _ => x.concat(&[&other], 1).slice(1, 2, 4).affine(0.5, 0.25),
            });
        }
        // All of them normalised, so that sizes do not run away from each other.
        let all: Vec<_> = made.iter().map(|x| x.group_norm(4, &g, &b, 1e-5)).collect();
        tape.finish(&all.iter().skip(1).collect::<Vec<_>>())
    }

    #[test]
    fn random_networks_give_the_same_numbers_folded_and_on_every_device() {
        let inputs = [testing::numbers(16, 3), testing::numbers(2 * 4 * 6 * 8, 4)];
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let devices = testing::devices(1 << 14);
        for seed in 0..40 {
            let network = Device::cpu().compile(random(seed, 12)).unwrap().run(&inputs).unwrap();
            for device in &devices {
                let folded =
                    device.compile(random(seed, 12).folded()).unwrap().run(&inputs).unwrap();
                for (got, expected) in folded.iter().zip(&network) {
                    // Differences of 1e-6 may grow where large values nearly cancel.
                    testing::assert_close(got, expected, 1e-3);
                }
            }
        }
    }

    #[test]
    fn products_of_the_same_values_are_one_and_gates_are_within_theirs() {
        let w = testing::weights(&[
            ("q", &[8, 8]),
            ("k", &[8, 8]),
            ("v", &[8, 8]),
            ("wide", &[16, 8]),
            ("b", &[8]),
        ]);
        let get = |key: &str| w.get(key).unwrap();
        let program = || {
            let tape = Tape::new();
            let x = tape.input("x", &[2, 24, 8]);
            let row = tape.input("row", &[2, 8]);
            let [q, k, v] = ["q", "k", "v"].map(|key| x.linear(&get(key), None));
            let h = q.attention(&k, &v, 2, false);
            let rows = ["q", "k"].map(|key| row.linear(&get(key), Some(&get("b"))));
            let h = h.linear(&get("k"), None).add(&rows[0]).linear(&get("v"), None).add(&rows[1]);
            tape.finish(&[&h.linear(&get("wide"), None).geglu()])
        };
        let folded = program().folded();
        let names: Vec<_> = folded.steps.iter().map(|s| s.op.name()).collect();
        let linear = "linear";
        assert_eq!(names, [linear, "attention", linear, linear, linear, linear]);
        let inputs = [testing::numbers(2 * 24 * 8, 1), testing::numbers(16, 2)];
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let expected = Device::twin().compile(program()).unwrap().run(&inputs).unwrap();
        for device in testing::devices(1 << 12) {
            let got = device.compile(program().folded()).unwrap().run(&inputs).unwrap();
            testing::assert_close(&got[0], &expected[0], 1e-5);
        }
    }

    #[test]
    fn folding_removes_steps_and_changes_nothing() {
        let (plain, folded) = (block(), block().folded());
        assert_eq!(plain.steps.len(), 9);
        let names: Vec<_> = folded.steps.iter().map(|s| s.op.name()).collect();
        assert_eq!(names, ["group_norm", "conv2d", "conv2d"]);
        let inputs = [testing::numbers(2 * 3 * 4 * 8, 1), testing::numbers(16, 2)];
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let run = |p| Device::twin().compile(p).unwrap().run(&inputs).unwrap();
        // The same operations in the same order: only the additions' order may differ.
        testing::assert_close(&run(plain)[0], &run(folded)[0], 1e-5);
    }
}
