//! Running graphs while people edit: the one interface through which the editor reaches an engine.
//!
//! [`Local`] is an engine on a thread of this program; a remote server will be another [`Session`].

use engine::{End, Engine, Failure, NodeErrors, Rejection, RunEvent, RunOptions, Targets};
use graph::{Host, Json, NodeType, Services};
use serde_json::Map;
use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
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
    /// Moves a job that waits to a place in the queue, 0 being next.
    fn reorder(&self, job: JobId, place: usize);
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

/// Checking a graph of ten thousand nodes in a row goes deep.
const STACK: usize = 32 << 20;
/// How long the end of the program waits for a node to notice that it should stop.
const PATIENCE: Duration = Duration::from_secs(3);

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
        let mut tell = move |event| {
            // Nobody listens any more when the window is gone.
            let _ = sender.send(event);
            wake();
        };
        let thread = std::thread::Builder::new().name("engine".into()).stack_size(STACK);
        thread.spawn(move || work(&world, &worker, &mut tell)).expect("a thread can be started");
        Self { queue, events: Mutex::new(events) }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.stop.store(true, Ordering::Relaxed);
        self.queue.changed.notify_all();
        // The thread's end of the channel goes when the thread does.
        let events = self.events.get_mut().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + PATIENCE;
        while events.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
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

    fn reorder(&self, job: JobId, place: usize) {
        let waiting = &mut self.queue.lock().waiting;
        if let Some(at) = waiting.iter().position(|(id, _)| *id == job)
            && let Some(entry) = waiting.remove(at)
        {
            waiting.insert(place.min(waiting.len()), entry);
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

/// Serves the queue until the session is over. A panic ends the job that ran; the next one gets a new
/// engine, since nobody knows what the panic left of the old one.
fn work(world: &World, queue: &Queue, tell: &mut dyn FnMut(Event)) {
    let mut crash = None;
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
        let crashed = queue.lock().running.take().zip(crash.take());
        if let Some((id, failure)) = crashed {
            tell(Event::Ended(id, End::Failed(failure)));
        }
        let mut engine = None;
        while let Some((id, job)) = queue.next() {
            let new = || Engine::new(world.types, &*world.host, &world.services);
            run(engine.get_or_insert_with(new), id, &job, &queue.stop, tell);
        }
    })) {
        crash = Some(crashed(&*panic));
    }
}

/// What a person is told of a panic outside of any node.
fn crashed(panic: &(dyn Any + Send)) -> Failure {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    let text = owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Failure {
        id: String::new(),
        class: String::new(),
        title: String::new(),
        inputs: Vec::new(),
        chain: vec!["Weft itself failed while running this graph".into(), text.to_owned()],
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
