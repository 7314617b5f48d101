//! Runs a plan: steps whose results are not cached, in order, until done, failed or stopped.

use crate::{
    Cache, Cached, Keep, Plan, Rejection, Source, Step, Targets, Types,
    panics::caught,
    reject::{brief, named},
};
use agenda::Agenda;
use anyhow::Result;
use graph::{Args, Context, Event, Expansion, Host, Interrupted, Json, NodeType, Services, Value};
use serde_json::Map;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
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

/// What an engine's cache keeps unless it is told: 2 GiB of values.
const KEEP: Keep = Keep::Bytes(2 << 30);

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
    /// A part of a node's work took so long.
    Took { id: String, what: &'static str, seconds: f64 },
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
    values: HashMap<String, Vec<Vec<Value>>>,
}

impl Outcome {
    /// The outputs of a node that was a target of the plan, if it came to have any; each has one value
    /// or, after lists, several.
    #[must_use]
    pub fn values(&self, id: &str) -> Option<&[Vec<Value>]> {
        self.values.get(id).map(Vec::as_slice)
    }
}

impl<'a> Engine<'a> {
    #[must_use]
    pub fn new(types: &'a [NodeType], host: &'a dyn Host, services: &'a Services) -> Self {
        Self { cache: Cache::new(KEEP), types: Types::new(types), host, services }
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
        self.cache.begin(plan.steps.iter().map(|step| step.key));
        let agenda = Agenda::new(plan, &self.cache);
        self.pin(plan, &agenda.due);
        for target in &plan.targets {
            self.cache.pin(plan.steps[*target].key);
        }
        plan.steps.iter().for_each(|step| self.cache.touch(step.key));
        let cached = agenda.open.difference(&agenda.due);
        events(RunEvent::Cached { ids: cached.map(|i| plan.steps[*i].id.clone()).collect() });

        let mut run = Run { engine: self, plan, options, events, index: 0, agenda, depth: 0 };
        let mut reports = HashMap::new();
        let end = run.steps(&mut reports);
        let values = plan.targets.iter().filter_map(|target| {
            let step = &plan.steps[*target];
            Some((step.id.clone(), self.cache.get(step.key)?.values.clone()))
        });
        let values = values.collect();
        self.cache.unpin_all();
        Outcome { end, reports, values }
    }

    /// Holds what these steps make and read.
    fn pin(&mut self, plan: &Plan, due: &BTreeSet<usize>) {
        for step in due.iter().map(|i| &plan.steps[*i]) {
            // Its own result stays until a step of the same key later in the plan has seen it.
            self.cache.pin(step.key);
            step.reads().for_each(|from| self.cache.pin(plan.steps[from].key));
        }
    }
}

/// A run under way.
struct Run<'r, 'a, 'o> {
    engine: &'r mut Engine<'a>,
    plan: &'r Plan<'r>,
    options: &'r RunOptions<'o>,
    events: &'r mut dyn FnMut(RunEvent),
    index: usize,
    agenda: Agenda,
    /// How many nodes around this one have had others run in their place.
    depth: usize,
}

