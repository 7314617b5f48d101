//! The mask editor as a person uses it, and the file that it writes.

use super::{file::write, *};
use crate::brush::Mask;
use crate::runs::tests::folders;
use egui::Pos2;
use egui_kittest::{Harness, kittest::Queryable};
use image::{RgbImage, RgbaImage};

#[test]
fn the_new_file_has_the_mask_as_alpha_and_every_colour_of_the_old() {
    let host = folders();
    let pixels = RgbaImage::from_fn(9, 7, |x, y| image::Rgba([x as u8 * 20, y as u8 * 30, 77, 0]));
    let mut mask = Mask::new(9, 7);
    mask.values.iter_mut().enumerate().for_each(|(i, value)| *value = i as u8 * 4);
    let name = write(&pixels, &mask, "cat.jpeg", &*host).unwrap();
    assert_eq!(name, "clipspace/cat-mask-1.png");
    assert_eq!(
        write(&pixels, &mask, "cat-mask-1.png", &*host).unwrap(),
        "clipspace/cat-mask-2.png"
    );
    let read = Picture::input(&name).read(&*host).unwrap();
    for ((old, new), value) in pixels.pixels().zip(read.pixels()).zip(&mask.values) {
        assert_eq!(old.0[..3], new.0[..3]);
        assert_eq!(new.0[3], 255 - value);
    }
}

/// The editor, once it was drawn, and what it asked for.
type Shown = (Option<MaskEditor>, Option<Event>);

/// The editor over a picture.
fn over(pixels: &RgbImage) -> Harness<'static, Shown> {
    let host = folders();
    pixels.save(host.folder("output").unwrap().join("a.png")).unwrap();
    let picture =
        Picture { folder: "output".into(), subfolder: String::new(), filename: "a.png".into() };
    let ui = move |ui: &mut Ui, (editor, event): &mut Shown| {
        let new = || MaskEditor::new(picture.clone(), host.clone(), ui.ctx());
        *event = editor.get_or_insert_with(new).ui(ui, &Theme::dark()).or(event.take());
    };
    let setup = |ctx: &egui::Context| {
        egui_material_icons::initialize(ctx);
        Theme::dark().apply(ctx);
    };
    let builder = Harness::builder().with_size(vec2(1000.0, 640.0)).wgpu();
    builder.with_context_setup(setup).build_ui_state(ui, Shown::default())
}

/// How many pixels have some mask.
fn painted(harness: &Harness<Shown>) -> Option<usize> {
    match &harness.state().0 {
        Some(MaskEditor { stage: Stage::Open(canvas), .. }) => {
            Some(canvas.mask.values.iter().filter(|value| **value > 0).count())
        }
        _ => None,
    }
}

#[test]
fn a_stroke_is_painted_undone_and_saved() {
    let picture = RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, 160]));
    let mut harness = over(&picture);
    wait(&mut harness, |harness| painted(harness).is_some());
    let view = harness.get_by_label("Picture with mask").rect();
    harness.drag_at(view.center());
    harness.step();
    harness.hover_at(view.center() + vec2(120.0, 40.0));
    harness.step();
    harness.drop_at(view.center() + vec2(120.0, 40.0));
    harness.run_ok();
    if let Some(dir) = std::env::var_os("WEFT_LOOK") {
        let picture = harness.render().unwrap();
        picture.save(std::path::Path::new(&dir).join("mask.png")).unwrap();
    }
    assert!(painted(&harness).unwrap() > 2000);
    harness.get_by_label("Undo (Ctrl+Z)").click();
    harness.run_ok();
    assert_eq!(painted(&harness), Some(0));
    harness.get_by_label("Redo (Ctrl+Shift+Z)").click();
    harness.run_ok();
    harness.get_by_label("Use this mask").click();
    wait(&mut harness, |harness| harness.state().1.is_some());
    assert_eq!(harness.state().1, Some(Event::Done("clipspace/a-mask-1.png".into())));
}

#[test]
fn a_stroke_within_one_frame_is_whole_and_a_pen_draws_as_hard_as_it_is_pressed() {
    use egui::{Event, TouchDeviceId, TouchId, TouchPhase};
    let (mut widths, event) = (Vec::new(), |at: Pos2, pressed| Event::PointerButton {
        pos: at,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    });
    for force in [None, Some(0.25)] {
        let mut harness = over(&RgbImage::from_pixel(400, 300, image::Rgb([90, 90, 90])));
        wait(&mut harness, |harness| painted(harness).is_some());
        let view = harness.get_by_label("Picture with mask").rect();
        let [from, to] = [-100.0, 100.0].map(|x| view.center() + vec2(x, 0.0));
        let touch = |pos| Event::Touch {
            device_id: TouchDeviceId(1),
            id: TouchId(1),
            phase: TouchPhase::Move,
            pos,
            force,
        };
        let pen = |pos| force.map(|_| touch(pos));
        harness.hover_at(from);
        harness.step();
        let stroke = [(pen(from), event(from, true)), (pen(to), Event::PointerMoved(to))];
        for (touch, event) in stroke.into_iter().chain([(pen(to), event(to, false))]) {
            harness.input_mut().events.extend(touch.into_iter().chain([event]));
        }
        harness.run_ok();
        let Some(MaskEditor { stage: Stage::Open(canvas), lens, .. }) = &harness.state().0 else {
            unreachable!("it is open")
        };
        let column = lens.to_pixel(view, view.center()).x as usize;
        let rows = canvas.mask.values.chunks(canvas.mask.width);
        widths.push(rows.filter(|row| row[column] > 127).count());
        assert!(canvas.undo.can_undo());
    }
    assert!(widths[0] > 10 && widths[1] > 1 && widths[1] * 2 < widths[0], "{widths:?}");
}

#[test]
fn the_other_button_drags_the_size_of_the_brush_and_paints_nothing() {
    let mut harness = over(&RgbImage::from_pixel(400, 300, image::Rgb([90, 90, 90])));
    wait(&mut harness, |harness| painted(harness).is_some());
    let radius = |harness: &Harness<Shown>| harness.state().0.as_ref().unwrap().brush.radius;
    let (before, middle) =
        (radius(&harness), harness.get_by_label("Picture with mask").rect().center());
    let press = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: PointerButton::Secondary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    harness.hover_at(middle);
    harness.step();
    harness.event(press(middle, true));
    harness.step();
    for x in [10.0, 40.0] {
        harness.hover_at(middle + vec2(x, 0.0));
        harness.step();
    }
    harness.event(press(middle + vec2(40.0, 0.0), false));
    harness.run_ok();
    assert!(radius(&harness) > before + 5.0, "{} after {before}", radius(&harness));
    assert_eq!(painted(&harness), Some(0));
}

/// Steps until `done`; a test that waits longer than a minute has failed.
fn wait<S>(harness: &mut Harness<S>, done: impl Fn(&Harness<S>) -> bool) {
    for _ in 0..3000 {
        harness.step();
        if done(harness) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("nothing came of it");
}

#[test]
fn the_veil_has_a_colour_that_the_picture_lacks() {
    let filled = |color: [u8; 4]| RgbaImage::from_pixel(4, 4, image::Rgba(color));
    assert_eq!(clearest(&filled([0, 0, 200, 255])), 0, "red on blue");
    assert_eq!(clearest(&filled([220, 40, 40, 0])), 1, "green on red, transparent or not");
}
