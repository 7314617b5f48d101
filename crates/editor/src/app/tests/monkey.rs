//! Everything that a person can do, in any order: nothing panics, and the document stays whole.

use crate::{
    actions::{ACTIONS, action},
    dialog::Dialog,
    runs::tests::Played,
    session::Event as Told,
    shared::{
        graph::large,
        stage::{SIZE, Stage},
    },
    templates,
};
use egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, TouchPhase, pos2,
    vec2,
};
use engine::{End, Failure, RunEvent};
use fastrand::Rng;
use graph::Json;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Where things begin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scene {
    Empty,
    Template,
    Large,
    Running,
    Subgraph,
}

const SCENES: [Scene; 5] =
    [Scene::Empty, Scene::Template, Scene::Large, Scene::Running, Scene::Subgraph];
/// Copies of copies of a large graph: more than this is begun anew.
const MOST: usize = 3000;

/// A person without a plan.
struct Monkey {
    stage: Stage,
    session: Played,
    rng: Rng,
    scene: Scene,
}

impl Monkey {
    fn new(scene: Scene, seed: u64) -> Self {
        let session = Played::default();
        let mut stage = Stage::new(Box::new(session.clone()));
        // A dialog of the system's would wait for a person.
        stage.app.answers.pick = |_, _| None;
        let rng = Rng::with_seed(seed);
        let mut monkey = Self { stage, session, rng, scene };
        monkey.begin();
        monkey
    }

    /// Opens the graph of the scene in a tab of its own and closes the others.
    fn begin(&mut self) {
        let app = &mut self.stage.app;
        let json = match self.scene {
            Scene::Empty => json!({"nodes": [], "links": []}),
            Scene::Template | Scene::Running => templates::ALL[0].json(),
            Scene::Large => large(&app.catalog, 1000, 2000, 7),
            Scene::Subgraph => subgraph(),
        };
        let number = app.open_json("monkey", &json).unwrap().number;
        app.tabs.retain(|tab| tab.number == number);
        (app.active, app.dialog, app.overlay) = (0, None, None);
        match self.scene {
            Scene::Subgraph => assert!(app.tab_mut().history.enter(3)),
            Scene::Running => self.run(),
            _ => {}
        }
        self.frame(Vec::new());
        self.frame(Vec::new());
    }

    /// Has a run begin that never ends.
    fn run(&mut self) {
        let app = &mut self.stage.app;
        app.queue(false, &[]);
        let job = app.runs.all().last().unwrap().number;
        self.session.tell(Told::Started(job));
        let started = RunEvent::Started { id: "5".into(), index: 0, total: 3 };
        self.session.tell(Told::Run(job, started));
    }

    fn frame(&mut self, events: Vec<Event>) {
        self.stage.frame(events);
        let app = &mut self.stage.app;
        // Enter would write or read a file wherever the test is run.
        if matches!(app.dialog, Some(Dialog::Path(_))) {
            app.dialog = None;
        }
    }

    /// The documents are whole, and there are not too many nodes to go on with.
    fn check(&mut self) {
        let app = &mut self.stage.app;
        assert!(app.active < app.tabs.len(), "tab {} of {}", app.active, app.tabs.len());
        app.tabs.iter().for_each(|tab| tab.history.file().check());
        let nodes: usize = app.tabs.iter().map(|tab| tab.history.doc().nodes().len()).sum();
        if nodes > MOST || app.tabs.len() > 12 {
            self.begin();
        }
    }

    fn fire(&mut self, id: &str) {
        println!("{id}");
        let start = Instant::now();
        action(id).fire(&mut self.stage.app);
        assert!(start.elapsed() < PATIENCE, "{id} keeps the window waiting");
        self.frame(Vec::new());
        self.check();
    }

    /// Something that hands do.
    fn act(&mut self) {
        let at = self.somewhere();
        match self.rng.u32(..100) {
            0..30 => {
                let action = self.rng.choice(ACTIONS).expect("there are some");
                self.fire(action.id);
            }
            30..50 => self.click(at),
            50..70 => self.drag(at),
            70..80 => self.key(),
            80..85 => self.wheel(),
            85..90 => self.frame(vec![Event::Text("lo 12".into())]),
            90..97 => self.happen(),
            _ => self.select(),
        }
        self.check();
    }

