//! Every graph in `graphs/` runs as it is, and its picture shows what it should.

use crate::common::{Picture, root, weft_ok};
use std::path::Path;

/// Runs a ready graph in an empty folder and gives its picture.
fn paint(name: &str, set: &[&str]) -> Picture {
    let folder = tempfile::tempdir().unwrap();
    let graph = root().join("graphs").join(name);
    let mut args = vec!["run", graph.to_str().unwrap(), "--device", "cpu"];
    args.extend(set.iter().flat_map(|s| ["--set", *s]));
    let printed = weft_ok(folder.path(), &args);
    Picture::open(&folder.path().join(printed.trim()))
}

fn builtin_picture(name: &str) -> Picture {
    Picture::open(&root().join("crates/builtin/pictures").join(name))
}

#[test]
fn every_graph_is_in_the_menu_of_checks() {
    let known = [
        "area_composition",
        "hires_fix",
        "image_to_image",
        "inpaint",
        "instruct",
        "outpaint",
        "text_to_image",
    ];
    let mut found: Vec<String> = std::fs::read_dir(root().join("graphs"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .map(|p| p.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, known, "a graph without a check below");
}

#[test]
fn every_graph_is_ui_form_and_says_it_is_complete() {
    for entry in std::fs::read_dir(root().join("graphs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let text = std::fs::read_to_string(&path).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(json["nodes"].is_array() && json["links"].is_array(), "{}", path.display());
            weft_ok(Path::new("."), &["check", path.to_str().unwrap()]);
        }
    }
}

#[test]
fn text_to_image() {
    let picture = paint("text_to_image.json", &[]);
    assert_eq!((picture.object(), picture.background()), ("red", "blue"));
}

#[test]
fn image_to_image_repaints_the_picture() {
    let picture = paint("image_to_image.json", &[]);
    assert_eq!((picture.object(), picture.background()), ("yellow", "green"));
}

#[test]
fn inpaint_changes_the_masked_part_only() {
    let (old, new) = (builtin_picture("red_circle.png"), paint("inpaint.json", &[]));
    let masked = |x: u32, y: u32| (20..108).contains(&x) && (20..108).contains(&y);
    for (x, y) in
        (0..128).flat_map(|x| (0..128).map(move |y| (x, y))).filter(|(x, y)| !masked(*x, *y))
    {
        assert_eq!(old.at(x, y), new.at(x, y), "pixel {x}, {y} is outside the mask");
    }
    assert_eq!((new.object(), new.background()), ("yellow", "blue"));
}

#[test]
fn outpaint_keeps_the_picture_and_paints_the_border() {
    let (old, new) = (builtin_picture("red_circle.png"), paint("outpaint.json", &[]));
    assert_eq!((new.width, new.height), (192, 128));
    for (x, y) in (0..128).flat_map(|x| (0..128).map(move |y| (x, y))) {
        assert_eq!(old.at(x, y), new.at(x + 32, y), "pixel {x}, {y} of the old picture");
    }
    assert_eq!(crate::pictures::colour(new.median(|x, _| !(32..160).contains(&x))), "blue");
}

#[test]
fn instruct_changes_what_is_named_and_keeps_the_rest() {
    let picture = paint("instruct.json", &[]);
    assert_eq!((picture.object(), picture.background()), ("green", "blue"));
    let picture = paint("instruct.json", &["Instruction.text=make the background yellow"]);
    assert_eq!((picture.object(), picture.background()), ("red", "yellow"));
}

#[test]
fn hires_fix_paints_larger_in_a_second_pass() {
    let picture = paint("hires_fix.json", &[]);
    assert_eq!((picture.width, picture.height), (192, 192));
    assert_eq!((picture.object(), picture.background()), ("green", "white"));
}

#[test]
fn area_composition_paints_each_prompt_in_its_half() {
    let picture = paint("area_composition.json", &[]);
    assert_eq!((picture.width, picture.height), (256, 128));
    let red = (0..128).flat_map(|x| (0..128).map(move |y| (x, y)));
    let share = |name: &str, from: u32| {
        let hits =
            red.clone().filter(|(x, y)| crate::pictures::colour(picture.at(x + from, *y)) == name);
        hits.count() as f64 / (128.0 * 128.0)
    };
    assert!(share("red", 0) > 0.05 && share("red", 128) < 0.02, "red is not on the left");
    assert!(share("yellow", 128) > 0.05 && share("yellow", 0) < 0.02, "yellow is not on the right");
}
