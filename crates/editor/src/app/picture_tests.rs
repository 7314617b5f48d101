//! Work with pictures in the window: frames, masks, comparing, choosing.

use super::{widget_tests::Desk, *};
use crate::session::Event as Told;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use serde_json::json;

#[test]
fn a_frame_is_dragged_around_the_picture_upstream_and_is_one_step() {
    let nodes = [("LoadImage", json!({"image": "a.png"})), ("ImagePadForOutpaint", json!({}))];
    let mut desk = Desk::with(&nodes, &["input/a.png"]);
    let frame = "Pad Image for Outpainting: Drag the frame";
    desk.click(frame);
    assert!(desk.harness.state().overlay.is_none(), "there is no picture yet");
    desk.harness.state_mut().tab_mut().history.edit("test", |doc| doc.connect((1, 0), (2, 0)));
    desk.harness.run_steps(2);
    desk.click(frame);
    desk.wait(|harness| harness.query_by_label("Bottom right corner").is_some());
    let start = desk.harness.get_by_label("Bottom right corner").rect().center();
    desk.harness.drag_at(start);
    desk.harness.step();
    for part in [0.5, 1.0] {
        desk.harness.hover_at(start + vec2(200.0, 120.0) * part);
        desk.harness.step();
    }
    desk.look("outpaint");
    desk.harness.drop_at(start + vec2(200.0, 120.0));
    desk.harness.run_steps(3);
    desk.click("Use this frame");
    assert!(desk.harness.state().overlay.is_none());
    let right = desk.value(2, "right").as_u64().unwrap();
    let bottom = desk.value(2, "bottom").as_u64().unwrap();
    assert!(
        right > 0 && right.is_multiple_of(8) && bottom > 0 && bottom < right,
        "{right} {bottom}"
    );
    assert_eq!(desk.value(2, "left"), json!(0));
    desk.harness.state_mut().undo();
    assert_eq!([desk.value(2, "right"), desk.value(2, "bottom")], [json!(0), json!(0)]);
}

#[test]
fn a_mask_on_what_a_node_shows_comes_back_in_a_new_loader() {
    let mut desk = Desk::with(&[("PreviewImage", json!({}))], &["temp/p.png"]);
    let app = desk.harness.state_mut();
    let order = runs::Order { tab: app.tab().number, ..runs::Order::default() };
    app.runs.submit(order, false);
    let job = *desk.session.waiting().first().unwrap();
    let ui = json!({"images": [{"filename": "p.png", "subfolder": "", "type": "temp"}]});
    desk.session.tell(Told::Started(job));
    desk.session.tell(crate::runs::tests::ran(job, "1", &ui));
    desk.wait(|harness| harness.state().runs.node(1).is_some_and(|state| !state.images.is_empty()));
    desk.harness.state_mut().edit_mask(1);
    desk.wait(|harness| harness.query_by_label("Picture with mask").is_some());
    desk.wait(|harness| {
        harness.get_by_label("Use this mask").accesskit_node().is_disabled().eq(&false)
    });
    let middle = desk.harness.get_by_label("Picture with mask").rect().center();
    desk.harness.drag_at(middle);
    desk.harness.step();
    desk.harness.hover_at(middle + vec2(60.0, 0.0));
    desk.harness.step();
    desk.harness.drop_at(middle + vec2(60.0, 0.0));
    desk.harness.run_steps(2);
    let can_redo = |desk: &Desk| {
        let redo = desk.harness.get_by_label("Redo (Ctrl+Shift+Z)");
        !redo.accesskit_node().is_disabled()
    };
    desk.press(Modifiers::COMMAND, Key::Z);
    assert!(can_redo(&desk), "keys are the editor's, not the graph's");
    desk.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert!(!can_redo(&desk));
    desk.harness.get_by_label("Use this mask").click();
    desk.wait(|harness| harness.state().overlay.is_none());
    assert_eq!(desk.value(2, "image"), json!("clipspace/p-mask-1.png"));
    let masked = crate::pictures::Picture::input("clipspace/p-mask-1.png");
    let pixels = masked.read(&*desk.host).unwrap();
    assert_eq!(pixels.get_pixel(160, 100).0, [160, 100, 120, 0], "colours stay under the mask");
    assert_eq!(pixels.get_pixel(0, 0).0[3], 255);
    assert_eq!(desk.harness.state().tab().canvas.selection, BTreeSet::from([2]));
}

