//! The mask editor as a person uses it, and the file that it writes.

use super::{file::write, *};
use crate::brush::Mask;
use crate::runs::tests::folders;
use egui_kittest::{Harness, kittest::Queryable};
use image::RgbaImage;

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

#[test]
fn a_stroke_is_painted_undone_and_saved() {
    let host = folders();
    let path = host.folder("output").unwrap().join("a.png");
    image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, 160]))
        .save(path)
        .unwrap();
    let picture =
        Picture { folder: "output".into(), subfolder: String::new(), filename: "a.png".into() };
    let mut state = (None, None);
    let ui = move |ui: &mut Ui, (editor, event): &mut (Option<MaskEditor>, Option<Event>)| {
        let new = || MaskEditor::new(picture.clone(), host.clone(), ui.ctx());
        *event = editor.get_or_insert_with(new).ui(ui, &Theme::dark()).or(event.take());
    };
    let setup = |ctx: &egui::Context| {
        egui_material_icons::initialize(ctx);
        Theme::dark().apply(ctx);
    };
    let builder = Harness::builder().with_size(vec2(1000.0, 640.0)).wgpu();
    let mut harness =
        builder.with_context_setup(setup).build_ui_state(ui, std::mem::take(&mut state));
    let painted = |harness: &Harness<(Option<MaskEditor>, Option<Event>)>| match &harness.state().0
    {
        Some(MaskEditor { stage: Stage::Open(canvas), .. }) => {
            Some(canvas.mask.values.iter().filter(|value| **value > 0).count())
        }
        _ => None,
    };
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
