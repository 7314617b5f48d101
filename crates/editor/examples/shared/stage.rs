//! The window without a screen, a frame at a time, and the CPU time that each takes.

use cpu_time::ThreadTime;
use editor::{App, Setup, Weights, session};
use egui::{
    Context, Event, Modifiers, PointerButton, Pos2, RawInput, Rect, Vec2, ViewportId, vec2,
};
use graph::Services;
use std::{sync::Arc, time::Duration};

pub const SIZE: Vec2 = vec2(1600.0, 1000.0);

/// The window, its input and its clock.
pub struct Stage {
    pub app: App,
    ctx: Context,
    frame: eframe::Frame,
    time: f64,
    /// How long the last frame may stay on the screen.
    pub fresh: Duration,
    _folder: tempfile::TempDir,
}

/// The CPU time of a frame: drawing it into shapes, and those into triangles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub layout: Duration,
    pub tessellation: Duration,
}

impl Cost {
    pub fn sum(self) -> Duration {
        self.layout + self.tessellation
    }
}

/// Everything a window needs, in a folder of its own, with all nodes of the program.
pub fn setup(folder: &tempfile::TempDir) -> Setup {
    let sub = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test can be made");
        path
    };
    let args = app::FolderArgs {
        models: vec![sub("models")],
        input: Some(sub("input")),
        output: Some(sub("output")),
        comfyui: None,
    };
    Setup {
        types: Vec::leak(nodes::all()),
        host: Arc::new(app::Folders::new(&args).expect("the folders are there")),
        services: Services::default(),
        device: "no device".into(),
        folders: Vec::new(),
        weights: Box::new(|_| Ok(Weights { about: "a checkpoint".into(), home: None })),
        previews: editor::PreviewMethods {
            names: vec![("auto", "TAESD where its decoder is there, else latent colours")],
            ..Default::default()
        },
        state_dir: sub("state"),
        open: None,
    }
}

impl Stage {
    /// A window that shows a graph; the session is asked for nothing in it.
    pub fn new(session: Box<dyn session::Session>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test can be made");
        let ctx = Context::default();
        let app = App::new(setup(&folder), session, &ctx);
        let frame = eframe::Frame::_new_kittest();
        Self { app, ctx, frame, time: 0.0, fresh: Duration::ZERO, _folder: folder }
    }

    /// Runs a frame, and tells what it cost.
    pub fn frame(&mut self, events: Vec<Event>) -> Cost {
        self.time += 1.0 / 60.0;
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, SIZE)),
            time: Some(self.time),
            events,
            ..RawInput::default()
        };
        let start = ThreadTime::now();
        let mut out =
            self.ctx.run_ui(input, |ui| eframe::App::ui(&mut self.app, ui, &mut self.frame));
        let layout = start.elapsed();
        let triangles = self.ctx.tessellate(out.shapes, out.pixels_per_point);
        let tessellation = start.elapsed() - layout;
        drop(triangles);
        self.fresh = out.viewport_output[&ViewportId::ROOT].repaint_delay;
        out.textures_delta.clear();
        Cost { layout, tessellation }
    }

    /// Frames without input until nothing moves any more.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            self.frame(Vec::new());
        }
    }

    /// Drags with a button over `frames` frames, to and fro; the cost of each.
    pub fn drag(&mut self, from: Pos2, button: PointerButton, frames: usize) -> Vec<Cost> {
        let press = |pos, pressed| Event::PointerButton {
            pos,
            button,
            pressed,
            modifiers: Modifiers::NONE,
        };
        self.frame(vec![Event::PointerMoved(from)]);
        self.frame(vec![press(from, true)]);
        let at =
            |i: usize| from + vec2((i as f32 * 0.11).sin() * 150.0, (i as f32 * 0.07).sin() * 90.0);
        let costs = (1..=frames).map(|i| self.frame(vec![Event::PointerMoved(at(i))])).collect();
        self.frame(vec![press(at(frames), false)]);
        costs
    }
}
