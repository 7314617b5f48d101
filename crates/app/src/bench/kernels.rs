//! `weft bench kernels`: single operations at the sizes that SD 1.5 and SDXL have.

use super::{best_of, header, noise};
use crate::{DeviceChoice, devices, units::si};
use anyhow::{Result, ensure};
use serde_json::json;
use std::{collections::BTreeSet, io::Write};
use tensor::{Conv, Peak, Tape, Tensor, Weights};

#[derive(clap::Args)]
pub struct KernelsArgs {
    /// Only operations whose name contains this
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// How often each is run; the fastest counts
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// An operation, the shape of its input, and where that occurs.
struct Case {
    op: Op,
    shape: &'static [usize],
    place: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// To so many channels.
    Linear(usize),
    /// 3 by 3, to so many channels.
    Conv(usize),
    /// So many heads, on as many keys as there are tokens.
    Attention(usize),
    /// So many heads, on 77 keys.
    CrossAttention(usize),
    GroupNorm,
    LayerNorm,
    Geglu,
}

macro_rules! cases { ($($place:literal: $($op:ident $(($n:literal))? [$($d:literal),*]),*;)*) => {
    const CASES: &[Case] = &[$($(
        Case { op: Op::$op $(($n))?, shape: &[$($d),*], place: $place },
    )*)*];
}}

cases! {
    "SD 1.5, 512x512, largest level":
        Conv(320) [2, 64, 64, 320], Conv(320) [2, 64, 64, 960], Linear(320) [2, 4096, 320],
        Linear(2560) [2, 4096, 320], Linear(320) [2, 4096, 1280], Attention(8) [2, 4096, 320],
        CrossAttention(8) [2, 4096, 320], GroupNorm [2, 64, 64, 320], LayerNorm [2, 4096, 320],
        Geglu [2, 4096, 2560];
    "SD 1.5, 512x512, second level":
        Conv(640) [2, 32, 32, 640], Linear(640) [2, 1024, 640], Linear(5120) [2, 1024, 640],
        Attention(8) [2, 1024, 640];
    "SD 1.5, 512x512, third level":
        Conv(1280) [2, 16, 16, 1280], Linear(1280) [2, 256, 1280], Linear(10240) [2, 256, 1280],
        Attention(8) [2, 256, 1280];
    "SD 1.5, 512x512, middle":
        Conv(1280) [2, 8, 8, 1280], Linear(1280) [2, 1280];
    "SD 1.5, text encoder": Linear(3072) [1, 77, 768], Linear(768) [1, 77, 3072];
    "VAE decoder, 512x512":
        Conv(512) [1, 64, 64, 512], Conv(256) [1, 256, 256, 256], Conv(128) [1, 512, 512, 128],
        Attention(1) [1, 4096, 512], GroupNorm [1, 512, 512, 128];
    "SDXL, 1024x1024":
        Conv(320) [2, 128, 128, 320], Linear(640) [2, 4096, 640], Attention(10) [2, 4096, 640],
        Attention(20) [2, 1024, 1280];
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Linear(_) => "linear",
            Self::Conv(_) => "conv2d",
            Self::Attention(_) => "attention",
            Self::CrossAttention(_) => "cross attention",
            Self::GroupNorm => "group_norm",
            Self::LayerNorm => "layer_norm",
            Self::Geglu => "geglu",
        }
    }

    /// Shapes of its weight and of its bias, for so many channels.
    fn weights(self, c: usize) -> Vec<(&'static str, Vec<usize>)> {
        let weight = match self {
            Self::Linear(n) => vec![n, c],
            Self::Conv(n) => vec![n, c, 3, 3],
            Self::GroupNorm | Self::LayerNorm => vec![c],
            Self::Attention(_) | Self::CrossAttention(_) | Self::Geglu => return Vec::new(),
        };
        vec![("bias", vec![weight[0]]), ("weight", weight)]
    }

    /// Writes it down; gives its output.
    fn record(self, tape: &Tape, shape: &[usize], weights: &Weights) -> Result<Tensor> {
        let x = tape.input("x", shape);
        let [weight, bias] = ["weight", "bias"].map(|name| weights.get(name));
        Ok(match self {
            Self::Linear(_) => x.linear(&weight?, Some(&bias?)),
            Self::Conv(_) => x.conv2d(&weight?, Some(&bias?), Conv::same(3)),
            Self::Attention(heads) => x.attention(&x, &x, heads, false),
            Self::CrossAttention(heads) => {
                let keys = tape.input("keys", &[shape[0], 77, shape[2]]);
                x.attention(&keys, &keys, heads, false)
            }
            Self::GroupNorm => x.group_norm(32, &weight?, &bias?, 1e-5),
            Self::LayerNorm => x.layer_norm(&weight?, &bias?, 1e-5),
            Self::Geglu => x.geglu(),
        })
    }
}

