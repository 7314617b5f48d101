//! Weights: tensors in safetensors files, memory-mapped, found by name under a prefix.
//!
//! A file is data only and is checked from end to end before anything is read:
//! <https://github.com/huggingface/safetensors#format>.

use crate::Result;
use anyhow::{Context as _, bail, ensure};
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::SafeTensors;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::{Debug, Display},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    /// Known to safetensors, but no weight: positions, flags, quantised codes.
    Other(safetensors::Dtype),
}

impl Dtype {
    /// Bytes a number takes; `None` for what is no weight.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::F32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::Other(_) => None,
        }
    }
}

impl From<safetensors::Dtype> for Dtype {
    fn from(dtype: safetensors::Dtype) -> Self {
        match dtype {
            safetensors::Dtype::F32 => Self::F32,
            safetensors::Dtype::F16 => Self::F16,
            safetensors::Dtype::BF16 => Self::Bf16,
            other => Self::Other(other),
        }
    }
}

/// The bytes of one file.
enum Bytes {
    Mapped(Mmap),
    Builtin(&'static [u8]),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Builtin(bytes) => bytes,
        }
    }

    /// Tells the system that these pages need not stay in memory; they can be read again.
    fn release(&self, start: usize, len: usize) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // SAFETY: the map is read-only and backed by a file, so its pages come back when read.
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len)
            };
        }
        #[cfg(not(unix))]
        let _ = (start, len);
    }
}

struct Entry {
    part: usize,
    start: usize,
    len: usize,
    shape: Vec<usize>,
    dtype: Dtype,
    used: AtomicBool,
}

/// An open safetensors file (or several parts that are read as one), checked from end to end.
pub struct Checkpoint {
    name: String,
    /// Differs for every file opened: part of what devices cache weights by.
    serial: u64,
    parts: Vec<Bytes>,
    /// In the file's order.
    keys: Vec<String>,
    entries: HashMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} ({} tensors)", self.name, self.keys.len())
    }
}

/// A place in a checkpoint: `weights.at("input_blocks.1").at(0)` has the prefix `input_blocks.1.0.`
#[derive(Clone, Debug)]
pub struct Weights {
    file: Arc<Checkpoint>,
    prefix: String,
    f16: bool,
}

/// One tensor of a checkpoint, not read yet.
#[derive(Clone)]
pub struct Weight {
    file: Arc<Checkpoint>,
    key: String,
    shape: Vec<usize>,
    dtype: Dtype,
    /// Whether the numbers are rounded to f16 as they are read.
    f16: bool,
}

impl Debug for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} {:?}", self.key, self.shape)
    }
}

