//! `weft bench kernels`: single operations at the sizes that SD 1.5 and SDXL have.

use super::{best_of, header, noise};
use crate::{
    DeviceChoice,
    account::Work,
    devices,
    units::{seconds, si},
};
use anyhow::{Result, ensure};
use graph::Json;
use serde_json::json;
use std::{collections::BTreeSet, io::Write};
use tensor::{Conv, Peak, Program, Tape, Tensor, Time, Weights};

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
    /// 3 by 3, to so many channels; `Down` with a stride of 2, `Up` from a picture half as large.
    Conv(usize),
    Down(usize),
    Up(usize),
    /// So many heads, on as many keys as there are tokens; `Causal` on those up to each.
    Attention(usize),
    Causal(usize),
    /// So many heads, on 77 keys.
    CrossAttention(usize),
    GroupNorm,
    LayerNorm,
    Geglu,
    /// Of two values of this shape, by channels and by number.
    Concat,
    Add,
    Silu,
    /// Rows and columns exchanged.
    Permute,
    /// The first half of the channels.
    Slice,
    Upsample,
}

macro_rules! cases { ($($place:literal: $($op:ident $(($n:literal))? [$($d:literal),*]),*;)*) => {
    const CASES: &[Case] = &[$($(
        Case { op: Op::$op $(($n))?, shape: &[$($d),*], place: $place },
    )*)*];
}}

