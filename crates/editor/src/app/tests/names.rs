//! Every screen as a screen reader and a keyboard find it.

use crate::{
    App,
    actions::{ACTIONS, Menu, action},
    dialog::Dialog,
    pictures::Picture,
    runs::tests::{Played, order, ran},
    session::Event as Told,
    shared::stage::setup,
    side::Panel,
    templates,
};
use egui::{
    Key, Modifiers,
    accesskit::{Action, Role},
    vec2,
};
use egui_kittest::{
    Harness,
    kittest::{AccessKitNode, NodeT as _},
};
use engine::{End, Failure};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A screen, the way to it, and some words on it.
type Screen = (&'static str, fn(&mut App), &'static str);

const SCREENS: &[Screen] = &[
    ("the first screen", |_| (), "KSampler: steps"),
    ("an empty graph", App::new_tab, "Tab Untitled"),
    ("queue and history", |app| side(app, Panel::Queue), "Clear the queue"),
    ("errors", |app| side(app, Panel::Errors), "out of memory"),
    ("help", |app| side(app, Panel::Help), "Select a node"),
    ("command palette", |app| action("commands").fire(app), "What do you want to do?"),
    ("node palette", |app| action("add-node").fire(app), "Which node?"),
    ("templates", |app| action("templates").fire(app), "Outpaint"),
    ("settings", |app| action("settings").fire(app), "Ctrl"),
    ("a path", |app| action("save-path").fire(app), "Path of the file"),
    (
        "a question",
        |app| {
            app.add_note();
            action("close").fire(app);
        },
        "Close without saving",
    ),
    (
        "what is missing",
        |app| {
            let path = app.setup.state_dir.join("lacks.json");
            std::fs::write(&path, lacking().to_string()).unwrap();
            app.open_path(&path);
        },
        "FancyNode",
    ),
    (
        "widgets with links",
        |app| {
            app.open_json("fed", &fed()).unwrap();
        },
        "Empty Latent Image: height, from How high",
    ),
    ("weights", |app| app.open_path("a.safetensors".as_ref()), "a checkpoint"),
    ("viewer", |app| app.view(vec![Picture::input("house.png")], 0), "Edit the mask"),
    (
        "mask editor",
        |app| {
            let inpaint = templates::ALL.iter().find(|t| t.title == "Inpaint").unwrap();
            app.open_template(inpaint);
            app.edit_mask(8);
        },
        "Use this mask",
    ),
];

fn side(app: &mut App, panel: Panel) {
    (app.settings.side, app.settings.panel) = (true, panel);
}

/// Needs a class of node and a file that are not here.
fn lacking() -> graph::Json {
    json!({"nodes": [
        {"id": 1, "type": "FancyNode", "pos": [0, 0], "size": [200, 100]},
        {"id": 2, "type": "CheckpointLoaderSimple", "pos": [0, 200], "size": [300, 100],
            "widgets_values": ["weft-tiny.safetensor"]},
    ], "links": []})
}

/// Two widgets of a node have their values from two others.
fn fed() -> graph::Json {
    let number = |id: u32, title: &str| {
        json!({"id": id, "type": "PrimitiveInt", "title": title, "pos": [0, 200 * id],
            "size": [200, 100], "widgets_values": [128],
            "outputs": [{"name": "INT", "type": "INT", "links": [id]}]})
    };
    let size = |name: &str, link: u32| json!({"name": name, "type": "INT", "widget": {"name": name}, "link": link});
    json!({"nodes": [number(1, "How wide"), number(2, "How high"), {"id": 3, "type": "EmptyLatentImage",
        "pos": [400, 0], "size": [300, 200], "inputs": [size("width", 1), size("height", 2)],
        "widgets_values": [64, 64, 1]}],
        "links": [[1, 1, 0, 3, 0, "INT"], [2, 2, 0, 3, 1, "INT"]]})
}