pub fn kernels(args: &KernelsArgs) -> Result<()> {
    let wanted = |case: &&Case| args.filter.as_ref().is_none_or(|f| case.op.name().contains(f));
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.op.name()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    ensure!(!cases.is_empty(), "no operation is called so; there are {names}");
    let device = devices::open(args.device)?;
    device.start_timing();
    let peak = Peak::measure();
    let mut out = std::io::stdout().lock();
    if !args.json {
        header(&mut out, &device, &peak)?;
    }
    let (mut rows, mut place) = (Vec::new(), "");
    for case in cases {
        let (seconds, flops, bytes) = measure(case, &device, args.runs)?;
        let (rate, bandwidth) = (flops as f64 / seconds / 1e9, bytes as f64 / seconds / 1e9);
        if args.json {
            rows.push(json!({
                "op": case.op.name(), "shape": case.shape, "place": case.place, "seconds": seconds,
                "flops": flops, "bytes": bytes, "fraction": rate / peak.gflops,
                "bandwidth_fraction": bandwidth / peak.bandwidth_gbs,
            }));
            continue;
        }
        if std::mem::replace(&mut place, case.place) != case.place {
            writeln!(out, "\n{place}")?;
        }
        writeln!(
            out,
            "  {:15} {:22} {:>9.3} ms {:>11} {:>9} {rate:>6.0} GFLOP/s, {:.2} of the peak; {bandwidth:>5.1} GB/s, {:.2}",
            case.op.name(),
            format!("{:?}", case.shape),
            seconds * 1e3,
            si(flops, "FLOP"),
            si(bytes, "B"),
            rate / peak.gflops,
            bandwidth / peak.bandwidth_gbs,
        )?;
    }
    if args.json {
        let json = json!({
            "device": device.name(), "threads": peak.threads, "peak_gflops": peak.gflops,
            "bandwidth_gbs": peak.bandwidth_gbs, "kernels": rows,
        });
        writeln!(out, "{json:#}")?;
    }
    Ok(())
}

/// Seconds, operations and bytes of one run.
fn measure(case: &Case, device: &tensor::Device, runs: u64) -> Result<(f64, u64, u64)> {
    let channels = *case.shape.last().unwrap_or(&1);
    let tensors = case.op.weights(channels).into_iter().map(|(name, shape)| {
        let numbers = noise(shape.iter().product());
        (name.to_owned(), shape, numbers)
    });
    let weights = Weights::made("bench", tensors.collect())?;
    let tape = Tape::named(format!("{:?} {:?}", case.op, case.shape));
    let y = case.op.record(&tape, case.shape, &weights)?;
    let mut network = device.compile(tape.finish(&[&y]))?;
    let program = network.program();
    let step = &program.steps[0];
    let (flops, moved) = (program.flops_of(step), program.bytes_of(step));
    let inputs: Vec<Vec<f32>> =
        program.inputs.iter().map(|(_, id)| noise(program.shape(*id).iter().product())).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    network.run(&inputs)?;
    let before = device.timings();
    let seconds = best_of(runs, || network.run(&inputs).map(drop))?;
    // Without the copies in and out, where the device tells.
    let told = device.timings().into_iter().find_map(|t| t.since(&before));
    let inside = told.map(|t| t.fastest.as_secs_f64()).unwrap_or(seconds);
    Ok((inside, flops, moved))
}
