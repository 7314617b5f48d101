use super::{Bench, set};
use crate::doc::{Doc, Id, LinkId};
use serde_json::json;

fn ends(doc: &Doc) -> Vec<(Id, usize, Id, usize)> {
    doc.links.values().map(|l| (l.from, l.from_slot, l.to, l.to_slot)).collect()
}

#[test]
fn links_fit_close_no_ring_and_take_the_place_of_others() {
    let bench = Bench::new();
    let (mut doc, ids) = bench.chain(2);
    let [a, b, c] = ids[..] else { unreachable!() };
    assert_eq!(doc.connect((a, 1), (b, 0)), None, "text is no number");
    assert_eq!(doc.connect((c, 0), (b, 0)), None, "a ring");
    assert_eq!(doc.connect((b, 0), (b, 1)), None, "a ring of one");
    assert_eq!(doc.connect((a, 7), (b, 0)), None, "no such socket");
    assert_eq!(doc.connect((a, 0), (b, 0)), Some(1), "it is there already");
    let new = doc.connect((a, 0), (c, 0)).unwrap();
    assert_eq!(ends(&doc), [(a, 0, b, 0), (a, 0, c, 0)]);
    let json = doc.to_json();
    assert_eq!(json["nodes"][0]["outputs"][0]["links"], json!([1, new]));
    assert_eq!(json["nodes"][1]["outputs"][0]["links"], json!([]));
    assert_eq!(json["nodes"][2]["inputs"][0]["link"], json!(new));
    assert_eq!(json["last_link_id"], json!(new));
    doc.disconnect(new);
    doc.remove(&set([a]));
    assert!(ends(&doc).is_empty());
    assert_eq!(doc.next_link_id(), new + 1, "numbers are not given twice");
}

#[test]
fn reroutes_are_of_the_type_of_what_runs_through_them() {
    let bench = Bench::new();
    let (mut doc, ids) = bench.chain(1);
    let reroute = doc.create_own("Reroute", [5.0, 5.0]).unwrap();
    assert!(doc.insert_on(doc.link_into(ids[1], 0).unwrap(), reroute));
    let second = doc.create_own("Reroute", [0.0, 0.0]).unwrap();
    assert!(doc.connect((ids[0], 1), (second, 0)).is_some());
    assert_eq!(doc.node(second).unwrap().outputs[0].ty, "STRING");
    assert_eq!(doc.connect((second, 0), (reroute, 0)), None, "a number is wanted further on");
    assert!(doc.connect((ids[0], 0), (second, 0)).is_some());
    assert!(doc.connect((second, 0), (reroute, 0)).is_some());
    let types: Vec<_> = doc.links.values().map(|l| l.ty.as_str()).collect();
    assert_eq!(types, ["INT", "INT", "INT"]);
    doc.disconnect(doc.link_into(second, 0).unwrap());
    assert_eq!(doc.node(reroute).unwrap().outputs[0].ty, "*");
}

#[test]
fn a_node_goes_into_a_link_and_out_of_it_again() {
    let bench = Bench::new();
    let (mut doc, ids) = bench.chain(1);
    let link: LinkId = doc.link_into(ids[1], 0).unwrap();
    let between = bench.through(&mut doc);
    assert!(doc.insert_on(link, between));
    assert_eq!(ends(&doc), [(ids[0], 0, between, 0), (between, 0, ids[1], 0)]);
    let note = doc.create_own("Note", [0.0, 0.0]).unwrap();
    let link = doc.link_into(between, 0).unwrap();
    assert!(!doc.insert_on(link, note));
    doc.dissolve(&set([between, note]));
    assert_eq!(ends(&doc), [(ids[0], 0, ids[1], 0)]);
    assert_eq!(doc.nodes().len(), 2);
}
