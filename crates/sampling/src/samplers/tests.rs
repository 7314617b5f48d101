use super::*;
use crate::Prediction;
use crate::noise::Generator;

const SHAPE: [usize; 4] = [2, 4, 5, 3];

/// `n` steps, geometric from 10 to 0.1.
fn geometric(n: usize) -> Vec<f32> {
    (0..=n).map(|i| (10.0 * 0.01f64.powf(i as f64 / n as f64)) as f32).collect()
}

/// What a model without guidance answers.
fn unguided(denoised: Latent) -> Guess {
    Guess { uncond: denoised.clone(), denoised }
}

fn model() -> ModelSampling {
    ModelSampling::stable_diffusion(Prediction::Eps)
}

fn run(
    sampler: &Sampler,
    sigmas: &[f32],
    x: Latent,
    noise_scale: f32,
    denoise: impl Fn(&Latent, f32) -> Latent,
) -> Latent {
    let mut generator = Generator::cuda(5);
    let (model, shape) = (model(), x.dim().into());
    let mut denoise = |x: &Latent, sigma: f32| Ok(unguided(denoise(x, sigma)));
    let mut report = |_: usize, _: &Latent| Ok(());
    let mut denoiser = Denoiser::new(&model, &mut denoise, &mut report);
    let mut noise = |_: f32, _: f32| generator.latent(shape) * noise_scale;
    sampler.run(&mut denoiser, &mut noise, x, sigmas).unwrap()
}

/// Ends at the last level above 0, as DPM-Solver cannot go further.
fn leaves_noise(sampler: &Sampler) -> bool {
    matches!(sampler.method, Method::DpmFast | Method::DpmAdaptive(_))
}

fn start(sigma: f32) -> Latent {
    Generator::cpu(1).latent(SHAPE) * sigma
}

#[test]
fn a_denoiser_that_knows_the_answer_is_believed() {
    let answer = Latent::from_elem(SHAPE, 3.0);
    for sampler in SAMPLERS {
        for steps in [1, 2, 3, 4, 9, 20] {
            let mut sigmas = geometric(steps);
            sigmas[steps] = 0.0;
            let x = run(sampler, &sigmas, start(10.0), 1.0, |_, _| answer.clone());
            // uni_pc ends at sigma 0.001; the others round values of up to 40 in f32.
            let bound = match sampler.method {
                _ if leaves_noise(sampler) => 6.0 * sigmas[steps - 1],
                Method::UniPcBh1 | Method::UniPcBh2 => 1e-2,
                _ => 1e-4,
            };
            let error = (&x - &answer).iter().fold(0f32, |worst, e| worst.max(e.abs()));
            assert!(error < bound, "{} in {steps} steps is off by {error}", sampler.name);
        }
    }
}

/// For data drawn from a unit Gaussian the best denoiser is x / (1 + sigma^2), and the ODE that
/// the deterministic samplers follow has the solution x ~ sqrt(1 + sigma^2).
#[test]
fn error_shrinks_with_the_order_of_the_method() {
    let error = |name: &str, n: usize| {
        let sigmas = geometric(n);
        let first = Latent::from_elem(SHAPE, 10.0);
        let x = run(&Sampler::named(name).unwrap(), &sigmas, first, 0.0, |x, s| x / (1.0 + s * s));
        (f64::from(x[[0, 0, 0, 0]]) - 10.0 * (1.01f64 / 101.0).sqrt()).abs()
    };
    // Few steps, so that the error of the method is above that of f32; hence the wide margins.
    for (name, n, order) in [
        ("euler", 64, 1.0),
        ("ddim", 64, 1.0),
        ("euler_cfg_pp", 64, 1.0),
        ("heun", 16, 2.0),
        ("dpm_2", 32, 2.0),
        ("dpmpp_2m", 32, 2.0),
        ("dpmpp_2m_cfg_pp", 32, 2.0),
        ("res_multistep", 32, 2.0),
        ("deis", 32, 2.0),
        ("lms", 24, 3.0),
        // Its last strides are of orders 2 and 1.
        ("dpm_fast", 24, 1.9),
        // Of order 3 but for the last step, which is of order 1 and has an error of order 2.
        ("uni_pc", 32, 2.0),
        ("uni_pc_bh2", 32, 2.0),
    ] {
        let measured = (error(name, n) / error(name, 2 * n)).log2();
        assert!(measured > order - 0.4, "{name} has order {measured}");
    }
}

