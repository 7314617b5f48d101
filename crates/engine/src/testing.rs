//! Small nodes and a small host, for the tests of this crate.

use crate::{Engine, Outcome, Plan, Rejection, RunEvent, RunOptions, Targets, Types};
use anyhow::Result;
use graph::{
    Context, Expansion, Field, File, Gate, Host, Inputs, Json, Lazy, List, Node, NodeType,
    Services, Value,
};
use serde_json::{Map, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, atomic::AtomicBool},
};

/// Adds two numbers.
#[derive(Inputs)]
pub struct Add {
    /// The first.
    #[widget(number(0).range(0..=1000))]
    a: u64,
    /// The second.
    #[widget(number(0).range(0..=1000))]
    b: u64,
}

impl Node for Add {
    const CATEGORY: &str = "math";
    type Output = u64;
    fn run(self, _: &mut Context) -> Result<u64> {
        Ok(self.a + self.b)
    }
}

/// Shows a number: an output node.
#[derive(Inputs)]
pub struct Save {
    /// What to show.
    #[widget(number(0))]
    value: u64,
}

impl Node for Save {
    const CATEGORY: &str = "math";
    const OUTPUT_NODE: bool = true;
    type Output = ();
    fn run(self, ctx: &mut Context) -> Result<()> {
        ctx.show("numbers", self.value.into());
        Ok(())
    }
}

/// Fails, panics, steps or asks to stop, as told.
#[derive(Inputs)]
pub struct Act {
    /// What to read.
    #[widget(number(0))]
    value: u64,
    /// What to do.
    #[widget(one_of(["pass", "fail", "panic", "stop"]))]
    act: String,
}

impl Node for Act {
    const CATEGORY: &str = "math";
    type Output = u64;
    fn run(self, ctx: &mut Context) -> Result<u64> {
        match &*self.act {
            "fail" => Err(anyhow::anyhow!("no ink").context("writing")),
            "panic" => panic!("out of {}", "range"),
            "stop" => {
                ctx.step(1, 3)?;
                ctx.stop.store(true, std::sync::atomic::Ordering::Relaxed);
                ctx.step(2, 3)?;
                unreachable!("nobody goes on after a stop")
            }
            _ => Ok(self.value),
        }
    }
}

/// Reads a file of the input folder.
#[derive(Inputs)]
pub struct Read {
    /// Its name.
    #[widget(file_or("input", &["nothing"]))]
    file: String,
}

impl Node for Read {
    const CATEGORY: &str = "math";
    type Output = u64;
    fn run(self, ctx: &mut Context) -> Result<u64> {
        if self.file == "nothing" { Ok(0) } else { ctx.host.fingerprint("input", &self.file) }
    }
}

/// Gives a text of a size.
#[derive(Inputs)]
pub struct Blob {
    /// Its size.
    #[widget(number(0))]
    size: u64,
    /// Makes it another one; may be NaN.
    #[widget(number(0.0))]
    salt: Option<f64>,
}

impl Node for Blob {
    const CATEGORY: &str = "math";
    type Output = String;
    fn run(self, _: &mut Context) -> Result<String> {
        Ok("x".repeat(self.size as usize + usize::from(self.salt.is_none())))
    }
}

/// Shows the length of a text.
#[derive(Inputs)]
pub struct Length {
    /// The text.
    #[widget(text(""))]
    text: String,
}

impl Node for Length {
    const CATEGORY: &str = "math";
    const OUTPUT_NODE: bool = true;
    type Output = ();
    fn run(self, ctx: &mut Context) -> Result<()> {
        ctx.show("numbers", self.text.len().into());
        Ok(())
    }
}

/// Gives the numbers up to one, as a list.
#[derive(Inputs)]
pub struct Count {
    /// How many.
    #[widget(number(0))]
    to: u64,
}

impl Node for Count {
    const CATEGORY: &str = "math";
    type Output = List<u64>;
    fn run(self, _: &mut Context) -> Result<List<u64>> {
        Ok(List((0..self.to).collect()))
    }
}

/// The sum of a list.
#[derive(Inputs)]
pub struct Sum {
    /// The list.
    #[widget(number(0))]
    values: List<u64>,
    /// Added once.
    #[widget(number(0))]
    more: u64,
}

impl Node for Sum {
    const CATEGORY: &str = "math";
    type Output = u64;
    fn run(self, _: &mut Context) -> Result<u64> {
        Ok(self.values.0.iter().sum::<u64>() + self.more)
    }
}

