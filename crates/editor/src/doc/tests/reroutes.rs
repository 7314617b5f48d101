//! Native reroutes, in files of both ages.

use crate::doc::{Doc, RerouteId};
use serde_json::{Value as Json, json};

/// A source of three readers. Links 1 and 2 run through reroute 1, then link 1 through reroute 2; what
/// floats belongs to no link.
fn shared(objects: bool) -> Json {
    let reader = |id: u32, link: u32| json!({"id": id, "type": "B", "inputs": [{"name": "x", "type": "X", "link": link}]});
    let source =
        json!({"id": 1, "type": "A", "outputs": [{"name": "x", "type": "X", "links": [1, 2, 3]}]});
    let nodes = json!([source, reader(2, 1), reader(3, 2), reader(4, 3)]);
    let reroutes = json!([
        {"id": 2, "parentId": 1, "pos": [30, 5.5], "linkIds": [1], "more": true},
        {"id": 1, "pos": {"0": 10, "1": 20}, "linkIds": [1, 2]}, {"odd": 1},
        {"id": 9, "pos": [7, 8], "linkIds": [], "floating": {"slotType": "output"}}]);
    let link = |id: u32, parent: Json| {
        let mut link = json!({"id": id, "origin_id": 1, "origin_slot": 0, "target_id": id + 1,
            "target_slot": 0, "type": "X"});
        if !parent.is_null() {
            link["parentId"] = parent;
        }
        link
    };
    if objects {
        let links = json!([link(1, json!(2)), link(2, json!(1)), link(3, Json::Null)]);
        json!({"version": 1, "state": {"lastNodeId": 4, "lastLinkId": 3, "lastRerouteId": 9},
            "nodes": nodes, "links": links, "reroutes": reroutes, "floatingLinks": [{"id": 8, "parentId": 9}]})
    } else {
        let extensions =
            json!([{"id": 1, "parentId": 2}, {"id": 77, "parentId": 1}, {"id": 2, "parentId": 1}]);
        json!({"version": 0.4, "last_node_id": 4, "last_link_id": 3, "nodes": nodes,
            "links": [[1, 1, 0, 2, 0, "X"], [2, 1, 0, 3, 0, "X"], [3, 1, 0, 4, 0, "X"]],
            "extra": {"reroutes": reroutes, "linkExtensions": extensions, "ds": {}}})
    }
}

fn chain(doc: &Doc, link: i64) -> Vec<RerouteId> {
    doc.chain(&doc.links[&link])
}

/// What is written of the reroutes: id, parent and links.
fn written(doc: &Doc) -> Vec<(Json, Json, Json)> {
    let json = doc.to_json();
    let list = [&json["reroutes"], &json["extra"]["reroutes"]].into_iter().find_map(Json::as_array);
    let part = |r: &Json| (r["id"].clone(), r["parentId"].clone(), r["linkIds"].clone());
    list.unwrap().iter().filter(|r| r["id"].is_u64()).map(part).collect()
}

#[test]
fn both_ages_are_read_and_written_as_they_were() {
    for objects in [true, false] {
        let json = shared(objects);
        let doc = Doc::from_json(&json).unwrap();
        assert_eq!(doc.to_json(), json);
        assert_eq!([chain(&doc, 1), chain(&doc, 2), chain(&doc, 3)], [vec![1, 2], vec![1], vec![]]);
    }
}

#[test]
fn a_point_comes_between_others_and_is_shared_where_they_are() {
    for objects in [true, false] {
        let mut doc = Doc::from_json(&shared(objects)).unwrap();
        let first = doc.add_reroute(1, 0, [1.0, 2.0]).unwrap();
        let last = doc.add_reroute(1, 3, [3.0, 4.0]).unwrap();
        let alone = doc.add_reroute(3, 0, [5.0, 6.0]).unwrap();
        assert_eq!([first, last, alone], [10, 11, 12], "9 was given");
        assert_eq!(chain(&doc, 1), [first, 1, 2, last]);
        assert_eq!(chain(&doc, 2), [first, 1]);
        let again = Doc::from_json(&doc.to_json()).unwrap();
        assert_eq!(written(&again), written(&doc));
        assert_eq!((chain(&again, 1), chain(&again, 3)), (chain(&doc, 1), vec![alone]));
        doc.remove_reroute(1);
        assert_eq!([chain(&doc, 1), chain(&doc, 2)], [vec![first, 2, last], vec![first]]);
        [first, last, alone].into_iter().for_each(|id| doc.remove_reroute(id));
        assert_eq!(
            written(&doc),
            [(json!(2), Json::Null, json!([1])), (json!(9), Json::Null, json!([])),]
        );
        assert_eq!(doc.links.len(), 3, "links stay");
    }
}

#[test]
fn points_go_with_their_last_link() {
    for objects in [true, false] {
        let mut doc = Doc::from_json(&shared(objects)).unwrap();
        doc.disconnect(1);
        assert_eq!(
            written(&doc),
            [(json!(1), Json::Null, json!([2])), (json!(9), Json::Null, json!([])),]
        );
        doc.disconnect(2);
        assert_eq!(written(&doc), [(json!(9), Json::Null, json!([]))], "what floats is kept");
    }
}

#[test]
fn a_file_without_reroutes_gets_them_where_its_links_are() {
    let mut json = shared(false);
    json.as_object_mut().unwrap().shift_remove("extra");
    let mut doc = Doc::from_json(&json).unwrap();
    doc.add_reroute(3, 0, [1.5, 2.0]).unwrap();
    assert_eq!(
        doc.to_json()["extra"],
        json!({
        "reroutes": [{"id": 1, "pos": [1.5, 2], "linkIds": [3]}],
        "linkExtensions": [{"id": 3, "parentId": 1}]})
    );
    let mut doc = Doc::from_json(&json!({"state": {}, "nodes": json["nodes"], "links": [
        {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": 4, "target_slot": 0, "type": "X"}]})).unwrap();
    doc.add_reroute(3, 0, [1.5, 2.0]).unwrap();
    let written = doc.to_json();
    assert_eq!(written["links"][0]["parentId"], 1);
    assert_eq!(written["reroutes"], json!([{"id": 1, "pos": [1.5, 2], "linkIds": [3]}]));
    assert_eq!(written["state"]["lastRerouteId"], 1);
}

#[test]
fn a_ring_of_points_and_one_that_is_not_there_are_kept() {
    let mut json = shared(true);
    json["reroutes"][1]["parentId"] = json!(2);
    json["links"][2]["parentId"] = json!(55);
    let doc = Doc::from_json(&json).unwrap();
    assert_eq!(chain(&doc, 1), [1, 2]);
    assert!(chain(&doc, 3).is_empty());
    assert_eq!(doc.to_json(), json);
}

#[test]
fn a_link_that_is_moved_or_branched_runs_through_the_same_points() {
    let mut doc = Doc::from_json(&shared(false)).unwrap();
    let moved = doc.plug((1, 0), (4, 0), None, Some(1)).unwrap();
    assert_eq!((chain(&doc, moved), doc.link_into(2, 0)), (vec![1, 2], None));
    let branch = doc.plug((1, 0), (2, 0), Some(1), None).unwrap();
    assert_eq!(chain(&doc, branch), [1]);
    assert_eq!(written(&doc)[1], (json!(1), Json::Null, json!([2, moved, branch])));
}
