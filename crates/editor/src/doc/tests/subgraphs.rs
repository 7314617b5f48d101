//! Subgraphs: made, unpacked, entered, and what their instances show of them.

use super::{
    json::{same, workflows},
    set,
};
use crate::doc::{Control, Doc, File, History, INPUTS, Id, Mode, OUTPUTS};
use graph::Contract;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;

fn contract() -> Contract {
    Contract::from_types(&[])
}

/// A file as newer front ends write it. Subgraph `inner` samples: its inputs are a model and the number of
/// steps. Subgraph `outer` holds one instance of it (node 5) and shows its seed and its steps. The file has
/// two instances of `outer`, the second with a seed of its own.
fn nested() -> Json {
    let link = |id: u32, from: i32, slot: u32, to: i32, to_slot: u32, ty: &str| {
        json!({"id": id, "origin_id": from, "origin_slot": slot, "target_id": to,
            "target_slot": to_slot, "type": ty})
    };
    let socket = |name: &str, ty: &str, link: Json| json!({"name": name, "type": ty, "link": link});
    let widget = |name: &str, ty: &str, link: Json| json!({"name": name, "type": ty, "widget": {"name": name}, "link": link});
    let border = |id: &str, name: &str, ty: &str, links: Json| json!({"id": id, "name": name, "type": ty, "linkIds": links});
    let sampler = json!({"id": 3, "type": "KSampler", "mode": 0, "title": "Sampler",
        "inputs": [socket("model", "MODEL", json!(1)), widget("seed", "INT", Json::Null),
            widget("steps", "INT", json!(2))],
        "outputs": [{"name": "LATENT", "type": "LATENT", "links": [3]}],
        "widgets_values": [7, "increment", 20, 8.0, "euler", "normal", 1.0]});
    let inner = json!({"id": "inner", "name": "Sample", "version": 1,
        "state": {"lastNodeId": 3, "lastLinkId": 3, "lastRerouteId": 0, "lastGroupId": 0},
        "inputNode": {"id": -10, "bounding": [0, 0, 120, 80]},
        "outputNode": {"id": -20, "bounding": [900, 0, 120, 60]},
        "inputs": [border("a", "model", "MODEL", json!([1])), border("b", "steps", "INT", json!([2]))],
        "outputs": [border("c", "LATENT", "LATENT", json!([3]))],
        "nodes": [sampler], "groups": [], "unknown": true,
        "links": [link(1, -10, 0, 3, 0, "MODEL"), link(2, -10, 1, 3, 2, "INT"),
            link(3, 3, 0, -20, 0, "LATENT")]});
    let instance = |id: u32,
                    class: &str,
                    inputs: Json,
                    outputs: Json,
                    listed: Json,
                    values: Json| {
        json!({"id": id, "type": class, "pos": [0, 0], "size": [200, 100], "mode": 0, "inputs": inputs,
            "outputs": outputs, "properties": {"proxyWidgets": listed}, "widgets_values": values})
    };
    let five = instance(
        5,
        "inner",
        json!([socket("model", "MODEL", json!(1)), widget("steps", "INT", Json::Null)]),
        json!([{"name": "LATENT", "type": "LATENT", "links": [2]}]),
        json!([["-1", "steps"], ["3", "seed"], ["3", "control_after_generate"]]),
        json!([12]),
    );
    let outer = json!({"id": "outer", "name": "Outer", "version": 1,
        "inputNode": {"id": -10, "bounding": [0, 0, 120, 80]},
        "outputNode": {"id": -20, "bounding": [900, 0, 120, 60]},
        "inputs": [border("d", "model", "MODEL", json!([1]))],
        "outputs": [border("e", "LATENT", "LATENT", json!([2]))],
        "nodes": [five],
        "links": [link(1, -10, 0, 5, 0, "MODEL"), link(2, 5, 0, -20, 0, "LATENT")]});
    let listed = json!([["5", "seed"], ["5", "steps"]]);
    let two = |id: u32, feed: u32, leads: u32, values: Json| {
        instance(
            id,
            "outer",
            json!([socket("model", "MODEL", json!(feed))]),
            json!([{"name": "LATENT", "type": "LATENT", "links": [leads]}]),
            listed.clone(),
            values,
        )
    };
    let loader = json!({"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["a.safetensors"],
        "outputs": [{"name": "MODEL", "type": "MODEL", "links": [1, 2]}]});
    let save = |id: u32, link: u32| {
        json!({"id": id, "type": "SaveLatent", "widgets_values": ["x"],
        "inputs": [socket("samples", "LATENT", json!(link))]})
    };
    json!({"version": 0.4, "last_node_id": 9, "last_link_id": 4,
        "nodes": [loader, two(6, 1, 3, json!([])), two(7, 2, 4, json!([99])), save(8, 3), save(9, 4)],
        "links": [[1, 1, 0, 6, 0, "MODEL"], [2, 1, 0, 7, 0, "MODEL"], [3, 6, 0, 8, 0, "LATENT"],
            [4, 7, 0, 9, 0, "LATENT"]],
        "definitions": {"subgraphs": [inner, outer]}})
}

