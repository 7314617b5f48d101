//! The window under the hands of a person, without a screen.

mod editing;
mod frames;
mod journeys;
mod monkey;
mod names;
mod opened;
mod subgraphs;

use super::*;
use crate::{
    doc::widgets,
    runs::tests::{Played, folders},
};
use egui::{Key, ViewportEvent, ViewportId};
use egui_kittest::{Harness, kittest::Queryable as _};
use graph::{Inputs, Node};
use serde_json::json;

/// Loads a picture.
#[derive(Inputs)]
#[expect(dead_code)]
struct LoadImage {
    #[widget(graph::widget::file("input").with("image_upload", true))]
    image: String,
    #[widget(graph::widget::seed())]
    seed: u64,
}

impl Node for LoadImage {
    const CATEGORY: &str = "test";
    type Output = i64;
    fn run(self, _: &mut graph::Context) -> graph::Result<i64> {
        unreachable!("nothing runs here")
    }
}

/// A window that shows this graph; what it keeps goes with the folder.
pub(crate) fn window(graph: &Json) -> (Harness<'static, App>, tempfile::TempDir) {
    let state = tempfile::tempdir().unwrap();
    let mut harness = window_on(state.path());
    harness.state_mut().open_json("test", graph).unwrap();
    harness.run_steps(2);
    (harness, state)
}

/// A window as it starts, with what is kept in a folder.
pub(crate) fn window_on(state_dir: &Path) -> Harness<'static, App> {
    window_of(setup_on(state_dir))
}

pub(crate) fn setup_on(state_dir: &Path) -> Setup {
    Setup {
        types: Vec::leak(vec![NodeType::of::<LoadImage>()]),
        host: folders(),
        services: Services::default(),
        device: "nothing".into(),
        folders: Vec::new(),
        weights: Box::new(|path| {
            let home = Some(path.with_file_name("checkpoints"));
            Ok(crate::Weights { about: "a network".into(), home })
        }),
        previews: PreviewMethods::default(),
        state_dir: state_dir.to_owned(),
        open: None,
    }
}

pub(crate) fn window_of(setup: Setup) -> Harness<'static, App> {
    Harness::builder()
        .with_size([1200.0, 800.0])
        .build_eframe(|cc| App::new(setup, Box::new(Played::default()), &cc.egui_ctx))
}

pub(crate) fn empty() -> Json {
    json!({"nodes": [], "links": []})
}

/// A chain of nodes that nobody knows.
fn chain(count: usize) -> Json {
    let nodes = (1..=count).map(|i| {
        json!({"id": i, "type": "Link", "pos": [i % 40 * 240, i / 40 * 160], "size": [200, 100], "mode": 0,
            "inputs": [{"name": "x", "type": "X", "link": (i > 1).then_some(i - 1)}],
            "outputs": [{"name": "x", "type": "X", "links": (i < count).then_some([i])}]})
    });
    let links = (1..count).map(|i| json!([i, i, 0, i + 1, 0, "X"]));
    json!({"nodes": nodes.collect::<Vec<_>>(), "links": links.collect::<Vec<_>>()})
}

fn nodes(harness: &Harness<App>) -> usize {
    harness.state().tab().history.doc().nodes().len()
}

#[test]
fn a_node_is_found_by_a_few_letters_and_added() {
    let (mut harness, _state) = window(&empty());
    harness.state_mut().ask_node();
    harness.run_steps(2);
    harness.get_by_label("Which node?");
    harness.event(egui::Event::Text("loim".into()));
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    harness.run_steps(2);
    assert_eq!(nodes(&harness), 1);
    assert!(harness.state().dialog.is_none());
    harness.state_mut().undo();
    assert_eq!(nodes(&harness), 0);
}

#[test]
fn a_picture_goes_into_the_selected_loader_or_a_new_one() {
    let (mut harness, _state) = window(&empty());
    let loaded = |app: &App, id| {
        let all = widgets(app.tab().history.doc(), id, &app.catalog.contract);
        all.into_iter().find(|w| w.name == "image").unwrap().value
    };
    let app = harness.state_mut();
    app.load_picture("a.png", None);
    let id = app.tab().history.doc().nodes().next().unwrap().id;
    assert_eq!(loaded(app, id), "a.png");
    app.tab_mut().canvas.selection = BTreeSet::from([id]);
    app.load_picture("b.png", None);
    assert_eq!(loaded(app, id), "b.png");
    assert_eq!(nodes(&harness), 1);
}

#[test]
fn each_run_of_a_batch_has_a_seed_of_its_own() {
    let (mut harness, _state) = window(&empty());
    let app = harness.state_mut();
    app.load_picture("a.png", None);
    app.runs.batch = 3;
    app.queue(false, &[]);
    let mut seeds: Vec<_> = app.runs.all().iter().map(crate::runs::Run::seed).collect();
    seeds.dedup();
    assert_eq!(seeds.len(), 3, "{seeds:?}");
}

#[test]
fn a_window_whose_unsaved_work_cannot_be_kept_does_not_close_unasked() {
    let (mut harness, state) = window(&empty());
    let close = |harness: &mut Harness<App>| {
        let root = harness.input_mut().viewports.get_mut(&ViewportId::ROOT).unwrap();
        root.events.push(ViewportEvent::Close);
        harness.step();
        let commands = &harness.output().viewport_output[&ViewportId::ROOT].commands;
        commands.contains(&egui::ViewportCommand::CancelClose)
    };
    assert!(!close(&mut harness), "nothing would be lost");
    harness.state_mut().add_note();
    harness.step();
    assert!(!close(&mut harness), "the next start brings it back");
    std::fs::remove_dir_all(state.path()).unwrap();
    std::fs::write(state.path(), "in the way").unwrap();
    harness.state_mut().add_note();
    harness.step();
    assert!(close(&mut harness));
    harness.step();
    harness.get_by_label("Leave").click();
    harness.run_steps(2);
    assert!(!close(&mut harness), "a person has said so");
}

#[test]
fn a_tab_is_modified_until_its_changes_are_undone() {
    let (mut harness, _state) = window(&empty());
    assert!(!harness.state().tab().modified());
    harness.state_mut().add_note();
    assert!(harness.state().tab().modified());
    harness.state_mut().undo();
    assert!(!harness.state().tab().modified());
}
