//! The table of samplers, and which function each of their methods is.

use super::{
    Adaptive, Correction, Denoiser, ErSde, Growth, Latent, Noise, NoiseKind, Renewal, Result,
};
use super::{SaSolver, Sampler, ancestral, cfg_pp, deis, dpm_solver, er_sde, multistep, res};
use super::{sa_solver, sde, seeds, single_step, uni_pc};

/// A sampling algorithm with its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    Euler,
    EulerAncestral(Renewal),
    EulerCfgPp(Renewal),
    /// An earlier form of Euler's method with CFG++.
    EulerCfgPpAlternative,
    Heun,
    HeunPp2,
    Dpm2,
    Dpm2Ancestral(Renewal),
    /// With the order of the method, at least 1.
    Lms(usize),
    DpmFast,
    DpmAdaptive(Adaptive),
    Dpmpp2sAncestral(Renewal),
    Dpmpp2sAncestralCfgPp(Renewal),
    DpmppSde {
        renewal: Renewal,
        /// Which part of a step its second guess is made at; above 0.
        r: f32,
    },
    Dpmpp2m,
    Dpmpp2mCfgPp,
    Dpmpp2mSde(Renewal, Correction),
    Dpmpp3mSde(Renewal),
    Ddpm,
    Lcm,
    LcmUpscale(Growth),
    Ipndm,
    IpndmV,
    Deis,
    ResMultistep(Renewal),
    ResMultistepCfgPp(Renewal),
    GradientEstimation,
    GradientEstimationCfgPp,
    ErSde(ErSde),
    Seeds2,
    Seeds3,
    SaSolver(SaSolver),
    UniPcBh1,
    UniPcBh2,
}

impl Method {
    /// Whether it asks for the negative's own guess, even where the guidance could do without.
    pub fn wants_uncond(self) -> bool {
        matches!(
            self,
            Self::EulerCfgPp(_)
                | Self::EulerCfgPpAlternative
                | Self::Dpmpp2sAncestralCfgPp(_)
                | Self::Dpmpp2mCfgPp
                | Self::ResMultistepCfgPp(_)
                | Self::GradientEstimationCfgPp
        )
    }

    pub(super) fn run(
        self,
        d: &mut Denoiser,
        noise: &mut Noise,
        x: Latent,
        s: &[f32],
    ) -> Result<Latent> {
        match self {
            Self::Euler => single_step::euler(d, x, s),
            Self::EulerAncestral(renewal) => ancestral::euler_ancestral(d, noise, x, s, renewal),
            Self::EulerCfgPp(renewal) => cfg_pp::euler(d, noise, x, s, renewal),
            Self::EulerCfgPpAlternative => cfg_pp::euler_alternative(d, x, s),
            Self::Heun => single_step::heun(d, x, s),
            Self::HeunPp2 => single_step::heunpp2(d, x, s),
            Self::Dpm2 => single_step::dpm_2(d, x, s),
            Self::Dpm2Ancestral(renewal) => ancestral::dpm_2_ancestral(d, noise, x, s, renewal),
            Self::Lms(order) => multistep::lms(d, x, s, order),
            Self::DpmFast => dpm_solver::fast(d, x, s),
            Self::DpmAdaptive(options) => dpm_solver::adaptive(d, noise, x, s, options),
            Self::Dpmpp2sAncestral(renewal) => {
                ancestral::dpmpp_2s_ancestral(d, noise, x, s, renewal)
            }
            Self::Dpmpp2sAncestralCfgPp(renewal) => {
                cfg_pp::dpmpp_2s_ancestral(d, noise, x, s, renewal)
            }
            Self::DpmppSde { renewal, r } => sde::dpmpp_sde(d, noise, x, s, renewal, r),
            Self::Dpmpp2m => multistep::dpmpp_2m(d, x, s),
            Self::Dpmpp2mCfgPp => cfg_pp::dpmpp_2m(d, x, s),
            Self::Dpmpp2mSde(renewal, correction) => {
                sde::dpmpp_2m_sde(d, noise, x, s, renewal, correction)
            }
            Self::Dpmpp3mSde(renewal) => sde::dpmpp_3m_sde(d, noise, x, s, renewal),
            Self::Ddpm => ancestral::ddpm(d, noise, x, s),
            Self::Lcm => ancestral::lcm(d, noise, x, s),
            Self::LcmUpscale(growth) => ancestral::lcm_upscale(d, x, s, growth),
            Self::Ipndm => multistep::ipndm(d, x, s),
            Self::IpndmV => multistep::ipndm_v(d, x, s),
            Self::Deis => deis::deis(d, x, s),
            Self::ResMultistep(renewal) => res::res_multistep(d, noise, x, s, renewal),
            Self::ResMultistepCfgPp(renewal) => res::res_multistep_cfg_pp(d, noise, x, s, renewal),
            Self::GradientEstimation => multistep::gradient_estimation(d, x, s),
            Self::GradientEstimationCfgPp => cfg_pp::gradient_estimation(d, x, s),
            Self::ErSde(options) => er_sde::er_sde(d, noise, x, s, options),
            Self::Seeds2 => seeds::seeds_2(d, noise, x, s),
            Self::Seeds3 => seeds::seeds_3(d, noise, x, s),
            Self::SaSolver(options) => sa_solver::sa_solver(d, noise, x, s, options),
            Self::UniPcBh1 => uni_pc::bh1(d, x, s),
            Self::UniPcBh2 => uni_pc::bh2(d, x, s),
        }
    }
}

