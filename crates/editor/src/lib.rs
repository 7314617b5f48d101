//! The native editor.
