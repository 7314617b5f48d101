//! The levels of a file on the canvas: each is looked at in its own way.

use super::{Canvas, View, gestures::Gesture, scene::Hit, title as own_title};
use crate::{
    catalog::Catalog,
    doc::{File, Id, Node},
};
use std::collections::BTreeSet;

/// How a level was left.
#[derive(Clone, Debug)]
pub struct Left {
    view: View,
    selection: BTreeSet<Id>,
}

impl Canvas {
    /// If another level is open than last time, shows it as it was left, or whole.
    pub(super) fn follow_level(&mut self, file: &File) {
        let level: Vec<Id> = file.path().map(|(instance, _)| instance).collect();
        if level == self.level {
            return;
        }
        let selection = std::mem::take(&mut self.selection);
        let old = std::mem::replace(&mut self.level, level);
        self.left.insert(old, Left { view: self.view.clone(), selection });
        match self.left.get(&self.level) {
            Some(left) => {
                let screen = std::mem::replace(&mut self.view, left.view.clone()).screen;
                self.view.screen = screen;
                self.selection.clone_from(&left.selection);
            }
            None => self.fit = Some(BTreeSet::new()),
        }
        self.reroutes.clear();
        self.groups.clear();
        (self.gesture, self.hover, self.rename) = (Gesture::None, Hit::Nothing, None);
    }
}

/// What the title bar says: that of an instance is its subgraph's name, unless a person gave it another.
pub fn title(node: &Node, subgraph: Option<&str>, catalog: &Catalog) -> String {
    match subgraph {
        Some(name) if node.title.as_deref().is_none_or(str::is_empty) => name.to_owned(),
        _ => own_title(node, catalog),
    }
}
