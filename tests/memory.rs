//! Runs under a budget of memory: the same pictures, or an error before anything is computed.

use crate::common::{gpu, root, text, weft, weft_fails, weft_ok};
use models::{Checkpoint, Question, UnetSize, VaeSize};
use serde_json::{Value, json};
use std::path::Path;
use tensor::{Device, Kind, Program, Weights};

/// A text-to-picture graph of so many pixels squared and one step.
fn graph(folder: &Path, side: usize) {
    let graph = json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "weft-tiny.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a red circle"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": side, "height": side, "batch_size": 1}},
        "5": {"class_type": "KSampler", "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
            "seed": 1, "steps": 2, "cfg": 6.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
    });
    std::fs::write(folder.join("graph.json"), graph.to_string()).unwrap();
}

/// The same without the picture, for what is about the model alone.
fn latent_graph(folder: &Path, side: usize) {
    graph(folder, side);
    let text = std::fs::read_to_string(folder.join("graph.json")).unwrap();
    let mut graph: Value = serde_json::from_str(&text).unwrap();
    graph.as_object_mut().unwrap().retain(|id, _| id != "6");
    let inputs = json!({"samples": ["5", 0], "filename_prefix": "x"});
    graph["7"] = json!({"class_type": "SaveLatent", "inputs": inputs});
    std::fs::write(folder.join("graph.json"), graph.to_string()).unwrap();
}

/// What the sampler of the graph makes.
fn latent(folder: &Path, args: &[&str]) -> Vec<f32> {
    let dump = ["--dump", "dumped", "--dump-nodes", "5"];
    weft_ok(folder, &[&["run", "graph.json"], args, &dump].concat());
    let file = Weights::open(&folder.join("dumped/5.safetensors")).unwrap();
    file.get("5.0.samples").unwrap().to_f32().unwrap()
}

/// What `weft check` says of each network: by the first word of its name.
fn networks(folder: &Path, args: &[&str]) -> Vec<Value> {
    let printed = weft_ok(folder, &[&["check", "graph.json", "--json"], args].concat());
    let json: Value = serde_json::from_str(&printed).unwrap();
    json["networks"].as_array().unwrap().clone()
}

fn sum(networks: &[Value], key: &str) -> u64 {
    networks.iter().map(|n| n[key].as_u64().unwrap()).sum()
}

/// The pixels of what a run paints.
fn paint(folder: &Path, args: &[&str]) -> image::RgbImage {
    let printed = weft_ok(folder, &[&["run", "graph.json"], args].concat());
    image::open(folder.join(printed.trim())).unwrap().to_rgb8()
}

#[test]
fn at_half_of_its_weights_a_run_paints_the_same_picture() {
    let devices = [("cpu", "--ram-budget"), ("gpu", "--vram-budget")];
    for (device, option) in devices.into_iter().take(1 + usize::from(gpu().is_some())) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        graph(folder, 64);
        let whole = networks(folder, &["--device", device]);
        assert!(whole.iter().all(|network| network["streamed_blocks"].is_null()), "{whole:?}");
        let budget = (sum(&whole, "weights") / 2).to_string();
        let args = ["--device", device, option, &budget];
        let streamed = networks(folder, &args);
        assert_eq!(streamed.len(), whole.len(), "nothing is done in tiles: {streamed:?}");
        assert!(streamed.iter().any(|n| n["streamed_blocks"].as_u64() > Some(4)), "{streamed:?}");
        assert_eq!(paint(folder, &args), paint(folder, &args[..2]), "{device}");
        latent_graph(folder, 64);
        let unet = networks(folder, &["--device", device]).remove(1);
        let all = unet["activations"].as_u64().unwrap() + unet["weights"].as_u64().unwrap() / 2;
        let budget = all.to_string();
        let args = ["--device", device, option, &budget];
        let blocks = networks(folder, &args)[1]["streamed_blocks"].as_u64();
        assert!(blocks > Some(4), "{blocks:?}");
        assert_eq!(latent(folder, &args), latent(folder, &args[..2]), "{device}");
    }
}

#[test]
fn a_budget_too_small_is_an_error_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    graph(folder.path(), 64);
    for command in ["run", "check"] {
        let args = [command, "graph.json", "--device", "cpu", "--ram-budget", "0.1M"];
        let message = weft_fails(folder.path(), &args);
        for part in ["CLIPTextEncode", "bytes of memory wanted", "100000 given by --ram-budget"] {
            assert!(message.contains(part), "no {part} in: {message}");
        }
    }
    // Enough for the model, and not for the picture at the end.
    let unet = tiny().unet.program(UnetSize { batch: 2, height: 8, width: 8, tokens: 77 });
    let budget = least(&unet.unwrap()).to_string();
    let args = ["run", "graph.json", "--json", "--device", "cpu", "--ram-budget", &budget];
    let out = weft(folder.path(), &args);
    let (events, message) = (text(&out.stdout), text(&out.stderr));
    assert!(message.contains("VAEDecode") && message.contains(&budget), "{message}");
    assert!(!events.contains("\"started\"") && !events.contains("\"step\""), "{events}");
}

#[test]
fn what_no_unit_of_bytes_fits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = weft(folder.path(), &["run", "graph.json", "--ram-budget", "plenty"]);
    assert!(!out.status.success());
    let message = text(&out.stderr);
    assert!(message.contains("--ram-budget") && message.contains("such as 1.5G"), "{message}");
}