fn shown(file: &File, id: Id) -> Vec<(String, String, Json)> {
    let all = file.widgets(id, &contract()).into_iter();
    all.map(|w| (w.name, w.label, w.value)).collect()
}

fn shows(name: &str, label: &str, value: u32) -> (String, String, Json) {
    (name.into(), label.into(), json!(value))
}

fn inputs(file: &File, id: &str) -> Json {
    file.to_api(&contract()).unwrap()[id]["inputs"].clone()
}

/// Each node with what feeds it, and so on, in place of ids; sorted.
fn without_ids(prompt: &Map<String, Json>) -> Vec<String> {
    fn whole(prompt: &Map<String, Json>, id: &str) -> Json {
        let mut node = json!({"class": prompt[id]["class_type"], "inputs": prompt[id]["inputs"]});
        for input in node["inputs"].as_object_mut().unwrap().values_mut() {
            if let Some(from) = input[0].as_str().filter(|from| prompt.contains_key(*from)) {
                *input = json!([whole(prompt, from), input[1]]);
            }
        }
        node["inputs"].as_object_mut().unwrap().sort_keys();
        node
    }
    let mut all: Vec<String> = prompt.keys().map(|id| whole(prompt, id).to_string()).collect();
    all.sort();
    all
}

fn read(path: &std::path::Path) -> Option<File> {
    let json: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    json["nodes"].is_array().then(|| File::from_json(&json).unwrap())
}

fn everything() -> impl Iterator<Item = std::path::PathBuf> {
    workflows("graphs").into_iter().chain(workflows("../shared/corpus/pairs"))
}

/// Goes into every instance of the open level, and what is in it, and back.
fn wander(history: &mut History) -> usize {
    let ids: Vec<Id> = history.doc().nodes().map(|node| node.id).collect();
    let mut entered = 0;
    for id in ids {
        if history.enter(id) {
            entered += 1 + wander(history);
            assert!(history.leave());
        }
    }
    entered
}

#[test]
fn going_in_and_out_of_subgraphs_changes_nothing() {
    for path in everything() {
        let json: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if let Some(file) = read(&path) {
            let mut history = History::of(file);
            wander(&mut history);
            assert!(same(&history.file().to_json(), &json), "{}", path.display());
        }
    }
    let mut history = History::of(File::from_json(&nested()).unwrap());
    assert_eq!(wander(&mut history), 4);
    assert!(history.enter(7) && history.enter(5));
    assert_eq!(history.file().prefix(), "7:5:");
    let path: Vec<_> = history.file().path().collect();
    assert_eq!(path, [(7, "Outer"), (5, "Sample")]);
    assert_eq!(history.file().to_json(), nested());
    assert!(!history.is_modified());
}

/// Parts of a graph of different shapes: each second node, the left half, all, one.
fn parts(doc: &Doc) -> [BTreeSet<Id>; 4] {
    let ids: Vec<Id> = doc.nodes().map(|node| node.id).collect();
    let mut from_left: Vec<_> = doc.nodes().map(|node| (node.pos[0] as i64, node.id)).collect();
    from_left.sort_unstable();
    let left = from_left.iter().take(ids.len() / 2).map(|(_, id)| *id);
    [
        ids.iter().copied().step_by(2).collect(),
        left.collect(),
        ids.iter().copied().collect(),
        ids.iter().copied().skip(1).take(1).collect(),
    ]
}

