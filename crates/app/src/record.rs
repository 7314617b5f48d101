//! What a picture says of how it was made: the program, the device, the content of every file.

use anyhow::{Context as _, Result};
use engine::{Plan, Source};
use graph::{File, Host, Json};
use serde_json::{Map, json};
use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
};

/// The key under which the record stands in a picture, beside `prompt` and `workflow`.
pub const KEY: &str = "weft";

/// Makes records, and remembers the hashes of files that stay as they are.
#[derive(Default)]
pub struct Recorder(HashMap<(String, u64), String>);

impl Recorder {
    /// The record of a run of `plan`.
    pub fn record(
        &mut self,
        plan: &Plan,
        host: &dyn Host,
        device: &tensor::Device,
        options: nodes::Options,
    ) -> Result<Json> {
        let mut files = Map::new();
        for (folder, name) in files_of(plan) {
            let label = format!("{folder}/{name}");
            let print = host.fingerprint(&folder, &name)?;
            let hash = match self.0.get(&(label.clone(), print)) {
                Some(hash) => hash.clone(),
                None => hash(host, &folder, &name).with_context(|| label.clone())?,
            };
            self.0.insert((label.clone(), print), hash.clone());
            files.insert(label, hash.into());
        }
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": device.name(),
            "precision": device.precision(),
            "sampler_noise": format!("{:?}", options.sampler_noise).to_lowercase(),
            "files": files,
        }))
    }
}

/// The files that a plan names, each with its folder.
fn files_of(plan: &Plan) -> BTreeSet<(String, String)> {
    let named = plan.steps.iter().flat_map(|step| {
        step.inputs.iter().filter_map(|(name, source)| match source {
            Source::Literal { json, content: Some(_), .. } => {
                let folder = step.node.input(name)?.folder()?;
                Some((folder.to_owned(), json.as_str()?.to_owned()))
            }
            _ => None,
        })
    });
    named.collect()
}

/// Of a file, so many bytes are in memory at a time.
const CHUNK: usize = 8 << 20;

/// BLAKE3 of a file's bytes, the first 128 bits.
fn hash(host: &dyn Host, folder: &str, name: &str) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    match host.find(folder, name)? {
        File::Path(path) => {
            let mut file = std::fs::File::open(path)?;
            let mut chunk = vec![0; CHUNK];
            loop {
                match file.read(&mut chunk)? {
                    0 => break,
                    read => hasher.update_rayon(&chunk[..read]),
                };
            }
        }
        File::Builtin(parts) => parts.iter().for_each(|part| drop(hasher.update(part))),
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// What in `now` differs from the record in a picture, in words.
pub fn differences(then: &Json, now: &Json) -> Vec<String> {
    let text = |json: &Json| json.as_str().unwrap_or("nothing").to_owned();
    let mut found = Vec::new();
    for (key, what) in [
        ("version", "Weft"),
        ("device", "the device"),
        ("precision", "the precision"),
        ("sampler_noise", "the samplers' noise"),
    ] {
        if then[key] != now[key] {
            found.push(format!("{what} was {} and is {}", text(&then[key]), text(&now[key])));
        }
    }
    for (file, hash) in then["files"].as_object().into_iter().flatten() {
        if now["files"].get(file).is_some_and(|now| now != hash) {
            found.push(format!("{file} is another file than then"));
        }
    }
    found
}
