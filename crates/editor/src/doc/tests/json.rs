//! What is read is written back as it was.

use crate::doc::Doc;
use serde_json::{Value as Json, json};

/// Equal but for the way numbers are written.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

pub(crate) fn workflows(folder: &str) -> Vec<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: {} is not there", folder.display());
        return Vec::new();
    };
    let paths = entries.map(|e| e.unwrap().path());
    paths.filter(|p| p.extension().is_some_and(|e| e == "json")).collect()
}

#[test]
fn every_workflow_is_written_as_it_was_read() {
    let ours = workflows("graphs");
    assert!(ours.len() >= 7);
    for path in ours.into_iter().chain(workflows("../shared/corpus/pairs")) {
        let json: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if json["nodes"].is_array() {
            let doc = Doc::from_json(&json).unwrap();
            assert!(same(&json, &doc.to_json()), "{}", path.display());
            let links =
                json["links"].as_array().into_iter().flatten().filter(|l| !l.is_null()).count();
            assert_eq!(doc.links.len(), links, "{}", path.display());
        }
    }
}

#[test]
fn what_leads_nowhere_keeps_its_place_and_is_no_link() {
    let json = json!({"nodes": [
        {"id": 1, "type": "A", "outputs": [{"name": "x", "type": "X", "links": [9, 3, 77]}]},
        {"id": "2", "type": "B", "inputs": [{"name": "old"}, {"name": "x", "type": "X", "link": 3}], "outputs": null},
    ], "links": [[9, 1, 0, 8, 0, "X"], null, {"odd": 1}, [3, 1, 0, 2, 0, "X", "more"]]});
    let mut doc = Doc::from_json(&json).unwrap();
    assert_eq!(doc.to_json(), json);
    assert_eq!(doc.link_into(2, 1), Some(3), "the input knows better than the stale slot number");
    assert_eq!((doc.links.len(), doc.next_link_id()), (1, 78));
    doc.disconnect(3);
    let written = doc.to_json();
    assert_eq!(written["links"], json!([[9, 1, 0, 8, 0, "X"], null, {"odd": 1}]));
    assert_eq!(written["nodes"][1]["inputs"][1]["link"], Json::Null);
}