impl Weights {
    /// Maps a file. Errors name the file, and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        let open = || -> Result<Bytes> {
            ensure!(!file.metadata()?.is_dir(), "it is a folder");
            ensure!(file.metadata()?.len() > 0, "the file is empty");
            // SAFETY: nothing here writes to the file. Should another program cut it short while
            // it is mapped, the system ends this process; that cannot be guarded against.
            Ok(Bytes::Mapped(unsafe { Mmap::map(&file)? }))
        };
        let bytes = open().with_context(|| path.display().to_string())?;
        Self::new(&path.display().to_string(), vec![bytes])
    }

    /// Reads parts that come with the program; `name` is for errors. Later parts win.
    pub fn from_parts(name: &str, parts: &[&'static [u8]]) -> Result<Self> {
        Self::new(name, parts.iter().map(|p| Bytes::Builtin(p)).collect())
    }

    fn new(name: &str, parts: Vec<Bytes>) -> Result<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut file = Checkpoint {
            name: name.to_owned(),
            serial,
            parts: Vec::new(),
            keys: Vec::new(),
            entries: HashMap::new(),
            metadata: BTreeMap::new(),
        };
        for bytes in parts {
            file.add(bytes).context(name.to_owned())?;
        }
        Ok(Self { file: Arc::new(file), prefix: String::new(), f16: false })
    }

    /// One level down: a block's name or number.
    #[must_use]
    pub fn at(&self, name: impl Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The tensor `name` here; an error gives the full key, the file, and near keys.
    pub fn get(&self, name: &str) -> Result<Weight> {
        let key = format!("{}{name}", self.prefix);
        let Some(entry) = self.file.entries.get(&key) else {
            bail!("{}: no tensor {key}{}", self.file.name, self.near(&key));
        };
        if let Dtype::Other(dtype) = entry.dtype {
            bail!("{}: {key} is {dtype:?}; weights are F32, F16 or BF16", self.file.name);
        }
        entry.used.store(true, Ordering::Relaxed);
        let (file, shape) = (self.file.clone(), entry.shape.clone());
        Ok(Weight { file, key, shape, dtype: entry.dtype, f16: self.f16 })
    }

    /// As [`Weights::get`], and the shape must be this one.
    pub fn shaped(&self, name: &str, shape: &[usize]) -> Result<Weight> {
        let weight = self.get(name)?;
        ensure!(weight.shape == shape, self.wrong(name, &format!("{shape:?}")));
        Ok(weight)
    }

    /// As [`Weights::get`], and it must have this many dimensions.
    pub fn ranked(&self, name: &str, rank: usize) -> Result<Weight> {
        let weight = self.get(name)?;
        ensure!(weight.shape.len() == rank, self.wrong(name, &format!("{rank} dimensions")));
        Ok(weight)
    }

    /// In words: the file, the tensor, its shape, and what it should be.
    pub fn wrong(&self, name: &str, expected: &str) -> String {
        let shape = self.shape(name).unwrap_or_default();
        format!("{}{name} is {shape:?}, expected {expected}", self.place())
    }

    /// The file and the prefix, for messages.
    pub fn place(&self) -> String {
        format!("{}: {}", self.file.name, self.prefix)
    }

    /// Whether there is a tensor `name`, or anything below it.
    pub fn has(&self, name: &str) -> bool {
        let key = format!("{}{name}", self.prefix);
        let below = |k: &String| k.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.'));
        self.file.entries.contains_key(&key) || self.file.keys.iter().any(below)
    }

    /// The shape of `name`, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.entries.get(&format!("{}{name}", self.prefix)).map(|e| e.shape.as_slice())
    }

    /// How the numbers of `name` are stored, if it is there.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.file.entries.get(&format!("{}{name}", self.prefix)).map(|e| e.dtype)
    }

    /// The keys below this place, without its prefix, in the file's order.
    pub fn keys(&self) -> Vec<&str> {
        self.file.keys.iter().filter_map(|k| k.strip_prefix(&self.prefix)).collect()
    }

    /// The file's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.file.metadata
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        &self.file.name
    }

    /// The same place, its numbers rounded to f16 as they are read (ComfyUI keeps text encoders so).
    #[must_use]
    pub fn rounded_to_f16(&self) -> Self {
        Self { f16: true, ..self.clone() }
    }

    /// Keys of the file that no [`Weights::get`] has asked for yet.
    pub fn unused(&self) -> Vec<String> {
        let used = |key: &String| self.file.entries[key].used.load(Ordering::Relaxed);
        self.file.keys.iter().filter(|key| !used(key)).cloned().collect()
    }

    /// `; there is a.b, a.c` for up to three keys that begin like `key`.
    fn near(&self, key: &str) -> String {
        let common =
            |other: &str| key.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let mut near: Vec<&String> = self.file.keys.iter().collect();
        near.sort_by_key(|k| std::cmp::Reverse(common(k)));
        near.truncate(3);
        near.retain(|k| common(k) > key.len() / 2);
        let names: Vec<&str> = near.iter().map(|k| k.as_str()).collect();
        if names.is_empty() { String::new() } else { format!("; there is {}", names.join(", ")) }
    }
}

