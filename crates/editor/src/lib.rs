//! The native editor: draw, edit and run a graph.
//!
//! A [`doc::Doc`] is the graph as it is edited; everything on screen is drawn from it, every change goes
//! through it. Running is behind one narrow interface, [`session::Session`].

pub mod canvas;
pub mod catalog;
pub mod doc;
pub mod history_panel;
pub mod panels;
pub mod pictures;
pub mod queue;
pub mod runs;
pub mod session;
pub mod theme;
pub mod thumbnails;
