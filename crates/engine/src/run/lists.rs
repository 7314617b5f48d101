//! Lists, lazy inputs, nodes that are not idempotent.

use crate::{
    End, Keep, RunEvent, Targets,
    testing::{node, run, started, with_engine},
};
use graph::Json;
use serde_json::json;

#[track_caller]
fn numbers(prompt: &Json, id: &str) -> Json {
    with_engine(|engine, _| {
        let (outcome, _) = run(engine, prompt, Targets::Outputs);
        assert!(matches!(outcome.end, End::Completed), "{:?}", outcome.end);
        outcome.reports[id].ui.get("numbers").cloned().unwrap_or_default()
    })
}

#[test]
fn a_node_runs_once_for_each_value_of_a_list_and_the_shorter_list_repeats_its_last() {
    let prompt = json!({
        "1": node("Count", json!({"to": 4})), "2": node("Count", json!({"to": 2})),
        "3": node("Add", json!({"a": ["1", 0], "b": ["2", 0]})),
        "4": node("Save", json!({"value": ["3", 0]})),
    });
    assert_eq!(numbers(&prompt, "4"), json!([0, 2, 3, 4]));
}

#[test]
fn a_list_taken_whole_is_one_run_and_other_inputs_have_their_first_value() {
    let prompt = json!({
        "1": node("Count", json!({"to": 5})),
        "2": node("Sum", json!({"values": ["1", 0], "more": ["1", 0]})),
        "3": node("Save", json!({"value": ["2", 0]})),
    });
    assert_eq!(numbers(&prompt, "3"), json!([10]));
}

#[test]
fn an_empty_list_runs_nothing() {
    let prompt = json!({
        "1": node("Count", json!({"to": 0})),
        "2": node("Act", json!({"value": ["1", 0], "act": "panic"})),
        "3": node("Save", json!({"value": ["2", 0]})),
    });
    assert_eq!(numbers(&prompt, "3"), Json::Null);
}

/// One of two sums, of which the second fails.
fn picking(second: bool) -> Json {
    json!({
        "1": node("Add", json!({"a": 1, "b": 2})),
        "2": node("Act", json!({"value": 5, "act": "fail"})),
        "3": node("Pick", json!({"second": second, "a": ["1", 0], "b": ["2", 0]})),
        "4": node("Save", json!({"value": ["3", 0]})),
    })
}

#[test]
fn what_a_lazy_input_does_not_ask_for_never_runs() {
    with_engine(|engine, _| {
        let (outcome, events) = run(engine, &picking(false), Targets::Outputs);
        assert_eq!(started(&events), ["1", "3", "4"]);
        assert!(matches!(&events[0], RunEvent::Cached { ids } if ids.is_empty()));
        assert_eq!(outcome.reports["4"].ui["numbers"], json!([3]));
        assert!(!outcome.reports.contains_key("2"));
        let (outcome, _) = run(engine, &picking(true), Targets::Outputs);
        assert!(matches!(outcome.end, End::Failed(failure) if failure.id == "2"));
    });
}

#[test]
fn lazy_inputs_work_without_any_memory_and_in_chains() {
    let mut prompt = picking(false);
    prompt["3"]["inputs"]["a"] = json!(["5", 0]);
    prompt["5"] = node("Pick", json!({"second": true, "a": ["2", 0], "b": ["1", 0]}));
    with_engine(|engine, _| {
        engine.cache.set_keep(Keep::Nothing);
        let (outcome, events) = run(engine, &prompt, Targets::Outputs);
        assert_eq!(started(&events), ["1", "5", "3", "4"]);
        assert_eq!(outcome.reports["4"].ui["numbers"], json!([3]));
        assert_eq!(engine.cache.bytes(), 0);
    });
}

