//! Subgraphs and reroutes under the hands of a person.

use super::*;
use egui::{Event, Modifiers, PointerButton, Pos2, Vec2, accesskit::Role};

/// Three loaders, each of which feeds the next one's seed; nodes 1 and 2 are in a subgraph already, if so
/// wished.
fn loaders() -> Json {
    let loader = |id: usize| {
        let link = (id > 1).then_some(id - 1);
        json!({"id": id, "type": "LoadImage", "pos": [id * 340 - 200, 120], "size": [260, 120], "mode": 0,
            "inputs": [{"name": "image", "type": "COMBO", "widget": {"name": "image"}, "link": null},
                {"name": "seed", "type": "INT", "widget": {"name": "seed"}, "link": link}],
            "outputs": [{"name": "INT", "type": "INT", "links": (id < 3).then_some([id])}],
            "widgets_values": [format!("{id}.png"), "image", id, "fixed"]})
    };
    json!({"version": 0.4, "nodes": [loader(1), loader(2), loader(3)],
        "links": [[1, 1, 0, 2, 1, "INT"], [2, 2, 0, 3, 1, "INT"]]})
}

fn middle(harness: &Harness<App>, name: &str) -> Pos2 {
    harness.get_by_label(name).rect().center()
}

fn button(pos: Pos2, button: PointerButton, pressed: bool, modifiers: Modifiers) -> Event {
    Event::PointerButton { pos, button, pressed, modifiers }
}

fn press(harness: &mut Harness<App>, at: Pos2, which: PointerButton, modifiers: Modifiers) {
    harness.event(Event::ModifiersChanged(modifiers));
    harness.event(Event::PointerMoved(at));
    harness.step();
    harness.event(button(at, which, true, modifiers));
    harness.event(button(at, which, false, modifiers));
    harness.step();
    harness.event(Event::ModifiersChanged(Modifiers::NONE));
    harness.step();
}

/// Frames here are a quarter of a second apart.
fn double_click(harness: &mut Harness<App>, at: Pos2) {
    harness.ctx.options_mut(|options| options.input_options.max_double_click_delay = 2.0);
    harness.event(Event::PointerMoved(at));
    harness.step();
    for _ in 0..2 {
        harness.event(button(at, PointerButton::Primary, true, Modifiers::NONE));
        harness.event(button(at, PointerButton::Primary, false, Modifiers::NONE));
        harness.step();
    }
    harness.step();
}

fn drag(harness: &mut Harness<App>, from: Pos2, to: Pos2, modifiers: Modifiers) {
    harness.event(Event::ModifiersChanged(modifiers));
    harness.event(Event::PointerMoved(from));
    harness.step();
    harness.event(button(from, PointerButton::Primary, true, modifiers));
    harness.step();
    for part in [0.3, 0.7, 1.0] {
        harness.event(Event::PointerMoved(from + (to - from) * part));
        harness.step();
    }
    harness.event(button(to, PointerButton::Primary, false, modifiers));
    harness.event(Event::ModifiersChanged(Modifiers::NONE));
    harness.run_steps(2);
}

fn prefix(harness: &Harness<App>) -> String {
    harness.state().tab().history.file().prefix()
}

fn select(harness: &mut Harness<App>, ids: &[Id]) {
    harness.state_mut().tab_mut().canvas.selection = ids.iter().copied().collect();
    harness.step();
}

/// Makes a subgraph of nodes with the keys for it; its instance.
fn make(harness: &mut Harness<App>, ids: &[Id]) -> Id {
    select(harness, ids);
    harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    harness.run_steps(2);
    *harness.state().tab().canvas.selection.first().unwrap()
}

#[test]
fn a_subgraph_is_made_entered_and_left_by_keys_mouse_and_breadcrumb() {
    let (mut harness, _state) = window(&loaders());
    let made = make(&mut harness, &[2, 3]);
    assert_eq!(nodes(&harness), 2);
    let view = harness.state().tab().canvas.view.to_canvas(Pos2::ZERO);
    let title = harness.get_by_label("New subgraph").rect();
    let title = Pos2::new(title.center().x, title.top() + 8.0);
    double_click(&mut harness, title);
    assert_eq!(prefix(&harness), format!("{made}:"));
    harness.get_by_label("Inputs: seed (output)");
    // One further in, and back by the path.
    let inner = make(&mut harness, &[3]);
    actions::action("enter-subgraph").fire(harness.state_mut());
    harness.run_steps(3);
    assert_eq!(prefix(&harness), format!("{made}:{inner}:"));
    harness.get_by_label("Level New subgraph").click();
    harness.run_steps(2);
    assert_eq!(prefix(&harness), format!("{made}:"));
    harness.get_by_label("Level test").click();
    harness.run_steps(2);
    assert_eq!(prefix(&harness), "");
    assert!(harness.query_by_label("Level test").is_none());
    assert_eq!(harness.state().tab().canvas.view.to_canvas(Pos2::ZERO), view, "as it was left");
    actions::action("enter-subgraph").fire(harness.state_mut());
    harness.run_steps(2);
    harness.key_press(Key::Escape);
    harness.run_steps(2);
    assert_eq!(prefix(&harness), "");
    while harness.state().tab().history.undoes().is_some() {
        harness.state_mut().undo();
    }
    assert_eq!(harness.state().tab().json(), loaders());
}

