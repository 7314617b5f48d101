//! Editing with pointer, keys and clipboard.

use super::*;
use egui::{Event, Modifiers, OutputCommand, Pos2, pos2, vec2};
use egui_kittest::kittest::NodeT as _;

const CTRL: Modifiers = Modifiers::COMMAND;

fn canvas<'a>(harness: &'a Harness<App>) -> &'a canvas::Canvas {
    &harness.state().tab().canvas
}

fn doc<'a>(harness: &'a Harness<App>) -> &'a Doc {
    harness.state().tab().history.doc()
}

fn json(harness: &Harness<App>) -> Json {
    harness.state().tab().json()
}

fn pos(harness: &Harness<App>, id: Id) -> [f32; 2] {
    doc(harness).node(id).unwrap().pos
}

fn select<const N: usize>(harness: &mut Harness<App>, ids: [Id; N]) {
    let part = Part { nodes: ids.into(), ..Part::default() };
    harness.state_mut().tab_mut().canvas.select(part);
}

fn select_group(harness: &mut Harness<App>, group: usize) {
    let part = Part { groups: [group].into(), ..Part::default() };
    harness.state_mut().tab_mut().canvas.select(part);
}

fn fire(harness: &mut Harness<App>, id: &str) {
    actions::action(id).fire(harness.state_mut());
    harness.run_steps(2);
}

fn press(harness: &mut Harness<App>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.run_steps(3);
}

fn write(harness: &mut Harness<App>, text: &str) {
    harness.event(Event::Text(text.into()));
    harness.step();
    press(harness, Modifiers::NONE, Key::Enter);
}

/// What the clipboard would hold after Ctrl+C or Ctrl+X.
fn taken(harness: &mut Harness<App>, event: Event) -> String {
    harness.event(event);
    harness.step();
    let commands = &harness.output().platform_output.commands;
    let text = commands.iter().find_map(|command| match command {
        OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    });
    text.expect("something is on the clipboard")
}

fn paste(harness: &mut Harness<App>, text: &str) {
    harness.event(Event::Paste(text.to_owned()));
    harness.run_steps(2);
}

/// A node's title bar on screen.
fn title(harness: &Harness<App>, id: Id) -> Pos2 {
    let [x, y] = pos(harness, id);
    canvas(harness).view.to_screen(pos2(x + 100.0, y - 14.0))
}

fn drag(harness: &mut Harness<App>, from: Pos2, to: Pos2, modifiers: Modifiers) {
    harness.event(Event::ModifiersChanged(modifiers));
    harness.hover_at(from);
    harness.step();
    harness.drag_at(from);
    harness.step();
    for part in [0.3, 0.7, 1.0, 1.0] {
        harness.hover_at(from + (to - from) * part);
        harness.step();
    }
    harness.drop_at(to);
    harness.event(Event::ModifiersChanged(Modifiers::NONE));
    harness.run_steps(2);
}

#[test]
fn what_is_copied_in_one_tab_is_pasted_in_another_as_one_step() {
    let (mut harness, _state) = window(&chain(3));
    select(&mut harness, [1, 2]);
    let text = taken(&mut harness, Event::Copy);
    harness.state_mut().open_json("other", &empty()).unwrap();
    harness.run_steps(2);
    harness.hover_at(pos2(700.0, 400.0));
    harness.step();
    paste(&mut harness, &text);
    assert_eq!((nodes(&harness), doc(&harness).links.len()), (2, 1));
    assert_eq!(canvas(&harness).selection, [1, 2].into());
    let [x, y] = pos(&harness, 1);
    let corner = canvas(&harness).view.to_screen(pos2(x, y - 28.0));
    assert!(corner.distance(pos2(700.0, 400.0)) < 12.0, "at the pointer");
    fire(&mut harness, "undo");
    assert_eq!(nodes(&harness), 0);
    assert_eq!(harness.state().tab().history.undoes(), None);
}

#[test]
fn what_is_cut_comes_back_with_or_without_the_links_into_it() {
    let (mut harness, _state) = window(&chain(3));
    select(&mut harness, [2, 3]);
    let text = taken(&mut harness, Event::Cut);
    harness.step();
    assert_eq!((nodes(&harness), doc(&harness).links.len()), (1, 0));
    paste(&mut harness, &text);
    assert_eq!((nodes(&harness), doc(&harness).links.len()), (3, 1));
    fire(&mut harness, "undo");
    actions::action("paste-linked").fire(harness.state_mut());
    paste(&mut harness, &text);
    assert_eq!((nodes(&harness), doc(&harness).links.len()), (3, 2));
    paste(&mut harness, &text);
    assert_eq!(doc(&harness).links.len(), 3, "only that one paste kept the links");
}

