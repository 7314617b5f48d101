//! Bad input gives an error that says what, where and what to do; never a panic.

use crate::common::{command, root, text, weft, weft_fails};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Writes a graph and gives the message with which it is refused.
#[track_caller]
fn refused(graph: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.json");
    std::fs::write(&path, graph.to_string()).unwrap();
    let message = weft_fails(folder.path(), &["run", path.to_str().unwrap(), "--device", "cpu"]);
    assert!(!folder.path().join("output").exists(), "something was written");
    message
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

fn save(id: &str) -> Value {
    json!({"class_type": "SaveImage", "inputs": {"images": [id, 0], "filename_prefix": "x"}})
}

#[test]
fn wrong_graphs_are_refused_by_node_and_input() {
    assert_says(
        &refused(&json!({"1": {"class_type": "KSamplr", "inputs": {}}, "2": save("1")})),
        &["1", "KSamplr", "KSampler"],
    );
    assert_says(&refused(&json!({"2": save("77")})), &["2", "images", "77"]);
    let latent = |width: Value| json!({"class_type": "EmptyLatentImage", "inputs": {"width": width, "height": 64, "batch_size": 1}});
    assert_says(&refused(&json!({"1": latent(json!("wide")), "2": save("1")})), &["1", "width"]);
    assert_says(
        &refused(&json!({"1": latent(json!(1_000_000)), "2": save("1")})),
        &["1", "width", "16384"],
    );
    let ring = |from: &str| json!({"class_type": "ImageInvert", "inputs": {"image": [from, 0]}});
    assert_says(&refused(&json!({"1": ring("2"), "2": ring("1"), "3": save("1")})), &["1", "2"]);
    let missing = json!({"class_type": "LoadImage", "inputs": {"image": "not_there.png"}});
    assert_says(&refused(&json!({"1": missing, "2": save("1")})), &["1", "not_there.png"]);
    assert_says(&refused(&json!({"1": latent(json!(64))})), &["output"]);
}

#[test]
fn wrong_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("models/checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    let graph = root().join("graphs/text_to_image.json");
    let cases: [(&str, &[u8], &str); 4] = [
        ("cut.safetensors", &[8, 0, 0, 0, 0, 0, 0, 0, b'{'], "safetensors"),
        ("lfs.safetensors", b"version https://git-lfs.github.com/spec/v1\noid x", "git-lfs"),
        ("pickle.safetensors", b"PK\x03\x04xxxxxxxxxxxxx", "pickle"),
        ("named.ckpt", b"\x80\x02", "pickle"),
    ];
    for (name, bytes, reason) in cases {
        std::fs::write(checkpoints.join(name), bytes).unwrap();
        let set = format!("CheckpointLoaderSimple.ckpt_name={name}");
        let message = weft_fails(
            folder.path(),
            &["run", graph.to_str().unwrap(), "--set", &set, "--device", "cpu"],
        );
        assert_says(&message, &[name, reason]);
    }
}

/// The built-in checkpoint.
pub fn tiny() -> Vec<u8> {
    std::fs::read(root().join("crates/builtin/weights/weft-tiny.safetensors")).unwrap()
}

/// A safetensors file with its header changed.
pub fn changed(bytes: &[u8], change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..end]).unwrap();
    change(&mut header);
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[end..]].concat()
}

