//! Grounding of words in boxes (Li et al. 2023, "GLIGEN"): layers that a file of its own adds to the
//! transformers of a UNet, which then also look at what shall be where.

use crate::layers::{add, attention, feed_forward, layer_norm, linear, project};
use std::{collections::BTreeMap, sync::Arc};
use tensor::{Result, Tape, Tensor, Weights};

/// The layers, and the network that reads boxes. Cheap to clone; clones are equal.
#[derive(Clone)]
pub struct Gligen(Arc<Network>);

struct Network {
    weights: Weights,
    /// Where the layers of each transformer lie in the file, in the order of the UNet.
    fusers: Vec<String>,
    text_channels: usize,
}

/// What a UNet is told to put where.
#[derive(Clone, Copy)]
pub struct Grounding<'a> {
    pub gligen: &'a Gligen,
    /// Those of [`Gligen::objects`], the same for all pictures of a batch.
    pub objects: &'a [f32],
}

/// Something in a box.
pub struct Object<'a> {
    /// What it is: the pooled vector of its text.
    pub text: &'a [f32],
    /// Left, top, right, bottom, as parts (0..=1) of the picture.
    pub bounds: [f32; 4],
}

/// Frequencies of a box's sides.
const FREQUENCIES: usize = 8;
/// The highest is about so many times the lowest.
const TEMPERATURE: f32 = 100.0;
/// Numbers for the place of an object: a sine and a cosine of each side for each frequency.
const PLACE: usize = 2 * 4 * FREQUENCIES;
/// The input that a recording has for objects.
const INPUT: &str = "objects";

impl Gligen {
    /// How many boxes a picture may have.
    pub const MOST: usize = 30;

    pub fn load(weights: &Weights) -> Result<Self> {
        let null = weights.ranked("position_net.null_positive_feature", 1)?;
        let this = Self(Arc::new(Network {
            fusers: fusers(weights),
            text_channels: null.shape()[0],
            weights: weights.clone(),
        }));
        weights.shaped("position_net.null_position_feature", &[PLACE]);
        weights.verdict(this.record())?;
        anyhow::ensure!(!this.0.fusers.is_empty(), "{}: no layers named fuser", weights.file());
        Ok(this)
    }

    /// Channels of the text's pooled vector.
    pub fn text_channels(&self) -> usize {
        self.0.text_channels
    }

    /// The objects of a picture as the network reads them, with what the file has for none in the places
    /// that are left: `[MOST, text_channels + 64]`.
    pub fn objects(&self, objects: &[Object]) -> Result<Vec<f32>> {
        let w = self.0.weights.at("position_net");
        let none = ["null_positive_feature", "null_position_feature"];
        let none = [w.get(none[0])?.to_f32()?, w.get(none[1])?.to_f32()?].concat();
        let given = objects.iter().map(|o| [o.text, &fourier(o.bounds)].concat());
        let rest = std::iter::repeat_n(none, Self::MOST - objects.len());
        Ok(given.chain(rest).flatten().collect())
    }

    /// Asks for the objects of a batch, and reads them: `[batch, MOST, channels]`.
    pub(crate) fn read(&self, tape: &Tape, batch: usize) -> Tensor {
        let w = self.0.weights.at("position_net.linears");
        let x = tape.steady_input(INPUT, &[batch, Self::MOST, self.0.text_channels + PLACE]);
        let h = linear(&x, &w.at(0)).silu();
        linear(&linear(&h, &w.at(2)).silu(), &w.at(4))
    }

    /// Lets the tokens `x` of transformer `i` look at each other and at the objects, as far as the file's
    /// gates are open (equation 8 of the paper, and the gated MLP after it).
    pub(crate) fn fuse(&self, x: &Tensor, objects: &Tensor, i: usize) -> Result<Tensor> {
        let place = self.0.fusers.get(i);
        let place = place.ok_or_else(|| self.misfit(i, "no layers for this transformer"))?;
        let w = &self.0.weights.at(place).at("fuser");
        let objects = linear(objects, &w.at("linear"));
        if objects.channels() != x.channels() {
            let has =
                format!("{} channels where the model has {}", objects.channels(), x.channels());
            return Err(self.misfit(i, &has));
        }
        let gate = |name: &str| Ok::<f32, anyhow::Error>(w.get(name)?.to_f32()?[0].tanh());
        let tokens = x.dim(1);
        let h = layer_norm(&x.concat(&[&objects], 1), &w.at("norm1"));
        let q = project(&h.slice(1, 0, tokens), &w.at("attn.to_q"));
        let [k, v] = ["attn.to_k", "attn.to_v"].map(|name| project(&h, &w.at(name)));
        let heads = self.heads(x.channels());
        let h = linear(&attention([&q, &k, &v], heads, false, w)?, &w.at("attn.to_out.0"));
        let x = add(x, &h.affine(gate("alpha_attn")?, 0.0), w)?;
        let h = feed_forward(&layer_norm(&x, &w.at("norm2")), &w.at("ff"))?;
        add(&x, &h.affine(gate("alpha_dense")?, 0.0), w)
    }

