//! Everything that runs, waits to run or has run, and what it has done to each node.
//!
//! [`Runs`] turns the events of a [`Session`] into what the editor draws. It is asked once a frame to
//! [`poll`](Runs::poll) and never waits: pictures are read on a thread of their own.

#[cfg(test)]
mod panels_tests;
mod state;
#[cfg(test)]
pub(crate) mod tests;
pub use engine::why;

use crate::{
    doc::Id,
    pictures::Picture,
    session::{self, Session},
    thumbnails::{FRAME, Thumbnails},
};
use egui::Context;
use engine::{End, RunEvent};
use graph::{Host, Json};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Instant, SystemTime},
};

pub use state::{NodeState, Nodes, Problem};

/// The number of an open file, given by whoever opens them.
pub type Tab = u64;
/// The number of a run; later ones have larger numbers.
pub type Number = u64;
/// Tells whether a run is as it was.
pub type Mark = (std::mem::Discriminant<Stage>, usize);

/// A graph as the editor hands it over to be run.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Whose nodes show what happens.
    pub tab: Tab,
    /// What the run is called in the lists: the file's name.
    pub title: String,
    /// In API form.
    pub prompt: why::Prompt,
    /// In UI form, as pictures carry it.
    pub workflow: Json,
    /// Nodes to run up to; empty for all outputs.
    pub targets: Vec<String>,
}

/// What has become of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    #[default]
    Waiting,
    Running,
    Done,
    /// With the reason, in words.
    Failed(String),
    Cancelled,
}

/// A run, from when it was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub number: Number,
    pub tab: Tab,
    pub title: String,
    pub stage: Stage,
    pub prompt: Arc<why::Prompt>,
    pub workflow: Arc<Json>,
    pub targets: Vec<String>,
    /// When it was asked for.
    pub asked: SystemTime,
    /// How long it ran.
    pub seconds: Option<f64>,
    /// What it made, in the order in which it was made.
    pub pictures: Vec<Picture>,
    /// The same by node, for the nodes to show them again in a later window.
    #[serde(default)]
    shown: BTreeMap<String, Vec<Picture>>,
    /// How many of its nodes had their results already.
    pub cached: usize,
    #[serde(skip)]
    began: Option<Instant>,
    #[serde(skip)]
    job: Option<session::JobId>,
}

/// So many runs are remembered that are over.
const REMEMBERED: usize = 200;

/// See the module.
pub struct Runs {
    session: Box<dyn Session>,
    pub host: Arc<dyn Host>,
    pub thumbnails: Thumbnails,
    /// In the order in which they were asked for.
    runs: Vec<Run>,
    nodes: HashMap<Tab, Nodes>,
    /// Which file and which of its subgraphs is seen: `12:7:`, empty for the outermost.
    shown: (Tab, String),
    /// How often a graph is queued by one press of the button.
    pub batch: usize,
    /// Whether a graph runs whenever it has changed.
    pub on_change: bool,
    /// Whether samplers show the picture as it comes.
    pub previews: bool,
}

/// For [`session::Local::start`]: has the window drawn soon after an event, and not too often.
pub fn wake(ctx: &Context) -> impl Fn() + Send + 'static {
    let ctx = ctx.clone();
    move || ctx.request_repaint_after(FRAME)
}

impl Runs {
    pub fn new(session: Box<dyn Session>, host: Arc<dyn Host>, ctx: &Context) -> Self {
        Self {
            session,
            thumbnails: Thumbnails::new(host.clone(), ctx.clone()),
            host,
            runs: Vec::new(),
            nodes: HashMap::new(),
            shown: (0, String::new()),
            batch: 1,
            on_change: false,
            previews: true,
        }
    }

    /// Says which file is seen, and within which of its subgraphs, outermost first.
    pub fn look(&mut self, tab: Tab, level: &[Id]) {
        let prefix = level.iter().map(|id| format!("{id}:")).collect();
        self.shown = (tab, prefix);
    }

    /// Which file is seen, and which of its subgraphs: `12:7:`, empty for the outermost.
    pub fn shown(&self) -> (Tab, &str) {
        (self.shown.0, &self.shown.1)
    }

    /// A node of the graph that is seen.
    pub fn node(&self, id: Id) -> Option<&NodeState> {
        let (tab, prefix) = &self.shown;
        self.nodes.get(tab)?.get(&format!("{prefix}{id}"))
    }

    /// The nodes of the graph that is seen that show pictures.
    pub fn with_pictures(&self) -> BTreeSet<Id> {
        let (tab, prefix) = &self.shown;
        let all = self.nodes.get(tab).into_iter().flat_map(Nodes::with_pictures);
        all.filter_map(|path| path.strip_prefix(&**prefix)?.parse().ok()).collect()
    }

    /// All nodes of a file.
    pub fn nodes(&self, tab: Tab) -> Option<&Nodes> {
        self.nodes.get(&tab)
    }

