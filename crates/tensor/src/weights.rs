//! Weights: tensors in safetensors files, memory-mapped, found by name under a prefix.
//!
//! A file is data only and is checked from end to end before anything is read:
//! <https://github.com/huggingface/safetensors#format>.

mod format;
mod join;
mod patch;
mod relaid;
mod save;
#[cfg(test)]
mod tests;

pub use format::{PICKLE_ENDINGS, PICKLE_REFUSED};
pub use patch::Patch;
pub use relaid::View;
pub use save::{Source, save_safetensors, write_safetensors};

use crate::Result;
use anyhow::{Context as _, bail, ensure};
use half::{bf16, f16, slice::HalfFloatSliceExt as _};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::SafeTensors;
use std::{
    collections::BTreeMap,
    fmt::{Debug, Display},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
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

impl Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::F32 => f.write_str("F32"),
            Self::F16 => f.write_str("F16"),
            Self::Bf16 => f.write_str("BF16"),
            Self::Other(dtype) => write!(f, "{dtype:?}"),
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
    /// Made by the program itself.
    Made(Vec<u8>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Builtin(bytes) => bytes,
            Self::Made(bytes) => bytes,
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

#[derive(Clone)]
struct Entry {
    part: usize,
    start: usize,
    len: usize,
    shape: Vec<usize>,
    dtype: Dtype,
    /// Whether the file has rows where the shape has columns.
    transposed: bool,
    used: Arc<AtomicBool>,
}

/// An open safetensors file (or several parts that are read as one), checked from end to end.
pub struct Checkpoint {
    name: String,
    /// Differs for every file opened: part of what devices cache weights by.
    serial: u64,
    parts: Vec<Arc<Bytes>>,
    /// In the file's order.
    keys: Vec<String>,
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    /// By key: what it should be. What recordings found missing or wrong.
    faults: Mutex<BTreeMap<String, String>>,
}

impl Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} ({} tensors)", self.name, self.keys.len())
    }
}

/// A place in a checkpoint: `weights.at("input_blocks.1").at(0)` has the prefix `input_blocks.1.0.`
#[derive(Clone)]
pub struct Weights {
    file: Arc<Checkpoint>,
    prefix: String,
    f16: bool,
    patches: Arc<patch::Patches>,
}

