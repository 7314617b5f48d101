//! Samplers of rectified flows (Liu et al. 2022), whose latents are 1 - sigma of the picture and
//! sigma of noise.
//!
//! In sigma a flow's ODE is that of all models here, so samplers of the ODE stay as they are.
//! Divided by 1 - sigma a flow's latent is the picture and sigma / (1 - sigma) of noise, which is
//! what the samplers of SDEs expect; in lambda they then take the same steps.

use super::{Denoiser, Guess, Latent, Method, Noise, Result, SaSolver};
use anyhow::{bail, ensure};

/// The part of a run after which its first level is taken, where that is pure noise: its lambda
/// would be infinite.
const ALMOST_FIRST: f64 = 1e-4;

/// What a method does with a flow.
enum Form {
    /// What it does with all models.
    Same,
    /// The same with the latent divided by 1 - sigma.
    Divided,
    /// Nobody has said.
    None,
}

fn form(method: Method) -> Form {
    match method {
        Method::Euler
        | Method::EulerAncestral(_)
        | Method::Heun
        | Method::HeunPp2
        | Method::Dpm2
        | Method::Dpm2Ancestral(_)
        | Method::Lms(_)
        | Method::DpmFast
        | Method::Dpmpp2sAncestral(_)
        | Method::Dpmpp2m
        | Method::Lcm
        | Method::Ipndm
        | Method::IpndmV
        | Method::Deis
        | Method::GradientEstimation
        | Method::UniPcBh1
        | Method::UniPcBh2 => Form::Same,
        Method::DpmAdaptive(options) if options.renewal.eta == 0.0 => Form::Same,
        Method::ResMultistep(renewal) if renewal.eta == 0.0 => Form::Same,
        Method::EulerCfgPp(_)
        | Method::DpmppSde { .. }
        | Method::Dpmpp2mSde(..)
        | Method::Dpmpp3mSde(_)
        | Method::ErSde(_)
        | Method::Seeds2
        | Method::Seeds3
        | Method::SaSolver(_) => Form::Divided,
        Method::DpmAdaptive(_)
        | Method::ResMultistep(_)
        | Method::EulerCfgPpAlternative
        | Method::Dpmpp2sAncestralCfgPp(_)
        | Method::Dpmpp2mCfgPp
        | Method::Ddpm
        | Method::LcmUpscale(_)
        | Method::ResMultistepCfgPp(_)
        | Method::GradientEstimationCfgPp => Form::None,
    }
}

/// As [`Method::run`], of a flow.
pub fn run(
    name: &str,
    method: Method,
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    match form(method) {
        Form::Same => method.run(denoiser, noise, x, sigmas),
        Form::Divided => divided(method, denoiser, noise, x, sigmas),
        Form::None => bail!(
            "the sampler {name} with these options does not go with a flow model (ModelSamplingSD3, \
             ModelSamplingAuraFlow, ModelSamplingFlux): take euler, euler_ancestral, dpmpp_2m or \
             dpmpp_2m_sde"
        ),
    }
}

fn divided(
    method: Method,
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    let levels = Levels::new(denoiser, sigmas)?;
    let method = match method {
        Method::SaSolver(options) => Method::SaSolver(with_divided_levels(options, denoiser)),
        other => other,
    };
    let Denoiser { model, denoise, report, .. } = denoiser;
    let mut denoise_divided = |y: &Latent, divided: f32| -> Result<Guess> {
        let sigma = levels.undivided(divided);
        denoise(&y.mapv(|y| y * (1.0 - sigma)), sigma)
    };
    let mut noise = |from: f32, to: f32| noise(levels.undivided(from), levels.undivided(to));
    let mut inner = Denoiser::new(model, &mut denoise_divided, &mut **report);
    let (first, last) = (levels.own[0], levels.own[sigmas.len() - 1]);
    let y = method.run(&mut inner, &mut noise, x / (1.0 - first), &levels.divided)?;
    Ok(y * (1.0 - last))
}

