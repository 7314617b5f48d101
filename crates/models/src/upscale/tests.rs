use super::*;
use crate::goldens::shared;

/// A key list of the reference as `[name, shape]`, with numbers that are all zero.
fn keys(name: &str) -> Option<Weights> {
    let path = shared(&format!("reference/model-keys/{name}_keys.json"))?;
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let tensor = |key: &serde_json::Value| {
        let shape: Vec<usize> = serde_json::from_value(key[1].clone()).unwrap();
        let numbers = vec![0.0; shape.iter().product()];
        (key[0].as_str().unwrap().to_owned(), shape, numbers)
    };
    let tensors = json["keys"].as_array().unwrap().iter().map(tensor).collect();
    Some(Weights::made(name, tensors).unwrap())
}

#[test]
fn every_layout_of_esrgan_is_the_same_network() {
    for name in ["rrdbnet_x4_new", "rrdbnet_x4_old", "rrdbnet_x4_esrgan_plus_intermediate"] {
        let Some(file) = keys(name) else { return };
        let upscaler = Upscaler::load(&file).unwrap();
        assert_eq!(upscaler.scale, 4, "{name}");
        assert_eq!(upscaler.network.weights.unused(), Vec::<&str>::new(), "{name}");
        assert_eq!(count(&upscaler.network.weights, "body"), 23, "{name}");
    }
}

#[test]
fn channels_become_pixels_and_pixels_channels() {
    let x: Vec<f32> = (0..2 * 4 * RGB).map(|i| i as f32).collect();
    let squares = unshuffled(&x, [2, 4], 2);
    assert_eq!(squares[..4], [0.0, 3.0, 12.0, 15.0]);
    assert_eq!(shuffled(&squares, [1, 2], 2), x);
    // An odd edge sees its neighbour again.
    assert_eq!(unshuffled(&x, [2, 4], 3).len(), 2 * RGB * 9);
}

/// PyTorch's numbers for files that people use, which are in the shared folder.
#[test]
fn real_files_enlarge_as_in_pytorch() {
    for name in ["RealESRGAN_x4plus_anime_6B", "realesr-animevideov3"] {
        let Some(file) = shared(&format!("models/upscale_models/{name}.safetensors")) else {
            return;
        };
        let upscaler = Upscaler::load(&Weights::open(&file).unwrap()).unwrap();
        let golden = format!("../../tests/goldens/upscale/{name}.safetensors");
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
        let golden = Weights::open(&golden).unwrap();
        let [picture, enlarged] = ["picture", "enlarged"].map(|key| golden.get(key).unwrap());
        let size = [picture.shape()[0], picture.shape()[1]];
        let got = upscaler.enlarge(&Device::cpu(), &picture.to_f32().unwrap(), size).unwrap();
        crate::goldens::assert_close(name, &got, &enlarged.to_f32().unwrap());
    }
}

/// What the node promises: tiles of 512 pixels take less than 4 GiB.
#[test]
fn a_tile_of_the_usual_network_fits_the_promised_memory() {
    let Some(file) = keys("rrdbnet_x4_new") else { return };
    let memory = Upscaler::load(&file).unwrap().memory([512, 512]).unwrap();
    assert!(memory < 4 << 30, "{memory} bytes");
}
