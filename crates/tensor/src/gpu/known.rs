//! What is remembered of an adapter from one run of the program to the next: that its self-test has
//! passed, which tiles are the fastest, and its compiled pipelines.
//!
//! A folder has two files for each adapter, `NAME.json` and `NAME.pipelines`. Whatever cannot be read, is
//! damaged, or was made with another driver, other shaders or another Weft counts for nothing and is
//! written anew.

use super::{Adapter, GpuOptions, ShapeClass, TileClass, self_test::fingerprint};
use crate::Result;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// One adapter's files in a folder, and what they say.
pub struct Known {
    file: PathBuf,
    facts: Facts,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts {
    /// The adapter, driver, shaders and version that the rest is true for.
    stamp: String,
    tested: bool,
    #[serde(with = "pairs")]
    tiles: BTreeMap<ShapeClass, TileClass>,
}

/// A map whose keys are no texts, as JSON.
mod pairs {
    use super::{BTreeMap, ShapeClass, TileClass};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        map: &BTreeMap<ShapeClass, TileClass>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<ShapeClass, TileClass>, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().collect())
    }
}

impl Adapter {
    /// What `folder` remembers of this adapter as it is opened with these options.
    pub fn known(&self, folder: &Path, options: GpuOptions) -> Known {
        let name: Vec<String> = self
            .name()
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        Known::read(folder.join(format!("{}.json", name.join("-"))), self.stamp(options))
    }

    fn stamp(&self, options: GpuOptions) -> String {
        let info = self.info();
        format!(
            "weft {}, shaders {}, checked {}, {} {:x}:{:x}, {}",
            env!("CARGO_PKG_VERSION"),
            fingerprint(),
            options.checked,
            self.name(),
            info.vendor,
            info.device,
            self.driver(),
        )
    }
}

impl Known {
    fn read(file: PathBuf, stamp: String) -> Self {
        let facts = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let facts = facts.filter(|facts: &Facts| facts.stamp == stamp);
        Self { file, facts: facts.unwrap_or_else(|| Facts { stamp, ..Facts::default() }) }
    }

    /// Whether its self-test has passed.
    pub fn tested(&self) -> bool {
        self.facts.tested
    }

    pub(super) fn keep_tested(&mut self) -> Result<()> {
        self.facts.tested = true;
        self.write()
    }

    /// The fastest tiles, by kind of product.
    pub fn tiles(&self) -> &BTreeMap<ShapeClass, TileClass> {
        &self.facts.tiles
    }

    pub(super) fn keep_tiles(&mut self, tiles: BTreeMap<ShapeClass, TileClass>) -> Result<()> {
        self.facts.tiles = tiles;
        self.write()
    }

    fn write(&self) -> Result<()> {
        write_whole(&self.file, &serde_json::to_vec_pretty(&self.facts)?)
    }

    /// What [`Known::keep_pipelines`] was given: byte for byte, or nothing.
    pub(super) fn pipelines(&self) -> Option<Vec<u8>> {
        let mut bytes = std::fs::read(self.pipelines_file()).ok()?;
        let hash: [u8; blake3::OUT_LEN] = bytes.get(..blake3::OUT_LEN)?.try_into().ok()?;
        let data = bytes.split_off(blake3::OUT_LEN);
        (self.hash(&data) == hash).then_some(data)
    }

    pub(super) fn keep_pipelines(&self, data: &[u8]) -> Result<()> {
        let bytes = [self.hash(data).as_bytes(), data].concat();
        write_whole(&self.pipelines_file(), &bytes)
    }

    fn pipelines_file(&self) -> PathBuf {
        self.file.with_extension("pipelines")
    }

    /// Of the data and of whom it is for: drivers trust what they are given.
    fn hash(&self, data: &[u8]) -> blake3::Hash {
        let mut hash = blake3::Hasher::new();
        hash.update(self.facts.stamp.as_bytes()).update(data);
        hash.finalize()
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(file: &Path, bytes: &[u8]) -> Result<()> {
    let beside = file.with_extension(format!("{}.part", std::process::id()));
    let write = || {
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, file)
    };
    let written = write().inspect_err(|_| drop(std::fs::remove_file(&beside)));
    written.with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(folder: &Path, stamp: &str) -> Known {
        Known::read(folder.join("a/gpu.json"), stamp.to_owned())
    }

    #[test]
    fn what_is_kept_is_known_again_to_the_same_adapter_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = known(folder.path(), "one");
        assert!(!first.tested() && first.pipelines().is_none());
        first.keep_tested().unwrap();
        first.keep_pipelines(b"compiled").unwrap();
        let again = known(folder.path(), "one");
        assert!(again.tested());
        assert_eq!(again.pipelines().unwrap(), b"compiled");
        let other = known(folder.path(), "one, with a new driver");
        assert!(!other.tested() && other.pipelines().is_none());
        let files = std::fs::read_dir(folder.path().join("a")).unwrap().count();
        assert_eq!(files, 2, "nothing half-written is left");
    }

    #[test]
    fn damaged_files_count_for_nothing_and_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut good = known(folder.path(), "one");
        good.keep_tested().unwrap();
        good.keep_pipelines(b"compiled").unwrap();
        let files = [good.file.clone(), good.pipelines_file()];
        let whole = files.each_ref().map(|file| std::fs::read(file).unwrap());
        for (file, bytes) in files.iter().zip(&whole) {
            let cut = bytes[..bytes.len() - 1].to_vec();
            let mut flipped = bytes.clone();
            flipped[0] ^= 1;
            for damaged in [vec![], cut, flipped, b"{}".to_vec()] {
                std::fs::write(file, damaged).unwrap();
                let known = known(folder.path(), "one");
                let lost = !known.tested() || known.pipelines().is_none();
                assert!(lost, "{}", file.display());
            }
            std::fs::write(file, bytes).unwrap();
        }
        let again = known(folder.path(), "one");
        assert!(again.tested() && again.pipelines().is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "a file").unwrap();
        let error = known(folder.path(), "one").keep_tested().unwrap_err();
        assert!(format!("{error:#}").contains("gpu.json cannot be written"), "{error:#}");
    }
}
