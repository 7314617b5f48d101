//! The networks against numbers made by the original, on the checkpoint `tiny_sd15` of random weights.

use crate::{Checkpoint, Clip, Heads, Question, Unet, UnetSize, Vae, VaeSize, prompt};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use tensor::{Device, Weights};

/// A path beside the repository, or nothing, said aloud.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("WEFT_SHARED").map_or(base, PathBuf::from).join(path);
    let there = path.exists();
    if !there {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    there.then_some(path)
}

fn read(file: &SafeTensors, key: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(key).unwrap_or_else(|e| panic!("{key}: {e}"));
    let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    (view.shape().to_vec(), numbers.collect())
}

/// Largest difference at most 1e-3 of the standard deviation: the project's promise.
#[track_caller]
pub(crate) fn assert_close(name: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let n = expected.len() as f64;
    let mean = expected.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let std = (expected.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let off = got.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    assert!(off <= 1e-3 * std, "{name}: off by {:.2e} std", off / std);
}

fn checkpoint() -> Option<Weights> {
    Some(Weights::open(&shared("models/checkpoints/tiny_sd15.safetensors")?).unwrap())
}

fn golden(name: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(shared(&format!("goldens/random_tiny/{name}.safetensors"))?).unwrap())
}

#[test]
fn unet_predicts_what_the_original_predicts() {
    let (Some(weights), Some(bytes)) = (checkpoint(), golden("tiny_unet")) else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let unet = Unet::load(weights.at("model.diffusion_model"), Heads::Count(8)).unwrap();
    let device = Device::cpu();
    let cases: Vec<&str> =
        file.names().into_iter().filter_map(|k| k.strip_suffix("/eps")).collect();
    assert!(cases.len() > 3);
    for case in cases {
        let get = |part: &str| read(&file, &format!("{case}/{part}"));
        let ((shape, x), (_, t), (tokens, context)) = (get("x"), get("t"), get("context"));
        let size =
            UnetSize { batch: shape[0], height: shape[2], width: shape[3], tokens: tokens[1] };
        let question =
            Question { x: &x, timesteps: &t, context: &context, size, ..Question::default() };
        assert_close(case, &unet.predict(&device, &question).unwrap().noise, &get("eps").1);
    }
}

#[test]
fn vae_encodes_and_decodes_as_the_original() {
    let (Some(weights), Some(bytes)) = (checkpoint(), golden("tiny_vae")) else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let vae = Vae::load(&weights.at("first_stage_model")).unwrap();
    let device = Device::cpu();
    for case in ["decode", "decode_b2_9x7", "encode", "encode_b2_72x56"] {
        let (shape, latent) = read(&file, &format!("{case}/latent"));
        let (_, picture) = read(&file, &format!("{case}/image"));
        let size = VaeSize { batch: shape[0], height: shape[2], width: shape[3] };
        if case.starts_with("decode") {
            let got = vae.decode(&device, &latent, size).unwrap();
            let got: Vec<f32> = got.iter().map(|x| ((x + 1.0) / 2.0).clamp(0.0, 1.0)).collect();
            assert_close(case, &got, &picture);
        } else {
            let picture: Vec<f32> = picture.iter().map(|x| x * 2.0 - 1.0).collect();
            assert_close(case, &vae.encode(&device, &picture, size).unwrap(), &latent);
        }
    }
}

#[test]
fn prompts_encode_as_in_the_original() {
    let (Some(weights), Some(bytes)) = (checkpoint(), golden("tiny_cond")) else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let clip = Clip::load(&weights.at("cond_stage_model.transformer"), None).unwrap();
    let prompts = shared("goldens/random_tiny/tiny_cond_prompts.json").unwrap();
    let prompts: Vec<String> = serde_json::from_slice(&std::fs::read(prompts).unwrap()).unwrap();
    for (i, text) in prompts.iter().enumerate() {
        let chunks = prompt::parse(text, 49407, &|_| Ok(None)).unwrap();
        let got = clip.encode(&Device::cpu(), &chunks, -1).unwrap();
        assert_close(text, &got.tokens, &read(&file, &format!("{i}/cond")).1);
        assert_close(text, &got.pooled, &read(&file, &format!("{i}/pooled")).1);
        let skipped = format!("{i}/clip_skip_-2");
        if file.names().contains(&skipped.as_str()) {
            let got = clip.encode(&Device::cpu(), &chunks, -2).unwrap();
            assert_close(text, &got.tokens, &read(&file, &skipped).1);
        }
    }
}

