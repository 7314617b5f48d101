//! Runs that leave nothing behind.

use crate::Folders;
use anyhow::Result;
use graph::{File, Host};
use std::path::PathBuf;

/// The folders, but what is written goes where it is soon gone.
pub struct Aside<'f> {
    folders: &'f Folders,
    written: tempfile::TempDir,
}

impl<'f> Aside<'f> {
    pub fn new(folders: &'f Folders) -> Result<Self> {
        Ok(Self { folders, written: tempfile::tempdir()? })
    }
}

impl Host for Aside<'_> {
    fn list(&self, folder: &str) -> Vec<String> {
        self.folders.list(folder)
    }
    fn find(&self, folder: &str, name: &str) -> Result<File> {
        self.folders.find(folder, name)
    }
    fn folder(&self, name: &str) -> Result<PathBuf> {
        Ok(self.written.path().join(name))
    }
    fn fingerprint(&self, folder: &str, name: &str) -> Result<u64> {
        self.folders.fingerprint(folder, name)
    }
}
