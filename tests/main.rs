//! Tests of the whole program. Those that read `../shared` skip aloud where it is not there.

mod common;

mod additions;
mod bad_input;
mod check;
mod cli;
mod contract;
mod devices;
mod flow;
mod goldens;
mod graphs;
mod hooks;
mod inspect;
mod made;
mod memory;
mod models;
mod pictures;
mod previews;
mod profile;
mod tidy;