/// The file with one tensor more: a single zero.
pub fn with_tensor(bytes: &[u8], key: &str) -> Vec<u8> {
    let end = |tensor: &Value| tensor["data_offsets"][1].as_u64();
    let mut bytes = changed(bytes, |header| {
        let end = header.values().filter_map(end).max().unwrap();
        let entry = json!({"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]});
        header.insert(key.to_owned(), entry);
    });
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn a_checkpoint_with_wrong_shapes_is_refused_by_node_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("models/checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    let graph = root().join("graphs/text_to_image.json");
    let unet = "model.diffusion_model.";
    let cases = [
        (format!("{unet}middle_block.0.in_layers.2.weight"), json!([128, 64, 6, 3])),
        (format!("{unet}input_blocks.0.0.bias"), json!([32, 2])),
        (format!("{unet}out.0.weight"), json!([2, 32])),
        (format!("{unet}time_embed.0.weight"), json!([256 * 64])),
        ("first_stage_model.decoder.mid.attn_1.q.weight".to_owned(), json!([48, 96, 2, 1])),
    ];
    for (key, shape) in cases {
        let bytes = changed(&tiny(), |header| header[&key]["shape"] = shape.clone());
        std::fs::write(checkpoints.join("wrong.safetensors"), bytes).unwrap();
        let set = "CheckpointLoaderSimple.ckpt_name=wrong.safetensors";
        let message = weft_fails(folder.path(), &["run", graph.to_str().unwrap(), "--set", set]);
        assert_says(&message, &["node 1", "wrong.safetensors", &key]);
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_node_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models/checkpoints/nan.safetensors");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let graph = root().join("graphs/text_to_image.json");
    let cases = [
        ("node 2", "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"),
        ("node 5", "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"),
        ("node 6", "first_stage_model.decoder.conv_in.weight"),
    ];
    for (node, key) in cases {
        let mut at = 0;
        let mut bytes = changed(&tiny(), |header| {
            assert_eq!(header[key]["dtype"], "F16");
            at = header[key]["data_offsets"][0].as_u64().unwrap() as usize;
        });
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header + at..][..2].copy_from_slice(&[0, 0x7e]);
        std::fs::write(&file, bytes).unwrap();
        let set = ["CheckpointLoaderSimple.ckpt_name=nan.safetensors", "KSampler.steps=1"];
        let args = ["run", graph.to_str().unwrap(), "--set", set[0], "--set", set[1]];
        assert_says(&weft_fails(folder.path(), &args), &[node, "nan.safetensors", key, "NaN"]);
    }
}

/// Writes a picture and gives the message with which loading it is refused.
#[track_caller]
fn picture_refused(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("input")).unwrap();
    std::fs::write(folder.path().join("input").join(name), bytes).unwrap();
    let graph = root().join("graphs/image_to_image.json");
    let set = format!("LoadImage.image={name}");
    let message = weft_fails(folder.path(), &["run", graph.to_str().unwrap(), "--set", &set]);
    assert_says(&message, &["LoadImage", name]);
    message
}

/// A picture of a few pixels.
fn picture(format: image::ImageFormat) -> Vec<u8> {
    let pixels = image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8 * 6, y as u8 * 6, 9]));
    let mut bytes = std::io::Cursor::new(vec![]);
    pixels.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn pictures_too_large_to_hold_are_refused_before_they_are_read() {
    use image::ImageFormat::{Bmp, Gif, Jpeg, Png};
    let mut png = picture(Png);
    png[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let mut jpeg = picture(Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(255);
    let mut bmp = picture(Bmp);
    bmp[18..26].copy_from_slice(&[255, 255, 0, 0, 255, 255, 0, 0]);
    let mut gif = picture(Gif);
    gif[6..10].fill(255);
    for (name, bytes) in [("a.png", png), ("a.jpg", jpeg), ("a.bmp", bmp), ("a.gif", gif)] {
        assert_says(&picture_refused(name, &bytes), &["65535x65535"]);
    }
}

#[test]
fn pictures_cut_off_are_refused() {
    use image::ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    for format in [Bmp, Gif, Jpeg, Png, WebP] {
        let bytes = picture(format);
        let name = format!("cut.{}", format.extensions_str()[0]);
        assert_says(&picture_refused(&name, &bytes[..bytes.len() / 2]), &["damaged"]);
    }
}

#[test]
fn values_and_links_of_the_wrong_kind_are_refused() {
    let sampler = |input: &str, value: &str| {
        let text = format!(
            r#"{{"1": {{"class_type": "CheckpointLoaderSimple", "inputs": {{"ckpt_name": "weft-tiny.safetensors"}}}},
            "5": {{"class_type": "KSampler", "inputs": {{"{input}": {value}}}}},
            "6": {{"class_type": "VAEDecode", "inputs": {{"samples": ["5", 0], "vae": ["1", 2]}}}},
            "7": {{"class_type": "SaveImage", "inputs": {{"images": ["6", 0], "filename_prefix": "x"}}}}}}"#
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("graph.json"), text).unwrap();
        weft_fails(folder.path(), &["run", "graph.json"])
    };
    for (input, value, reason) in [
        ("seed", "18446744073709551616", "`seed` is 18446744073709551616"),
        ("seed", "-9223372036854775808", "`seed` is -9223372036854775808"),
        ("seed", "\"randomize\"", "got \"randomize\""),
        ("seed", "NaN", "`seed` wants a whole number"),
        ("seed", "1e999", "out of range"),
        ("cfg", "-Infinity", "`cfg` wants a number"),
        ("cfg", "{\"a\": 1}", "`cfg` wants a number"),
        ("cfg", "[1, 2]", "`cfg` wants a link to FLOAT"),
        ("model", "[\"1\"]", "`model` wants a link to MODEL"),
        ("model", "[\"1\", 0, 0]", "`model` wants a link to MODEL"),
        ("model", "[1, 0]", "`model` wants a link to MODEL"),
        ("model", "[\"1\", -1]", "`model` wants a link to MODEL"),
        ("model", "[\"1\", 9]", "output 9 of node 1"),
        ("model", "[\"1\", 1]", "`model` wants MODEL; output 1"),
        ("model", "[\"__proto__\", 0]", "node __proto__"),
        ("model", "[\"5\", 0]", "needs its own result: 5"),
        ("sampler_name", "\"eulr\"", "did you mean \"euler\""),
    ] {
        assert_says(&sampler(input, value), &[reason]);
    }
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let graph = root().join("graphs/text_to_image.json");
    for (option, value, reason) in [
        ("--set", "nonsense", "--set nonsense: expected ID.INPUT=VALUE"),
        ("--set", "a=b", "--set a=b: expected ID.INPUT"),
        ("--set", ".=", "--set .="),
        ("--set", "Nobody.seed=1", "no node is called `Nobody`"),
        ("--set", "CLIPTextEncode.text=x", "2, 3; use an id"),
        ("--set", "KSampler.nope=1", "has no input `nope`"),
        ("--set", "KSampler.cfg=1e999", "`cfg` is inf"),
        ("--set", "SaveImage.images=../x.png", "`images` wants a link"),
        ("--models", "nowhere", "nowhere"),
        ("--input", "file", "file: no such folder"),
        ("--output", "file", "file: not a folder"),
    ] {
        let args = ["run", graph.to_str().unwrap(), option, value];
        assert_says(&weft_fails(folder.path(), &args), &[reason]);
    }
    let none = ["run", graph.to_str().unwrap(), "--repeat", "0"];
    assert_eq!(weft(folder.path(), &none).status.code(), Some(2));
}

