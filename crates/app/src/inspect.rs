//! `weft inspect`: what is in a file of weights, what it is for, and what is wrong with it.

use crate::units::si;
use anyhow::{Result, ensure};
use models::{
    Checkpoint, ClipVision, ControlNet, Gligen, Hypernetwork, Kind, StyleAdapter, Upscaler, Use,
    Vae,
};
use std::{collections::BTreeMap, io::Write, path::PathBuf};
use tensor::{Weights, told};

#[derive(clap::Args)]
pub struct InspectArgs {
    /// A .safetensors file
    file: PathBuf,
    /// Lists every tensor with its type and shape
    #[arg(long)]
    tensors: bool,
}

pub fn inspect(args: &InspectArgs) -> Result<()> {
    let weights = Weights::open(&args.file)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", args.file.display())?;
    for line in describe(&weights) {
        writeln!(out, "  {line}")?;
    }
    if args.tensors {
        for key in weights.keys() {
            let (shape, dtype) = (weights.shape(key), weights.dtype(key));
            if let (Some(shape), Some(dtype)) = (shape, dtype) {
                writeln!(out, "  {key} {dtype} {shape:?}")?;
            }
        }
    }
    let faults = faults(&mut out, models::identify(&weights), &weights)?;
    faults.iter().try_for_each(|fault| writeln!(out, "  wrong: {fault}"))?;
    ensure!(faults.is_empty(), "{} is damaged or incomplete", args.file.display());
    Ok(())
}

/// What the file is, what Weft does with it, what it holds and what its maker wrote into it.
pub fn describe(weights: &Weights) -> Vec<String> {
    let mut lines = match models::identify(weights) {
        Some(kind) => {
            vec![format!("{}, belongs in models/{}", kind.name, kind.folder), what_for(kind.runs)]
        }
        None => vec!["of no kind that Weft knows".to_owned()],
    };
    lines.push(summary(weights));
    let notes =
        weights.metadata().iter().map(|(key, value)| format!("{key}: {}", shortened(value)));
    lines.extend(notes);
    lines
}

fn what_for(runs: Use) -> String {
    match runs {
        Use::Whole(family) => {
            format!("Weft runs it as {}: CheckpointLoaderSimple loads it", family.name)
        }
        Use::Vae => "Weft runs it: VAELoader loads it".to_owned(),
        Use::Embedding => "Weft reads it where a prompt says embedding:NAME".to_owned(),
        Use::Clip => "Weft runs it: CLIPLoader loads it".to_owned(),
        Use::Unet => "Weft runs it: UNETLoader loads it".to_owned(),
        Use::Vision => "Weft runs it: CLIPVisionLoader loads it".to_owned(),
        Use::Style => "Weft runs it: StyleModelLoader loads it".to_owned(),
        Use::Control => "Weft runs it: ControlNetLoader loads it".to_owned(),
        Use::Gligen => "Weft runs it: GLIGENLoader loads it".to_owned(),
        Use::Hypernetwork => "Weft applies it: HypernetworkLoader loads it".to_owned(),
        Use::Upscaler => "Weft runs it: UpscaleModelLoader loads it".to_owned(),
        Use::Tiny => {
            "Weft runs it: VAELoader loads it, with its pair in the same folder".to_owned()
        }
        Use::Lora => "Weft applies it: LoraLoader loads it".to_owned(),
        Use::NotYet => "Weft does not run it yet".to_owned(),
    }
}

/// `1131 tensors (1130 F16, 1 I64), 1066.2 million parameters, 2.1 GB`
fn summary(weights: &Weights) -> String {
    let (mut numbers, mut types) = (0usize, BTreeMap::<String, usize>::new());
    for key in weights.keys() {
        numbers += weights.shape(key).map_or(0, |s| s.iter().product());
        *types
            .entry(weights.dtype(key).map_or_else(String::new, |d| d.to_string()))
            .or_default() += 1;
    }
    let types: Vec<String> = types.iter().map(|(ty, n)| format!("{n} {ty}")).collect();
    format!(
        "{} tensors ({}), {:.1} million parameters, {}",
        weights.keys().len(),
        types.join(", "),
        numbers as f64 / 1e6,
        si(weights.size(), "B")
    )
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut short: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        short += "...";
    }
    short
}

/// What is wrong, having noted what is only odd.
fn faults(out: &mut impl Write, kind: Option<&Kind>, weights: &Weights) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if let Some(loaded) = kind.and_then(|kind| load(kind, weights)) {
        faults.extend(loaded.err().map(|e| format!("{e:#}")));
        if let Some(unused) = models::unused(weights) {
            writeln!(out, "  note: {unused}")?;
        }
    }
    faults.extend(not_finite(weights));
    Ok(faults)
}

/// As a node would load it; `None` where Weft does not have the network, and so cannot say which
/// tensors there must be.
fn load(kind: &Kind, weights: &Weights) -> Option<Result<()>> {
    match kind.runs {
        Use::Whole(_) => Some(Checkpoint::load(weights).map(drop)),
        Use::Vae => Some(Vae::load(&Vae::inside(weights)).map(drop)),
        Use::Clip => Some(models::load_clip(weights).map(drop)),
        Use::Unet => Some(models::load_unet(weights).map(drop)),
        Use::Vision => Some(ClipVision::load(&ClipVision::inside(weights)).map(drop)),
        Use::Style => Some(StyleAdapter::load(weights).map(drop)),
        Use::Control => Some(ControlNet::load(weights, None).map(drop)),
        Use::Gligen => Some(Gligen::load(weights).map(drop)),
        Use::Hypernetwork => Some(Hypernetwork::load(weights, 1.0).map(drop)),
        Use::Upscaler => Some(Upscaler::load(weights).map(drop)),
        // Which tensors there must be depends on the pair, or on the model.
        Use::Tiny | Use::Lora | Use::Embedding | Use::NotYet => None,
    }
}

fn not_finite(weights: &Weights) -> Option<String> {
    let floats = |key: &&str| weights.dtype(key).is_some_and(|d| d.size().is_some());
    let bad = |key: &&str| weights.get(key).and_then(|w| w.check()).is_err();
    let keys: Vec<&str> = weights.keys().into_iter().filter(floats).filter(bad).collect();
    told("damaged, with NaN or infinite numbers", &keys)
}
