//! The one account of networks' work: `weft check` foretells by it, `weft run --profile` and `weft bench`
//! measure by it.

use crate::units::{seconds, si};
use engine::RunEvent;
use graph::Json;
use serde_json::json;
use std::{
    cmp::Reverse,
    io::{Result, Write},
    time::Instant,
};
use tensor::{Device, Peak, Time};

/// Work of networks, done or to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    pub calls: u64,
    pub seconds: f64,
    /// Floating-point operations by definition, however they are done.
    pub flops: u64,
    /// Bytes of inputs, weights and outputs, each once, as f32.
    pub bytes: u64,
}

impl Work {
    pub fn of<'t>(times: impl IntoIterator<Item = &'t Time>) -> Self {
        times.into_iter().fold(Self::default(), |sum, time| Self {
            calls: sum.calls + time.calls,
            seconds: sum.seconds + time.time.as_secs_f64(),
            flops: sum.flops + time.flops,
            bytes: sum.bytes + time.bytes,
        })
    }

    /// One of `n` equal parts.
    pub fn part(self, n: u64) -> Self {
        let Self { calls, seconds, flops, bytes } = self;
        Self { calls: calls / n, seconds: seconds / n as f64, flops: flops / n, bytes: bytes / n }
    }

    pub fn gflops(&self) -> f64 {
        self.flops as f64 / 1e9 / self.seconds
    }

    /// Of the machine's arithmetic at its peak.
    pub fn fraction(&self, peak: &Peak) -> f64 {
        self.gflops() / peak.gflops
    }

    /// Of the machine's bandwidth.
    pub fn bandwidth_fraction(&self, peak: &Peak) -> f64 {
        self.bytes as f64 / 1e9 / self.seconds / peak.bandwidth_gbs
    }

    /// Seconds that the operations take at the machine's peak, and the bytes at its bandwidth: the roofline
    /// (Williams et al. 2009).
    pub fn at_best(&self, peak: &Peak) -> [f64; 2] {
        [self.flops as f64 / 1e9 / peak.gflops, self.bytes as f64 / 1e9 / peak.bandwidth_gbs]
    }

    /// What bounds it: at best, memory takes longer than arithmetic, or it does not.
    pub fn bound_by(&self, peak: &Peak) -> &'static str {
        let [arithmetic, memory] = self.at_best(peak);
        if memory > arithmetic { "memory" } else { "arithmetic" }
    }

    /// How much of what bounds it was used.
    pub fn reached(&self, peak: &Peak) -> f64 {
        let [arithmetic, memory] = self.at_best(peak);
        arithmetic.max(memory) / self.seconds
    }

    pub fn json(&self, peak: &Peak) -> Json {
        json!({
            "calls": self.calls, "seconds": self.seconds, "flops": self.flops, "bytes": self.bytes,
            "fraction": self.fraction(peak), "bandwidth_fraction": self.bandwidth_fraction(peak),
            "bound_by": self.bound_by(peak),
        })
    }
}

/// Operations of all networks by kind, with the most time, or work, first. What is no operation is left out.
pub fn by_op(times: &[Time]) -> Vec<(&'static str, Work)> {
    let ops = grouped(times.iter().filter(|t| t.is_op()), |t| t.op);
    let mut ops: Vec<_> = ops.into_iter().map(|(op, times)| (op, Work::of(times))).collect();
    ops.sort_by(|(_, a), (_, b)| {
        b.seconds.total_cmp(&a.seconds).then(b.flops.cmp(&a.flops)).then(b.bytes.cmp(&a.bytes))
    });
    ops
}

/// Each network's part of an account, in the order of their first run.
pub fn by_network(times: &[Time]) -> Vec<(&str, Vec<Time>)> {
    let all = grouped(times.iter(), |t| t.network.as_str());
    all.into_iter().map(|(name, times)| (name, times.into_iter().cloned().collect())).collect()
}

fn grouped<'t, K: PartialEq>(
    times: impl Iterator<Item = &'t Time>,
    key: impl Fn(&'t Time) -> K,
) -> Vec<(K, Vec<&'t Time>)> {
    let mut groups: Vec<(K, Vec<&Time>)> = Vec::new();
    for time in times {
        match groups.iter_mut().find(|(k, _)| *k == key(time)) {
            Some((_, group)) => group.push(time),
            None => groups.push((key(time), vec![time])),
        }
    }
    groups
}

/// What a run took beside its operations; `op` is [`Time::PREPARE`] or [`Time::TRANSFER`].
pub fn beside(times: &[Time], op: &str) -> Work {
    Work::of(times.iter().filter(|t| t.op == op))
}

