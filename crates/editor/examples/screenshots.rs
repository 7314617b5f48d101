//! Pictures of the window at 1600x1000, for people to look at:
//! `cargo run -p editor --example screenshots -- OUT_DIR [NAME...]`.
//!
//! They are drawn by wgpu on whatever adapter there is; on a machine without a GPU that is lavapipe.

mod shared;

use anyhow::{Context as _, Result};
use editor::{App, actions::action, pictures::Picture, session::Event as Told};
use egui::{Event, Key, Modifiers, PointerButton, Pos2, vec2};
use egui_kittest::{Harness, kittest::Queryable as _};
use engine::{End, Failure, NodeErrors, NodeProblems, Problem, RunEvent};
use serde_json::json;
use shared::{
    graph::{blocks, large},
    played::Played,
    stage,
};
use std::{path::Path, time::Duration};

/// A window, and the engine that it believes in.
struct Window {
    harness: Harness<'static, App>,
    session: Played,
    _folder: tempfile::TempDir,
}

type Screen = (&'static str, fn(&mut Window));

const SCREENS: &[Screen] = &[
    ("first", |_| ()),
    ("running", running),
    ("error", error),
    ("node_palette", |window| {
        window.fire("add-node");
        window.write("sampl");
    }),
    ("command_palette", |window| window.fire("commands")),
    ("mask_editor", mask),
    ("large", |window| {
        let app = window.harness.state_mut();
        let json = blocks(include_str!("../../../graphs/text_to_image.json"), 45, 5);
        app.open_json("Three hundred nodes", &json).expect("it is a graph");
    }),
    ("large_near", |window| {
        let app = window.harness.state_mut();
        let json = large(&app.catalog, 300, 600, 3);
        app.open_json("Three hundred nodes", &json).expect("it is a graph");
        window.steps();
        let canvas = &mut window.harness.state_mut().tab_mut().canvas;
        canvas.scroll_to(90);
        canvas.zoom_by(100);
        canvas.zoom_by(-9);
    }),
    ("templates", |window| window.fire("templates")),
    ("settings", |window| window.fire("settings")),
    ("light", |window| {
        window.fire("theme");
        running(window);
    }),
];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let out = args.next().context("where to? screenshots OUT_DIR [NAME...]")?;
    let names: Vec<String> = args.collect();
    std::fs::create_dir_all(&out)?;
    for (name, show) in
        SCREENS.iter().filter(|(n, _)| names.is_empty() || names.iter().any(|w| w == n))
    {
        let mut window = Window::new();
        show(&mut window);
        window.steps();
        let picture = window.harness.render().map_err(anyhow::Error::msg)?;
        let path = Path::new(&out).join(format!("{name}.png"));
        picture.save(&path)?;
        println!("{}", path.display());
    }
    Ok(())
}