#[test]
fn the_viewer_compares_with_the_run_before_by_a_key() {
    let mut desk = Desk::with(&[("PreviewImage", json!({}))], &["temp/1.png", "temp/2.png"]);
    let app = desk.harness.state_mut();
    let tab = app.tab().number;
    for run in ["1.png", "2.png"] {
        app.runs.submit(runs::Order { tab, ..runs::Order::default() }, false);
        let job = *desk.session.waiting().last().unwrap();
        let ui = json!({"images": [{"filename": run, "subfolder": "", "type": "temp"}]});
        desk.session.tell(Told::Started(job));
        desk.session.tell(crate::runs::tests::ran(job, "1", &ui));
        desk.session.tell(Told::Ended(job, engine::End::Completed));
    }
    desk.harness.run_steps(2);
    desk.harness.state_mut().view_node(1, 0);
    desk.harness.run_steps(2);
    desk.harness.get_by_label_contains("1 of 2");
    assert!(desk.harness.query_by_label("Before and after").is_none());
    desk.press(Modifiers::NONE, Key::C);
    desk.wait(|harness| harness.query_by_label("Before and after").is_some());
    desk.look("compare");
    for (key, words) in [(Key::Num1, "100 %"), (Key::Plus, "125 %")] {
        desk.press(Modifiers::NONE, key);
        desk.harness.run_steps(2);
        desk.harness.get_by_label_contains(words);
    }
    desk.press(Modifiers::NONE, Key::ArrowRight);
    desk.harness.get_by_label_contains("2 of 2");
    desk.press(Modifiers::NONE, Key::Escape);
    assert!(desk.harness.state().overlay.is_none());
}

#[test]
fn the_palette_has_the_pictures_too() {
    let mut desk = Desk::with(&[], &["input/a cat.png", "input/dog.png"]);
    desk.harness.state_mut().ask_node();
    desk.harness.run_steps(2);
    desk.write("cat.p");
    desk.wait(|harness| {
        let picture = crate::pictures::Picture::input("a cat.png");
        harness.state().runs.thumbnails.get(&picture).texture().is_some()
    });
    desk.harness.run_steps(2);
    desk.look("palette");
    desk.press(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.value(1, "image"), json!("a cat.png"));
}

#[test]
fn a_mask_on_a_loader_changes_its_picture_as_one_step() {
    let mut desk = Desk::with(&[("LoadImage", json!({"image": "a.png"}))], &["input/a.png"]);
    desk.click("Load Image: Edit the mask");
    desk.wait(|harness| harness.query_by_label("Picture with mask").is_some());
    desk.wait(|harness| !harness.get_by_label("Use this mask").accesskit_node().is_disabled());
    desk.click("Invert the mask");
    desk.harness.get_by_label("Use this mask").click();
    desk.wait(|harness| harness.state().overlay.is_none());
    desk.harness.run_steps(2);
    assert_eq!(desk.value(1, "image"), json!("clipspace/a-mask-1.png"));
    let told = desk.harness.get_by_label("Load Image: image").accesskit_node().description();
    assert_eq!(told, None, "it is there");
    desk.harness.state_mut().undo();
    assert_eq!(desk.value(1, "image"), json!("a.png"));
}

#[test]
fn previews_are_shown_unless_the_settings_say_no() {
    let mut desk = Desk::with(&[("KSampler", json!({}))], &[]);
    let shown = |on: bool, desk: &mut Desk| {
        let app = desk.harness.state_mut();
        app.settings.previews = on;
        app.take_settings();
        let tab = app.tab().number;
        app.runs.submit(runs::Order { tab, ..runs::Order::default() }, false);
        let job = *desk.session.waiting().last().unwrap();
        let rgb = vec![9; 4 * 4 * 3].into();
        let preview = engine::RunEvent::Preview { id: "1".into(), width: 4, height: 4, rgb };
        desk.session.tell(Told::Started(job));
        desk.session.tell(Told::Run(job, preview));
        desk.harness.run_steps(2);
        let images = desk.harness.state().runs.node(1).map_or(0, |state| state.images.len());
        desk.session.tell(Told::Ended(job, engine::End::Completed));
        desk.harness.run_steps(2);
        images
    };
    assert_eq!(shown(false, &mut desk), 0);
    assert_eq!(shown(true, &mut desk), 1);
}
