//! The native editor: draw, edit and run a graph.
//!
//! A [`doc::Doc`] is the graph as it is edited; everything on screen is drawn from it, every change goes
//! through it. Running is behind one narrow interface, [`session::Session`]. What a person can do is one
//! table, [`actions::ACTIONS`]: menus, keys, tooltips and the command palette are made from it.

#[cfg(test)]
extern crate self as editor;

pub mod actions;
pub mod app;
mod bar;
pub mod breadcrumb;
mod brush;
pub mod canvas;
pub mod catalog;
mod command_palette;
mod dialog;
pub mod doc;
mod drops;
mod editing;
mod emphasis;
mod expression;
mod files;
mod help;
pub mod history_panel;
mod journal;
pub mod keys;
pub mod lens;
pub mod mask;
mod missing;
mod open;
pub mod outpaint;
mod overlay;
mod palette;
pub mod panels;
mod picker;
pub mod pictures;
pub mod queue;
mod raster;
mod recent;
pub mod runs;
pub mod session;

mod settings;
mod settings_dialog;
mod share;
#[cfg(test)]
#[path = "../examples/shared/mod.rs"]
mod shared;
mod side;
mod tabs;
mod templates;
pub mod theme;
pub mod thumbnails;
mod toasts;
mod transfer;
pub mod viewer;

pub use app::{App, Setup, run};
pub use files::Weights;
pub use settings::{PreviewMethods, Settings};
