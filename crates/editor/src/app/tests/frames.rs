//! What a frame costs, and that none is drawn without a cause. `cargo run -p editor --example canvas_bench`
//! prints the numbers.

use crate::{
    runs::{Order, tests::Played},
    session::Event as Told,
    shared::{
        graph::large,
        stage::{Cost, Stage, Still},
    },
};
use egui::{PointerButton, pos2};
use engine::{End, RunEvent};
use serde_json::json;
use std::time::Duration;

/// A window with a large graph, all of it in view.
fn stage(nodes: usize) -> Stage {
    let mut stage = Stage::new(Box::new(Still));
    let json = large(&stage.app.catalog, nodes, 2 * nodes, 1);
    stage.app.open_json("large", &json).unwrap();
    stage.settle();
    stage
}

fn median(mut costs: Vec<Cost>) -> Duration {
    costs.sort_by_key(|cost| cost.sum());
    costs[costs.len() / 2].sum()
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
    let far = median(stage.drag(pos2(700.0, 500.0), PointerButton::Middle, 40));
    near(&mut stage);
    let near = median(stage.drag(pos2(700.0, 500.0), PointerButton::Middle, 40));
    let most = Duration::from_millis(8);
    assert!(far < most && near < most, "all in view: {far:?}, a dozen: {near:?}");
}

#[test]
fn ten_thousand_nodes_stay_usable() {
    let mut stage = stage(10_000);
    let far = median(stage.drag(pos2(700.0, 500.0), PointerButton::Middle, 10));
    near(&mut stage);
    let near = median(stage.drag(pos2(700.0, 500.0), PointerButton::Middle, 10));
    let most = Duration::from_millis(33);
    assert!(far < most && near < most, "all in view: {far:?}, a dozen: {near:?}");
}