/// A window with a run that is over, one that failed, one that runs and one that waits.
fn window((what, open, words): &Screen) -> (Harness<'static, App>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (setup, session) = (setup(&folder), Played::default());
    let played = Box::new(session.clone());
    let builder = Harness::builder().with_size(vec2(1600.0, 1000.0)).with_max_steps(40);
    let mut harness = builder.build_eframe(|cc| App::new(setup, played, &cc.egui_ctx));
    let app = harness.state_mut();
    for _ in 0..4 {
        app.runs
            .submit(order(json!({"5": {"class_type": "KSampler", "inputs": {"seed": 1}}})), false);
    }
    let picture = json!({"images": [{"filename": "house.png", "subfolder": "", "type": "input"}]});
    let failure = Failure {
        id: "5".into(),
        class: "KSampler".into(),
        title: "KSampler".into(),
        inputs: vec![],
        chain: vec!["out of memory".into()],
    };
    session.tell(Told::Started(1));
    session.tell(ran(1, "5", &picture));
    session.tell(Told::Ended(1, End::Completed));
    session.tell(Told::Started(2));
    session.tell(Told::Run(2, engine::RunEvent::Failed(failure.clone())));
    session.tell(Told::Ended(2, End::Failed(failure)));
    // A new start clears the problems of the last.
    if *what != "errors" {
        session.tell(Told::Started(3));
    }
    open(app);
    // Pictures are read on a thread.
    for _ in 0..20 {
        harness.step();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Widgets on nodes are as large as their graph is: at its own size they are measured.
    let canvas = &mut harness.state_mut().tab_mut().canvas;
    canvas.zoom_by(100);
    canvas.zoom_by(-8);
    harness.run_ok();
    let says = |node: &AccessKitNode| {
        [node.label(), node.value()].iter().flatten().any(|t| t.contains(words))
    };
    assert!(!all(&harness, says).is_empty(), "{what} does not say {words:?}");
    (harness, folder)
}

fn can(node: &AccessKitNode, action: Action) -> bool {
    node.data().supports_action(action)
}

/// What a person is told of a widget.
fn name(node: &AccessKitNode) -> Option<String> {
    let hint = || node.data().placeholder().map(str::to_owned);
    node.label().or_else(hint).filter(|name| !name.trim().is_empty())
}

fn told(node: &AccessKitNode) -> String {
    format!("{:?} {:?} at {:?}", node.role(), name(node), node.raw_bounds())
}

/// What is seen of those widgets, by their ids.
fn all(harness: &Harness<App>, what: impl Fn(&AccessKitNode) -> bool) -> BTreeMap<String, String> {
    let nodes = harness.root().children_recursive().map(|node| node.accesskit_node());
    let found = nodes.filter(|node| !node.is_hidden() && what(node));
    found.map(|node| (format!("{:?}", node.id()), told(&node))).collect()
}

/// Edges of panels and scroll bars are drawn thin and grabbed wide; what they do, wheel and keys do too. Text
/// that can be selected is no button.
const EGUIS_OWN: &[Role] = &[Role::Splitter, Role::ScrollBar, Role::Label];

#[test]
fn everything_that_can_be_focused_has_a_name_and_everything_clicked_is_large_enough() {
    const SMALLEST: f64 = 16.0;
    let mut faults = Vec::new();
    for screen in SCREENS {
        let (harness, _folder) = window(screen);
        let nameless = all(&harness, |node| can(node, Action::Focus) && name(node).is_none());
        let small = all(&harness, |node| {
            let size = node.raw_bounds().map_or(0.0, |r| r.width().min(r.height()));
            can(node, Action::Click) && size < SMALLEST && !EGUIS_OWN.contains(&node.role())
        });
        assert!(!all(&harness, |node| can(node, Action::Focus)).is_empty(), "{}", screen.0);
        faults
            .extend(nameless.into_values().map(|fault| format!("{}: no name: {fault}", screen.0)));
        faults.extend(small.into_values().map(|fault| format!("{}: small: {fault}", screen.0)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Lists below a field that keeps the keyboard are walked with the arrows.
const ARROWS: &[&str] = &["command palette", "node palette", "templates"];

#[test]
fn tab_reaches_everything_that_is_seen() {
    let mut faults = Vec::new();
    for screen in SCREENS.iter().filter(|(name, ..)| !ARROWS.contains(name)) {
        let (mut harness, _folder) = window(screen);
        let dialog = harness.state().dialog.is_some();
        let mut reached: BTreeSet<String> = BTreeSet::new();
        let mut stale = 0;
        while stale < 8 {
            harness.key_press_modifiers(Modifiers::NONE, Key::Tab);
            harness.step();
            let focused = all(&harness, |node| node.is_focused());
            let new = focused.into_keys().filter(|id| reached.insert(id.clone())).count();
            stale = if new == 0 { stale + 1 } else { 0 };
        }
        // Behind a dialog nothing can be reached, and should not.
        let behind = |node: &AccessKitNode| dialog && !within_dialog(node);
        let wanted = |node: &AccessKitNode| {
            can(node, Action::Focus) && !node.is_disabled() && on_screen(node) && !behind(node)
        };
        let missed = all(&harness, wanted).into_iter().filter(|(id, _)| !reached.contains(id));
        faults.extend(missed.map(|(_, node)| format!("{}: {node}", screen.0)));
    }
    assert!(faults.is_empty(), "not reached:\n{}", faults.join("\n"));
}

fn on_screen(node: &AccessKitNode) -> bool {
    node.raw_bounds().is_some_and(|r| r.x1 > 0.0 && r.y1 > 0.0 && r.x0 < 1600.0 && r.y0 < 1000.0)
}

fn within_dialog(node: &AccessKitNode) -> bool {
    let mut outer = node.parent();
    while let Some(node) = outer {
        if matches!(node.role(), Role::Dialog | Role::AlertDialog) {
            return true;
        }
        outer = node.parent();
    }
    false
}

#[test]
fn every_action_is_done_by_keys_alone() {
    let (mut harness, _folder) = window(&SCREENS[0]);
    for wanted in ACTIONS {
        harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::P);
        harness.step();
        assert!(matches!(harness.state().dialog, Some(Dialog::Commands(_))), "{}", wanted.id);
        // Only lines in sight are there: a few letters bring it up.
        harness.event(egui::Event::Text(wanted.title.into()));
        harness.step();
        harness.step();
        let found = all(&harness, |node| node.label().as_deref() == Some(wanted.title));
        assert!(!found.is_empty(), "the palette lacks {}", wanted.title);
        harness.key_press(Key::Escape);
        harness.step();
        harness.step();
    }
    for menu in Menu::ALL {
        assert!(menu.actions().count() > 0, "{menu:?} is empty");
    }
    let nodes = |harness: &Harness<App>| harness.state().tab().history.doc().nodes().len();
    let before = nodes(&harness);
    for (title, after) in [("Add a note", before + 1), ("Undo", before), ("Redo", before + 1)] {
        harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::P);
        harness.step();
        harness.event(egui::Event::Text(title.into()));
        harness.step();
        harness.key_press(Key::Enter);
        harness.run_steps(2);
        assert_eq!(nodes(&harness), after, "{title}");
        assert!(harness.state().dialog.is_none(), "{title} closes the palette");
    }
}
