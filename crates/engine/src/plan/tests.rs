use crate::{
    Plan, Targets,
    testing::{node, planned, planned_for, rejected},
};
use graph::Json;
use serde_json::json;
use std::time::{Duration, Instant};

/// The real answers of ComfyUI v0.3.64 (`http_probes.txt` of the reference), for the nodes that
/// the test nodes imitate. Tooltips are ours; `input_config` is compared by type and options.
const NO_OUTPUTS: &str = r#"{"error": {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "", "extra_info": {}}, "node_errors": {}}"#;
const NO_PROMPT: &str = r#"{"error": {"type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {}}, "node_errors": {}}"#;
const NO_CLASS: &str = r##"{"error": {"type": "invalid_prompt", "message": "Cannot execute because a node is missing the class_type property.", "details": "Node ID '#1'", "extra_info": {}}, "node_errors": {}}"##;
const UNKNOWN: &str = r##"{"error": {"type": "invalid_prompt", "message": "Cannot execute because node Nope does not exist.", "details": "Node ID '#1'", "extra_info": {}}, "node_errors": {}}"##;
const MISSING: &str = r#"{"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "Required input is missing: images", "extra_info": {}}, "node_errors": {"9": {"errors": [{"type": "required_input_missing", "message": "Required input is missing", "details": "images", "extra_info": {"input_name": "images"}}], "dependent_outputs": ["9"], "class_type": "SaveImage"}}}"#;
const BAD_LINK: &str = r#"{"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "Bad linked input, must be a length-2 list of [node_id, slot_index]: images", "extra_info": {}}, "node_errors": {"9": {"errors": [{"type": "bad_linked_input", "message": "Bad linked input, must be a length-2 list of [node_id, slot_index]", "details": "images", "extra_info": {"input_name": "images", "input_config": ["IMAGE", {"tooltip": "The images to save."}], "received_value": ["8"]}}], "dependent_outputs": ["9"], "class_type": "SaveImage"}}}"#;
const MISMATCH: &str = r#"{"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "Return type mismatch between linked nodes: images, received_type(LATENT) mismatch input_type(IMAGE)", "extra_info": {}}, "node_errors": {"9": {"errors": [{"type": "return_type_mismatch", "message": "Return type mismatch between linked nodes", "details": "images, received_type(LATENT) mismatch input_type(IMAGE)", "extra_info": {"input_name": "images", "input_config": ["IMAGE", {"tooltip": "The images to save."}], "received_type": "LATENT", "linked_node": ["5", 0]}}], "dependent_outputs": ["9"], "class_type": "SaveImage"}}}"#;
const VALUES: &str = r#"{"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "", "extra_info": {}}, "node_errors": {"3": {"errors": [{"type": "invalid_input_type", "message": "Failed to convert an input value to a INT value", "details": "seed, abc, invalid literal for int() with base 10: 'abc'", "extra_info": {"input_name": "seed", "input_config": ["INT", {"default": 0, "min": 0, "max": 18446744073709551615, "control_after_generate": true, "tooltip": "The seed."}], "received_value": "abc", "exception_message": "invalid literal for int() with base 10: 'abc'"}}, {"type": "value_smaller_than_min", "message": "Value 0 smaller than min of 1", "details": "steps", "extra_info": {"input_name": "steps", "input_config": ["INT", {"default": 20, "min": 1, "max": 10000, "tooltip": "The steps."}], "received_value": 0}}, {"type": "value_bigger_than_max", "message": "Value 1000.0 bigger than max of 100.0", "details": "cfg", "extra_info": {"input_name": "cfg", "input_config": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01, "tooltip": "The guidance."}], "received_value": 1000.0}}, {"type": "value_not_in_list", "message": "Value not in list", "details": "sampler_name: 'nope' not in (list of length 42)", "extra_info": {"input_name": "sampler_name", "input_config": null, "received_value": "nope"}}], "dependent_outputs": ["9"], "class_type": "KSampler"}}}"#;
const NO_FILE: &str = r#"{"type": "value_not_in_list", "message": "Value not in list", "details": "ckpt_name: 'none.safetensors' not in ['sd15_random_fp16.safetensors', 'tiny_sd15.safetensors']", "extra_info": {"input_name": "ckpt_name", "input_config": [["sd15_random_fp16.safetensors", "tiny_sd15.safetensors"], {"tooltip": "The name of the checkpoint (model) to load."}], "received_value": "none.safetensors"}}"#;