    /// What is wrong with the graph that is seen, as its last run found.
    pub fn problems(&self) -> &[Problem] {
        self.nodes.get(&self.shown.0).map_or(&[], |nodes| &nodes.problems)
    }

    /// In the order in which they were asked for.
    pub fn all(&self) -> &[Run] {
        &self.runs
    }

    pub fn get(&self, number: Number) -> Option<&Run> {
        self.runs.iter().find(|run| run.number == number)
    }

    pub fn running(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.stage == Stage::Running)
    }

    /// Those that wait, the next one first.
    pub fn waiting(&self) -> Vec<&Run> {
        let order = self.session.waiting();
        order.iter().filter_map(|job| self.runs.iter().find(|run| run.job == Some(*job))).collect()
    }

    /// How much of the current run is done, from 0 to 1; `None` if nothing runs.
    pub fn progress(&self) -> Option<f32> {
        Some(self.nodes.get(&self.running()?.tab)?.done())
    }

    /// Puts a graph into the queue: at its end, or before all that wait.
    pub fn submit(&mut self, order: Order, front: bool) -> Number {
        let job = job(&order.prompt, &order.workflow, &order.targets);
        let number = self.next_number();
        self.runs.push(Run {
            number,
            tab: order.tab,
            title: order.title,
            stage: Stage::Waiting,
            prompt: Arc::new(order.prompt),
            workflow: Arc::new(order.workflow),
            targets: order.targets,
            asked: SystemTime::now(),
            seconds: None,
            pictures: Vec::new(),
            shown: BTreeMap::new(),
            cached: 0,
            began: None,
            job: Some(self.session.submit(job, front)),
        });
        number
    }

    /// Takes a run out of the queue, or stops it if it runs.
    pub fn cancel(&mut self, number: Number) {
        let Some(run) = self.runs.iter_mut().find(|run| run.number == number) else { return };
        if let Some(job) = run.job {
            self.session.cancel(job);
        }
        // One that runs says itself when it has stopped.
        if run.stage == Stage::Waiting {
            run.stage = Stage::Cancelled;
        }
    }

    /// Stops what runs.
    pub fn interrupt(&mut self) {
        if let Some(number) = self.running().map(|run| run.number) {
            self.cancel(number);
        }
    }

    /// Takes all that wait out of the queue.
    pub fn clear_queue(&mut self) {
        let waiting: Vec<Number> = self.waiting().iter().map(|run| run.number).collect();
        waiting.into_iter().for_each(|number| self.cancel(number));
    }

    /// Moves one that waits to a place in the queue, 0 being next.
    pub fn reorder(&mut self, number: Number, place: usize) {
        if let Some(job) = self.get(number).and_then(|run| run.job) {
            self.session.reorder(job, place);
        }
    }

    /// Forgets a run that is over. The pictures that it made stay.
    pub fn forget(&mut self, number: Number) {
        self.runs.retain(|run| run.number != number || !run.over());
    }

    /// Forgets all that are over.
    pub fn clear_history(&mut self) {
        self.runs.retain(|run| !run.over());
    }

    /// Those that an earlier window left: they wait until a person wants them to run.
    pub fn held(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.held())
    }

    /// All that wait for whatever reason, the next one first.
    pub fn queued(&self) -> impl Iterator<Item = &Run> {
        self.waiting().into_iter().chain(self.held())
    }

    /// Lets those that are held run, after all that wait.
    pub fn release(&mut self) {
        for run in self.runs.iter_mut().filter(|run| run.held()) {
            let job = job(&run.prompt, &run.workflow, &run.targets);
            run.job = Some(self.session.submit(job, false));
        }
    }

    /// Takes those that are held out of the queue.
    pub fn discard_held(&mut self) {
        let held: Vec<Number> = self.held().map(|run| run.number).collect();
        held.into_iter().for_each(|number| self.cancel(number));
    }

    /// Takes up what an earlier window left. What waited, in the order of `waiting`, or ran, which comes
    /// first, is held; `tab` gives the new numbers of its files. Runs whose numbers are taken get others.
    pub fn take_back(&mut self, mut runs: Vec<Run>, waiting: &[Number], tab: impl Fn(Tab) -> Tab) {
        let place = |run: &Run| waiting.iter().position(|number| *number == run.number);
        runs.sort_by_key(|run| (place(run), run.number));
        for mut run in runs {
            if self.get(run.number).is_some() {
                run.number = self.next_number();
            }
            run.tab = tab(run.tab);
            if !run.over() {
                (run.stage, run.cached) = (Stage::Waiting, 0);
                run.pictures.clear();
                run.shown.clear();
            }
            self.nodes.entry(run.tab).or_default().show_again(&run.shown);
            self.runs.push(run);
        }
    }

    fn next_number(&self) -> Number {
        self.runs.iter().map(|run| run.number).max().unwrap_or(0) + 1
    }

    /// Takes up what has happened; to be called once a frame, before anything is drawn.
    pub fn poll(&mut self, ctx: &Context) {
        let now = Instant::now();
        for event in last_previews(self.session.poll()) {
            self.on(event, now, ctx);
        }
        for nodes in self.nodes.values_mut() {
            nodes.take_pictures(&self.thumbnails);
        }
        let over = self.runs.iter().filter(|run| run.over()).count();
        for _ in REMEMBERED..over {
            let oldest = self.runs.iter().position(Run::over).expect("there are too many");
            self.runs.remove(oldest);
        }
    }

    fn on(&mut self, event: session::Event, now: Instant, ctx: &Context) {
        let Some(run) = self.runs.iter_mut().find(|run| run.job == Some(event.job())) else {
            return;
        };
        let nodes = self.nodes.entry(run.tab).or_default();
        match event {
            session::Event::Started(_) => {
                run.stage = Stage::Running;
                run.began = Some(now);
                nodes.start(run.prompt.clone());
            }
            session::Event::Rejected(_, rejection) => {
                run.end(Stage::Failed(rejection.to_string()), now);
                nodes.reject(&rejection);
                nodes.end();
            }
            session::Event::Warned(_, errors) => nodes.warn(&errors, false),
            session::Event::Run(_, RunEvent::Preview { .. }) if !self.previews => {}
            session::Event::Run(_, event) => {
                run.note(&event);
                nodes.on(event, now, ctx);
            }
            session::Event::Ended(_, end) => {
                if let End::Failed(failure) = &end
                    && failure.id.is_empty()
                {
                    nodes.failed(failure);
                }
                run.end(end.into(), now);
                nodes.end();
            }
        }
    }
}

