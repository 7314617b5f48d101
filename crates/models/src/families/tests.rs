use super::*;
use crate::goldens::shared;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{Seek as _, Write as _},
    path::Path,
};

/// A file with these tensors of f16 and holes for numbers: as large as the real one, and on the disk
/// as small as its header. Numbers of `given` are written.
fn sparse(path: &Path, tensors: &[(String, Vec<usize>)], given: &BTreeMap<&str, Vec<f32>>) {
    let (mut header, mut offset) = (serde_json::Map::new(), 0);
    for (key, shape) in tensors {
        let (dtype, size) = if given.contains_key(key.as_str()) { ("F32", 4) } else { ("F16", 2) };
        let end = offset + size * shape.iter().product::<usize>();
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [offset, end]});
        header.insert(key.clone(), entry);
        offset = end;
    }
    let text = Value::Object(header.clone()).to_string();
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&(text.len() as u64).to_le_bytes()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_len((8 + text.len() + offset) as u64).unwrap();
    for (key, numbers) in given {
        let start = 8 + text.len() as u64 + header[*key]["data_offsets"][0].as_u64().unwrap();
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        file.seek(std::io::SeekFrom::Start(start)).unwrap();
        file.write_all(&bytes).unwrap();
    }
}

fn layout(path: &Path) -> Vec<(String, Vec<usize>)> {
    let spec: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(spec["keys"].clone()).unwrap()
}

/// Opens a file of the layout, for as long as `f` takes.
fn with_layout<T>(tensors: &[(String, Vec<usize>)], f: impl FnOnce(&Weights) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    sparse(&path, tensors, &BTreeMap::new());
    f(&Weights::open(&path).unwrap())
}

/// Every layout of the reference, and what it is.
const LAYOUTS: &[(&str, &str, &str)] = &[
    ("ae_16ch_flux", "VAE of 16 channels, for SD 3 and Flux", "vae"),
    ("clip_l_standalone", "CLIP-L text encoder", "text_encoders"),
    ("controlnet_sd15", "ControlNet for SD 1.x", "controlnet"),
    ("controlnet_sdxl", "ControlNet for SDXL", "controlnet"),
    ("flux1_dev", "Flux dev diffusion model", "diffusion_models"),
    ("flux1_schnell", "Flux schnell diffusion model", "diffusion_models"),
    ("instruct_pix2pix", "SD 1.x InstructPix2Pix checkpoint", "checkpoints"),
    ("lora_sd15_kohya_r8", "LoRA for SD 1.x", "loras"),
    (
        "rrdbnet_x4_esrgan_plus_intermediate",
        "RRDB upscaler (ESRGAN, first layout)",
        "upscale_models",
    ),
    ("rrdbnet_x4_new", "RRDB upscaler (ESRGAN)", "upscale_models"),
    ("rrdbnet_x4_old", "RRDB upscaler (ESRGAN, old layout)", "upscale_models"),
    ("sd15", "SD 1.x checkpoint", "checkpoints"),
    ("sd15_inpaint", "SD 1.x inpainting checkpoint", "checkpoints"),
    ("sd21", "SD 2.x checkpoint", "checkpoints"),
    ("sd21_unclip_h", "SD 2.x unCLIP checkpoint", "checkpoints"),
    ("sd35_medium", "SD 3.5 medium checkpoint", "checkpoints"),
    ("sdxl_base", "SDXL base checkpoint", "checkpoints"),
    ("sdxl_refiner", "SDXL refiner checkpoint", "checkpoints"),
    ("taesd_decoder", "TAESD decoder, 4 channels, for SD 1.x, SD 2.x and SDXL", "vae_approx"),
    ("taesd_decoder_16ch", "TAESD decoder, 16 channels, for SD 3 and Flux", "vae_approx"),
    ("taesd_encoder", "TAESD encoder, 4 channels, for SD 1.x, SD 2.x and SDXL", "vae_approx"),
    ("taesd_encoder_16ch", "TAESD encoder, 16 channels, for SD 3 and Flux", "vae_approx"),
    ("tiny2_controlnet_sdxl", "ControlNet for SDXL", "controlnet"),
    ("tiny2_flux", "Flux dev checkpoint", "checkpoints"),
    ("tiny2_flux_schnell", "Flux schnell checkpoint", "checkpoints"),
    ("tiny2_sd1_inpaint", "SD 1.x inpainting checkpoint", "checkpoints"),
    ("tiny2_sd1_ip2p", "SD 1.x InstructPix2Pix checkpoint", "checkpoints"),
    ("tiny2_sd2_eps", "SD 2.x checkpoint", "checkpoints"),
    // A header cannot tell; see the test of the mark itself.
    ("tiny2_sd2_v", "SD 2.x checkpoint", "checkpoints"),
    ("tiny2_sd3", "SD 3.5 medium checkpoint", "checkpoints"),
    ("tiny2_sdxl_base", "SDXL base checkpoint", "checkpoints"),
    ("tiny2_sdxl_cosxl_edm_v", "SDXL checkpoint (EDM v-prediction, CosXL)", "checkpoints"),
    ("tiny2_sdxl_inpaint", "SDXL inpainting checkpoint", "checkpoints"),
    ("tiny2_sdxl_ip2p", "SDXL InstructPix2Pix checkpoint", "checkpoints"),
    ("tiny2_sdxl_playground", "SDXL checkpoint (EDM, Playground 2.5)", "checkpoints"),
    ("tiny2_sdxl_refiner", "SDXL refiner checkpoint", "checkpoints"),
    ("tiny2_sdxl_vpred", "SDXL checkpoint (v-prediction)", "checkpoints"),
    ("tiny2_sdxl_vpred_zsnr", "SDXL checkpoint (v-prediction, zero terminal SNR)", "checkpoints"),
    ("tiny2_unclip_h", "SD 2.x unCLIP checkpoint", "checkpoints"),
    ("tiny_controlnet", "ControlNet for SD 1.x", "controlnet"),
    ("tiny_lora_r4", "LoRA for SD 1.x", "loras"),
    ("tiny_rrdb_x4", "RRDB upscaler (ESRGAN)", "upscale_models"),
    ("tiny_sd15", "SD 1.x checkpoint", "checkpoints"),
    ("vae_sd_standalone", "VAE of 4 channels, for SD 1.x, SD 2.x and SDXL", "vae"),
];