#[test]
fn a_part_runs_the_same_as_a_subgraph_and_unpacked_again() {
    let contract = contract();
    for path in everything() {
        let Some(file) = read(&path) else { continue };
        let sent = without_ids(&file.to_api(&contract).unwrap());
        for part in parts(file.doc()) {
            let mut history = History::of(file.clone());
            let Some(id) = history.edit_file("Make", |file| file.make_subgraph(&part)) else {
                continue;
            };
            let text = || format!("{}, made of {part:?}", path.display());
            let made = history.file().to_json();
            let again = File::from_json(&made).unwrap();
            assert_eq!(again.to_json(), made, "{}", text());
            assert_eq!(without_ids(&again.to_api(&contract).unwrap()), sent, "{}", text());
            let unpacked = history.edit_file("Unpack", |file| file.unpack(id, &contract)).unwrap();
            assert_eq!(unpacked, part, "the nodes have their numbers again: {}", text());
            let again = File::from_json(&history.file().to_json()).unwrap();
            assert_eq!(without_ids(&again.to_api(&contract).unwrap()), sent, "{}", text());
            history.undo();
            assert_eq!(history.file().to_json(), made);
            history.undo();
            assert_eq!(history.file(), &file);
        }
    }
}

#[test]
fn what_crosses_the_border_is_named_and_kept() {
    let mut file = File::from_json(&nested()).unwrap();
    let instance = file.make_subgraph(&set([6, 8])).unwrap();
    assert!(file.enter(instance));
    let sockets = |id| {
        let node = file.doc().node(id).unwrap();
        let all = node.inputs.iter().chain(&node.outputs);
        all.map(|slot| (slot.name.clone(), slot.ty.clone())).collect::<Vec<_>>()
    };
    assert_eq!(sockets(INPUTS), [("model".to_owned(), "MODEL".to_owned())]);
    assert!(sockets(OUTPUTS).is_empty());
    assert_eq!(file.doc().links.len(), 2);
    assert_eq!(file.subgraph_name(6), Some("Outer"));
}

#[test]
fn an_instance_shows_the_widgets_of_inner_nodes_and_has_their_values() {
    let mut file = File::from_json(&nested()).unwrap();
    assert_eq!(shown(&file, 6), [shows("5:seed", "seed", 7), shows("5:steps", "steps", 12)]);
    assert_eq!(shown(&file, 7), [shows("5:seed", "seed", 99), shows("5:steps", "steps", 12)]);
    assert_eq!(inputs(&file, "6:5:3")["seed"], 7);
    assert_eq!(inputs(&file, "7:5:3")["seed"], 99);
    assert!(file.set_widget(7, "5:seed", json!(100), &contract()));
    assert!(file.set_widget(7, "5:steps", json!(30), &contract()));
    let json = file.to_json();
    assert_eq!(json["nodes"][2]["widgets_values"], json!([100, 30]), "its own");
    assert_eq!(json["definitions"], nested()["definitions"], "others have them too");
    assert_eq!(shown(&file, 7), [shows("5:seed", "seed", 100), shows("5:steps", "steps", 30)]);
    let sent = inputs(&file, "7:5:3");
    assert_eq!((&sent["seed"], &sent["steps"]), (&json!(100), &json!(30)));
    // Alone it changes its nodes, as old front ends do.
    file.doc_mut().remove(&set([6]));
    assert!(file.set_widget(7, "5:seed", json!(101), &contract()));
    let json = file.to_json();
    assert_eq!(json["nodes"][1]["widgets_values"], json!([101, 30]));
    assert_eq!(json["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"][0], 101);
    assert!(!file.set_widget(7, "5:nobody", json!(1), &contract()));
}

#[test]
fn controls_of_promoted_values_are_those_of_the_inner_nodes() {
    let mut file = File::from_json(&nested()).unwrap();
    let seed = |file: &File, id| file.widgets(id, &contract())[0].clone();
    assert_eq!(seed(&file, 7).control, Some(Control::Increment));
    file.after_queue(&contract());
    assert_eq!(seed(&file, 7).value, 100);
    assert!(file.set_control(7, "5:seed", Control::Fixed, &contract()));
    let before = file.to_json();
    assert_eq!(before["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"][1], "fixed");
    file.after_queue(&contract());
    assert_eq!(file.to_json(), before);
}

