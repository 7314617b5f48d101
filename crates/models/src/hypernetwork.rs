//! Hypernetworks (as in NovelAI's and A1111's web UI, 2022): small networks, in a file of their own, that
//! change what the attention of a UNet takes keys and values from.
//!
//! Files hold, for each number of channels `C` that they change, two lists of layers: `C.0.` for keys, `C.1.`
//! for values, each `...N.weight` and `...N.bias` (such as `320.0.linear.0.weight`), done in the order of `N`. A
//! weight of one dimension is a layer norm. The file's metadata says `activation_func` and `activate_output`;
//! `is_layer_norm` is seen from the shapes, and dropout is of training only.

use crate::layers::{add, layer_norm, linear};
use std::collections::BTreeMap;
use tensor::{Result, Tape, Tensor, Weights};

/// A hypernetwork, and how strongly it is used. Cheap to clone.
#[derive(Clone)]
pub struct Hypernetwork {
    weights: Weights,
    /// By channels and part: the numbered layers, in order.
    layers: BTreeMap<(usize, Part), Vec<String>>,
    activation: Activation,
    /// Whether the last layer has the activation too.
    activates_output: bool,
    strength: f32,
}

/// What a list of layers changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Keys,
    Values,
}

type Activation = fn(&Tensor) -> Tensor;

/// By the names that files use.
const ACTIVATIONS: &[(&str, Activation)] = &[
    ("linear", Tensor::clone),
    ("relu", Tensor::relu),
    ("leakyrelu", |x| x.relu().add(&x.affine(-1.0, 0.0).relu().affine(-0.01, 0.0))),
    ("elu", Tensor::elu),
    ("swish", hard_swish),
    ("tanh", |x| x.tanh(1.0)),
    ("sigmoid", |x| x.tanh(0.5).affine(0.5, 0.5)),
    ("softsign", Tensor::softsign),
    ("mish", Tensor::mish),
];

/// `x min(max(x + 3, 0), 6) / 6` (Howard et al. 2019), which files mean by swish.
fn hard_swish(x: &Tensor) -> Tensor {
    let above = x.affine(1.0, -3.0).relu().affine(-1.0, 0.0);
    x.mul(&x.affine(1.0, 3.0).relu().add(&above).affine(1.0 / 6.0, 0.0))
}

impl Hypernetwork {
    pub fn load(weights: &Weights, strength: f32) -> Result<Self> {
        let name = weights.metadata().get("activation_func").map_or("linear", String::as_str);
        let known = ACTIVATIONS.iter().find(|(known, _)| *known == name);
        let (_, activation) = known.ok_or_else(|| {
            let names: Vec<&str> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
            let (file, names) = (weights.file(), names.join(", "));
            anyhow::anyhow!("{file}: activation_func is {name:?}, expected one of {names}")
        })?;
        let flag = weights.metadata().get("activate_output").map(|flag| flag.to_lowercase());
        let this = Self {
            layers: layers(weights),
            activation: *activation,
            activates_output: flag.is_some_and(|flag| flag == "true" || flag == "1"),
            strength,
            weights: weights.clone(),
        };
        anyhow::ensure!(
            !this.layers.is_empty(),
            "{}: this is no hypernetwork: no tensor is named as 320.0.linear.0.weight is",
            weights.file()
        );
        weights.verdict(this.record())?;
        Ok(this)
    }

    /// Whether the file says what comes between its layers.
    pub fn says_activation(&self) -> bool {
        self.weights.metadata().contains_key("activation_func")
    }

    /// What keys or values are taken from; the same where the file has nothing for so many channels.
    pub(crate) fn change(&self, x: &Tensor, part: Part) -> Result<Tensor> {
        let Some(layers) = self.layers.get(&(x.channels(), part)) else { return Ok(x.clone()) };
        let mut h = x.clone();
        for (i, name) in layers.iter().enumerate() {
            let w = self.weights.at(name);
            if w.shape("weight").is_some_and(|shape| shape.len() == 1) {
                h = layer_norm(&h, &w);
                continue;
            }
            h = linear(&h, &w);
            // As in the original: where a layer norm is last, the layer before it is not the last.
            if i + 1 < layers.len() || self.activates_output {
                h = (self.activation)(&h);
            }
        }
        add(x, &h.affine(self.strength, 0.0), &self.weights)
    }

