//! Runs a plan: steps whose results are not cached, in order, until done, failed or stopped.

use crate::{
    Cache, Cached, Plan, Rejection, Source, Step, Targets, Types,
    panics::caught,
    reject::{brief, named},
};
use anyhow::Result;
use graph::{Args, Context, Event, Host, Interrupted, Json, NodeType, Services, Value};
use serde_json::Map;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Plans and runs graphs, and keeps their results for the next time.
pub struct Engine<'a> {
    pub cache: Cache,
    types: Types<'a>,
    host: &'a dyn Host,
    services: &'a Services,
}

/// The bound of an engine's cache unless it is set: 2 GiB of values.
const CACHE_BYTES: usize = 2 << 30;

/// What a run is told beside its plan.
pub struct RunOptions<'r> {
    /// The graph in API form, as nodes save it into pictures.
    pub prompt: &'r Json,
    /// What else they save, such as `workflow`.
    pub extra: &'r Map<String, Json>,
    /// Set by anyone who wants the run to stop.
    pub stop: &'r AtomicBool,
}

/// What happens during a run, in the order in which it happens.
#[derive(Clone, Debug)]
pub enum RunEvent {
    /// These nodes need not run: the first event of every run.
    Cached { ids: Vec<String> },
    /// The `index`-th (from 0) of `total` nodes to run begins.
    Started { id: String, index: usize, total: usize },
    /// A node has `done` of `total` steps of its work behind it.
    Step { id: String, done: usize, total: usize },
    /// A picture of a node's work so far: RGB, 8 bits.
    Preview { id: String, width: u32, height: u32, rgb: Arc<[u8]> },
    /// Something worth telling a person that is no error.
    Note { id: String, text: String },
    /// A node is done. Cached nodes say so again if they show something, as in ComfyUI.
    Executed { id: String, ui: Map<String, Json>, seconds: f64, cached: bool },
    /// A node failed; the last event.
    Failed(Failure),
    /// The run was stopped before or in this node; the last event.
    Interrupted { id: String },
}

/// Why a node failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub id: String,
    pub class: String,
    /// What the user called the node, or the class's title.
    pub title: String,
    /// The inputs that it ran with, in short, by name.
    pub inputs: Vec<(String, String)>,
    /// The error and its causes, outermost first.
    pub chain: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "node {} ({}): ", self.id, named(&self.class, &self.title))?;
        f.write_str(&self.chain.join(": "))
    }
}

impl std::error::Error for Failure {}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum End {
    Completed,
    Failed(Failure),
    /// Before or in the node of this id.
    Interrupted(String),
}

/// What became of one node.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether an earlier result served.
    pub cached: bool,
    pub seconds: f64,
    /// What the node shows: `{"images": [...]}`.
    pub ui: Map<String, Json>,
}

/// What a run came to.
pub struct Outcome {
    pub end: End,
    /// By node id: every node that has a result.
    pub reports: HashMap<String, Report>,
    values: HashMap<String, Vec<Value>>,
}

impl Outcome {
    /// The outputs of a node that was a target of the plan, if it came to have any.
    #[must_use]
    pub fn values(&self, id: &str) -> Option<&[Value]> {
        self.values.get(id).map(Vec::as_slice)
    }
}

impl<'a> Engine<'a> {
    #[must_use]
    pub fn new(types: &'a [NodeType], host: &'a dyn Host, services: &'a Services) -> Self {
        Self { cache: Cache::new(CACHE_BYTES), types: Types::new(types), host, services }
    }

    /// Checks and orders a graph in API form.
    pub fn plan(&self, prompt: &Json, targets: Targets) -> Result<Plan<'a>, Rejection> {
        Plan::new(prompt, &self.types, self.host, targets)
    }

    /// Runs what the cache does not have. Results of nodes that finish stay cached, whatever
    /// happens to later ones.
    pub fn run(
        &mut self,
        plan: &Plan,
        options: &RunOptions,
        events: &mut dyn FnMut(RunEvent),
    ) -> Outcome {
        let due = self.due(plan);
        self.pin(plan, &due);
        let cached = plan.steps.iter().zip(&due).filter(|(_, due)| !**due);
        events(RunEvent::Cached { ids: cached.map(|(step, _)| step.id.clone()).collect() });
        let keys = plan.steps.iter().zip(&due).filter(|(_, due)| **due).map(|(step, _)| step.key);
        let total = keys.collect::<HashSet<_>>().len();

        let mut run = Run { engine: self, plan, options, events, index: 0, total };
        let mut reports = HashMap::new();
        let end = run.steps(&due, &mut reports);
        let values = plan.targets.iter().filter_map(|target| {
            let step = &plan.steps[*target];
            Some((step.id.clone(), self.cache.get(step.key)?.values.clone()))
        });
        let values = values.collect();
        self.cache.unpin_all();
        Outcome { end, reports, values }
    }

    /// By step: whether it must run. What only cached steps read must not.
    fn due(&self, plan: &Plan) -> Vec<bool> {
        let mut due = vec![false; plan.steps.len()];
        for target in &plan.targets {
            due[*target] = true;
        }
        for i in (0..due.len()).rev() {
            due[i] &= !self.cache.contains(plan.steps[i].key);
            if due[i] {
                plan.steps[i].reads().for_each(|from| due[from] = true);
            }
        }
        due
    }

    /// Holds what will be read, and the targets' results, which the outcome gives.
    fn pin(&mut self, plan: &Plan, due: &[bool]) {
        for step in plan.steps.iter().zip(due).filter(|(_, due)| **due).map(|(step, _)| step) {
            // Its own result stays until a step of the same key later in the plan has seen it.
            self.cache.pin(step.key);
            step.reads().for_each(|from| self.cache.pin(plan.steps[from].key));
        }
        for target in &plan.targets {
            self.cache.pin(plan.steps[*target].key);
        }
        plan.steps.iter().for_each(|step| self.cache.touch(step.key));
    }
}

