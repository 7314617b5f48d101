//! `weft check`: all problems at once, and what a run takes.

use crate::{
    bad_input,
    common::{root, shared, text, weft, weft_fails, weft_ok},
};
use models::{Checkpoint, UnetSize, VaeSize};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use tensor::{Device, Program, Weights};

const TINY: &str = "crates/builtin/weights/weft-tiny.safetensors";

/// Writes a graph beside what else the folder has, and gives its name.
fn written(folder: &Path, graph: &Value) -> &'static str {
    std::fs::write(folder.join("graph.json"), graph.to_string()).unwrap();
    "graph.json"
}

/// A text-to-picture graph in API form, of 128x96 pixels and 7 steps.
fn text_to_image(checkpoint: &str) -> Value {
    json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a red circle"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 96, "batch_size": 1}},
        "5": {"class_type": "KSampler", "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
            "seed": 1, "steps": 7, "cfg": 6.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
    })
}

#[test]
fn a_run_costs_what_its_networks_cost_times_their_calls() {
    let folder = tempfile::tempdir().unwrap();
    let graph = written(folder.path(), &text_to_image("weft-tiny.safetensors"));
    let json = weft_ok(folder.path(), &["check", graph, "--json", "--device", "cpu"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let model = Checkpoint::load(&Weights::open(&root().join(TINY)).unwrap()).unwrap();
    let unet = UnetSize { batch: 2, height: 12, width: 16, tokens: 77 };
    let vae = VaeSize { batch: 1, height: 12, width: 16 };
    let expected: [(Program, u64); 3] = [
        (model.clip.program().unwrap(), 2),
        (model.unet.program(unet).unwrap(), 7),
        (model.vae.program(vae).unwrap(), 1),
    ];
    let networks = json["networks"].as_array().unwrap();
    assert_eq!(networks.len(), expected.len(), "{json}");
    for (network, (program, calls)) in networks.iter().zip(&expected) {
        assert_eq!(network["name"], program.name);
        assert_eq!(network["calls"], *calls, "{network}");
        assert_eq!(network["flops"], program.flops(), "{network}");
        assert_eq!(network["activations"], program.plan().bytes(), "{network}");
        let need = Device::cpu().need(program).unwrap();
        assert_eq!(network["weights"], need.all_weights().values().sum::<u64>(), "{network}");
    }
    let sum = |key: &str| networks.iter().map(|n| n[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(json["peak"], sum("weights") + sum("activations"));
    let flops: u64 = expected.iter().map(|(program, calls)| program.flops() * calls).sum();
    assert_eq!(json["flops"], flops);
    assert_eq!(json["order"].as_array().unwrap().len(), 7);
    assert_eq!(
        json["order"][6],
        json!({"id": "7", "class": "SaveImage", "title": "SaveImage", "output": true, "flops": 0, "bytes": 0})
    );
}

#[test]
fn every_ready_graph_is_checked_in_a_moment_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for graph in std::fs::read_dir(root().join("graphs")).unwrap() {
        let graph = graph.unwrap().path();
        let start = std::time::Instant::now();
        let text = weft_ok(folder.path(), &["check", graph.to_str().unwrap()]);
        assert!(text.contains("UNet ") && text.contains("in all"), "{graph:?}: {text}");
        assert!(!text.contains("note:"), "{graph:?}: {text}");
        assert!(start.elapsed().as_secs() < 10, "{graph:?}: {:?}", start.elapsed());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_graph_without_networks_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "house.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    });
    let text = weft_ok(folder.path(), &["check", written(folder.path(), &graph)]);
    assert!(text.contains("no network is called"), "{text}");
}

#[test]
fn the_work_of_each_node_and_kind_of_operation_is_told_in_eighty_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut graph = text_to_image("weft-tiny.safetensors");
    let title = "a title that is longer than any column of any table should be";
    graph["5"]["_meta"] = json!({"title": title});
    let text = weft_ok(folder.path(), &["check", written(folder.path(), &graph)]);
    let told: Vec<&str> = text.lines().take_while(|line| !line.starts_with("networks")).collect();
    let line = |start: &str| told.iter().find(|line| line.trim_start().starts_with(start)).unwrap();
    assert!(
        line("5  a title that").contains("… [5]") && line("5  a title").ends_with(" MB"),
        "{text}"
    );
    assert!(line("7  SaveImage [7]").ends_with("(output)"), "{text}");
    assert!(line("conv2d").contains("FLOP"), "{text}");
    assert!(told.iter().all(|line| line.chars().count() <= 90), "{text}");
}

#[test]
fn unknown_nodes_bad_values_dangling_links_and_missing_files_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut graph = text_to_image("weft-tinny.safetensors");
    graph["4"]["inputs"]["width"] = 7.into();
    graph["5"]["inputs"]["sampler_name"] = "eular".into();
    graph["3"]["inputs"]["clip"] = json!(["99", 1]);
    graph["6"]["class_type"] = "VAEDekode".into();
    let graph = written(folder.path(), &graph);
    let message = weft_fails(folder.path(), &["check", graph]);
    let expected = [
        "VAEDekode",
        "VAEDecode",
        "node 1",
        "weft-tinny.safetensors",
        "models/checkpoints",
        "\"weft-tiny.safetensors\"",
        "node 4",
        "16 to 16384",
        "node 5",
        "\"euler\"",
        "node 3",
        "node 99",
    ];
    for part in expected {
        assert!(message.contains(part), "no {part} in: {message}");
    }
}

#[test]
fn nodes_that_would_fail_are_told_at_once_with_their_input_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("models/checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    std::fs::create_dir_all(folder.path().join("models/vae")).unwrap();
    std::fs::write(checkpoints.join("cut.safetensors"), [200, 0, 0, 0, 0, 0, 0, 0, b'{']).unwrap();
    std::fs::write(folder.path().join("models/vae/lfs.safetensors"), "version https://git-lfs")
        .unwrap();
    let mut graph = text_to_image("cut.safetensors");
    graph["8"] = json!({"class_type": "VAELoader", "inputs": {"vae_name": "lfs.safetensors"}});
    graph["6"]["inputs"]["vae"] = json!(["8", 0]);
    graph["9"] = json!({"class_type": "LoadImage", "inputs": {"image": "house.png"}});
    graph["10"] = json!({"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "../out"}});
    let graph = written(folder.path(), &graph);
    let message = weft_fails(folder.path(), &["check", graph]);
    let expected = [
        "node 1 (CheckpointLoaderSimple",
        "models/checkpoints/cut.safetensors",
        "ckpt_name: \"cut.safetensors\"",
        "node 8 (VAELoader",
        "git-lfs",
        "node 10 (SaveImage",
        "filename_prefix",
    ];
    for part in expected {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    assert!(!folder.path().join("output").exists());
}

#[test]
fn a_latent_larger_than_any_memory_is_an_error_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let mut graph = text_to_image("weft-tiny.safetensors");
    let vast = json!({"width": 16384, "height": 16384, "batch_size": 4096});
    graph["4"]["inputs"] = vast;
    let graph = written(folder.path(), &graph);
    let message = weft_fails(folder.path(), &["check", graph]);
    assert!(
        message.contains("node 4 (EmptyLatentImage") && message.contains("takes 274 GB"),
        "{message}"
    );
}

#[test]
fn tensors_that_no_network_reads_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("models/checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    let with_note = bad_input::with_tensor(&bad_input::tiny(), "my.notes");
    std::fs::write(checkpoints.join("noted.safetensors"), with_note).unwrap();
    let graph = written(folder.path(), &text_to_image("noted.safetensors"));
    let out = weft(folder.path(), &["check", graph]);
    let text = text(&out.stdout);
    assert!(text.contains("(1): ") && text.contains("1 tensor is not used: my.notes"), "{text}");
}

/// Every class of ComfyUI that is meant for Stable Diffusion, and every one in workflows that people shared for it.
#[test]
fn every_node_for_stable_diffusion_is_known() {
    let (Some(priority), Some(corpus)) = (shared("reference/node_priority.json"), shared("corpus"))
    else {
        return;
    };
    let priority = read(&priority);
    let meant = priority.as_object().unwrap().iter().filter(|(_, p)| **p != "other");
    let mut classes: BTreeSet<String> = meant.map(|(class, _)| class.clone()).collect();
    for pair in shared_workflows(&corpus) {
        let prompt = read(&pair.with_extension("prompt.json"));
        let used = prompt.as_object().unwrap().values().map(|n| n["class_type"].as_str().unwrap());
        classes.extend(used.map(str::to_owned));
    }
    let known: BTreeSet<String> = nodes::all().iter().map(|ty| ty.name.to_owned()).collect();
    let missing: Vec<&String> =
        classes.difference(&known).filter(|class| !NOT_YET.contains(&class.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn shared_workflows_lack_nothing_but_files() {
    let Some(corpus) = shared("corpus") else { return };
    let folder = tempfile::tempdir().unwrap();
    for pair in shared_workflows(&corpus) {
        let workflow = pair.with_extension("workflow.json");
        let told = weft_fails(folder.path(), &["check", workflow.to_str().unwrap()]);
        let (nodes, complaints): (Vec<&str>, Vec<&str>) =
            told.lines().partition(|line| !line.starts_with("  "));
        assert!(nodes.iter().all(|line| line.contains("node ")), "{pair:?}: {told}");
        assert!(
            complaints.iter().all(|line| line.contains("there is no file")),
            "{pair:?}: {told}"
        );
        assert!(!told.contains(".;"), "{pair:?}: {told}");
    }
}

/// The workflows for Stable Diffusion that people shared: what both files of each are named by.
fn shared_workflows(corpus: &Path) -> Vec<PathBuf> {
    let list = read(&corpus.join("sd.json"));
    let names = list["sd"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    // So that `with_extension` puts its own in the place of the last.
    names.map(|name| corpus.join("pairs").join(format!("{name}.json"))).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Why not: GITSScheduler's table of noise levels is published under the GPL only.
const NOT_YET: [&str; 1] = ["GITSScheduler"];