impl Checkpoint {
    fn add(&mut self, bytes: Bytes) -> Result<()> {
        let data = bytes.get();
        refuse_other_formats(data)?;
        let (header, metadata) = SafeTensors::read_metadata(data)
            .map_err(|e| anyhow::anyhow!("not a sound safetensors file: {e}"))?;
        let base = 8 + header;
        refuse_duplicate_keys(&data[8..base])?;
        let part = self.parts.len();
        for key in metadata.offset_keys() {
            let info = metadata.info(&key).context("safetensors lists a key it does not have")?;
            let (from, to) = info.data_offsets;
            let entry = Entry {
                part,
                start: base + from,
                len: to - from,
                shape: info.shape.clone(),
                dtype: info.dtype.into(),
                used: AtomicBool::new(false),
            };
            if self.entries.insert(key.clone(), entry).is_none() {
                self.keys.push(key);
            }
        }
        self.metadata
            .extend(metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        self.parts.push(bytes);
        Ok(())
    }
}

fn refuse_other_formats(data: &[u8]) -> Result<()> {
    ensure!(
        !data.starts_with(b"PK") && !data.starts_with(&[0x80]),
        "this is a pickle file (a .ckpt, .pt or .bin), whatever its name says. Opening one can run any \
         program hidden in it, so Weft does not. Use the model's .safetensors edition."
    );
    ensure!(
        !data.starts_with(b"version https://git-lfs"),
        "this is a git-lfs pointer, not the weights; fetch the file itself with `git lfs pull`"
    );
    ensure!(!data.starts_with(b"GGUF"), "this is a GGUF file; Weft reads safetensors");
    ensure!(!data.starts_with(b"<"), "this is a web page, not weights; the download went wrong");
    Ok(())
}

/// The safetensors crate keeps the last of two equal keys in silence; a lying file may mean the other.
fn refuse_duplicate_keys(header: &[u8]) -> Result<()> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
            let mut seen = HashSet::new();
            while let Some(key) = map.next_key::<String>()? {
                map.next_value::<IgnoredAny>()?;
                if let Some(key) = seen.replace(key) {
                    return Err(serde::de::Error::custom(format!(
                        "the tensor {key} is there twice"
                    )));
                }
            }
            Ok(())
        }
    }
    Ok(serde_json::Deserializer::from_slice(header).deserialize_map(Keys)?)
}

