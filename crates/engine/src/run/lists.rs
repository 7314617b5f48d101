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
        let told = |event: &RunEvent| {
            matches!(event, RunEvent::Note { id, text } if id == "3" && text == "does not run: 1 is less than 2")
        };
        assert!(events.iter().any(told), "{events:?}");
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
