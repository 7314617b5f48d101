//! `weft run --profile`: the time of a run adds up, and its work is what `weft check` foretold.

use crate::common::{root, text, weft, weft_ok};
use serde_json::Value;
use std::time::Instant;

const GRAPH: &str = "graphs/text_to_image.json";

fn graph() -> String {
    root().join(GRAPH).to_str().unwrap().to_owned()
}

fn sum(list: &Value, key: &str) -> f64 {
    list.as_array().unwrap().iter().map(|item| item[key].as_f64().unwrap()).sum()
}

#[track_caller]
fn assert_near(got: f64, expected: f64, part: f64, what: &str) {
    assert!((got - expected).abs() <= part * expected, "{what}: {got}, expected {expected}");
}

#[test]
fn the_parts_of_a_run_add_up_and_its_work_is_what_was_foretold() {
    let folder = tempfile::tempdir().unwrap();
    let graph = graph();
    let set = ["--set", "KSampler.steps=6"];
    let args =
        [&["run", &graph, "--device", "cpu", "--json", "--profile-json", "p.json"], &set[..]];
    let start = Instant::now();
    let events = weft_ok(folder.path(), &args.concat());
    let waited = start.elapsed().as_secs_f64();
    let profile = std::fs::read(folder.path().join("p.json")).unwrap();
    let profile: Value = serde_json::from_slice(&profile).unwrap();

    let whole = profile["seconds"].as_f64().unwrap();
    assert!(whole < waited, "{whole} of {waited} s");
    let parts = profile["parts"].as_object().unwrap();
    let part = |name: &str| parts[name].as_f64().unwrap();
    assert_near(parts.values().map(|s| s.as_f64().unwrap()).sum(), whole, 0.02, "parts");
    assert!(part("between nodes") < 0.25 * whole, "{parts:?}");
    assert!(part("encoding pictures") > 0.0 && part("networks, making ready") > 0.0, "{parts:?}");

    let executed = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let executed: Vec<Value> = executed.filter(|e| e["event"] == "executed").collect();
    let nodes = profile["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), executed.len());
    for (node, event) in nodes.iter().zip(&executed) {
        assert_eq!((&node["id"], &node["seconds"]), (&event["node"], &event["seconds"]));
        let spent = ["networks", "ready", "own"].map(|key| node[key].as_f64().unwrap());
        assert_near(spent.iter().sum(), node["seconds"].as_f64().unwrap(), 1e-6, "a node");
    }
    for network in profile["networks"].as_array().unwrap() {
        let inside = sum(&network["ops"], "seconds") + network["in_and_out"].as_f64().unwrap();
        assert_near(inside, network["seconds"].as_f64().unwrap(), 1e-6, "a network");
        let gflops =
            network["flops"].as_f64().unwrap() / 1e9 / network["seconds"].as_f64().unwrap();
        let fraction = gflops / profile["peak_gflops"].as_f64().unwrap();
        assert_near(network["fraction"].as_f64().unwrap(), fraction, 1e-6, "a fraction");
        assert!(["arithmetic", "memory"].contains(&network["bound_by"].as_str().unwrap()));
    }

    // `weft check` has no --set: the graph itself has the steps.
    let mut graph: Value =
        serde_json::from_str(&weft_ok(folder.path(), &["convert", &graph, "--to", "api"])).unwrap();
    let sampler =
        graph.as_object_mut().unwrap().values_mut().find(|n| n["class_type"] == "KSampler");
    sampler.unwrap()["inputs"]["steps"] = 6.into();
    std::fs::write(folder.path().join("api.json"), graph.to_string()).unwrap();
    let check = weft_ok(folder.path(), &["check", "api.json", "--json"]);
    let check: Value = serde_json::from_str(&check).unwrap();
    let done = |op: &str, key: &str| -> f64 {
        let networks = profile["networks"].as_array().unwrap().iter();
        let ops = networks.flat_map(|n| n["ops"].as_array().unwrap()).filter(|o| o["op"] == op);
        ops.map(|o| o[key].as_f64().unwrap()).sum()
    };
    for op in check["ops"].as_array().unwrap() {
        let name = op["op"].as_str().unwrap();
        for key in ["calls", "flops", "bytes"] {
            let (done, foretold) = (done(name, key), op[key].as_f64().unwrap());
            // Layers that read nothing but the prompt are done once.
            let once = name == "linear" && done < foretold && done > 0.5 * foretold;
            assert!(done == foretold || once, "{name}: {done} {key}, {foretold} were foretold");
        }
    }
    for key in ["flops", "bytes"] {
        assert_eq!(
            sum(&check["order"], key),
            sum(&check["ops"], key),
            "{key} of nodes and operations"
        );
    }
    assert_eq!(check["flops"].as_f64().unwrap(), sum(&check["ops"], "flops"));
}

#[test]
fn a_profile_for_people_has_nodes_networks_and_operations() {
    let folder = tempfile::tempdir().unwrap();
    let graph = graph();
    let args = [
        "run",
        &graph,
        "--device",
        "cpu",
        "--repeat",
        "2",
        "--profile",
        "--set",
        "KSampler.steps=1",
    ];
    let out = weft(folder.path(), &args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout).lines().count(), 2, "the files' names alone");
    let told = text(&out.stderr);
    for part in [
        "the run ",
        "networks, making ready",
        "encoding pictures",
        "KSampler [",
        "cached",
        "UNet ",
        "of the peak, bound by ",
        "conv2d",
        "in and out",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 100), "{told}");
}