impl Weight {
    /// The full key in the file.
    pub fn key(&self) -> &str {
        &self.key
    }
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }
    /// Whether rounding its numbers to f16 changes none of them.
    pub fn fits_f16(&self) -> bool {
        self.f16 || self.dtype == Dtype::F16
    }
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All numbers as f32, row-major as in the file. An infinite number or a NaN is an error.
    /// The pages read are given back to the system.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let (entry, bytes) = self.bytes();
        let numbers = self.decode(bytes);
        self.file.parts[entry.part].release(entry.start, entry.len);
        self.check_finite(&numbers)?;
        Ok(numbers)
    }

    /// Rows of a matrix, gathered: `[ids.len(), cols]`. For token embeddings. A row past the end, an
    /// infinite number or a NaN is an error.
    pub fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let (_, bytes) = self.bytes();
        let row = bytes.len() / self.shape[0].max(1);
        let row_of = |id: &u32| {
            let start = *id as usize * row;
            bytes
                .get(start..start + row)
                .with_context(|| format!("{}: {} has no row {id}", self.file.name, self.key))
        };
        let mut numbers = Vec::new();
        for id in ids {
            numbers.extend(self.decode(row_of(id)?));
        }
        self.check_finite(&numbers)?;
        Ok(numbers)
    }

    fn check_finite(&self, numbers: &[f32]) -> Result<()> {
        ensure!(
            numbers.iter().all(|x| x.is_finite()),
            "{}: {} holds NaN or infinite numbers; the file is damaged",
            self.file.name,
            self.key
        );
        Ok(())
    }

    /// Equal for the same numbers: the file and key (and rounding). What devices cache by.
    pub fn id(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        (self.file.serial, &self.key, self.f16).hash(&mut hash);
        hash.finish()
    }

    fn bytes(&self) -> (&Entry, &[u8]) {
        let entry = &self.file.entries[&self.key];
        (entry, &self.file.parts[entry.part].get()[entry.start..entry.start + entry.len])
    }

    fn decode(&self, bytes: &[u8]) -> Vec<f32> {
        let mut numbers: Vec<f32> = match self.dtype {
            Dtype::F32 => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::F16 => {
                bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            Dtype::Bf16 => {
                bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            Dtype::Other(_) => unreachable!("Weights::get refuses what is no weight"),
        };
        if self.f16 && self.dtype != Dtype::F16 {
            numbers.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        }
        numbers
    }
}

/// Tensors of f32 as the bytes of a safetensors file.
pub fn write_safetensors(tensors: Vec<(String, Vec<usize>, Vec<f32>)>) -> Result<Vec<u8>> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, x)| (name, shape, bytemuck::cast_slice(&x).to_vec()))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)?;
        Ok((name.as_str(), view))
    });
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this header and this many bytes of data after it.
    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Weights> {
        let path = tempfile::NamedTempFile::new()?.into_temp_path();
        std::fs::write(&path, bytes)?;
        Weights::open(&path)
    }

    #[test]
    fn lying_files_are_refused_with_the_reason() {
        let a = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
        let cases: [(Vec<u8>, &str); 12] = [
            (vec![], "empty"),
            (b"PK\x03\x04".to_vec(), "pickle"),
            (b"\x80\x02}q".to_vec(), "pickle"),
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git-lfs"),
            (file("{", 0), "safetensors"),
            (u64::MAX.to_le_bytes().to_vec(), "safetensors"),
            (200_000_000u64.to_le_bytes().to_vec(), "safetensors"),
            (file(&format!("{{{a}}}"), 4), "safetensors"),
            (file(&format!("{{{a}}}"), 12), "safetensors"),
            (file(&format!("{{{a},{a}}}"), 8), "there twice"),
            (file(&format!("{{{a},{}}}", a.replace("\"a\"", "\"b\"")), 8), "safetensors"),
            (file(&format!("{{{}}}", a.replace("[2]", "[3]")), 8), "safetensors"),
        ];
        for (bytes, reason) in cases {
            let error = format!("{:#}", open(&bytes).unwrap_err());
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn numbers_come_as_they_were_written() {
        let header = r#"{"x.h":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"x.f":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        let mut bytes = file(header, 0);
        for h in [f16::from_f32(1.5), f16::from_f32(-2.0)] {
            bytes.extend(h.to_le_bytes());
        }
        for f in [0.1f32, f32::NAN] {
            bytes.extend(f.to_le_bytes());
        }
        let weights = open(&bytes).unwrap().at("x");
        assert_eq!(weights.get("h").unwrap().to_f32().unwrap(), [1.5, -2.0]);
        assert_eq!(weights.get("h").unwrap().rows(&[1, 0]).unwrap(), [-2.0, 1.5]);
        assert!(weights.get("h").unwrap().rows(&[2]).unwrap_err().to_string().contains("no row 2"));
        assert!(weights.get("f").unwrap().rows(&[1]).unwrap_err().to_string().contains("NaN"));
        let nan = weights.get("f").unwrap().to_f32().unwrap_err().to_string();
        assert!(nan.contains("x.f holds NaN"), "{nan}");
        let missing = weights.get("g").unwrap_err().to_string();
        assert!(missing.contains("no tensor x.g"), "{missing}");
        assert!(weights.unused().is_empty());
    }

    #[test]
    fn later_parts_win_and_share_the_rest() {
        let part = |key: &str, value: f32| -> &'static [u8] {
            let header =
                format!(r#"{{"{key}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
            let mut bytes = file(&header, 0);
            bytes.extend(value.to_le_bytes());
            bytes.leak()
        };
        let weights =
            Weights::from_parts("x", &[part("a", 1.0), part("b", 2.0), part("a", 3.0)]).unwrap();
        assert_eq!(weights.get("a").unwrap().to_f32().unwrap(), [3.0]);
        assert_eq!(weights.get("b").unwrap().to_f32().unwrap(), [2.0]);
    }
}