#[test]
fn prompts_become_the_tokens_of_the_original() {
    let Some(path) = shared("goldens/random_tiny/tokens.json") else { return };
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for case in json["cases"].as_array().unwrap() {
        let text = case["prompt"].as_str().unwrap();
        for (family, pad) in [("sd1_l", 49407), ("sd2_h", 0)] {
            let got = prompt::parse(text, pad, &|_| Ok(None)).unwrap().chunks;
            let expected = case[family].as_array().unwrap();
            assert_eq!(got.len(), expected.len(), "{family} {text}");
            let expected = expected.iter().flat_map(|c| c.as_array().unwrap());
            for (g, e) in got.iter().flatten().zip(expected) {
                let id = prompt::Token::Id(e[0].as_u64().unwrap() as u32);
                assert_eq!(g.token, id, "{family} {text}");
                let off = f64::from(g.weight) - e[1].as_f64().unwrap();
                assert!(off.abs() < 1e-5, "{family} {text}");
                assert_eq!(g.group as u64, e[2].as_u64().unwrap(), "{family} {text}");
            }
        }
    }
}

/// A checkpoint of the folder `WEFT_MADE_MODELS` (see `.ci/run`), or nothing, said aloud.
fn made(name: &str) -> Option<Weights> {
    let Some(folder) = std::env::var_os("WEFT_MADE_MODELS") else {
        eprintln!("SKIPPED: WEFT_MADE_MODELS names no folder of made checkpoints");
        return None;
    };
    Some(Weights::open(&Path::new(&folder).join("checkpoints").join(name)).unwrap())
}

#[test]
fn models_with_more_input_channels_give_the_numbers_of_the_original() {
    for family in ["sd1_inpaint", "sd1_ip2p"] {
        let Some(weights) = made(&format!("tiny2_{family}.safetensors")) else { return };
        let Some(path) = shared(&format!("goldens/families/{family}/units.safetensors")) else {
            return;
        };
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let model = Checkpoint::load(&weights).unwrap();
        let device = Device::cpu();
        let (shape, x) = read(&file, "unet.x");
        let (_, context) = read(&file, "unet.context");
        let (_, t) = read(&file, "unet.timesteps");
        let size = UnetSize { batch: shape[0], height: shape[2], width: shape[3], tokens: 77 };
        let question =
            Question { x: &x, timesteps: &t, context: &context, size, ..Question::default() };
        let eps = model.unet.predict(&device, &question).unwrap().noise;
        assert_close(family, &eps, &read(&file, "unet.out").1);

        let (shape, latent) = read(&file, "vae.latent");
        let size = VaeSize { batch: 1, height: shape[2], width: shape[3] };
        let picture = model.vae.decode(&device, &latent, size).unwrap();
        let picture: Vec<f32> = picture.iter().map(|x| ((x + 1.0) / 2.0).clamp(0.0, 1.0)).collect();
        assert_close(family, &picture, &read(&file, "vae.decode").1);
    }
}

#[test]
fn embeddings_in_prompts_become_the_tokens_of_the_original() {
    let Some(path) = shared("goldens/families/embeddings/tokens.json") else { return };
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    // How many vectors each file has that fits a text encoder of 64 channels.
    let files = [("t2_e1", 1), ("t2_e3", 3), ("t2_e1_flat", 1), ("t2_clip_l_key", 2)];
    let files = [&files[..], &[("t2_bundle", 2), ("t2_long", 12)]].concat();
    let find = |name: &str| {
        let name = name.trim_end_matches(".safetensors");
        let found = files.iter().find(|(n, _)| *n == name);
        Ok(found.map(|(_, n)| vec![std::sync::Arc::from([0.0; 64]); *n]))
    };
    for (name, case) in json.as_object().unwrap() {
        // These two need another width of the encoder than files with vectors of 64.
        if ["wrongdim", "xl_in_sd1"].contains(&name.as_str()) {
            continue;
        }
        let got = prompt::parse(case["text"].as_str().unwrap(), 49407, &find).unwrap().chunks;
        let token = |t: &prompt::Weighted| {
            let id = match t.token {
                prompt::Token::Id(id) => id.into(),
                prompt::Token::Vector(_) => "VEC64".into(),
            };
            (id, (f64::from(t.weight) * 1e4).round(), t.group as u64)
        };
        let got: Vec<(serde_json::Value, f64, u64)> = got.iter().flatten().map(token).collect();
        let expected =
            case["chunks"].as_array().unwrap().iter().flat_map(|c| c.as_array().unwrap());
        let weight = |e: &serde_json::Value| (e.as_f64().unwrap() * 1e4).round();
        let expected: Vec<_> =
            expected.map(|e| (e[0].clone(), weight(&e[1]), e[2].as_u64().unwrap())).collect();
        assert!(got == expected, "{name}");
    }
}
