//! What a run has done to each node of a graph.

use crate::{
    pictures::Picture,
    runs::why::{self, Prompt},
    thumbnails::{Thumbnail, Thumbnails},
};
use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use engine::{Failure, NodeErrors, Rejection, RunEvent};
use graph::Json;
use serde_json::Map;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// What there is to show on a node.
#[derive(Clone, Default)]
pub struct NodeState {
    /// Steps done, and of how many.
    pub progress: Option<(usize, usize)>,
    /// Steps in a second.
    pub rate: Option<f32>,
    /// Seconds left, as far as can be told.
    pub left: Option<f32>,
    pub running: bool,
    /// Its earlier result served.
    pub cached: bool,
    /// How long it ran.
    pub seconds: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
    /// What is wrong with it before it can run: the input, if it is one's fault, and the words.
    pub problems: Vec<(Option<String>, String)>,
    /// The pictures it shows: its results, or while it runs what there is of them so far.
    pub images: Vec<TextureHandle>,
    /// The files of its results, as many as there are results in `images` once they are read.
    pub pictures: Vec<Picture>,
    /// Texts and numbers that it shows.
    pub texts: Vec<String>,
    /// What it told that is no error.
    pub notes: Vec<String>,
    /// Why it had to run again.
    pub why: Option<String>,
    /// Whether the files of `pictures` are still to be read.
    pub(crate) reading: bool,
    /// When it was this far for the first time.
    pub(crate) first: Option<(Instant, usize)>,
}

/// Something that is wrong, for the list of errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The node, `12:7` if it is within a subgraph; empty if it is the graph as a whole.
    pub node: String,
    /// What the node is called.
    pub title: String,
    pub input: Option<String>,
    pub message: String,
    /// Nothing ran because of it, or the run ended; otherwise the rest of the graph ran.
    pub fatal: bool,
}

/// The nodes of one graph, by their ids in API form, and the subgraphs around them.
#[derive(Default)]
pub struct Nodes {
    states: HashMap<String, NodeState>,
    pub problems: Vec<Problem>,
    /// What runs, or ran last.
    prompt: Arc<Prompt>,
    /// By node: the graph with which it last had a result.
    before: HashMap<String, Arc<Prompt>>,
    /// Nodes that began to run, how many will, and which runs.
    started: usize,
    total: usize,
    current: Option<String>,
}

impl Nodes {
    pub fn get(&self, path: &str) -> Option<&NodeState> {
        self.states.get(path)
    }

    /// The paths of the nodes that show pictures.
    pub fn with_pictures(&self) -> impl Iterator<Item = &str> {
        let showing = self.states.iter().filter(|(_, state)| !state.images.is_empty());
        showing.map(|(path, _)| path.as_str())
    }

    /// A run begins: results stay until there are new ones, everything else is of the past.
    pub fn start(&mut self, prompt: Arc<Prompt>) {
        self.prompt = prompt;
        self.problems.clear();
        (self.started, self.total, self.current) = (0, 0, None);
        self.before.retain(|id, _| self.prompt.contains_key(id));
        let known: HashSet<&str> = self.prompt.keys().flat_map(|id| outwards(id)).collect();
        self.states.retain(|path, _| known.contains(&**path));
        for state in self.states.values_mut() {
            *state = NodeState {
                images: std::mem::take(&mut state.images),
                pictures: std::mem::take(&mut state.pictures),
                texts: std::mem::take(&mut state.texts),
                reading: state.reading,
                ..NodeState::default()
            };
        }
    }

    /// Nothing runs any more, however it ended.
    pub fn end(&mut self) {
        self.current = None;
        for state in self.states.values_mut() {
            state.running = false;
            (state.progress, state.left, state.rate) = (None, None, None);
        }
    }

    /// How much of the run is done, from 0 to 1.
    pub fn done(&self) -> f32 {
        let steps = self.current.as_ref().and_then(|id| self.states.get(id)?.progress);
        let part = steps.map_or(0.0, |(done, total)| done as f32 / total.max(1) as f32);
        (self.started.saturating_sub(1) as f32 + part) / self.total.max(1) as f32
    }

