//! Whatever is done is undone, and done again, to the letter.

use super::{Dice, clipboard::nested, json::workflows};
use crate::doc::{
    Doc, EDITORS_OWN, File, Fragment, History, Id, Mode, Part,
    arrange::{self, Axis, Frames, Line},
    widgets,
};
use graph::{Contract, NodeType};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

const STEPS: usize = 40;

struct Hand {
    dice: Dice,
    types: Vec<NodeType>,
    contract: Contract,
}

type Action = (&'static str, fn(&mut Hand, &mut History));

const ACTIONS: &[Action] = &[
    ("create", |hand, history| {
        let ty = &hand.types[hand.dice.below(hand.types.len())];
        let at = [hand.dice.below(2000) as f32, 10.5];
        history.edit("create", |doc| doc.create(ty, &hand.contract, at));
    }),
    ("create own", |hand, history| {
        let own = &EDITORS_OWN[hand.dice.below(EDITORS_OWN.len())];
        history.edit("create own", |doc| doc.create_own(own.class, [1.0, 2.0]));
    }),
    ("link", |hand, history| {
        let pairs = (0..20).filter_map(|_| Some((hand.node(history)?, hand.node(history)?)));
        let pairs: Vec<(Id, Id)> = pairs.collect();
        history.edit("link", |doc| {
            let sockets = |id: Id| {
                let node = doc.node(id).unwrap();
                (node.inputs.len(), node.outputs.len())
            };
            let ends = pairs.iter().flat_map(|(a, b)| {
                let (outputs, inputs) = (sockets(*a).1, sockets(*b).0);
                (0..outputs).flat_map(move |i| (0..inputs).map(move |j| ((*a, i), (*b, j))))
            });
            let fit: Vec<_> = ends.filter(|(from, to)| doc.can_connect(*from, *to)).collect();
            if !fit.is_empty() {
                let (from, to) = fit[hand.dice.below(fit.len())];
                doc.connect(from, to).unwrap();
            }
        });
    }),
    ("unlink", |hand, history| {
        if let Some(link) = hand.link(history) {
            history.edit("unlink", |doc| doc.disconnect(link));
        }
    }),
    ("reroute", |hand, history| {
        if let Some(link) = hand.link(history) {
            history.edit("reroute", |doc| doc.add_reroute(link, 0, [3.0, 4.0]));
        }
    }),
    ("insert", |hand, history| {
        if let (Some(link), Some(id)) = (hand.link(history), hand.node(history)) {
            history.edit("insert", |doc| doc.insert_on(link, id));
        }
    }),
    ("move", |hand, history| {
        let (part, by) = (hand.part(history), [hand.dice.below(99) as f32 - 40.25, 7.0]);
        history.edit("move", |doc| doc.move_part(&part, by));
    }),
    ("resize", |hand, history| {
        if let Some(id) = hand.node(history) {
            history.edit("resize", |doc| doc.resize(id, [333.0, 222.5]));
        }
    }),
    ("retitle", |hand, history| {
        if let Some(id) = hand.node(history) {
            let title = ["", "A title", "Übung"][hand.dice.below(3)];
            history.edit("retitle", |doc| doc.set_title(id, title));
        }
    }),
    ("group", |hand, history| {
        let frame = [0.5, 0.0, 1200.0, 600.0].map(|x| x + hand.dice.below(500) as f32);
        history.edit("group", |doc| doc.add_group("Group", frame));
    }),
    ("change groups", |hand, history| {
        let part = hand.part(history);
        history.edit("change groups", |doc| {
            doc.each_group(&part.groups, |group| {
                group.title.push('x');
                group.color = group.color.is_none().then(|| "#88A".into());
            });
        });
    }),
    ("ungroup", |hand, history| {
        let part = hand.part(history);
        history.edit("ungroup", |doc| doc.remove_groups(&part.groups));
    }),
    ("paste", |hand, history| {
        let text = history.file().copy(&hand.part(history)).to_json().to_string();
        let linked = hand.dice.below(2) == 0;
        if let Ok(fragment) = Fragment::read(&text, &hand.contract) {
            history.edit_file("paste", |file| file.paste(&fragment, [15.0, 5.5], linked)).unwrap();
        }
    }),
    ("duplicate", |hand, history| {
        let (part, linked) = (hand.part(history), hand.dice.below(2) == 0);
        history.edit("duplicate", |doc| doc.duplicate(&part, [30.0; 2], linked));
    }),
    ("align", |hand, history| {
        let line = [Line::Left, Line::Middle, Line::Bottom][hand.dice.below(3)];
        let frames = hand.frames(history);
        history.edit("align", |doc| doc.bring(&frames, &arrange::align(&frames, line)));
    }),
    ("distribute", |hand, history| {
        let axis = [Axis::Horizontal, Axis::Vertical][hand.dice.below(2)];
        let frames = hand.frames(history);
        history.edit("distribute", |doc| doc.bring(&frames, &arrange::distribute(&frames, axis)));
    }),
    ("arrange", |hand, history| {
        let part = if hand.dice.below(2) == 0 { Part::default() } else { hand.part(history) };
        let frames = all_frames(history.doc());
        history.edit("arrange", |doc| doc.arrange(&part, &frames));
    }),
    ("mode", |hand, history| {
        let mode = [Mode::Muted, Mode::Bypassed][hand.dice.below(2)];
        let part = hand.part(history);
        history.edit_file("mode", |file| file.toggle_mode(&part.nodes, mode));
    }),
    ("flags", |hand, history| {
        let (part, on) = (hand.part(history), hand.dice.below(2) == 0);
        history.edit("flags", |doc| {
            doc.set_collapsed(&part.nodes, on);
            doc.set_pinned(&part.nodes, !on);
            doc.set_colors(&part.nodes, on.then_some(["#322", "#533"]));
        });
    }),
    ("delete", |hand, history| {
        let part = hand.few(history);
        history.edit("delete", |doc| doc.remove_part(&part));
    }),
    ("dissolve", |hand, history| {
        let part = hand.few(history);
        history.edit("dissolve", |doc| doc.dissolve(&part.nodes));
    }),
    ("value", |hand, history| {
        let Some(id) = hand.node(history) else { return };
        let all = widgets(history.doc(), id, &hand.contract);
        if let Some(widget) = all.get(hand.dice.below(all.len())) {
            let value = match &widget.value {
                Json::Number(_) => json!(hand.dice.below(1000)),
                Json::Bool(on) => json!(!on),
                _ => json!(format!("text {}", hand.dice.below(1000))),
            };
            history.edit("value", |doc| doc.set_widget(id, &widget.name, value, &hand.contract));
        }
    }),
    ("back and forth", |hand, history| {
        let back = (0..hand.dice.below(6)).filter_map(|_| history.undo()).count();
        (0..back).for_each(|_| assert!(history.redo().is_some()));
    }),
];

fn all_frames(doc: &Doc) -> Frames {
    doc.nodes().map(|node| (node.id, node.bounds())).collect()
}

impl Hand {
    fn new(seed: u64) -> Self {
        let types = nodes::all();
        Self { dice: Dice(seed), contract: Contract::from_types(&types), types }
    }

    fn node(&mut self, history: &History) -> Option<Id> {
        let count = history.doc().nodes().len();
        history.doc().nodes().nth(self.dice.below(count)).map(|node| node.id)
    }

    fn link(&mut self, history: &History) -> Option<i64> {
        let links = &history.doc().links;
        links.keys().nth(self.dice.below(links.len())).copied()
    }

    fn part(&mut self, history: &History) -> Part {
        let doc = history.doc();
        let nodes = doc.nodes().map(|node| node.id).filter(|_| self.dice.below(3) == 0).collect();
        let groups = (0..doc.groups.len()).filter(|_| self.dice.below(2) == 0).collect();
        Part { nodes, groups }
    }

    fn few(&mut self, history: &History) -> Part {
        Part { nodes: self.node(history).into_iter().collect(), groups: [1].into() }
    }

    fn frames(&mut self, history: &History) -> Frames {
        let part = self.part(history);
        let mut frames = all_frames(history.doc());
        frames.retain(|id, _| part.nodes.contains(id));
        frames
    }
}

/// What must hold of every graph.
fn check(file: &File) {
    let doc = file.doc();
    let mut fed = BTreeSet::new();
    for link in doc.links.values() {
        assert!(doc.node(link.from).is_some_and(|node| link.from_slot < node.outputs.len()));
        assert!(doc.node(link.to).is_some_and(|node| link.to_slot < node.inputs.len()));
        assert!(fed.insert((link.to, link.to_slot)), "an input with two links");
    }
    let json = file.to_json();
    assert_eq!(File::from_json(&json).unwrap().to_json(), json);
}

/// Plays on the open level; tells what was done.
fn play(file: File, seed: u64, name: &str) -> Vec<&'static str> {
    let mut hand = Hand::new(seed);
    let mut history = History::of(file);
    let text = |history: &History| history.file().to_json().to_string();
    let mut states = vec![text(&history)];
    let mut done = Vec::new();
    while states.len() <= STEPS {
        let (what, action) = ACTIONS[hand.dice.below(ACTIONS.len())];
        let (steps, revision) = (history.undoes(), history.revision());
        action(&mut hand, &mut history);
        if what == "back and forth" {
            assert_eq!(Some(&text(&history)), states.last(), "{name} {seed}");
            assert_eq!(history.undoes(), steps);
        } else if history.revision() != revision {
            states.push(text(&history));
            done.push(what);
        }
        check(history.file());
    }
    for (i, what) in done.iter().enumerate().rev() {
        assert_eq!(history.undo(), Some(*what), "{name} {seed}");
        assert!(text(&history) == states[i], "{name} {seed}: {what} is not undone");
    }
    assert_eq!(history.undo(), None, "each action is one step");
    assert!(!history.is_modified());
    for (i, what) in done.iter().enumerate() {
        assert_eq!(history.redo(), Some(*what), "{name} {seed}");
        assert!(text(&history) == states[i + 1], "{name} {seed}: {what} is not done again");
    }
    assert_eq!(history.redo(), None);
    done
}

#[test]
fn actions_by_chance_are_undone_and_done_again_to_the_letter() {
    let ours = workflows("graphs");
    assert!(ours.len() >= 7);
    let others = workflows("../shared/corpus/pairs");
    let others = others.into_iter().filter(|path| path.to_string_lossy().contains(".workflow."));
    let mut done = BTreeSet::new();
    for (i, path) in ours.into_iter().chain(others.step_by(4)).enumerate() {
        let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        done.extend(play(File::from_json(&json).unwrap(), i as u64, &path.to_string_lossy()));
    }
    for seed in 0..4 {
        done.extend(play(File::default(), 1000 + seed, "an empty graph"));
        let mut inner = nested();
        assert!(inner.enter(1));
        done.extend(play(inner, 2000 + seed, "a subgraph"));
    }
    assert_eq!(done.len(), ACTIONS.len() - 1, "every action was done: {done:?}");
}
