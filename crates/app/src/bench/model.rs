//! `weft bench model`: the parts of a text-to-picture run with a checkpoint, at one size or several.

use super::{best_of, header, noise};
use crate::{
    account::{self, Work},
    devices::DeviceArgs,
    units::{seconds, si},
};
use anyhow::{Context as _, Result, ensure};
use graph::Json;
use models::{Checkpoint, Question, UnetSize, VaeSize};
use serde_json::json;
use std::{fmt, io::Write, path::PathBuf, str::FromStr};
use tensor::{Device, Ledger, Peak, Time, Weights};

#[derive(clap::Args)]
pub struct ModelArgs {
    /// A .safetensors file with a whole checkpoint
    #[arg(value_name = "CKPT")]
    file: PathBuf,
    /// The picture's width and height in pixels, as 512 or 512x768; of several, each is measured
    #[arg(long, default_value = "512", value_name = "SIZE,SIZE", value_delimiter = ',')]
    size: Vec<Size>,
    /// How often each part is run; the fastest counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Pictures at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    batch: u64,
    /// Parts to run [default: all; of several sizes, step]
    #[arg(long, value_delimiter = ',', value_name = "PART,PART")]
    only: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    /// As JSON: one object, of several sizes a list of objects
    #[arg(long)]
    json: bool,
}

/// Width and height of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size([usize; 2]);

impl Size {
    /// More than anyone waits for.
    const LARGEST: usize = 4096;
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (width, height) = text.split_once('x').unwrap_or((text, text));
        let pixels = |n: &str| {
            let n =
                n.parse().map_err(|_| "pixels are expected, as in 512 or 512x768".to_owned())?;
            match (1..=Self::LARGEST).contains(&n) {
                true => Ok(n),
                false => Err(format!("from 1 to {} pixels can be measured", Self::LARGEST)),
            }
        };
        Ok(Self([pixels(width)?, pixels(height)?]))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}x{}", self.0[0], self.0[1])
    }
}

/// What a part is run for: the size of the latent, and how many at once.
#[derive(Clone, Copy)]
struct Task {
    width: usize,
    height: usize,
    batch: usize,
}

/// One part of a run.
struct Part {
    name: &'static str,
    run: fn(&Checkpoint, &Device, Task) -> Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "text_encode", run: text_encode },
    Part { name: "step", run: step },
    Part { name: "vae_decode", run: vae_decode },
    Part { name: "vae_encode", run: vae_encode },
];

fn text_encode(model: &Checkpoint, device: &Device, _: Task) -> Result<()> {
    let prompt = model.clip.parse("a red circle on a blue background", &|_| Ok(None))?;
    model.clip.encode(device, &prompt, -1).map(drop)
}

/// One call with prompt and negative prompt in one batch.
fn step(model: &Checkpoint, device: &Device, task: Task) -> Result<()> {
    let Task { width, height, batch } = task;
    let size = UnetSize { batch: 2 * batch, height, width, tokens: 77 };
    let x = noise(size.batch * model.unet.in_channels * height * width);
    let context = noise(size.batch * size.tokens * model.unet.context_channels);
    let timesteps = &vec![500.0; size.batch];
    let question = Question { x: &x, timesteps, context: &context, size, ..Question::default() };
    model.unet.predict(device, &question).map(drop)
}

fn vae_decode(model: &Checkpoint, device: &Device, task: Task) -> Result<()> {
    let Task { width, height, batch } = task;
    let latent = noise(batch * model.vae.latent_channels * height * width);
    model.vae.decode(device, &latent, VaeSize { batch, height, width }).map(drop)
}

fn vae_encode(model: &Checkpoint, device: &Device, task: Task) -> Result<()> {
    let Task { width, height, batch } = task;
    let picture = noise(batch * 3 * width * height * model.vae.scale().pow(2));
    model.vae.encode(device, &picture, VaeSize { batch, height, width }).map(drop)
}

/// What a part took.
struct Measured {
    name: &'static str,
    /// Of the fastest run.
    work: Work,
    /// Of all runs together, as the device tells.
    times: Vec<Time>,
    runs: u64,
}

pub fn model(args: &ModelArgs) -> Result<()> {
    let weights = Weights::open(&args.file)?;
    let model = Checkpoint::load(&weights)?;
    let parts = chosen(args)?;
    let tasks = args.size.iter().map(|size| task(*size, &model, args.batch));
    let tasks = tasks.collect::<Result<Vec<_>>>()?;
    let device = args.device.open()?;
    device.start_timing();
    let peak = device.peak()?;
    let mut out = std::io::stdout().lock();
    if !args.json {
        header(&mut out, &device, &peak)?;
    }
    let mut all = Vec::new();
    for (size, task) in args.size.iter().zip(tasks) {
        if !args.json {
            writeln!(out, "\n{size}, {} at once", args.batch)?;
        }
        let mut measured = Vec::new();
        for part in &parts {
            let part = measure(part, (&model, &weights), &device, task, args.steps)?;
            if !args.json {
                table(&mut out, &part, &peak)?;
            }
            measured.push(part);
        }
        all.push((*size, measured));
    }
    let objects = all.iter().map(|(size, parts)| as_json(*size, args.batch, parts, &device, &peak));
    let mut objects: Vec<Json> = objects.collect();
    match (args.json, all.len()) {
        (true, 1) => writeln!(out, "{:#}", objects.remove(0))?,
        (true, _) => writeln!(out, "{:#}", Json::from(objects))?,
        (false, 1) => {}
        (false, _) => growth(&mut out, &all)?,
    }
    Ok(())
}

