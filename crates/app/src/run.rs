//! `weft run`: a graph from the command line, without an editor.

use crate::{
    FolderArgs, Folders, GraphArg,
    devices::DeviceArgs,
    document::Graph,
    previews::PreviewChoice,
    profile::{Profiler, Profiles},
    progress::Progress,
    record,
    rehearsal::Rehearsal,
};
use anyhow::{Context as _, Result};
use engine::{End, Engine, Keep, Outcome, Plan, RunEvent, RunOptions, Targets, why::Planned};
use graph::{Host, Json, Services};
use serde_json::json;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tensor::Device;

#[derive(clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    graph: GraphArg,
    /// Changes an input: node id, title or class, then the input (repeatable)
    #[arg(long, value_name = "ID.INPUT=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Whose random numbers samplers that add noise use: a CUDA card's, or a CPU's
    #[arg(long, value_enum, default_value_t)]
    sampler_noise: NoiseChoice,
    /// How samplers show the picture as it comes, with --json
    #[arg(long, value_enum, default_value_t, value_name = "METHOD")]
    preview: PreviewChoice,
    /// How many times to run; each time the seeds go up by one
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Writes DIR/ID.safetensors with the outputs of the nodes of --dump-nodes
    #[arg(long, value_name = "DIR", requires = "dump_nodes")]
    dump: Option<PathBuf>,
    /// Nodes to run and to write out with --dump
    #[arg(long, value_name = "ID,ID", value_delimiter = ',', requires = "dump")]
    dump_nodes: Vec<String>,
    /// Which results are kept for the next run of --repeat: none (each goes when its last reader has
    /// run), classic (those of the graph), lru=N (those of N nodes, used last) [default: 2 GiB, used last]
    #[arg(long, value_name = "WHICH", value_parser = keep)]
    cache: Option<Keep>,
    /// Says of each node why it runs, or that its result was kept
    #[arg(long)]
    explain_cache: bool,
    /// Tells where the time went: by node, by network and operation, and beside networks
    #[arg(long)]
    profile: bool,
    /// Writes the same as a JSON object, one a line for each run
    #[arg(long, value_name = "FILE")]
    profile_json: Option<PathBuf>,
    /// One JSON event a line on standard output
    #[arg(long)]
    json: bool,
}