/// With unit Gaussian data the samples of a stochastic sampler must have variance 1 + sigma^2.
#[test]
fn stochastic_samplers_keep_the_variance() {
    for name in [
        "euler_ancestral",
        "euler_ancestral_cfg_pp",
        "dpm_2_ancestral",
        "dpmpp_2s_ancestral",
        "dpmpp_sde",
        "dpmpp_2m_sde",
        "dpmpp_2m_sde_heun",
        "dpmpp_3m_sde",
        "ddpm",
        "res_multistep_ancestral",
        "er_sde",
        "seeds_2",
        "seeds_3",
        "sa_solver",
        "sa_solver_pece",
    ] {
        let sampler = Sampler::named(name).unwrap();
        let first = Generator::cpu(1).latent([8, 4, 32, 32]) * 101f32.sqrt();
        let x = run(&sampler, &geometric(100), first, 1.0, |x, s| x / (1.0 + s * s));
        let variance = x.mapv(|x| f64::from(x).powi(2)).mean().unwrap();
        // 32 768 samples: 0.8 % is one standard error; Euler's own bias at 100 steps is larger.
        assert!((variance / 1.01 - 1.0).abs() < 0.08, "{name}: {variance}");
    }
}

#[test]
fn each_step_is_reported_once_and_an_error_ends_the_run() {
    let model = model();
    for sampler in SAMPLERS {
        let mut reported = Vec::new();
        let mut denoise = |x: &Latent, s: f32| Ok(unguided(x / (1.0 + s * s)));
        let mut report = |i: usize, _: &Latent| {
            reported.push(i);
            if i == 3 { anyhow::bail!("stopped") } else { Ok(()) }
        };
        let mut denoiser = Denoiser::new(&model, &mut denoise, &mut report);
        let mut noise = |_: f32, _: f32| Latent::zeros(SHAPE);
        let ended = sampler.run(&mut denoiser, &mut noise, start(10.0), &geometric(9));
        assert_eq!(ended.unwrap_err().to_string(), "stopped", "{}", sampler.name);
        assert_eq!(reported, [0, 1, 2, 3], "{}", sampler.name);
    }
}

/// CFG++ believes the guided guess and goes back to noise by the negative's.
#[test]
fn cfg_pp_ends_at_the_guided_guess() {
    let (answer, other) = (Latent::from_elem(SHAPE, 3.0), Latent::from_elem(SHAPE, -1.0));
    let model = model();
    for sampler in SAMPLERS.iter().filter(|sampler| sampler.method.wants_uncond()) {
        let mut denoise =
            |_: &Latent, _: f32| Ok(Guess { denoised: answer.clone(), uncond: other.clone() });
        let mut report = |_: usize, _: &Latent| Ok(());
        let mut denoiser = Denoiser::new(&model, &mut denoise, &mut report);
        let mut noise = |_: f32, _: f32| Latent::zeros(SHAPE);
        let mut sigmas = geometric(6);
        sigmas[6] = 0.0;
        let x = sampler.run(&mut denoiser, &mut noise, start(10.0), &sigmas).unwrap();
        assert!(x.iter().all(|x| (x - 3.0).abs() < 1e-4), "{}: {x}", sampler.name);
    }
}

/// The weights of the second difference on are the authors' and not exact.
#[test]
fn weights_of_even_steps_are_those_of_adams_and_bashforth() {
    assert_eq!(multistep::uneven_weights(&[5.0], 4.0), [1.0]);
    assert_eq!(multistep::uneven_weights(&[5.0, 6.0], 4.0), [1.5, -0.5]);
    let sum: f32 = multistep::uneven_weights(&[5.0, 6.5, 7.0], 4.0).iter().sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
}

#[test]
fn settings_that_never_reach_the_end_are_an_error() {
    let mut denoise = |x: &Latent, s: f32| Ok(unguided(x / (1.0 + s * s)));
    let (model, mut report) = (model(), |_: usize, _: &Latent| Ok(()));
    let mut noise = |_: f32, _: f32| Latent::zeros(SHAPE);
    for options in [
        Adaptive { h_init: 0.0, ..Adaptive::DEFAULT },
        Adaptive { accept_safety: 100.0, ..Adaptive::DEFAULT },
    ] {
        let method = Method::DpmAdaptive(options);
        let sampler = Sampler { method, ..Sampler::named("dpm_adaptive").unwrap() };
        let mut denoiser = Denoiser::new(&model, &mut denoise, &mut report);
        let ended = sampler.run(&mut denoiser, &mut noise, start(10.0), &geometric(9));
        assert!(ended.unwrap_err().to_string().contains("does not reach the end"));
    }
}

#[test]
fn fewer_than_two_levels_change_nothing() {
    for sampler in SAMPLERS {
        let x = run(sampler, &[3.0], start(3.0), 1.0, |_, _| unreachable!());
        assert_eq!(x, start(3.0), "{}", sampler.name);
    }
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
    assert!(Sampler::named("eulerr").err().unwrap().to_string().contains("euler_ancestral"));
}
