use crate::{
    End, Keep, RunEvent, RunOptions, Targets,
    testing::{node, run, started, with_engine},
};
use graph::Json;
use serde_json::{Map, json};
use std::sync::atomic::AtomicBool;

/// 1 + 2, + `b`, saved.
fn sums(b: u64) -> Json {
    json!({
        "1": node("Add", json!({"a": 1, "b": 2})), "2": node("Add", json!({"a": ["1", 0], "b": b})),
        "3": node("Save", json!({"value": ["2", 0]})),
    })
}

fn acting(act: &str) -> Json {
    json!({
        "1": node("Add", json!({"a": 1, "b": 2})),
        "2": {"class_type": "Act", "inputs": {"value": ["1", 0], "act": act}, "_meta": {"title": "Actor"}},
        "3": node("Save", json!({"value": ["2", 0]})),
    })
}

#[test]
fn only_the_changed_node_and_what_follows_runs_again() {
    with_engine(|engine, _| {
        let (outcome, events) = run(engine, &sums(4), Targets::Outputs);
        assert!(matches!(outcome.end, End::Completed));
        assert_eq!(started(&events), ["1", "2", "3"]);
        assert_eq!(outcome.reports["3"].ui["numbers"], json!([7]));
        let (outcome, events) = run(engine, &sums(5), Targets::Outputs);
        assert_eq!(started(&events), ["2", "3"]);
        assert!(matches!(&events[0], RunEvent::Cached { ids } if *ids == ["1"]));
        assert!(outcome.reports["1"].cached && !outcome.reports["2"].cached);
        let counted =
            |event: &RunEvent| matches!(event, RunEvent::Started { index: 1, total: 2, .. });
        assert!(events.iter().any(counted));
    });
}

#[test]
fn renumbering_runs_nothing_and_outputs_are_shown_again() {
    with_engine(|engine, _| {
        run(engine, &sums(4), Targets::Outputs);
        let text = sums(4).to_string();
        let renumbered = text.replace("\"1\"", "\"x\"").replace("\"2\"", "\"y\"");
        let renumbered = serde_json::from_str(&renumbered).unwrap();
        let (_, events) = run(engine, &renumbered, Targets::Outputs);
        assert!(started(&events).is_empty());
        let shown = |event: &RunEvent| {
            matches!(event, RunEvent::Executed { id, ui, cached: true, .. }
                if id == "3" && ui["numbers"] == json!([7]))
        };
        assert!(events.iter().any(shown), "{events:?}");
    });
}

#[test]
fn a_changed_file_runs_its_reader_and_what_follows() {
    let prompt = json!({
        "1": node("Read", json!({"file": "a.png"})), "2": node("Read", json!({"file": "b.png"})),
        "3": node("Add", json!({"a": ["1", 0], "b": ["2", 0]})),
        "4": node("Save", json!({"value": ["3", 0]})), "5": node("Save", json!({"value": ["2", 0]})),
    });
    with_engine(|engine, shelf| {
        run(engine, &prompt, Targets::Outputs);
        shelf.0.lock().unwrap().get_mut("input").unwrap().insert("a.png".into(), 9);
        let (outcome, events) = run(engine, &prompt, Targets::Outputs);
        assert_eq!(started(&events), ["1", "3", "4"]);
        assert_eq!(outcome.reports["4"].ui["numbers"], json!([10]));
    });
}

#[test]
fn names_that_stand_for_no_file_need_none() {
    let prompt = json!({"1": node("Read", json!({"file": "nothing"})), "2": node("Save", json!({"value": ["1", 0]}))});
    with_engine(|engine, _| {
        let (outcome, _) = run(engine, &prompt, Targets::Outputs);
        assert_eq!(outcome.reports["2"].ui["numbers"], json!([0]));
    });
}