#[test]
fn bad_text_on_the_clipboard_is_told_and_changes_nothing() {
    let (mut harness, _state) = window(&chain(2));
    let before = json(&harness);
    for text in ["a photo of a cat", "{\"nodes\": 3}", "[]"] {
        paste(&mut harness, text);
        harness.get_all_by_label_contains("Nothing here to paste").next().unwrap();
        assert_eq!(json(&harness), before);
    }
    assert_eq!(harness.state().tab().history.undoes(), None);
}

#[test]
fn while_text_is_typed_the_clipboard_is_the_texts() {
    let note =
        json!({"id": 1, "type": "Note", "pos": [0, 0], "size": [300, 200], "widgets_values": [""]});
    let (mut harness, _state) = window(&json!({"nodes": [note], "links": []}));
    select(&mut harness, [1]);
    harness.get_by_label("Note: text").focus();
    harness.run_steps(2);
    paste(&mut harness, "{\"nodes\": [{\"id\": 1, \"type\": \"A\"}]}");
    press(&mut harness, Modifiers::NONE, Key::Delete);
    assert_eq!(nodes(&harness), 1);
    let said = doc(&harness).node(1).unwrap().values[0].as_str().unwrap();
    assert!(said.starts_with("{\"nodes\""), "{said}");
}

#[test]
fn a_pasted_picture_is_loaded_by_a_node() {
    let (mut harness, _state) = window(&empty());
    let image = egui::ColorImage::filled([3, 2], egui::Color32::from_rgb(255, 0, 9));
    for name in ["pasted.png", "pasted_1.png"] {
        harness.event(Event::PasteImage(Arc::new(image.clone())));
        harness.run_steps(2);
        let folder = harness.state().setup.host.folder("input").unwrap();
        let pixels = image::open(folder.join(name)).unwrap().into_rgb8();
        assert_eq!((pixels.dimensions(), pixels.get_pixel(2, 1).0), ((3, 2), [255, 0, 9]));
    }
    let loaded: Vec<_> = doc(&harness).nodes().map(|node| node.values[0].clone()).collect();
    assert_eq!(loaded, [json!("pasted.png"), json!("pasted_1.png")]);
}

#[test]
fn alt_drag_leaves_the_node_and_moves_a_copy_as_one_step() {
    let (mut harness, _state) = window(&chain(2));
    let before = json(&harness);
    let from = title(&harness, 2);
    drag(&mut harness, from, from + vec2(0.0, 150.0), Modifiers::ALT);
    assert_eq!((nodes(&harness), doc(&harness).links.len()), (3, 1));
    let y = |id| pos(&harness, id)[1];
    assert!(y(3) > y(2) + 100.0 && y(2) == y(1));
    assert_eq!(canvas(&harness).selection, [3].into());
    fire(&mut harness, "undo");
    assert_eq!(json(&harness), before);
    let linked = Modifiers::ALT | Modifiers::SHIFT;
    drag(&mut harness, from, from + vec2(0.0, 150.0), linked);
    assert_eq!(doc(&harness).links.len(), 2);
}

#[test]
fn a_node_that_is_left_on_a_link_goes_into_it() {
    let mut graph = chain(2);
    graph["nodes"][1]["pos"] = json!([700, 0]);
    let lone = json!({"id": 3, "type": "Link", "pos": [350, 400], "size": [200, 100],
        "inputs": [{"name": "x", "type": "X", "link": null}],
        "outputs": [{"name": "x", "type": "X", "links": []}]});
    graph["nodes"].as_array_mut().unwrap().push(lone);
    let (mut harness, _state) = window(&graph);
    let before = json(&harness);
    let [from, to] = [400.0, 0.0].map(|y| canvas(&harness).view.to_screen(pos2(450.0, y - 14.0)));
    drag(&mut harness, from, to, Modifiers::NONE);
    let ends: Vec<_> = doc(&harness).links.values().map(|link| (link.from, link.to)).collect();
    assert_eq!(ends, [(1, 3), (3, 2)]);
    fire(&mut harness, "undo");
    assert_eq!(json(&harness), before);
    drag(&mut harness, from, from + vec2(80.0, 0.0), Modifiers::NONE);
    assert_eq!(doc(&harness).links.len(), 1, "it is on no link there");
}