    /// The node that runs.
    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    pub fn on(&mut self, event: RunEvent, now: Instant, ctx: &Context) {
        match event {
            RunEvent::Cached { ids } => self.cached(&ids),
            RunEvent::Started { id, index, total } => self.started(id, index, total),
            RunEvent::Step { id, done, total } => {
                self.each(&id, |state| state.step(done, total, now));
            }
            RunEvent::Preview { id, width, height, rgb } => {
                let image = ColorImage::from_rgb([width as usize, height as usize], &rgb);
                let texture =
                    ctx.load_texture(format!("preview {id}"), image, TextureOptions::LINEAR);
                self.each(&id, |state| state.images = vec![texture.clone()]);
            }
            RunEvent::Note { id, text } => self.each(&id, |state| state.notes.push(text.clone())),
            RunEvent::Executed { id, ui, seconds, cached } => {
                self.each(&id, |state| state.executed(&ui, seconds, cached));
                self.before.insert(id, self.prompt.clone());
            }
            RunEvent::Failed(failure) => self.failed(&failure),
            RunEvent::Took { .. } | RunEvent::Interrupted { .. } => {}
        }
    }

    /// Takes up the pictures that have been read by now; whether there were any.
    pub fn take_pictures(&mut self, thumbnails: &Thumbnails) {
        let reading = self.states.values_mut().filter(|state| state.reading);
        reading.for_each(|state| state.take_pictures(thumbnails));
    }

    /// The pictures that nodes showed in an earlier window.
    pub fn show_again(&mut self, shown: &BTreeMap<String, Vec<Picture>>) {
        for (id, pictures) in shown {
            self.each(id, |state| {
                state.pictures.clone_from(pictures);
                state.reading = true;
            });
        }
    }

    pub fn reject(&mut self, rejection: &Rejection) {
        if rejection.nodes.0.is_empty() {
            let whole = |problem: &engine::Problem| Problem {
                node: String::new(),
                title: "The graph".into(),
                input: None,
                message: problem.help.clone(),
                fatal: true,
            };
            self.problems.extend(rejection.errors.iter().map(whole));
        }
        self.warn(&rejection.nodes, true);
    }

    /// What is wrong with single nodes; `fatal` if nothing ran because of it.
    pub fn warn(&mut self, errors: &NodeErrors, fatal: bool) {
        for node in &errors.0 {
            for problem in &node.problems {
                let input = problem.extra_info.get("input_name").and_then(Json::as_str);
                let input = input.map(ToOwned::to_owned);
                let message = problem.help.clone();
                let entry = (input.clone(), message.clone());
                self.each(&node.id, |state| state.problems.push(entry.clone()));
                let (node, title) = (node.id.clone(), node.title.clone());
                self.problems.push(Problem { node, title, input, message, fatal });
            }
        }
    }

    /// A node's error, or that of the program itself.
    pub fn failed(&mut self, failure: &Failure) {
        let message = failure.chain.join(": ");
        self.each(&failure.id, |state| {
            state.running = false;
            state.error = Some(message.clone());
        });
        let (node, title) = (failure.id.clone(), failure.title.clone());
        let title = if title.is_empty() { "Weft".into() } else { title };
        self.problems.push(Problem { node, title, input: None, message, fatal: true });
    }

    /// What a node is called: the title a person gave it, or its class.
    pub fn title(&self, id: &str) -> String {
        let node = self.prompt.get(id);
        let text =
            |json: &Json| json.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        let title =
            node.and_then(|n| text(&n["_meta"]["title"]).or_else(|| text(&n["class_type"])));
        title.unwrap_or_else(|| format!("node {id}"))
    }

    fn cached(&mut self, ids: &[String]) {
        for id in ids {
            self.each(id, |state| state.cached = true);
            self.before.insert(id.clone(), self.prompt.clone());
        }
        // A subgraph is only cached if all of it is.
        let cached: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let due = self.prompt.keys().filter(|id| !cached.contains(&***id));
        for path in due.flat_map(|id| outwards(id)) {
            if let Some(state) = self.states.get_mut(path) {
                state.cached = false;
            }
        }
    }

    fn started(&mut self, id: String, index: usize, total: usize) {
        if let Some(last) = self.current.take() {
            self.each(&last, |state| state.running = false);
        }
        (self.started, self.total) = (index + 1, total);
        let why = self.why(&id);
        self.each(&id, |state| {
            state.running = true;
            (state.progress, state.rate, state.left, state.first) = (None, None, None, None);
            state.why.clone_from(&why);
        });
        self.current = Some(id);
    }

    /// Nothing if it never had a result: then it has to run.
    fn why(&self, id: &str) -> Option<String> {
        let cause = why::why(self.before.get(id)?, &self.prompt, id);
        let unchanged = || "a file changed, or its result was no longer kept".to_owned();
        Some(cause.map_or_else(unchanged, |cause| cause.words(id, |node| self.title(node))))
    }

