//! What is true of every document, whatever was done to it.

use super::Doc;
use std::collections::HashSet;

impl Doc {
    /// Panics, with what is wrong, unless ids are unique, the index finds every node, both ends of each link
    /// are there, no input has two links, and numbers are such as a canvas can show.
    pub fn check(&self) {
        assert_eq!(self.index.len(), self.nodes.len(), "the index knows other nodes");
        for (at, node) in self.nodes.iter().enumerate() {
            assert_eq!(self.index.get(&node.id), Some(&at), "node {} is elsewhere", node.id);
            assert!(node.id <= self.last.node, "node {} is newer than the last", node.id);
            let numbers = [node.pos, node.size].concat();
            assert!(numbers.iter().all(|n| n.is_finite()), "node {} lies at {numbers:?}", node.id);
        }
        let mut fed = HashSet::new();
        for (id, link) in &self.links {
            assert!(*id <= self.last.link, "link {id} is newer than the last");
            let from = self.node(link.from).and_then(|node| node.outputs.get(link.from_slot));
            assert!(from.is_some(), "link {id} comes from nowhere: {link:?}");
            let to = self.node(link.to).and_then(|node| node.inputs.get(link.to_slot));
            assert!(to.is_some(), "link {id} leads nowhere: {link:?}");
            assert!(fed.insert((link.to, link.to_slot)), "two links feed one input: {link:?}");
        }
        for group in &self.groups {
            assert!(group.bounding.iter().all(|n| n.is_finite()), "a group lies at {group:?}");
        }
    }
}

impl super::File {
    /// [`Doc::check`] for all levels.
    pub fn check(&self) {
        self.docs().for_each(Doc::check);
    }
}
