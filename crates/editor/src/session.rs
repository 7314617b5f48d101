//! Running graphs while people edit: the one interface through which the editor reaches an engine.
//!
//! [`Local`] is an engine on a thread of this program; a remote server will be another [`Session`].

use engine::{End, Engine, NodeErrors, Rejection, RunEvent, RunOptions, Targets};
use graph::{Host, Json, NodeType, Services};
use serde_json::Map;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

/// The number of a submitted graph.
pub type JobId = u64;

/// A graph to be run.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// In API form.
    pub prompt: Map<String, Json>,
    /// What pictures carry beside it: `workflow`, the UI form.
    pub extra: Map<String, Json>,
    /// Nodes to run up to; empty for all outputs.
    pub targets: Vec<String>,
}

/// What has become of a job.
#[derive(Clone, Debug)]
pub enum Event {
    Started(JobId),
    /// The graph cannot run; nothing of it ran.
    Rejected(JobId, Arc<Rejection>),
    /// Parts of it cannot run and were left out.
    Warned(JobId, NodeErrors),
    Run(JobId, RunEvent),
    Ended(JobId, End),
}

/// What the editor asks of whatever runs graphs.
pub trait Session: Send {
    /// Puts a job into the queue: at its end, or before all that wait.
    fn submit(&self, job: Job, front: bool) -> JobId;
    /// Takes a job out of the queue, or stops it if it runs.
    fn cancel(&self, job: JobId);
    /// The jobs that wait, the next one first.
    fn waiting(&self) -> Vec<JobId>;
    /// What has happened since this was last called.
    fn poll(&self) -> Vec<Event>;
}

/// An engine on a thread of its own.
pub struct Local {
    queue: Arc<Queue>,
    events: Mutex<mpsc::Receiver<Event>>,
}

/// What an engine works with.
pub struct World {
    pub types: &'static [NodeType],
    pub host: Arc<dyn Host>,
    pub services: Services,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Stops the job that runs.
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(JobId, Job)>,
    running: Option<JobId>,
    last: JobId,
    closed: bool,
}

impl Local {
    /// Starts the thread. `wake` is called after every event, from there.
    pub fn start(world: World, wake: impl Fn() + Send + 'static) -> Self {
        let queue = Arc::new(Queue::default());
        let (sender, events) = mpsc::channel();
        let worker = queue.clone();
        std::thread::spawn(move || {
            let mut engine = Engine::new(world.types, &*world.host, &world.services);
            while let Some((id, job)) = worker.next() {
                run(&mut engine, id, &job, &worker.stop, &mut |event| {
                    // Nobody listens any more when the window is gone.
                    let _ = sender.send(event);
                    wake();
                });
            }
        });
        Self { queue, events: Mutex::new(events) }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.stop.store(true, Ordering::Relaxed);
        self.queue.changed.notify_all();
    }
}

impl Session for Local {
    fn submit(&self, job: Job, front: bool) -> JobId {
        let mut state = self.queue.lock();
        state.last += 1;
        let id = state.last;
        if front {
            state.waiting.push_front((id, job));
        } else {
            state.waiting.push_back((id, job));
        }
        self.queue.changed.notify_all();
        id
    }

    fn cancel(&self, job: JobId) {
        let mut state = self.queue.lock();
        state.waiting.retain(|(id, _)| *id != job);
        if state.running == Some(job) {
            self.queue.stop.store(true, Ordering::Relaxed);
        }
    }

    fn waiting(&self) -> Vec<JobId> {
        self.queue.lock().waiting.iter().map(|(id, _)| *id).collect()
    }

    fn poll(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job; `None` when the session is over.
    fn next(&self) -> Option<(JobId, Job)> {
        let mut state = self.lock();
        state.running = None;
        loop {
            if state.closed {
                return None;
            }
            if let Some((id, job)) = state.waiting.pop_front() {
                state.running = Some(id);
                self.stop.store(false, Ordering::Relaxed);
                return Some((id, job));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(engine: &mut Engine, id: JobId, job: &Job, stop: &AtomicBool, tell: &mut dyn FnMut(Event)) {
    tell(Event::Started(id));
    let prompt = Json::Object(job.prompt.clone());
    let names: Vec<&str> = job.targets.iter().map(String::as_str).collect();
    let wanted = if names.is_empty() { Targets::Outputs } else { Targets::Only(&names) };
    let plan = match engine.plan(&prompt, wanted) {
        Ok(plan) => plan,
        Err(rejection) => return tell(Event::Rejected(id, Arc::new(rejection))),
    };
    if !plan.warnings.0.is_empty() {
        tell(Event::Warned(id, plan.warnings.clone()));
    }
    let options = RunOptions { prompt: &prompt, extra: &job.extra, stop };
    let outcome = engine.run(&plan, &options, &mut |event| tell(Event::Run(id, event)));
    tell(Event::Ended(id, outcome.end));
}
