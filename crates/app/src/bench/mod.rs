//! `weft bench`: how fast the networks are, against what the machine can do at most.
//!
//! What has been tried on the CPU, on two threads with AVX-512 (peak 533 to 548 GFLOP/s), beside other builds at
//! real-time priority, in the dev profile; kernels by `weft bench kernels`, the rest by `weft bench model`:
//!
//! | change | expected | measured | kept |
//! |---|---|---|---|
//! | own matrix product over packed weights, rows unpacked | 0.9 of the peak | 0.65 to 0.82 | yes |
//! | tiles of 12 rows for AVX-512 | fewer loads | 0.47: registers spill | no |
//! | even slabs of at most 384, columns in blocks of 640 | less traffic of results | 0.72 to 0.85 | yes |
//! | Winograd with transforms in closures | 1.6 of the peak | 0.57: no wide vectors in closures | no |
//! | the same in loops | 1.6 | 1.75 to 2.2 | yes |
//! | attention in blocks, its softmax in a closure | 0.5 | 0.29, channels of 40 | no |
//! | the same in a function for wide vectors | 0.5 | 0.48, of 80 channels 0.52, of 512 0.71 | yes |
//! | f16 weights unpacked by vectors instead of `half` | a tenth of linear layers | 0.65 to 0.70 in the step | yes |
//! | guided step, 512x512 | 0.85 | 0.79 (3.7 s); VAE decode 1.72 (2.7 s) | - |

mod kernels;

use crate::{DeviceChoice, devices, units::si};
use anyhow::Result;
use graph::Json;
use models::{Checkpoint, Question, UnetSize, VaeSize};
use serde_json::json;
use std::{io::Write, path::PathBuf, time::Instant};
use tensor::{Device, Ledger, Peak, Time, Weights};

#[derive(clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The parts of a text-to-picture run: text encoding, a guided step, VAE decoding and encoding
    Model(ModelArgs),
    /// Single operations at the sizes that SD 1.5 and SDXL have
    Kernels(kernels::KernelsArgs),
}

#[derive(clap::Args)]
struct ModelArgs {
    /// A .safetensors file with a whole checkpoint
    #[arg(value_name = "CKPT")]
    file: PathBuf,
    /// Width and height of the picture, in pixels
    #[arg(long, default_value_t = 512, value_name = "PIXELS")]
    size: usize,
    /// How often each part is run; the fastest counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Pictures at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Parts to run [default: all]
    #[arg(long, value_delimiter = ',', value_name = "PART,PART")]
    only: Vec<String>,
    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn bench(args: &BenchArgs) -> Result<()> {
    match &args.what {
        What::Model(args) => model(args),
        What::Kernels(args) => kernels::kernels(args),
    }
}

/// One part of a run.
struct Part {
    name: &'static str,
    run: fn(&Checkpoint, &Device, [usize; 2]) -> Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "text_encode", run: text_encode },
    Part { name: "step", run: step },
    Part { name: "vae_decode", run: vae_decode },
    Part { name: "vae_encode", run: vae_encode },
];

fn text_encode(model: &Checkpoint, device: &Device, _: [usize; 2]) -> Result<()> {
    let prompt = model.clip.parse("a red circle on a blue background", &|_| Ok(None))?;
    model.clip.encode(device, &prompt, -1).map(drop)
}

/// One call with prompt and negative prompt in one batch.
fn step(model: &Checkpoint, device: &Device, [side, batch]: [usize; 2]) -> Result<()> {
    let size = UnetSize { batch: 2 * batch, height: side, width: side, tokens: 77 };
    let x = noise(size.batch * model.unet.in_channels * side * side);
    let context = noise(size.batch * size.tokens * model.unet.context_channels);
    let timesteps = &vec![500.0; size.batch];
    let (control, mode) = (None, models::Mode::default());
    let question = Question { x: &x, timesteps, context: &context, label: &[], size, control, mode };
    model.unet.predict(device, &question).map(drop)
}

fn vae_decode(model: &Checkpoint, device: &Device, [side, batch]: [usize; 2]) -> Result<()> {
    let size = VaeSize { batch, height: side, width: side };
    let latent = noise(batch * model.vae.latent_channels * side * side);
    model.vae.decode(device, &latent, size).map(drop)
}

fn vae_encode(model: &Checkpoint, device: &Device, [side, batch]: [usize; 2]) -> Result<()> {
    let size = VaeSize { batch, height: side, width: side };
    let picture = noise(batch * 3 * (side * model.vae.scale()).pow(2));
    model.vae.encode(device, &picture, size).map(drop)
}

/// Numbers of -1 to 1 without a pattern.
fn noise(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| i.wrapping_mul(2_654_435_769) as i32 as f32 / i32::MAX as f32).collect()
}

/// What a part took.
struct Measured {
    name: &'static str,
    seconds: f64,
    flops: u64,
    /// By operation, of all runs; empty where the device does not tell.
    times: Vec<Time>,
    runs: u64,
}