#[test]
fn a_failing_node_says_all_and_leaves_finished_work() {
    with_engine(|engine, _| {
        let (outcome, events) = run(engine, &acting("fail"), Targets::Outputs);
        let End::Failed(failure) = &outcome.end else { panic!("{:?}", outcome.end) };
        assert_eq!(failure.to_string(), "node 2 (Act \"Actor\"): writing: no ink");
        assert_eq!(failure.chain, ["writing", "no ink"]);
        let inputs = [("value", "INT (8 bytes)"), ("act", "\"fail\"")];
        assert_eq!(failure.inputs, inputs.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert!(matches!(events.last(), Some(RunEvent::Failed(_))));
        let (outcome, events) = run(engine, &acting("pass"), Targets::Outputs);
        assert_eq!(started(&events), ["2", "3"]);
        assert!(matches!(outcome.end, End::Completed));
    });
}

#[test]
fn a_panic_is_the_error_of_its_node_with_text_and_place() {
    with_engine(|engine, _| {
        let (outcome, _) = run(engine, &acting("panic"), Targets::Outputs);
        let End::Failed(failure) = outcome.end else { panic!("{:?}", outcome.end) };
        let text = failure.to_string();
        assert!(text.contains("out of range") && text.contains("testing.rs:"), "{text}");
    });
}

#[test]
fn a_stop_during_a_node_is_an_interruption_and_leaves_finished_work() {
    with_engine(|engine, _| {
        let (outcome, events) = run(engine, &acting("stop"), Targets::Outputs);
        assert!(matches!(&outcome.end, End::Interrupted(id) if id == "2"), "{:?}", outcome.end);
        let step = |event: &RunEvent| matches!(event, RunEvent::Step { id, done: 1, total: 3 } if id == "2");
        assert!(events.iter().any(step));
        assert!(matches!(events.last(), Some(RunEvent::Interrupted { id }) if id == "2"));
        let (_, events) = run(engine, &acting("pass"), Targets::Outputs);
        assert_eq!(started(&events), ["2", "3"]);
    });
}

#[test]
fn a_stop_before_the_run_starts_nothing() {
    with_engine(|engine, _| {
        let prompt = sums(4);
        let plan = engine.plan(&prompt, Targets::Outputs).unwrap();
        let (stop, mut events) = (AtomicBool::new(true), Vec::new());
        let options = RunOptions { prompt: &prompt, extra: &Map::new(), stop: &stop };
        let outcome = engine.run(&plan, &options, &mut |event| events.push(event));
        assert!(matches!(outcome.end, End::Interrupted(_)));
        assert!(started(&events).is_empty());
    });
}

/// Two equal branches and two equal outputs.
fn twins() -> Json {
    json!({
        "1": node("Add", json!({"a": 1, "b": 2})), "2": node("Add", json!({"b": 2, "a": 1})),
        "3": node("Add", json!({"a": ["1", 0], "b": ["2", 0]})),
        "4": node("Save", json!({"value": ["3", 0]})), "5": node("Save", json!({"value": ["3", 0]})),
    })
}

#[test]
fn duplicate_branches_run_once_even_without_any_memory() {
    with_engine(|engine, _| {
        engine.cache.set_keep(Keep::Nothing);
        let (outcome, events) = run(engine, &twins(), Targets::Outputs);
        assert_eq!(started(&events), ["1", "3", "4"]);
        assert!(matches!(&events[1], RunEvent::Started { total: 3, .. }));
        assert_eq!(outcome.reports["5"].ui, outcome.reports["4"].ui);
        assert_eq!(engine.cache.bytes(), 0);
    });
}

#[test]
fn the_cache_stays_in_its_bound_and_keeps_the_latest() {
    let blob = |salt: u64| {
        json!({
            "1": node("Blob", json!({"size": 100_000, "salt": salt})),
            "2": node("Length", json!({"text": ["1", 0]})),
        })
    };
    with_engine(|engine, _| {
        engine.cache.set_keep(Keep::Bytes(350_000));
        for salt in 0..10 {
            run(engine, &blob(salt), Targets::Outputs);
            assert!(engine.cache.bytes() <= 350_000);
        }
        let (_, events) = run(engine, &blob(9), Targets::Outputs);
        assert!(started(&events).is_empty());
        let (_, events) = run(engine, &blob(0), Targets::Outputs);
        assert_eq!(started(&events), ["1", "2"]);
    });
}

#[test]
fn what_only_cached_nodes_read_is_not_computed_again() {
    let prompt = json!({
        "1": node("Blob", json!({"size": 100_000})), "2": node("Length", json!({"text": ["1", 0]})),
    });
    with_engine(|engine, _| {
        engine.cache.set_keep(Keep::Bytes(50_000));
        run(engine, &prompt, Targets::Outputs);
        assert!(engine.cache.bytes() < 50_000, "the blob is too big to stay");
        let (_, events) = run(engine, &prompt, Targets::Outputs);
        assert!(started(&events).is_empty());
    });
}

#[test]
fn nan_equals_nothing_and_runs_every_time() {
    let prompt = json!({
        "1": node("Blob", json!({"size": 1, "salt": "nan"})), "2": node("Length", json!({"text": ["1", 0]})),
    });
    with_engine(|engine, _| {
        run(engine, &prompt, Targets::Outputs);
        let (_, events) = run(engine, &prompt, Targets::Outputs);
        assert_eq!(started(&events), ["1", "2"]);
    });
}

#[test]
fn the_values_of_targets_are_given_whether_cached_or_not() {
    with_engine(|engine, _| {
        for _ in 0..2 {
            let (outcome, _) = run(engine, &sums(4), Targets::OutputsAnd(&["1", "2"]));
            let sum = |id: &str| *outcome.values(id).unwrap()[0][0].get::<u64>().unwrap();
            assert_eq!((sum("1"), sum("2")), (3, 7));
            assert!(outcome.values("3").unwrap().is_empty() && outcome.values("4").is_none());
        }
    });
}
