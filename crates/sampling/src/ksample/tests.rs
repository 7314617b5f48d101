use super::*;
use crate::Prediction;
use crate::testing::{golden, tensor};
use safetensors::SafeTensors;

fn model() -> ModelSampling {
    ModelSampling::stable_diffusion(Prediction::Eps)
}

fn settings(sampler: &str, scheduler: &str, steps: usize) -> KSample {
    KSample::new(Sampler::named(sampler).unwrap(), Scheduler::named(scheduler).unwrap(), steps)
}

#[test]
fn sigmas_for_a_part_of_a_run_are_those_of_the_original() {
    let Some(bytes) = golden("random_tiny/ksampler_sigmas_denoise.safetensors") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for key in file.names() {
        let parts: Vec<&str> = key.split('/').collect();
        let denoise = parts[3].parse().unwrap();
        let settings =
            KSample { denoise, ..settings(parts[0], parts[1], parts[2].parse().unwrap()) };
        let (got, want) = (settings.sigmas(&model()).unwrap(), tensor(&file, key).0);
        // powf, exp and tan differ by a few ulp between libraries.
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs();
        let same = got.len() == want.len() && got.iter().zip(&want).all(near);
        assert!(same, "{key}\n got {got:?}\nwant {want:?}");
        checked += 1;
    }
    assert!(checked > 200, "only {checked}");
}

#[test]
fn start_and_end_cut_a_run() {
    let full = settings("euler", "normal", 10).sigmas(&model()).unwrap();
    let cut = |start, end, force_full_denoise| {
        let settings = KSample {
            start_at_step: Some(start),
            end_at_step: Some(end),
            force_full_denoise,
            ..settings("euler", "normal", 10)
        };
        settings.sigmas(&model()).unwrap()
    };
    assert_eq!(cut(0, 10_000, true), full);
    assert_eq!(cut(3, 7, false), full[3..=7]);
    assert_eq!(cut(3, 7, true), [&full[3..7], &[0.0]].concat());
    assert!(cut(7, 7, true).is_empty());
    assert!(cut(12, 10_000, true).is_empty());
    assert!(cut(0, 0, true).is_empty());
}