#[test]
fn a_group_is_named_as_it_is_made_and_moves_its_nodes_but_for_pinned_ones() {
    let mut graph = chain(3);
    graph["nodes"][1]["flags"] = json!({"pinned": true});
    let (mut harness, _state) = window(&graph);
    select(&mut harness, [1, 2]);
    press(&mut harness, CTRL, Key::G);
    write(&mut harness, "Mine");
    let group = doc(&harness).groups[0].clone();
    assert_eq!(group.title, "Mine");
    let [x, y, w, _] = group.bounding;
    assert!(x < 240.0 && x + w > 680.0 && x + w < 720.0, "{:?}", group.bounding);
    let from = canvas(&harness).view.to_screen(pos2(x + 60.0, y + 10.0));
    drag(&mut harness, from, from + vec2(0.0, 100.0), Modifiers::NONE);
    let down = doc(&harness).groups[0].bounding[1] - y;
    assert!(down > 50.0);
    assert_eq!([1, 2, 3].map(|id| pos(&harness, id)[1]), [down, 0.0, 0.0]);
    assert_eq!(canvas(&harness).groups, [0].into());
    fire(&mut harness, "undo");
    assert_eq!(doc(&harness).groups[0], group);
}

#[test]
fn a_group_is_copied_with_its_contents_fitted_and_removed_with_or_without_them() {
    let mut graph = chain(3);
    graph["groups"] = json!([{"title": "G", "bounding": [200, -60, 500, 300]}]);
    let (mut harness, _state) = window(&graph);
    select_group(&mut harness, 0);
    fire(&mut harness, "select-contents");
    assert_eq!(canvas(&harness).selection, [1, 2].into());
    select_group(&mut harness, 0);
    let text = taken(&mut harness, Event::Copy);
    paste(&mut harness, &text);
    assert_eq!((nodes(&harness), doc(&harness).groups.len()), (5, 2));
    assert_eq!(canvas(&harness).groups, [1].into());
    fire(&mut harness, "undo");
    select_group(&mut harness, 0);
    fire(&mut harness, "fit-groups");
    assert_eq!(doc(&harness).groups[0].bounding, [220.0, -76.0, 480.0, 196.0]);
    fire(&mut harness, "mute");
    assert!(
        [1, 2].iter().all(|id| doc(&harness).node(*id).unwrap().mode == crate::doc::Mode::Muted)
    );
    fire(&mut harness, "delete");
    assert_eq!((nodes(&harness), doc(&harness).groups.len()), (3, 0));
    fire(&mut harness, "undo");
    select_group(&mut harness, 0);
    fire(&mut harness, "delete-contents");
    assert_eq!((nodes(&harness), doc(&harness).groups.len()), (1, 0));
}

#[test]
fn arrow_keys_move_what_is_selected_and_are_undone_together() {
    let (mut harness, _state) = window(&chain(2));
    let before = json(&harness);
    select(&mut harness, [1]);
    let [x, y] = pos(&harness, 1);
    press(&mut harness, Modifiers::NONE, Key::ArrowRight);
    press(&mut harness, Modifiers::NONE, Key::ArrowRight);
    press(&mut harness, Modifiers::SHIFT, Key::ArrowDown);
    assert_eq!(pos(&harness, 1), [x + 20.0, y + 1.0]);
    press(&mut harness, CTRL, Key::Z);
    assert_eq!(json(&harness), before);
}

#[test]
fn keys_walk_through_nodes_and_into_their_widgets() {
    let (mut harness, _state) = window(&empty());
    let app = harness.state_mut();
    app.load_picture("a.png", None);
    app.load_picture("b.png", None);
    let tab = app.tab_mut();
    tab.history.edit("Move", |doc| doc.move_by(&[2].into(), [500.0, 0.0]));
    harness.run_steps(2);
    for (key, expected) in
        [(Key::ArrowRight, 1), (Key::ArrowRight, 2), (Key::ArrowRight, 1), (Key::ArrowLeft, 2)]
    {
        press(&mut harness, CTRL, key);
        assert_eq!(canvas(&harness).selection, [expected].into());
    }
    press(&mut harness, Modifiers::NONE, Key::Enter);
    harness.run_steps(2);
    let lists: Vec<bool> = harness
        .get_all_by_role(egui::accesskit::Role::ComboBox)
        .map(|list| list.is_focused())
        .collect();
    assert_eq!(lists, [false, true]);
    assert_eq!(canvas(&harness).selection, [2].into());
    press(&mut harness, Modifiers::NONE, Key::Escape);
    press(&mut harness, Modifiers::NONE, Key::F2);
    write(&mut harness, "Second");
    assert_eq!(doc(&harness).node(2).unwrap().label(), "Second");
    press(&mut harness, Modifiers::NONE, Key::Escape);
    assert!(canvas(&harness).selection.is_empty());
}

