use super::Bench;
use crate::doc::{Control, Doc, widgets};
use graph::Contract;
use serde_json::{Value as Json, json};

/// A graph of one node of ComfyUI's, as files of different ages have it.
fn one(class: &str, values: &Json, inputs: &Json) -> Doc {
    let node = json!({"id": 1, "type": class, "widgets_values": values, "inputs": inputs});
    Doc::from_json(&json!({"nodes": [node], "links": []})).unwrap()
}

fn values(doc: &Doc, contract: &Contract) -> Vec<(String, Json)> {
    widgets(doc, 1, contract).into_iter().map(|w| (w.name, w.value)).collect()
}

#[test]
fn a_new_node_has_its_widgets_in_order_and_its_seed_is_dealt_anew() {
    let bench = Bench::new();
    let mut doc = Doc::default();
    let id = bench.source(&mut doc);
    let shown = widgets(&doc, id, &bench.contract);
    let names: Vec<_> = shown.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["seed", "method", "text"]);
    assert_eq!(shown[0].control, Some(Control::Randomize));
    assert_eq!(doc.node(id).unwrap().values, json!([0, "randomize", "nearest", ""]));
    assert!(doc.after_queue(&bench.contract));
    assert_ne!(doc.node(id).unwrap().values[0], json!(0));
    assert!(doc.set_control(id, "seed", Control::Increment, &bench.contract));
    doc.set_widget(id, "seed", json!(u64::MAX - 1), &bench.contract);
    doc.after_queue(&bench.contract);
    assert_eq!(doc.node(id).unwrap().values, json!([u64::MAX, "increment", "nearest", ""]));
    assert!(!doc.set_control(id, "text", Control::Fixed, &bench.contract));
    assert!(!doc.set_widget(id, "nobody", json!(1), &bench.contract));
}

#[test]
fn the_values_of_old_files_are_found_and_kept_in_place() {
    let contract = Contract::from_types(&[]);
    let upload = one("LoadImage", &json!(["a.png", "image", "more"]), &json!(null));
    let old = one("KSampler", &json!([5, true, 20, 8.0, "euler", "normal", 1.0]), &json!(null));
    let bare = one("KSampler", &json!([5, 20, 8.0, "euler", "normal", 1.0]), &json!(null));
    let short = one("KSampler", &json!([5, "fixed", 20]), &json!(null));
    let named = one("Custom", &json!({"b": 2, "a": [1]}), &json!(null));
    let cases = [
        (upload, "image", json!(["b.png", "image", "more"])),
        (old, "steps", json!([5, true, "b.png", 8.0, "euler", "normal", 1.0])),
        (bare, "steps", json!([5, "b.png", 8.0, "euler", "normal", 1.0])),
        (short, "denoise", json!([5, "fixed", 20, 8, null, null, "b.png"])),
        (named, "a", json!({"b": 2, "a": "b.png"})),
    ];
    for (mut doc, name, stored) in cases {
        assert!(doc.set_widget(1, name, json!("b.png"), &contract));
        assert_eq!(doc.node(1).unwrap().values, stored);
        let shown = values(&doc, &contract);
        assert!(shown.contains(&(name.to_owned(), json!("b.png"))), "{shown:?}");
    }
}

#[test]
fn controls_of_old_files_are_read_and_written_in_words() {
    let contract = Contract::from_types(&[]);
    for (stored, control) in
        [(json!([5, true, 20]), Control::Randomize), (json!([5, 20]), Control::Fixed)]
    {
        let mut doc = one("KSampler", &stored, &json!(null));
        assert_eq!(widgets(&doc, 1, &contract)[0].control, Some(control));
        doc.set_control(1, "seed", Control::Decrement, &contract);
        let list = &doc.node(1).unwrap().values;
        assert_eq!((&list[0], &list[1], &list[2]), (&json!(5), &json!("decrement"), &json!(20)));
        doc.after_queue(&contract);
        assert_eq!(doc.node(1).unwrap().values[0], 4);
    }
}

#[test]
fn a_widget_turned_into_a_socket_keeps_its_value() {
    let contract = Contract::from_types(&[]);
    let mut doc = one(
        "KSampler",
        &json!([5, "fixed", 20, 8.0]),
        &json!([{"name": "model", "type": "MODEL"}]),
    );
    let steps = doc.widget_input(1, "steps", &contract).unwrap();
    assert_eq!(doc.widget_input(1, "steps", &contract), Some(steps));
    let primitive = doc.create_own("PrimitiveNode", [0.0, 0.0]).unwrap();
    assert_eq!(doc.connect((primitive, 0), (1, 0)), None, "no widget");
    doc.connect((primitive, 0), (1, steps)).unwrap();
    assert_eq!(doc.node(primitive).unwrap().outputs[0].ty, "INT");
    let linked: Vec<_> = widgets(&doc, 1, &contract).into_iter().filter(|w| w.linked).collect();
    assert_eq!((linked.len(), linked[0].name.as_str(), &linked[0].value), (1, "steps", &json!(20)));
    doc.set_widget(primitive, "value", json!(30), &contract);
    let api = crate::doc::File::new(doc.clone()).to_api(&contract).unwrap();
    assert_eq!(api["1"]["inputs"]["steps"], 30);
    doc.disconnect(doc.link_into(1, steps).unwrap());
    let api = crate::doc::File::new(doc).to_api(&contract).unwrap();
    assert_eq!(api["1"]["inputs"]["steps"], 20);
}

#[test]
fn a_value_that_wraps_goes_from_the_last_to_the_first() {
    let bench = Bench::new();
    let after = |first: i64, control: &str| {
        let mut doc = Doc::default();
        let (number, primitive) =
            (bench.through(&mut doc), doc.create_own("PrimitiveNode", [0.0; 2]));
        let (primitive, other) = (primitive.unwrap(), doc.node(number).unwrap().input("other"));
        doc.connect((primitive, 0), (number, other.unwrap())).unwrap();
        doc.node_mut(primitive).unwrap().values = json!([first, control]);
        doc.after_queue(&bench.contract);
        doc.node(primitive).unwrap().values[0].as_i64().unwrap()
    };
    assert_eq!(after(9, "increment"), 9);
    assert_eq!(after(9, "increment-wrap"), 0);
    assert_eq!(after(7, "increment-wrap"), 8);
}
