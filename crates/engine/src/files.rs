//! What planning asks of the host, each question once.

use crate::nearest::nearest;
use graph::{File, Host, Input, Result, widget::Choices};
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// The names of one folder, in the host's order and for quick look-up.
type Listing = Arc<(Vec<String>, HashSet<String>)>;

/// A host that remembers its answers: ten thousand loaders read a folder once.
pub(crate) struct Files<'h> {
    host: &'h dyn Host,
    lists: Mutex<HashMap<String, Listing>>,
    fingerprints: Mutex<HashMap<(String, String), u64>>,
}

impl<'h> Files<'h> {
    pub fn new(host: &'h dyn Host) -> Self {
        Self { host, lists: Mutex::default(), fingerprints: Mutex::default() }
    }

    /// Whether the drop-down list of `input` offers `name`, or its folder has such a file.
    pub fn offers(&self, input: &Input, name: &str) -> bool {
        match &input.choices {
            None => true,
            Some(Choices::Names(names)) => names.contains(&name),
            Some(Choices::Files { folder, extra }) => {
                extra.contains(&name)
                    || self.listing(folder).1.contains(name)
                    || self.host.find(folder, name).is_ok()
            }
        }
    }

    /// The fingerprint of the file that `input` names; `None` for names that stand for no file.
    pub fn content(&self, input: &Input, name: &str) -> Option<Result<u64>> {
        match &input.choices {
            Some(Choices::Files { folder, extra }) if !extra.contains(&name) => {
                Some(self.fingerprint(folder, name))
            }
            _ => None,
        }
    }

    /// Where a wrong name was looked for, and what to write instead.
    pub fn advice(&self, input: &Input, name: &str) -> String {
        let names = input.names(self).unwrap_or_default();
        let near = nearest(name, names.iter().map(String::as_str));
        let near = near.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
        let mut advice = match input.folder() {
            Some(folder) => match self.host.find(folder, name) {
                Err(error) => format!("{error:#}"),
                Ok(_) => format!("not offered by folder `{folder}`"),
            },
            None => format!("not one of the {} names it may have", names.len()),
        };
        if !near.is_empty() {
            advice += &format!("; did you mean {near}?");
        } else if names.len() <= 20 && !names.is_empty() {
            advice += &format!("; there are: {}", names.join(", "));
        }
        advice
    }

    fn listing(&self, folder: &str) -> Listing {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = lists.entry(folder.to_owned()).or_insert_with(|| {
            let names = self.host.list(folder);
            let set = names.iter().cloned().collect();
            Arc::new((names, set))
        });
        listing.clone()
    }
}

impl Host for Files<'_> {
    fn list(&self, folder: &str) -> Vec<String> {
        self.listing(folder).0.clone()
    }

    fn find(&self, folder: &str, name: &str) -> Result<File> {
        self.host.find(folder, name)
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        self.host.folder(name)
    }

    fn fingerprint(&self, folder: &str, name: &str) -> Result<u64> {
        let known = (folder.to_owned(), name.to_owned());
        let mut fingerprints = self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fingerprint) = fingerprints.get(&known) {
            return Ok(*fingerprint);
        }
        let fingerprint = self.host.fingerprint(folder, name)?;
        fingerprints.insert(known, fingerprint);
        Ok(fingerprint)
    }
}
