//! Parts of graphs that go elsewhere.

use super::{Bench, set};
use crate::doc::{Doc, File, Fragment, History, Id, Part};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

fn part<const N: usize>(ids: [Id; N]) -> Part {
    Part { nodes: set(ids), groups: BTreeSet::new() }
}

/// Through the text that the clipboard holds.
fn sent(from: &File, part: &Part) -> Fragment {
    let text = from.copy(part).to_json().to_string();
    Fragment::read(&text, &Bench::new().contract).unwrap()
}

#[test]
fn a_pasted_part_has_its_links_under_new_numbers_and_nothing_is_lost() {
    let json = json!({"nodes": [
        {"id": 4, "type": "A", "pos": [10, 20], "size": [100, 50], "odd": {"x": [1]},
            "outputs": [{"name": "x", "type": "X", "links": [7, 9], "hint": "y"}]},
        {"id": 6, "type": "B", "pos": {"0": 300, "1": 20}, "size": [100, 50], "properties": {"p": 1},
            "flags": {"pinned": true}, "widgets_values": {"k": 1.5},
            "inputs": [{"name": "x", "type": "X", "link": 7}]},
        {"id": 8, "type": "B", "pos": [300, 90], "size": [100, 50],
            "inputs": [{"name": "x", "type": "X", "link": 9}]},
    ], "links": [[7, 4, 0, 6, 0, "X"], [9, 4, 0, 8, 0, "X"]],
    "groups": [{"id": 3, "title": "G", "bounding": [0, -20, 500, 100], "own": true}]});
    let mut file = File::from_json(&json).unwrap();
    let chosen = Part { nodes: set([4, 6]), groups: [0].into() };
    let fragment = sent(&file, &chosen);
    assert_eq!(fragment.corner(), [0.0, -20.0]);
    let new = file.paste(&fragment, [1000.0, 0.5], false).unwrap();
    assert_eq!(new, Part { nodes: set([9, 10]), groups: [1].into() });
    let after = file.to_json();
    assert_eq!(after["nodes"].as_array().unwrap()[..3], json["nodes"].as_array().unwrap()[..]);
    assert_eq!(
        after["nodes"][3],
        json!({"id": 9, "type": "A", "pos": [1010, 20.5], "size": [100, 50], "odd": {"x": [1]},
            "outputs": [{"name": "x", "type": "X", "links": [10], "hint": "y"}]})
    );
    assert_eq!(
        after["nodes"][4],
        json!({"id": 10, "type": "B", "pos": [1300, 20.5], "size": [100, 50], "properties": {"p": 1},
            "flags": {"pinned": false}, "widgets_values": {"k": 1.5},
            "inputs": [{"name": "x", "type": "X", "link": 10}]})
    );
    assert_eq!(after["links"][2], json!([10, 9, 0, 10, 0, "X"]));
    let group = json!({"id": 4, "title": "G", "bounding": [1000, -19.5, 500, 100], "own": true});
    assert_eq!(after["groups"][1], group);
    assert_eq!(File::from_json(&after).unwrap().to_json(), after);
}

#[test]
fn links_from_outside_come_along_only_if_that_is_wanted_and_the_node_is_the_same() {
    let bench = Bench::new();
    let (doc, ids) = bench.chain(2);
    let mut file = File::new(doc);
    let fragment = sent(&file, &part([ids[1], ids[2]]));
    let fed = |file: &File, part: &Part| {
        let first = *part.nodes.first().unwrap();
        file.doc().link_into(first, 0).map(|link| file.doc().links[&link].from)
    };
    let alone = file.paste(&fragment, [0.0; 2], false).unwrap();
    assert_eq!(fed(&file, &alone), None);
    let linked = file.paste(&fragment, [0.0; 2], true).unwrap();
    assert_eq!(fed(&file, &linked), Some(ids[0]));
    let mut other = File::default();
    other.doc_mut().create_own("Note", [0.0; 2]).unwrap();
    let there = other.paste(&fragment, [0.0; 2], true).unwrap();
    assert_eq!(fed(&other, &there), None, "node {} is another one there", ids[0]);
}

#[test]
fn links_that_only_a_file_claims_are_not_pasted() {
    let json = json!({"nodes": [{"id": 1, "type": "A",
        "inputs": [{"name": "x", "type": "X", "link": 77}],
        "outputs": [{"name": "x", "type": "X", "links": [78]}]}], "links": []});
    let mut file = File::from_json(&json).unwrap();
    file.doc_mut().duplicate(&part([1]), [0.0; 2], true);
    let copy = &file.to_json()["nodes"][1];
    assert_eq!(
        (&copy["inputs"][0]["link"], &copy["outputs"][0]["links"]),
        (&Json::Null, &json!([]))
    );
}

#[test]
fn every_workflow_can_be_pasted_and_what_is_no_graph_says_so() {
    let contract = Bench::new().contract;
    let (doc, _) = Bench::new().chain(3);
    let api = Json::Object(File::new(doc).to_api(&contract).unwrap());
    let mut file = File::default();
    let fragment = Fragment::read(&api.to_string(), &contract).unwrap();
    assert_eq!(file.paste(&fragment, [0.0; 2], false).unwrap().nodes.len(), 4);
    assert_eq!(file.doc().links.len(), 3);
    for text in
        ["", "hello", "[1]", "{}", "{\"nodes\": []}", "{\"nodes\": [{\"id\": 1}]}", "{\"a\": 2}"]
    {
        let error = Fragment::read(text, &contract).err().map(|error| format!("{error:#}"));
        assert!(error.is_some_and(|words| !words.is_empty()), "{text}");
    }
}

