//! The traps of the UI form, each with the fewest nodes that show it. The classes are ComfyUI's.

use crate::{Contract, Json, fill_defaults, read};
use serde_json::{Map, json};

fn prompt(nodes: &Json, links: &Json) -> Map<String, Json> {
    let workflow = json!({"nodes": nodes, "links": links}).to_string();
    read(workflow.as_bytes()).unwrap().to_api(&Contract::from_types(&[])).unwrap()
}

/// The inputs of node 9 of the graph.
fn inputs(nodes: &Json, links: &Json) -> Json {
    prompt(nodes, links)["9"]["inputs"].clone()
}

/// The inputs of a node that nothing is linked to.
fn alone(class: &str, values: &Json) -> Json {
    inputs(&json!([{"id": 9, "type": class, "widgets_values": values}]), &json!([]))
}

#[test]
fn classes_that_weft_does_not_run_have_their_names() {
    assert_eq!(
        alone("LoraLoader", &json!(["a.safetensors", 0.5, 1])),
        json!({"lora_name": "a.safetensors", "strength_model": 0.5, "strength_clip": 1})
    );
    assert_eq!(
        alone("RandomNoise", &json!([u64::MAX, "randomize"])),
        json!({"noise_seed": u64::MAX})
    );
    let model = json!({"model_file": "a.glb", "width": 512, "height": 256});
    assert_eq!(alone("Load3D", &json!(["a.glb", "", 512, 256])), model);
    assert_eq!(alone("LoadAudio", &json!(["a.mp3", null, ""])), json!({"audio": "a.mp3"}));
}

#[test]
fn gaps_left_by_buttons_are_no_values() {
    let mask = json!({"image": "a.png", "channel": "red"});
    assert_eq!(alone("LoadImageMask", &json!(["a.png", null, "red"])), mask);
    assert_eq!(alone("LoadImageMask", &json!(["a.png", "red", null])), mask);
    assert_eq!(alone("LoadImage", &json!(["a.png", "image", ""])), json!({"image": "a.png"}));
}

#[test]
fn a_linked_widget_keeps_its_place_among_the_values() {
    let latent = json!({"id": 9, "type": "EmptyLatentImage", "widgets_values": [512, 768, 2],
        "inputs": [{"name": "height", "type": "INT", "link": 1, "widget": {"name": "height"}}]});
    assert_eq!(
        inputs(&json!([{"id": 1, "type": "Foo"}, latent]), &json!([[1, 1, 0, 9, 0, "INT"]])),
        json!({"width": 512, "height": ["1", 0], "batch_size": 2})
    );
}

#[test]
fn the_place_of_an_input_in_the_list_of_links_may_be_stale() {
    let vae = json!({"id": 9, "type": "VAEDecode", "inputs": [
        {"name": "samples", "type": "LATENT", "link": 2}, {"name": "vae", "type": "VAE", "link": 1}]});
    let links = json!([[1, 1, 2, 9, 7, "VAE"], [2, 1, 0, 9, 0, "LATENT"]]);
    assert_eq!(
        inputs(&json!([{"id": 1, "type": "Foo"}, vae]), &links),
        json!({"samples": ["1", 0], "vae": ["1", 2]})
    );
}

#[test]
fn links_may_be_objects_and_ids_words() {
    let save = json!({"id": "9", "type": "PreviewImage",
        "inputs": [{"name": "images", "type": "IMAGE", "link": "x"}]});
    let link = json!({"id": "x", "origin_id": "one", "origin_slot": 1, "target_id": "9", "target_slot": 0,
        "type": "IMAGE", "parentId": 4});
    let nodes = json!([{"id": "one", "type": "Foo"}, save]);
    assert_eq!(inputs(&nodes, &json!([link])), json!({"images": ["one", 1]}));
}

#[test]
fn links_that_lead_nowhere_bring_nothing() {
    let node = json!({"id": 9, "type": "ImageScaleBy", "widgets_values": ["area", 2.0], "inputs": [
        {"name": "image", "type": "IMAGE", "link": 1},
        {"name": "scale_by", "type": "FLOAT", "link": 2, "widget": {"name": "scale_by"}}]});
    let links = json!([[1, 77, 0, 9, 0, "IMAGE"], null, [], [3], "x", {"id": 4}]);
    assert_eq!(inputs(&json!([node]), &links), json!({"upscale_method": "area", "scale_by": 2.0}));
}

#[test]
fn lists_may_be_missing_or_null() {
    let node = json!({"id": 9, "type": "SaveImage", "inputs": null, "outputs": null, "widgets_values": null});
    assert_eq!(inputs(&json!([node, {"id": 1, "type": "Foo"}]), &Json::Null), json!({}));
}

