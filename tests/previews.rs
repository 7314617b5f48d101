//! Pictures of the work so far.

use crate::common::{Picture, root, weft_ok};
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