/// A sampler without peculiarities.
const fn plain(name: &'static str, method: Method) -> Sampler {
    Sampler {
        name,
        method,
        noise: NoiseKind::Independent,
        drops_penultimate_sigma: false,
        redraws_mask_noise: false,
    }
}

const fn two_step(name: &'static str, method: Method) -> Sampler {
    Sampler { drops_penultimate_sigma: true, ..plain(name, method) }
}

const fn brownian(name: &'static str, method: Method) -> Sampler {
    Sampler { noise: NoiseKind::Brownian, ..plain(name, method) }
}

const fn brownian_gpu(name: &'static str, method: Method) -> Sampler {
    Sampler { noise: NoiseKind::BrownianOnDevice, ..plain(name, method) }
}

const NONE: Renewal = Renewal::NONE;
const FULL: Renewal = Renewal::FULL;
const DPMPP_SDE: Method = Method::DpmppSde { renewal: FULL, r: 0.5 };
const DPMPP_2M_SDE: Method = Method::Dpmpp2mSde(FULL, Correction::Midpoint);
const DPMPP_2M_SDE_HEUN: Method = Method::Dpmpp2mSde(FULL, Correction::Heun);
const SA_SOLVER_PECE: SaSolver = SaSolver { evaluates_corrected: true, ..SaSolver::DEFAULT };

/// In menu order.
pub const SAMPLERS: &[Sampler] = &[
    plain("euler", Method::Euler),
    plain("euler_cfg_pp", Method::EulerCfgPp(NONE)),
    plain("euler_ancestral", Method::EulerAncestral(FULL)),
    plain("euler_ancestral_cfg_pp", Method::EulerCfgPp(FULL)),
    plain("heun", Method::Heun),
    plain("heunpp2", Method::HeunPp2),
    two_step("dpm_2", Method::Dpm2),
    two_step("dpm_2_ancestral", Method::Dpm2Ancestral(FULL)),
    plain("lms", Method::Lms(4)),
    plain("dpm_fast", Method::DpmFast),
    plain("dpm_adaptive", Method::DpmAdaptive(Adaptive::DEFAULT)),
    plain("dpmpp_2s_ancestral", Method::Dpmpp2sAncestral(FULL)),
    plain("dpmpp_2s_ancestral_cfg_pp", Method::Dpmpp2sAncestralCfgPp(FULL)),
    brownian("dpmpp_sde", DPMPP_SDE),
    brownian_gpu("dpmpp_sde_gpu", DPMPP_SDE),
    plain("dpmpp_2m", Method::Dpmpp2m),
    plain("dpmpp_2m_cfg_pp", Method::Dpmpp2mCfgPp),
    brownian("dpmpp_2m_sde", DPMPP_2M_SDE),
    brownian_gpu("dpmpp_2m_sde_gpu", DPMPP_2M_SDE),
    brownian("dpmpp_2m_sde_heun", DPMPP_2M_SDE_HEUN),
    brownian_gpu("dpmpp_2m_sde_heun_gpu", DPMPP_2M_SDE_HEUN),
    brownian("dpmpp_3m_sde", Method::Dpmpp3mSde(FULL)),
    brownian_gpu("dpmpp_3m_sde_gpu", Method::Dpmpp3mSde(FULL)),
    plain("ddpm", Method::Ddpm),
    plain("lcm", Method::Lcm),
    plain("ipndm", Method::Ipndm),
    plain("ipndm_v", Method::IpndmV),
    plain("deis", Method::Deis),
    plain("res_multistep", Method::ResMultistep(NONE)),
    plain("res_multistep_cfg_pp", Method::ResMultistepCfgPp(NONE)),
    plain("res_multistep_ancestral", Method::ResMultistep(FULL)),
    plain("res_multistep_ancestral_cfg_pp", Method::ResMultistepCfgPp(FULL)),
    plain("gradient_estimation", Method::GradientEstimation),
    plain("gradient_estimation_cfg_pp", Method::GradientEstimationCfgPp),
    plain("er_sde", Method::ErSde(ErSde::DEFAULT)),
    plain("seeds_2", Method::Seeds2),
    plain("seeds_3", Method::Seeds3),
    plain("sa_solver", Method::SaSolver(SaSolver::DEFAULT)),
    plain("sa_solver_pece", Method::SaSolver(SA_SOLVER_PECE)),
    Sampler { redraws_mask_noise: true, ..plain("ddim", Method::Euler) },
    two_step("uni_pc", Method::UniPcBh1),
    two_step("uni_pc_bh2", Method::UniPcBh2),
];
