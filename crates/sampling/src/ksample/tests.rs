use super::*;
use crate::testing::{golden, tensor};
use crate::{Call, Prediction, SAMPLERS, SCHEDULERS};
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
        let Ok(_) = Sampler::named(parts[0]) else { continue };
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

/// Believes that the clean latent is 1 everywhere.
struct Ones;

impl Network for Ones {
    type Cond = ();

    fn predict(&mut self, x: &Latent, sigma: f32, _: f32, _: &[Call<()>]) -> Result<Latent> {
        let norm = (sigma * sigma + 1.0).sqrt();
        Ok(x.mapv(|x| (x * norm - 1.0) / sigma))
    }

    fn can_batch(&self, (): &(), (): &()) -> bool {
        true
    }
}

fn sample(settings: &KSample, input: &LatentInput) -> Result<Latent> {
    let conds = [Cond::new(())];
    ksample(settings, &model(), &mut Ones, [&conds, &conds], input, &mut |_, _, _| Ok(()))
}

fn input(samples: &Latent) -> LatentInput<'_> {
    LatentInput { samples, scale: 0.5, noise_mask: None, batch_index: None }
}

#[test]
fn every_sampler_and_schedule_gives_what_the_network_believes() {
    let empty = Latent::zeros((2, 4, 8, 8));
    for sampler in SAMPLERS {
        for scheduler in SCHEDULERS {
            let x = sample(&KSample::new(sampler, scheduler, 5), &input(&empty)).unwrap();
            let far = x.iter().fold(0f32, |far, x| far.max((x - 2.0).abs()));
            // uni_pc ends at sigma 0.001, in latents twice as large outside.
            assert!(far < 2e-2, "{} {}: {far}", sampler.name, scheduler.name);
        }
    }
}

#[test]
fn what_the_mask_keeps_is_unchanged() {
    let samples = Latent::from_elem((1, 4, 8, 8), 6.0);
    let mask = Array3::from_shape_fn((1, 16, 16), |(_, _, x)| f32::from(x >= 8));
    for sampler in SAMPLERS {
        let settings = KSample::new(sampler, &SCHEDULERS[0], 6);
        let masked = LatentInput { noise_mask: Some(&mask), ..input(&samples) };
        let x = sample(&settings, &masked).unwrap();
        assert!((x[[0, 0, 0, 0]] - 6.0).abs() < 2e-2, "{}: {}", sampler.name, x[[0, 0, 0, 0]]);
        assert!((x[[0, 0, 0, 7]] - 2.0).abs() < 2e-2, "{}: {}", sampler.name, x[[0, 0, 0, 7]]);
    }
}

#[test]
fn nothing_to_do_returns_the_latent_as_it_is() {
    let samples = Latent::from_elem((1, 4, 8, 8), 6.0);
    let nothing = KSample { denoise: 0.0, ..settings("euler", "normal", 10) };
    assert_eq!(sample(&nothing, &input(&samples)).unwrap(), samples);
}

#[test]
fn progress_counts_the_steps_and_can_stop_the_run() {
    let (empty, conds) = (Latent::zeros((1, 4, 8, 8)), [Cond::new(())]);
    let mut seen = Vec::new();
    let mut progress = |i: usize, total: usize, _: &Latent| {
        seen.push((i, total));
        if i == 2 { anyhow::bail!("interrupted") } else { Ok(()) }
    };
    let settings = settings("dpmpp_2m", "karras", 10);
    let ended =
        ksample(&settings, &model(), &mut Ones, [&conds, &conds], &input(&empty), &mut progress);
    assert_eq!(ended.unwrap_err().to_string(), "interrupted");
    assert_eq!(seen, [(0, 10), (1, 10), (2, 10)]);
}

#[test]
fn a_run_in_two_parts_equals_one_run() {
    let samples = Latent::zeros((1, 4, 8, 8));
    let part = |start, end, disable_noise, samples: &Latent| {
        let settings = KSample {
            start_at_step: Some(start),
            end_at_step: Some(end),
            disable_noise,
            ..settings("euler", "karras", 8)
        };
        sample(&settings, &input(samples)).unwrap()
    };
    let whole = part(0, 8, false, &samples);
    let parts = part(4, 8, true, &part(0, 4, false, &samples));
    // Scaling between the parts is exact, as the scale is a power of two.
    assert_eq!(parts, whole);
}