#[test]
fn a_widget_is_promoted_on_all_instances_and_demoted_again() {
    let json = nested();
    let mut file = File::from_json(&json).unwrap();
    file.enter(6);
    file.enter(5);
    assert!(file.is_promoted(3, "seed") && !file.is_input(3, "seed"));
    assert!(file.is_input(3, "steps") && !file.is_promoted(3, "steps"));
    assert!(!file.is_promoted(3, "cfg") && !file.is_input(3, "cfg"));
    file.promote(3, "cfg", true);
    assert!(file.is_promoted(3, "cfg"));
    file.leave();
    assert!(!file.is_promoted(5, "3:cfg"));
    file.promote(5, "3:cfg", true);
    file.leave();
    assert_eq!(shown(&file, 6)[2], ("5:cfg".into(), "cfg".into(), json!(8.0)));
    assert!(file.set_widget(6, "5:cfg", json!(3.5), &contract()));
    assert_eq!(inputs(&file, "6:5:3")["cfg"], 3.5);
    file.set_widget(6, "5:cfg", json!(8.0), &contract());
    file.enter(6);
    file.promote(5, "3:cfg", false);
    file.enter(5);
    file.promote(3, "cfg", false);
    assert_eq!(file.to_json(), json);
}

#[test]
fn instances_follow_the_inputs_of_their_subgraph() {
    let mut history = History::of(File::from_json(&nested()).unwrap());
    history.enter(6);
    history.enter(5);
    let sent = inputs(history.file(), "6:5:3");
    let five = |history: &History| {
        history.file().to_json()["definitions"]["subgraphs"][1]["nodes"][0].clone()
    };
    // Its cfg becomes an input, which is a widget of the instance.
    history.edit("Connect", |doc| {
        let cfg = doc.widget_input(3, "cfg", &contract()).unwrap();
        doc.connect((INPUTS, 2), (3, cfg)).unwrap();
    });
    let node = five(&history);
    assert_eq!(
        node["inputs"][2],
        json!({"name": "cfg", "type": "FLOAT", "widget": {"name": "cfg"}, "link": null})
    );
    assert_eq!(node["properties"]["proxyWidgets"][3], json!(["-1", "cfg"]));
    assert_eq!(inputs(history.file(), "6:5:3"), sent, "the value is still the inner node's");
    // In another order, under another name.
    history.edit("Move", |doc| doc.move_border(INPUTS, 0, 2));
    history.edit("Rename", |doc| doc.rename_border(INPUTS, 1, "strength"));
    let names: Vec<_> =
        five(&history)["inputs"].as_array().unwrap().iter().map(|i| i["name"].clone()).collect();
    assert_eq!(names, ["steps", "cfg", "model"]);
    assert_eq!(five(&history)["inputs"][1]["label"], "strength");
    assert_eq!(inputs(history.file(), "6:5:3"), sent, "links and values went along");
    // And without one.
    history.edit("Remove", |doc| doc.remove_border(INPUTS, 2));
    assert_eq!(five(&history)["inputs"].as_array().unwrap().len(), 2);
    assert!(inputs(history.file(), "6:5:3")["model"].is_null());
    history.edit("Remove", |doc| doc.remove_border(OUTPUTS, 0));
    assert!(five(&history)["outputs"].as_array().is_none_or(Vec::is_empty));
    assert!(inputs(history.file(), "8")["samples"].is_null());
    while history.undo().is_some() {}
    assert_eq!(history.file().to_json(), nested());
}

#[test]
fn undoing_shows_the_level_and_redoing_too() {
    let mut history = History::of(File::from_json(&nested()).unwrap());
    history.edit("Move", |doc| doc.move_by(&set([6]), [1.0, 0.0]));
    history.enter(6);
    history.edit("Move", |doc| doc.move_by(&set([5]), [1.0, 0.0]));
    history.leave();
    let level = |history: &History| history.file().prefix();
    assert_eq!((history.undo().is_some(), level(&history)), (true, "6:".into()));
    assert_eq!((history.undo().is_some(), level(&history)), (true, String::new()));
    assert_eq!((history.redo().is_some(), level(&history)), (true, String::new()));
    assert_eq!((history.redo().is_some(), level(&history)), (true, "6:".into()));
}

#[test]
fn an_instance_that_is_muted_has_muted_nodes_and_others_do_not() {
    let mut file = File::from_json(&nested()).unwrap();
    let sent = |file: &File| {
        let ids = file.to_api(&contract()).unwrap().into_iter().map(|(id, _)| id);
        ids.collect::<Vec<_>>()
    };
    let all = sent(&file);
    file.toggle_mode(&set([6]), Mode::Bypassed);
    assert_eq!(sent(&file), ["1", "7:5:3", "8", "9"]);
    assert_eq!(inputs(&file, "7:5:3")["seed"], 99);
    file.toggle_mode(&set([6]), Mode::Bypassed);
    assert_eq!(sent(&file), all);
}