#[track_caller]
#[allow(clippy::needless_pass_by_value)]
fn answers(prompt: Json, expected: &str) {
    let expected: Json = serde_json::from_str(expected).unwrap();
    assert_eq!(rejected(&prompt).json(), expected);
}

#[allow(clippy::needless_pass_by_value)]
fn save_image(images: Json) -> Json {
    node("SaveImage", json!({"images": images, "filename_prefix": "x"}))
}

fn bad_sampler() -> Json {
    json!({
        "3": node("KSampler", json!({"seed": "abc", "steps": 0, "cfg": 1000.0, "sampler_name": "nope", "latent_image": ["5", 0]})),
        "5": node("EmptyLatentImage", json!({"width": 64})),
        "9": save_image(json!(["3", 0])),
    })
}

#[test]
fn answers_are_comfyuis() {
    answers(Json::Null, NO_PROMPT);
    answers(json!({}), NO_OUTPUTS);
    answers(json!({"5": node("EmptyLatentImage", json!({"width": 64}))}), NO_OUTPUTS);
    answers(json!({"1": {"inputs": {}}}), NO_CLASS);
    answers(json!({"1": node("Nope", json!({}))}), UNKNOWN);
    answers(json!({"9": node("SaveImage", json!({"filename_prefix": "x"}))}), MISSING);
    answers(json!({"9": save_image(json!(["8"]))}), BAD_LINK);
    let latent = node("EmptyLatentImage", json!({"width": 64}));
    answers(json!({"5": latent, "9": save_image(json!(["5", 0]))}), MISMATCH);
    answers(bad_sampler(), VALUES);
}

#[test]
fn a_missing_file_answers_as_comfyui_and_tells_the_folder_and_the_nearest() {
    let refused = |name: &str| {
        let prompt = json!({"4": node("CheckpointLoaderSimple", json!({"ckpt_name": name}))});
        planned_for(&prompt, Targets::Only(&["4"]), |plan| plan.err().unwrap())
    };
    let rejection = refused("none.safetensors");
    let answer = &rejection.json()["node_errors"]["4"]["errors"][0];
    assert_eq!(*answer, serde_json::from_str::<Json>(NO_FILE).unwrap());
    let text = rejection.to_string();
    assert!(text.contains("node 4 (CheckpointLoaderSimple"), "{text}");
    assert!(text.contains("in `checkpoints`") && text.contains("searched models"), "{text}");
    assert!(text.contains("there are: ") && text.contains("tiny_sd15.safetensors"), "{text}");
    let text = refused("tiny-sd15.ckpt").to_string();
    assert!(text.contains("did you mean \"tiny_sd15.safetensors\"?"), "{text}");
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_graph() {
    let mut prompt = bad_sampler();
    prompt["3"]["inputs"]["sampler_name"] = "eular".into();
    prompt["9"]["inputs"] = json!({"images": ["3", 0]});
    prompt["9"]["_meta"] = json!({"title": "The end"});
    let text = rejected(&prompt).to_string();
    let parts = ["node 3", "`seed`", "`steps`", "`cfg`", "`sampler_name`", "node 9", "The end"];
    let places: Vec<usize> = parts.iter().map(|p| text.find(p).expect(p)).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text.contains("1 to 10000") && text.contains("did you mean \"euler\"?"), "{text}");
}

#[test]
fn unknown_classes_are_all_told_with_the_nearest() {
    let prompt = json!({"1": node("Ad", json!({})), "2": node("Sav", json!({}))});
    let text = rejected(&prompt).to_string();
    assert!(text.contains("did you mean Add?") && text.contains("did you mean Save?"), "{text}");
}

#[test]
fn beside_unknown_classes_a_person_is_told_what_else_is_wrong() {
    let mut prompt = bad_sampler();
    prompt["9"] = node("Sav", json!({"images": ["3", 0]}));
    let rejection = rejected(&prompt);
    let text = rejection.to_string();
    assert!(text.contains("did you mean Save?") && text.contains("`steps`"), "{text}");
    assert_eq!(rejection.json()["node_errors"], json!({}), "ComfyUI stops at the class");
}