fn chosen(args: &ModelArgs) -> Result<Vec<&'static Part>> {
    let part = |name: &String| {
        let known = || PARTS.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        let part = PARTS.iter().find(|p| p.name == name);
        part.with_context(|| format!("--only {name}: the parts are {}", known()))
    };
    match args.only.as_slice() {
        [] if args.size.len() > 1 => Ok(vec![part(&"step".to_owned())?]),
        [] => Ok(PARTS.iter().collect()),
        only => only.iter().map(part).collect(),
    }
}

/// A UNet halves its picture three times.
fn task(size: Size, model: &Checkpoint, batch: u64) -> Result<Task> {
    let (Size([width, height]), scale) = (size, model.vae.scale());
    let step = 8 * scale;
    ensure!(
        width.is_multiple_of(step) && height.is_multiple_of(step),
        "--size {size}: width and height must be multiples of {step}"
    );
    Ok(Task { width: width / scale, height: height / scale, batch: batch as usize })
}

/// Runs a part once for warming up and then `runs` times.
fn measure(
    part: &Part,
    (model, weights): (&Checkpoint, &Weights),
    device: &Device,
    task: Task,
    runs: u64,
) -> Result<Measured> {
    (part.run)(model, device, task)?;
    let before = device.timings();
    let seconds = best_of(runs, || (part.run)(model, device, task))?;
    let times = device.timings().into_iter().filter_map(|time| time.since(&before)).collect();
    Ok(Measured {
        name: part.name,
        work: Work { seconds, ..dry(part, weights, task)? },
        times,
        runs,
    })
}

/// The operations of one run.
fn dry(part: &Part, weights: &Weights, task: Task) -> Result<Work> {
    let device = Device::dry(&Ledger::default());
    // Networks stay on the device that they first ran on: a model of its own.
    (part.run)(&Checkpoint::load(weights)?, &device, task)?;
    Ok(Work::of(device.timings().iter().filter(|time| time.is_op())))
}

fn table(out: &mut impl Write, part: &Measured, peak: &Peak) -> Result<()> {
    let work = &part.work;
    writeln!(
        out,
        "\n{}: {}, {}, {:.0} GFLOP/s, {:.2} of the peak",
        part.name,
        seconds(work.seconds),
        si(work.flops, "FLOP"),
        work.gflops(),
        work.fraction(peak),
    )?;
    writeln!(out, "  {}", roofline(work, peak))?;
    Ok(account::table(out, &part.times, part.runs, peak)?)
}

/// What bounds a part, in a sentence.
fn roofline(work: &Work, peak: &Peak) -> String {
    let [arithmetic, memory] = work.at_best(peak).map(seconds);
    format!(
        "bound by {}: at the peak its operations take {arithmetic} and its {} of reads and writes {memory}",
        work.bound_by(peak),
        si(work.bytes, "B"),
    )
}

/// Time against operations, from size to size: 1.00 where time grows as they do.
fn growth(out: &mut impl Write, all: &[(Size, Vec<Measured>)]) -> Result<()> {
    let parts = all.first().map(|(_, parts)| parts.as_slice()).unwrap_or_default();
    for (i, first) in parts.iter().enumerate() {
        let rate = |work: &Work| work.seconds / work.flops as f64 * 1e12;
        writeln!(
            out,
            "\n{:12} {:>12} {:>13} {:>13} {:>24}",
            first.name, "time", "work", "s per TFLOP", "against the first size"
        )?;
        for (size, parts) in all {
            let work = &parts[i].work;
            writeln!(
                out,
                "  {:10} {:>12} {:>13} {:>13.3} {:>24.2}",
                size.to_string(),
                seconds(work.seconds),
                si(work.flops, "FLOP"),
                rate(work),
                rate(work) / rate(&first.work),
            )?;
        }
    }
    Ok(())
}

fn as_json(size: Size, batch: u64, parts: &[Measured], device: &Device, peak: &Peak) -> Json {
    let Size([width, height]) = size;
    let mut json = json!({
        "device": device.name(), "threads": peak.threads, "peak_gflops": peak.gflops,
        "bandwidth_gbs": peak.bandwidth_gbs, "width": width, "height": height, "batch": batch,
    });
    for Measured { name, work, times, runs } in parts {
        let ops = account::by_op(times).into_iter().map(|(op, work)| {
            let mut json = work.part(*runs).json(peak);
            json["op"] = op.into();
            json
        });
        json[*name] = json!({
            "seconds": work.seconds,
            "gflop": work.flops as f64 / 1e9,
            "fraction": work.fraction(peak),
            "bound_by": work.bound_by(peak),
            "ops": ops.collect::<Vec<_>>(),
        });
    }
    json
}