    /// Files for Stable Diffusion 1 have 8, others heads of 64 channels, as their models do.
    fn heads(&self, channels: usize) -> usize {
        let shape = self.0.weights.shape("position_net.linears.4.weight");
        let stable_diffusion_1 = shape.and_then(<[usize]>::first) == Some(&768);
        if stable_diffusion_1 { 8 } else { (channels / 64).max(1) }
    }

    fn misfit(&self, i: usize, has: &str) -> anyhow::Error {
        let file = self.0.weights.file();
        anyhow::anyhow!("{file} is for another model: transformer {i}: it has {has}")
    }

    /// Every layer once, so that a file with holes is refused before anything runs.
    fn record(&self) -> Result<()> {
        let tape = Tape::new();
        let objects = self.read(&tape, 1);
        for (i, place) in self.0.fusers.iter().enumerate() {
            let linear = self.0.weights.at(place).at("fuser.linear");
            let channels = linear.ranked("weight", 2)?.shape()[0];
            self.fuse(&tape.input("x", &[1, 4, channels]), &objects, i)?;
        }
        Ok(())
    }
}

impl PartialEq for Gligen {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Where the file has layers, in the order in which a UNet runs.
fn fusers(weights: &Weights) -> Vec<String> {
    let place = |key: &&str| {
        let (place, _) = key.split_once(".fuser.")?;
        let parts = ["input_blocks.", "middle_block.", "output_blocks."];
        let mut found = parts.iter().zip(0..).filter_map(|(part, order)| {
            let (_, rest) = place.split_once(part)?;
            Some((order, rest.split('.').next()?.parse::<usize>().ok()?))
        });
        Some((found.next()?, place.to_owned()))
    };
    let mut places: BTreeMap<(usize, usize), String> = BTreeMap::new();
    for (order, place) in weights.keys().iter().filter_map(place) {
        places.entry(order).or_insert(place);
    }
    places.into_values().collect()
}

/// Sines and cosines of the four sides, one frequency after another.
fn fourier(bounds: [f32; 4]) -> Vec<f32> {
    let frequency = |i: usize| TEMPERATURE.powf(i as f32 / FREQUENCIES as f32);
    let angles = (0..FREQUENCIES).map(|i| bounds.map(|side| frequency(i) * side));
    angles.flat_map(|sides| [sides.map(f32::sin), sides.map(f32::cos)]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goldens::assert_close;
    use std::path::Path;
    use tensor::Device;

    fn small() -> Weights {
        let file = "../../tests/goldens/gligen/small.safetensors";
        Weights::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
    }

    /// What PyTorch makes of the paper's equations: `tests/goldens/gligen/make.py`.
    #[test]
    fn boxes_change_tokens_as_in_the_paper() {
        let file = small();
        let gligen = Gligen::load(&file).unwrap();
        let get = |key: &str| file.get(&format!("golden.{key}")).unwrap().to_f32().unwrap();
        let (texts, boxes) = (get("texts"), get("boxes"));
        let texts = texts.chunks_exact(gligen.text_channels());
        let objects: Vec<Object> = texts
            .zip(boxes.chunks_exact(4))
            .map(|(text, bounds)| Object { text, bounds: bounds.try_into().unwrap() })
            .collect();
        let objects = gligen.objects(&objects).unwrap().repeat(2);
        // By the number of the block, not by their order in the file.
        for (i, channels) in [32, 24, 16].into_iter().enumerate() {
            let tape = Tape::new();
            let read = gligen.read(&tape, 2);
            let y = gligen.fuse(&tape.input("x", &[2, 20, channels]), &read, i).unwrap();
            let mut network = Device::cpu().compile(tape.finish(&[&y]).folded()).unwrap();
            let y = network.run(&[&objects, &get(&format!("{i}.x"))]).unwrap();
            assert_close(&format!("{i}"), &y[0], &get(&format!("{i}.y")));
        }
    }

    #[test]
    fn a_file_for_another_model_says_what_does_not_fit() {
        let gligen = Gligen::load(&small()).unwrap();
        let tape = Tape::new();
        let (objects, x) = (gligen.read(&tape, 1), tape.input("x", &[1, 4, 64]));
        let error = |i: usize| gligen.fuse(&x, &objects, i).err().unwrap().to_string();
        assert!(error(0).contains("32 channels where the model has 64"), "{}", error(0));
        assert!(error(3).contains("no layers for this transformer"), "{}", error(3));
        let holes = small().renamed(|key| (!key.ends_with("to_v.weight")).then(|| key.into()));
        let error = Gligen::load(&holes).err().unwrap().to_string();
        assert!(error.contains("fuser.attn.to_v.weight"), "{error}");
    }
}