#[test]
fn a_cycle_names_its_nodes() {
    let add = |from: &str| node("Add", json!({"a": [from, 0], "b": 1}));
    let prompt = json!({
        "7": add("9"), "8": add("7"), "9": add("8"), "1": add("9"),
        "2": node("Save", json!({"value": ["1", 0]})),
    });
    let rejection = rejected(&prompt);
    let answer = rejection.json();
    assert_eq!(answer["error"]["type"], "prompt_outputs_failed_validation");
    let errors = answer["node_errors"].as_object().unwrap();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["7"]);
    let text = "7 (Add) <- 9 (Add) <- 8 (Add) <- 7 (Add)";
    assert_eq!(errors["7"]["errors"][0]["details"], text);
    assert!(rejection.to_string().contains(text));
}

#[test]
fn a_node_that_reads_itself_is_a_cycle() {
    let prompt = json!({
        "1": node("Add", json!({"a": ["1", 0], "b": 1})),
        "2": node("Save", json!({"value": ["1", 0]})),
    });
    assert!(rejected(&prompt).to_string().contains("1 (Add) <- 1 (Add)"));
}

#[test]
fn a_cycle_that_nothing_needs_is_no_error() {
    let prompt = json!({
        "1": node("Add", json!({"a": ["1", 0], "b": 1})), "2": node("Save", json!({"value": 1})),
    });
    planned(&prompt, |plan| assert_eq!(ids(&plan.unwrap()), ["2"]));
}

#[test]
fn dangling_links_say_so() {
    let prompt = json!({
        "5": node("EmptyLatentImage", json!({"width": 64})),
        "8": save_image(json!(["77", 0])), "9": save_image(json!(["5", 3])),
    });
    let rejection = rejected(&prompt);
    let errors = &rejection.json()["node_errors"];
    let exception = |id: &str| &errors[id]["errors"][0];
    assert_eq!(exception("8")["type"], "exception_during_validation");
    assert_eq!(exception("8")["extra_info"]["exception_type"], "KeyError");
    assert_eq!(exception("9")["extra_info"]["exception_type"], "IndexError");
    let text = rejection.to_string();
    assert!(text.contains("node 77, which the graph does not have"), "{text}");
    assert!(text.contains("output 3 of node 5 (EmptyLatentImage)"), "{text}");
}

#[test]
fn nodes_without_inputs_answer_as_comfyui() {
    let answer = rejected(&json!({"1": {"class_type": "SaveImage"}})).json();
    assert_eq!(answer["error"]["details"], "Exception when validating node: 'inputs'");
    assert_eq!(answer["node_errors"]["1"]["errors"][0]["extra_info"]["exception_type"], "KeyError");
}

#[test]
fn right_outputs_run_without_the_wrong_ones() {
    let prompt = json!({
        "1": node("Add", json!({"a": 1, "b": 2})), "2": node("Save", json!({"value": ["1", 0]})),
        "3": node("Add", json!({"a": 5, "b": 6})), "4": node("Add", json!({"a": ["3", 0], "b": -6})),
        "5": node("Save", json!({"value": ["4", 0]})),
    });
    planned(&prompt, |plan| {
        let plan = plan.unwrap();
        assert_eq!(ids(&plan), ["1", "2"]);
        let warnings = plan.warnings.json();
        assert_eq!(warnings["4"]["dependent_outputs"], json!(["5"]));
        assert_eq!(warnings["4"]["errors"][0]["type"], "value_smaller_than_min");
        assert_eq!(warnings.as_object().unwrap().len(), 1);
    });
}

#[test]
fn only_ancestors_of_the_targets_are_planned() {
    let prompt = json!({
        "9": node("Save", json!({"value": ["2", 0]})), "1": node("Add", json!({"a": 1, "b": 2})),
        "2": node("Add", json!({"a": ["1", 0], "b": 2})), "3": node("Add", json!({"a": 7, "b": 2})),
        "4": node("Add", json!({"a": 7})),
    });
    planned(&prompt, |plan| assert_eq!(ids(&plan.unwrap()), ["1", "2", "9"]));
    let only = Targets::Only(&["3"]);
    planned_for(&prompt, only, |plan| assert_eq!(ids(&plan.unwrap()), ["3"]));
    let and = Targets::OutputsAnd(&["3"]);
    planned_for(&prompt, and, |plan| assert_eq!(ids(&plan.unwrap()), ["1", "2", "9", "3"]));
    let error = planned_for(&prompt, Targets::Only(&["77"]), |plan| plan.err().unwrap());
    assert!(error.to_string().contains("node 77"));
}

