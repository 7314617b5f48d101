//! Subgraphs and group nodes come to the nodes they stand for.

use crate::{Contract, Json, read};
use serde_json::{Map, json};

fn convert(workflow: &Json) -> crate::Result<Map<String, Json>> {
    read(workflow.to_string().as_bytes())?.to_api(&Contract::from_types(&[]))
}

/// A subgraph `upscale` of (image, factor): it scales, then inverts in a subgraph of its own.
fn definitions() -> Json {
    let link = |id: u32, from: i32, slot: u32, to: i32, to_slot: u32| {
        json!({"id": id, "origin_id": from, "origin_slot": slot, "target_id": to,
            "target_slot": to_slot, "type": "*"})
    };
    let scale = json!({"id": 1, "type": "ImageScaleBy", "widgets_values": ["area", 1.0], "inputs": [
        {"name": "image", "type": "IMAGE", "link": 1},
        {"name": "scale_by", "type": "FLOAT", "link": 2, "widget": {"name": "scale_by"}}]});
    let inverter = json!({"id": 2, "type": "invert",
        "inputs": [{"name": "x", "type": "IMAGE", "link": 3}], "outputs": [{"type": "IMAGE"}]});
    let invert = json!({"id": 1, "type": "ImageInvert",
        "inputs": [{"name": "image", "type": "IMAGE", "link": 1}]});
    json!({"subgraphs": [
        {"id": "upscale", "nodes": [scale, inverter], "inputs": [{"name": "image"}, {"name": "factor"}],
            "links": [link(1, -10, 0, 1, 0), link(2, -10, 1, 1, 1), link(3, 1, 0, 2, 0), link(4, 2, 0, -20, 0)]},
        {"id": "invert", "nodes": [invert], "inputs": [{"name": "x"}],
            "links": [link(1, -10, 0, 1, 0), link(2, 1, 0, -20, 0)]},
    ]})
}

/// A picture through two instances of `upscale`, the first in the given mode.
pub fn workflow(mode: u32) -> Json {
    let instance = |id: u32, mode: u32, link: u32, factor: f64| {
        json!({"id": id, "type": "upscale", "mode": mode, "widgets_values": [factor], "inputs": [
            {"name": "image", "type": "IMAGE", "link": link},
            {"name": "factor", "type": "FLOAT", "link": null, "widget": {"name": "factor"}}],
            "outputs": [{"type": "IMAGE"}]})
    };
    let save = json!({"id": 4, "type": "PreviewImage",
        "inputs": [{"name": "images", "type": "IMAGE", "link": 3}]});
    json!({
        "nodes": [{"id": 1, "type": "LoadImage", "widgets_values": ["a.png"]},
            instance(2, mode, 1, 2.0), instance(3, 0, 2, 4.0), save],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"]],
        "definitions": definitions(),
    })
}

#[test]
fn subgraphs_in_subgraphs_are_unfolded_with_the_values_of_each_instance() {
    let prompt = convert(&workflow(0)).unwrap();
    let inputs = |id: &str| &prompt[id]["inputs"];
    let scale =
        |image: Json, by: f64| json!({"upscale_method": "area", "scale_by": by, "image": image});
    assert_eq!(inputs("2:1"), &scale(json!(["1", 0]), 2.0));
    assert_eq!(inputs("2:2:1"), &json!({"image": ["2:1", 0]}));
    assert_eq!(inputs("3:1"), &scale(json!(["2:2:1", 0]), 4.0));
    assert_eq!(inputs("4"), &json!({"images": ["3:2:1", 0]}));
    assert_eq!(prompt.len(), 6);
}

#[test]
fn newer_files_list_the_widgets_of_an_instance() {
    let mut workflow = workflow(0);
    workflow["nodes"][1]["properties"] =
        json!({"proxyWidgets": [["1", "upscale_method"], ["-1", "factor"]]});
    workflow["nodes"][1]["widgets_values"] = json!(["area", 8.0]);
    assert_eq!(convert(&workflow).unwrap()["2:1"]["inputs"]["scale_by"], 8.0);
}

