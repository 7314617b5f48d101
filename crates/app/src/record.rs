//! What a picture says of how it was made: the program, the device, the content of every file.

use crate::{
    Folders,
    document::write_whole,
    folders::{self, WHOLE_FILE},
};
use anyhow::Result;
use graph::{File, Host, Json, NodeType};
use nodes::{Options, Stamp};
use serde_json::{Map, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tensor::Device;

/// Makes records of runs on a device. Files are read when a record is made for the first time, large ones
/// only if `kept` does not have their hash.
pub fn stamp(folders: Arc<Folders>, device: &Device, options: Options, kept: Kept) -> Stamp {
    let (types, hashes) = (nodes::all(), Mutex::new(Hashes { known: HashMap::new(), kept }));
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
struct Hashes {
    known: HashMap<(String, u64), String>,
    kept: Kept,
}

impl Hashes {
    /// BLAKE3 of a file's bytes, the first 128 bits; `None` for names that stand for no file.
    fn of(&mut self, host: &dyn Host, folder: &str, name: &str) -> Option<String> {
        let key = (format!("{folder}/{name}"), host.fingerprint(folder, name).ok()?);
        if !self.known.contains_key(&key) {
            let hash = self.kept.or_made(&host.find(folder, name).ok()?, key.1).ok()?;
            self.known.insert(key.clone(), hash);
        }
        self.known.get(&key).cloned()
    }
}

/// Hashes of large files that earlier runs of the program have read, by path, each with the fingerprint
/// of what was read: its size, its time and its first megabyte, by which the engine tells such files apart
/// too. So a checkpoint is read from end to end once, not in every run.
#[derive(Default)]
pub struct Kept {
    /// Where they are kept; nowhere, and every file is read.
    file: Option<PathBuf>,
    hashes: BTreeMap<String, (u64, String)>,
}

impl Kept {
    /// Those of this user. What cannot be read counts as nothing.
    pub fn open() -> Self {
        let file = folders::cache().map(|dir| dir.join("hashes.json"));
        file.map_or_else(Self::default, Self::at)
    }

    fn at(file: PathBuf) -> Self {
        let read = std::fs::read(&file).ok();
        let hashes = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { file: Some(file), hashes }
    }

    fn or_made(&mut self, of: &File, fingerprint: u64) -> Result<String> {
        let (File::Path(path), Some(_)) = (of, &self.file) else { return hash(of) };
        if path.metadata()?.len() <= WHOLE_FILE {
            return hash(of);
        }
        let key = std::path::absolute(path)?.to_string_lossy().into_owned();
        match self.hashes.get(&key) {
            Some((known, hash)) if *known == fingerprint => Ok(hash.clone()),
            _ => {
                let hash = hash(of)?;
                self.hashes.insert(key, (fingerprint, hash.clone()));
                // A run does not fail for what it would only have spared the next one.
                let _ = self.write();
                Ok(hash)
            }
        }
    }

    /// Files that are gone are left out.
    fn write(&mut self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        self.hashes.retain(|path, _| Path::new(path).exists());
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
        write_whole(file, &serde_json::to_vec_pretty(&self.hashes)?)
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
    use crate::FolderArgs;

    #[test]
    fn a_large_file_is_read_once_while_it_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let (kept, large) =
            (root.path().join("cache/hashes.json"), root.path().join("models/loras/a.sft"));
        std::fs::create_dir_all(large.parent().unwrap()).unwrap();
        std::fs::File::create(&large).unwrap().set_len(WHOLE_FILE + 1).unwrap();
        let args = FolderArgs { comfyui: Some(root.path().to_owned()), ..FolderArgs::default() };
        let folders = Folders::new(&args).unwrap();
        let hash =
            |kept| Hashes { known: HashMap::new(), kept }.of(&folders, "loras", "a.sft").unwrap();
        let read = hash(Kept::default());
        assert_eq!(hash(Kept::at(kept.clone())), read);
        // As nothing but what is kept says it, it was not read.
        let forged = std::fs::read_to_string(&kept).unwrap().replace(&read, "kept");
        std::fs::write(&kept, forged).unwrap();
        assert_eq!(hash(Kept::at(kept.clone())), "kept");
        std::fs::File::options().write(true).open(&large).unwrap().set_len(WHOLE_FILE + 2).unwrap();
        let changed = hash(Kept::at(kept.clone()));
        assert!(changed != read && changed.len() == 32, "{changed}");
        assert_eq!(hash(Kept::default()), changed, "what is kept is right, and not asked");
        std::fs::write(&kept, "no JSON").unwrap();
        assert_eq!(hash(Kept::at(kept)), changed);
    }

    #[test]
    fn what_is_another_than_then_is_told() {
        let record = |device: &str, hash: &str| json!({"version": "1", "device": device, "precision": "f32", "files": {"loras/a": hash}});
        assert!(differences(&record("CPU", "x"), &record("CPU", "x")).is_empty());
        let told = differences(&record("CPU", "x"), &record("A card", "y"));
        assert_eq!(told, ["the device was CPU and is A card", "loras/a is another file than then"]);
    }
}
