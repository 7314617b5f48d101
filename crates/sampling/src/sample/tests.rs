use super::*;
use crate::{Call, Cond, KSample, Method, Prediction, SAMPLERS, SCHEDULERS, Scheduler};

fn model() -> ModelSampling {
    ModelSampling::stable_diffusion(Prediction::Eps)
}

fn settings(sampler: &str, scheduler: &str, steps: usize) -> KSample {
    KSample::new(Sampler::named(sampler).unwrap(), Scheduler::named(scheduler).unwrap(), steps)
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

fn sampled(settings: &KSample, input: &LatentInput) -> Result<Sampled> {
    let (conds, run) = ([Cond::new(())], settings.run(&model())?);
    let guider = Guider::cfg(8.0, [&conds, &conds]);
    sample(&run, &model(), &mut Ones, &guider, input, &mut |_, _, _| Ok(()))
}

fn samples(settings: &KSample, input: &LatentInput) -> Latent {
    sampled(settings, input).unwrap().samples
}

fn input(samples: &Latent) -> LatentInput<'_> {
    LatentInput { samples, format: LatentFormat::scaled(0.5), noise_mask: None, batch_index: None }
}

/// How far from the truth a run may end, in latents that are twice as large outside: uni_pc ends
/// at sigma 0.001, DPM-Solver at the last level above 0.
fn bound(sampler: &Sampler, settings: &KSample) -> f32 {
    let sigmas = settings.sigmas(&model()).unwrap();
    let leaves_noise = matches!(sampler.method, Method::DpmFast | Method::DpmAdaptive(_));
    if leaves_noise { 10.0 * sigmas[sigmas.len() - 2] } else { 2e-2 }
}

#[test]
fn every_sampler_and_schedule_gives_what_the_network_believes() {
    let empty = Latent::zeros((2, 4, 8, 8));
    for sampler in SAMPLERS {
        for scheduler in SCHEDULERS {
            let x = samples(&KSample::new(*sampler, scheduler, 5), &input(&empty));
            let far = x.iter().fold(0f32, |far, x| far.max((x - 2.0).abs()));
            let bound = bound(sampler, &KSample::new(*sampler, scheduler, 5));
            assert!(far < bound, "{} {}: {far}", sampler.name, scheduler.name);
        }
    }
}

#[test]
fn what_the_mask_keeps_is_unchanged() {
    let latent = Latent::from_elem((1, 4, 8, 8), 6.0);
    let mask = Array3::from_shape_fn((1, 16, 16), |(_, _, x)| f32::from(x >= 8));
    for sampler in SAMPLERS {
        let settings = KSample::new(*sampler, &SCHEDULERS[0], 6);
        let masked = LatentInput { noise_mask: Some(&mask), ..input(&latent) };
        let x = samples(&settings, &masked);
        for (place, want) in [(0, 6.0), (7, 2.0)] {
            let got = x[[0, 0, 0, place]];
            assert!((got - want).abs() < bound(sampler, &settings), "{}: {got}", sampler.name);
        }
    }
}

#[test]
fn nothing_to_do_returns_the_latent_as_it_is() {
    let latent = Latent::from_elem((1, 4, 8, 8), 6.0);
    let nothing = KSample { denoise: 0.0, ..settings("euler", "normal", 10) };
    assert_eq!(samples(&nothing, &input(&latent)), latent);
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
    let run = settings.run(&model()).unwrap();
    let guider = Guider::cfg(8.0, [&conds, &conds]);
    let ended = sample(&run, &model(), &mut Ones, &guider, &input(&empty), &mut progress);
    assert_eq!(ended.err().unwrap().to_string(), "interrupted");
    assert_eq!(seen, [(0, 10), (1, 10), (2, 10)]);
}

#[test]
fn a_run_in_two_parts_equals_one_run() {
    let empty = Latent::zeros((1, 4, 8, 8));
    let part = |start, end, disable_noise, latent: &Latent| {
        let settings = KSample {
            start_at_step: Some(start),
            end_at_step: Some(end),
            disable_noise,
            ..settings("euler", "karras", 8)
        };
        samples(&settings, &input(latent))
    };
    let whole = part(0, 8, false, &empty);
    let parts = part(4, 8, true, &part(0, 4, false, &empty));
    // Scaling between the parts is exact, as the scale is a power of two.
    assert_eq!(parts, whole);
}

#[test]
fn a_run_that_ends_early_tells_the_clean_latent_too() {
    let empty = Latent::zeros((1, 4, 8, 8));
    let early = KSample { end_at_step: Some(3), ..settings("euler", "normal", 6) };
    let sampled = sampled(&early, &input(&empty)).unwrap();
    assert!(sampled.denoised.iter().all(|x| (x - 2.0).abs() < 1e-3));
    assert!(sampled.samples.iter().any(|x| (x - 2.0).abs() > 0.1));
}

#[test]
fn a_single_level_only_adds_noise() {
    let empty = Latent::zeros((1, 4, 8, 8));
    let run = Run { sigmas: vec![2.0], ..settings("euler", "normal", 6).run(&model()).unwrap() };
    let guider = Guider::cfg(8.0, [&[], &[]]);
    let x = sample(&run, &model(), &mut Ones, &guider, &input(&empty), &mut |_, _, _| Ok(()));
    let noise = Generator::cpu(0).latent([1, 4, 8, 8]);
    assert_eq!(x.unwrap().samples, noise * 2.0 / 0.5);
}

/// As FlipSigmas makes them: few samplers do something sensible, but none may fail.
#[test]
fn levels_that_rise_or_repeat_are_taken_as_they_come() {
    let empty = Latent::zeros((1, 4, 8, 8));
    let guider = Guider::cfg(8.0, [&[], &[]]);
    let of = |sampler: &Sampler, sigmas: &[f32]| {
        let settings = KSample::new(*sampler, &SCHEDULERS[0], 6);
        let run = Run { sigmas: sigmas.to_vec(), ..settings.run(&model()).unwrap() };
        sample(&run, &model(), &mut Ones, &guider, &input(&empty), &mut |_, _, _| Ok(()))
    };
    for sampler in SAMPLERS {
        for sigmas in [[0.0001, 0.1, 1.0, 4.0, 14.6], [3.0, 3.0, 3.0, 1.0, 0.0], [0.0; 5]] {
            assert!(of(sampler, &sigmas).is_ok(), "{} {sigmas:?}", sampler.name);
        }
        let error = of(sampler, &[3.0, -1.0]).err().unwrap().to_string();
        assert_eq!(error, "a noise level is -1: expected 0 or more");
    }
}