/// The levels of a run, as they are and divided by 1 - sigma.
struct Levels {
    own: Vec<f32>,
    divided: Vec<f32>,
}

impl Levels {
    fn new(denoiser: &Denoiser, sigmas: &[f32]) -> Result<Self> {
        let mut own = sigmas.to_vec();
        if own[0] >= 1.0 {
            own[0] = denoiser.model.percent_to_sigma(ALMOST_FIRST) as f32;
        }
        let highest = own.iter().copied().fold(0.0, f32::max);
        ensure!(
            highest < 1.0,
            "with a flow model this sampler cannot reach a noise level of {highest}: expected less than 1"
        );
        let divided = own.iter().map(|sigma| sigma / (1.0 - sigma)).collect();
        Ok(Self { own, divided })
    }

    /// The very level of the run, or one between two: noise is drawn by the level's bits.
    fn undivided(&self, divided: f32) -> f32 {
        let known = self.divided.iter().position(|level| *level == divided);
        known.map_or_else(|| divided / (1.0 + divided), |i| self.own[i])
    }
}

fn with_divided_levels(options: SaSolver, denoiser: &Denoiser) -> SaSolver {
    let levels = options.stochastic.unwrap_or_else(|| SaSolver::stochastic_part(denoiser.model));
    SaSolver { stochastic: Some(levels.map(|sigma| sigma / (1.0 - sigma))), ..options }
}