cases! {
    "SD 1.5, 512x512, largest level":
        Conv(320) [2, 64, 64, 320], Conv(320) [2, 64, 64, 960], Down(320) [2, 64, 64, 320],
        Up(640) [2, 32, 32, 640], Linear(320) [2, 4096, 320], Linear(2560) [2, 4096, 320],
        Linear(320) [2, 4096, 1280], Attention(8) [2, 4096, 320], CrossAttention(8) [2, 4096, 320],
        GroupNorm [2, 64, 64, 320], LayerNorm [2, 4096, 320], Geglu [2, 4096, 2560],
        Concat [2, 64, 64, 320], Add [2, 4096, 320], Silu [2, 64, 64, 320],
        Permute [2, 64, 64, 320], Upsample [2, 32, 32, 640];
    "SD 1.5, 512x512, second level":
        Conv(640) [2, 32, 32, 640], Linear(640) [2, 1024, 640], Linear(5120) [2, 1024, 640],
        Attention(8) [2, 1024, 640], GroupNorm [2, 32, 32, 640];
    "SD 1.5, 512x512, third level":
        Conv(1280) [2, 16, 16, 1280], Linear(1280) [2, 256, 1280], Linear(10240) [2, 256, 1280],
        Attention(8) [2, 256, 1280], GroupNorm [2, 16, 16, 2560];
    "SD 1.5, 512x512, middle":
        Conv(1280) [2, 8, 8, 1280], Linear(1280) [2, 1280];
    "SD 1.5, text encoder":
        Linear(3072) [1, 77, 768], Linear(768) [1, 77, 3072], Causal(12) [1, 77, 768],
        LayerNorm [1, 77, 768];
    "SD 1.5, VAE, 512x512":
        Conv(512) [1, 64, 64, 512], Conv(256) [1, 256, 256, 256], Conv(128) [1, 512, 512, 128],
        Attention(1) [1, 4096, 512], GroupNorm [1, 512, 512, 128], Slice [1, 64, 64, 8];
    "SDXL, 1024x1024, largest level":
        Conv(320) [2, 128, 128, 320], Conv(320) [2, 128, 128, 960], Down(320) [2, 128, 128, 320],
        Up(640) [2, 64, 64, 640], GroupNorm [2, 128, 128, 320], Concat [2, 128, 128, 320],
        Silu [2, 128, 128, 320], Permute [2, 128, 128, 320], Upsample [2, 64, 64, 640];
    "SDXL, 1024x1024, second level":
        Conv(640) [2, 64, 64, 640], Linear(640) [2, 4096, 640], Linear(5120) [2, 4096, 640],
        Attention(10) [2, 4096, 640], CrossAttention(10) [2, 4096, 640], LayerNorm [2, 4096, 640],
        Geglu [2, 4096, 5120];
    "SDXL, 1024x1024, third level":
        Conv(1280) [2, 32, 32, 1280], Linear(1280) [2, 1024, 1280], Linear(10240) [2, 1024, 1280],
        Linear(1280) [2, 1024, 5120], Linear(1280) [2, 77, 2048], Attention(20) [2, 1024, 1280],
        CrossAttention(20) [2, 1024, 1280], LayerNorm [2, 1024, 1280], Geglu [2, 1024, 10240],
        Add [2, 1024, 1280];
    "SDXL, second text encoder":
        Linear(5120) [1, 77, 1280], Linear(1280) [1, 77, 5120], Causal(20) [1, 77, 1280];
    "SDXL, VAE, 1024x1024":
        Conv(512) [1, 128, 128, 512], Conv(256) [1, 512, 512, 256], Conv(128) [1, 1024, 1024, 128],
        Attention(1) [1, 16384, 512], GroupNorm [1, 1024, 1024, 128], Slice [1, 128, 128, 8];
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Linear(_) => "linear",
            Self::Conv(_) => "conv2d",
            Self::Down(_) => "conv2d, halving",
            Self::Up(_) => "conv2d, doubling",
            Self::Attention(_) => "attention",
            Self::Causal(_) => "causal attention",
            Self::CrossAttention(_) => "cross attention",
            Self::GroupNorm => "group_norm",
            Self::LayerNorm => "layer_norm",
            Self::Geglu => "geglu",
            Self::Concat => "concat",
            Self::Add => "binary (sum)",
            Self::Silu => "map (SiLU)",
            Self::Permute => "permute",
            Self::Slice => "slice",
            Self::Upsample => "upsample2x",
        }
    }

    /// Shapes of its weight and of its bias, for so many channels.
    fn weights(self, c: usize) -> Vec<(&'static str, Vec<usize>)> {
        let weight = match self {
            Self::Linear(n) => vec![n, c],
            Self::Conv(n) | Self::Down(n) | Self::Up(n) => vec![n, c, 3, 3],
            Self::GroupNorm | Self::LayerNorm => vec![c],
            _ => return Vec::new(),
        };
        vec![("bias", vec![weight[0]]), ("weight", weight)]
    }

    /// Writes it down; gives its output.
    fn record(self, tape: &Tape, shape: &[usize], weights: &Weights) -> Result<Tensor> {
        let x = tape.input("x", shape);
        let other = |shape: &[usize]| tape.input("other", shape);
        let [weight, bias] = ["weight", "bias"].map(|name| weights.get(name));
        let same = Conv::same(3);
        Ok(match self {
            Self::Linear(_) => x.linear(&weight?, Some(&bias?)),
            Self::Conv(_) => x.conv2d(&weight?, Some(&bias?), same),
            Self::Down(_) => x.conv2d(&weight?, Some(&bias?), Conv { stride: 2, ..same }),
            Self::Up(_) => x.conv2d(&weight?, Some(&bias?), Conv { up2: true, ..same }),
            Self::Attention(heads) => x.attention(&x, &x, heads, false),
            Self::Causal(heads) => x.attention(&x, &x, heads, true),
            Self::CrossAttention(heads) => {
                let keys = other(&[shape[0], 77, shape[2]]);
                x.attention(&keys, &keys, heads, false)
            }
            Self::GroupNorm => x.group_norm(32, &weight?, &bias?, 1e-5),
            Self::LayerNorm => x.layer_norm(&weight?, &bias?, 1e-5),
            Self::Geglu => x.geglu(),
            Self::Concat => x.concat(&[&other(shape)], shape.len() - 1),
            Self::Add => x.add(&other(shape)),
            Self::Silu => x.silu(),
            Self::Permute => x.permute(&[0, 2, 1, 3]),
            Self::Slice => x.slice(3, 0, shape[3] / 2),
            Self::Upsample => x.upsample2x(),
        })
    }
}

