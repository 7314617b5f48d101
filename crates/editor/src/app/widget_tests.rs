//! Widgets on nodes, found by their names as a screen reader finds them.

use super::*;
use crate::{doc::widgets, runs::tests::Played};
use egui::{Event, Key, Modifiers, accesskit::Role};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use graph::File;
use serde_json::json;

/// Folders below one, with lists of what is in them.
struct Disk(tempfile::TempDir);

impl Host for Disk {
    fn list(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path().join(folder)).into_iter().flatten();
        let files = entries.filter_map(Result::ok).filter(|entry| entry.path().is_file());
        let mut names: Vec<String> =
            files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
    fn find(&self, folder: &str, name: &str) -> graph::Result<File> {
        let path = self.0.path().join(folder).join(name);
        anyhow::ensure!(path.is_file(), "there is no {name}");
        Ok(File::Path(path))
    }
    fn folder(&self, name: &str) -> graph::Result<PathBuf> {
        Ok(self.0.path().join(name))
    }
    fn fingerprint(&self, _: &str, _: &str) -> graph::Result<u64> {
        Ok(0)
    }
}

/// A window over all nodes that the program has.
pub(super) struct Desk {
    pub harness: Harness<'static, App>,
    pub session: Played,
    pub host: Arc<dyn Host>,
    _state: tempfile::TempDir,
}

impl Desk {
    /// Shows nodes that lie below each other, with their values.
    pub fn with(nodes: &[(&str, Json)], files: &[&str]) -> Self {
        let host = Arc::new(Disk(tempfile::tempdir().unwrap()));
        for folder in ["input", "output", "temp", "embeddings"] {
            std::fs::create_dir(host.0.path().join(folder)).unwrap();
        }
        for file in files {
            let path = host.0.path().join(file);
            match file.rsplit_once('.') {
                Some((_, "png")) => gradient().save(path).unwrap(),
                _ => std::fs::write(path, "x").unwrap(),
            }
        }
        let (state, session) = (tempfile::tempdir().unwrap(), Played::default());
        let setup = Setup {
            types: Vec::leak(nodes::all()),
            host: host.clone(),
            services: Services::default(),
            device: "nothing".into(),
            folders: Vec::new(),
            weights: Box::new(|_| anyhow::bail!("no weights here")),
            previews: editor::PreviewMethods::default(),
            state_dir: state.path().to_owned(),
            open: None,
        };
        let played = Box::new(session.clone());
        let mut harness = Harness::builder()
            .with_size([1200.0, 900.0])
            .build_eframe(|cc| App::new(setup, played, &cc.egui_ctx));
        let app = harness.state_mut();
        app.settings.side = false;
        app.new_tab();
        let tab = &mut app.tabs[app.active];
        let mut y = 0.0;
        for (class, values) in nodes {
            let ty = app.catalog.get(class).unwrap();
            tab.history.edit("test", |doc| {
                let id = doc.create(ty, &app.catalog.contract, [0.0, y]);
                for (name, value) in values.as_object().unwrap() {
                    assert!(doc.set_widget(id, name, value.clone(), &app.catalog.contract));
                }
                y += doc.node(id).unwrap().size[1] + 60.0;
            });
        }
        let mut desk = Self { harness, session, host, _state: state };
        desk.harness.run_steps(3);
        desk.harness.state_mut().tab_mut().canvas.view = crate::canvas::View::default();
        desk.harness.state_mut().fit();
        desk.harness.run_steps(2);
        desk
    }

    pub fn value(&self, id: Id, name: &str) -> Json {
        let app = self.harness.state();
        let all = widgets(app.tab().history.doc(), id, &app.catalog.contract);
        all.into_iter().find(|w| w.name == name).unwrap().value
    }

    pub fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.run_steps(2);
    }

    pub fn write(&mut self, text: &str) {
        self.harness.event(Event::Text(text.into()));
        self.harness.run_steps(2);
    }

    pub fn focus(&mut self, name: &str) {
        self.harness.get_by_label(name).focus();
        self.harness.run_steps(2);
    }

    pub fn click(&mut self, name: &str) {
        self.harness.get_by_label(name).click();
        self.harness.run_steps(3);
    }

    /// Steps until `done`; a test that waits longer than a minute has failed.
    pub fn wait(&mut self, done: impl Fn(&Harness<App>) -> bool) {
        for _ in 0..3000 {
            self.harness.step();
            if done(&self.harness) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("nothing came of it");
    }

    /// Pictures of the window for those who look: into the folder `WEFT_LOOK`.
    pub fn look(&mut self, name: &str) {
        if let Some(dir) = std::env::var_os("WEFT_LOOK") {
            let picture = self.harness.render().unwrap();
            picture.save(Path::new(&dir).join(format!("{name}.png"))).unwrap();
        }
    }
}

fn gradient() -> image::RgbImage {
    image::RgbImage::from_fn(320, 200, |x, y| image::Rgb([x as u8, y as u8, 120]))
}