/// The level half way in lambda; from pure noise, one just below it.
pub fn midway(sigma: f32, down: f32) -> f32 {
    const ALMOST_ONE: f32 = 0.9999;
    if sigma >= 1.0 {
        return ALMOST_ONE;
    }
    let middle = (sigma / (1.0 - sigma) * down / (1.0 - down)).sqrt();
    middle / (1.0 + middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Generator;
    use crate::{Cond, Guider, LatentFormat, LatentInput, ModelSampling, Network, Run};
    use crate::{SAMPLERS, Sampler, SamplerNoise, Scheduler};

    const SHAPE: [usize; 4] = [4, 4, 16, 16];

    /// Knows the best velocity for pictures drawn from a Gaussian of this mean and variance.
    struct Gaussian {
        mean: f32,
        variance: f32,
    }

    impl Network for Gaussian {
        type Cond = ();

        fn predict(
            &mut self,
            x: &Latent,
            sigma: f32,
            _: f32,
            _: &[crate::Call<()>],
        ) -> Result<Latent> {
            let keep = 1.0 - sigma;
            let of_picture = keep * self.variance / (keep * keep * self.variance + sigma * sigma);
            let clean = |x: f32| self.mean + of_picture * (x - keep * self.mean);
            Ok(x.mapv(|x| (x - clean(x)) / sigma))
        }

        fn can_batch(&self, (): &(), (): &()) -> bool {
            true
        }
    }

    /// Mean and variance of what a run of so many steps ends with.
    fn sampled(sampler: &Sampler, steps: usize, mut network: Gaussian) -> Result<[f64; 2]> {
        let model = ModelSampling::flow(3.0, 1000, 1000.0)?;
        let run = Run {
            sampler: *sampler,
            sigmas: Scheduler::named("simple")?.sigmas(&model, steps)?,
            seed: 3,
            disable_noise: false,
            sampler_noise: SamplerNoise::Cuda,
        };
        let empty = Latent::zeros(SHAPE);
        let input = LatentInput {
            samples: &empty,
            format: LatentFormat::scaled(1.0),
            noise_mask: None,
            batch_index: None,
        };
        let conds = [Cond::new(())];
        let guider = Guider::cfg(1.0, [&conds, &conds]);
        let done =
            crate::sample(&run, &model, &mut network, &guider, &input, &mut |_, _, _| Ok(()))?;
        let x = LatentFormat::scaled(1.0).enter(&done.samples).mapv(f64::from);
        let mean = x.mean().unwrap();
        Ok([mean, x.mapv(|x| (x - mean).powi(2)).mean().unwrap()])
    }

    fn known() -> impl Iterator<Item = &'static Sampler> {
        SAMPLERS.iter().filter(|sampler| !matches!(form(sampler.method), Form::None))
    }

    /// Not `lcm`, which wants another network, nor `ipndm_v`, whose weights are not exact.
    #[test]
    fn samples_have_the_mean_and_variance_of_the_pictures() {
        let exact = |sampler: &&Sampler| !matches!(sampler.method, Method::Lcm | Method::IpndmV);
        for sampler in known().filter(exact) {
            let pictures = Gaussian { mean: 2.0, variance: 0.5 };
            let [mean, variance] = sampled(sampler, 200, pictures).unwrap();
            // 4096 samples: the standard error of the variance is 2 %, Euler's own bias 7 %. DPM-Solver
            // ends at 0.015.
            let good = (mean - 2.0).abs() < 0.05 && (variance / 0.5 - 1.0).abs() < 0.12;
            assert!(good, "{}: {mean} {variance}", sampler.name);
        }
    }

    #[test]
    fn methods_without_a_form_are_refused_by_name() {
        let refused: Vec<&str> = SAMPLERS
            .iter()
            .filter_map(|sampler| {
                let ended = sampled(sampler, 3, Gaussian { mean: 0.0, variance: 1.0 });
                let told = ended.err()?.to_string();
                assert!(told.contains(sampler.name) && told.contains("dpmpp_2m"), "{told}");
                Some(sampler.name)
            })
            .collect();
        assert_eq!(refused.len() + known().count(), SAMPLERS.len());
        assert!(refused.contains(&"ddpm") && refused.contains(&"res_multistep_ancestral"));
    }

    /// By hand: down to 0.5 * 0.5 / 0.8, then up.
    #[test]
    fn an_ancestral_step_is_the_formula() {
        let model = ModelSampling::flow(1.0, 1000, 1.0).unwrap();
        let mut denoise = |x: &Latent, _: f32| {
            let denoised = Latent::from_elem(x.dim(), 3.0);
            Ok(Guess { uncond: denoised.clone(), denoised })
        };
        let mut report = |_: usize, _: &Latent| Ok(());
        let mut denoiser = Denoiser::new(&model, &mut denoise, &mut report);
        let mut noise = |_: f32, _: f32| Latent::from_elem((1, 1, 1, 1), 1.0);
        let sampler = Sampler::named("euler_ancestral").unwrap();
        let x = Latent::from_elem((1, 1, 1, 1), 7.0);
        let x = sampler.run(&mut denoiser, &mut noise, x, &[0.8, 0.5]).unwrap();
        // down 0.3125, x 0.390625 * 7 + 0.609375 * 3, times 0.5 / 0.6875, noise 0.445_362.
        assert!((x[[0, 0, 0, 0]] - 3.763_543).abs() < 1e-5, "{x}");
    }

    #[test]
    fn noise_is_asked_for_between_the_runs_own_levels() {
        let model = ModelSampling::flow(3.0, 1000, 1.0).unwrap();
        let mut denoise = |x: &Latent, _: f32| Ok(Guess { uncond: x.clone(), denoised: x.clone() });
        let mut report = |_: usize, _: &Latent| Ok(());
        let mut denoiser = Denoiser::new(&model, &mut denoise, &mut report);
        let mut asked = Vec::new();
        let mut noise = |from: f32, to: f32| {
            asked.push((from, to));
            Generator::cpu(1).latent([1, 4, 2, 2])
        };
        let sampler = Sampler::named("dpmpp_2m_sde").unwrap();
        let x = Generator::cpu(2).latent([1, 4, 2, 2]);
        sampler.run(&mut denoiser, &mut noise, x, &[1.0, 0.7, 0.3, 0.0]).unwrap();
        let first = model.percent_to_sigma(ALMOST_FIRST) as f32;
        assert_eq!(asked, [(first, 0.7), (0.7, 0.3)]);
    }
}