fn keep(text: &str) -> Result<Keep> {
    Ok(match text.split_once('=') {
        None if text == "none" => Keep::Nothing,
        None if text == "classic" => Keep::Graph,
        Some(("lru", nodes)) => {
            Keep::Nodes(nodes.parse().context("lru=N wants a number of nodes")?)
        }
        _ => anyhow::bail!("expected none, classic or lru=N"),
    })
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum NoiseChoice {
    /// As on an NVIDIA card (Philox): what most published pictures were made with
    #[default]
    Cuda,
    /// As on a CPU (Mersenne Twister)
    Cpu,
}

impl From<NoiseChoice> for nodes::SamplerNoise {
    fn from(choice: NoiseChoice) -> Self {
        match choice {
            NoiseChoice::Cuda => Self::Cuda,
            NoiseChoice::Cpu => Self::Cpu,
        }
    }
}

pub fn run(args: &RunArgs) -> Result<()> {
    let mut begun = Instant::now();
    let types = nodes::all();
    let mut graph = Graph::open(&args.graph.graph, &types)?;
    for assignment in &args.set {
        graph.set(assignment, &types)?;
    }
    let targets = args.dump_nodes.iter().map(|n| graph.find(n)).collect::<Result<Vec<_>>>()?;
    let folders = Arc::new(Folders::new(&args.folders)?);
    let device = Arc::new(args.device.open()?);
    announce(&device, args.json)?;
    // Without --json nobody sees them.
    let preview = if args.json { args.preview } else { PreviewChoice::None };
    let options =
        nodes::Options { sampler_noise: args.sampler_noise.into(), previews: preview.into() };
    let stamp = record::stamp(folders.clone(), &device, options, record::Kept::open());
    let services =
        Services::default().with(device.clone()).with(Arc::new(options)).with(Arc::new(stamp));
    let mut engine = Engine::new(&types, &*folders, &services);
    if let Some(keep) = args.cache {
        engine.cache.set_keep(keep);
    }
    let mut turns = Turns {
        stop: stop_on_interrupt()?,
        before: None,
        json: args.json,
        explain: args.explain_cache,
    };
    let mut profiles = Profiles::new(args.profile, args.profile_json.clone(), args.json);
    if profiles.wanted() {
        device.start_timing();
    }
    for turn in 0..args.repeat {
        if turn > 0 {
            begun = Instant::now();
            graph.advance_seeds(1, &types);
        }
        let mut profiler = profiles.wanted().then(|| Profiler::new(&device, begun));
        let outcome = turns.run(&mut engine, &graph, &targets, profiler.as_mut(), |plan| {
            // What a budget is too small for shall be known before the first step, not after the last.
            let is_tight = turn == 0 && device.memory().budget() < u64::MAX;
            if is_tight { rehearse(plan, &graph, &folders, &device) } else { Ok(()) }
        });
        let told = profiler.map(|p| profiles.tell(&p.finish(), &graph, &device));
        let outcome = outcome?;
        if !args.json {
            print_files(&outcome, &folders)?;
        }
        if let Some(dir) = &args.dump {
            dump(dir, &targets, &outcome)?;
        }
        told.transpose()?;
    }
    Ok(())
}

/// Says what computes: never a silent change from one device to another.
fn announce(device: &Device, json: bool) -> Result<()> {
    if json {
        writeln!(std::io::stdout(), "{}", json!({"event": "device", "name": device.name()}))?;
    } else {
        eprintln!("computing on {}", device.name());
    }
    Ok(())
}

/// An error with everything that could not run on this device.
fn rehearse(plan: &Plan, graph: &Graph, folders: &Folders, device: &Arc<Device>) -> Result<()> {
    let rehearsal = Rehearsal::of(plan, graph, folders, || Ok(device.clone()))?;
    let failures: Vec<String> = rehearsal.failures.iter().map(ToString::to_string).collect();
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Set when the user presses Ctrl-C; a second time ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(crate::INTERRUPTED.into());
        }
    })?;
    Ok(stop)
}

/// Runs of one graph, one after the other.
struct Turns {
    stop: Arc<AtomicBool>,
    /// What ran last.
    before: Option<Planned>,
    json: bool,
    explain: bool,
}

impl Turns {
    fn run(
        &mut self,
        engine: &mut Engine,
        graph: &Graph,
        targets: &[String],
        mut profiler: Option<&mut Profiler>,
        rehearse: impl FnOnce(&Plan) -> Result<()>,
    ) -> Result<Outcome> {
        let prompt = Json::Object(graph.prompt.clone());
        let names: Vec<&str> = targets.iter().map(String::as_str).collect();
        let wanted = if names.is_empty() { Targets::Outputs } else { Targets::Only(&names) };
        let plan = engine.plan(&prompt, wanted)?;
        // A graph half of which cannot run is a mistake here, where nobody watches.
        anyhow::ensure!(plan.warnings.0.is_empty(), "{}", plan.warnings);
        rehearse(&plan)?;
        if let Some(profiler) = &mut profiler {
            profiler.planned();
        }
        let now = Planned::new(&graph.prompt, &plan);
        let options = RunOptions { prompt: &prompt, extra: &graph.extra, stop: &self.stop };
        let mut progress = (!self.json).then(|| Progress::new(graph, plan.steps.len()));
        let outcome = engine.run(&plan, &options, &mut |event| {
            if let Some(profiler) = &mut profiler {
                profiler.hear(&event);
            }
            if self.explain {
                self.explain(&event, &now, graph, progress.as_ref());
            }
            match &mut progress {
                Some(progress) => progress.on(&event),
                None => self.print(&event_json(&event)),
            }
        });
        drop(progress);
        self.before = Some(now);
        match &outcome.end {
            End::Completed => Ok(outcome),
            End::Failed(failure) => Err(failure.clone().into()),
            End::Interrupted(_) => Err(graph::Interrupted.into()),
        }
    }