impl Window {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (mut setup, session) = (stage::setup(&folder), Played::default());
        setup.device = "CPU".into();
        let played = Box::new(session.clone());
        let builder = Harness::builder().with_size(stage::SIZE).with_render_cursor(false);
        let harness = builder.wgpu().build_eframe(|cc| App::new(setup, played, &cc.egui_ctx));
        Self { harness, session, _folder: folder }
    }

    fn fire(&mut self, id: &str) {
        action(id).fire(self.harness.state_mut());
        self.steps();
    }

    fn write(&mut self, text: &str) {
        self.harness.event(Event::Text(text.into()));
        self.steps();
    }

    fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.steps();
    }

    /// Pictures are read on a thread, so that a few frames need their time.
    fn steps(&mut self) {
        for _ in 0..12 {
            self.harness.step();
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    fn tell(&mut self, events: Vec<RunEvent>) {
        events.into_iter().for_each(|event| self.session.tell(Told::Run(self.job(), event)));
        self.steps();
    }

    /// The run that was asked for last.
    fn job(&self) -> u64 {
        self.harness.state().runs.all().last().map_or(0, |run| run.number)
    }

    /// Asks for a run that begins at once.
    fn run(&mut self) {
        self.fire("run");
        self.session.tell(Told::Started(self.job()));
    }

    fn drag(&mut self, points: &[Pos2]) {
        self.harness.drag_at(points[0]);
        self.harness.step();
        for point in points {
            self.harness.hover_at(*point);
            self.harness.step();
        }
        let (pos, button) = (points[points.len() - 1], PointerButton::Primary);
        let modifiers = Modifiers::NONE;
        self.harness.event(Event::PointerButton { pos, button, pressed: false, modifiers });
        self.steps();
    }
}

/// Two runs are over, one is half done, two wait.
fn running(window: &mut Window) {
    let picture = |name| json!({"images": [{"filename": name, "subfolder": "", "type": "input"}]});
    for name in ["house.png", "yellow_star.png"] {
        window.run();
        let ui = picture(name).as_object().cloned().unwrap_or_default();
        window.tell(vec![RunEvent::Executed { id: "7".into(), ui, seconds: 4.2, cached: false }]);
        window.session.tell(Told::Ended(window.job(), End::Completed));
    }
    window.run();
    let id = || "5".to_owned();
    let seen = half_done(window);
    window.tell(vec![
        RunEvent::Cached { ids: ["1", "2", "3", "4"].map(str::to_owned).into() },
        RunEvent::Started { id: id(), index: 0, total: 3 },
        RunEvent::Step { id: id(), done: 1, total: 20 },
    ]);
    window.tell(vec![
        RunEvent::Step { id: id(), done: 12, total: 20 },
        RunEvent::Preview { id: id(), width: 128, height: 128, rgb: seen.into() },
    ]);
    for _ in 0..2 {
        action("run").fire(window.harness.state_mut());
    }
}

/// A picture with the noise of a run that is half done.
fn half_done(window: &Window) -> Vec<u8> {
    let app = window.harness.state();
    let house =
        Picture::input("house.png").read(&*app.setup.host).expect("it comes with the program");
    let house = image::imageops::resize(&house, 128, 128, image::imageops::FilterType::Triangle);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut noisy = |value: &u8| (f32::from(*value) * 0.75 + rng.f32() * 64.0) as u8;
    house
        .pixels()
        .flat_map(|pixel| pixel.0[..3].iter().map(&mut noisy).collect::<Vec<_>>())
        .collect()
}

/// A node that failed, one that lacks its file, and the list of both.
fn error(window: &mut Window) {
    window.run();
    let help = "`ckpt_name`: there is no file \"sd15.safetensors\" in `checkpoints` (searched \
                /home/me/models/checkpoints); did you mean \"weft-tiny.safetensors\"?";
    let problem = Problem {
        kind: "value_not_in_list",
        message: String::new(),
        details: String::new(),
        extra_info: json!({"input_name": "ckpt_name"}).as_object().cloned().unwrap_or_default(),
        help: help.into(),
    };
    let named =
        |id: &str, class: &str, title: &str| (id.to_owned(), class.to_owned(), title.to_owned());
    let (id, class, title) = named("1", "CheckpointLoaderSimple", "Load Checkpoint");
    let (problems, dependent_outputs) = (vec![problem], vec![]);
    let lacks = NodeErrors(vec![NodeProblems { id, class, title, problems, dependent_outputs }]);
    window.session.tell(Told::Warned(window.job(), lacks));
    let (id, class, title) = named("5", "KSampler", "KSampler");
    let chain = vec!["the device is out of memory: 3.2 GB asked for, 1.1 GB free".into()];
    let failure = Failure { id, class, title, inputs: vec![], chain };
    window.tell(vec![RunEvent::Failed(failure.clone())]);
    window.session.tell(Told::Ended(window.job(), End::Failed(failure)));
    window.fire("errors");
}

fn mask(window: &mut Window) {
    window.press(Modifiers::COMMAND, Key::T);
    window.harness.get_by_label("Inpaint").click();
    window.steps();
    let canvas = &mut window.harness.state_mut().tab_mut().canvas;
    canvas.scroll_to(8);
    canvas.zoom_by(100);
    canvas.zoom_by(-8);
    window.steps();
    window.steps();
    window.harness.get_by_label("Picture with a mask: Edit the mask").click();
    window.steps();
    window.harness.get_by_label("Clear the mask").click();
    window.steps();
    let view = window.harness.get_by_label("Picture with mask").rect();
    let at = |x: f32, y: f32| view.center() + vec2(x, y);
    window.drag(&[at(-120.0, -60.0), at(-40.0, 40.0), at(40.0, -50.0), at(110.0, 60.0)]);
}
