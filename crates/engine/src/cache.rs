//! Results of earlier steps, kept as long as memory allows.

use crate::Key;
use graph::{Json, Value};
use serde_json::Map;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a step left behind.
pub struct Cached {
    /// By output: one value, or those of a list.
    pub values: Vec<Vec<Value>>,
    /// What the node showed (ComfyUI's `ui`).
    pub ui: Map<String, Json>,
}

/// Which results are kept after their last reader has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those used last, up to so many bytes together.
    Bytes(usize),
    /// Those of so many nodes, used last.
    Nodes(usize),
    /// Those of the graph that runs, all of them, and of no other.
    Graph,
    /// None.
    Nothing,
}

impl Keep {
    fn bytes(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Nodes(_) | Self::Graph => usize::MAX,
            Self::Nothing => 0,
        }
    }

    fn nodes(self) -> usize {
        if let Self::Nodes(nodes) = self { nodes } else { usize::MAX }
    }
}

/// Results by key; the least recently used go first. Pinned results are not evicted, so bounds give
/// way to what a running plan still needs.
pub struct Cache {
    entries: HashMap<Key, Entry>,
    /// What may be evicted, by its time of last use.
    idle: BTreeMap<u64, Key>,
    /// How many readers a key still has in the running plan, whether it is here yet or not.
    pins: HashMap<Key, usize>,
    bytes: usize,
    keep: Keep,
    clock: u64,
}

struct Entry {
    cached: Cached,
    bytes: usize,
    used: u64,
}

/// Counted for each entry beside its values, so that a million empty results are bounded too.
const ENTRY_BYTES: usize = 512;

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self {
            entries: HashMap::new(),
            idle: BTreeMap::new(),
            pins: HashMap::new(),
            bytes: 0,
            keep,
            clock: 0,
        }
    }

    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Cached> {
        self.entries.get(&key).map(|entry| &entry.cached)
    }

    /// Memory held, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes what is kept and gives up the rest.
    pub fn set_keep(&mut self, keep: Keep) {
        self.keep = keep;
        self.shrink();
    }

    /// A graph is about to run whose results have these keys.
    pub(crate) fn begin(&mut self, keys: impl Iterator<Item = Key>) {
        if self.keep == Keep::Graph {
            let keys: HashSet<Key> = keys.collect();
            self.idle.retain(|_, key| keys.contains(key));
            self.entries.retain(|key, _| keys.contains(key));
            self.bytes = self.entries.values().map(|entry| entry.bytes).sum();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.keep);
    }

    /// Marks a result as just used.
    pub(crate) fn touch(&mut self, key: Key) {
        self.clock += 1;
        let Some(entry) = self.entries.get_mut(&key) else { return };
        self.idle.remove(&entry.used);
        entry.used = self.clock;
        if !self.pins.contains_key(&key) {
            self.idle.insert(self.clock, key);
        }
    }

    pub(crate) fn insert(&mut self, key: Key, cached: Cached) {
        let values: usize = cached.values.iter().flatten().map(|value| value.bytes).sum();
        let bytes = ENTRY_BYTES + values + Json::Object(cached.ui.clone()).to_string().len();
        self.bytes += bytes;
        if let Some(old) = self.entries.insert(key, Entry { cached, bytes, used: 0 }) {
            self.bytes -= old.bytes;
            self.idle.remove(&old.used);
        }
        self.touch(key);
        self.shrink();
    }

    /// One more reader to come: the result stays, once it is here.
    pub(crate) fn pin(&mut self, key: Key) {
        *self.pins.entry(key).or_insert(0) += 1;
        self.touch(key);
    }

    /// One reader less; after the last one the result may go.
    pub(crate) fn unpin(&mut self, key: Key) {
        if let Some(readers) = self.pins.get_mut(&key) {
            *readers -= 1;
            if *readers == 0 {
                self.pins.remove(&key);
                self.touch(key);
                self.shrink();
            }
        }
    }

    /// No reader is left: the run is over.
    pub(crate) fn unpin_all(&mut self) {
        for key in std::mem::take(&mut self.pins).into_keys() {
            self.touch(key);
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        let over =
            |this: &Self| this.bytes > this.keep.bytes() || this.entries.len() > this.keep.nodes();
        while over(self)
            && let Some((_, key)) = self.idle.pop_first()
        {
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &mut Cache, key: Key, bytes: usize) {
        let value = Value::new("x".repeat(bytes));
        cache.insert(key, Cached { values: vec![vec![value]], ui: Map::new() });
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_holds() {
        let mut cache = Cache::new(Keep::Bytes(3 * 2000));
        for key in 0..3 {
            put(&mut cache, key, 1000);
        }
        cache.touch(0);
        put(&mut cache, 3, 1000);
        assert!(cache.bytes() <= 6000);
        cache.set_keep(Keep::Bytes(2 * 1600));
        assert_eq!([0, 1, 2, 3].map(|key| cache.contains(key)), [true, false, false, true]);
    }

    #[test]
    fn pinned_results_outlive_the_bound_until_their_last_reader() {
        let mut cache = Cache::new(Keep::Bytes(100));
        cache.pin(7);
        cache.pin(7);
        put(&mut cache, 7, 1000);
        cache.unpin(7);
        assert!(cache.contains(7));
        cache.unpin(7);
        assert!(!cache.contains(7));
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn so_many_nodes_or_those_of_one_graph() {
        let mut cache = Cache::new(Keep::Nodes(2));
        (0..4).for_each(|key| put(&mut cache, key, 1000));
        assert_eq!([0, 1, 2, 3].map(|key| cache.contains(key)), [false, false, true, true]);
        cache.set_keep(Keep::Graph);
        cache.begin([3, 4].into_iter());
        assert_eq!([2, 3].map(|key| cache.contains(key)), [false, true]);
        cache.set_keep(Keep::Nothing);
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn replacing_a_result_counts_its_bytes_once() {
        let mut cache = Cache::new(Keep::Bytes(10_000));
        put(&mut cache, 1, 1000);
        let before = cache.bytes();
        put(&mut cache, 1, 1000);
        assert_eq!(cache.bytes(), before);
    }
}
