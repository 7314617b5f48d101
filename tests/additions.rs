//! Files beside the checkpoint that change its UNet, GLIGEN and hypernetworks, in whole graphs: against
//! PyTorch's numbers (`tests/additions/make.py`).

use crate::{
    common::{root, weft_fails},
    goldens,
};
use std::{collections::HashMap, path::Path};
use tensor::Weights;

/// Numbers that `make.py` makes by the same rule.
fn made(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name
        .bytes()
        .fold(2_166_136_261u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    let number = |i: u32| {
        let mut h = i.wrapping_mul(2_654_435_761) ^ seed;
        for (shift, factor) in [(15, 2_246_822_519), (13, 3_266_489_917)] {
            h = (h ^ (h >> shift)).wrapping_mul(factor);
        }
        let u = f64::from(h ^ (h >> 16)) / 2f64.powi(31) - 1.0;
        if name.ends_with("norm1.weight") || name.ends_with("norm2.weight") {
            1.0 + 0.1 * u
        } else if name.ends_with("bias") {
            0.1 * u
        } else if let [_, inputs] = shape {
            u * (3.0 / *inputs as f64).sqrt()
        } else {
            u
        }
    };
    (0..shape.iter().product::<usize>() as u32).map(|i| number(i) as f32).collect()
}

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn add(tensors: &mut Tensors, name: String, shape: &[usize]) {
    let numbers = made(&name, shape);
    tensors.push((name, shape.to_vec(), numbers));
}

fn add_linear(tensors: &mut Tensors, name: &str, inputs: usize, outputs: usize) {
    add(tensors, format!("{name}.weight"), &[outputs, inputs]);
    add(tensors, format!("{name}.bias"), &[outputs]);
}

/// Channels of each transformer of the built-in UNet, by its place.
fn transformers() -> Vec<(String, usize)> {
    let builtin = &builtin::CHECKPOINTS[0];
    let weights = Weights::from_parts(builtin.name, builtin.parts).unwrap();
    let unet = weights.at("model.diffusion_model");
    let place = |key: &&str| key.strip_suffix(".norm1.weight").map(str::to_owned);
    let keys = unet.keys();
    let blocks = keys.iter().filter(|key| key.contains("transformer_blocks")).filter_map(place);
    blocks.map(|at| (at.clone(), unet.shape(&format!("{at}.norm1.weight")).unwrap()[0])).collect()
}

fn gligen() -> Vec<u8> {
    const KEY: usize = 768;
    const HIDDEN: usize = 32;
    const TEXT: usize = 48;
    let mut tensors = Tensors::new();
    for (i, inputs, outputs) in [(0, TEXT + 64, HIDDEN), (2, HIDDEN, HIDDEN), (4, HIDDEN, KEY)] {
        add_linear(&mut tensors, &format!("position_net.linears.{i}"), inputs, outputs);
    }
    add(&mut tensors, "position_net.null_positive_feature".into(), &[TEXT]);
    add(&mut tensors, "position_net.null_position_feature".into(), &[64]);
    for (place, c) in transformers() {
        let name = |part: &str| format!("{place}.fuser.{part}");
        for (part, inputs, outputs) in [
            ("linear", KEY, c),
            ("attn.to_out.0", c, c),
            ("ff.net.0.proj", c, 8 * c),
            ("ff.net.2", 4 * c, c),
        ] {
            add_linear(&mut tensors, &name(part), inputs, outputs);
        }
        for part in ["to_q", "to_k", "to_v"] {
            add(&mut tensors, name(&format!("attn.{part}.weight")), &[c, c]);
        }
        for part in ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"] {
            add(&mut tensors, name(part), &[c]);
        }
        tensors.push((name("alpha_attn"), vec![], vec![0.5]));
        tensors.push((name("alpha_dense"), vec![], vec![0.3]));
    }
    tensor::write_safetensors(tensors).unwrap()
}

fn write_hypernetwork(path: &Path) {
    let mut tensors = Tensors::new();
    for (c, part) in [(48, 0), (48, 1), (64, 0), (64, 1), (128, 0), (128, 1)] {
        add_linear(&mut tensors, &format!("{c}.{part}.linear.0"), c, 2 * c);
        add_linear(&mut tensors, &format!("{c}.{part}.linear.2"), 2 * c, c);
    }
    let names: Vec<String> = tensors.iter().map(|(name, ..)| name.clone()).collect();
    let made = Weights::made("made", tensors).unwrap();
    let stored = names.into_iter().map(|name| (name.clone(), made.get(&name).unwrap().into()));
    let metadata = HashMap::from([("activation_func".to_owned(), "mish".to_owned())]);
    tensor::save_safetensors(path, stored.collect(), metadata).unwrap();
}

#[test]
fn boxes_and_hypernetworks_change_the_whole_network_as_in_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path();
    for name in ["gligen", "hypernetworks"] {
        std::fs::create_dir(models.join(name)).unwrap();
    }
    std::fs::write(models.join("gligen/made.safetensors"), gligen()).unwrap();
    write_hypernetwork(&models.join("hypernetworks/made.safetensors"));
    let folders = app::FolderArgs { models: vec![models.to_owned()], ..Default::default() };
    goldens::check_in(&root().join("tests/additions"), &folders, 2);
}

/// What is said of a graph of `tests/additions` with a file in the place of its own.
fn complaint(graph: &str, folder: &str, file: &str, bytes: &[u8]) -> String {
    let home = tempfile::tempdir().unwrap();
    let models = home.path().join("models").join(folder);
    std::fs::create_dir_all(&models).unwrap();
    std::fs::write(models.join(file), bytes).unwrap();
    let graph = std::fs::read_to_string(root().join("tests/additions").join(graph)).unwrap();
    let graph = graph.replace("made.safetensors", file);
    std::fs::write(home.path().join("graph.json"), graph).unwrap();
    let args = ["run", "graph.json", "--device", "cpu", "--dump", ".", "--dump-nodes", "3"];
    weft_fails(home.path(), &args)
}

#[test]
fn files_that_do_not_fit_are_told_with_what_to_do() {
    let pickle = complaint("hypernetwork.json", "hypernetworks", "marble.pt", b"\x80\x02");
    assert!(pickle.contains("pickle") && pickle.contains("320.0.linear.0.weight"), "{pickle}");
    let small = std::fs::read(root().join("tests/goldens/gligen/small.safetensors")).unwrap();
    let other = complaint("gligen.json", "gligen", "small.safetensors", &small);
    assert!(other.contains("makes 48 channels, this GLIGEN model reads 16"), "{other}");
    let image = complaint("gligen.json", "gligen", "x.safetensors", &gligen()[..5000]);
    assert!(image.contains("not a sound safetensors file"), "{image}");
}