impl Run<'_, '_, '_> {
    fn steps(&mut self, reports: &mut HashMap<String, Report>) -> End {
        while let Some(i) = self.agenda.next() {
            let step = &self.plan.steps[i];
            if self.options.stop.load(Ordering::Relaxed) {
                return self.interrupted(step);
            }
            let due = self.agenda.due.contains(&i);
            let seconds = if due && !self.engine.cache.contains(step.key) {
                match self.step(i) {
                    Ok(Some(seconds)) => Some(seconds),
                    Ok(None) => continue,
                    Err(error) if is_interrupted(&error) => return self.interrupted(step),
                    Err(error) => return self.failed(step, &error),
                }
            } else {
                None
            };
            self.agenda.done(i);
            self.report(step, seconds, reports);
            if due {
                self.release(step);
            }
        }
        End::Completed
    }

    /// Runs one node and keeps its result; gives the seconds it took. `None`: it waits for a lazy input.
    fn step(&mut self, i: usize) -> Result<Option<f64>> {
        let step = &self.plan.steps[i];
        let calls = self.calls(step)?;
        if self.waits(i, &calls)? {
            return Ok(None);
        }
        let (index, total) = (self.index, self.agenda.total);
        (self.events)(RunEvent::Started { id: step.id.clone(), index, total });
        self.index += 1;
        let start = Instant::now();
        let (mut values, mut ui) = (vec![Vec::new(); step.node.outputs.len()], Map::new());
        for (i, args) in calls.into_iter().enumerate() {
            let (mut given, expansion) = self.call(step, args, &mut ui)?;
            if let Some(expansion) = expansion {
                given = self.expand(step, i, &expansion, &mut ui)?;
            }
            values.iter_mut().zip(given).for_each(|(all, more)| all.extend(more));
        }
        self.engine.cache.insert(step.key, Cached { values, ui });
        Ok(Some(start.elapsed().as_secs_f64()))
    }

    /// Calls the node once. What it shows is added to `ui`.
    fn call(
        &mut self,
        step: &Step,
        args: Args,
        ui: &mut Map<String, Json>,
    ) -> Result<(Vec<Vec<Value>>, Option<Expansion>)> {
        let mut ctx = Context {
            host: self.engine.host,
            services: self.engine.services,
            prompt: self.options.prompt,
            extra: self.options.extra,
            stop: self.options.stop,
            events: &mut |event| (self.events)(RunEvent::of(&step.id, event)),
            ui: std::mem::take(ui),
            expansion: None,
        };
        ctx.check()?;
        if let Some(blocker) = args.blocker() {
            if let Some(reason) = blocker.reason() {
                ctx.note(format!("does not run: {reason}"));
            }
            *ui = ctx.ui;
            return Ok((vec![vec![blocker.clone()]; step.node.outputs.len()], None));
        }
        let values = caught(|| (step.node.run)(args, &mut ctx))?;
        *ui = ctx.ui;
        Ok((values, ctx.expansion))
    }

    /// Puts the step off if it needs lazy inputs that are not there, and takes these on.
    fn waits(&mut self, i: usize, calls: &[Args]) -> Result<bool> {
        let step = &self.plan.steps[i];
        if !step.node.inputs.iter().any(|input| input.lazy) {
            return Ok(false);
        }
        let mut needed = HashSet::new();
        for args in calls {
            needed.extend(caught(|| (step.node.needs)(args.clone()))?);
        }
        let absent = step.inputs.iter().filter_map(|(name, source)| match source {
            Source::Link { step, .. } if needed.contains(name) => Some(*step),
            _ => None,
        });
        let cache = &self.engine.cache;
        let absent: Vec<usize> =
            absent.filter(|from| !cache.contains(self.plan.steps[*from].key)).collect();
        if absent.is_empty() {
            return Ok(false);
        }
        let new = self.agenda.add(self.plan, cache, &absent);
        self.agenda.open.insert(i);
        self.engine.pin(self.plan, &new);
        Ok(true)
    }

    /// What each call of the node is given. It is called once for each value of the longest list that it
    /// reads, shorter ones repeating their last; never for an empty list. A node that takes lists whole
    /// is called once.
    fn calls(&self, step: &Step) -> Result<Vec<Args>> {
        let mut inputs = Vec::new();
        for (name, source) in &step.inputs {
            let lazy = step.node.input(name).is_some_and(|input| input.lazy);
            match self.values(source) {
                Err(_) if lazy => {}
                values => inputs.push((*name, values?)),
            }
        }
        if step.node.takes_lists() {
            return Ok(vec![Args(inputs.into_iter().collect())]);
        }
        let lengths = || inputs.iter().map(|(_, values)| values.len());
        let calls = if lengths().any(|n| n == 0) { 0 } else { lengths().max().unwrap_or(1) };
        let nth = |values: &Vec<Value>, i: usize| vec![values[i.min(values.len() - 1)].clone()];
        let call = |i| Args(inputs.iter().map(|(name, values)| (*name, nth(values, i))).collect());
        Ok((0..calls).map(call).collect())
    }

    fn values(&self, source: &Source) -> Result<Vec<Value>> {
        match source {
            Source::Literal { value, .. } => Ok(vec![value.clone()]),
            Source::Link { step, output } => {
                let from = &self.plan.steps[*step];
                let values = self.engine.cache.get(from.key).and_then(|c| c.values.get(*output));
                values
                    .cloned()
                    .ok_or_else(|| anyhow::anyhow!("node {} left no output {output}", from.id))
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
                Source::Link { .. } => match self.values(source).as_deref() {
                    Ok([value]) => format!("{value:?}"),
                    Ok(values) => format!("a list of {} values", values.len()),
                    Err(error) => error.to_string(),
                },
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
            Event::Took { what, seconds } => Self::Took { id, what, seconds },
        }
    }
}

fn is_interrupted(error: &anyhow::Error) -> bool {
    error.is::<Interrupted>() || error.chain().any(|cause| cause.is::<Interrupted>())
}

mod agenda;
mod expand;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod tests;
