//! What a picture says of how it was made: the program, the device, the content of every file.

use crate::Folders;
use anyhow::Result;
use graph::{File, Host, Json, NodeType};
use nodes::{Options, Stamp};
use serde_json::{Map, json};
use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
    sync::{Arc, Mutex, PoisonError},
};
use tensor::Device;

/// Makes records of runs on a device. Files are read when a record is made for the first time.
pub fn stamp(folders: Arc<Folders>, device: &Device, options: Options) -> Stamp {
    let (types, hashes) = (nodes::all(), Mutex::new(Hashes::default()));
    let made = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": device.name(),
        "precision": device.precision(),
        "sampler_noise": format!("{:?}", options.sampler_noise).to_lowercase(),
    });
    Stamp(Box::new(move |prompt| {
        let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = Map::new();
        for (folder, name) in files_of(prompt, &types) {
            let hash = hashes.of(&*folders, folder, name);
            files.insert(format!("{folder}/{name}"), hash.map_or(Json::Null, Json::from));
        }
        let mut record = made.clone();
        record["files"] = files.into();
        record
    }))
}

/// The files that a graph names, each with its folder.
fn files_of<'p>(prompt: &'p Json, types: &[NodeType]) -> BTreeSet<(&'static str, &'p str)> {
    let mut files = BTreeSet::new();
    for node in prompt.as_object().into_iter().flat_map(Map::values) {
        let ty = types.iter().find(|ty| Some(ty.name) == node["class_type"].as_str());
        for input in ty.iter().flat_map(|ty| &ty.inputs) {
            files.extend(input.folder().zip(node["inputs"][input.name].as_str()));
        }
    }
    files
}

/// Hashes of files, by name and fingerprint: a file is read once while it stays as it is.
#[derive(Default)]
struct Hashes(HashMap<(String, u64), String>);

impl Hashes {
    /// BLAKE3 of a file's bytes, the first 128 bits; `None` for names that stand for no file.
    fn of(&mut self, host: &dyn Host, folder: &str, name: &str) -> Option<String> {
        let key = (format!("{folder}/{name}"), host.fingerprint(folder, name).ok()?);
        if !self.0.contains_key(&key) {
            self.0.insert(key.clone(), hash(&host.find(folder, name).ok()?).ok()?);
        }
        self.0.get(&key).cloned()
    }
}

/// Of a file, so many bytes are in memory at a time.
const CHUNK: usize = 8 << 20;

fn hash(file: &File) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    match file {
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
        File::Builtin(parts) => parts.iter().for_each(|part| {
            hasher.update(part);
        }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_another_than_then_is_told() {
        let record = |device: &str, hash: &str| json!({"version": "1", "device": device, "precision": "f32", "files": {"loras/a": hash}});
        assert!(differences(&record("CPU", "x"), &record("CPU", "x")).is_empty());
        let told = differences(&record("CPU", "x"), &record("A card", "y"));
        assert_eq!(told, ["the device was CPU and is A card", "loras/a is another file than then"]);
    }
}