/// Gives on one of two values and never asks for the other.
#[derive(Inputs)]
pub struct Pick {
    /// Which.
    #[widget(toggle(false))]
    second: bool,
    /// The first.
    a: Lazy<Value>,
    /// The second.
    b: Lazy<Value>,
}

impl Node for Pick {
    const CATEGORY: &str = "math";
    type Output = Value;
    fn needs(&self) -> Vec<&'static str> {
        vec![if self.second { "b" } else { "a" }]
    }
    fn run(self, _: &mut Context) -> Result<Value> {
        if self.second { self.b } else { self.a }.get()
    }
}

/// Gives a number on if it is large enough, else stops what follows.
#[derive(Inputs)]
pub struct AtLeast {
    /// The number.
    #[widget(number(0))]
    value: u64,
    /// What is large enough.
    #[widget(number(0))]
    least: u64,
}

impl Node for AtLeast {
    const CATEGORY: &str = "math";
    type Output = Gate<u64>;
    fn run(self, _: &mut Context) -> Result<Gate<u64>> {
        let reason = || format!("{} is less than {}", self.value, self.least);
        Ok(if self.value < self.least {
            Gate::Shut(Some(reason()))
        } else {
            Gate::Open(self.value)
        })
    }
}

/// `times` times a number, by adding in nodes of its own.
#[derive(Inputs)]
pub struct Times {
    /// The number.
    #[widget(number(0))]
    value: u64,
    /// How often.
    #[widget(number(0))]
    times: u64,
}

impl Node for Times {
    const CATEGORY: &str = "math";
    type Output = u64;
    fn run(self, ctx: &mut Context) -> Result<u64> {
        if self.times == 0 {
            return Ok(0);
        }
        let graph = json!({
            "rest": node("Times", json!({"value": self.value, "times": self.times - 1})),
            "sum": node("Add", json!({"a": ["rest", 0], "b": self.value})),
            "show": node("Save", json!({"value": ["sum", 0]})),
        });
        let graph = graph.as_object().unwrap().clone();
        ctx.expansion = Some(Expansion { graph, outputs: vec![("sum".to_owned(), 0)] });
        Ok(0)
    }
}

/// A new number each time.
#[derive(Inputs)]
pub struct Fresh {}

impl Node for Fresh {
    const CATEGORY: &str = "math";
    const IDEMPOTENT: bool = false;
    type Output = f64;
    fn run(self, _: &mut Context) -> Result<f64> {
        Ok(0.5)
    }
}

macro_rules! sockets { ($($name:ident $ty:literal),*) => {$(
    #[derive(Clone)]
    pub struct $name;
    impl Field for $name { const TYPE: &'static str = $ty; }
)*}}
sockets!(Image "IMAGE", Latent "LATENT", Model "MODEL");

/// Imitates ComfyUI's node of that name.
#[derive(Inputs)]
pub struct SaveImage {
    /// The images to save.
    images: Image,
    /// The prefix.
    #[widget(text("ComfyUI"))]
    filename_prefix: String,
}

impl Node for SaveImage {
    const CATEGORY: &str = "image";
    const OUTPUT_NODE: bool = true;
    type Output = ();
    fn run(self, _: &mut Context) -> Result<()> {
        let _ = (self.images, self.filename_prefix);
        Ok(())
    }
}

/// Imitates ComfyUI's node of that name.
#[derive(Inputs)]
pub struct EmptyLatentImage {
    /// The width.
    #[widget(number(512).range(16..=16384).step(8))]
    width: u32,
}

impl Node for EmptyLatentImage {
    const CATEGORY: &str = "latent";
    type Output = Latent;
    fn run(self, _: &mut Context) -> Result<Latent> {
        let _ = self.width;
        Ok(Latent)
    }
}

/// Imitates ComfyUI's node of that name.
#[derive(Inputs)]
pub struct CheckpointLoaderSimple {
    /// The name of the checkpoint (model) to load.
    #[widget(file("checkpoints"))]
    ckpt_name: String,
}

impl Node for CheckpointLoaderSimple {
    const CATEGORY: &str = "loaders";
    type Output = Model;
    fn run(self, _: &mut Context) -> Result<Model> {
        let _ = self.ckpt_name;
        Ok(Model)
    }
}

/// Imitates the inputs of ComfyUI's node of that name that the probes break.
#[derive(Inputs)]
pub struct KSampler {
    /// The seed.
    #[widget(seed())]
    seed: u64,
    /// The steps.
    #[widget(number(20).range(1..=10000))]
    steps: u32,
    /// The guidance.
    #[widget(number(8.0).range(0.0..=100.0).step(0.1).round(0.01))]
    cfg: f64,
    /// The sampler.
    #[widget(one_of((0..42).map(|i| if i == 0 { "euler" } else { "another" })))]
    sampler_name: String,
    /// The latent.
    latent_image: Latent,
}

impl Node for KSampler {
    const CATEGORY: &str = "sampling";
    type Output = Image;
    fn run(self, _: &mut Context) -> Result<Image> {
        let _ = (self.seed, self.steps, self.cfg, self.sampler_name, self.latent_image);
        Ok(Image)
    }
}

pub fn node_types() -> Vec<NodeType> {
    vec![
        NodeType::of::<Add>(),
        NodeType::of::<Save>(),
        NodeType::of::<Act>(),
        NodeType::of::<Read>(),
        NodeType::of::<Blob>(),
        NodeType::of::<Length>(),
        NodeType::of::<Count>(),
        NodeType::of::<Sum>(),
        NodeType::of::<Pick>(),
        NodeType::of::<AtLeast>(),
        NodeType::of::<Times>(),
        NodeType::of::<Fresh>(),
        NodeType::of::<SaveImage>(),
        NodeType::of::<EmptyLatentImage>(),
        NodeType::of::<CheckpointLoaderSimple>(),
        NodeType::of::<KSampler>(),
    ]
}

/// Two folders; the "content" of a file is its fingerprint.
pub struct Shelf(pub Mutex<BTreeMap<&'static str, BTreeMap<String, u64>>>);

impl Default for Shelf {
    fn default() -> Self {
        let folder = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), 1)).collect();
        Self(Mutex::new(BTreeMap::from([
            ("input", folder(&["a.png", "b.png"])),
            ("checkpoints", folder(&["sd15_random_fp16.safetensors", "tiny_sd15.safetensors"])),
        ])))
    }
}