#[test]
fn an_instance_has_its_own_values_for_promoted_widgets_of_inner_nodes() {
    let mut workflow = workflow(0);
    for (node, method) in [(1, json!("bicubic")), (2, Json::Null)] {
        workflow["nodes"][node]["properties"] = json!({"proxyWidgets":
            [["1", "upscale_method"], ["1", "control_after_generate"], ["-1", "factor"]]});
        workflow["nodes"][node]["widgets_values"] = json!([method, "fixed", 8.0]);
    }
    let prompt = convert(&workflow).unwrap();
    let scale = |id: &str| &prompt[id]["inputs"];
    assert_eq!(scale("2:1")["upscale_method"], "bicubic");
    assert_eq!(scale("3:1")["upscale_method"], "area", "the inner node's where it has none");
    assert_eq!(
        (&scale("2:1")["scale_by"], scale("2:1").as_object().unwrap().len()),
        (&json!(8.0), 3)
    );
}

#[test]
fn a_listed_widget_that_an_input_feeds_has_the_value_of_the_instance() {
    let mut workflow = workflow(0);
    workflow["nodes"][1]["properties"] = json!({"proxyWidgets": [["1", "scale_by"]]});
    workflow["nodes"][1]["widgets_values"] = json!([8.0]);
    assert_eq!(convert(&workflow).unwrap()["2:1"]["inputs"]["scale_by"], 8.0);
    workflow["nodes"][1]["widgets_values"] = json!([]);
    assert_eq!(convert(&workflow).unwrap()["2:1"]["inputs"]["scale_by"], 1.0, "the inner node's");
}

#[test]
fn promoted_values_reach_nodes_through_subgraphs_in_subgraphs() {
    let mut workflow = workflow(0);
    let inner = json!({"id": 5, "type": "upscale", "inputs": [
        {"name": "image", "type": "IMAGE", "link": null},
        {"name": "factor", "type": "FLOAT", "link": null, "widget": {"name": "factor"}}],
        "properties": {"proxyWidgets": [["-1", "factor"], ["1", "upscale_method"]]},
        "widgets_values": [2.0]});
    let outer = json!({"id": "outer", "nodes": [inner], "inputs": [], "links": []});
    workflow["definitions"]["subgraphs"].as_array_mut().unwrap().push(outer);
    workflow["nodes"].as_array_mut().unwrap().push(json!({"id": 8, "type": "outer",
        "properties": {"proxyWidgets": [["5", "factor"], ["5", "upscale_method"]]},
        "widgets_values": [3.0, "lanczos"]}));
    let prompt = convert(&workflow).unwrap();
    let expected = json!({"upscale_method": "lanczos", "scale_by": 3.0});
    assert_eq!(prompt["8:5:1"]["inputs"], expected);
}

#[test]
fn a_promoted_value_does_not_pass_through_a_bypassed_node() {
    let mut workflow = workflow(0);
    workflow["definitions"]["subgraphs"][0]["nodes"][0]["mode"] = 4.into();
    workflow["definitions"]["subgraphs"][0]["nodes"][0]["inputs"][0]["link"] = Json::Null;
    workflow["nodes"][1]["properties"] = json!({"proxyWidgets": [["1", "upscale_method"]]});
    workflow["nodes"][1]["widgets_values"] = json!(["bicubic"]);
    assert_eq!(convert(&workflow).unwrap()["2:2:1"]["inputs"], json!({}));
}

#[test]
fn what_follows_a_bypassed_subgraph_is_fed_by_what_it_is_fed_by() {
    let prompt = convert(&workflow(4)).unwrap();
    assert_eq!(prompt["3:1"]["inputs"]["image"], json!(["1", 0]));
    let prompt = convert(&workflow(2)).unwrap();
    assert!(prompt["3:1"]["inputs"]["image"].is_null(), "muted");
}