fn model(args: &ModelArgs) -> Result<()> {
    let weights = Weights::open(&args.file)?;
    let model = Checkpoint::load(&weights)?;
    let scale = model.vae.scale();
    anyhow::ensure!(
        args.size > 0 && args.size.is_multiple_of(8 * scale),
        "--size must be a multiple of {}",
        8 * scale
    );
    for name in &args.only {
        let known = PARTS.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        anyhow::ensure!(PARTS.iter().any(|p| p.name == name), "{name}: the parts are {known}");
    }
    let device = devices::open(args.device)?;
    let size = [args.size / scale, args.batch as usize];
    let wanted = |part: &&Part| args.only.is_empty() || args.only.iter().any(|n| n == part.name);
    let peak = Peak::measure();
    let mut out = std::io::stdout().lock();
    if !args.json {
        header(&mut out, &device, &peak)?;
    }
    let mut parts = Vec::new();
    for part in PARTS.iter().filter(wanted) {
        let mut measured = measure(part, &model, &device, size, args.steps)?;
        measured.flops = flops(part, &weights, size)?;
        if !args.json {
            table(&mut out, &measured, &peak)?;
        }
        parts.push(measured);
    }
    if args.json {
        writeln!(out, "{:#}", as_json(&parts, &device, &peak))?;
    }
    Ok(())
}

/// Runs a part once for warming up and then `runs` times.
fn measure(
    part: &Part,
    model: &Checkpoint,
    device: &Device,
    size: [usize; 2],
    runs: u64,
) -> Result<Measured> {
    (part.run)(model, device, size)?;
    let before = device.timings();
    let seconds = best_of(runs, || (part.run)(model, device, size))?;
    let times = device.timings().into_iter().filter_map(|time| time.since(&before)).collect();
    Ok(Measured { name: part.name, seconds, flops: 0, times, runs })
}

/// The seconds of the fastest run.
fn best_of(runs: u64, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut fastest = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

/// Of one run, by the definition of each operation.
fn flops(part: &Part, weights: &Weights, size: [usize; 2]) -> Result<u64> {
    let ledger = Ledger::default();
    // Networks stay on the device that they first ran on: a model of its own.
    (part.run)(&Checkpoint::load(weights)?, &Device::dry(&ledger), size)?;
    Ok(ledger.costs().iter().map(|cost| cost.flops * cost.calls).sum())
}

impl Measured {
    fn gflops(&self) -> f64 {
        self.flops as f64 / 1e9 / self.seconds
    }

    /// What bounds it: with each operation's bytes read and written once at full speed, memory takes
    /// longer than arithmetic, or it does not.
    fn bound_by(&self, peak: &Peak) -> &'static str {
        let (flops, bytes) = self.times.iter().fold((0, 0), |(f, b), t| (f + t.flops, b + t.bytes));
        match bytes as f64 / peak.bandwidth_gbs > flops as f64 / peak.gflops {
            true => "memory",
            false => "arithmetic",
        }
    }
}

fn header(out: &mut impl Write, device: &Device, peak: &Peak) -> Result<()> {
    let Peak { threads, gflops, bandwidth_gbs } = peak;
    writeln!(out, "computing on {}", device.name())?;
    writeln!(
        out,
        "this processor's peak, measured now with {threads} threads: {gflops:.0} GFLOP/s, {bandwidth_gbs:.1} GB/s"
    )?;
    Ok(())
}

fn table(out: &mut impl Write, part: &Measured, peak: &Peak) -> Result<()> {
    let fraction = part.gflops() / peak.gflops;
    writeln!(
        out,
        "\n{}: {:.3} s, {}, {:.0} GFLOP/s, {fraction:.2} of the peak, bound by {}",
        part.name,
        part.seconds,
        si(part.flops, "FLOP"),
        part.gflops(),
        part.bound_by(peak)
    )?;
    let mut times: Vec<&Time> = part.times.iter().collect();
    times.sort_by_key(|time| std::cmp::Reverse(time.time));
    for time in times {
        let seconds = time.time.as_secs_f64() / part.runs as f64;
        let [flops, bytes] = [time.flops, time.bytes].map(|n| n / part.runs);
        writeln!(
            out,
            "  {:14} {:>5} calls {seconds:>9.4} s  {:>11}  {:>9}  {:>6.0} GFLOP/s  {:.2} of the peak",
            time.op,
            time.calls / part.runs,
            si(flops, "FLOP"),
            si(bytes, "B"),
            flops as f64 / 1e9 / seconds,
            flops as f64 / 1e9 / seconds / peak.gflops
        )?;
    }
    Ok(())
}

fn as_json(parts: &[Measured], device: &Device, peak: &Peak) -> Json {
    let mut json = json!({
        "device": device.name(),
        "threads": peak.threads,
        "peak_gflops": peak.gflops,
        "bandwidth_gbs": peak.bandwidth_gbs,
    });
    for part in parts {
        json[part.name] = json!({
            "seconds": part.seconds,
            "gflop": part.flops as f64 / 1e9,
            "fraction": part.gflops() / peak.gflops,
            "bound_by": part.bound_by(peak),
        });
    }
    json
}