#[test]
fn notes_and_muted_and_bypassed_nodes_are_not_sent() {
    let nodes = json!([
        {"id": 1, "type": "Note", "widgets_values": ["x"]}, {"id": 2, "type": "MarkdownNote"},
        {"id": 3, "type": "SaveImage", "mode": 2}, {"id": 4, "type": "SaveImage", "mode": 4},
        {"id": 5, "type": "Reroute"}, {"id": 6, "type": "PrimitiveNode", "widgets_values": [1]},
        {"id": 9, "type": "SaveImage", "mode": 0, "title": "Mine"},
    ]);
    let prompt = prompt(&nodes, &json!([]));
    assert_eq!(prompt.keys().collect::<Vec<_>>(), ["9"]);
    assert_eq!(prompt["9"]["_meta"]["title"], "Mine");
}

/// A reroute of node `id` that link `link` feeds.
fn reroute(id: u32, mode: u32, link: u32) -> Json {
    json!({"id": id, "type": "Reroute", "mode": mode, "inputs": [{"name": "", "type": "*", "link": link}]})
}

#[test]
fn reroutes_in_a_row_are_followed_muted_or_not() {
    let save = json!({"id": 9, "type": "PreviewImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 3}]});
    let nodes = json!([{"id": 1, "type": "Foo"}, reroute(2, 0, 1), reroute(3, 2, 2), save]);
    let links = json!([[1, 1, 1, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 3, 0, 9, 0, "IMAGE"]]);
    assert_eq!(inputs(&nodes, &links), json!({"images": ["1", 1]}));
}

#[test]
fn a_primitive_gives_its_value_to_all_it_feeds() {
    let latent = json!({"id": 9, "type": "EmptyLatentImage", "widgets_values": [1, 2, 3], "inputs": [
        {"name": "width", "type": "INT", "link": 1, "widget": {"name": "width"}},
        {"name": "height", "type": "INT", "link": 3, "widget": {"name": "height"}}]});
    let links = json!([[1, 1, 0, 9, 0, "INT"], [2, 1, 0, 2, 0, "INT"], [3, 2, 0, 9, 1, "INT"]]);
    for mode in [0, 2, 4] {
        let primitive = json!({"id": 1, "type": "PrimitiveNode", "mode": mode, "widgets_values": [640, "fixed"]});
        let got = inputs(&json!([primitive, reroute(2, 0, 2), latent]), &links);
        assert_eq!(got, json!({"width": 640, "height": 640, "batch_size": 3}), "mode {mode}");
    }
}

#[test]
fn what_a_bypassed_node_hands_on_is_chosen_by_type() {
    // Node 8 has inputs fed by the outputs 0 to 3 of node 1; node 9 wants output `slot` of type `ty`.
    let through = |slot: u32, ty: &str| {
        let types = ["MODEL", "CLIP", "MASK", "IMAGE,MASK"];
        let input = |(i, ty): (usize, &&str)| json!({"name": ty, "type": ty, "link": i});
        let ins: Vec<Json> = types.iter().enumerate().map(input).collect();
        let outs = json!([{"type": "MODEL"}, {"type": "MASK"}, {"type": "IMAGE"}, {"type": "VAE"}]);
        let nodes = json!([{"id": 1, "type": "Foo"},
            {"id": 8, "type": "Bar", "mode": 4, "inputs": ins, "outputs": outs},
            {"id": 9, "type": "Baz", "inputs": [{"name": "x", "type": ty, "link": 10}]}]);
        let mut links: Vec<Json> = (0..4).map(|i| json!([i, 1, i, 8, i, "*"])).collect();
        links.push(json!([10, 8, slot, 9, 0, ty]));
        inputs(&nodes, &links.into())["x"][1].clone()
    };
    assert_eq!(through(0, "MODEL"), 0, "the same place");
    assert_eq!(through(1, "MASK"), 2, "the first of the type");
    assert_eq!(through(2, "IMAGE"), 3, "the first that fits");
    assert_eq!(through(3, "VAE"), Json::Null, "nothing fits");
    assert_eq!(through(2, "*"), 2, "anything will do");
}

#[test]
fn classes_that_nobody_knows_are_read_by_the_names_in_the_file() {
    let input =
        |name: &str| json!({"name": name, "type": "INT", "link": null, "widget": {"name": name}});
    let node = json!({"id": 9, "type": "Custom", "inputs": [input("seed"), input("steps")],
        "widgets_values": [5, "randomize", 20]});
    assert_eq!(inputs(&json!([node]), &json!([])), json!({"seed": 5, "steps": 20}));
    let values = json!({"rate": 8, "sizes": ["1", 2]});
    let wrapped = json!({"rate": 8, "sizes": {"__value__": ["1", 2]}});
    assert_eq!(alone("Custom", &values), wrapped, "a list of values is no link");
}

#[test]
fn values_that_nobody_can_name_are_told() {
    let own = json!([{"name": "x", "widget": {"name": "x"}}]);
    let workflow = json!({"links": [], "nodes": [
        {"id": 1, "type": "Custom", "widgets_values": [1]},
        {"id": 2, "type": "Custom", "widgets_values": [1], "inputs": own},
        {"id": 3, "type": "Custom", "widgets_values": {"x": 1}},
        {"id": 4, "type": "Custom", "widgets_values": []},
        {"id": 5, "type": "Custom", "widgets_values": [1], "mode": 2},
        {"id": 6, "type": "SaveImage", "widgets_values": ["x"]},
        {"id": 7, "type": "Note", "widgets_values": ["x"]}]});
    let document = read(workflow.to_string().as_bytes()).unwrap();
    assert_eq!(document.nameless(&Contract::from_types(&[])).unwrap(), ["1 (Custom)"]);
}

#[test]
fn a_file_that_names_all_widgets_and_more_has_their_order() {
    let names = ["width", "height", "length", "batch_size"];
    let input = |name: &&str| json!({"name": name, "type": "INT", "widget": {"name": name}});
    let own: Vec<Json> = names.iter().map(input).collect();
    let node =
        json!({"id": 9, "type": "EmptyLatentImage", "inputs": own, "widgets_values": [1, 2, 3, 4]});
    assert_eq!(
        inputs(&json!([node]), &json!([])),
        json!({"width": 1, "height": 2, "length": 3, "batch_size": 4})
    );
}

#[test]
fn widgets_younger_than_the_file_get_their_defaults() {
    let mut prompt = prompt(
        &json!([{"id": 9, "type": "DifferentialDiffusion", "widgets_values": []}]),
        &json!([]),
    );
    assert_eq!(prompt["9"]["inputs"], json!({}));
    fill_defaults(&mut prompt, &Contract::from_types(&[]));
    assert_eq!(prompt["9"]["inputs"]["strength"], 1);
}

#[test]
fn names_of_files_take_in_values_of_other_nodes() {
    let saver = |prefix: &str| json!({"id": 9, "type": "SaveImage", "widgets_values": [prefix]});
    let name = |node: &str| json!({"Node name for S&R": node});
    let sampler = json!({"id": 1, "type": "KSampler", "properties": name("Main"), "title": "Other",
        "widgets_values": [3, "fixed", 20, 8.0, "euler", "normal", 1.0]});
    let second = json!({"id": 2, "type": "KSampler", "title": "Main", "widgets_values": [4]});
    let prefix = |text: &str| {
        inputs(&json!([sampler, second, saver(text)]), &json!([]))["filename_prefix"].clone()
    };
    assert_eq!(prefix("a/%Main.seed%_%Other.cfg%_%width%"), "a/3_8_%width%");
    assert_eq!(prefix("%Main.nothing%"), "%Main.nothing%");
}

#[test]
fn links_without_a_line_are_followed() {
    let set = |id: u32, name: &str, link: u32| {
        json!({"id": id, "type": "SetNode", "widgets_values": [name],
            "inputs": [{"name": "IMAGE", "type": "IMAGE", "link": link}]})
    };
    let get = |id: u32, name: &str| json!({"id": id, "type": "GetNode", "widgets_values": [name]});
    let save = json!({"id": 9, "type": "PreviewImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 3}]});
    let nodes = |name| json!([{"id": 1, "type": "Foo"}, set(2, "a", 1), set(3, "b", 2), get(4, name), save]);
    let links =
        json!([[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 1, 3, 0, "IMAGE"], [3, 4, 0, 9, 0, "IMAGE"]]);
    assert_eq!(inputs(&nodes("a"), &links), json!({"images": ["1", 0]}));
    assert_eq!(inputs(&nodes("b"), &links), json!({"images": ["1", 1]}));
    assert_eq!(inputs(&nodes("c"), &links), json!({}), "nobody sets it");
    assert_eq!(prompt(&nodes("a"), &links).keys().collect::<Vec<_>>(), ["1", "9"]);
}

#[test]
fn a_prompt_from_a_primitive_is_resolved_as_one_typed_in() {
    let text = json!({"id": 9, "type": "CLIPTextEncode", "widgets_values": [""], "inputs": [
        {"name": "text", "type": "STRING", "link": 1, "widget": {"name": "text"}}]});
    let primitive =
        json!({"id": 1, "type": "PrimitiveNode", "widgets_values": ["a {red} cat // no dog"]});
    let links = json!([[1, 1, 0, 9, 0, "STRING"]]);
    assert_eq!(inputs(&json!([primitive, text]), &links), json!({"text": "a red cat "}));
}

#[test]
fn the_newest_editors_write_names_beside_the_values() {
    let node = json!({"id": 9, "type": "Custom", "widgets_values": [5, "randomize", 20],
        "widgets_values_named": {"seed": 5, "control_after_generate": "randomize", "steps": 20}});
    assert_eq!(inputs(&json!([node]), &json!([])), json!({"seed": 5, "steps": 20}));
}
