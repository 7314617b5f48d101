//! `weft run --profile`: where the time of a run went.

use crate::{
    account::{self, Accounts, NodeAccount, Work},
    document::{Graph, write_whole},
    units::{seconds, si},
};
use anyhow::Context as _;
use engine::RunEvent;
use graph::Json;
use serde_json::json;
use std::{
    io::{Result, Write},
    path::PathBuf,
    time::Instant,
};
use tensor::{Device, Peak, Time};

/// Who is told of the profiles of runs.
pub struct Profiles {
    /// A table on standard error, or an event among those on standard output.
    told: bool,
    events: bool,
    file: Option<PathBuf>,
    /// What stands in the file, a line for each run.
    lines: String,
    /// Measured once, after the first run.
    peak: Option<Peak>,
}

impl Profiles {
    pub fn new(told: bool, file: Option<PathBuf>, events: bool) -> Self {
        Self { told, events, file, lines: String::new(), peak: None }
    }

    pub fn wanted(&self) -> bool {
        self.told || self.file.is_some()
    }

    /// Of a run that came to its first node.
    pub fn tell(
        &mut self,
        profile: &Profile,
        graph: &Graph,
        device: &Device,
    ) -> anyhow::Result<()> {
        if profile.nodes.is_empty() {
            return Ok(());
        }
        let peak = match self.peak {
            Some(peak) => peak,
            None => *self.peak.insert(device.peak()?),
        };
        let mut json = profile.json(graph, device, &peak);
        if let Some(file) = &self.file {
            self.lines += &format!("{json}\n");
            write_whole(file, self.lines.as_bytes()).with_context(|| file.display().to_string())?;
        }
        if self.told && self.events {
            json["event"] = "profile".into();
            writeln!(std::io::stdout(), "{json}")?;
        } else if self.told {
            profile.print(&mut std::io::stderr().lock(), graph, &peak)?;
        }
        Ok(())
    }
}

/// A run under way, timed.
pub struct Profiler<'d> {
    begun: Instant,
    /// Seconds before the graph was planned: reading it, finding folders, opening the device.
    start: f64,
    /// Seconds of planning: files are listed and hashed.
    plan: f64,
    accounts: Accounts<'d>,
}

impl<'d> Profiler<'d> {
    /// Of a run that began then.
    pub fn new(device: &'d Device, begun: Instant) -> Self {
        let start = begun.elapsed().as_secs_f64();
        Self { begun, start, plan: 0.0, accounts: Accounts::new(device) }
    }

    pub fn planned(&mut self) {
        self.plan = self.begun.elapsed().as_secs_f64() - self.start;
    }

    pub fn hear(&mut self, event: &RunEvent) {
        self.accounts.hear(event);
    }

    pub fn finish(self) -> Profile {
        let seconds = self.begun.elapsed().as_secs_f64();
        let nodes = self.accounts.nodes();
        Profile { seconds, start: self.start, plan: self.plan, times: account::sum(&nodes), nodes }
    }
}

/// Where the time of a run went.
pub struct Profile {
    seconds: f64,
    start: f64,
    plan: f64,
    nodes: Vec<NodeAccount>,
    /// Of all nodes.
    times: Vec<Time>,
}

impl Profile {
    /// Seconds by what they were spent on; together, the whole run.
    fn parts(&self) -> Vec<(&'static str, f64)> {
        let of_nodes = |part: fn(&NodeAccount) -> f64| self.nodes.iter().map(part).sum::<f64>();
        let transfer = account::beside(&self.times, Time::TRANSFER).seconds;
        let networks = of_nodes(|node| node.networks().seconds) - transfer;
        let mut told: Vec<(&str, f64)> = Vec::new();
        for (what, seconds) in self.nodes.iter().flat_map(|node| &node.parts) {
            match told.iter_mut().find(|(known, _)| known == what) {
                Some((_, sum)) => *sum += seconds,
                None => told.push((what, *seconds)),
            }
        }
        let own = of_nodes(NodeAccount::own) - told.iter().map(|(_, s)| s).sum::<f64>();
        let outside = self.start + self.plan + of_nodes(|node| node.seconds);
        let mut parts = vec![
            ("networks", networks),
            ("networks, in and out", transfer),
            ("networks, making ready", of_nodes(NodeAccount::prepare)),
        ];
        parts.extend(told);
        parts.extend([
            ("nodes' other work", own.max(0.0)),
            ("starting", self.start),
            ("planning", self.plan),
            ("between nodes", (self.seconds - outside).max(0.0)),
        ]);
        parts
    }