fn tiny() -> Checkpoint {
    let weights = root().join("crates/builtin/weights/weft-tiny.safetensors");
    Checkpoint::load(&Weights::open(&weights).unwrap()).unwrap()
}

/// The least that a program runs with: its values and the largest weights of a step.
fn least(program: &Program) -> u64 {
    let need = Device::cpu().need(program).unwrap();
    let of_step = |weights: &Vec<(u64, u64)>| weights.iter().map(|(_, bytes)| bytes).sum::<u64>();
    need.values + need.weights.iter().map(of_step).max().unwrap()
}

#[test]
fn prompt_and_negative_prompt_are_asked_one_after_the_other_where_memory_is_short() {
    let folder = tempfile::tempdir().unwrap();
    latent_graph(folder.path(), 256);
    let unet = |batch| {
        let size = UnetSize { batch, height: 32, width: 32, tokens: 77 };
        least(&tiny().unet.program(size).unwrap())
    };
    let budget = (unet(2) - 1).to_string();
    assert!(unet(1) < unet(2));
    let args = ["--device", "cpu", "--ram-budget", &budget];
    let asked = networks(folder.path(), &args);
    let calls = |batch: &str| {
        let is = |n: &&Value| n["name"].as_str().unwrap().contains(batch);
        asked.iter().find(is).map(|n| n["calls"].as_u64().unwrap())
    };
    assert_eq!((calls("32x32, batch 1,"), calls("32x32, batch 2,")), (Some(4), None), "{asked:?}");
    let (split, whole) = (latent(folder.path(), &args), latent(folder.path(), &args[..2]));
    let off = split.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "off by {off}");
}

/// In tiles, each of which is normalised on its own, a picture is not the same to the bit.
#[test]
fn a_picture_that_memory_is_not_enough_for_is_done_in_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let graph = json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "weft-tiny.safetensors"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "house.png"}},
        "3": {"class_type": "ImageScale", "inputs": {"image": ["2", 0], "upscale_method": "bicubic",
            "width": 256, "height": 256, "crop": "disabled"}},
        "4": {"class_type": "VAEEncode", "inputs": {"pixels": ["3", 0], "vae": ["1", 2]}},
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "x"}},
    });
    std::fs::write(folder.join("graph.json"), graph.to_string()).unwrap();
    let vae = tiny().vae.program(VaeSize { batch: 1, height: 32, width: 32 }).unwrap();
    let budget = (least(&vae) - 1).to_string();
    let args = ["--device", "cpu", "--ram-budget", &budget];
    let out = weft(folder, &[&["run", "graph.json"], &args[..]].concat());
    let told = text(&out.stderr);
    assert!(told.contains("VAEDecode (5): done in tiles of 24x24"), "{told}");
    assert!(told.contains(&format!("{budget} given by --ram-budget")), "{told}");
    let checked = text(&weft(folder, &[&["check", "graph.json"], &args[..]].concat()).stdout);
    told.lines().filter(|line| line.contains("tiles")).for_each(|line| {
        assert!(checked.contains(line), "{line} is not in {checked}");
    });
    let tiled = image::open(folder.join(text(&out.stdout).trim())).unwrap().to_rgb8();
    let whole = paint(folder, &args[..2]);
    let off = tiled.iter().zip(whole.iter()).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let mean = off.sum::<f64>() / tiled.len() as f64;
    assert!(mean < 5.0, "off by {mean} of 255 on average");
}

#[test]
fn what_check_prints_is_what_devices_hold() {
    let folder = tempfile::tempdir().unwrap();
    graph(folder.path(), 128);
    let size = UnetSize { batch: 2, height: 16, width: 16, tokens: 77 };
    let vae = VaeSize { batch: 1, height: 16, width: 16 };
    for (name, device) in [("cpu", Some(Device::cpu())), ("gpu", gpu())] {
        let Some(device) = device else { continue };
        let model = tiny();
        let prompt = model.clip.parse("a red circle", &|_| Ok(None)).unwrap();
        let (x, context) =
            (vec![0.1; 2 * 4 * 256], vec![0.1; 2 * 77 * model.unet.context_channels]);
        let question = Question {
            x: &x,
            timesteps: &[500.0; 2],
            context: &context,
            size,
            ..Question::default()
        };
        let calls: [&dyn Fn(); 3] = [
            &|| drop(model.clip.encode(&device, &prompt, -1).unwrap()),
            &|| drop(model.unet.predict(&device, &question).unwrap()),
            &|| drop(model.vae.decode(&device, &[0.1; 4 * 256], vae).unwrap()),
        ];
        let printed = networks(folder.path(), &["--device", name]);
        assert_eq!(printed.len(), calls.len());
        for (printed, call) in printed.iter().zip(calls) {
            for _ in 0..2 {
                let held = |kind| device.memory().held(kind);
                let before = [Kind::Values, Kind::Weights].map(held);
                call();
                let grown = [Kind::Values, Kind::Weights].map(held);
                let grown = [grown[0] - before[0], grown[1] - before[1]];
                if grown != [0, 0] {
                    assert_eq!(json!(grown[0]), printed["activations"], "{name}: {printed}");
                    assert_eq!(json!(grown[1]), printed["weights"], "{name}: {printed}");
                }
            }
        }
        let held = device.memory().held(Kind::Values) + device.memory().held(Kind::Weights);
        assert_eq!(held, sum(&printed, "activations") + sum(&printed, "weights"), "{name}");
        assert_eq!(device.memory().most(), held);
    }
}
