//! What the benches, the pictures and the tests of the editor share.

// Each of them uses its part.
#![allow(dead_code)]

pub mod graph;
pub mod played;
pub mod stage;
