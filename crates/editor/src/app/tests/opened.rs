//! Files of others: shared workflows stand on the canvas as their makers left them; of those that are not as
//! they should be, what can be opened is whole, and can be worked with.

use crate::{
    actions::action, doc::tests::json::workflows, runs::tests::Played, shared::stage::Stage,
    templates,
};
use fastrand::Rng;
use graph::Json;

/// What stands in the place of something else.
const WRONG: &[&str] = &[
    "null",
    "-1",
    "1e300",
    "18446744073709551615",
    "\"\"",
    "\"Reroute\"",
    "\"PrimitiveNode\"",
    "[]",
    "{}",
    "4",
    "[[1, 0]]",
    "true",
    "-10",
    "\"*\"",
    "[1, 2, 3, 4, 5, 6]",
];

/// Replaces some part of it.
fn damage(json: &mut Json, rng: &mut Rng) {
    let parts: Vec<&mut Json> = match json {
        Json::Array(list) => list.iter_mut().collect(),
        Json::Object(map) => map.values_mut().collect(),
        _ => Vec::new(),
    };
    let part = (!parts.is_empty()).then(|| rng.usize(0..parts.len()));
    match part.filter(|_| rng.u8(0..6) > 0).and_then(|at| parts.into_iter().nth(at)) {
        Some(part) => damage(part, rng),
        None => *json = serde_json::from_str(WRONG[rng.usize(0..WRONG.len())]).unwrap(),
    }
}

/// What is done with whatever has been opened.
const DONE: &[&str] = &[
    "select-all",
    "arrange",
    "group",
    "duplicate",
    "collapse",
    "collapse",
    "mute",
    "make-subgraph",
    "enter-subgraph",
    "select-all",
    "delete",
    "leave-subgraph",
    "undo",
    "undo",
    "undo",
    "redo",
    "fit",
];

#[test]
fn what_can_be_opened_of_a_damaged_file_is_whole_and_can_be_worked_with() {
    let mut stage = Stage::new(Box::new(Played::default()));
    let mut rng = Rng::with_seed(5);
    let mut whole: Vec<Json> = templates::ALL.iter().map(|template| template.json()).collect();
    whole.extend((0..4).map(|_| super::monkey::subgraph()));
    let mut opened = 0;
    for _ in 0..300 {
        let mut file = whole[rng.usize(0..whole.len())].clone();
        for _ in 0..rng.u8(1..4) {
            damage(&mut file, &mut rng);
        }
        let Ok(tab) = stage.app.open_json("damaged", &file).map(|tab| tab.number) else { continue };
        opened += 1;
        stage.frame(Vec::new());
        for id in DONE {
            action(id).fire(&mut stage.app);
            stage.frame(Vec::new());
            stage.app.tab().history.file().check();
        }
        let file = stage.app.tab().history.file();
        // It may be no graph that runs: then that is told.
        let _ = file.to_api(&stage.app.catalog.contract);
        let again =
            crate::doc::File::from_json(&file.to_json()).expect("what is saved can be opened");
        again.check();
        stage.app.dialog = None;
        stage.app.drop_tab(tab);
    }
    assert!(opened > 100, "only {opened} could be opened");
}

#[test]
fn every_node_of_a_shared_workflow_stands_in_its_place() {
    let mut stage = Stage::new(Box::new(Played::default()));
    let paths = workflows("graphs").into_iter().chain(workflows("../shared/corpus/pairs"));
    for path in paths {
        let name = path.display().to_string();
        let json: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if !json["nodes"].is_array() {
            continue;
        }
        let number = stage.app.open_json(&name, &json).unwrap().number;
        stage.frame(Vec::new());
        stage.frame(Vec::new());
        let tab = stage.app.tab();
        assert_eq!(
            tab.history.doc().nodes().len(),
            json["nodes"].as_array().unwrap().len(),
            "{name}"
        );
        for node in tab.history.doc().nodes() {
            let [left, top, right, _] = node.bounds();
            // A folded node is only as wide as its title.
            let title = egui::pos2(
                if node.collapsed { left + 30.0 } else { (left + right) / 2.0 },
                top + 4.0,
            );
            let found = tab.canvas.node_at(tab.canvas.view.to_screen(title));
            let covers = |id: &crate::doc::Id| {
                let [l, t, r, b] = tab.history.doc().node(*id).unwrap().bounds();
                egui::Rect::from_min_max(egui::pos2(l, t), egui::pos2(r, b))
                    .expand(8.0)
                    .contains(title)
            };
            assert!(found.as_ref().is_some_and(covers), "{name}: node {} is not there", node.id);
        }
        stage.app.drop_tab(number);
    }
}
