//! `weft check`: everything that is wrong with a graph, then the order in which it would run.

use crate::{FolderArgs, Folders, GraphArg, document::Graph};
use anyhow::Result;
use engine::{Engine, Targets};
use graph::{Json, Services};
use std::io::Write;

#[derive(clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    graph: GraphArg,
    #[command(flatten)]
    folders: FolderArgs,
}

pub fn check(args: &CheckArgs) -> Result<()> {
    let types = nodes::all();
    let graph = Graph::open(&args.graph.graph, &types)?;
    let folders = Folders::new(&args.folders)?;
    let services = Services::default();
    let engine = Engine::new(&types, &folders, &services);
    let plan = engine.plan(&Json::Object(graph.prompt.clone()), Targets::Outputs)?;
    anyhow::ensure!(plan.warnings.0.is_empty(), "{}", plan.warnings);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} nodes, all in order; they run as", plan.steps.len())?;
    for (i, step) in plan.steps.iter().enumerate() {
        let mark = if plan.targets.contains(&i) { "  (output)" } else { "" };
        writeln!(out, "  {:>3}  {} [{}]{mark}", i + 1, graph.label(&step.id), step.id)?;
    }
    Ok(())
}
