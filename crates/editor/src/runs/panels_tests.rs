//! The panels as a person meets them. With `WEFT_LOOK=DIR` their pictures are written there.

use super::tests::{Played, folders, order, ran, until};
use super::*;
use crate::{history_panel, session::Event, theme::Theme, viewer::Viewer};
use egui_kittest::{Harness, kittest::Queryable};
use engine::{Failure, NodeErrors, NodeProblems};
use serde_json::json;

struct Shown {
    runs: Runs,
    viewer: Option<Viewer>,
    events: Vec<history_panel::Event>,
}

/// One run done, one failed, one running, three waiting.
fn shown(ctx: &Context) -> Shown {
    let session = Played::default();
    let mut runs = Runs::new(Box::new(session.clone()), folders(), ctx);
    runs.look(1, &[]);
    let path = runs.host.folder("output").unwrap().join("a.png");
    image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, 160]))
        .save(path)
        .unwrap();
    let graph = || {
        json!({
            "1": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
            "3": {"class_type": "KSampler", "inputs": {"seed": 8_412_735, "model": ["1", 0]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
        })
    };
    for title in
        ["Text to image", "Upscale", "Text to image", "Inpaint a hat", "Text to image", "Flux"]
    {
        runs.submit(Order { title: title.into(), ..order(graph()) }, false);
    }
    let picture = json!({"filename": "a.png", "subfolder": "", "type": "output"});
    session.tell(Event::Started(1));
    session.tell(Event::Run(1, RunEvent::Started { id: "3".into(), index: 0, total: 2 }));
    session.tell(ran(1, "9", &json!({"images": [picture, picture]})));
    session.tell(Event::Ended(1, End::Completed));
    let failure = Failure {
        id: "3".into(),
        class: "KSampler".into(),
        title: "KSampler".into(),
        inputs: vec![],
        chain: vec!["the device is out of memory: 3.2 GB asked for".into()],
    };
    session.tell(Event::Started(2));
    session.tell(Event::Run(2, RunEvent::Failed(failure.clone())));
    session.tell(Event::Ended(2, End::Failed(failure)));
    session.tell(Event::Started(3));
    session.tell(Event::Warned(3, warning()));
    session.tell(Event::Run(3, RunEvent::Cached { ids: vec!["1".into()] }));
    session.tell(Event::Run(3, RunEvent::Started { id: "3".into(), index: 0, total: 2 }));
    session.tell(Event::Run(3, RunEvent::Step { id: "3".into(), done: 7, total: 20 }));
    until(&mut runs, ctx, |runs| {
        runs.thumbnails.get(&runs.all()[0].pictures[0]).texture().is_some()
    });
    Shown { runs, viewer: None, events: Vec::new() }
}

fn warning() -> NodeErrors {
    let help = "`ckpt_name`: there is no file \"sd15.safetensors\" in `checkpoints` (searched \
                /home/me/models/checkpoints); did you mean \"sd15_fp16.safetensors\"?";
    let problem = engine::Problem {
        kind: "value_not_in_list",
        message: String::new(),
        details: String::new(),
        extra_info: json!({"input_name": "ckpt_name"}).as_object().unwrap().clone(),
        help: help.into(),
    };
    NodeErrors(vec![NodeProblems {
        id: "12:1".into(),
        class: "CheckpointLoaderSimple".into(),
        title: "Load Checkpoint".into(),
        problems: vec![problem],
        dependent_outputs: vec![],
    }])
}

fn harness(
    theme: Theme,
    draw: fn(&mut Shown, &mut egui::Ui, &Theme),
) -> Harness<'static, Option<Shown>> {
    let look = theme.clone();
    let ui = move |ui: &mut egui::Ui, state: &mut Option<Shown>| {
        let shown = state.get_or_insert_with(|| shown(ui.ctx()));
        egui::Frame::new().fill(theme.panel).inner_margin(8).show(ui, |ui| draw(shown, ui, &theme));
    };
    let mut harness = Harness::builder()
        .with_size(egui::vec2(360.0, 560.0))
        .with_pixels_per_point(2.0)
        .wgpu()
        .with_context_setup(move |ctx| {
            egui_material_icons::initialize(ctx);
            look.apply(ctx);
        })
        .build_ui_state(ui, None);
    harness.run_ok();
    harness
}