#[test]
fn a_node_within_subgraphs_is_shown_by_its_path() {
    let (mut harness, _state) = window(&loaders());
    let made = make(&mut harness, &[2, 3]);
    harness.state_mut().go_to(&format!("{made}:3"));
    harness.run_steps(3);
    assert_eq!(prefix(&harness), format!("{made}:"));
    assert_eq!(harness.state().tab().canvas.selection, BTreeSet::from([3]));
    harness.state_mut().go_to("1");
    harness.run_steps(3);
    assert_eq!(
        (prefix(&harness), harness.state().tab().canvas.selection.first()),
        (String::new(), Some(&1))
    );
}

#[test]
fn the_open_subgraph_is_renamed_in_the_breadcrumb() {
    let (mut harness, _state) = window(&loaders());
    make(&mut harness, &[2, 3]);
    actions::action("enter-subgraph").fire(harness.state_mut());
    harness.run_steps(2);
    harness.get_by_label("Level New subgraph").click();
    harness.run_steps(2);
    harness.event(Event::Text(" of two".into()));
    harness.step();
    harness.key_press(Key::Enter);
    harness.run_steps(2);
    harness.get_by_label("Level New subgraph of two").hover();
    actions::action("leave-subgraph").fire(harness.state_mut());
    harness.run_steps(2);
    harness.get_by_label("New subgraph of two");
}

#[test]
fn a_widget_is_promoted_in_its_menu_and_edited_on_the_instance() {
    let (mut harness, _state) = window(&loaders());
    let made = make(&mut harness, &[1, 2]);
    actions::action("enter-subgraph").fire(harness.state_mut());
    harness.run_steps(3);
    let nodes: Vec<_> = harness.get_all_by_label("Load Image").map(|node| node.rect()).collect();
    let node = nodes.iter().min_by(|a, b| a.left().total_cmp(&b.left())).unwrap();
    let title = Pos2::new(node.center().x, node.top() + 8.0);
    press(&mut harness, title, PointerButton::Secondary, Modifiers::NONE);
    harness.run_steps(2);
    harness.get_by_label_contains("Show on the subgraph").click();
    harness.run_steps(3);
    harness.get_by_role_and_label(Role::Button, "seed").click();
    harness.run_steps(2);
    harness.state_mut().leave_subgraph();
    harness.run_steps(2);
    harness.get_by_label("New subgraph: seed: a new random one").click();
    harness.run_steps(2);
    let app = harness.state();
    let shown = app.tab().history.file().widgets(made, &app.catalog.contract);
    assert_eq!(shown.len(), 1);
    let sent = app.tab().history.file().to_api(&app.catalog.contract).unwrap();
    assert_eq!(sent[&format!("{made}:1")]["inputs"]["seed"], shown[0].value);
    assert_ne!(shown[0].value, json!(1));
    harness.state_mut().unpack_subgraphs();
    let app = harness.state();
    let sent = app.tab().history.file().to_api(&app.catalog.contract).unwrap();
    assert_eq!(sent["1"]["inputs"]["seed"], shown[0].value);
}

#[test]
fn a_link_to_the_free_place_of_the_border_makes_an_input_or_an_output() {
    let (mut harness, _state) = window(&loaders());
    let made = make(&mut harness, &[1, 2]);
    actions::action("enter-subgraph").fire(harness.state_mut());
    harness.run_steps(3);
    let first = |harness: &Harness<App>, name: &str| {
        let all = harness.get_all_by_label(name).map(|socket| socket.rect().center());
        all.reduce(|a, b| if a.x < b.x { a } else { b }).unwrap()
    };
    let (out, new) =
        (first(&harness, "Load Image: INT (output)"), middle(&harness, "Outputs: new (input)"));
    drag(&mut harness, out, new, Modifiers::NONE);
    harness.get_by_label("Outputs: INT_1 (input)");
    let (new, seed) =
        (middle(&harness, "Inputs: new (output)"), first(&harness, "Load Image: seed (input)"));
    drag(&mut harness, new, seed, Modifiers::NONE);
    // Its menu takes it away again.
    let input = middle(&harness, "Inputs: seed (output)");
    harness.state_mut().leave_subgraph();
    harness.run_steps(2);
    let node = |harness: &Harness<App>| {
        let node = harness.state().tab().history.doc().node(made).unwrap().clone();
        (node.inputs.len(), node.outputs.len())
    };
    assert_eq!(node(&harness), (1, 2));
    harness.get_by_label("New subgraph: seed: a new random one");
    actions::action("enter-subgraph").fire(harness.state_mut());
    harness.run_steps(2);
    press(&mut harness, input, PointerButton::Secondary, Modifiers::NONE);
    harness.run_steps(2);
    harness.get_by_label_contains("Remove").click();
    harness.run_steps(2);
    harness.state_mut().leave_subgraph();
    harness.run_steps(2);
    assert_eq!(node(&harness), (0, 2));
}