pub fn kernels(args: &KernelsArgs) -> Result<()> {
    let wanted = |case: &&Case| args.filter.as_ref().is_none_or(|f| case.op.name().contains(f));
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.op.name()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join("; ");
    ensure!(!cases.is_empty(), "no operation is called so; there are {names}");
    let device = devices::open(args.device)?;
    device.start_timing();
    let peak = device.peak()?;
    let mut out = std::io::stdout().lock();
    if !args.json {
        header(&mut out, &device, &peak)?;
    }
    let (mut rows, mut place) = (Vec::new(), "");
    for case in cases {
        let work = measure(case, &device, args.runs)?;
        if args.json {
            rows.push(as_json(case, &work, &peak));
            continue;
        }
        if std::mem::replace(&mut place, case.place) != case.place {
            writeln!(out, "\n{place}")?;
        }
        row(&mut out, case, &work, &peak)?;
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

fn row(out: &mut impl Write, case: &Case, work: &Work, peak: &Peak) -> Result<()> {
    let shape = format!("{:?}", case.shape);
    Ok(writeln!(
        out,
        "  {:16} {shape:21} {:>10} {:>12} {:>9}  {:10} {:.2}",
        case.op.name(),
        seconds(work.seconds),
        si(work.flops, "FLOP"),
        si(work.bytes, "B"),
        work.bound_by(peak),
        work.reached(peak),
    )?)
}

fn as_json(case: &Case, work: &Work, peak: &Peak) -> Json {
    let mut json = work.json(peak);
    json["op"] = case.op.name().into();
    json["shape"] = case.shape.into();
    json["place"] = case.place.into();
    json
}

/// The program of a case: one step.
fn program(case: &Case) -> Result<Program> {
    let channels = *case.shape.last().unwrap_or(&1);
    let tensors = case.op.weights(channels).into_iter().map(|(name, shape)| {
        let numbers = noise(shape.iter().product());
        (name.to_owned(), shape, numbers)
    });
    let weights = Weights::made("bench", tensors.collect())?;
    let tape = Tape::named(format!("{:?} {:?}", case.op, case.shape));
    let y = case.op.record(&tape, case.shape, &weights)?;
    Ok(tape.finish(&[&y]))
}

/// One run, the fastest.
fn measure(case: &Case, device: &tensor::Device, runs: u64) -> Result<Work> {
    let mut network = device.compile(program(case)?)?;
    let program = network.program();
    let step = &program.steps[0];
    let (flops, bytes) = (program.flops_of(step), program.bytes_of(step));
    let inputs: Vec<Vec<f32>> =
        program.inputs.iter().map(|(_, id)| noise(program.shape(*id).iter().product())).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    network.run(&inputs)?;
    let before = device.timings();
    let seconds = best_of(runs, || network.run(&inputs).map(drop))?;
    // Without the copies in and out, where the device tells.
    let mut told = device.timings().into_iter().filter_map(|t| t.since(&before));
    let inside = told.find(Time::is_op).map_or(seconds, |t| t.fastest.as_secs_f64());
    Ok(Work { calls: 1, seconds: inside, flops, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{Checkpoint, UnetSize, VaeSize};

    /// The operations of the networks of a text-to-picture run, whether folded into others or not.
    fn used() -> BTreeSet<&'static str> {
        let weights = Weights::from_parts("tiny", builtin::CHECKPOINTS[0].parts).unwrap();
        let model = Checkpoint::load(&weights).unwrap();
        let device = tensor::Device::dry(&tensor::Ledger::default());
        let vae = VaeSize { batch: 1, height: 8, width: 8 };
        let picture = noise(3 * 64 * 64);
        model.vae.encode(&device, &picture, vae).unwrap();
        let programs = [
            model.unet.program(UnetSize { batch: 2, height: 8, width: 8, tokens: 77 }),
            model.vae.program(vae),
            model.clip.program(),
        ];
        let steps = programs.iter().flat_map(|p| &p.as_ref().unwrap().steps);
        let encoder = device.timings().into_iter().filter(Time::is_op).map(|t| t.op);
        let folded = ["binary", "concat", "geglu", "map", "permute", "upsample2x"];
        steps.map(|s| s.op.name()).chain(encoder).chain(folded).collect()
    }

    #[test]
    fn every_operation_of_the_networks_is_measured_at_sizes_of_both_families() {
        let used = used();
        assert!(used.len() > 10, "{used:?}");
        for family in ["SD 1.5", "SDXL"] {
            let cases = CASES.iter().filter(|case| case.place.starts_with(family));
            let measured: BTreeSet<&str> = cases.map(|case| op_of(case.op)).collect();
            let absent: Vec<_> = used.difference(&measured).collect();
            assert!(absent.is_empty(), "{family} lacks {absent:?}");
        }
    }

    /// What a case records, at a size that is quickly made.
    fn op_of(op: Op) -> &'static str {
        let shape: &[usize] = if matches!(
            op,
            Op::Conv(_) | Op::Down(_) | Op::Up(_) | Op::Permute | Op::Slice | Op::Upsample
        ) {
            &[1, 4, 4, 32]
        } else {
            &[1, 16, 32]
        };
        let op = match op {
            Op::Attention(_) => Op::Attention(2),
            Op::Causal(_) => Op::Causal(2),
            Op::CrossAttention(_) => Op::CrossAttention(2),
            other => other,
        };
        let program = program(&Case { op, shape, place: "" }).unwrap();
        assert_eq!(program.steps.len(), 1, "{op:?}");
        program.steps[0].op.name()
    }
}
