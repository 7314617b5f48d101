//! `weft inspect`: what is in a file of weights.

use anyhow::{Result, ensure};
use std::{collections::BTreeMap, io::Write, path::PathBuf};
use tensor::{Dtype, Weights};

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
    for line in describe(&weights).lines() {
        writeln!(out, "  {line}")?;
    }
    if args.tensors {
        for key in weights.keys() {
            writeln!(out, "  {key} {:?}", weights.shape(key).unwrap_or_default())?;
        }
    }
    let mut damaged = Vec::new();
    for key in weights.keys() {
        let float = weights.dtype(key).is_some_and(|d| d.size().is_some());
        damaged.extend(float.then(|| weights.get(key).and_then(|w| w.to_f32()).err()).flatten());
    }
    for error in &damaged {
        writeln!(out, "  wrong: {error:#}")?;
    }
    ensure!(damaged.is_empty(), "damaged tensors: {}", damaged.len());
    Ok(())
}

/// What the file is, what it holds, and what its maker wrote into it; a line each.
pub fn describe(weights: &Weights) -> String {
    let kind = match models::identify(weights) {
        Some(kind) => format!("{}, belongs in models/{}", kind.name, kind.folder),
        None => "of no kind that Weft knows".to_owned(),
    };
    let (mut numbers, mut types) = (0usize, BTreeMap::<String, usize>::new());
    for (key, dtype) in
        weights.keys().into_iter().filter_map(|key| Some((key, weights.dtype(key)?)))
    {
        numbers += weights.shape(key).map_or(0, |s| s.iter().product());
        let name = match dtype {
            Dtype::Other(other) => other.to_string(),
            dtype => format!("{dtype:?}").to_uppercase(),
        };
        *types.entry(name).or_default() += 1;
    }
    let types: Vec<String> = types.iter().map(|(ty, n)| format!("{n} {ty}")).collect();
    let size = format!(
        "{} tensors ({}), {:.1} million parameters",
        weights.keys().len(),
        types.join(", "),
        numbers as f64 / 1e6
    );
    let short = |text: &str| text.chars().take(200).collect::<String>();
    let notes = weights.metadata().iter().map(|(key, value)| format!("{key}: {}", short(value)));
    [kind, size].into_iter().chain(notes).collect::<Vec<_>>().join("\n")
}