#[test]
fn subgraphs_that_hold_each_other_are_muted_and_shown_in_the_end() {
    let mut json = nested();
    let subgraphs = &mut json["definitions"]["subgraphs"];
    subgraphs[0]["nodes"][0]["type"] = json!("outer");
    subgraphs[0]["nodes"][0]["properties"] = json!({"proxyWidgets": [["5", "seed"]]});
    let mut file = File::from_json(&json).unwrap();
    file.toggle_mode(&set([6]), Mode::Muted);
    assert!(file.widgets(6, &contract()).is_empty());
    file.set_widget(6, "5:seed", json!(1), &contract());
    file.after_queue(&contract());
    assert!(file.to_api(&contract()).unwrap_err().to_string().contains("holds itself"));
}

#[test]
fn a_subgraph_that_cannot_be_read_is_kept_and_told() {
    let mut json = nested();
    json["definitions"]["subgraphs"][0]["nodes"][0]["id"] = json!({"no": "number"});
    let file = File::from_json(&json).unwrap();
    let (id, why) = file.unread().next().unwrap();
    assert_eq!(id, Some("inner"));
    assert!(why.contains("Sample") && why.contains("whole number"), "{why}");
    assert_eq!(file.to_json(), json);
    let mut history = History::of(file);
    assert!(history.enter(6));
    assert!(!history.enter(5), "a node that nobody knows");
    assert!(history.file().widgets(5, &contract()).iter().all(|w| w.spec.is_none()));
}

#[test]
fn what_instances_show_stays_when_its_node_moves_into_a_subgraph_and_out() {
    let mut file = File::from_json(&nested()).unwrap();
    let before = shown(&file, 7);
    let sent = without_ids(&file.to_api(&contract()).unwrap());
    file.enter(7);
    let new = file.make_subgraph(&set([5])).unwrap();
    file.leave();
    let values =
        |all: Vec<(String, String, Json)>| all.into_iter().map(|w| w.2).collect::<Vec<_>>();
    assert_eq!(values(shown(&file, 7)), values(before));
    assert_eq!(without_ids(&file.to_api(&contract()).unwrap()), sent);
    file.enter(7);
    file.unpack(new, &contract()).unwrap();
    file.leave();
    assert_eq!(values(shown(&file, 7)), [99, 12]);
    // Once more, so that both widgets are those of the sampler, one of them an input before.
    file.enter(7);
    file.unpack(5, &contract()).unwrap();
    file.leave();
    let shown_by = |file: &File| shown(file, 7).into_iter().map(|w| w.0).collect::<Vec<_>>();
    assert_eq!(shown_by(&file), ["3:seed", "3:steps"]);
    assert_eq!(values(shown(&file, 7)), [99, 12]);
    assert_eq!(without_ids(&file.to_api(&contract()).unwrap()), sent);
    let unpacked = file.unpack(7, &contract()).unwrap();
    assert_eq!(unpacked, set([3]));
    assert_eq!(without_ids(&file.to_api(&contract()).unwrap()), sent);
}

#[test]
fn a_primitive_before_a_subgraph_has_the_widget_that_it_feeds() {
    let mut file = File::from_json(&nested()).unwrap();
    file.enter(6);
    let doc = file.doc_mut();
    let primitive = doc.create_own("PrimitiveNode", [0.0, 0.0]).unwrap();
    doc.connect((primitive, 0), (5, 1)).unwrap();
    assert!(file.set_widget(primitive, "value", json!(40), &contract()));
    assert!(file.set_control(primitive, "value", Control::Decrement, &contract()));
    let shown = file.widgets(primitive, &contract());
    assert_eq!((shown.len(), &shown[0].name[..], &shown[0].value), (1, "value", &json!(40)));
    assert_eq!((shown[0].spec.as_ref().unwrap().name.as_str(), shown[0].linked), ("steps", false));
    assert_eq!(inputs(&file, "6:5:3")["steps"], 40);
    file.after_queue(&contract());
    assert_eq!(file.doc().node(primitive).unwrap().values, json!([39, "decrement"]));
    assert!(file.widgets(5, &contract())[0].linked);
}