/// A file with a subgraph within a subgraph, both with one node more.
pub(super) fn nested() -> File {
    let inner =
        json!({"id": "in", "name": "Inner", "nodes": [{"id": 1, "type": "A"}], "links": []});
    let outer = json!({"id": "out", "name": "Outer", "nodes": [{"id": 1, "type": "in"}, {"id": 2, "type": "B"}],
        "links": []});
    let json = json!({"nodes": [{"id": 1, "type": "out"}], "links": [],
        "definitions": {"subgraphs": [outer, inner]}});
    File::from_json(&json).unwrap()
}

#[test]
fn subgraphs_come_along_once_and_change_their_ids_if_they_differ() {
    let from = nested();
    let fragment = sent(&from, &part([1]));
    let mut to = File::default();
    to.paste(&fragment, [0.0; 2], false).unwrap();
    to.paste(&fragment, [0.0; 2], false).unwrap();
    assert_eq!(to.to_json()["definitions"], from.to_json()["definitions"]);
    // The inner one is changed in the other file: both become others, as one holds the other.
    assert!(to.enter(1) && to.enter(1));
    to.doc_mut().set_title(1, "mine");
    assert!(to.leave() && to.leave());
    let new = to.paste(&fragment, [0.0; 2], false).unwrap();
    let json = to.to_json();
    let all = json["definitions"]["subgraphs"].as_array().unwrap();
    assert_eq!(all.len(), 4);
    let id = *new.nodes.first().unwrap();
    assert_eq!(json!(to.doc().node(id).unwrap().class), all[2]["id"]);
    assert_eq!(all[2]["nodes"][0]["type"], all[3]["id"]);
    assert_eq!(
        (&all[3]["nodes"][0]["title"], &all[1]["nodes"][0]["title"]),
        (&Json::Null, &json!("mine"))
    );
    assert_eq!(File::from_json(&json).unwrap().to_json(), json);
}

#[test]
fn a_subgraph_is_not_pasted_into_itself() {
    let mut file = nested();
    let fragment = sent(&file, &part([1]));
    assert!(file.enter(1) && file.enter(1));
    let before = file.to_json();
    let error = file.paste(&fragment, [0.0; 2], false).unwrap_err();
    assert_eq!(error.to_string(), "the subgraph \"Inner\" would hold itself");
    assert_eq!(file.to_json(), before);
    assert_eq!(file.prefix(), "1:1:");
}

#[test]
fn a_duplicate_in_a_subgraph_can_be_fed_by_its_border() {
    let json = json!({"nodes": [{"id": 1, "type": "s"}], "links": [], "definitions": {"subgraphs": [
        {"id": "s", "name": "S", "inputNode": {"id": -10, "bounding": [0, 0, 120, 60]},
         "inputs": [{"id": "i", "name": "x", "type": "X", "linkIds": [1]}],
         "nodes": [{"id": 3, "type": "A", "inputs": [{"name": "x", "type": "X", "link": 1}]}],
         "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 3, "target_slot": 0, "type": "X"}]}
    ]}});
    let mut file = File::from_json(&json).unwrap();
    file.enter(1);
    let all = Part { nodes: file.doc().nodes().map(|n| n.id).collect(), groups: BTreeSet::new() };
    let new = file.doc_mut().duplicate(&all, [0.0; 2], true);
    assert_eq!(new.nodes, set([4]), "the border is there once");
    let sub = &file.to_json()["definitions"]["subgraphs"][0];
    assert_eq!(sub["inputs"][0]["linkIds"], json!([1, 2]));
}

#[test]
fn a_reroute_without_its_source_is_of_no_type() {
    let bench = Bench::new();
    let (mut doc, ids) = bench.chain(1);
    let link = doc.link_into(ids[1], 0).unwrap();
    let reroute = doc.create_own("Reroute", [0.0; 2]).unwrap();
    assert!(doc.insert_on(link, reroute));
    let mut history = History::new(doc);
    let new = history.edit("Duplicate", |doc| doc.duplicate(&part([reroute]), [9.0; 2], false));
    let copy = history.doc().node(*new.nodes.first().unwrap()).unwrap();
    assert_eq!(copy.outputs[0].ty, "*");
    history.undo();
    assert_eq!(history.doc().nodes().len(), 3);
}

#[test]
fn a_group_goes_behind_those_that_lie_in_it_and_numbers_are_not_given_twice() {
    let mut doc = Doc::default();
    doc.add_group("small", [10.0, 10.0, 50.0, 50.0]);
    doc.add_group("beside", [500.0, 10.0, 50.0, 50.0]);
    assert_eq!(doc.add_group("large", [0.0, 0.0, 100.0, 100.0]), 0);
    let groups = &doc.to_json()["groups"];
    let names: Vec<_> =
        groups.as_array().unwrap().iter().map(|g| (&g["title"], &g["id"])).collect();
    assert_eq!(
        names,
        [(&json!("large"), &json!(3)), (&json!("small"), &json!(1)), (&json!("beside"), &json!(2))]
    );
    doc.remove_part(&Part { nodes: set([]), groups: [0, 2, 9].into() });
    assert_eq!(doc.groups.iter().map(|g| &*g.title).collect::<Vec<_>>(), ["small"]);
}