#[test]
fn subgraphs_that_hold_themselves_or_too_many_nodes_or_none_with_an_id_are_refused() {
    let error = |nodes: Json| {
        let workflow = json!({"nodes": [{"id": 7, "type": "s"}], "links": [],
            "definitions": {"subgraphs": [{"id": "s", "nodes": nodes, "links": []}]}});
        convert(&workflow).unwrap_err().to_string()
    };
    assert!(error(json!([{"id": 1, "type": "s"}])).contains("node 7 holds itself"), "one");
    let many: Vec<Json> = (0..100).map(|i| json!({"id": i, "type": "s"})).collect();
    assert!(error(many.into()).contains("holds itself"), "many");
    assert!(error(json!([{"type": "LoadImage"}])).contains("within the subgraph of node 7"));
    // 100 to the fourth nodes.
    let level = |i: u32| {
        let nodes: Vec<Json> =
            (0..100).map(|n| json!({"id": n, "type": (i + 1).to_string()})).collect();
        json!({"id": i.to_string(), "nodes": nodes, "links": []})
    };
    let workflow = json!({"nodes": [{"id": 7, "type": "0"}], "links": [],
        "definitions": {"subgraphs": (0..4).map(level).collect::<Vec<_>>()}});
    assert!(convert(&workflow).unwrap_err().to_string().contains("more than"));
}

/// A group of a loader and a scaler, whose inputs are the scaler's size; a node reads its second output.
pub fn group() -> Json {
    let widget = |name: &str| json!({"name": name, "type": "INT", "widget": {"name": name}});
    let parts = json!([
        {"type": "LoadImage", "widgets_values": ["a.png", "image"], "outputs": [{"name": "IMAGE"}, {"name": "MASK"}]},
        {"type": "ImageScale", "widgets_values": ["area", 1, 2, "disabled"], "outputs": [{"name": "IMAGE"}],
            "inputs": [{"name": "image", "type": "IMAGE"}, widget("width"), widget("height")]},
    ]);
    let input = |name: &str, link: Json| json!({"name": name, "type": "INT", "link": link});
    json!({
        "nodes": [{"id": 1, "type": "PrimitiveInt", "widgets_values": [64, "fixed"]},
            {"id": 7, "type": "workflow>load", "inputs": [input("width", 1.into()), input("height", Json::Null)],
                "widgets_values": ["b.png", "image", "area", 3, 4, "center"]},
            {"id": 9, "type": "PreviewImage", "inputs": [{"name": "images", "link": 2}]}],
        "links": [[1, 1, 0, 7, 0, "INT"], [2, 7, 1, 9, 0, "IMAGE"]],
        "extra": {"groupNodes": {"load": {"nodes": parts, "links": [[0, 0, 1, 0, 3, "IMAGE"]]}}},
    })
}

#[test]
fn a_group_node_comes_to_its_parts_with_its_own_values() {
    let prompt = convert(&group()).unwrap();
    let scale = json!({"image": ["7:0", 0], "width": ["1", 0], "height": 4,
        "upscale_method": "area", "crop": "center"});
    assert_eq!(prompt["7:0"]["inputs"], json!({"image": "b.png"}));
    assert_eq!(prompt["7:1"]["inputs"], scale);
    assert_eq!(
        prompt["9"]["inputs"],
        json!({"images": ["7:1", 0]}),
        "the mask is the first output"
    );
}

#[test]
fn a_group_node_without_its_parts_is_refused_by_name() {
    let workflow = json!({"nodes": [{"id": 7, "type": "workflow>mine"}], "links": []});
    let error = convert(&workflow).unwrap_err().to_string();
    assert!(error.contains("node 7") && error.contains("mine"), "{error}");
}

#[test]
fn a_group_node_whose_values_do_not_fit_its_parts_is_refused() {
    let group = json!({"nodes": [{"type": "LoadImage", "widgets_values": ["a.png"]}], "links": []});
    let workflow = json!({"nodes": [{"id": 7, "type": "workflow/mine", "widgets_values": ["b.png", 3]}],
        "links": [], "extra": {"groupNodes": {"mine": group}}});
    let error = format!("{:#}", convert(&workflow).unwrap_err());
    assert!(error.contains("node 7") && error.contains("2 values"), "{error}");
}