#[test]
fn numbers_are_reckoned_kept_to_their_steps_and_undone_as_one() {
    let mut desk = Desk::with(&[("EmptyLatentImage", json!({}))], &[]);
    let name = "Empty Latent Image: width";
    assert_eq!(desk.value(1, "width"), json!(512));
    desk.focus(name);
    desk.press(Modifiers::COMMAND, Key::A);
    desk.write("3*(100+1)");
    desk.press(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.value(1, "width"), json!(304), "in steps of 8 from 16");
    desk.harness.state_mut().undo();
    assert_eq!(desk.value(1, "width"), json!(512));
    desk.focus(name);
    desk.press(Modifiers::NONE, Key::ArrowUp);
    desk.press(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.value(1, "width"), json!(520), "an arrow is a step");
}

#[test]
fn all_widgets_of_a_node_are_reached_by_tab_and_have_names() {
    let mut desk = Desk::with(&[("KSampler", json!({}))], &[]);
    desk.focus("KSampler: seed");
    let mut seen = Vec::new();
    for _ in 0..12 {
        desk.press(Modifiers::NONE, Key::Tab);
        let focused = desk
            .harness
            .query_all(egui_kittest::kittest::By::new().predicate(|node| node.is_focused()));
        seen.extend(focused.filter_map(|node| node.accesskit_node().label()));
    }
    for widget in ["steps", "cfg", "sampler_name", "scheduler", "denoise"] {
        let name = format!("KSampler: {widget}");
        assert!(seen.contains(&name), "{name} is not among {seen:?}");
    }
}

#[test]
fn a_list_is_searched_and_chosen_from_by_keys_alone() {
    let mut desk = Desk::with(&[("KSampler", json!({}))], &[]);
    desk.focus("KSampler: sampler_name");
    desk.press(Modifiers::NONE, Key::Space);
    desk.harness.get_by_label("KSampler: sampler_name: search");
    desk.write("sde 2m");
    desk.press(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.value(1, "sampler_name"), json!("dpmpp_2m_sde"));
    desk.focus("KSampler: scheduler");
    let old = desk.value(1, "scheduler");
    desk.press(Modifiers::NONE, Key::Space);
    desk.press(Modifiers::NONE, Key::ArrowDown);
    desk.press(Modifiers::NONE, Key::Enter);
    assert_ne!(desk.value(1, "scheduler"), old);
}

#[test]
fn pictures_are_chosen_by_how_they_look() {
    let mut desk = Desk::with(
        &[("LoadImage", json!({"image": "a.png"}))],
        &["input/a.png", "input/b.png", "input/c.png"],
    );
    desk.wait(|harness| {
        let picture = crate::pictures::Picture::input("a.png");
        harness.state().runs.thumbnails.get(&picture).texture().is_some()
    });
    desk.click("Load Image: image");
    desk.wait(|harness| {
        let picture = crate::pictures::Picture::input("c.png");
        harness.state().runs.thumbnails.get(&picture).texture().is_some()
    });
    desk.harness.run_steps(2);
    desk.look("choose-picture");
    desk.click("b.png");
    assert_eq!(desk.value(1, "image"), json!("b.png"));
}

#[test]
fn ctrl_up_makes_words_of_a_prompt_count_more() {
    let mut desk = Desk::with(&[("CLIPTextEncode", json!({"text": "a red hat"}))], &[]);
    desk.focus("CLIP Text Encode (Prompt): text");
    for key in [Key::Home, Key::ArrowRight, Key::ArrowRight, Key::ArrowRight] {
        desk.press(Modifiers::NONE, key);
    }
    desk.press(Modifiers::COMMAND, Key::ArrowUp);
    desk.press(Modifiers::COMMAND, Key::ArrowUp);
    assert_eq!(desk.value(1, "text"), json!("a (red:1.1) hat"));
    (0..3).for_each(|_| desk.press(Modifiers::COMMAND, Key::ArrowDown));
    assert_eq!(desk.value(1, "text"), json!("a (red:0.95) hat"));
}

#[test]
fn embeddings_are_completed_by_their_names() {
    let mut desk = Desk::with(
        &[("CLIPTextEncode", json!({"text": ""}))],
        &["embeddings/bad-hands.safetensors", "embeddings/easy.safetensors"],
    );
    desk.focus("CLIP Text Encode (Prompt): text");
    desk.write("(embedding:ha");
    desk.look("completion");
    desk.press(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.value(1, "text"), json!("(embedding:bad-hands"));
}

#[test]
fn wrong_values_say_what_is_wrong_with_them() {
    let mut desk = Desk::with(
        &[
            ("KSampler", json!({"steps": 99_999, "sampler_name": "magic", "cfg": "x"})),
            ("LoadImage", json!({"image": "gone.png"})),
        ],
        &["input/a.png"],
    );
    let told =
        |desk: &Desk, name: &str| desk.harness.get_by_label(name).accesskit_node().description();
    assert_eq!(told(&desk, "KSampler: steps").unwrap(), "99999 is more than 10000");
    assert_eq!(told(&desk, "KSampler: sampler_name").unwrap(), "“magic” is not in the list");
    assert_eq!(told(&desk, "KSampler: cfg").unwrap(), "\"x\" is not a number");
    let gone = told(&desk, "Load Image: image").unwrap();
    assert_eq!(gone, "there is no gone.png in the folder input");
    assert_eq!(told(&desk, "KSampler: denoise"), None);
    desk.look("wrong");
}

