//! What a frame costs, and that none is drawn without a cause. `cargo run -p editor --example canvas_bench`
//! prints the numbers.

use crate::{
    actions::action,
    runs::{
        self,
        tests::{Played, order, ran},
    },
    session::Event as Told,
    shared::{
        graph::large,
        stage::{Cost, Stage},
    },
    side::Panel,
};
use egui::{PointerButton, pos2};
use engine::{End, RunEvent};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// A window with a large graph, all of it in view.
fn stage(nodes: usize) -> Stage {
    let mut stage = Stage::new(Box::new(Played::default()));
    let json = large(&stage.app.catalog, nodes, 2 * nodes, 1);
    stage.app.open_json("large", &json).unwrap();
    stage.settle();
    stage
}

fn median(mut costs: Vec<Cost>) -> Duration {
    costs.sort_by_key(|cost| cost.sum());
    costs[costs.len() / 2].sum()
}

/// Pans, with less than `most` for a frame. Programs beside this one cost caches and pages, so that the cheapest
/// of many tries counts.
#[track_caller]
fn pans_within(stage: &mut Stage, frames: usize, most: Duration) {
    let mut cheapest = Duration::MAX;
    for _ in 0..20 {
        let costs = stage.drag(pos2(700.0, 500.0), PointerButton::Middle, frames);
        cheapest = cheapest.min(median(costs));
        if cheapest < most {
            return;
        }
    }
    panic!("{cheapest:?} for a frame, wanted {most:?}");
}

/// Zooms to 1 in the middle of the graph.
fn near(stage: &mut Stage) {
    let canvas = &mut stage.app.tab_mut().canvas;
    canvas.zoom_by(100);
    canvas.zoom_by(-8);
    assert!((canvas.view.zoom() - 1.0).abs() < 1e-3);
    stage.settle();
}

#[test]
fn panning_a_thousand_nodes_takes_less_than_8_ms() {
    let mut stage = stage(1000);
    let doc = stage.app.tab().history.doc();
    assert_eq!((doc.nodes().len(), doc.links.len()), (1000, 2000));
    let most = Duration::from_millis(8);
    pans_within(&mut stage, 40, most);
    near(&mut stage);
    pans_within(&mut stage, 40, most);
}

/// With all in view; a dozen in view cost less than half of that, however many there are besides.
#[test]
fn ten_thousand_nodes_stay_usable() {
    let mut stage = stage(10_000);
    pans_within(&mut stage, 10, Duration::from_millis(33));
    near(&mut stage);
    pans_within(&mut stage, 10, Duration::from_millis(16));
}

/// What a run may ask for: fifteen frames a second, and the clock's grain.
const SOON: Duration = Duration::from_millis(60);
/// A cursor in a field of text blinks; nothing else moves.
const BLINK: Duration = Duration::from_millis(300);

fn played() -> (Stage, Played) {
    let session = Played::default();
    let mut stage = Stage::new(Box::new(session.clone()));
    stage.settle();
    (stage, session)
}

#[test]
fn nothing_is_drawn_again_without_a_cause() {
    let (mut stage, session) = played();
    assert_eq!(stage.fresh, Duration::MAX, "the first screen");
    for panel in [Panel::Queue, Panel::Errors, Panel::Help] {
        stage.app.settings.side = true;
        stage.app.settings.panel = panel;
        stage.settle();
        assert_eq!(stage.fresh, Duration::MAX, "{panel:?}");
    }
    stage.app.settings.panel = Panel::Queue;
    for _ in 0..3 {
        stage.app.runs.submit(order(json!({"1": {}})), false);
    }
    stage.settle();
    assert_eq!(stage.fresh, Duration::MAX, "a queue that waits");

    let path = stage.app.setup.host.folder("output").unwrap().join("a.png");
    image::RgbImage::new(300, 200).save(path).unwrap();
    let picture = json!({"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]});
    session.tell(Told::Started(1));
    session.tell(ran(1, "1", &picture));
    session.tell(Told::Ended(1, End::Completed));
    let shown = |stage: &Stage| stage.app.runs.node(1).is_some_and(|node| !node.images.is_empty());
    for _ in 0..500 {
        stage.frame(Vec::new());
        if shown(&stage) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    stage.settle();
    assert!(shown(&stage));
    assert_eq!(stage.fresh, Duration::MAX, "pictures on a node and in the history");
}

#[test]
fn dialogs_only_blink() {
    for id in ["commands", "add-node", "templates", "settings", "open-path"] {
        let (mut stage, _) = played();
        action(id).fire(&mut stage.app);
        stage.settle();
        assert!(stage.fresh > BLINK, "{id}: {:?}", stage.fresh);
    }
}

#[test]
fn a_run_is_drawn_at_most_fifteen_times_a_second() {
    let (mut stage, session) = played();
    stage.app.settings.side = true;
    stage.app.runs.submit(order(json!({"5": {}})), false);
    session.tell(Told::Started(1));
    session.tell(Told::Run(1, RunEvent::Started { id: "5".into(), index: 0, total: 1 }));
    stage.settle();
    for done in 0..5 {
        let id = || "5".to_owned();
        let rgb = Arc::from([done as u8; 12].as_slice());
        session.tell(Told::Run(1, RunEvent::Step { id: id(), done, total: 5 }));
        session.tell(Told::Run(1, RunEvent::Preview { id: id(), width: 2, height: 2, rgb }));
        stage.frame(Vec::new());
        stage.frame(Vec::new());
        assert!(stage.fresh >= SOON, "after step {done}: {:?}", stage.fresh);
    }
}

#[test]
fn however_much_happens_the_window_is_woken_for_a_frame_of_its_own() {
    let ctx = egui::Context::default();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let list = asked.clone();
    ctx.set_request_repaint_callback(move |info| list.lock().unwrap().push(info.delay));
    let wake = runs::wake(&ctx);
    (0..1000).for_each(|_| wake());
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|delay| *delay >= SOON), "{asked:?}");
}