/// The points that a link runs through.
fn chain(harness: &Harness<App>, link: i64) -> Vec<i64> {
    let doc = harness.state().tab().history.doc();
    doc.chain(&doc.links[&link])
}

#[test]
fn a_reroute_is_made_moved_shared_and_deleted() {
    let (mut harness, _state) = window(&loaders());
    let sockets = |harness: &Harness<App>, name: &str| {
        let all = harness.get_all_by_label(name).map(|node| node.rect().center());
        let mut all: Vec<Pos2> = all.collect();
        all.sort_by(|a, b| a.x.total_cmp(&b.x));
        all
    };
    let (outs, seeds) = (
        sockets(&harness, "Load Image: INT (output)"),
        sockets(&harness, "Load Image: seed (input)"),
    );
    let middle_of_link = outs[0] + (seeds[1] - outs[0]) / 2.0;
    press(&mut harness, middle_of_link, PointerButton::Primary, Modifiers::ALT);
    harness.run_steps(2);
    assert_eq!(chain(&harness, 1), [1]);
    let dot = middle(&harness, "Reroute 1 (INT)");
    assert!(dot.distance(middle_of_link) < 3.0);
    drag(&mut harness, dot, dot + Vec2::new(0.0, 200.0), Modifiers::NONE);
    let moved = middle(&harness, "Reroute 1 (INT)");
    assert!((moved.y - dot.y - 200.0).abs() < 12.0);
    // Another link out of it, to the third loader.
    drag(&mut harness, moved, seeds[2], Modifiers::SHIFT);
    let doc = harness.state().tab().history.doc();
    let link = doc.link_into(3, 1).unwrap();
    assert_eq!((doc.links[&link].from, chain(&harness, link)), (1, vec![1]));
    // A box takes it in, and the key deletes it, not its links.
    let corner = moved + Vec2::new(-30.0, -30.0);
    drag(&mut harness, corner, moved + Vec2::new(30.0, 30.0), Modifiers::COMMAND);
    assert_eq!(harness.state().tab().canvas.reroutes, BTreeSet::from([1]));
    harness.key_press(Key::Delete);
    harness.run_steps(2);
    assert!(harness.query_by_label("Reroute 1 (INT)").is_none());
    assert_eq!(harness.state().tab().history.doc().links.len(), 2);
    while harness.state().tab().history.undoes().is_some() {
        harness.state_mut().undo();
    }
    assert_eq!(harness.state().tab().json(), loaders());
}

#[test]
fn the_middle_of_a_link_is_pulled_and_has_a_menu() {
    let (mut harness, _state) = window(&loaders());
    let rect = |harness: &Harness<App>, name: &str, last: bool| {
        let all = harness.get_all_by_label(name).map(|node| node.rect().center());
        let pick = |a: Pos2, b: Pos2| if (a.x < b.x) == last { b } else { a };
        all.reduce(pick).unwrap()
    };
    let from = rect(&harness, "Load Image: INT (output)", false);
    let seeds = harness.get_all_by_label("Load Image: seed (input)").map(|n| n.rect().center());
    let to = seeds.filter(|at| at.x > from.x).reduce(|a, b| if a.x < b.x { a } else { b }).unwrap();
    let middle = from + (to - from) / 2.0;
    drag(&mut harness, middle, middle + Vec2::new(10.0, 120.0), Modifiers::NONE);
    assert_eq!(chain(&harness, 1), [1]);
    harness.state_mut().tab_mut().history.undo();
    harness.run_steps(2);
    assert!(chain(&harness, 1).is_empty(), "making and pulling it is one step");
    press(&mut harness, middle, PointerButton::Primary, Modifiers::NONE);
    harness.run_steps(2);
    for row in ["Insert a node", "Delete the link", "Another style of links", "Hide or show links"]
    {
        harness.get_by_label_contains(row);
    }
    harness.get_by_label_contains("Add a reroute").click();
    harness.run_steps(2);
    assert_eq!(chain(&harness, 1), [1]);
}

#[test]
fn styles_of_links_are_settings_that_are_kept() {
    let (mut harness, state) = window(&loaders());
    for id in ["link-style", "hide-links"] {
        actions::action(id).fire(harness.state_mut());
        harness.run_steps(2);
    }
    let kept = Settings::load(state.path());
    assert_eq!((kept.link_style, kept.hide_links), (canvas::Style::Linear, true));
}

#[test]
fn a_subgraph_that_cannot_be_read_is_told_and_its_instance_stays() {
    let mut json = loaders();
    json["definitions"] =
        json!({"subgraphs": [{"id": "s", "name": "Broken", "nodes": [{"type": "A"}]}]});
    json["nodes"][0]["type"] = json!("s");
    let (mut harness, _state) = window(&json);
    harness.run_steps(2);
    harness.get_by_label_contains("a subgraph cannot be read");
    assert_eq!(harness.state().tab().json(), json);
}