impl Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:?} at {}", self.file, self.prefix)
    }
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
    changes: Option<patch::Changes>,
    /// If it is several weights as one: those.
    parts: Arc<[Weight]>,
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
            format::refuse_pickles_by_name(path)?;
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

    /// Tensors that no file has: constants of a network.
    pub fn made(name: &str, tensors: Vec<(String, Vec<usize>, Vec<f32>)>) -> Result<Self> {
        Self::new(name, vec![Bytes::Made(write_safetensors(tensors)?)])
    }

    fn new(name: &str, parts: Vec<Bytes>) -> Result<Self> {
        let serial = serial().fetch_add(1, Ordering::Relaxed);
        let mut file = Checkpoint {
            name: name.to_owned(),
            serial,
            parts: Vec::new(),
            keys: Vec::new(),
            entries: BTreeMap::new(),
            metadata: BTreeMap::new(),
            faults: Mutex::default(),
        };
        for bytes in parts {
            file.add(bytes).context(name.to_owned())?;
        }
        let patches = Arc::default();
        Ok(Self { file: Arc::new(file), prefix: String::new(), f16: false, patches })
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
        entry.used.store(true, Ordering::Relaxed);
        if let Dtype::Other(dtype) = entry.dtype {
            bail!("{}: {key} is {dtype:?}; weights are F32, F16 or BF16", self.file.name);
        }
        Ok(self.weight(key, &entry.shape, entry.dtype))
    }

    fn weight(&self, key: String, shape: &[usize], dtype: Dtype) -> Weight {
        let (file, shape) = (self.file.clone(), shape.to_vec());
        let changes = self.patches.get(&key).cloned();
        Weight { file, key, shape, dtype, f16: self.f16, changes, parts: Arc::default() }
    }

    /// The tensor `name` in this shape. One that is missing or has another shape is noted, and a
    /// tensor without numbers stands in for it, so that a recording goes on and meets every fault:
    /// [`Weights::verdict`] tells them all.
    pub fn shaped(&self, name: &str, shape: &[usize]) -> Weight {
        let found = self.shape(name).and_then(|_| self.get(name).ok());
        if let Some(weight) = found.filter(|weight| weight.shape == shape) {
            return weight;
        }
        let key = format!("{}{name}", self.prefix);
        self.faults().insert(key.clone(), format!("{shape:?} of F32, F16 or BF16"));
        self.weight(key, shape, Dtype::F32)
    }

    /// As [`Weights::get`], and it must have this many dimensions.
    pub fn ranked(&self, name: &str, rank: usize) -> Result<Weight> {
        let weight = self.get(name)?;
        ensure!(weight.shape.len() == rank, self.wrong(name, &format!("{rank} dimensions")));
        Ok(weight)
    }

    /// What a first recording came to, or an error that tells all the tensors below this place that
    /// recordings found missing or wrong.
    pub fn verdict<T>(&self, recorded: Result<T>) -> Result<T> {
        let faults = self.faults();
        let faults = faults.iter().filter(|(key, _)| key.starts_with(&self.prefix));
        let (wrong, missing): (Vec<_>, Vec<_>) =
            faults.partition(|(key, _)| self.file.entries.contains_key(*key));
        let missing: Vec<&String> = missing.into_iter().map(|(key, _)| key).collect();
        let wrong = wrong.into_iter().map(|(key, expected)| {
            let Entry { shape, dtype, .. } = &self.file.entries[key];
            format!("{key} is {shape:?} of {dtype}, expected {expected}")
        });
        let wrong: Vec<String> = wrong.collect();
        let told = [told("missing", &missing), told("wrong", &wrong)];
        let told: Vec<String> = told.into_iter().flatten().collect();
        ensure!(told.is_empty(), "{}: {}", self.file.name, told.join("; "));
        recorded
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.file.faults.lock().unwrap_or_else(PoisonError::into_inner)
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
        let below = format!("{key}.");
        let mut after = self.file.entries.range(below.clone()..);
        self.file.entries.contains_key(&key)
            || after.next().is_some_and(|(k, _)| k.starts_with(&below))
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

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.file.parts.iter().map(|part| part.get().len() as u64).sum()
    }

    /// The same place, its numbers rounded to f16 as they are read (ComfyUI keeps text encoders so).
    #[must_use]
    pub fn rounded_to_f16(&self) -> Self {
        Self { f16: true, ..self.clone() }
    }

    /// The full keys below this place that no [`Weights::get`] has asked for yet.
    pub fn unused(&self) -> Vec<&str> {
        let used = |key: &str| self.file.entries[key].used.load(Ordering::Relaxed);
        let here = self.file.keys.iter().map(String::as_str);
        here.filter(|key| key.starts_with(&self.prefix) && !used(key)).collect()
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
        format::refuse_others(data)?;
        let (header, metadata) = SafeTensors::read_metadata(data)
            .map_err(|e| anyhow::anyhow!("not a sound safetensors file: {e}"))?;
        let base = 8 + header;
        format::refuse_duplicate_keys(&data[8..base])?;
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
                transposed: false,
                used: Arc::default(),
            };
            if self.entries.insert(key.clone(), entry).is_none() {
                self.keys.push(key);
            }
        }
        self.metadata
            .extend(metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        self.parts.push(Arc::new(bytes));
        Ok(())
    }
}

