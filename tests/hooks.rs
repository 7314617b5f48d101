//! Conditionings with hooks: each must be asked of the network that the hooks make, which other nodes make
//! too.

use crate::{common::weft_ok, models::run_in};
use serde_json::{Value, json};
use std::path::Path;
use tensor::Weights;

const STEPS: usize = 4;

/// A LoRA of rank 1 for some layers of the built-in model and its text encoder.
fn lora() -> Vec<u8> {
    let builtin = &builtin::CHECKPOINTS[0];
    let weights = Weights::from_parts(builtin.name, builtin.parts).unwrap();
    let (unet, text) =
        (weights.at("model.diffusion_model"), weights.at("cond_stage_model.transformer"));
    let mut tensors = Vec::new();
    for (of, prefix, endings) in [
        (&unet, "lora_unet_", ["attn2.to_k.weight", "attn1.to_v.weight"]),
        (&text, "lora_te_", ["self_attn.v_proj.weight", "mlp.fc1.weight"]),
    ] {
        for key in of.keys().iter().filter(|key| endings.iter().any(|end| key.ends_with(end))) {
            let [outputs, inputs] = *of.shape(key).unwrap() else { panic!("{key}") };
            let module = key.trim_end_matches(".weight").replace('.', "_");
            let wave = |n: usize| (0..n).map(|i| 0.4 * (i as f32 * 0.7).sin()).collect();
            let name = |part: &str| format!("{prefix}{module}.{part}.weight");
            tensors.push((name("lora_down"), vec![1, inputs], wave(inputs)));
            tensors.push((name("lora_up"), vec![outputs, 1], wave(outputs)));
        }
    }
    assert!(tensors.len() > 20, "{}", tensors.len());
    tensor::write_safetensors(tensors).unwrap()
}

struct Place {
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["models/loras", "models/checkpoints"] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        std::fs::write(home.path().join("models/loras/made.safetensors"), lora()).unwrap();
        Self { home }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// The latent that node 3, a sampler, makes of the nodes of a graph beside those of [`base`].
    fn sampled(&self, more: &Value) -> Vec<f32> {
        let folders =
            app::FolderArgs { models: vec![self.path().join("models")], ..Default::default() };
        let mut graph = base();
        graph.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run_in(&folders, &graph)
    }
}

/// What all graphs have: the model is 1, prompts read by its own text encoder are 20 and 21.
fn base() -> Value {
    json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "weft-tiny.safetensors"}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "20": prompt("a red circle", &json!(["1", 1])),
        "21": prompt("a blue star", &json!(["1", 1])),
    })
}

fn prompt(text: &str, clip: &Value) -> Value {
    json!({"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": clip}})
}