#[test]
fn what_went_before_a_lazy_input_asked_for_it_runs_again() {
    let prompt = json!({
        "1": node("Add", json!({"a": 1, "b": 2})), "2": node("Save", json!({"value": ["1", 0]})),
        "3": node("Add", json!({"a": ["1", 0], "b": 4})),
        "4": node("Pick", json!({"second": true, "a": ["1", 0], "b": ["3", 0]})),
        "5": node("Save", json!({"value": ["4", 0]})),
    });
    with_engine(|engine, _| {
        engine.cache.set_keep(Keep::Nothing);
        let (outcome, events) = run(engine, &prompt, Targets::Outputs);
        assert_eq!(started(&events), ["1", "2", "3", "4", "5"], "it stays for the lazy reader");
        assert_eq!(outcome.reports["5"].ui["numbers"], json!([7]));
        let mut deeper = prompt.clone();
        deeper["4"]["inputs"]["a"] = json!(["6", 0]);
        deeper["6"] = node("Add", json!({"a": 9, "b": 9}));
        let (outcome, events) = run(engine, &deeper, Targets::Outputs);
        assert_eq!(started(&events), ["1", "2", "1", "3", "4", "5"]);
        assert_eq!(outcome.reports["5"].ui["numbers"], json!([7]));
        assert_eq!(engine.cache.bytes(), 0);
    });
}

#[test]
fn a_blocker_stops_what_reads_it_and_nothing_else() {
    let prompt = json!({
        "1": node("Count", json!({"to": 4})),
        "2": node("AtLeast", json!({"value": ["1", 0], "least": 2})),
        "3": node("Add", json!({"a": ["2", 0], "b": 10})),
        "4": node("Save", json!({"value": ["3", 0]})), "5": node("Save", json!({"value": ["1", 0]})),
    });
    with_engine(|engine, _| {
        let (outcome, events) = run(engine, &prompt, Targets::Outputs);
        assert!(matches!(outcome.end, End::Completed));
        assert_eq!(outcome.reports["4"].ui["numbers"], json!([12, 13]));
        assert_eq!(outcome.reports["5"].ui["numbers"], json!([0, 1, 2, 3]));
        let told = |event: &RunEvent| matches!(event, RunEvent::Note { id, text } if id == "3" && text == "does not run: 1 is less than 2");
        assert!(events.iter().any(told), "{events:?}");
    });
}

fn times(times: u64) -> Json {
    json!({
        "1": node("Times", json!({"value": 5, "times": times})),
        "2": node("Save", json!({"value": ["1", 0]})),
    })
}

#[test]
fn nodes_run_in_the_place_of_another_and_are_cached_too() {
    with_engine(|engine, _| {
        let (outcome, events) = run(engine, &times(4), Targets::Outputs);
        assert_eq!(outcome.reports["2"].ui["numbers"], json!([20]));
        assert_eq!(started(&events), ["1", "2"], "the inner nodes are part of the outer");
        let (outcome, _) = run(engine, &times(3), Targets::Outputs);
        assert!(outcome.reports["1"].cached, "it was an inner node of the first run");
        assert_eq!(outcome.reports["2"].ui["numbers"], json!([15]));
    });
    let mut listed = times(0);
    listed["1"]["inputs"]["times"] = json!(["3", 0]);
    listed["3"] = node("Count", json!({"to": 4}));
    assert_eq!(numbers(&listed, "2"), json!([0, 5, 10, 15]));
}

#[test]
fn expansion_that_never_ends_is_an_error() {
    with_engine(|engine, _| {
        engine.cache.set_keep(Keep::Nothing);
        let (outcome, _) = run(engine, &times(1_000_000), Targets::Outputs);
        let End::Failed(failure) = outcome.end else { panic!("{:?}", outcome.end) };
        assert!(failure.id == "1" && failure.to_string().contains("100 deep"), "{failure}");
    });
}

#[test]
fn equal_nodes_run_once_unless_they_are_not_idempotent() {
    let prompt = json!({
        "1": node("Fresh", json!({})), "2": node("Fresh", json!({})),
        "3": node("Blob", json!({"size": 1, "salt": ["1", 0]})),
        "4": node("Blob", json!({"size": 1, "salt": ["2", 0]})),
        "5": node("Length", json!({"text": ["3", 0]})), "6": node("Length", json!({"text": ["4", 0]})),
    });
    with_engine(|engine, _| {
        let (_, events) = run(engine, &prompt, Targets::Outputs);
        assert_eq!(started(&events), ["1", "3", "5", "2", "4", "6"]);
        let (_, events) = run(engine, &prompt, Targets::Outputs);
        assert!(started(&events).is_empty());
    });
}
