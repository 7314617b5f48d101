//! Documents under the hands of a person.

mod clipboard;
pub(crate) mod json;
mod links;
mod reroutes;
mod subgraphs;
mod undo;
mod widgets;

use super::{Doc, File, History, Id};
use graph::{Context, Contract, Inputs, Node, NodeType, Result};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// Makes a latent.
#[derive(Inputs)]
#[expect(dead_code)]
struct Source {
    #[widget(graph::widget::seed())]
    seed: u64,
    #[widget(graph::widget::one_of(["nearest", "area"]))]
    method: String,
    #[widget(graph::widget::prompt())]
    text: String,
}

impl Node for Source {
    const CATEGORY: &str = "test";
    type Output = (i64, String);
    fn run(self, _: &mut Context) -> Result<Self::Output> {
        unreachable!("it is only drawn")
    }
}

/// A number to itself.
#[derive(Inputs)]
#[expect(dead_code)]
struct Through {
    #[widget(graph::widget::number(1).with("forceInput", true))]
    number: i64,
    #[widget(graph::widget::number(2).range(0..=9))]
    other: i64,
}

impl Node for Through {
    const CATEGORY: &str = "test";
    type Output = i64;
    fn run(self, _: &mut Context) -> Result<Self::Output> {
        unreachable!("it is only drawn")
    }
}

struct Bench {
    types: [NodeType; 2],
    contract: Contract,
}

impl Bench {
    fn new() -> Self {
        let types = || [NodeType::of::<Source>(), NodeType::of::<Through>()];
        Self { types: types(), contract: Contract::from_types(&types()) }
    }

    fn source(&self, doc: &mut Doc) -> Id {
        doc.create(&self.types[0], &self.contract, [0.0, 0.0])
    }

    fn through(&self, doc: &mut Doc) -> Id {
        doc.create(&self.types[1], &self.contract, [300.0, 0.0])
    }

    /// A source that feeds a chain of nodes, and the ids of all.
    fn chain(&self, length: usize) -> (Doc, Vec<Id>) {
        let mut doc = Doc::default();
        let mut ids = vec![self.source(&mut doc)];
        for i in 0..length {
            ids.push(self.through(&mut doc));
            doc.connect((ids[i], 0), (ids[i + 1], 0)).unwrap();
        }
        (doc, ids)
    }
}

fn set<const N: usize>(ids: [Id; N]) -> BTreeSet<Id> {
    ids.into()
}

#[test]
fn undo_and_redo_go_step_by_step_through_merged_and_empty_ones() {
    let bench = Bench::new();
    let (doc, ids) = bench.chain(1);
    let mut history = History::new(doc);
    let states = |history: &History| history.doc().to_json();
    let before = states(&history);
    for x in [1.0, 2.0, 3.0] {
        history.edit_merged("move", 7, |doc| doc.move_by(&set([ids[0]]), [x, 0.0]));
    }
    history.edit("nothing", |doc| doc.set_title(ids[0], ""));
    let moved = states(&history);
    history.edit_merged("move", 7, |doc| doc.move_by(&set([ids[0]]), [0.0, 1.0]));
    assert_eq!(moved["nodes"][0]["pos"], json!([6, 0]));
    assert!(history.is_modified());
    assert_eq!((history.undo(), states(&history)), (Some("move"), moved.clone()));
    assert_eq!((history.undo(), states(&history)), (Some("move"), before));
    assert!(!history.is_modified());
    assert_eq!((history.undo(), history.undoes(), history.redoes()), (None, None, Some("move")));
    assert_eq!((history.redo(), states(&history)), (Some("move"), moved));
    let revision = history.revision();
    history.edit("title", |doc| doc.set_title(ids[0], "x"));
    assert_eq!(history.redo(), None, "what is undone goes when something else is done");
    assert!(history.revision() > revision);
}

#[test]
fn a_history_forgets_its_oldest_steps() {
    let bench = Bench::new();
    let (doc, ids) = bench.chain(0);
    let mut history = History::new(doc);
    for _ in 0..400 {
        history.edit("move", |doc| doc.move_by(&set([ids[0]]), [1.0, 0.0]));
    }
    let steps = std::iter::from_fn(|| history.undo()).count();
    assert_eq!(steps, 300);
    assert_eq!(history.doc().node(ids[0]).unwrap().pos, [100.0, 0.0]);
}

#[test]
fn what_is_made_anew_is_read_and_run_as_it_is() {
    let bench = Bench::new();
    let (doc, _) = bench.chain(2);
    let json = doc.to_json();
    let file = File::from_json(&json).unwrap();
    assert_eq!(file.to_json(), json);
    let api = Json::Object(file.to_api(&bench.contract).unwrap());
    assert_eq!(api["1"]["inputs"], json!({"seed": 0, "method": "nearest", "text": ""}));
    assert_eq!(api["3"]["inputs"], json!({"number": ["2", 0], "other": 2}));
}

/// Numbers by chance that are the same each time (SplitMix64).
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % most.max(1) as u64).unwrap_or(0)
    }
}