impl Host for Shelf {
    fn list(&self, folder: &str) -> Vec<String> {
        self.0.lock().unwrap()[folder].keys().cloned().collect()
    }
    fn find(&self, folder: &str, name: &str) -> Result<File> {
        self.fingerprint(folder, name)?;
        Ok(File::Path(name.into()))
    }
    fn folder(&self, name: &str) -> Result<PathBuf> {
        anyhow::bail!("no folder {name}")
    }
    fn fingerprint(&self, folder: &str, name: &str) -> Result<u64> {
        let found = self.0.lock().unwrap()[folder].get(name).copied();
        found.ok_or_else(|| anyhow::anyhow!("no file in `{folder}` (searched models/{folder})"))
    }
}

/// Plans `prompt` with the test nodes and passes the plan on.
pub fn planned<T>(prompt: &Json, f: impl FnOnce(Result<Plan, Rejection>) -> T) -> T {
    planned_for(prompt, Targets::Outputs, f)
}

pub fn planned_for<T>(
    prompt: &Json,
    targets: Targets,
    f: impl FnOnce(Result<Plan, Rejection>) -> T,
) -> T {
    let types = node_types();
    f(Plan::new(prompt, &Types::new(&types), &Shelf::default(), targets))
}

/// The rejection of a bad `prompt`.
pub fn rejected(prompt: &Json) -> Rejection {
    planned(prompt, |plan| plan.err().expect("a bad graph"))
}

/// An engine with the test nodes, for several runs.
pub fn with_engine<T>(f: impl FnOnce(&mut Engine, &Shelf) -> T) -> T {
    let (types, host, services) = (node_types(), Shelf::default(), Services::default());
    f(&mut Engine::new(&types, &host, &services), &host)
}

/// Plans and runs; gives the outcome and what was told.
pub fn run(engine: &mut Engine, prompt: &Json, targets: Targets) -> (Outcome, Vec<RunEvent>) {
    let plan = engine.plan(prompt, targets).unwrap_or_else(|error| panic!("{error}"));
    let mut events = Vec::new();
    let stop = AtomicBool::new(false);
    let options = RunOptions { prompt, extra: &Map::new(), stop: &stop };
    let outcome = engine.run(&plan, &options, &mut |event| events.push(event));
    (outcome, events)
}

/// The nodes that began to run, in order.
pub fn started(events: &[RunEvent]) -> Vec<&str> {
    let mut ids = Vec::new();
    for event in events {
        if let RunEvent::Started { id, .. } = event {
            ids.push(&**id);
        }
    }
    ids
}

/// A node in API form.
#[allow(clippy::needless_pass_by_value)]
pub fn node(class: &str, inputs: Json) -> Json {
    json!({"class_type": class, "inputs": inputs})
}
