//! What people come for, from its beginning to its end: with the real engine, the checkpoint that comes with
//! the program and small pictures. Widgets are found by their names, as a screen reader finds them.

use crate::{
    App,
    doc::Id,
    pictures::{self, Picture},
    runs::{self, Run, Stage},
    session::{Local, World},
    shared::stage::setup,
};
use egui::{Event, Key, Modifiers, Pos2, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use graph::{Json, Services};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// A file that is let go over the window.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }
    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

/// The window with an engine on the processor.
struct Desk {
    harness: Harness<'static, App>,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut setup = setup(&folder);
        let device = Arc::new(tensor::Device::cpu());
        setup.services = Services::default().with(device).with(Arc::new(nodes::Options::default()));
        let world = World {
            types: setup.types,
            host: setup.host.clone(),
            services: setup.services.clone(),
        };
        let builder = Harness::builder().with_size(vec2(1600.0, 1000.0)).with_max_steps(40);
        let harness = builder.build_eframe(|cc| {
            let session = Local::start(world, runs::wake(&cc.egui_ctx));
            App::new(setup, Box::new(session), &cc.egui_ctx)
        });
        Self { harness, folder }
    }

    fn app(&self) -> &App {
        self.harness.state()
    }

    fn click(&mut self, name: &str) {
        self.harness.get_by_label(name).click();
        self.harness.run_ok();
    }

    fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.run_ok();
    }

    /// Types instead of what stands in a field.
    fn fill(&mut self, name: &str, text: &str) {
        self.harness.get_by_label(name).focus();
        self.harness.run_ok();
        self.press(Modifiers::COMMAND, Key::A);
        self.harness.event(Event::Text(text.into()));
        self.harness.run_ok();
    }

    /// As [`Desk::fill`], ending with Enter.
    fn enter(&mut self, name: &str, text: &str) {
        self.fill(name, text);
        self.press(Modifiers::NONE, Key::Enter);
    }

    fn drag(&mut self, from: Pos2, to: Pos2) {
        self.harness.drag_at(from);
        self.harness.step();
        for part in [0.3, 0.7, 1.0] {
            self.harness.hover_at(from.lerp(to, part));
            self.harness.step();
        }
        self.harness.drop_at(to);
        self.harness.run_ok();
    }

    fn open(&mut self, template: &str) {
        self.press(Modifiers::COMMAND, Key::T);
        self.click(template);
        // Widgets are at hand at the graph's own size only.
        self.press(Modifiers::NONE, Key::Period);
    }

    /// Steps until `done`; a test that waits longer than two minutes has failed.
    fn wait(&mut self, done: impl Fn(&App) -> bool) {
        for _ in 0..6000 {
            self.harness.step();
            if done(self.harness.state()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nothing came of it");
    }

    /// Runs the graph and waits for its end.
    fn run(&mut self) -> Run {
        let before = self.app().runs.all().len();
        self.press(Modifiers::COMMAND, Key::Enter);
        self.wait(|app| app.runs.all().len() > before && app.runs.all().iter().all(Run::over));
        self.harness.run_ok();
        self.app().runs.all().last().unwrap().clone()
    }

    fn node(&self, class: &str) -> Id {
        let found = self.app().tab().history.doc().nodes().find(|node| node.class == class);
        found.unwrap_or_else(|| panic!("no {class}")).id
    }

    fn value(&self, class: &str, widget: &str) -> Json {
        let app = self.app();
        let doc = app.tab().history.doc();
        let all = crate::doc::widgets(doc, self.node(class), &app.catalog.contract);
        all.into_iter().find(|it| it.name == widget).unwrap().value
    }

    fn file(&self, picture: &Picture) -> PathBuf {
        picture.path(&*self.app().setup.host).unwrap()
    }
}

#[test]
fn a_template_is_opened_its_prompt_changed_and_a_picture_appears() {
    let mut desk = Desk::new();
    desk.open("Text to image");
    desk.fill("Prompt: text", "a yellow star on a blue background");
    desk.enter("KSampler: steps", "2");
    assert_eq!(desk.value("KSampler", "steps"), 2);
    let run = desk.run();
    assert_eq!(run.stage, Stage::Done);
    let save = desk.node("SaveImage");
    desk.wait(|app| app.runs.node(save).is_some_and(|node| !node.images.is_empty()));
    desk.harness.get_by_label(&format!("Picture of run {}", run.number));
    let written = std::fs::read(desk.file(&run.pictures[0])).unwrap();
    let graph = graph::read(&written).unwrap().workflow().unwrap().to_string();
    assert!(graph.contains("a yellow star on a blue background"), "the picture carries its graph");
}

#[test]
fn a_picture_that_is_dropped_opens_the_graph_that_made_it() {
    let mut desk = Desk::new();
    desk.fill("Prompt: text", "a green square");
    desk.enter("KSampler: steps", "1");
    let run = desk.run();
    let path = desk.file(&run.pictures[0]);
    let mut other = Desk::new();
    other.harness.input_mut().dropped_files.push(Arc::new(Dropped(path)));
    other.harness.run_ok();
    assert_eq!(other.app().tabs.len(), 2, "a drop never writes over what is open");
    assert_eq!(other.value("CLIPTextEncode", "text"), "a green square");
    assert_eq!(other.value("KSampler", "steps"), 1);
    drop(desk.folder);
}

#[test]
fn a_link_dropped_on_nothing_asks_for_a_node_and_is_linked_to_it() {
    let mut desk = Desk::new();
    let from = desk.harness.get_by_label("VAE Decode: IMAGE (output)").rect().center();
    desk.drag(from, from + vec2(0.0, 300.0));
    desk.harness.get_by_label("Which node?");
    desk.harness.event(Event::Text("invert image".into()));
    desk.harness.run_ok();
    desk.press(Modifiers::NONE, Key::Enter);
    let (decode, invert) = (desk.node("VAEDecode"), desk.node("ImageInvert"));
    let doc = desk.app().tab().history.doc();
    let link = &doc.links[&doc.link_into(invert, 0).expect("it is linked")];
    assert_eq!((link.from, link.from_slot), (decode, 0));
    desk.press(Modifiers::COMMAND, Key::Z);
    assert!(desk.app().tab().history.doc().node(invert).is_none(), "both are one step");
}

#[test]
fn a_mask_is_painted_and_outside_of_it_the_picture_stays() {
    let mut desk = Desk::new();
    desk.open("Inpaint");
    desk.enter("KSampler: steps", "2");
    let loader = desk.node("LoadImage");
    desk.harness.state_mut().tab_mut().canvas.scroll_to(loader);
    desk.harness.run_ok();
    // On its widget: that belongs to the node too.
    desk.harness.get_by_label("Picture with a mask: image").click_secondary();
    desk.harness.run_ok();
    let named = desk.harness.get_all_by_label_contains("Edit the mask");
    let is_row = |node: &egui_kittest::Node| {
        node.accesskit_node().label().is_some_and(|label| !label.contains(':'))
    };
    named.into_iter().find(is_row).expect("a row of the menu").click();
    desk.wait(|app| app.overlay.is_some());
    std::thread::sleep(Duration::from_millis(300));
    desk.harness.run_ok();
    desk.click("Clear the mask");
    let view = desk.harness.get_by_label("Picture with mask").rect();
    desk.drag(view.center(), view.center() + vec2(60.0, 20.0));
    desk.click("Use this mask");
    desk.wait(|app| app.overlay.is_none());
    let name = desk.value("LoadImage", "image").as_str().unwrap().to_owned();
    assert_ne!(name, "red_circle_masked.png");
    let run = desk.run();
    assert_eq!(run.stage, Stage::Done);
    let masked = Picture::input(&name).read(&*desk.app().setup.host).unwrap();
    let made = pictures::decode(&std::fs::read(desk.file(&run.pictures[0])).unwrap()).unwrap();
    assert_eq!(made.dimensions(), masked.dimensions());
    let pixels = || masked.pixels().zip(made.pixels());
    let differ = |(old, new): &(&image::Rgba<u8>, &image::Rgba<u8>)| old.0[..3] != new.0[..3];
    let outside = pixels().filter(|(old, _)| old.0[3] == 255).collect::<Vec<_>>();
    assert!(outside.len() > 1000 && !outside.iter().any(differ), "the picture has changed outside");
    assert!(
        pixels().filter(|(old, _)| old.0[3] == 0).any(|pair| differ(&pair)),
        "nothing was painted"
    );
}

#[test]
fn an_error_stands_on_its_node_in_words_and_leads_there() {
    let mut desk = Desk::new();
    let sampler = desk.node("KSampler");
    let contract = graph::Contract::from_types(desk.app().setup.types);
    desk.harness.state_mut().tab_mut().history.edit("test", |doc| {
        doc.set_widget(sampler, "steps", 0.into(), &contract);
        let model = doc.node(sampler).unwrap().input("model").unwrap();
        let link = doc.link_into(sampler, model).unwrap();
        doc.disconnect(link);
    });
    let run = desk.run();
    assert!(matches!(run.stage, Stage::Failed(_)), "{:?}", run.stage);
    let problems = desk.app().runs.node(sampler).unwrap().problems.clone();
    let of = |input: &str| problems.iter().find(|(name, _)| name.as_deref() == Some(input));
    assert!(of("model").is_some_and(|(_, words)| words.contains("MODEL")), "{problems:?}");
    assert!(of("steps").is_some_and(|(_, words)| words.contains('1')), "{problems:?}");
    // The view is elsewhere; the list of errors leads back.
    desk.harness.state_mut().tab_mut().canvas.view.pan(vec2(5000.0, 5000.0));
    desk.click("Errors");
    let jump = format!("Show KSampler ({sampler})");
    desk.harness.get_all_by_label(&jump).next().unwrap().click();
    desk.harness.run_ok();
    let canvas = &desk.app().tab().canvas;
    assert_eq!(canvas.selection, [sampler].into());
    let pos: Pos2 = desk.app().tab().history.doc().node(sampler).unwrap().pos.into();
    assert!(canvas.view.visible().contains(pos), "the node is seen");
}