    /// For people.
    pub fn print(&self, out: &mut impl Write, graph: &Graph, peak: &Peak) -> Result<()> {
        self.print_parts(out)?;
        self.print_nodes(out, graph)?;
        for (name, times) in account::by_network(&self.times) {
            let runs = account::beside(&times, Time::TRANSFER).calls;
            let work = Work::of(times.iter().filter(|t| t.op != Time::PREPARE));
            writeln!(
                out,
                "\n{name}\n  {runs} calls in {}, {}, {:.2} of the peak, bound by {}",
                seconds(work.seconds),
                si(work.flops, "FLOP"),
                work.fraction(peak),
                work.bound_by(peak)
            )?;
            account::table(out, &times, 1, peak)?;
        }
        Ok(())
    }

    fn print_parts(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "\n{:40} {:>10} {:>8}", "the run", seconds(self.seconds), "share")?;
        for (what, spent) in self.parts() {
            let share = 100.0 * spent / self.seconds;
            writeln!(out, "  {what:38} {:>10} {share:>6.1} %", seconds(spent))?;
        }
        Ok(())
    }

    fn print_nodes(&self, out: &mut impl Write, graph: &Graph) -> Result<()> {
        let columns = ["time", "networks", "ready", "own"];
        let [time, networks, ready, own] = columns;
        writeln!(out, "\n{:35} {time:>10} {networks:>10} {ready:>10} {own:>10}", "node")?;
        for node in &self.nodes {
            let name = graph.short_label(&node.id, 33);
            if node.cached {
                writeln!(out, "  {name:33} {:>10}", "cached")?;
                continue;
            }
            let spent = [node.seconds, node.networks().seconds, node.prepare(), node.own()];
            let [time, networks, ready, own] = spent.map(seconds);
            writeln!(out, "  {name:33} {time:>10} {networks:>10} {ready:>10} {own:>10}")?;
        }
        Ok(())
    }

    pub fn json(&self, graph: &Graph, device: &Device, peak: &Peak) -> Json {
        let nodes: Vec<Json> = self.nodes.iter().map(|node| node_json(node, graph, peak)).collect();
        let networks = account::by_network(&self.times).into_iter();
        let networks: Vec<Json> =
            networks.map(|(name, times)| network_json(name, &times, peak)).collect();
        let parts = self.parts().into_iter().map(|(what, s)| (what.to_owned(), s.into()));
        json!({
            "device": device.name(), "threads": peak.threads, "peak_gflops": peak.gflops,
            "bandwidth_gbs": peak.bandwidth_gbs, "seconds": self.seconds,
            "parts": parts.collect::<serde_json::Map<_, _>>(), "nodes": nodes, "networks": networks,
        })
    }
}

fn node_json(node: &NodeAccount, graph: &Graph, peak: &Peak) -> Json {
    let parts = node.parts.iter().map(|(what, s)| ((*what).to_owned(), (*s).into()));
    json!({
        "id": node.id, "title": graph.label(&node.id), "cached": node.cached, "seconds": node.seconds,
        "networks": node.networks().seconds, "ready": node.prepare(), "own": node.own(),
        "parts": parts.collect::<serde_json::Map<_, _>>(), "ops": ops_json(&node.times, peak),
    })
}

fn network_json(name: &str, times: &[Time], peak: &Peak) -> Json {
    let mut json = Work::of(times.iter().filter(|t| t.op != Time::PREPARE)).json(peak);
    json["name"] = name.into();
    json["calls"] = account::beside(times, Time::TRANSFER).calls.into();
    json["ready"] = account::beside(times, Time::PREPARE).seconds.into();
    json["in_and_out"] = account::beside(times, Time::TRANSFER).seconds.into();
    json["ops"] = ops_json(times, peak);
    json
}

fn ops_json(times: &[Time], peak: &Peak) -> Json {
    let op = |(op, work): (&str, Work)| {
        let mut json = work.json(peak);
        json["op"] = op.into();
        json
    };
    account::by_op(times).into_iter().map(op).collect()
}
