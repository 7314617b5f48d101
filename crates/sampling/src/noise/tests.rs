use super::*;
use crate::testing::{bits, golden, tensor};
use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Whether `values` have the golden's hash.
pub fn is_same(values: &[f32], want: &Value) -> bool {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    hash == want["sha256_le"].as_str().unwrap()
}

pub fn vectors() -> Option<Value> {
    golden("rng_vectors.json").map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

fn size(want: &Value) -> usize {
    want["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).product()
}

#[test]
fn cpu_noise_is_torchs_to_the_last_bit() {
    let Some(vectors) = vectors() else { return };
    for (name, want) in vectors["randn"].as_object().unwrap() {
        let seed = name.split(':').next().unwrap().parse().unwrap();
        assert!(is_same(&Generator::cpu(seed).randn(size(want)), want), "{name}");
    }
}

#[test]
fn small_and_large_draws_share_one_stream() {
    let Some(vectors) = vectors() else { return };
    let mut generator = Generator::cpu(7);
    for want in vectors["randn_sequence"]["seed7: 3,20,2,1x4x8x8"].as_array().unwrap() {
        assert!(is_same(&generator.randn(size(want)), want), "{}", want["shape"]);
    }
}

#[test]
fn cuda_noise_is_that_of_the_documented_vectors() {
    let Some(vectors) = vectors() else { return };
    for (seed, calls) in vectors["philox_a1111"].as_object().unwrap() {
        let mut generator = Generator::cuda(seed.parse().unwrap());
        for want in calls.as_array().unwrap() {
            let want: Vec<f64> = serde_json::from_value(want.clone()).unwrap();
            for (value, want) in generator.randn(want.len()).into_iter().zip(want) {
                // The vectors are in f64; ours are rounded once.
                assert!((f64::from(value) - want).abs() <= 1e-6, "seed {seed}: {value} {want}");
            }
        }
    }
}

#[test]
fn draw_noise_is_that_of_the_original() {
    let Some(bytes) = golden("random_tiny/noise.safetensors") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for name in file.names().into_iter().filter(|name| name.starts_with("seed")) {
        let (want, shape) = tensor(&file, name);
        let seed = name["seed".len()..name.find('/').unwrap()].parse().unwrap();
        let noise = prepare_noise(shape.try_into().unwrap(), seed, None).unwrap();
        assert_eq!(bits(noise.as_slice().unwrap()), bits(&want), "{name}");
    }
    let (want, _) = tensor(&file, "batch_index_0_2/seed42/2x4x8x8");
    let noise = prepare_noise([2, 4, 8, 8], 42, Some(&[0, 2])).unwrap();
    assert_eq!(bits(noise.as_slice().unwrap()), bits(&want));
}

#[test]
fn raw_draws_of_every_size_are_torchs() {
    let Some(bytes) = golden("random_tiny/noise.safetensors") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for name in file.names().into_iter().filter(|name| name.starts_with("raw_randn_seed42/")) {
        let (want, _) = tensor(&file, name);
        assert_eq!(bits(&Generator::cpu(42).randn(want.len())), bits(&want), "{name}");
    }
    let mut uniform = Mt19937::new(42);
    let values: Vec<f32> = (0..64).map(|_| uniform.uniform()).collect();
    assert_eq!(bits(&values), bits(&tensor(&file, "raw_rand_seed42/64").0));
}

#[test]
fn a_batch_index_of_the_wrong_length_or_size_is_an_error() {
    let error = |index: &[usize]| prepare_noise([2, 4, 8, 8], 0, Some(index)).unwrap_err();
    assert!(error(&[1]).to_string().contains("batch_index has 1 entries"));
    assert!(error(&[0, 1 << 40]).to_string().contains("too large"));
}

#[test]
fn whole_numbers_go_on_where_the_noise_stopped() {
    let mut generator = Generator::cpu(42);
    draw_noise(&mut generator, [1, 4, 8, 8], None).unwrap();
    // PyTorch: torch.manual_seed(42), torch.randn(1, 4, 8, 8), torch.randint(4, (16,)).
    let drawn = generator.below(4, 16);
    assert_eq!(drawn, [2, 1, 3, 2, 0, 1, 0, 0, 2, 1, 3, 3, 2, 2, 1, 3]);
    // The noise of 27 numbers draws the last 16 twice.
    let mut generator = Generator::cpu(42);
    draw_noise(&mut generator, [1, 3, 3, 3], None).unwrap();
    assert_eq!(generator.below(4, 8), [3, 3, 3, 3, 2, 1, 1, 2]);
    assert_eq!(generator.below(4, 8), [1, 2, 3, 2, 3, 3, 0, 2]);
}

#[test]
fn a_cuda_card_draws_anew_for_every_call() {
    let mut generator = Generator::cuda(42);
    let (first, second) = (generator.below(4, 100), generator.below(4, 100));
    assert!(first.iter().chain(&second).all(|n| *n < 4));
    assert_ne!(first, second);
    assert_eq!(Generator::cuda(42).below(4, 100), first);
}
