//! `weft check`: everything that is wrong with a graph, then what a run takes.

use crate::{
    FolderArgs, Folders, GraphArg,
    account::{self, Work},
    devices::DeviceArgs,
    document::Graph,
    rehearsal::Rehearsal,
    units::si,
};
use anyhow::Result;
use engine::{Plan, Targets};
use graph::Json;
use serde_json::json;
use std::{io::Write, sync::Arc};
use tensor::Cost;

#[derive(clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    graph: GraphArg,
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// As JSON; sizes in bytes
    #[arg(long)]
    json: bool,
}

pub fn check(args: &CheckArgs) -> Result<()> {
    let types = nodes::all();
    let graph = Graph::open(&args.graph.graph, &types)?;
    let folders = Folders::new(&args.folders)?;
    let (types, prompt) = (engine::Types::new(&types), Json::Object(graph.prompt.clone()));
    let plan = Plan::new(&prompt, &types, &folders, Targets::Outputs)?;
    let rehearsal = Rehearsal::of(&plan, &graph, &folders, || Ok(Arc::new(args.device.open()?)))?;
    let problems = problems(&plan, &rehearsal);
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
    let mut out = std::io::stdout().lock();
    if args.json {
        let json = as_json(&plan, &graph, &rehearsal);
        writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        return Ok(());
    }
    order(&mut out, &plan, &graph, &rehearsal)?;
    operations(&mut out, &rehearsal)?;
    costs(&mut out, &rehearsal)
}

fn problems(plan: &Plan, rehearsal: &Rehearsal) -> Vec<String> {
    let warnings = Some(plan.warnings.to_string()).filter(|w| !w.is_empty());
    let failure = |f: &engine::Failure| {
        let inputs: Vec<String> = f.inputs.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        format!("{f}\n  its inputs: {}", inputs.join(", "))
    };
    warnings.into_iter().chain(rehearsal.failures.iter().map(failure)).collect()
}

/// The nodes, and what the networks do that each calls.
fn order(out: &mut impl Write, plan: &Plan, graph: &Graph, rehearsal: &Rehearsal) -> Result<()> {
    let nodes = format!("{} nodes, all in order; they run as", plan.steps.len());
    writeln!(out, "{nodes:48} {:>12} {:>10}", "work", "bytes")?;
    for (i, step) in plan.steps.iter().enumerate() {
        let (name, work) = (graph.short_label(&step.id, 41), work_of(&step.id, rehearsal));
        let [flops, bytes] = if work.calls > 0 {
            [si(work.flops, "FLOP"), si(work.bytes, "B")]
        } else {
            Default::default()
        };
        let mark = if plan.targets.contains(&i) { "  (output)" } else { "" };
        let line = format!("  {:>3}  {name:41} {flops:>12} {bytes:>10}{mark}", i + 1);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Of the operations of all networks that a node calls.
fn work_of(id: &str, rehearsal: &Rehearsal) -> Work {
    let of_node = rehearsal.nodes.iter().filter(|node| node.id == id);
    Work::of(of_node.flat_map(|node| &node.times).filter(|time| time.is_op()))
}

/// The same work by kind of operation.
fn operations(out: &mut impl Write, rehearsal: &Rehearsal) -> Result<()> {
    let ops = account::by_op(&account::sum(&rehearsal.nodes));
    if ops.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{:39} {:>8} {:>12} {:>10}", "operations", "calls", "work", "bytes")?;
    for (op, work) in ops {
        let [flops, bytes] = [si(work.flops, "FLOP"), si(work.bytes, "B")];
        writeln!(out, "  {op:37} {:>8} {flops:>12} {bytes:>10}", work.calls)?;
    }
    Ok(writeln!(out)?)
}

fn costs(out: &mut impl Write, rehearsal: &Rehearsal) -> Result<()> {
    rehearsal.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    let costs = rehearsal.ledger.costs();
    if costs.is_empty() {
        writeln!(out, "no network is called")?;
        return Ok(());
    }
    let width = costs.iter().map(|c| c.name.len()).max().unwrap_or_default();
    writeln!(
        out,
        "{:width$}  {:>6}  {:>11}  {:>11}  {:>9}  {:>11}  {:14}  file",
        "networks", "calls", "each", "in all", "weights", "activations", "memory"
    )?;
    for cost in &costs {
        let Cost { name, calls, file, .. } = cost;
        let memory = match cost.streamed {
            Some(blocks) => format!("in {blocks} blocks"),
            None => "fits".into(),
        };
        let flops = [cost.flops, cost.flops * calls].map(|n| si(n, "FLOP"));
        let bytes = [cost.weights, cost.activations].map(|n| si(n, "B"));
        let [each, all] = &flops;
        let [weights, activations] = &bytes;
        writeln!(
            out,
            "{name:width$}  {calls:>6}  {each:>11}  {all:>11}  {weights:>9}  {activations:>11}  {memory:14}  {file}"
        )?;
    }
    let (flops, peak) = (si(flops(&costs), "FLOP"), si(rehearsal.ledger.peak(), "B"));
    writeln!(out, "in all {flops}, and at most {peak} of weights and activations at once")?;
    if costs.iter().any(|cost| cost.streamed.is_some()) {
        let budget = si(rehearsal.ledger.device().memory().budget(), "B");
        writeln!(
            out,
            "{budget} do not hold the weights of what is in blocks: each call loads these one after another"
        )?;
    }
    Ok(())
}

fn flops(costs: &[Cost]) -> u64 {
    costs.iter().map(|c| c.flops * c.calls).sum()
}

fn as_json(plan: &Plan, graph: &Graph, rehearsal: &Rehearsal) -> Json {
    let order = plan.steps.iter().enumerate().map(|(i, step)| {
        let (class, title) = (step.node.name, graph.label(&step.id));
        let work = work_of(&step.id, rehearsal);
        json!({
            "id": step.id, "class": class, "title": title, "output": plan.targets.contains(&i),
            "flops": work.flops, "bytes": work.bytes,
        })
    });
    let costs = rehearsal.ledger.costs();
    let networks = costs.iter().map(|c| {
        json!({
            "name": c.name, "file": c.file, "calls": c.calls, "flops": c.flops,
            "weights": c.weights, "activations": c.activations, "streamed_blocks": c.streamed,
        })
    });
    let ops = account::by_op(&account::sum(&rehearsal.nodes)).into_iter().map(|(op, work)| {
        json!({"op": op, "calls": work.calls, "flops": work.flops, "bytes": work.bytes})
    });
    json!({
        "ops": ops.collect::<Vec<_>>(),
        "order": order.collect::<Vec<_>>(),
        "networks": networks.collect::<Vec<_>>(),
        "flops": flops(&costs),
        "peak": rehearsal.ledger.peak(),
        "notes": rehearsal.notes,
    })
}
