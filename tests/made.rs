//! Whole graphs with models of later families against diffusers and transformers.
//!
//! The models are made here: their weights are drawn from the tensors' names, as `tests/made/make.py` draws
//! them, which wrote the goldens beside it; `tests/made/keys.json` says which tensors there are.

use crate::{
    common::{root, weft_fails, weft_ok},
    goldens::check_in,
    models::{assert_close, run_in},
};
use graph::Json;
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

const V_MARK: &str = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";

/// splitmix64 (Vigna), seeded with the name's FNV-1a.
fn bits(name: &str) -> impl Iterator<Item = u64> {
    let step = |seed: u64, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    let mut state = name.bytes().fold(0xCBF2_9CE4_8422_2325, step);
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(z ^ (z >> 31))
    })
}

/// Numbers of a sound size for a tensor of this name and shape.
fn drawn(name: &str, shape: &[usize]) -> Vec<f32> {
    let (base, spread): (f32, f32) = match shape {
        [] => (1.0, 0.0),
        _ if name == V_MARK => (0.0, 0.4),
        [_] if name.ends_with(".weight") => (1.0, 0.1),
        _ if name.contains("embedding") && !name.contains("patch") => (0.0, 0.03),
        [_] => (0.0, 0.05),
        [_, inputs @ ..] => (0.0, (3.0 / inputs.iter().product::<usize>() as f64).sqrt() as f32),
    };
    let unit = |bits: u64| (bits >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let numbers = bits(name).map(|bits| base + spread * unit(bits));
    numbers.take(shape.iter().product()).collect()
}

fn tensors(kind: &str) -> Tensors {
    let keys = std::fs::read(root().join("tests/made/keys.json")).unwrap();
    let mut keys: Json = serde_json::from_slice(&keys).unwrap();
    let keys: Vec<(String, Vec<usize>)> = serde_json::from_value(keys[kind].take()).unwrap();
    let drawn = |(name, shape): (String, Vec<usize>)| {
        let numbers = drawn(&name, &shape);
        (name, shape, numbers)
    };
    keys.into_iter().map(drawn).collect()
}

fn write(models: &Path, folder: &str, name: &str, tensors: Tensors) {
    std::fs::create_dir_all(models.join(folder)).unwrap();
    let path = models.join(folder).join(format!("made_{name}.safetensors"));
    std::fs::write(path, tensor::write_safetensors(tensors).unwrap()).unwrap();
}

/// The model of `made_velocity` as a folder that the diffusers library would save.
fn write_diffusers(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model_index.json"), "{}").unwrap();
    let names = std::fs::read(root().join("tests/made/diffusers.json")).unwrap();
    type Name = (String, String, Vec<usize>, usize);
    let files: BTreeMap<String, Vec<Name>> = serde_json::from_slice(&names).unwrap();
    let checkpoint = tensors("unclip").into_iter();
    let checkpoint: BTreeMap<String, Vec<f32>> = checkpoint.map(|(name, _, x)| (name, x)).collect();
    for (file, names) in files {
        let tensor = |(name, source, shape, start): Name| {
            let numbers = &checkpoint[&source][start..][..shape.iter().product()];
            (name, shape, numbers.to_vec())
        };
        let path = folder.join(format!("{file}.safetensors"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let tensors = names.into_iter().map(tensor).collect();
        std::fs::write(path, tensor::write_safetensors(tensors).unwrap()).unwrap();
    }
}

/// A picture of noise.
fn picture(folder: &Path, name: &str, width: u32, height: u32) {
    let bytes = bits(name).map(|bits| (bits >> 56) as u8).take((width * height * 3) as usize);
    let picture = image::RgbImage::from_raw(width, height, bytes.collect()).unwrap();
    picture.save(folder.join(name)).unwrap();
}

/// A models folder with all that the goldens' graphs name.
fn make(folder: &Path) -> app::FolderArgs {
    let unclip = tensors("unclip");
    let mut plain = unclip.clone();
    plain.retain(|(name, ..)| !name.contains("label_emb") && !name.starts_with("embedder"));
    write(folder, "checkpoints", "unclip", unclip);
    write(folder, "checkpoints", "velocity", plain.clone());
    for (_, _, numbers) in plain.iter_mut().filter(|(name, ..)| name == V_MARK) {
        numbers.iter_mut().for_each(|x| *x /= 8.0);
    }
    write(folder, "checkpoints", "noise", plain);
    write(folder, "clip_vision", "vision", tensors("vision"));
    write(folder, "style_models", "style", tensors("style"));
    // No resizing, in which one colour of thousands comes out a level higher or lower than in torch.
    picture(folder, "one.png", 224, 224);
    picture(folder, "two.png", 200, 300);
    let (models, input) = (vec![folder.to_owned()], Some(folder.to_owned()));
    app::FolderArgs { models, input, ..Default::default() }
}

#[test]
fn stable_diffusion_2_and_models_told_pictures_give_the_numbers_of_diffusers() {
    let folder = tempfile::tempdir().unwrap();
    check_in(&root().join("tests/made"), &make(folder.path()), 5);
}

/// The graph of a golden.
fn graph(name: &str) -> Json {
    let path = root().join(format!("tests/made/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_saved_checkpoint_of_stable_diffusion_2_paints_as_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut folders = make(folder.path());
    let output = folder.path().join("output");
    std::fs::create_dir_all(&output).unwrap();
    folders.models.push(output.clone());
    folders.output = Some(output.clone());
    let mut paint = graph("velocity");
    let expected = run_in(&folders, &paint);
    let save = json!({
        "4": paint["4"].clone(),
        "11": {"class_type": "CheckpointSave", "inputs": {
            "model": ["4", 0], "clip": ["4", 1], "vae": ["4", 2], "filename_prefix": "checkpoints/mine",
        }},
    });
    run_in(&folders, &save);
    let saved = "mine_00001_.safetensors";
    paint["4"]["inputs"]["ckpt_name"] = saved.into();
    assert_close(&run_in(&folders, &paint), &expected, 1e-6);
    // In the layout that other programs read.
    let path = output.join("checkpoints").join(saved);
    let text = weft_ok(folder.path(), &["inspect", path.to_str().unwrap(), "--tensors"]);
    for part in [
        "SD 2.x checkpoint (v-prediction), belongs in models/checkpoints",
        "Weft runs it as Stable Diffusion 2.x (v-prediction)",
        "cond_stage_model.model.transformer.resblocks.2.attn.in_proj_weight F16 [192, 64]",
        "modelspec.predict_key: v",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(!text.contains("note:"), "{text}");
}

#[test]
fn models_that_are_told_pictures_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let cases = [
        (
            "checkpoints/made_unclip",
            "SD 2.x unCLIP checkpoint (v-prediction)",
            "CheckpointLoaderSimple",
        ),
        ("checkpoints/made_noise", "SD 2.x checkpoint, belongs", "Stable Diffusion 2.x:"),
        ("clip_vision/made_vision", "CLIP vision encoder, belongs", "CLIPVisionLoader"),
        ("style_models/made_style", "T2I style adapter for SD 1.x", "StyleModelLoader"),
    ];
    for (file, kind, runs) in cases {
        let text = weft_ok(folder.path(), &["inspect", &format!("{file}.safetensors")]);
        assert!(text.contains(kind) && text.contains(runs) && !text.contains("note:"), "{text}");
    }
}

/// The configuration says what is predicted, whatever the checkpoint looks like.
#[test]
fn a_configuration_file_says_what_a_checkpoint_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let folders = make(folder.path());
    std::fs::create_dir_all(folder.path().join("configs")).unwrap();
    let config = |name: &str, text: &str| {
        std::fs::write(folder.path().join("configs").join(name), text).unwrap();
    };
    let stage = "cond_stage_config: {target: some.python.Class, params: {layer_idx: -1}}";
    config("v.yaml", &format!("model:\n  params:\n    parameterization: v\n    {stage}\n"));
    config("last.yaml", &format!("model:\n  params:\n    {stage}\n"));
    config("odd.yaml", "- model\n");
    let with = |name: &str, checkpoint: &str| {
        let mut graph = graph("noise");
        graph["4"] = json!({"class_type": "CheckpointLoader", "inputs": {
            "config_name": name, "ckpt_name": format!("made_{checkpoint}.safetensors"),
        }});
        graph
    };
    let plain = |checkpoint: &str, v: bool| {
        let mut graph = graph("noise");
        graph["4"]["inputs"]["ckpt_name"] = format!("made_{checkpoint}.safetensors").into();
        graph["8"] = json!({"class_type": "CLIPSetLastLayer", "inputs": {
            "clip": ["4", 1], "stop_at_clip_layer": -1}});
        for id in ["6", "7"] {
            graph[id]["inputs"]["clip"] = json!(["8", 0]);
        }
        graph["9"] = json!({"class_type": "ModelSamplingDiscrete", "inputs": {
            "model": ["4", 0], "sampling": if v { "v_prediction" } else { "eps" }, "zsnr": false}});
        graph["3"]["inputs"]["model"] = json!(["9", 0]);
        graph
    };
    let run = |graph: &Json| run_in(&folders, graph);
    let velocity = run(&with("v.yaml", "noise"));
    assert_close(&velocity, &run(&plain("noise", true)), 1e-6);
    let noise = run(&with("last.yaml", "noise"));
    assert_close(&noise, &run(&plain("noise", false)), 1e-6);
    assert_ne!(velocity, noise);
    let mut odd = with("odd.yaml", "noise");
    odd["12"] = json!({"class_type": "SaveLatent", "inputs": {
        "samples": ["3", 0], "filename_prefix": "x"}});
    std::fs::write(folder.path().join("odd.json"), odd.to_string()).unwrap();
    let args = ["run", "odd.json", "--models", ".", "--device", "cpu"];
    let error = weft_fails(folder.path(), &args);
    assert!(error.contains("odd.yaml"), "{error}");
}

#[test]
fn a_folder_of_diffusers_paints_as_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folders = make(folder.path());
    write_diffusers(&folder.path().join("diffusers/sub/mine"));
    let mut graph = graph("velocity");
    // The picture too, so that the VAE counts.
    graph["3"] =
        json!({"class_type": "VAEEncode", "inputs": {"pixels": ["8", 0], "vae": ["4", 2]}});
    graph["8"] =
        json!({"class_type": "VAEDecode", "inputs": {"samples": ["9", 0], "vae": ["4", 2]}});
    graph["9"] = self::graph("velocity")["3"].clone();
    let expected = run_in(&folders, &graph);
    graph["14"] = json!({"class_type": "DiffusersLoader", "inputs": {"model_path": "sub/mine"}});
    // Not the text encoder: in this layout only its real width tells that it is one of OpenCLIP's.
    graph["9"]["inputs"]["model"] = json!(["14", 0]);
    for id in ["3", "8"] {
        graph[id]["inputs"]["vae"] = json!(["14", 2]);
    }
    assert_close(&run_in(&folders, &graph), &expected, 1e-6);
    for file in ["unet", "vae"] {
        let path = format!("diffusers/sub/mine/{file}/diffusion_pytorch_model.safetensors");
        let text = weft_ok(folder.path(), &["inspect", &path]);
        let ok = text.contains("(diffusers layout)") && text.contains("Weft runs it");
        assert!(ok && !text.contains("note:"), "{text}");
    }
}