#[test]
fn a_node_that_gets_the_focus_is_selected_and_moved_by_arrow_keys() {
    let (mut harness, _state) = window(&chain(2));
    harness.get_all_by_label("Link").last().unwrap().focus();
    harness.run_steps(2);
    let id = canvas(&harness).only_node().expect("the node is selected");
    let [x, y] = pos(&harness, id);
    press(&mut harness, Modifiers::NONE, Key::ArrowLeft);
    assert_eq!(pos(&harness, id), [x - 10.0, y]);
    assert_eq!(canvas(&harness).only_node(), Some(id));
}

#[test]
fn actions_are_offered_when_they_can_be_done_and_each_is_one_step() {
    let (mut harness, _state) = window(&chain(4));
    let all = [
        "copy",
        "align-left",
        "distribute-down",
        "undo",
        "ungroup",
        "rename",
        "group",
        "open-node",
    ];
    let able = |harness: &Harness<App>| -> Vec<&str> {
        let able = |id: &&str| (actions::action(id).enabled)(harness.state());
        all.into_iter().filter(able).collect()
    };
    assert_eq!(able(&harness), [""; 0]);
    select(&mut harness, [1]);
    assert_eq!(able(&harness), ["copy", "rename", "group"]);
    select(&mut harness, [1, 2, 3]);
    assert_eq!(able(&harness), ["copy", "align-left", "distribute-down", "group"]);
    for id in ["align-left", "distribute-down", "arrange"] {
        fire(&mut harness, id);
    }
    let [a, b, c] = [1, 2, 3].map(|id| pos(&harness, id)[0]);
    assert!(a < b && b < c);
    let steps = std::iter::from_fn(|| harness.state_mut().tab_mut().history.undo());
    assert_eq!(steps.collect::<Vec<_>>(), ["Arrange", "Distribute", "Align"]);
}

#[test]
fn the_view_is_zoomed_and_its_map_turned_off_by_keys() {
    let (mut harness, _state) = window(&chain(2));
    let zoom = canvas(&harness).view.zoom();
    press(&mut harness, Modifiers::ALT, Key::Minus);
    assert!(canvas(&harness).view.zoom() < zoom);
    press(&mut harness, Modifiers::ALT, Key::Equals);
    assert_eq!(canvas(&harness).view.zoom(), zoom);
    press(&mut harness, Modifiers::ALT | Modifiers::SHIFT, Key::M);
    assert!(!canvas(&harness).minimap);
    fire(&mut harness, "snap");
    assert!(!canvas(&harness).snapping);
}

fn right_click(harness: &mut Harness<App>, at: Pos2) {
    harness.hover_at(at);
    harness.step();
    for pressed in [true, false] {
        let (button, modifiers) = (egui::PointerButton::Secondary, Modifiers::NONE);
        harness.event(Event::PointerButton { pos: at, button, pressed, modifiers });
        harness.step();
    }
    harness.run_steps(3);
}

#[test]
fn menus_at_the_pointer_are_about_what_is_there_and_grey_where_nothing_can_be_done() {
    let mut graph = chain(2);
    graph["groups"] = json!([{"title": "G", "bounding": [200, -100, 700, 300]}]);
    let (mut harness, _state) = window(&graph);
    let at = title(&harness, 1);
    right_click(&mut harness, at);
    assert_eq!(canvas(&harness).selection, [1].into());
    harness.get_by_label_contains("Arrange").click();
    harness.run_steps(3);
    let disabled = |harness: &Harness<App>, label: &str| {
        harness.get_by_label_contains(label).accesskit_node().is_disabled()
    };
    assert!(disabled(&harness, "Align left") && !disabled(&harness, "Arrange automatically"));
    press(&mut harness, Modifiers::NONE, Key::Escape);
    press(&mut harness, Modifiers::NONE, Key::Escape);
    let at = canvas(&harness).view.to_screen(pos2(260.0, -86.0));
    right_click(&mut harness, at);
    assert_eq!(canvas(&harness).groups, [0].into());
    harness.get_by_label_contains("Ungroup").click();
    harness.run_steps(3);
    assert!(doc(&harness).groups.is_empty());
}
