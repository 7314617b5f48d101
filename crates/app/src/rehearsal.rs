//! A run in which nothing is computed and nothing is left on the disk: the same nodes, with a device
//! that counts. What it meets, a run would meet.

use crate::{
    Folders,
    account::{Accounts, NodeAccount},
    aside::Aside,
    document::Graph,
};
use anyhow::Result;
use engine::{
    Cache, End, Engine, Failure, Keep, Plan, RunEvent, RunOptions, Source, Step, Targets,
};
use graph::{Json, Services};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tensor::{Device, Ledger};

/// Work on pictures is done for real: so long is waited for it.
const LIMIT: Duration = Duration::from_secs(10);

/// Nothing is run a second time but after a failure: there is little to remember.
const KEEP: Keep = Keep::Bytes(64 << 20);

#[derive(Default)]
pub struct Rehearsal {
    /// What the networks that were called cost.
    pub ledger: Ledger,
    /// And of these, each node.
    pub nodes: Vec<NodeAccount>,
    /// Nodes that cannot run, each by itself to blame.
    pub failures: Vec<Failure>,
    /// What is worth telling a person that is no error.
    pub notes: Vec<String>,
}

impl Rehearsal {
    /// Plays a plan of `graph` through, as it would run on a device. One that loads no network is not played:
    /// it costs nothing.
    pub fn of(
        plan: &Plan,
        graph: &Graph,
        folders: &Folders,
        device: impl FnOnce() -> Result<Arc<Device>>,
    ) -> Result<Self> {
        let mut this = Self::default();
        let loads = |s: &Step| s.node.outputs.iter().any(|o| nodes::NETWORKS.contains(&o.ty));
        if plan.steps.iter().any(loads) {
            this.ledger = Ledger::of(device()?);
            this.play(plan, graph, folders)?;
        }
        Ok(this)
    }

    fn play(&mut self, plan: &Plan, graph: &Graph, folders: &Folders) -> Result<()> {
        let device = Arc::new(Device::dry(&self.ledger));
        let options = nodes::Options { previews: nodes::Previews::Nothing, ..Default::default() };
        let services = Services::default().with(device.clone()).with(Arc::new(options));
        let aside = Aside::new(folders)?;
        let types = nodes::all();
        let mut engine = Engine::new(&types, &aside, &services);
        engine.cache = Cache::new(KEEP);
        let prompt = Json::Object(graph.prompt.clone());
        let (start, stop) = (Instant::now(), AtomicBool::new(false));
        let options = RunOptions { prompt: &prompt, extra: &graph.extra, stop: &stop };
        // After a failure, what does not need the failed node: all problems at once.
        loop {
            let ends = self.ends(plan);
            if ends.is_empty() {
                return Ok(());
            }
            let part = engine.plan(&prompt, Targets::Only(&ends))?;
            let mut accounts = Accounts::new(&device);
            let outcome = engine.run(&part, &options, &mut |event| {
                self.hear(&event, graph);
                accounts.hear(&event);
                stop.fetch_or(start.elapsed() > LIMIT, Ordering::Relaxed);
            });
            self.nodes.extend(accounts.nodes().into_iter().filter(|node| !node.cached));
            match outcome.end {
                End::Completed => return Ok(()),
                End::Failed(failure) => self.failures.push(failure),
                End::Interrupted(id) => {
                    let (limit, at) = (LIMIT.as_secs(), graph.label(&id));
                    self.notes.push(format!(
                        "{at} ({id}) was not done after {limit} s; what follows is counted up to there"
                    ));
                    return Ok(());
                }
            }
        }
    }

    fn hear(&mut self, event: &RunEvent, graph: &Graph) {
        if let RunEvent::Note { id, text } = event {
            let note = format!("{} ({id}): {text}", graph.label(id));
            // After a failure a node may run, and say it, again.
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// The last nodes of what can run without those that failed.
    fn ends<'p>(&self, plan: &'p Plan) -> Vec<&'p str> {
        let mut runs = vec![true; plan.steps.len()];
        let mut last = runs.clone();
        for (i, step) in plan.steps.iter().enumerate() {
            let failed = self.failures.iter().any(|f| f.id == step.id);
            runs[i] = !failed && reads(step).all(|from| runs[from]);
            if runs[i] {
                reads(step).for_each(|from| last[from] = false);
            }
        }
        let ends = plan.steps.iter().zip(runs.iter().zip(last));
        ends.filter(|(_, (runs, last))| **runs && *last).map(|(s, _)| s.id.as_str()).collect()
    }
}

/// The steps that a step reads.
fn reads(step: &Step) -> impl Iterator<Item = usize> {
    step.inputs.iter().filter_map(|(_, source)| match source {
        Source::Link { step, .. } => Some(*step),
        Source::Literal { .. } => None,
    })
}