impl Weight {
    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file.name
    }
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
        if !self.parts.is_empty() {
            return self.parts.iter().all(Self::fits_f16);
        }
        self.f16 || (self.dtype == Dtype::F16 && self.changes.is_none())
    }
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All numbers as f32, row-major as in the file, changed as patches say. An infinite number or a
    /// NaN is an error. The pages read are given back to the system.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        if !self.parts.is_empty() {
            return Ok(self.parts.iter().map(Self::to_f32).collect::<Result<Vec<_>>>()?.concat());
        }
        let (entry, bytes) = self.bytes()?;
        let mut numbers = self.decode(bytes);
        self.file.parts[entry.part].release(entry.start, entry.len);
        if entry.transposed {
            numbers = relaid::transposed(&numbers, self.shape[0]);
        }
        if self.changes.is_some() {
            self.change(&mut numbers)?;
            self.round(&mut numbers);
        }
        self.check_finite(all_finite(&numbers))?;
        Ok(numbers)
    }

    /// An error if a number is infinite or a NaN. Reads the tensor once, where it lies; its pages are
    /// given back to the system.
    pub fn check(&self) -> Result<()> {
        if !self.parts.is_empty() {
            return self.parts.iter().try_for_each(Self::check);
        }
        let (entry, bytes) = self.bytes()?;
        let finite = bytes.par_chunks(1 << 20).all(|piece| self.is_finite(piece));
        self.file.parts[entry.part].release(entry.start, entry.len);
        self.check_finite(finite)
    }

    /// Rows of a matrix, gathered: `[ids.len(), cols]`. For token embeddings. A row past the end, an
    /// infinite number or a NaN is an error.
    pub fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let (entry, bytes) = self.bytes()?;
        let rows = self.shape.first().map_or(1, |rows| (*rows).max(1));
        let scattered = self.changes.is_some() || entry.transposed;
        let changed = scattered.then(|| self.to_f32()).transpose()?;
        let row_of = |id: &u32| {
            let place = |size: usize| *id as usize * size..(*id as usize + 1) * size;
            let numbers = match &changed {
                Some(all) => all.get(place(all.len() / rows)).map(<[f32]>::to_vec),
                None => bytes.get(place(bytes.len() / rows)).map(|row| self.decode(row)),
            };
            numbers.with_context(|| format!("{}: {} has no row {id}", self.file.name, self.key))
        };
        let mut numbers = Vec::new();
        for id in ids {
            numbers.extend(row_of(id)?);
        }
        self.check_finite(all_finite(&numbers))?;
        Ok(numbers)
    }

    fn check_finite(&self, finite: bool) -> Result<()> {
        ensure!(
            finite,
            "{}: {} holds NaN or infinite numbers; the file is damaged",
            self.file.name,
            self.key
        );
        Ok(())
    }

    /// Equal for the same numbers: the file and key (and rounding and changes). What devices cache by.
    pub fn id(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        let changes = self.changes.as_ref().map(|changes| changes.serial);
        (self.file.serial, &self.key, self.f16, changes).hash(&mut hash);
        self.parts.iter().for_each(|part| part.id().hash(&mut hash));
        hash.finish()
    }

    /// An error for what only stands in for a tensor.
    fn bytes(&self) -> Result<(&Entry, &[u8])> {
        let entry = self.file.entries.get(&self.key).filter(|e| e.shape == self.shape);
        let entry = entry.with_context(|| {
            format!("{}: no tensor {} of {:?}", self.file.name, self.key, self.shape)
        })?;
        Ok((entry, &self.file.parts[entry.part].get()[entry.start..entry.start + entry.len]))
    }

    /// Whether no number has all bits of its exponent set.
    fn is_finite(&self, bytes: &[u8]) -> bool {
        let all_set = |mask: u16, top: &[u8]| u16::from_le_bytes([top[0], top[1]]) & mask == mask;
        match self.dtype {
            Dtype::F32 => !bytes.chunks_exact(4).any(|b| all_set(0x7F80, &b[2..])),
            Dtype::F16 => !bytes.chunks_exact(2).any(|b| all_set(0x7C00, b)),
            Dtype::Bf16 => !bytes.chunks_exact(2).any(|b| all_set(0x7F80, b)),
            Dtype::Other(_) => true,
        }
    }

    fn decode(&self, bytes: &[u8]) -> Vec<f32> {
        const PIECE: usize = 1 << 12;
        let size = self.dtype.size().expect("a weight has numbers");
        let mut numbers = vec![0.0; bytes.len() / size];
        let pieces = numbers.par_chunks_mut(PIECE).zip(bytes.par_chunks(PIECE * size));
        pieces.with_min_len(8).for_each(|(numbers, bytes)| match self.dtype {
            Dtype::F32 => each(numbers, bytes, f32::from_le_bytes),
            Dtype::F16 => {
                let mut halves = [f16::ZERO; PIECE];
                let halves = &mut halves[..numbers.len()];
                each(halves, bytes, f16::from_le_bytes);
                halves.convert_to_f32_slice(numbers);
            }
            Dtype::Bf16 => each(numbers, bytes, |b| bf16::from_le_bytes(b).to_f32_const()),
            Dtype::Other(_) => unreachable!("Weights::get refuses what is no weight"),
        });
        if self.dtype != Dtype::F16 {
            self.round(&mut numbers);
        }
        numbers
    }

    fn round(&self, numbers: &mut [f32]) {
        if self.f16 {
            numbers.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        }
    }
}

/// Numbers from `N` bytes each.
fn each<T, const N: usize>(numbers: &mut [T], bytes: &[u8], number: impl Fn([u8; N]) -> T) {
    numbers.iter_mut().zip(bytes.as_chunks().0).for_each(|(to, bytes)| *to = number(*bytes));
}

fn all_finite(numbers: &[f32]) -> bool {
    numbers.par_chunks(1 << 16).all(|piece| piece.iter().all(|x| x.is_finite()))
}

/// `3 tensors are missing: a, b, c`, of many the first few; `None` if there are none.
pub fn told(what: &str, keys: &[impl AsRef<str>]) -> Option<String> {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = keys.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = keys.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let are = if keys.len() == 1 { "tensor is" } else { "tensors are" };
    let told = || format!("{} {are} {what}: {}{more}", keys.len(), shown.join(", "));
    (!keys.is_empty()).then(told)
}

/// What tells files, and lists of changes, apart.
fn serial() -> &'static AtomicU64 {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    &SERIAL
}