    /// Often on a node, else anywhere.
    fn somewhere(&mut self) -> Pos2 {
        let tab = self.stage.app.tab();
        let nodes: Vec<_> = tab.history.doc().nodes().collect();
        match self.rng.choice(&nodes).filter(|_| self.rng.bool()) {
            None => pos2(self.rng.f32() * SIZE.x, self.rng.f32() * SIZE.y),
            Some(node) => {
                let [left, top, right, bottom] = node.bounds();
                // A little outside too, where sockets are.
                let part = |rng: &mut Rng| rng.f32() * 1.06 - 0.03;
                let (x, y) = (part(&mut self.rng), part(&mut self.rng));
                let at = pos2(left + x * (right - left), top + y * (bottom - top));
                tab.canvas.view.to_screen(at)
            }
        }
    }

    fn modifiers(&mut self) -> Modifiers {
        let all = [Modifiers::COMMAND, Modifiers::SHIFT, Modifiers::ALT, Modifiers::CTRL];
        if self.rng.u8(..4) > 0 { Modifiers::NONE } else { *self.rng.choice(&all).expect("four") }
    }

    fn press(&mut self, at: Pos2, button: PointerButton, modifiers: Modifiers, pressed: bool) {
        let button = Event::PointerButton { pos: at, button, pressed, modifiers };
        self.frame(vec![Event::PointerMoved(at), Event::ModifiersChanged(modifiers), button]);
    }

    fn button(&mut self) -> PointerButton {
        let all = [PointerButton::Primary, PointerButton::Secondary, PointerButton::Middle];
        if self.rng.bool() {
            PointerButton::Primary
        } else {
            *self.rng.choice(&all).expect("three")
        }
    }

    fn click(&mut self, at: Pos2) {
        let (button, modifiers) = (self.button(), self.modifiers());
        let times = self.rng.u8(1..3);
        println!("click {button:?} {at} {times} times {modifiers:?}");
        for _ in 0..times {
            self.press(at, button, modifiers, true);
            self.press(at, button, modifiers, false);
        }
        self.frame(vec![Event::ModifiersChanged(Modifiers::NONE)]);
    }

    /// From a place to another; sometimes something happens on the way.
    fn drag(&mut self, from: Pos2) {
        let (to, button, modifiers) = (self.somewhere(), self.button(), self.modifiers());
        println!("drag {button:?} {from} {to} {modifiers:?}");
        self.press(from, button, modifiers, true);
        for part in [0.1, 0.6, 1.0] {
            self.frame(vec![Event::PointerMoved(from.lerp(to, part))]);
        }
        if self.rng.u8(..8) == 0 {
            let action = self.rng.choice(ACTIONS).expect("there are some");
            self.fire(action.id);
        }
        self.press(to, button, modifiers, false);
        self.frame(vec![Event::ModifiersChanged(Modifiers::NONE)]);
    }

    fn key(&mut self) {
        let (key, modifiers) =
            (*self.rng.choice(Key::ALL).expect("there are some"), self.modifiers());
        println!("key {key:?} {modifiers:?}");
        let event =
            |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
        self.frame(vec![event(true), event(false)]);
    }

    fn wheel(&mut self) {
        let delta = vec2(0.0, self.rng.f32() * 400.0 - 200.0);
        let unit = MouseWheelUnit::Point;
        let (phase, modifiers, source) =
            (TouchPhase::Move, Modifiers::NONE, MouseWheelSource::Unknown);
        self.frame(vec![Event::MouseWheel { unit, delta, phase, source, modifiers }]);
    }

    fn select(&mut self) {
        let ids: Vec<_> = self.stage.app.tab().history.doc().nodes().map(|n| n.id).collect();
        let some = ids.into_iter().filter(|_| self.rng.u8(..3) == 0).collect();
        self.stage.app.tab_mut().canvas.selection = some;
    }