#[test]
fn without_a_driver_the_gpu_is_refused_and_the_cpu_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let graph = root().join("graphs/text_to_image.json");
    let run = |device: &str| {
        command(folder.path())
            .args(["run", graph.to_str().unwrap(), "--set", "KSampler.steps=1"])
            .args(["--device", device])
            // Where the Vulkan loader looks for drivers.
            .envs([("VK_DRIVER_FILES", "/none"), ("VK_ICD_FILENAMES", "/none")])
            .output()
            .unwrap()
    };
    let refused = run("gpu");
    assert_eq!(refused.status.code(), Some(1));
    assert_says(&text(&refused.stderr), &["no GPU was found", "--device cpu"]);
    let painted = run("auto");
    assert!(painted.status.success());
    assert_says(&text(&painted.stderr), &["computing on CPU"]);
}

#[test]
fn a_prompt_of_a_megabyte_is_refused_in_seconds() {
    let graph = root().join("graphs/text_to_image.json");
    let mut graph: serde_json::Value =
        serde_json::from_slice(&std::fs::read(graph).unwrap()).unwrap();
    for text in ["cat ".repeat(250_000), "(".repeat(500_000) + &")".repeat(500_000)] {
        let nodes = graph["nodes"].as_array_mut().unwrap();
        let prompt = nodes.iter_mut().find(|n| n["title"] == "Prompt").unwrap();
        prompt["widgets_values"] = json!([text]);
        let start = std::time::Instant::now();
        assert_says(&refused(&graph), &["node 2", "tokens"]);
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}

/// The checksum of PNG chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn a_graph_of_ten_thousand_nodes_is_checked_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let mut graph = Map::new();
    graph.insert("0".into(), json!({"class_type": "LoadImage", "inputs": {"image": "house.png"}}));
    for i in 1..10_000 {
        graph.insert(
            i.to_string(),
            json!({"class_type": "ImageInvert", "inputs": {"image": [(i - 1).to_string(), 0]}}),
        );
    }
    graph.insert("10000".into(), save("9999"));
    let path = folder.path().join("long.json");
    std::fs::write(&path, Value::Object(graph).to_string()).unwrap();
    let start = std::time::Instant::now();
    assert!(weft(folder.path(), &["check", path.to_str().unwrap()]).status.success());
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn usage_errors_have_a_code_of_their_own() {
    assert_eq!(weft(Path::new("."), &["run"]).status.code(), Some(2));
    assert_eq!(weft(Path::new("."), &["no-such-command"]).status.code(), Some(2));
    let message = weft_fails(Path::new("."), &["run", "not_there.json"]);
    assert_says(&message, &["not_there.json"]);
}