    /// Changes a node, and the subgraphs around it, which show what goes on inside.
    fn each(&mut self, id: &str, mut change: impl FnMut(&mut NodeState)) {
        for path in outwards(id) {
            // Looking first spares a copy of the name.
            if let Some(state) = self.states.get_mut(path) {
                change(state);
            } else {
                change(self.states.entry(path.to_owned()).or_default());
            }
        }
    }
}

/// `12:7:3`, `12:7`, `12`.
fn outwards(id: &str) -> impl Iterator<Item = &str> {
    let first = Some(id).filter(|id| !id.is_empty());
    std::iter::successors(first, |path| Some(path.rsplit_once(':')?.0))
}

impl NodeState {
    fn step(&mut self, done: usize, total: usize, now: Instant) {
        let first = *self.first.get_or_insert((now, done));
        self.progress = Some((done, total));
        if let Some((rate, left)) = pace(first, (now, done), total) {
            (self.rate, self.left) = (Some(rate), Some(left));
        }
    }

    fn executed(&mut self, ui: &Map<String, Json>, seconds: f64, cached: bool) {
        self.running = false;
        if !cached {
            self.seconds = Some(self.seconds.unwrap_or(0.0) + seconds);
        }
        if ui.is_empty() {
            return;
        }
        self.texts = texts(ui);
        self.pictures = Picture::all_of(ui);
        self.reading = !self.pictures.is_empty();
    }

    fn take_pictures(&mut self, thumbnails: &Thumbnails) {
        let all: Vec<Thumbnail> =
            self.pictures.iter().map(|picture| thumbnails.get(picture)).collect();
        if all.iter().any(|one| matches!(one, Thumbnail::Loading)) {
            return;
        }
        self.reading = false;
        self.images = all.iter().filter_map(Thumbnail::texture).cloned().collect();
    }
}

/// Steps a second and seconds left. The first step is no measure: it also makes everything ready.
fn pace(first: (Instant, usize), now: (Instant, usize), total: usize) -> Option<(f32, f32)> {
    let (seconds, steps) = ((now.0 - first.0).as_secs_f32(), now.1.checked_sub(first.1)?);
    if steps == 0 || seconds <= 0.0 {
        return None;
    }
    let rate = steps as f32 / seconds;
    Some((rate, total.saturating_sub(now.1) as f32 / rate))
}

/// All that a node shows beside pictures, a line for each.
fn texts(ui: &Map<String, Json>) -> Vec<String> {
    let others = BTreeMap::from_iter(ui.iter().filter(|(key, _)| *key != "images"));
    let entries = others.into_values().filter_map(Json::as_array).flatten();
    let plain = entries.filter(|entry| entry.is_string() || entry.is_number());
    plain.map(|entry| entry.as_str().map_or_else(|| entry.to_string(), ToOwned::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_pace_is_counted_from_the_first_step() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pace((start, 1), (start, 1), 9), None);
        assert_eq!(pace((start, 1), (after(2), 5), 9), Some((2.0, 2.0)));
        assert_eq!(pace((start, 4), (after(2), 3), 9), None);
    }

    #[test]
    fn subgraphs_around_a_node_show_what_goes_on_inside() {
        let mut nodes = Nodes::default();
        let prompt = serde_json::json!({"1": {}, "12:7": {}, "12:8": {}});
        nodes.start(Arc::new(prompt.as_object().unwrap().clone()));
        let ctx = Context::default();
        let now = Instant::now();
        nodes.on(RunEvent::Cached { ids: vec!["1".into(), "12:8".into()] }, now, &ctx);
        assert!(nodes.get("1").unwrap().cached && nodes.get("12:8").unwrap().cached);
        assert!(!nodes.get("12").unwrap().cached);
        nodes.on(RunEvent::Started { id: "12:7".into(), index: 0, total: 2 }, now, &ctx);
        nodes.on(RunEvent::Step { id: "12:7".into(), done: 1, total: 4 }, now, &ctx);
        assert!(nodes.get("12:7").unwrap().running && nodes.get("12").unwrap().running);
        assert_eq!(nodes.get("12").unwrap().progress, Some((1, 4)));
        assert!((nodes.done() - 0.125).abs() < 1e-6);
        nodes.end();
        assert!(!nodes.get("12").unwrap().running);
    }
}
