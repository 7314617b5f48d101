//! Pictures of the work so far.

use crate::common::{Picture, root, shared, weft_ok};
use models::{Checkpoint, VaeSize};
use tensor::{Device, Weights};

#[test]
fn a_latent_previews_in_the_colours_of_its_picture() {
    let builtin = &builtin::CHECKPOINTS[0];
    let weights = Weights::from_parts(builtin.name, builtin.parts).unwrap();
    let checkpoint = Checkpoint::load(&weights).unwrap();
    for name in ["red_circle.png", "yellow_star.png", "house.png"] {
        let picture = Picture::open(&root().join("crates/builtin/pictures").join(name));
        let (w, h) = (picture.width as usize / 8, picture.height as usize / 8);
        let pixels =
            (0..64 * w * h).map(|i| picture.at((i % (8 * w)) as u32, (i / (8 * w)) as u32));
        let pixels: Vec<f32> = pixels.flatten().map(|x| f32::from(x) / 127.5 - 1.0).collect();
        let size = VaeSize { batch: 1, height: h, width: w };
        let latent = checkpoint.vae.encode(&Device::cpu(), &pixels, size).unwrap();
        let scaled: Vec<f32> = latent.iter().map(|x| x * checkpoint.family.latent_scale).collect();
        let preview = checkpoint.preview.rgb(&scaled);
        let off = |i: usize| {
            let (x, y) = ((i % w * 8) as u32, (i / w * 8) as u32);
            let middle = picture.median(|px, py| px / 8 == x / 8 && py / 8 == y / 8);
            let differences = (0..3).map(|c| f64::from(preview[3 * i + c].abs_diff(middle[c])));
            differences.sum::<f64>() / 3.0
        };
        let mean = (0..w * h).map(off).sum::<f64>() / (w * h) as f64;
        assert!(mean < 40.0, "{name}: off by {mean} of 255 on average");
    }
}

#[test]
fn a_run_shows_previews_and_counts_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let graph = root().join("graphs/text_to_image.json");
    let graph = graph.to_str().unwrap();
    let printed = weft_ok(folder.path(), &["run", graph, "--json", "--set", "KSampler.steps=3"]);
    let events: Vec<serde_json::Value> =
        printed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &'static str| events.iter().filter(move |e| e["event"] == kind);
    let preview = of("preview").next().expect("a preview of the first step");
    assert_eq!((preview["width"].as_u64(), preview["height"].as_u64()), (Some(16), Some(16)));
    let done: Vec<u64> = of("step").map(|e| e["done"].as_u64().unwrap()).collect();
    assert_eq!(done, [1, 2, 3]);
}

/// The previews of a run, and what it notes.
fn shown(args: &[&str]) -> (Vec<[u64; 2]>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let graph = root().join("graphs/text_to_image.json");
    let all = [&["run", graph.to_str().unwrap(), "--json", "--set", "KSampler.steps=2"], args];
    let printed = weft_ok(folder.path(), &all.concat());
    let events: Vec<serde_json::Value> =
        printed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &'static str| events.iter().filter(move |e| e["event"] == kind);
    let size = |e: &serde_json::Value| ["width", "height"].map(|key| e[key].as_u64().unwrap());
    let notes = of("note").map(|e| e["text"].as_str().unwrap().to_owned());
    (of("preview").map(size).collect(), notes.collect())
}

#[test]
fn previews_are_made_as_the_command_line_says() {
    assert_eq!(shown(&["--preview", "none"]).0, [[0; 2]; 0]);
    assert_eq!(shown(&["--preview", "latent2rgb"]).0[0], [16, 16]);
    let (sizes, notes) = shown(&["--preview", "taesd"]);
    assert_eq!(sizes[0], [16, 16]);
    assert!(notes.iter().any(|note| note.contains("taesd_decoder.safetensors")), "{notes:?}");
}

#[test]
fn the_tiny_decoder_shows_pictures_where_it_knows_the_latents() {
    let Some(models) = shared("models") else { return };
    let own = tempfile::tempdir().unwrap();
    let file = "vae_approx/taesd_decoder.safetensors";
    std::fs::create_dir(own.path().join("vae_approx")).unwrap();
    std::fs::copy(models.join(file), own.path().join(file)).unwrap();
    let first = |more: &[&str]| {
        let own = ["--models", own.path().to_str().unwrap()];
        shown(&[&own, more].concat()).0[0]
    };
    // The built-in model has latents of its own; a checkpoint that says nothing of its has the usual ones.
    assert_eq!(first(&[]), [16, 16]);
    assert_eq!(first(&["--preview", "taesd"]), [128, 128]);
    let checkpoint = "CheckpointLoaderSimple.ckpt_name=tiny_sd15.safetensors";
    assert_eq!(first(&["--models", models.to_str().unwrap(), "--set", checkpoint]), [128, 128]);
}
