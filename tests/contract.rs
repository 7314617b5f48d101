//! Every node is documented, and its inputs and outputs are those of the files people share.

use crate::common::shared;
use graph::{Input, Json, NodeType};

#[test]
fn every_node_and_input_is_documented() {
    for ty in nodes::all() {
        assert!(!ty.doc.is_empty(), "{}", ty.name);
        let without: Vec<&str> =
            ty.inputs.iter().filter(|i| i.doc.is_empty()).map(|i| i.name).collect();
        assert!(without.is_empty(), "{}: {without:?}", ty.name);
    }
}

#[test]
fn every_default_is_in_range() {
    for input in nodes::all().iter().flat_map(|ty| &ty.inputs) {
        let number = |key: &str| input.options.get(key).and_then(Json::as_f64);
        if let (Some(value), Some(min), Some(max)) =
            (number("default"), number("min"), number("max"))
        {
            assert!(
                (min..=max).contains(&value),
                "{}: {value} is not in {min}..={max}",
                input.name
            );
        }
    }
}

/// What a widget holds at first if its options do not say.
fn implied(key: &str, ty: &str) -> Option<Json> {
    match (key, ty) {
        ("default", "INT" | "FLOAT") => Some(0.into()),
        ("default", "STRING") => Some("".into()),
        ("default", "BOOLEAN") | ("multiline", _) => Some(false.into()),
        _ => None,
    }
}

/// What differs between an input and the reference's `[type, options]`.
fn differs(input: &Input, reference: &Json) -> Option<String> {
    let (ty, options) = (&reference[0], &reference[1]);
    if input.ty != ty.as_str().unwrap_or("COMBO") {
        return Some(format!("is {}, not {ty}", input.ty));
    }
    for key in [
        "default",
        "min",
        "max",
        "step",
        "round",
        "multiline",
        "dynamicPrompts",
        "display",
        "control_after_generate",
        "image_upload",
    ] {
        let option = |options: &Json| options.get(key).cloned().or_else(|| implied(key, input.ty));
        let (ours, theirs) = (option(&input.options.clone().into()), option(options));
        let same =
            match (ours.as_ref().and_then(Json::as_f64), theirs.as_ref().and_then(Json::as_f64)) {
                (Some(a), Some(b)) => a == b,
                _ => ours == theirs,
            };
        if !same {
            return Some(format!("{key} is {ours:?}, not {theirs:?}"));
        }
    }
    let theirs = ty.as_array().or_else(|| options["options"].as_array());
    let (Some(graph::widget::Choices::Names(ours)), Some(theirs)) = (&input.choices, theirs) else {
        return None;
    };
    // A name that stands twice in the original's list stands once here.
    let mut theirs = theirs.clone();
    let mut seen = std::collections::HashSet::new();
    theirs.retain(|name| seen.insert(name.to_string()));
    let places: Vec<Option<usize>> =
        ours.iter().map(|n| theirs.iter().position(|t| t == n)).collect();
    (ours.len() != theirs.len() || places.contains(&None) || !places.is_sorted())
        .then(|| format!("offers {ours:?}, not {theirs:?}"))
}

fn compare(ty: &NodeType, reference: &Json) -> Vec<String> {
    let mut wrong = Vec::new();
    for (section, optional) in [("required", false), ("optional", true)] {
        let ours: Vec<&Input> = ty.inputs.iter().filter(|i| i.optional == optional).collect();
        let empty = serde_json::Map::new();
        let theirs = reference["input"][section].as_object().unwrap_or(&empty);
        let order: Vec<&String> = theirs.keys().collect();
        if ours.iter().map(|i| i.name).ne(order.iter().map(|n| n.as_str())) {
            wrong.push(format!(
                "{} {section}: {:?}, not {order:?}",
                ty.name,
                ours.iter().map(|i| i.name).collect::<Vec<_>>()
            ));
            continue;
        }
        let inputs = ours.iter().filter_map(|i| {
            Some(format!("{}.{} {}", ty.name, i.name, differs(i, &theirs[i.name])?))
        });
        wrong.extend(inputs);
    }
    let outputs = |key: &str| {
        reference[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let same = |ours: Vec<&str>, key: &str| ours.iter().eq(outputs(key).iter());
    if !same(ty.outputs.iter().map(|o| o.ty).collect(), "output")
        || !same(ty.outputs.iter().map(|o| o.name).collect(), "output_name")
    {
        wrong.push(format!("{}: outputs {:?}", ty.name, ty.outputs));
    }
    for (key, ours) in [("category", ty.category), ("display_name", ty.title.as_str())] {
        if let Some(theirs) = reference[key].as_str().filter(|t| *t != ours) {
            wrong.push(format!("{}: {key} {ours:?}, not {theirs:?}", ty.name));
        }
    }
    let lists = reference["output_is_list"].as_array().into_iter().flatten();
    if !lists.eq(ty.outputs.iter().map(|o| o.list).map(Json::Bool).collect::<Vec<_>>().iter()) {
        wrong.push(format!("{}: output_is_list", ty.name));
    }
    if reference["output_node"] != Json::Bool(ty.output_node) {
        wrong.push(format!("{}: output_node", ty.name));
    }
    wrong
}

#[test]
fn nodes_agree_with_the_contract() {
    let Some(path) = shared("reference/object_info.json") else { return };
    let reference: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let types = nodes::all();
    let known = types.iter().filter(|ty| reference.get(ty.name).is_some());
    let wrong: Vec<String> = known.flat_map(|ty| compare(ty, &reference[ty.name])).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
