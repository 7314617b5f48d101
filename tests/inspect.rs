//! `weft inspect`: what a file of weights is, and what is wrong with it.

use crate::{
    bad_input::{changed, tiny, with_tensor},
    common::{shared, text, weft, weft_fails, weft_ok},
};
use serde_json::json;
use std::path::Path;

/// What is said of a file of these bytes, whether it is sound or not.
fn said(name: &str, bytes: &[u8], args: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let out = weft(folder.path(), &[&["inspect", name], args].concat());
    let text = text(&out.stdout) + &text(&out.stderr);
    assert!(!text.contains("panicked"), "{text}");
    (out.status.success(), text)
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn a_sound_checkpoint_is_described_in_full() {
    let (sound, text) = said("x.safetensors", &tiny(), &["--tensors"]);
    assert!(sound && !text.contains("wrong:") && !text.contains("note:"), "{text}");
    assert_says(
        &text,
        &[
            "SD 1.x checkpoint, belongs in models/checkpoints",
            "Stable Diffusion 1.x: CheckpointLoaderSimple",
            "569 tensors (568 F16, 1 I64), 10.3 million parameters, 20.8 MB",
            "modelspec.license: CC0-1.0",
            "model.diffusion_model.input_blocks.0.0.weight F16 [64, 4, 3, 3]",
            "position_ids I64 [1, 77]",
        ],
    );
}

#[test]
fn everything_wrong_with_a_checkpoint_is_told_at_once() {
    let missing = "model.diffusion_model.middle_block.0.in_layers.2.bias";
    let bytes = with_tensor(&tiny(), "my.notes");
    let mut bytes = changed(&bytes, |header| {
        let moved = header.remove(missing).unwrap();
        header.insert("old.name".into(), moved);
        header["model.diffusion_model.out.0.weight"]["shape"] = json!([2, 32]);
    });
    // The last tensor in the file ends with a number that is none.
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let (sound, text) = said("x.safetensors", &bytes, &[]);
    assert!(!sound);
    assert_says(
        &text,
        &[
            &format!("1 tensor is missing: {missing}"),
            "model.diffusion_model.out.0.weight is [2, 32] of F16, expected [64]",
            "2 tensors are not used: old.name, my.notes",
            "1 tensor is damaged, with NaN or infinite numbers: my.notes",
            "x.safetensors is damaged or incomplete",
        ],
    );
}

#[test]
fn other_formats_are_refused_with_what_to_do() {
    let cases: [(&str, &[u8], &str); 6] = [
        ("a.ckpt", b"PK\x03\x04", "convert the file to safetensors"),
        ("a.pth", b"\x80\x02}q", "can run any program"),
        ("a.bin", b"anything", "pickle"),
        ("a.safetensors", b"", "empty"),
        ("a.sft", b"<html>", "web page"),
        ("a.gguf", b"GGUF\x03\0\0\0", "GGUF"),
    ];
    for (name, bytes, reason) in cases {
        let (sound, text) = said(name, bytes, &[]);
        assert!(!sound);
        assert_says(&text, &[name, reason]);
    }
    assert_says(&weft_fails(Path::new("."), &["inspect", "."]), &["it is a folder"]);
    assert_says(&weft_fails(Path::new("."), &["inspect", "no.sft"]), &["no.sft"]);
}

#[test]
fn what_a_file_is_for_is_said() {
    let Some(models) = shared("models") else { return };
    let cases = [
        ("loras/t2_sdxl_kohya", "LoRA for SDXL, belongs in models/loras", "does not run it yet"),
        ("loras/tiny_lora", "LoRA for SD 1.x, belongs in models/loras", "LoraLoader"),
        ("vae_approx/taesd_decoder", "TAESD decoder, 4 channels", "VAELoader"),
        ("controlnet/tiny_controlnet", "ControlNet for SD 1.x", "ControlNetLoader"),
        ("controlnet/t2_t2iadapter_sd1", "T2I-Adapter for SD 1.x", "ControlNetLoader"),
        ("upscale_models/realesr-animevideov3", "SRVGG upscaler", "UpscaleModelLoader"),
        ("embeddings/t2_e1", "embedding", "embedding:NAME"),
    ];
    for (file, kind, runs) in cases {
        let path = models.join(format!("{file}.safetensors"));
        assert_says(&weft_ok(Path::new("."), &["inspect", path.to_str().unwrap()]), &[kind, runs]);
    }
}
