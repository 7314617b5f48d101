//! The native editor: draw, edit and run a graph.
//!
//! A [`doc::Doc`] is the graph as it is edited; everything on screen is drawn from it, every change goes
//! through it. Running is behind one narrow interface, [`session::Session`]. What a person can do is one
//! table, [`actions::ACTIONS`]: menus, keys, tooltips and the command palette are made from it.

pub mod brush;
pub mod actions;
pub mod app;
mod bar;
pub mod canvas;
pub mod catalog;
mod command_palette;
mod dialog;
pub mod doc;
pub mod history_panel;
pub mod lens;
pub mod mask;
pub mod outpaint;
pub mod panels;
mod files;
mod help;
mod missing;
mod open;
pub mod pictures;
pub mod queue;
pub mod runs;
pub mod session;
mod settings;
mod side;
mod standin;
mod tabs;
mod templates;
pub mod theme;
pub mod thumbnails;
pub mod viewer;
mod toasts;

pub use app::{App, Setup, run};
pub use files::Weights;
pub use settings::Settings;