#[test]
fn a_picture_below_the_input_folder_is_not_wrong() {
    let nodes = [("LoadImage", json!({"image": "clipspace/a-mask-1.png"}))];
    let mut desk = Desk::with(&nodes, &[]);
    let folder = desk.host.folder("input").unwrap().join("clipspace");
    std::fs::create_dir(&folder).unwrap();
    gradient().save(folder.join("a-mask-1.png")).unwrap();
    desk.harness.state_mut().catalog.refresh();
    desk.harness.run_steps(2);
    assert_eq!(desk.harness.get_by_label("Load Image: image").accesskit_node().description(), None);
}

#[test]
fn a_fed_widget_tells_where_its_value_comes_from() {
    let mut desk = Desk::with(&[("KSampler", json!({})), ("KSampler", json!({}))], &[]);
    let app = desk.harness.state_mut();
    let tab = &mut app.tabs[app.active];
    tab.history.edit("test", |doc| {
        let primitive = doc.create_own("PrimitiveNode", [500.0, 0.0]).unwrap();
        let steps = doc.widget_input(1, "steps", &app.catalog.contract).unwrap();
        doc.connect((primitive, 0), (1, steps)).expect("it fits");
    });
    desk.harness.run_steps(2);
    let from = desk.harness.get_by_label_contains("KSampler: steps, from ");
    assert_eq!(from.accesskit_node().role(), Role::Label);
    desk.look("fed");
}

#[test]
fn markdown_is_shown_as_it_means_and_typed_after_a_double_click() {
    let mut desk = Desk::with(&[], &[]);
    let text =
        "# Title\n\nSome **bold** words and [a page](https://example.org).\n\n- one\n- two\n";
    desk.harness.state_mut().tab_mut().history.edit("test", |doc| {
        let id = doc.create_own("MarkdownNote", [0.0, 0.0]).unwrap();
        doc.node_mut(id).unwrap().values = json!([text]);
        doc.node_mut(id).unwrap().size = [300.0, 200.0];
    });
    desk.harness.run_steps(2);
    desk.harness.state_mut().fit();
    desk.harness.run_steps(3);
    desk.look("markdown");
    desk.harness.get_by_label("a page").click();
    desk.harness.run_steps(2);
    let paper = desk.harness.get_by_label("MarkdownNote: text");
    assert_eq!(paper.accesskit_node().role(), Role::Document);
    desk.focus("MarkdownNote: text");
    desk.press(Modifiers::NONE, Key::Enter);
    desk.harness.run_steps(2);
    desk.press(Modifiers::COMMAND, Key::A);
    desk.write("*new*");
    let values =
        |desk: &Desk| desk.harness.state().tab().history.doc().node(1).unwrap().values.clone();
    assert_eq!(values(&desk), json!(["*new*"]));
    desk.press(Modifiers::NONE, Key::Escape);
    desk.harness.run_steps(2);
    let paper = desk.harness.get_by_label("MarkdownNote: text");
    assert_eq!(paper.accesskit_node().role(), Role::Document);
    desk.harness.state_mut().undo();
    assert_eq!(values(&desk), json!([text]));
}

#[test]
fn a_colour_is_typed_as_digits_and_kept_as_the_number_that_it_was() {
    let mut desk = Desk::with(&[], &[]);
    let graph = json!({"links": [], "nodes": [{"id": 1, "type": "EmptyImage", "pos": [0, 0],
        "size": [270, 130], "mode": 0, "inputs": [],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": null}],
        "widgets_values": [512, 512, 1, 0x003f_789e]}]});
    desk.harness.state_mut().open_json("colour", &graph).unwrap();
    desk.harness.run_steps(3);
    desk.look("colour");
    desk.harness.get_by_label("EmptyImage: color: picker");
    desk.focus("EmptyImage: color");
    desk.press(Modifiers::COMMAND, Key::A);
    desk.write("#ff8000");
    desk.press(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.value(1, "color"), json!(0x00ff_8000));
}

#[test]
fn a_seed_does_after_each_run_what_its_menu_says() {
    let mut desk = Desk::with(&[("KSampler", json!({"seed": 7}))], &[]);
    let after_a_run = |desk: &mut Desk| {
        desk.harness.state_mut().queue(false, &[]);
        desk.harness.run_steps(2);
        desk.value(1, "seed").as_u64().unwrap()
    };
    for (choice, next) in
        [("One more after each run", 8), ("One less after each run", 7), ("Stays", 7)]
    {
        desk.click("KSampler: seed: what becomes of it after each run");
        desk.harness.get_by_label_contains(choice).click();
        desk.harness.run_steps(3);
        assert_eq!(after_a_run(&mut desk), next, "{choice}");
    }
    desk.click("KSampler: seed: what becomes of it after each run");
    desk.harness.get_by_label_contains("Random after each run").click();
    desk.harness.run_steps(3);
    assert_ne!(after_a_run(&mut desk), 7);
}