    fn record(&self) -> Result<()> {
        let tape = Tape::new();
        for (channels, part) in self.layers.keys() {
            self.change(&tape.input("x", &[1, 1, *channels]), *part)?;
        }
        Ok(())
    }
}

/// The layers of a file by what they change.
fn layers(weights: &Weights) -> BTreeMap<(usize, Part), Vec<String>> {
    let layer = |key: &&str| {
        let name = key.strip_suffix(".weight")?;
        let (channels, rest) = name.split_once('.')?;
        let (part, rest) = rest.split_once('.')?;
        let part = [("0", Part::Keys), ("1", Part::Values)].iter().find(|(p, _)| *p == part)?.1;
        let number: usize = rest.rsplit('.').next()?.parse().ok()?;
        Some(((channels.parse::<usize>().ok()?, part), number, name.to_owned()))
    };
    let mut layers: Vec<_> = weights.keys().iter().filter_map(layer).collect();
    layers.sort_by_key(|(_, number, _)| *number);
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    layers.into_iter().for_each(|(of, _, name)| found.entry(of).or_default().push(name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goldens::assert_close;
    use std::{collections::HashMap, path::Path};
    use tensor::Device;

    /// What PyTorch's own modules make of them: `tests/goldens/hypernetwork/make.py`.
    #[test]
    fn every_activation_gives_the_numbers_of_pytorch() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/hypernetwork");
        for (name, _) in ACTIVATIONS {
            let file = Weights::open(&folder.join(format!("{name}.safetensors"))).unwrap();
            let network = Hypernetwork::load(&file, 0.8).unwrap();
            assert!(network.says_activation());
            for (channels, part, number) in [
                (8, Part::Keys, 0),
                (8, Part::Values, 1),
                (12, Part::Keys, 0),
                (12, Part::Values, 1),
            ] {
                let get = |key: &str| {
                    let key = format!("golden.{channels}.{number}.{key}");
                    file.get(&key).unwrap().to_f32().unwrap()
                };
                let tape = Tape::new();
                let y = network.change(&tape.input("x", &[1, 5, channels]), part).unwrap();
                let mut program = Device::cpu().compile(tape.finish(&[&y])).unwrap();
                assert_close(name, &program.run(&[&get("x")]).unwrap()[0], &get("y"));
            }
            // Other numbers of channels stay as they are.
            let tape = Tape::new();
            let y = network.change(&tape.input("x", &[1, 1, 3]), Part::Keys).unwrap();
            let mut program = Device::cpu().compile(tape.finish(&[&y])).unwrap();
            assert_eq!(program.run(&[&[1.0, 2.0, 3.0]]).unwrap()[0], [1.0, 2.0, 3.0]);
        }
    }

    #[test]
    fn what_is_no_hypernetwork_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let tensor = |name: &str| vec![(name.to_owned(), vec![4, 4], vec![0.5; 16])];
        let load = |name: &str, activation: &str| {
            let made = Weights::made("made", tensor(name)).unwrap();
            let metadata = HashMap::from([("activation_func".to_owned(), activation.to_owned())]);
            let tensors = vec![(name.to_owned(), made.get(name).unwrap().into())];
            tensor::save_safetensors(&path, tensors, metadata).unwrap();
            Hypernetwork::load(&Weights::open(&path).unwrap(), 1.0).err().unwrap().to_string()
        };
        assert!(load("a.weight", "relu").contains("320.0.linear.0.weight"));
        let error = load("4.0.linear.0.weight", "gelu");
        assert!(error.contains("\"gelu\"") && error.contains("softsign"), "{error}");
        let error = load("4.0.linear.0.weight", "relu");
        assert!(error.contains("missing") && error.contains("4.0.linear.0.bias"), "{error}");
    }
}
