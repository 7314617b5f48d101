//! A device's memory: what is held in it, and the budget for that.
//!
//! Everything large that a device holds has a [`Lease`], which counts its bytes until it is dropped.
//! What can be made again is [`Held`]: where something else wants its place, it goes.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fmt::{Display, Formatter},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// What bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights, in the form that the device computes with.
    Weights,
    /// What networks compute: inputs, intermediate values, outputs.
    Values,
}

/// More memory was wanted than there is. Callers who can do with less find it in their error by
/// `downcast_ref`, and try that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    pub what: String,
    /// In bytes.
    pub wanted: u64,
    pub given: u64,
    /// Who gives no more.
    pub by: String,
}

impl Display for OutOfMemory {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        let Self { what, wanted, given, by } = self;
        let advice = if by.starts_with("--") { "A larger budget" } else { "--device cpu" };
        write!(
            f,
            "{what}: {wanted} bytes of memory wanted, {given} given by {by}. {advice} or a smaller picture would do"
        )
    }
}

impl Error for OutOfMemory {}

/// A device's memory.
pub struct Memory {
    /// Who sets the budget: an option's name.
    option: &'static str,
    chosen: u64,
    /// As chosen; less once the device itself had less.
    budget: AtomicU64,
    /// By [`Kind`].
    held: [AtomicU64; 2],
    /// At any time so far.
    most: AtomicU64,
    clock: AtomicU64,
    /// The network that runs, or that ran last.
    running: AtomicU64,
    parts: Mutex<Vec<Weak<dyn Part>>>,
}

impl Memory {
    /// `u64::MAX` is no budget.
    pub fn new(option: &'static str, budget: u64) -> Arc<Self> {
        Arc::new(Self {
            option,
            chosen: budget,
            budget: budget.into(),
            held: Default::default(),
            most: 0.into(),
            clock: 0.into(),
            running: 0.into(),
            parts: Mutex::default(),
        })
    }

    pub fn budget(&self) -> u64 {
        self.budget.load(Relaxed)
    }

    /// Bytes held now.
    pub fn held(&self, kind: Kind) -> u64 {
        self.held[kind as usize].load(Relaxed)
    }

    /// The most bytes held at any time so far.
    pub fn most(&self) -> u64 {
        self.most.load(Relaxed)
    }

    /// Bytes of both kinds.
    pub(crate) fn all(&self) -> u64 {
        self.held.iter().map(|held| held.load(Relaxed)).sum()
    }

    /// Counts bytes that are to be taken now; drops what can be made again until they fit.
    pub fn lease(self: &Arc<Self>, what: &str, kind: Kind, bytes: u64) -> crate::Result<Lease> {
        loop {
            // One at a time, so that two do not take the same room.
            let parts = self.parts();
            if self.all().saturating_add(bytes) <= self.budget() {
                self.held[kind as usize].fetch_add(bytes, Relaxed);
                self.most.fetch_max(self.all(), Relaxed);
                return Ok(Lease { memory: self.clone(), kind, bytes });
            }
            drop(parts);
            if !self.evict() {
                let wanted = self.all().saturating_add(bytes);
                return Err(self.lacks(what, wanted).into());
            }
        }
    }

    pub fn lacks(&self, what: &str, wanted: u64) -> OutOfMemory {
        let given = self.budget();
        let by = if given == self.chosen { self.option } else { "this device" };
        OutOfMemory { what: what.to_owned(), wanted, given, by: by.to_owned() }
    }

    /// The device had no room for more than is held now: from here on that is the budget.
    pub fn is_full(&self) {
        self.budget.fetch_min(self.all(), Relaxed);
    }

    /// Drops one of what can be made again; false if there is nothing. First goes what other networks
    /// than the running one used longest ago. Of its own parts, which it goes through from first to last
    /// in every run, that one goes which it needs last: the one it used just now.
    pub fn evict(&self) -> bool {
        let mut parts = self.parts();
        parts.retain(|part| part.strong_count() > 0);
        let here: Vec<_> = parts.iter().filter_map(Weak::upgrade).filter(|p| p.is_here()).collect();
        drop(parts);
        let running = self.running.load(Relaxed);
        let (own, others): (Vec<_>, Vec<_>) = here.iter().partition(|p| p.network() == running);
        let used = |part: &&&Arc<dyn Part>| part.used();
        let victim = others.iter().min_by_key(used).or(own.iter().max_by_key(used));
        victim.inspect(|part| part.drop_it()).is_some()
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Weak<dyn Part>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new network.
    pub fn network(&self) -> u64 {
        self.parts().retain(|part| part.strong_count() > 0);
        self.clock.fetch_add(1, Relaxed) + 1
    }

    /// From now on this network runs.
    pub fn runs(&self, network: u64) {
        self.running.store(network, Relaxed);
    }
}

/// Bytes that are held; given back when dropped.
pub struct Lease {
    memory: Arc<Memory>,
    kind: Kind,
    bytes: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.memory.held[self.kind as usize].fetch_sub(self.bytes, Relaxed);
    }
}

/// A part of a network that can be dropped and made again. While it is in use it is taken out, and safe.
pub struct Held<T> {
    memory: Arc<Memory>,
    network: u64,
    used: AtomicU64,
    content: Mutex<Option<T>>,
}

impl<T: Send + 'static> Held<T> {
    pub fn new(memory: &Arc<Memory>, network: u64) -> Arc<Self> {
        let (memory, used, content) = (memory.clone(), 0.into(), Mutex::new(None));
        let held = Arc::new(Self { memory, network, used, content });
        let part: Arc<dyn Part> = held.clone();
        held.memory.parts().push(Arc::downgrade(&part));
        held
    }

    pub fn take(&self) -> Option<T> {
        self.content().take()
    }

    pub fn put(&self, content: T) {
        self.used.store(self.memory.clock.fetch_add(1, Relaxed), Relaxed);
        *self.content() = Some(content);
    }

    pub fn is_here(&self) -> bool {
        self.content().is_some()
    }

    fn content(&self) -> MutexGuard<'_, Option<T>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Memory::evict`] sees of a [`Held`].
trait Part: Send + Sync {
    fn network(&self) -> u64;
    fn used(&self) -> u64;
    fn is_here(&self) -> bool;
    fn drop_it(&self);
}

impl<T: Send + 'static> Part for Held<T> {
    fn network(&self) -> u64 {
        self.network
    }
    fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }
    fn is_here(&self) -> bool {
        Held::is_here(self)
    }
    fn drop_it(&self) {
        // Not under the lock: a device may wait for its last use.
        let content = self.take();
        drop(content);
    }
}
