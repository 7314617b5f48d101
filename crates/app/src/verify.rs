//! `weft verify`: whether a picture still comes out of the graph that it carries.

use crate::{
    DeviceChoice, FolderArgs, Folders, aside::Aside, devices, document::read_bytes, record,
};
use anyhow::{Context as _, Result, bail, ensure};
use engine::{End, Engine, Outcome, Plan, RunOptions, Targets};
use graph::{Host, Json, Services};
use image::{DynamicImage, GenericImageView, Pixel};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};
use tensor::Device;

#[derive(clap::Args)]
pub struct VerifyArgs {
    /// A picture that Weft or ComfyUI wrote
    picture: PathBuf,
    /// What computes [default: the device that the picture names if it is here, else auto]
    #[arg(long, value_enum)]
    device: Option<DeviceChoice>,
    /// By how much a value of a pixel may differ, of 255
    #[arg(long, default_value_t = 2, value_name = "N")]
    tolerance: u8,
    #[command(flatten)]
    folders: FolderArgs,
}

/// Fails if the picture that comes out differs by more than the tolerance.
pub fn verify(args: &VerifyArgs) -> Result<()> {
    let place = || args.picture.display().to_string();
    let bytes = read_bytes(&args.picture).with_context(place)?;
    let wanted = image::load_from_memory(&bytes).with_context(place)?;
    let document = graph::read(&bytes).with_context(place)?;
    let types = nodes::all();
    let prompt = Json::Object(document.to_api(&graph::Contract::from_types(&types))?);
    let then = document.record().cloned().unwrap_or_default();

    let folders = Arc::new(Folders::new(&args.folders)?);
    let device = Arc::new(device(args.device, &then)?);
    let options = options(&then);
    let services = Services::default().with(device.clone()).with(Arc::new(options));
    let aside = Aside::new(&folders)?;
    let mut engine = Engine::new(&types, &aside, &services);
    let plan = engine.plan(&prompt, Targets::Outputs)?;
    ensure!(plan.warnings.0.is_empty(), "{}", plan.warnings);
    // Who verifies trusts no earlier run: every file is read.
    let now =
        (record::stamp(folders.clone(), &device, options, record::Kept::default()).0)(&prompt);
    said(&then, &now)?;
    let outcome = run(&mut engine, &plan, &prompt)?;
    judge(&wanted, &written(&outcome, &aside)?, args.tolerance)
}

fn device(choice: Option<DeviceChoice>, then: &Json) -> Result<Device> {
    let recorded = || devices::named(then["device"].as_str()?);
    match choice {
        Some(choice) => devices::open(choice),
        None => recorded().map_or_else(|| devices::open(DeviceChoice::Auto), Ok),
    }
}

fn options(then: &Json) -> nodes::Options {
    let cpu = then["sampler_noise"] == "cpu";
    let sampler_noise = if cpu { nodes::SamplerNoise::Cpu } else { nodes::SamplerNoise::Cuda };
    nodes::Options { sampler_noise, previews: nodes::Previews::Nothing }
}

/// Tells what is not as it was when the picture was made.
fn said(then: &Json, now: &Json) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if then.is_null() {
        writeln!(out, "the picture does not say with what it was made")?;
    } else {
        let differences = record::differences(then, now);
        differences.iter().try_for_each(|difference| writeln!(out, "{difference}"))?;
    }
    Ok(writeln!(out, "computing on {}", now["device"].as_str().unwrap_or_default())?)
}

fn run(engine: &mut Engine, plan: &Plan, prompt: &Json) -> Result<Outcome> {
    let (extra, stop) = (serde_json::Map::new(), AtomicBool::new(false));
    let options = RunOptions { prompt, extra: &extra, stop: &stop };
    let outcome = engine.run(plan, &options, &mut |_| {});
    match &outcome.end {
        End::Completed => Ok(outcome),
        End::Failed(failure) => Err(failure.clone().into()),
        End::Interrupted(_) => Err(graph::Interrupted.into()),
    }
}

/// The pictures that the run wrote.
fn written(outcome: &Outcome, aside: &Aside) -> Result<Vec<DynamicImage>> {
    let files = outcome.reports.values().filter_map(|r| r.ui.get("images")?.as_array()).flatten();
    let open = |image: &Json| {
        let text = |key: &str| image[key].as_str().unwrap_or_default();
        let folder = aside.folder(text("type"))?.join(text("subfolder"));
        open(&folder.join(text("filename")))
    };
    files.map(open).collect()
}

fn open(path: &Path) -> Result<DynamicImage> {
    image::open(path).with_context(|| path.display().to_string())
}

/// How two pictures of one size differ.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Difference {
    /// Of 255.
    largest: u8,
    /// The part of the pixels that differ.
    part: f64,
}

impl Difference {
    /// `None` if their sizes differ.
    fn of(a: &DynamicImage, b: &DynamicImage) -> Option<Self> {
        if a.dimensions() != b.dimensions() {
            return None;
        }
        let off = |(a, b): (&image::Rgba<u8>, &image::Rgba<u8>)| {
            let values = a.channels().iter().zip(b.channels());
            values.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
        };
        let (a, b) = (a.to_rgba8(), b.to_rgba8());
        let offs: Vec<u8> = a.pixels().zip(b.pixels()).map(off).collect();
        let differing = offs.iter().filter(|off| **off > 0).count();
        let largest = offs.iter().copied().max().unwrap_or(0);
        Some(Self { largest, part: differing as f64 / offs.len() as f64 })
    }
}

/// Compares with the written picture that is most like the one wanted: a batch has several.
fn judge(wanted: &DynamicImage, written: &[DynamicImage], tolerance: u8) -> Result<()> {
    let differences = written.iter().filter_map(|picture| Difference::of(wanted, picture));
    let Some(nearest) = differences.min_by(|a, b| a.partial_cmp(b).expect("no NaN")) else {
        let (w, h) = wanted.dimensions();
        bail!("none of the {} pictures that the graph gives has {w}x{h} pixels", written.len());
    };
    let percent = 100.0 * nearest.part;
    let off = format!("{percent:.2} % of the pixels differ, by at most {} of 255", nearest.largest);
    ensure!(nearest.largest <= tolerance, "another picture: {off}");
    let same = if nearest.largest == 0 { "the same picture, to the last bit".into() } else { off };
    Ok(writeln!(std::io::stdout(), "{same}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(shade: u8) -> DynamicImage {
        image::RgbImage::from_pixel(2, 2, image::Rgb([shade; 3])).into()
    }

    #[test]
    fn the_most_similar_picture_counts() {
        assert!(judge(&grey(9), &[grey(50), grey(10)], 1).is_ok());
        let error = judge(&grey(9), &[grey(50), grey(12)], 1).unwrap_err().to_string();
        assert_eq!(error, "another picture: 100.00 % of the pixels differ, by at most 3 of 255");
        assert!(judge(&grey(9), &[], 1).unwrap_err().to_string().contains("2x2"));
    }
}