fn node(class: &str, inputs: &Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

fn sampler(model: &str, positive: &Value, negative: &Value) -> Value {
    node(
        "KSampler",
        &json!({
        "model": [model, 0], "positive": positive, "negative": negative, "latent_image": ["2", 0],
        "seed": 5, "steps": STEPS, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}),
    )
}

fn part_of_run(model: &str, positive: &str, latent: &str, steps: [usize; 2]) -> Value {
    let first = steps[0] == 0;
    node(
        "KSamplerAdvanced",
        &json!({
        "model": [model, 0], "positive": [positive, 0], "negative": ["21", 0], "latent_image": [latent, 0],
        "add_noise": if first { "enable" } else { "disable" }, "noise_seed": 5, "steps": STEPS, "cfg": 3.0,
        "sampler_name": "euler", "scheduler": "normal", "start_at_step": steps[0], "end_at_step": steps[1],
        "return_with_leftover_noise": if first { "enable" } else { "disable" }}),
    )
}

fn lora_loader(model: f64, clip: f64) -> Value {
    node(
        "LoraLoader",
        &json!({"model": ["1", 0], "clip": ["1", 1], "lora_name": "made.safetensors",
        "strength_model": model, "strength_clip": clip}),
    )
}

fn hook_lora(model: f64, clip: f64) -> Value {
    node(
        "CreateHookLora",
        &json!({"lora_name": "made.safetensors", "strength_model": model, "strength_clip": clip}),
    )
}

fn pair_with_hooks(hooks: &str) -> Value {
    node(
        "PairConditioningSetProperties",
        &json!({"positive_NEW": ["20", 0], "negative_NEW": ["21", 0],
        "strength": 1.0, "set_cond_area": "default", "hooks": [hooks, 0]}),
    )
}

fn plain() -> Value {
    json!({"3": sampler("1", &json!(["20", 0]), &json!(["21", 0]))})
}

#[track_caller]
fn assert_near(a: &[f32], b: &[f32]) {
    let far = a.iter().zip(b).fold(0f32, |far, (a, b)| far.max((a - b).abs()));
    assert!(a.len() == b.len() && !a.is_empty() && far < 1e-4, "{far}");
}

#[track_caller]
fn assert_differ(a: &[f32], b: &[f32]) {
    let far = a.iter().zip(b).fold(0f32, |far, (a, b)| far.max((a - b).abs()));
    assert!(far > 0.01, "{far}");
}

#[test]
fn hooks_on_a_text_encoder_do_what_a_lora_loader_does() {
    let place = Place::new();
    let hooked = place.sampled(&json!({
        "10": hook_lora(0.8, 0.6),
        "11": node("SetClipHooks", &json!({"clip": ["1", 1], "apply_to_conds": true, "schedule_clip": false, "hooks": ["10", 0]})),
        "22": prompt("a red circle", &json!(["11", 0])),
        "23": prompt("a blue star", &json!(["11", 0])),
        "3": sampler("1", &json!(["22", 0]), &json!(["23", 0])),
    }));
    let loaded = place.sampled(&json!({
        "10": lora_loader(0.8, 0.6),
        "22": prompt("a red circle", &json!(["10", 1])),
        "23": prompt("a blue star", &json!(["10", 1])),
        "3": sampler("10", &json!(["22", 0]), &json!(["23", 0])),
    }));
    assert_near(&hooked, &loaded);
    assert_differ(&hooked, &place.sampled(&plain()));
}

#[test]
fn keyframes_change_the_model_during_the_run() {
    let place = Place::new();
    // Four steps of the `normal` schedule begin at 0, 1/3, 2/3 and 1 of the timesteps.
    let hooked = place.sampled(&json!({
        "10": hook_lora(1.0, 0.0),
        "11": node("CreateHookKeyframe", &json!({"strength_mult": 1.0, "start_percent": 0.0})),
        "12": node("CreateHookKeyframe", &json!({"strength_mult": 0.0, "start_percent": 0.5, "prev_hook_kf": ["11", 0]})),
        "13": node("SetHookKeyframes", &json!({"hooks": ["10", 0], "hook_kf": ["12", 0]})),
        "14": pair_with_hooks("13"),
        "3": sampler("1", &json!(["14", 0]), &json!(["14", 1])),
    }));
    let two_runs = place.sampled(&json!({
        "10": lora_loader(1.0, 0.0),
        "11": part_of_run("10", "20", "2", [0, 2]),
        "3": part_of_run("1", "20", "11", [2, STEPS]),
    }));
    assert_near(&hooked, &two_runs);
    assert_differ(&hooked, &place.sampled(&plain()));
}

#[test]
fn a_scheduled_text_encoder_reads_for_each_span() {
    let place = Place::new();
    let scheduled = place.sampled(&json!({
        "10": hook_lora(0.0, 1.0),
        "11": node("CreateHookKeyframe", &json!({"strength_mult": 1.0, "start_percent": 0.0})),
        "12": node("CreateHookKeyframe", &json!({"strength_mult": 0.0, "start_percent": 0.5, "prev_hook_kf": ["11", 0]})),
        "13": node("SetHookKeyframes", &json!({"hooks": ["10", 0], "hook_kf": ["12", 0]})),
        "14": node("SetClipHooks", &json!({"clip": ["1", 1], "apply_to_conds": false, "schedule_clip": true, "hooks": ["13", 0]})),
        "22": prompt("a red circle", &json!(["14", 0])),
        "3": sampler("1", &json!(["22", 0]), &json!(["21", 0])),
    }));
    let two_runs = place.sampled(&json!({
        "10": lora_loader(0.0, 1.0),
        "22": prompt("a red circle", &json!(["10", 1])),
        "11": part_of_run("1", "22", "2", [0, 2]),
        "3": part_of_run("1", "20", "11", [2, STEPS]),
    }));
    assert_near(&scheduled, &two_runs);
    assert_differ(&scheduled, &place.sampled(&plain()));
}

#[test]
fn a_model_as_a_hook_goes_over_to_it() {
    let place = Place::new();
    let saved = json!({
        "1": node("CheckpointLoaderSimple", &json!({"ckpt_name": "weft-tiny.safetensors"})),
        "2": lora_loader(1.0, 1.0),
        "4": node("CheckpointSave", &json!({"model": ["2", 0], "clip": ["2", 1], "vae": ["1", 2], "filename_prefix": "other"})),
    });
    std::fs::write(place.path().join("save.json"), saved.to_string()).unwrap();
    weft_ok(place.path(), &["run", "save.json", "--device", "cpu"]);
    let other = place.path().join("models/checkpoints/other.safetensors");
    std::fs::rename(place.path().join("output/other_00001_.safetensors"), other).unwrap();
    let hooked = place.sampled(&json!({
        "10": node("CreateHookModelAsLoraModelOnly", &json!({"ckpt_name": "other.safetensors", "strength_model": 1.0})),
        "11": pair_with_hooks("10"),
        "3": sampler("1", &json!(["11", 0]), &json!(["11", 1])),
    }));
    let loaded = place.sampled(&json!({
        "10": node("CheckpointLoaderSimple", &json!({"ckpt_name": "other.safetensors"})),
        "3": sampler("10", &json!(["20", 0]), &json!(["21", 0])),
    }));
    assert_near(&hooked, &loaded);
    assert_differ(&hooked, &place.sampled(&plain()));
}

#[test]
fn a_hook_in_two_groups_counts_once_and_two_hooks_add_up() {
    let place = Place::new();
    let combined = |a: &str, b: &str| {
        place.sampled(&json!({
            "10": hook_lora(0.3, 0.0), "11": hook_lora(0.5, 0.0),
            "12": node("CombineHooks2", &json!({"hooks_A": [a, 0], "hooks_B": [b, 0]})),
            "13": pair_with_hooks("12"),
            "3": sampler("1", &json!(["13", 0]), &json!(["13", 1])),
        }))
    };
    let loaded = |strength: f64| {
        place.sampled(&json!({
            "10": lora_loader(strength, 0.0),
            "3": sampler("10", &json!(["20", 0]), &json!(["21", 0])),
        }))
    };
    assert_near(&combined("10", "10"), &loaded(0.3));
    assert_near(&combined("10", "11"), &loaded(0.8));
}

#[test]
fn parts_of_a_run_and_defaults_hold_as_their_nodes_say() {
    let place = Place::new();
    let properties = |timesteps: Value, then: Value| {
        let mut graph = json!({
            "10": node("ConditioningTimestepsRange", &json!({"start_percent": 0.0, "end_percent": 0.5})),
            "11": node("ConditioningSetProperties", &json!({"cond_NEW": ["20", 0], "strength": 1.0,
                "set_cond_area": "default", "timesteps": timesteps})),
            "3": sampler("1", &json!(["12", 0]), &json!(["21", 0])),
        });
        graph["12"] = then;
        place.sampled(&graph)
    };
    let after = json!({"cond": ["11", 0], "cond_NEW": ["21", 0], "strength": 1.0,
        "set_cond_area": "default", "timesteps": ["10", 2]});
    let ranged = properties(json!(["10", 0]), node("ConditioningSetPropertiesAndCombine", &after));
    let two_runs = place.sampled(&json!({
        "11": part_of_run("1", "20", "2", [0, 2]),
        "3": part_of_run("1", "21", "11", [2, STEPS]),
    }));
    assert_near(&ranged, &two_runs);
    // The default counts when the first is over.
    let default = json!({"cond": ["11", 0], "cond_DEFAULT": ["21", 0]});
    let filled = properties(json!(["10", 0]), node("ConditioningSetDefaultCombine", &default));
    assert_near(&filled, &two_runs);
}