#[test]
fn every_layout_of_the_reference_is_recognised() {
    let Some(folder) = shared("reference/model-keys") else { return };
    for (name, expected, models) in LAYOUTS {
        let tensors = layout(&folder.join(format!("{name}_keys.json")));
        let kind = with_layout(&tensors, identify).unwrap_or_else(|| panic!("{name}: unknown"));
        assert_eq!((kind.name, kind.folder), (*expected, *models), "{name}");
    }
    let files = std::fs::read_dir(folder).unwrap();
    let all =
        files.filter(|f| f.as_ref().unwrap().path().to_string_lossy().ends_with("_keys.json"));
    assert_eq!(all.count(), LAYOUTS.len(), "a layout has no row here");
}

#[test]
fn every_model_of_the_reference_belongs_in_its_folder() {
    let Some(models) = shared("models") else { return };
    for folder in
        ["checkpoints", "controlnet", "embeddings", "loras", "upscale_models", "vae_approx"]
    {
        for file in std::fs::read_dir(models.join(folder)).unwrap().flatten() {
            if file.path().extension().is_some_and(|e| e == "safetensors") {
                let kind = identify(&Weights::open(&file.path()).unwrap());
                assert_eq!(kind.map(|k| k.folder), Some(folder), "{:?}", file.path());
            }
        }
    }
}

#[test]
fn loras_and_adapters_say_for_which_family_they_are() {
    let Some(models) = shared("models") else { return };
    let cases = [
        ("loras/t2_sdxl_kohya", "LoRA for SDXL"),
        ("loras/t2_sdxl_ldmkeys", "LoRA for SDXL (UNet alone)"),
        ("loras/t2_locon", "LoRA for SD 1.x"),
        ("loras/t2_ldmkeys", "LoRA for SD 1.x (original layout)"),
        ("loras/t2_generic", "LoRA for SD 1.x (original layout, dotted)"),
        ("loras/t2_diffusers_peft_ab", "LoRA for SD 1.x (diffusers layout)"),
        ("controlnet/t2_t2iadapter_sd1", "T2I-Adapter for SD 1.x"),
        ("embeddings/t2_xl", "textual-inversion embedding for SDXL"),
        ("upscale_models/realesr-animevideov3", "SRVGG upscaler (Real-ESRGAN compact)"),
        ("upscale_models/RealESRGAN_x4plus_anime_6B", "RRDB upscaler (ESRGAN)"),
    ];
    for (name, expected) in cases {
        let weights = Weights::open(&models.join(format!("{name}.safetensors"))).unwrap();
        assert_eq!(identify(&weights).map(|k| k.name), Some(expected), "{name}");
    }
}

#[test]
fn v_prediction_is_told_by_the_spread_of_one_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let tensors =
        ["cond_stage_model.model.ln_final.weight", V_MARK].map(|k| (k.to_owned(), vec![2]));
    let kind = |spread: f32| {
        let path = folder.path().join("x.safetensors");
        sparse(&path, &tensors, &BTreeMap::from([(V_MARK, vec![spread, -spread])]));
        identify(&Weights::open(&path).unwrap()).unwrap().name
    };
    assert_eq!((kind(0.2), kind(0.05)), ("SD 2.x checkpoint (v-prediction)", "SD 2.x checkpoint"));
}