fn job(prompt: &why::Prompt, workflow: &Json, targets: &[String]) -> session::Job {
    let extra = [("workflow".to_owned(), workflow.clone())];
    session::Job {
        prompt: prompt.clone(),
        extra: extra.into_iter().filter(|(_, workflow)| !workflow.is_null()).collect(),
        targets: targets.to_vec(),
    }
}

impl Run {
    /// Another value whenever something of the run has changed that is worth keeping.
    pub fn mark(&self) -> Mark {
        (std::mem::discriminant(&self.stage), self.pictures.len())
    }

    /// Whether it waits for a person to let it run.
    pub fn held(&self) -> bool {
        self.stage == Stage::Waiting && self.job.is_none()
    }

    pub fn over(&self) -> bool {
        !matches!(self.stage, Stage::Waiting | Stage::Running)
    }

    /// Whether it has begun to run, in this session.
    pub fn began(&self) -> bool {
        self.began.is_some()
    }

    /// How long it has been running, or ran.
    pub fn elapsed(&self) -> Option<f64> {
        self.seconds.or_else(|| Some(self.began?.elapsed().as_secs_f64()))
    }

    /// The first seed in the graph.
    pub fn seed(&self) -> Option<u64> {
        let seed = |node: &Json| {
            let inputs = &node["inputs"];
            inputs["seed"].as_u64().or_else(|| inputs["noise_seed"].as_u64())
        };
        self.prompt.values().find_map(seed)
    }

    fn end(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.seconds = self.began.map(|began| (now - began).as_secs_f64());
    }

    fn note(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Cached { ids } => self.cached = ids.len(),
            RunEvent::Executed { id, ui, .. } => {
                let pictures = Picture::all_of(ui);
                self.pictures.extend_from_slice(&pictures);
                if !pictures.is_empty() {
                    self.shown.insert(id.clone(), pictures);
                }
            }
            _ => {}
        }
    }
}

impl From<End> for Stage {
    fn from(end: End) -> Self {
        match end {
            End::Completed => Self::Done,
            End::Failed(failure) if failure.id.is_empty() => Self::Failed(failure.chain.join(": ")),
            End::Failed(failure) => Self::Failed(failure.to_string()),
            End::Interrupted(_) => Self::Cancelled,
        }
    }
}

impl session::Event {
    /// The job that it tells of.
    pub fn job(&self) -> session::JobId {
        match self {
            Self::Started(job)
            | Self::Rejected(job, _)
            | Self::Warned(job, _)
            | Self::Run(job, _)
            | Self::Ended(job, _) => *job,
        }
    }
}

/// Of several previews of a node between two frames only the last one is ever seen.
fn last_previews(mut events: Vec<session::Event>) -> Vec<session::Event> {
    let preview = |event: &session::Event| match event {
        session::Event::Run(_, RunEvent::Preview { id, .. }) => Some(id.clone()),
        _ => None,
    };
    let mut later = None;
    let mut keep: Vec<bool> = Vec::with_capacity(events.len());
    for event in events.iter().rev() {
        let node = preview(event);
        keep.push(node.is_none() || node != later);
        later = node.or(later);
    }
    let mut keep = keep.into_iter().rev();
    events.retain(|_| keep.next().unwrap_or(true));
    events
}
