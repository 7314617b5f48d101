//! A model taken for one of a rectified flow, in whole graphs.

use crate::common::{weft_fails, weft_ok};
use serde_json::{Value, json};

fn graph(class: &str, inputs: Value, sampler: &str) -> String {
    let mut sampling = inputs;
    sampling["model"] = json!(["1", 0]);
    let graph = json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "weft-tiny.safetensors"}},
        "2": {"class_type": class, "inputs": sampling},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a red circle"}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "5": {"class_type": "KSampler", "inputs": {
            "model": ["2", 0], "positive": ["3", 0], "negative": ["3", 0], "latent_image": ["4", 0],
            "seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": sampler, "scheduler": "simple", "denoise": 1.0}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
    });
    graph.to_string()
}

#[test]
fn the_three_kinds_of_flow_run() {
    let folder = tempfile::tempdir().unwrap();
    let flux = json!({"max_shift": 1.15, "base_shift": 0.5, "width": 64, "height": 64});
    for (class, inputs) in [
        ("ModelSamplingSD3", json!({"shift": 3.0})),
        ("ModelSamplingAuraFlow", json!({"shift": 1.73})),
        ("ModelSamplingFlux", flux),
    ] {
        std::fs::write(folder.path().join("graph.json"), graph(class, inputs, "dpmpp_2m_sde"))
            .unwrap();
        weft_ok(folder.path(), &["run", "graph.json", "--device", "cpu"]);
    }
    assert_eq!(std::fs::read_dir(folder.path().join("output")).unwrap().count(), 3);
}

#[test]
fn what_a_flow_cannot_is_told_by_the_node() {
    let folder = tempfile::tempdir().unwrap();
    for (shift, sampler, expected) in [
        (3.0, "ddpm", ["node 5 (KSampler", "ddpm", "dpmpp_2m"]),
        (0.0, "euler", ["node 2 (ModelSamplingSD3", "shift", "more than 0"]),
    ] {
        let graph = graph("ModelSamplingSD3", json!({"shift": shift}), sampler);
        std::fs::write(folder.path().join("graph.json"), graph).unwrap();
        let told = weft_fails(folder.path(), &["run", "graph.json", "--device", "cpu"]);
        assert!(expected.iter().all(|part| told.contains(part)), "{told}");
    }
}