#[test]
fn full_size_layouts_load_whole_and_every_tensor_is_used() {
    let Some(folder) = shared("reference/model-keys") else { return };
    let layout = |name: &str| layout(&folder.join(format!("{name}_keys.json")));
    let names = ["sd15", "sd15_inpaint", "instruct_pix2pix", "sd21", "sd21_unclip_h"];
    for name in names.into_iter().chain(["tiny2_unclip_h"]) {
        with_layout(&layout(name), |weights| {
            Checkpoint::load(weights).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            assert_eq!(unused(weights), None, "{name}");
        });
    }
    with_layout(&layout("vae_sd_standalone"), |weights| {
        Vae::load(weights).unwrap();
        assert_eq!(unused(weights), None);
    });
    with_layout(&layout("clip_l_standalone"), |weights| {
        Clip::load(weights, None).unwrap();
        assert_eq!(unused(weights), None);
    });
}

/// Picture encoders have no layout in the reference: their sizes are those of the papers.
fn vision_layout(
    [channels, mlp, layers, patch]: [usize; 4],
    projection: usize,
) -> Vec<(String, Vec<usize>)> {
    let places = (224 / patch) * (224 / patch) + 1;
    let mut keys = vec![
        ("vision_model.embeddings.class_embedding".to_owned(), vec![channels]),
        ("vision_model.embeddings.patch_embedding.weight".into(), vec![channels, 3, patch, patch]),
        ("vision_model.embeddings.position_embedding.weight".into(), vec![places, channels]),
        ("visual_projection.weight".into(), vec![projection, channels]),
    ];
    let mut layer = |name: String, rows: usize, columns: Option<usize>| {
        let shape = std::iter::once(rows).chain(columns).collect();
        keys.push((format!("vision_model.{name}.weight"), shape));
        keys.push((format!("vision_model.{name}.bias"), vec![rows]));
    };
    layer("pre_layrnorm".into(), channels, None);
    layer("post_layernorm".into(), channels, None);
    for i in 0..layers {
        let at = format!("encoder.layers.{i}");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            layer(format!("{at}.self_attn.{part}"), channels, Some(channels));
        }
        layer(format!("{at}.layer_norm1"), channels, None);
        layer(format!("{at}.layer_norm2"), channels, None);
        layer(format!("{at}.mlp.fc1"), mlp, Some(channels));
        layer(format!("{at}.mlp.fc2"), channels, Some(mlp));
    }
    keys
}

#[test]
fn picture_encoders_of_every_size_load() {
    let sizes = [[1024, 4096, 24, 14], [1280, 5120, 32, 14], [1664, 8192, 48, 14]];
    for (size, projection) in sizes.into_iter().zip([768, 1024, 1280]) {
        with_layout(&vision_layout(size, projection), |weights| {
            let encoder = ClipVision::load(&ClipVision::inside(weights)).unwrap();
            assert_eq!((encoder.size, unused(weights)), (224, None), "{size:?}");
            assert_eq!(identify(weights).map(|kind| kind.folder), Some("clip_vision"));
        });
    }
    let mut damaged = vision_layout(sizes[0], 768);
    damaged
        .retain(|(key, _)| !key.ends_with("layers.3.mlp.fc1.bias") && !key.contains("visual_pro"));
    with_layout(&damaged, |weights| {
        let error = ClipVision::load(weights).err().unwrap().to_string();
        for part in ["encoder.layers.3.mlp.fc1.bias", "visual_projection.weight", "x.safetensors"] {
            assert!(error.contains(part), "{error}");
        }
    });
}

#[test]
fn a_unet_alone_is_of_the_family_of_its_checkpoint() {
    let Some(folder) = shared("reference/model-keys") else { return };
    let families = [
        ("sd15", Some("Stable Diffusion 1.x")),
        ("sd15_inpaint", Some("Stable Diffusion 1.x inpainting")),
        ("sd21", Some("Stable Diffusion 2.x")),
        ("sd21_unclip_h", Some("Stable Diffusion 2.x unCLIP")),
        ("sdxl_base", None),
        ("sdxl_refiner", None),
    ];
    for (name, expected) in families {
        let mut tensors = layout(&folder.join(format!("{name}_keys.json")));
        tensors.retain(|(key, _)| key.starts_with("model.diffusion_model."));
        let family =
            with_layout(&tensors, |file| load_unet(file).ok().map(|(_, family)| family.name));
        assert_eq!(family, expected, "{name}");
    }
}