    /// Says which results were kept, and of a node that begins, why it runs.
    fn explain(&self, event: &RunEvent, now: &Planned, graph: &Graph, progress: Option<&Progress>) {
        let (ids, runs) = match event {
            RunEvent::Cached { ids } => (ids.as_slice(), false),
            RunEvent::Started { id, .. } => (std::slice::from_ref(id), true),
            _ => return,
        };
        for id in ids {
            let why = || now.why(self.before.as_ref(), id, |node| graph.label(node));
            let why = if runs { why() } else { "nothing that it depends on has changed".into() };
            match progress {
                None => self.print(&json!({"event": "why", "node": id, "runs": runs, "why": why})),
                Some(progress) => {
                    let does = if runs { "runs" } else { "is kept" };
                    progress.say(&format!("{} ({id}) {does}: {why}", graph.label(id)));
                }
            }
        }
    }

    /// Prints a line of JSON. If nobody reads any more, the run has no one to tell.
    fn print(&self, json: &Json) {
        if writeln!(std::io::stdout(), "{json}").is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// One event as a line of JSON.
fn event_json(event: &RunEvent) -> Json {
    match event {
        RunEvent::Cached { ids } => json!({"event": "cached", "nodes": ids}),
        RunEvent::Started { id, index, total } => {
            json!({"event": "started", "node": id, "index": index, "total": total})
        }
        RunEvent::Step { id, done, total } => {
            json!({"event": "step", "node": id, "done": done, "total": total})
        }
        RunEvent::Preview { id, width, height, .. } => {
            json!({"event": "preview", "node": id, "width": width, "height": height})
        }
        RunEvent::Note { id, text } => json!({"event": "note", "node": id, "text": text}),
        RunEvent::Took { id, what, seconds } => {
            json!({"event": "took", "node": id, "what": what, "seconds": seconds})
        }
        RunEvent::Executed { id, ui, seconds, cached } => {
            json!({"event": "executed", "node": id, "output": ui, "seconds": seconds, "cached": cached})
        }
        RunEvent::Failed(failure) => {
            json!({"event": "failed", "node": failure.id, "class": failure.class, "message": failure.to_string()})
        }
        RunEvent::Interrupted { id } => json!({"event": "interrupted", "node": id}),
    }
}

/// The files that the run wrote, one a line.
fn print_files(outcome: &Outcome, folders: &Folders) -> Result<()> {
    let mut files = Vec::new();
    for image in outcome.reports.values().filter_map(|r| r.ui.get("images")?.as_array()).flatten() {
        let text = |key: &str| image[key].as_str().unwrap_or_default();
        files.push(folders.folder(text("type"))?.join(text("subfolder")).join(text("filename")));
    }
    files.sort();
    let mut out = std::io::stdout().lock();
    files.iter().try_for_each(|file| writeln!(out, "{}", file.display()))?;
    Ok(())
}

/// Writes `DIR/ID.safetensors` for each target, under the names the goldens use: `ID.SLOT.samples`, and
/// `ID.SLOT[i].samples` for the values of a list.
fn dump(dir: &Path, targets: &[String], outcome: &Outcome) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for id in targets {
        let values = outcome.values(id).with_context(|| format!("node {id} has no result"))?;
        let tensors = values
            .iter()
            .enumerate()
            .flat_map(|(slot, values)| nodes::dump_slot(&format!("{id}.{slot}"), values));
        let name = id.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "_");
        let bytes = tensor::write_safetensors(tensors.collect())?;
        let file = dir.join(format!("{name}.safetensors"));
        crate::document::write_whole(&file, &bytes).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