/// A run under way.
struct Run<'r, 'a, 'o> {
    engine: &'r mut Engine<'a>,
    plan: &'r Plan<'r>,
    options: &'r RunOptions<'o>,
    events: &'r mut dyn FnMut(RunEvent),
    index: usize,
    total: usize,
}

impl Run<'_, '_, '_> {
    fn steps(&mut self, due: &[bool], reports: &mut HashMap<String, Report>) -> End {
        for (step, due) in self.plan.steps.iter().zip(due) {
            if self.options.stop.load(Ordering::Relaxed) {
                return self.interrupted(step);
            }
            let seconds = if *due && !self.engine.cache.contains(step.key) {
                match self.step(step) {
                    Ok(seconds) => Some(seconds),
                    Err(error) if is_interrupted(&error) => return self.interrupted(step),
                    Err(error) => return self.failed(step, &error),
                }
            } else {
                None
            };
            self.report(step, seconds, reports);
            if *due {
                self.release(step);
            }
        }
        End::Completed
    }

    /// Runs one node and keeps its result; gives the seconds it took.
    fn step(&mut self, step: &Step) -> Result<f64> {
        let (id, total) = (step.id.clone(), self.total);
        (self.events)(RunEvent::Started { id, index: self.index, total });
        self.index += 1;
        let start = Instant::now();
        let mut args = self.args(step)?;
        let mut ctx = Context {
            host: self.engine.host,
            services: self.engine.services,
            prompt: self.options.prompt,
            extra: self.options.extra,
            stop: self.options.stop,
            events: &mut |event| (self.events)(RunEvent::of(&step.id, event)),
            ui: Map::new(),
        };
        let values = caught(|| (step.node.run)(&mut args, &mut ctx))?;
        let ui = ctx.ui;
        anyhow::ensure!(
            values.len() == step.node.outputs.len(),
            "gave {} outputs and declares {}",
            values.len(),
            step.node.outputs.len()
        );
        self.engine.cache.insert(step.key, Cached { values, ui });
        Ok(start.elapsed().as_secs_f64())
    }

    fn args(&self, step: &Step) -> Result<Args> {
        let mut args = Args::default();
        for (name, source) in &step.inputs {
            args.0.insert(name, self.value(source)?.clone());
        }
        Ok(args)
    }

    fn value<'s>(&'s self, source: &'s Source) -> Result<&'s Value> {
        match source {
            Source::Literal { value, .. } => Ok(value),
            Source::Link { step, output } => {
                let from = &self.plan.steps[*step];
                let value = self.engine.cache.get(from.key).and_then(|c| c.values.get(*output));
                value.ok_or_else(|| anyhow::anyhow!("node {} left no output {output}", from.id))
            }
        }
    }

    /// `seconds` is `None` for a result that was there already.
    fn report(&mut self, step: &Step, seconds: Option<f64>, reports: &mut HashMap<String, Report>) {
        let ui = self.engine.cache.get(step.key).map(|c| c.ui.clone()).unwrap_or_default();
        let (cached, seconds) = (seconds.is_none(), seconds.unwrap_or(0.0));
        if !cached || !ui.is_empty() {
            let (id, ui) = (step.id.clone(), ui.clone());
            (self.events)(RunEvent::Executed { id, ui, seconds, cached });
        }
        reports.insert(step.id.clone(), Report { cached, seconds, ui });
    }

    /// The step has read its inputs: what nobody else waits for may go if memory is short.
    fn release(&mut self, step: &Step) {
        self.engine.cache.unpin(step.key);
        step.reads().for_each(|from| self.engine.cache.unpin(self.plan.steps[from].key));
    }

    fn interrupted(&mut self, step: &Step) -> End {
        (self.events)(RunEvent::Interrupted { id: step.id.clone() });
        End::Interrupted(step.id.clone())
    }

    fn failed(&mut self, step: &Step, error: &anyhow::Error) -> End {
        let input = |(name, source): &(&str, Source)| {
            let text = match source {
                Source::Literal { json, .. } => brief(json),
                Source::Link { .. } => {
                    self.value(source).map_or_else(|e| e.to_string(), |value| format!("{value:?}"))
                }
            };
            ((*name).to_owned(), text)
        };
        let failure = Failure {
            id: step.id.clone(),
            class: step.node.name.into(),
            title: step.title.clone(),
            inputs: step.inputs.iter().map(input).collect(),
            chain: error.chain().map(ToString::to_string).collect(),
        };
        (self.events)(RunEvent::Failed(failure.clone()));
        End::Failed(failure)
    }
}

impl Step<'_> {
    /// The steps it reads, one for each link.
    fn reads(&self) -> impl Iterator<Item = usize> {
        self.inputs.iter().filter_map(|(_, source)| match source {
            Source::Link { step, .. } => Some(*step),
            Source::Literal { .. } => None,
        })
    }
}

impl RunEvent {
    fn of(id: &str, event: Event) -> Self {
        let id = id.to_owned();
        match event {
            Event::Step { done, total } => Self::Step { id, done, total },
            Event::Preview { width, height, rgb } => Self::Preview { id, width, height, rgb },
            Event::Note(text) => Self::Note { id, text },
        }
    }
}

fn is_interrupted(error: &anyhow::Error) -> bool {
    error.is::<Interrupted>() || error.chain().any(|cause| cause.is::<Interrupted>())
}

#[cfg(test)]
mod tests;
