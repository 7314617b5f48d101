//! The world as a node sees it: folders, services, progress, the wish to stop.

use crate::{Json, Result};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq)]
pub enum File {
    Path(PathBuf),
    /// Parts that come with the program; together they are one file (its tensors are the union).
    Builtin(&'static [&'static [u8]]),
}

/// The folders a graph may read and write. Names are relative, with `/`; nothing outside is reachable.
pub trait Host: Send + Sync {
    /// The files in a folder of ComfyUI's name (`checkpoints`, `loras`, `input`, ...), sorted.
    fn list(&self, folder: &str) -> Vec<String>;
    /// The file behind a name; the error names it and the folders that were searched.
    fn find(&self, folder: &str, name: &str) -> Result<File>;
    /// Where `SaveImage` writes (`output`) or previews go (`temp`).
    fn folder(&self, name: &str) -> Result<PathBuf>;
    /// A number that changes when the content of the file does.
    fn fingerprint(&self, folder: &str, name: &str) -> Result<u64>;
}

/// What nodes share and a graph does not name, by type: the device, loaded weights, options.
#[derive(Clone, Default)]
pub struct Services(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Services {
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, service: Arc<T>) -> Self {
        self.0.insert(TypeId::of::<T>(), service);
        self
    }
    /// The service of that type; a panic if the program forgot to provide it.
    #[track_caller]
    pub fn get<T: Any + Send + Sync>(&self) -> Arc<T> {
        let service = self.find();
        service.unwrap_or_else(|| panic!("no service {}", std::any::type_name::<T>()))
    }
    /// The service of that type, where programs need not provide one.
    pub fn find<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }
}

/// What a running node tells the program.
#[derive(Clone, Debug)]
pub enum Event {
    /// `done` of `total` steps are behind us.
    Step { done: usize, total: usize },
    /// A picture of the work so far: RGB, 8 bits.
    Preview { width: u32, height: u32, rgb: Arc<[u8]> },
    /// Something worth telling a person that is no error.
    Note(String),
    /// A part of the node's work, such as encoding a picture, took so long.
    Took { what: &'static str, seconds: f64 },
}

/// Everything a node may ask of the outside world.
pub struct Context<'a> {
    pub host: &'a dyn Host,
    pub services: &'a Services,
    /// The whole graph in API form, as it is saved into pictures.
    pub prompt: &'a Json,
    /// What else is saved into pictures by key, such as `workflow`, the UI form.
    pub extra: &'a serde_json::Map<String, Json>,
    pub stop: &'a AtomicBool,
    pub events: &'a mut dyn FnMut(Event),
    /// What the node shows, as in ComfyUI's `ui`: `{"images": [{filename, subfolder, type}]}`.
    pub ui: serde_json::Map<String, Json>,
    /// Nodes that shall run in this one's place.
    pub expansion: Option<Expansion>,
}

/// A graph in API form that a node has run in its place. Links in it name its own nodes, or those of
/// the graph around it.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    pub graph: serde_json::Map<String, Json>,
    /// The node and the output in it that each output of the node is taken from.
    pub outputs: Vec<(String, usize)>,
}

impl Context<'_> {
    /// Reports progress; an error if someone wants the run to stop.
    pub fn step(&mut self, done: usize, total: usize) -> Result<()> {
        (self.events)(Event::Step { done, total });
        self.check()
    }

    /// An [`Interrupted`] error if someone wants the run to stop. To be asked before every long call.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
    }

    /// Says what a part of the node's work took, from `start` to now: for accounts of a run's time.
    pub fn took(&mut self, what: &'static str, start: Instant) {
        (self.events)(Event::Took { what, seconds: start.elapsed().as_secs_f64() });
    }

    pub fn note(&mut self, text: impl Into<String>) {
        (self.events)(Event::Note(text.into()));
    }

    /// Adds to the list `key` of what the node shows.
    pub fn show(&mut self, key: &str, item: Json) {
        let list = self.ui.entry(key).or_insert_with(|| Json::Array(Vec::new()));
        if let Json::Array(list) = list {
            list.push(item);
        }
    }

    /// Runs `f` in a context without folders or services: for tests of single nodes.
    pub fn bare<T>(f: impl FnOnce(&mut Context) -> T) -> T {
        f(&mut Context {
            host: &Nowhere,
            services: &Services::default(),
            prompt: &Json::Null,
            extra: &serde_json::Map::new(),
            stop: &AtomicBool::new(false),
            events: &mut |_| {},
            ui: serde_json::Map::new(),
            expansion: None,
        })
    }
}

/// The run was stopped because someone asked for it.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A host with no folders.
struct Nowhere;

impl Host for Nowhere {
    fn list(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn find(&self, folder: &str, name: &str) -> Result<File> {
        anyhow::bail!("no file {}", Path::new(folder).join(name).display())
    }
    fn folder(&self, name: &str) -> Result<PathBuf> {
        anyhow::bail!("no folder {name}")
    }
    fn fingerprint(&self, folder: &str, name: &str) -> Result<u64> {
        self.find(folder, name).map(|_| 0)
    }
}
