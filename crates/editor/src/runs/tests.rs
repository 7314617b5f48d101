//! Runs against a session that is only played, and against a real engine over tiny nodes.

use super::*;
use crate::session::{Event, JobId, Local, World};
pub(crate) use crate::shared::played::Played;
use engine::{Failure, RunEvent};
use graph::{File, Inputs, Node, NodeType, Services};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// A host of three folders below one.
struct Folders(tempfile::TempDir);

impl Host for Folders {
    fn list(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path().join(folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
    fn find(&self, folder: &str, name: &str) -> graph::Result<File> {
        let path = self.0.path().join(folder).join(name);
        anyhow::ensure!(path.exists(), "there is no {name} in {folder}");
        Ok(File::Path(path))
    }
    fn folder(&self, name: &str) -> graph::Result<PathBuf> {
        Ok(self.0.path().join(name))
    }
    fn fingerprint(&self, _: &str, _: &str) -> graph::Result<u64> {
        Ok(0)
    }
}

pub(crate) fn folders() -> Arc<dyn Host> {
    let folders = Folders(tempfile::tempdir().unwrap());
    std::fs::create_dir(folders.0.path().join("output")).unwrap();
    Arc::new(folders)
}

pub(crate) fn order(prompt: Json) -> Order {
    let Json::Object(prompt) = prompt else { panic!("a graph") };
    Order { tab: 1, title: "a".into(), prompt, ..Order::default() }
}

fn played() -> (Runs, Played, Context) {
    let (session, ctx) = (Played::default(), Context::default());
    let mut runs = Runs::new(Box::new(session.clone()), folders(), &ctx);
    runs.look(1, &[]);
    (runs, session, ctx)
}

pub(crate) fn ran(job: JobId, id: &str, ui: &Json) -> Event {
    let (id, ui) = (id.into(), ui.as_object().unwrap().clone());
    Event::Run(job, RunEvent::Executed { id, ui, seconds: 0.5, cached: false })
}

#[test]
fn a_run_goes_from_waiting_to_done_and_its_nodes_tell_how_far_they_are() {
    let (mut runs, session, ctx) = played();
    runs.submit(order(json!({"1": {"inputs": {"seed": 7}}, "2": {}})), false);
    runs.poll(&ctx);
    assert_eq!(runs.all()[0].stage, Stage::Waiting);
    session.tell(Event::Started(1));
    session.tell(Event::Run(1, RunEvent::Cached { ids: vec!["1".into()] }));
    session.tell(Event::Run(1, RunEvent::Started { id: "2".into(), index: 0, total: 1 }));
    session.tell(Event::Run(1, RunEvent::Step { id: "2".into(), done: 1, total: 2 }));
    runs.poll(&ctx);
    assert_eq!(runs.running().unwrap().seed(), Some(7));
    assert_eq!(runs.progress(), Some(0.5));
    assert!(runs.node(1).unwrap().cached);
    assert_eq!(runs.node(2).unwrap().progress, Some((1, 2)));
    session.tell(ran(1, "2", &json!({"text": ["a cat"]})));
    session.tell(Event::Ended(1, End::Completed));
    runs.poll(&ctx);
    assert_eq!(runs.all()[0].stage, Stage::Done);
    let node = runs.node(2).unwrap();
    assert_eq!(
        (node.running, node.seconds, &*node.texts),
        (false, Some(0.5), &["a cat".to_owned()][..])
    );
    assert!(runs.progress().is_none());
}

#[test]
fn errors_stand_on_the_node_and_in_the_list_until_the_next_run() {
    let (mut runs, session, ctx) = played();
    runs.submit(order(json!({"4": {}})), false);
    let failure = Failure {
        id: "4".into(),
        class: "Fail".into(),
        title: "Fail".into(),
        inputs: vec![],
        chain: vec!["writing".into(), "no ink".into()],
    };
    session.tell(Event::Started(1));
    session.tell(Event::Run(1, RunEvent::Started { id: "4".into(), index: 0, total: 1 }));
    session.tell(Event::Run(1, RunEvent::Failed(failure.clone())));
    session.tell(Event::Ended(1, End::Failed(failure)));
    runs.poll(&ctx);
    assert_eq!(runs.node(4).unwrap().error.as_deref(), Some("writing: no ink"));
    assert!(!runs.node(4).unwrap().running);
    assert_eq!(runs.problems().len(), 1);
    assert!(matches!(&runs.all()[0].stage, Stage::Failed(words) if words.contains("no ink")));

    runs.submit(order(json!({"4": {}})), false);
    session.tell(Event::Started(2));
    runs.poll(&ctx);
    assert!(runs.problems().is_empty() && runs.node(4).unwrap().error.is_none());
}

#[test]
fn the_queue_can_be_reordered_and_cleared() {
    let (mut runs, session, ctx) = played();
    let numbers: Vec<Number> = (0..3).map(|_| runs.submit(order(json!({})), false)).collect();
    let first = runs.submit(order(json!({})), true);
    let waiting = |runs: &Runs| runs.waiting().iter().map(|run| run.number).collect::<Vec<_>>();
    assert_eq!(waiting(&runs)[0], first);
    runs.reorder(numbers[2], 0);
    assert_eq!(waiting(&runs), [numbers[2], first, numbers[0], numbers[1]]);
    runs.cancel(first);
    assert_eq!(runs.get(first).unwrap().stage, Stage::Cancelled);
    session.tell(Event::Started(3));
    runs.poll(&ctx);
    runs.clear_queue();
    assert!(runs.waiting().is_empty());
    assert_eq!(runs.running().unwrap().number, numbers[2], "what runs goes on");
    runs.clear_history();
    assert_eq!(runs.all().len(), 1);
}

#[test]
fn a_new_window_goes_on_with_the_queue_and_the_history_of_the_old() {
    let (mut runs, session, ctx) = played();
    for title in ["done", "runs", "waits", "first"] {
        runs.submit(Order { title: title.into(), ..order(json!({"1": {}})) }, false);
    }
    runs.reorder(4, 0);
    session.tell(Event::Started(1));
    session.tell(ran(1, "1", &json!({"images": [{"filename": "a.png", "type": "output"}]})));
    session.tell(Event::Ended(1, End::Completed));
    session.tell(Event::Started(2));
    runs.poll(&ctx);
    let kept: Vec<Run> = serde_json::from_str(&serde_json::to_string(runs.all()).unwrap()).unwrap();
    let waiting: Vec<Number> = runs.queued().map(|run| run.number).collect();
    let (mut new, ..) = played();
    new.take_back(kept, &waiting, |tab| tab + 10);
    let titles = |runs: Vec<&Run>| runs.iter().map(|run| run.title.clone()).collect::<Vec<_>>();
    assert_eq!(titles(new.all().iter().filter(|run| run.over()).collect()), ["done"]);
    assert_eq!(titles(new.held().collect()), ["runs", "first", "waits"]);
    assert!(new.waiting().is_empty(), "nothing runs before a person says so");
    assert!(new.all().iter().all(|run| run.tab == 11));
    new.look(11, &[]);
    assert_eq!(new.node(1).unwrap().pictures[0].name(), "a.png", "nodes show what they showed");
    new.cancel(new.held().last().unwrap().number);
    new.release();
    assert_eq!(titles(new.waiting()), ["runs", "first"]);
    assert_eq!(new.held().count(), 0);
}

#[test]
fn nodes_inside_subgraphs_are_seen_at_their_level() {
    let (mut runs, session, ctx) = played();
    runs.submit(order(json!({"12:7": {}})), false);
    session.tell(Event::Started(1));
    session.tell(Event::Run(1, RunEvent::Started { id: "12:7".into(), index: 0, total: 1 }));
    runs.poll(&ctx);
    assert!(runs.node(12).unwrap().running, "the subgraph shows what runs inside");
    runs.look(1, &[12]);
    assert!(runs.node(7).unwrap().running);
    runs.look(2, &[]);
    assert!(runs.node(12).is_none(), "another file");
}

#[test]
fn of_several_previews_only_the_last_is_uploaded() {
    let preview = |id: &str, value: u8| {
        let rgb = Arc::from([value; 3].as_slice());
        Event::Run(1, RunEvent::Preview { id: id.into(), width: 1, height: 1, rgb })
    };
    let events = vec![preview("1", 1), Event::Started(2), preview("1", 2), preview("2", 3)];
    let values = last_previews(events).into_iter().filter_map(|event| match event {
        Event::Run(_, RunEvent::Preview { rgb, .. }) => Some(rgb[0]),
        _ => None,
    });
    assert_eq!(values.collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn result_pictures_become_textures_without_waiting() {
    let (mut runs, session, ctx) = played();
    let path = runs.host.folder("output").unwrap().join("a.png");
    image::RgbImage::new(2000, 1000).save(path).unwrap();
    runs.submit(order(json!({"1": {}})), false);
    session.tell(Event::Started(1));
    session.tell(ran(
        1,
        "1",
        &json!({"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}),
    ));
    session.tell(Event::Ended(1, End::Completed));
    until(&mut runs, &ctx, |runs| runs.node(1).is_some_and(|node| !node.images.is_empty()));
    assert_eq!(runs.node(1).unwrap().images[0].size(), [512, 256], "scaled down");
    assert_eq!(runs.all()[0].pictures.len(), 1);
}

/// Polls until `done`; a test that waits longer than a minute has failed.
pub(crate) fn until(runs: &mut Runs, ctx: &Context, done: impl Fn(&Runs) -> bool) {
    for _ in 0..6000 {
        runs.poll(ctx);
        if done(runs) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing came of it");
}

/// Adds two numbers.
#[derive(Inputs)]
struct Add {
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
    fn run(self, _: &mut graph::Context) -> graph::Result<u64> {
        Ok(self.a + self.b)
    }
}

/// Counts until it is stopped or done.
#[derive(Inputs)]
struct Slow {
    /// How many steps of 10 ms.
    #[widget(number(0).range(0..=100_000))]
    steps: usize,
}

impl Node for Slow {
    const CATEGORY: &str = "math";
    const OUTPUT_NODE: bool = true;
    type Output = ();
    fn run(self, ctx: &mut graph::Context) -> graph::Result<()> {
        for done in 0..self.steps {
            std::thread::sleep(Duration::from_millis(10));
            ctx.step(done + 1, self.steps)?;
        }
        Ok(())
    }
}

/// Shows a number, or fails.
#[derive(Inputs)]
struct Show {
    /// What to show; 13 fails, 14 panics.
    #[widget(number(0).range(0..=1000))]
    value: u64,
}

impl Node for Show {
    const CATEGORY: &str = "math";
    const OUTPUT_NODE: bool = true;
    type Output = ();
    fn run(self, ctx: &mut graph::Context) -> graph::Result<()> {
        anyhow::ensure!(self.value != 13, "no luck");
        assert!(self.value != 14, "out of range");
        ctx.show("numbers", self.value.into());
        Ok(())
    }
}

/// A host that panics when it is asked for a file's fingerprint: outside of any node.
struct Broken;

impl Host for Broken {
    fn list(&self, _: &str) -> Vec<String> {
        vec!["a.png".into()]
    }
    fn find(&self, _: &str, name: &str) -> graph::Result<File> {
        Ok(File::Path(name.into()))
    }
    fn folder(&self, _: &str) -> graph::Result<PathBuf> {
        Ok(PathBuf::new())
    }
    fn fingerprint(&self, _: &str, _: &str) -> graph::Result<u64> {
        panic!("the disk is on fire")
    }
}

/// Names a file.
#[derive(Inputs)]
struct Read {
    /// The file.
    #[widget(file("input"))]
    file: String,
}

impl Node for Read {
    const CATEGORY: &str = "math";
    const OUTPUT_NODE: bool = true;
    type Output = ();
    fn run(self, _: &mut graph::Context) -> graph::Result<()> {
        drop(self.file);
        Ok(())
    }
}

fn real(host: Arc<dyn Host>) -> (Runs, Context) {
    let types = vec![
        NodeType::of::<Add>(),
        NodeType::of::<Slow>(),
        NodeType::of::<Show>(),
        NodeType::of::<Read>(),
    ];
    let world = World { types: types.leak(), host: host.clone(), services: Services::default() };
    let ctx = Context::default();
    let mut runs = Runs::new(Box::new(Local::start(world, wake(&ctx))), host, &ctx);
    runs.look(1, &[]);
    (runs, ctx)
}

fn node(class: &str, inputs: &Json) -> Json {
    json!({"class_type": class, "inputs": inputs})
}

fn sum(a: u64, b: u64) -> Json {
    json!({"1": node("Add", &json!({"a": a, "b": b})), "2": node("Show", &json!({"value": ["1", 0]}))})
}

fn idle(runs: &Runs) -> bool {
    runs.all().iter().all(Run::over)
}

#[test]
fn a_real_engine_runs_caches_and_says_why_a_node_ran_again() {
    let (mut runs, ctx) = real(folders());
    for (a, b) in [(1, 2), (1, 2), (1, 3)] {
        runs.submit(order(sum(a, b)), false);
    }
    until(&mut runs, &ctx, |runs| runs.all()[0].over());
    until(&mut runs, &ctx, idle);
    assert!(runs.all().iter().all(|run| run.stage == Stage::Done));
    assert_eq!(runs.all().iter().map(|run| run.cached).collect::<Vec<_>>(), [0, 2, 0]);
    assert_eq!(runs.node(2).unwrap().texts, ["4"]);
    assert_eq!(runs.node(1).unwrap().why.as_deref(), Some("b changed from 2 to 3"));
    assert_eq!(runs.node(2).unwrap().why.as_deref(), Some("b of Add changed from 2 to 3"));
}

#[test]
fn bad_graphs_and_failing_nodes_are_told_in_words_and_the_next_job_runs() {
    let (mut runs, ctx) = real(folders());
    runs.submit(order(sum(5000, 2)), false);
    until(&mut runs, &ctx, idle);
    let problems = &runs.node(1).unwrap().problems;
    assert_eq!(problems[0].0.as_deref(), Some("a"));
    assert!(problems[0].1.contains("1000"), "{problems:?}");
    for (value, words) in [(13, "no luck"), (14, "out of range")] {
        runs.submit(order(sum(value, 0)), false);
        until(&mut runs, &ctx, idle);
        assert!(runs.node(2).unwrap().error.as_ref().unwrap().contains(words));
    }
    runs.submit(order(sum(1, 1)), false);
    until(&mut runs, &ctx, idle);
    assert_eq!(runs.all()[3].stage, Stage::Done);
}

#[test]
fn a_panic_outside_of_any_node_ends_the_run_and_not_the_engine() {
    let (mut runs, ctx) = real(Arc::new(Broken));
    runs.submit(order(json!({"1": node("Read", &json!({"file": "a.png"}))})), false);
    runs.submit(order(sum(1, 1)), false);
    until(&mut runs, &ctx, idle);
    assert!(
        matches!(&runs.all()[0].stage, Stage::Failed(words) if words.contains("disk is on fire"))
    );
    assert_eq!(runs.all()[1].stage, Stage::Done);
}

#[test]
fn a_run_stops_when_asked_and_closing_while_it_runs_waits_for_no_more_than_a_step() {
    let (mut runs, ctx) = real(folders());
    let slow = |steps: usize| json!({"1": node("Slow", &json!({"steps": steps}))});
    runs.submit(order(slow(100_000)), false);
    until(&mut runs, &ctx, |runs| runs.node(1).is_some_and(|node| node.rate.is_some()));
    runs.interrupt();
    until(&mut runs, &ctx, idle);
    assert_eq!(runs.all()[0].stage, Stage::Cancelled);
    runs.submit(order(slow(99_999)), false);
    until(&mut runs, &ctx, |runs| runs.running().is_some());
    let start = Instant::now();
    drop(runs);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}
