//! Bad input gives an error that says what, where and what to do; never a panic.

use crate::common::{root, weft, weft_fails};
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
    let tiny = std::fs::read(root().join("crates/builtin/weights/weft-tiny.safetensors")).unwrap();
    let unet = "model.diffusion_model.";
    let cases = [
        (format!("{unet}middle_block.0.in_layers.2.weight"), json!([128, 64, 6, 3])),
        (format!("{unet}input_blocks.0.0.bias"), json!([32, 2])),
        (format!("{unet}out.0.weight"), json!([2, 32])),
        (format!("{unet}time_embed.0.weight"), json!([256 * 64])),
        ("first_stage_model.decoder.mid.attn_1.q.weight".to_owned(), json!([48, 96, 2, 1])),
    ];
    for (key, shape) in cases {
        let bytes = changed(&tiny, |header| header[&key]["shape"] = shape.clone());
        std::fs::write(checkpoints.join("wrong.safetensors"), bytes).unwrap();
        let set = "CheckpointLoaderSimple.ckpt_name=wrong.safetensors";
        let message = weft_fails(folder.path(), &["run", graph.to_str().unwrap(), "--set", set]);
        assert_says(&message, &["node 1", "wrong.safetensors", &key]);
    }
}

#[test]
fn a_picture_too_large_to_hold_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("input")).unwrap();
    // The header alone: 65,535 pixels squared.
    let mut png = Vec::new();
    {
        let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
        let _ = &mut encoder;
        image::ImageEncoder::write_image(encoder, &[0; 3], 1, 1, image::ExtendedColorType::Rgb8)
            .unwrap();
    }
    png[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(folder.path().join("input/huge.png"), &png).unwrap();
    let graph = root().join("graphs/image_to_image.json");
    let message = weft_fails(
        folder.path(),
        &["run", graph.to_str().unwrap(), "--set", "LoadImage.image=huge.png", "--device", "cpu"],
    );
    assert_says(&message, &["huge.png", "65535"]);
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