#[test]
fn text_encoders_alone_load_in_both_layouts() {
    let Some(folder) = shared("reference/model-keys") else { return };
    let mut tensors = layout(&folder.join("sd21_keys.json"));
    tensors.retain(|(key, _)| key.starts_with("cond_stage_model.model."));
    let bare =
        |(key, shape): (String, Vec<usize>)| (key.replace("cond_stage_model.model.", ""), shape);
    let tensors: Vec<_> = tensors.into_iter().map(bare).collect();
    with_layout(&tensors, |file| {
        let clip = load_clip(file).unwrap();
        assert_eq!((clip.channels, clip.heads(), clip.layer()), (1024, 16, -2));
        assert_eq!(unused(file), None);
        assert_eq!(identify(file).unwrap().name, "CLIP-H text encoder (OpenCLIP layout)");
    });
}

#[test]
fn all_missing_wrong_and_unused_tensors_are_told_at_once() {
    let Some(folder) = shared("reference/model-keys") else { return };
    let whole = layout(&folder.join("sd15_keys.json"));
    let missing = [
        "model.diffusion_model.input_blocks.4.0.in_layers.2.bias",
        "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn1.to_q.weight",
        "model.diffusion_model.middle_block.0.emb_layers.1.weight",
        "first_stage_model.decoder.mid.attn_1.q.weight",
    ];
    let wrong = "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.weight";
    let mut tensors = whole;
    tensors.retain(|(key, _)| !missing.contains(&key.as_str()));
    tensors.iter_mut().filter(|(key, _)| key == wrong).for_each(|(_, shape)| shape[0] += 1);
    tensors.push(("model_ema.decay".into(), vec![1]));
    tensors.push(("my.notes".into(), vec![1]));
    with_layout(&tensors, |weights| {
        let error = Checkpoint::load(weights).err().unwrap().to_string();
        let wrong = format!("{wrong} is [3073, 768] of F16, expected [3072, 768]");
        for part in
            missing.iter().chain(&[wrong.as_str(), "3 tensors are missing", "x.safetensors"])
        {
            assert!(error.contains(part), "no {part} in {error}");
        }
        let unused = unused(weights).unwrap();
        assert!(unused.ends_with("1 tensor is not used: my.notes"), "{unused}");
    });
}

#[test]
fn a_whole_block_that_is_missing_is_told_by_its_tensors() {
    let Some(folder) = shared("reference/model-keys") else { return };
    let mut tensors = layout(&folder.join("sd15_keys.json"));
    tensors.retain(|(key, _)| !key.contains("diffusion_model.input_blocks.2."));
    let error = with_layout(&tensors, |weights| Checkpoint::load(weights).err().unwrap());
    let error = error.to_string();
    assert!(
        error.contains("missing: model.diffusion_model.input_blocks.2.0.emb_layers.1"),
        "{error}"
    );
}

/// A small generator (Vigna's splitmix64).
fn below(seed: &mut u64, n: usize) -> usize {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) % n as u64) as usize
}

/// A tensor misshapen, lost or misnamed; sometimes all that a name of its begins.
fn damage(tensors: &mut Vec<(String, Vec<usize>)>, seed: &mut u64) {
    let at = below(seed, tensors.len());
    let (key, shape) = &mut tensors[at];
    let axis = below(seed, shape.len().max(1));
    match below(seed, 7) {
        0 => shape.push(1),
        1 => drop(shape.pop()),
        2 => key.push('x'),
        3 => {
            let parts: Vec<&str> = key.split('.').collect();
            let start = parts[..1 + below(seed, parts.len())].join(".");
            tensors.retain(|(key, _)| !key.starts_with(&start));
        }
        4 => *key = key.replace(".0.", ".70."),
        _ if shape.is_empty() => {}
        _ => shape[axis] = [0, 1, 2, 3, 7, 32, 96, 1 << 12][below(seed, 8)],
    }
}

#[test]
fn no_damage_to_a_checkpoint_makes_loading_panic() {
    let Some(folder) = shared("reference/model-keys") else { return };
    for (name, turns) in [("tiny_sd15", 400), ("tiny2_unclip_h", 200)] {
        let whole = layout(&folder.join(format!("{name}_keys.json")));
        let mut loaded = 0;
        for turn in 0..turns {
            let (mut seed, mut tensors) = (turn, whole.clone());
            for _ in 0..=below(&mut seed, 3) {
                if !tensors.is_empty() {
                    damage(&mut tensors, &mut seed);
                }
            }
            with_layout(&tensors, |weights| match Checkpoint::load(weights) {
                Ok(_) => loaded += 1,
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.contains("x.safetensors"), "{name} {turn}: {error}");
                }
            });
        }
        assert!((1..turns / 4).contains(&loaded), "{name}: {loaded} loaded all the same");
    }
}
