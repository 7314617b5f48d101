//! The command line: the only crate that names both the nodes and the front ends.

mod account;
mod aside;
mod bench;
mod check;
mod convert;
mod devices;
mod document;
mod edit;
mod folders;
mod inspect;
mod menu;
mod previews;
mod profile;
mod progress;
mod record;
mod rehearsal;
mod run;
mod units;
mod verify;

pub use folders::{FolderArgs, Folders};

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// ComfyUI workflows in one program: no Python, no CUDA, on any GPU or the CPU.
#[derive(Parser)]
#[command(name = "weft", version, max_term_width = 100)]
struct Cli {
    /// Without a command, the editor opens
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Open the editor: draw, run and share graphs
    Edit(edit::EditArgs),
    /// Run a graph and write its pictures
    Run(run::RunArgs),
    /// Run the graph in a picture again and compare
    Verify(verify::VerifyArgs),
    /// Say everything that is wrong with a graph, and what running it would take
    Check(check::CheckArgs),
    /// Turn one JSON form of a graph into the other
    Convert(convert::ConvertArgs),
    /// The menu of nodes, or one node's documentation
    Nodes(menu::NodesArgs),
    /// What is in a .safetensors file, what it is for, and what is wrong with it
    Inspect(inspect::InspectArgs),
    /// What can compute, and what would be taken
    Devices,
    /// How fast the networks are, against what this machine can do at most
    Bench(bench::BenchArgs),
}

/// Which device computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceChoice {
    /// A graphics processor if there is one, else the CPU
    #[default]
    Auto,
    /// The first adapter, also one that is a program on the CPU
    Gpu,
    Cpu,
}

/// Where a graph comes from: a file, or `-` for standard input.
#[derive(clap::Args, Clone, Debug)]
pub struct GraphArg {
    /// UI JSON, API JSON, a PNG or WebP that carries one, or - for standard input
    #[arg(value_name = "GRAPH")]
    graph: PathBuf,
}

/// The exit code of an interrupted program: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

pub fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or_else(|| Command::Edit(edit::EditArgs::default()));
    let done = match command {
        Command::Edit(args) => edit::edit(args),
        Command::Run(args) => run::run(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Check(args) => check::check(&args),
        Command::Convert(args) => convert::convert(&args),
        Command::Nodes(args) => menu::nodes(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Devices => devices::devices(),
        Command::Bench(args) => bench::bench(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<graph::Interrupted>() => {
            eprintln!("interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the reader of our output has gone, as in `weft nodes | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