#[test]
fn each_output_comes_as_early_as_it_can() {
    let add = |a: Json| node("Add", json!({"a": a, "b": 1}));
    let prompt = json!({
        "a": add(json!(1)), "b": add(json!(2)), "c": add(json!(["b", 0])),
        "y": node("Save", json!({"value": ["c", 0]})), "z": node("Save", json!({"value": ["a", 0]})),
    });
    planned(&prompt, |plan| assert_eq!(ids(&plan.unwrap()), ["b", "c", "y", "a", "z"]));
}

#[test]
fn equal_values_have_equal_keys_however_they_are_written() {
    let key = |inputs: Json| {
        let prompt = json!({"1": node("Blob", inputs)});
        planned_for(&prompt, Targets::Only(&["1"]), |plan| plan.unwrap().steps[0].key)
    };
    let plain = key(json!({"size": 64, "salt": 1.0}));
    for same in [
        json!({"salt": 1, "size": "64"}),
        json!({"size": 64.9, "salt": "1"}),
        json!({"size": {"__value__": 64}, "salt": true}),
    ] {
        assert_eq!(key(same), plain);
    }
    assert_ne!(key(json!({"size": 64})), plain);
    assert_ne!(key(json!({"size": 64, "salt": 1.0, "unknown": 3})), plain);
    let nan = || key(json!({"size": 64, "salt": "nan"}));
    assert_ne!(nan(), nan());
}

#[test]
fn a_literal_where_a_link_must_be_is_refused() {
    let answer = rejected(&json!({"9": save_image(json!(5))})).json();
    assert_eq!(answer["node_errors"]["9"]["errors"][0]["type"], "bad_linked_input");
}

/// A generous bound: the debug build takes a small part of it on a busy machine.
#[test]
fn ten_thousand_nodes_are_planned_under_a_second() {
    let prompt = chain(10_000);
    let time = |_| {
        let start = Instant::now();
        planned(&prompt, |plan| assert_eq!(plan.unwrap().steps.len(), 10_001));
        start.elapsed()
    };
    // The fastest of some: others use the machine too.
    let fastest = (0..3).map(time).min().unwrap();
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
}

#[test]
fn chains_of_a_hundred_thousand_nodes_and_cycles_of_them_overflow_no_stack() {
    let mut prompt = chain(100_000);
    let start = Instant::now();
    planned(&prompt, |plan| assert_eq!(plan.unwrap().steps.len(), 100_001));
    eprintln!("100,000 nodes: {:?}", start.elapsed());
    prompt["0"]["inputs"]["a"] = json!(["99999", 0]);
    let text = rejected(&prompt).to_string();
    assert!(text.contains("... 99980 more") && text.len() < 2000, "{text}");
}

#[test]
fn a_hundred_thousand_wrong_nodes_are_all_told_in_time() {
    let wrong = |i: usize| (i.to_string(), node("Save", json!({"value": ["nowhere", i]})));
    let prompt = Json::Object((0..100_000).map(wrong).collect());
    let start = Instant::now();
    let rejection = rejected(&prompt);
    assert_eq!(rejection.nodes.0.len(), 100_000);
    assert!(rejection.to_string().ends_with("and 99900 nodes more"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// `Add` after `Add`, and a `Save`.
fn chain(length: usize) -> Json {
    let add = |i: usize| {
        let a = if i == 0 { json!(1) } else { json!([(i - 1).to_string(), 0]) };
        (i.to_string(), node("Add", json!({"a": a, "b": 1})))
    };
    let mut prompt: serde_json::Map<String, Json> = (0..length).map(add).collect();
    prompt.insert("end".into(), node("Save", json!({"value": [(length - 1).to_string(), 0]})));
    Json::Object(prompt)
}

fn ids<'p>(plan: &'p Plan) -> Vec<&'p str> {
    plan.steps.iter().map(|step| &*step.id).collect()
}
