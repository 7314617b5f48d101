//! Cache keys: Merkle hashes of everything a result depends on.

use graph::Json;
use std::sync::atomic::{AtomicU64, Ordering};

/// Equal keys mean equal outputs: 128 bits of BLAKE3 over class, literals, files and keys upstream.
pub type Key = u128;

/// Collects what a key depends on. Every part is framed by a tag or its length, so that different
/// parts never run into the same bytes.
pub(crate) struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    pub fn new(class: &str) -> Self {
        let mut hasher = Self(blake3::Hasher::new());
        hasher.text(class);
        hasher
    }

    pub fn literal(&mut self, name: &str, json: &Json) {
        self.part(b'v', name);
        self.text(&json.to_string());
    }

    /// A link reads output `slot` of the step `from`.
    pub fn link(&mut self, name: &str, from: Key, slot: usize) {
        self.part(b'l', name);
        self.0.update(&from.to_le_bytes());
        self.0.update(&(slot as u64).to_le_bytes());
    }

    pub fn file(&mut self, name: &str, fingerprint: u64) {
        self.part(b'f', name);
        self.0.update(&fingerprint.to_le_bytes());
    }

    /// Sets a node apart from others that are fed the same.
    pub fn node(&mut self, id: &str) {
        self.part(b'i', id);
    }

    /// Makes the key like no other, before or after: NaN equals nothing.
    pub fn never_equal(&mut self) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        self.0.update(b"n");
        self.0.update(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    }

    pub fn finish(&self) -> Key {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        u128::from_le_bytes(bytes)
    }

    fn part(&mut self, tag: u8, name: &str) {
        self.0.update(&[tag]);
        self.text(name);
    }

    fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }
}
