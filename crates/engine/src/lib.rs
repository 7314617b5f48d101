//! Plans a graph, runs what changed, caches the rest, reports progress, can be stopped.
//!
//! The way through: [`Plan::new`] checks a graph in API form against the node types and orders what
//! its outputs need; [`Engine::run`] runs the steps whose results the [`Cache`] does not have.
//! What any value is, the engine does not know.

mod cache;
mod check;
mod files;
mod key;
mod literal;
mod nearest;
mod panics;
mod plan;
mod reject;
mod run;
#[cfg(test)]
mod testing;
pub mod why;
mod wiring;

pub use cache::{Cache, Cached, Keep};
pub use key::Key;
pub use nearest::nearest;
pub use plan::{Plan, Source, Step, Targets, Types};
pub use reject::{NodeErrors, NodeProblems, Problem, Rejection};
pub use run::{End, Engine, Failure, Outcome, Report, RunEvent, RunOptions};