/// Writes what is seen, for a person to look at.
fn look(harness: &mut Harness<'static, Option<Shown>>, name: &str) {
    if let Some(dir) = std::env::var_os("WEFT_LOOK") {
        let picture = harness.render().unwrap();
        picture.save(std::path::Path::new(&dir).join(format!("{name}.png"))).unwrap();
    }
}

fn queue(shown: &mut Shown, ui: &mut egui::Ui, theme: &Theme) {
    shown.runs.queue_ui(ui, theme);
}

fn history(shown: &mut Shown, ui: &mut egui::Ui, theme: &Theme) {
    shown.events.extend(shown.runs.history_ui(ui, theme));
}

fn errors(shown: &mut Shown, ui: &mut egui::Ui, theme: &Theme) {
    shown.events.extend(shown.runs.errors_ui(ui, theme));
}

#[test]
fn the_queue_panel_reorders_cancels_and_clears() {
    let mut harness = harness(Theme::dark(), queue);
    look(&mut harness, "queue");
    let order = |harness: &Harness<Option<Shown>>| {
        let runs = &harness.state().as_ref().unwrap().runs;
        runs.waiting().iter().map(|run| run.number).collect::<Vec<_>>()
    };
    assert_eq!(order(&harness), [4, 5, 6]);
    harness.get_by_label("Later: Inpaint a hat 4").click();
    harness.run_ok();
    assert_eq!(order(&harness), [5, 4, 6]);
    harness.get_by_label("Cancel Flux 6").click();
    harness.run_ok();
    assert_eq!(order(&harness), [5, 4]);
    harness.get_by_label("Clear the queue").click();
    harness.run_ok();
    assert!(order(&harness).is_empty());
    harness.get_by_label_contains("Nodes of the last run").click();
    harness.run_ok();
    look(&mut harness, "queue_nodes");
    harness.get_by_label("reused");
}

#[test]
fn the_history_panel_shows_pictures_opens_graphs_and_forgets() {
    let mut harness = harness(Theme::dark(), history);
    look(&mut harness, "history");
    harness.get_by_label("Picture of run 1").click();
    harness.run_ok();
    harness.get_by_label("Open the graph of run 2").click();
    harness.run_ok();
    harness.get_by_label("Remove from the history: run 2").click();
    harness.run_ok();
    let shown = harness.state().as_ref().unwrap();
    assert!(shown.runs.get(2).is_none());
    let events = &shown.events;
    assert!(matches!(&events[0], history_panel::Event::View(pictures, 0) if pictures.len() == 2));
    assert!(matches!(&events[1], history_panel::Event::Open { title, prompt, .. }
        if title == "Upscale" && prompt.contains_key("3")));
}

#[test]
fn the_problems_panel_tells_in_words_and_leads_to_the_node() {
    let mut harness = harness(Theme::light(), errors);
    look(&mut harness, "errors");
    harness.get_by_label_contains("did you mean");
    harness.get_by_label("Show Load Checkpoint (12:1)").click();
    harness.run_ok();
    let events = &harness.state().as_ref().unwrap().events;
    let (node, input) = ("12:1".into(), Some("ckpt_name".into()));
    assert_eq!(events, &[history_panel::Event::Jump { tab: 1, node, input }]);
}

fn viewer(shown: &mut Shown, ui: &mut egui::Ui, theme: &Theme) {
    let runs = &shown.runs;
    let first = &runs.all()[0].pictures[0];
    let other = Picture { filename: "b.png".into(), ..first.clone() };
    let new = || Viewer::new(vec![first.clone(), other], 0, &[], runs);
    if let Some(event) = shown.viewer.get_or_insert_with(new).ui(ui, theme, runs) {
        assert_eq!(event, crate::viewer::Event::EditMask(first.clone()));
    }
}

#[test]
fn the_viewer_shows_compares_and_leads_to_the_mask_editor() {
    let mut harness = harness(Theme::dark(), viewer);
    harness.set_size(egui::vec2(900.0, 600.0));
    harness.run_ok();
    let host = harness.state().as_ref().unwrap().runs.host.clone();
    let path = host.folder("output").unwrap().join("b.png");
    image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([y as u8, 90, x as u8]))
        .save(path)
        .unwrap();
    harness.get_by_label("Compare with another picture (C)").click();
    for _ in 0..50 {
        harness.step();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.get_by_label_contains("1 of 2, 300 × 200");
    harness.get_by_label("Before and after");
    look(&mut harness, "viewer");
    harness.get_by_label("Edit the mask").click();
    harness.run_ok();
}
