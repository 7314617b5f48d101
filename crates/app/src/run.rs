//! `weft run`: a graph from the command line, without an editor.

use crate::{DeviceChoice, FolderArgs, Folders, GraphArg, devices, document::Graph, progress::Progress};
use anyhow::{Context as _, Result, bail};
use engine::{Engine, Outcome, Plan, RunEvent, RunOptions};
use graph::{Host, Json, NodeType, Services};
use serde_json::json;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    graph: GraphArg,
    /// Changes an input: node id, title or class, then the input (repeatable)
    #[arg(long, value_name = "ID.INPUT=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    folders: FolderArgs,
    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,
    /// Whose random numbers samplers that add noise use: a CUDA card's, or a CPU's
    #[arg(long, value_enum, default_value_t)]
    sampler_noise: NoiseChoice,
    /// How many times to run; each time the seeds go up by one
    #[arg(long, default_value_t = 1, value_name = "N")]
    repeat: u64,
    /// Writes DIR/ID.safetensors with the outputs of the nodes of --dump-nodes
    #[arg(long, value_name = "DIR", requires = "dump_nodes")]
    dump: Option<PathBuf>,
    /// Nodes to run and to write out with --dump
    #[arg(long, value_name = "ID,ID", value_delimiter = ',', requires = "dump")]
    dump_nodes: Vec<String>,
    /// One JSON event a line on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum NoiseChoice {
    /// As on an NVIDIA card (Philox): what most published pictures were made with
    #[default]
    Cuda,
    /// As on a CPU (Mersenne Twister)
    Cpu,
}

impl From<NoiseChoice> for nodes::Options {
    fn from(choice: NoiseChoice) -> Self {
        let sampler_noise = match choice {
            NoiseChoice::Cuda => nodes::SamplerNoise::Cuda,
            NoiseChoice::Cpu => nodes::SamplerNoise::Cpu,
        };
        Self { sampler_noise }
    }
}

pub fn run(args: &RunArgs) -> Result<()> {
    let types: Arc<[NodeType]> = nodes::all().into();
    let mut graph = Graph::open(&args.graph.graph, &types)?;
    for assignment in &args.set {
        graph.set(assignment, &types)?;
    }
    let targets = args.dump_nodes.iter().map(|n| graph.find(n)).collect::<Result<Vec<_>>>()?;
    let folders: Arc<dyn Host> = Arc::new(Folders::new(&args.folders)?);
    let services = Services::default()
        .with(devices::open(args.device)?)
        .with(Arc::new(nodes::Options::from(args.sampler_noise)));
    let mut engine = Engine::new(types.clone(), folders.clone(), services);
    let stop = stop_on_interrupt()?;
    for turn in 0..args.repeat {
        if turn > 0 {
            graph.advance_seeds(1, &types);
        }
        let outcome = run_once(&mut engine, &graph, &types, &*folders, &targets, &stop, args.json)?;
        if !args.json {
            print_files(&outcome, &*folders)?;
        }
        if let Some(dir) = &args.dump {
            dump(dir, &targets, &outcome)?;
        }
    }
    Ok(())
}