/// Operations by kind, measured. Each number is one of `runs` equal parts.
pub fn table(out: &mut impl Write, times: &[Time], runs: u64, peak: &Peak) -> Result<()> {
    writeln!(
        out,
        "  {:15} {:>7} {:>10} {:>13} {:>10}  {:10} {:>7}",
        "operation", "calls", "time", "work", "bytes", "bound by", "reaches"
    )?;
    for (op, work) in by_op(times) {
        let work = work.part(runs);
        writeln!(
            out,
            "  {op:15} {:>7} {:>10} {:>13} {:>10}  {:10} {:>7.2}",
            work.calls,
            seconds(work.seconds),
            si(work.flops, "FLOP"),
            si(work.bytes, "B"),
            work.bound_by(peak),
            work.reached(peak),
        )?;
    }
    let transfer = beside(times, Time::TRANSFER).part(runs);
    let (calls, time, bytes) = (transfer.calls, seconds(transfer.seconds), si(transfer.bytes, "B"));
    writeln!(out, "  {:15} {calls:>7} {time:>10} {:>13} {bytes:>10}", "in and out", "")
}

/// What one node of a run took.
#[derive(Clone, Debug, Default)]
pub struct NodeAccount {
    pub id: String,
    /// An earlier result served.
    pub cached: bool,
    pub seconds: f64,
    /// Of the networks it called.
    pub times: Vec<Time>,
    /// Of its own work, what it tells of.
    pub parts: Vec<(&'static str, f64)>,
}

impl NodeAccount {
    fn cached(id: &str) -> Self {
        Self { id: id.to_owned(), cached: true, ..Self::default() }
    }

    /// The runs of its networks, with what goes in and out.
    pub fn networks(&self) -> Work {
        Work { calls: beside(&self.times, Time::TRANSFER).calls, ..Work::of(self.after_prepare()) }
    }

    fn after_prepare(&self) -> impl Iterator<Item = &Time> {
        self.times.iter().filter(|t| t.op != Time::PREPARE)
    }

    /// Seconds in which its networks were made ready.
    pub fn prepare(&self) -> f64 {
        beside(&self.times, Time::PREPARE).seconds
    }

    /// Seconds of its own work, outside of networks.
    pub fn own(&self) -> f64 {
        (self.seconds - self.prepare() - self.networks().seconds).max(0.0)
    }
}

/// What the nodes of a run take, written down as it goes.
pub struct Accounts<'d> {
    device: &'d Device,
    /// The node that runs, since when, and what the device had counted then.
    open: Option<(NodeAccount, Instant, Vec<Time>)>,
    nodes: Vec<NodeAccount>,
}

impl<'d> Accounts<'d> {
    pub fn new(device: &'d Device) -> Self {
        Self { device, open: None, nodes: Vec::new() }
    }

    pub fn hear(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Cached { ids } => {
                self.nodes.extend(ids.iter().map(|id| NodeAccount::cached(id)));
            }
            RunEvent::Started { id, .. } => {
                let node = NodeAccount { id: id.clone(), ..NodeAccount::default() };
                self.open = Some((node, Instant::now(), self.device.timings()));
            }
            RunEvent::Took { what, seconds, .. } => self.took(what, *seconds),
            RunEvent::Executed { cached: false, seconds, .. } => self.close(Some(*seconds)),
            // Where two nodes are alike, the second finds the first one's result.
            RunEvent::Executed { id, cached: true, .. }
                if self.nodes.iter().all(|node| node.id != *id) =>
            {
                self.nodes.push(NodeAccount::cached(id));
            }
            RunEvent::Failed(_) | RunEvent::Interrupted { .. } => self.close(None),
            _ => {}
        }
    }

    fn took(&mut self, what: &'static str, seconds: f64) {
        let Some((node, ..)) = &mut self.open else { return };
        match node.parts.iter_mut().find(|(known, _)| *known == what) {
            Some((_, sum)) => *sum += seconds,
            None => node.parts.push((what, seconds)),
        }
    }

    fn close(&mut self, seconds: Option<f64>) {
        if let Some((mut node, start, before)) = self.open.take() {
            node.seconds = seconds.unwrap_or_else(|| start.elapsed().as_secs_f64());
            node.times =
                self.device.timings().into_iter().filter_map(|t| t.since(&before)).collect();
            self.nodes.push(node);
        }
    }

    /// In the order in which they were done.
    pub fn nodes(self) -> Vec<NodeAccount> {
        self.nodes
    }
}

/// The networks of several nodes, added up.
pub fn sum(nodes: &[NodeAccount]) -> Vec<Time> {
    let all = grouped(nodes.iter().flat_map(|n| &n.times), |t| (t.network.as_str(), t.op));
    let add = |times: Vec<&Time>| {
        let mut sum = times[0].clone();
        for time in &times[1..] {
            sum.calls += time.calls;
            sum.time += time.time;
            sum.fastest = sum.fastest.min(time.fastest);
            sum.flops += time.flops;
            sum.bytes += time.bytes;
        }
        sum
    };
    let mut sums: Vec<Time> = all.into_iter().map(|(_, times)| add(times)).collect();
    sums.sort_by_key(|t| Reverse(t.time));
    sums
}