    /// Something comes from the engine, also what a sane one would not send.
    fn happen(&mut self) {
        let job = self.rng.u64(..4);
        let id = self.rng.u32(..12).to_string();
        let failure = || Failure {
            id: "3".into(),
            class: "KSampler".into(),
            title: "KSampler".into(),
            inputs: vec![],
            chain: vec!["out of memory".into()],
        };
        let rgb = || Arc::from([128; 48].as_slice());
        self.session.tell(match self.rng.u8(..8) {
            0 => Told::Started(job),
            1 => Told::Run(job, RunEvent::Started { id, index: 0, total: 3 }),
            2 => Told::Run(job, RunEvent::Step { id, done: 2, total: 3 }),
            3 => Told::Run(job, RunEvent::Preview { id, width: 4, height: 4, rgb: rgb() }),
            4 => Told::Run(job, RunEvent::Cached { ids: vec![id] }),
            5 => Told::Run(job, RunEvent::Failed(failure())),
            6 => Told::Ended(job, End::Failed(failure())),
            _ => Told::Ended(job, End::Completed),
        });
        self.frame(Vec::new());
    }
}

/// No action may take this long, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// A graph with a subgraph of two nodes, the instance of which is node 3.
pub(super) fn subgraph() -> Json {
    const ID: &str = "5f0c1b5e-3f3a-4a53-9d7c-0a8f3f0f7c11";
    let link = |id: u32, from: i32, to: i32| {
        json!({"id": id, "origin_id": from, "origin_slot": 0, "target_id": to, "target_slot": 0,
            "type": "IMAGE"})
    };
    let node = |id: u32, ty: &str, input: Json, output: Json| {
        json!({"id": id, "type": ty, "pos": [id * 260, 100], "size": [200, 80],
            "inputs": [{"name": "image", "type": "IMAGE", "link": input}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": output}]})
    };
    let border = |name: &str, link: u32| json!([{"id": format!("border {link}"), "name": name, "type": "IMAGE", "linkIds": [link]}]);
    let inner = json!({"id": ID, "name": "Twice inverted", "version": 1,
        "nodes": [node(1, "ImageInvert", 1.into(), json!([2])), node(2, "ImageInvert", 2.into(), json!([3]))],
        "inputs": border("image", 1), "outputs": border("result", 3),
        "inputNode": {"id": -10, "bounding": [0, 100, 120, 60]},
        "outputNode": {"id": -20, "bounding": [800, 100, 120, 60]},
        "links": [link(1, -10, 1), link(2, 1, 2), link(3, 2, -20)]});
    json!({"nodes": [node(1, "LoadImage", Json::Null, json!([1])), node(3, ID, 1.into(), json!([2])),
            node(4, "PreviewImage", 2.into(), json!([]))],
        "links": [[1, 1, 0, 3, 0, "IMAGE"], [2, 3, 0, 4, 0, "IMAGE"]],
        "definitions": {"subgraphs": [inner]}})
}

/// Every action, with nothing selected and with everything, several times in an order of its own.
#[test]
fn every_action_can_be_done_anywhere() {
    for (seed, scene) in SCENES.into_iter().enumerate() {
        println!("{scene:?}");
        let mut monkey = Monkey::new(scene, seed as u64);
        let mut all: Vec<&str> = ACTIONS.iter().map(|action| action.id).collect();
        for round in 0..4 {
            monkey.rng.shuffle(&mut all);
            for id in &all {
                match round % 2 {
                    0 => monkey.stage.app.select_all(),
                    _ => monkey.stage.app.tab_mut().canvas.selection.clear(),
                }
                monkey.fire(id);
                monkey.stage.app.dialog = None;
            }
        }
    }
}

/// Actions, keys, clicks, drags and what an engine tells, in any order. `WEFT_MONKEY=N` begins with the Nth
/// seed, and goes on for many.
#[test]
fn a_monkey_breaks_nothing() {
    let seed = std::env::var("WEFT_MONKEY").ok().and_then(|n| n.parse().ok());
    let seeds: std::ops::Range<u64> = seed.map_or(0..3, |first: u64| first..first + 20);
    for seed in seeds {
        for scene in SCENES {
            println!("seed {seed}, {scene:?}");
            let mut monkey = Monkey::new(scene, seed);
            (0..150).for_each(|_| monkey.act());
        }
    }
}
