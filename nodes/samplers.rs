//! Samplers as values: a row of the table, with options where the node has some.

use crate::{Model, Sampler, resize::resize_latent};
use anyhow::{Result, ensure};
use graph::{Context, Inputs, Node};
use sampling::samplers::{
    Adaptive, Correction, ErSde, Growth, Method, NoiseScale, Renewal, SaSolver,
};

const CATEGORY: &str = "sampling/custom_sampling/samplers";

impl Sampler {
    fn named(name: &str) -> Result<Self> {
        Ok(Self(sampling::Sampler::named(name)?))
    }

    /// The row of this name, with other options.
    fn with(name: &str, method: Method) -> Result<Self> {
        Ok(Self(sampling::Sampler { method, ..Self::named(name)?.0 }))
    }
}

fn renewal(eta: f64, s_noise: f64) -> Renewal {
    Renewal { eta: eta as f32, s_noise: s_noise as f32 }
}

/// The row of this name with its noise as drawn on the GPU or the CPU.
fn on_device(name: &str, noise_device: &str) -> String {
    if noise_device == "gpu" { format!("{name}_gpu") } else { name.to_owned() }
}

/// A sampler of KSampler.
#[derive(Inputs)]
pub struct KSamplerSelect {
    /// How one step leads to the next.
    #[widget(one_of(crate::ksampler::samplers()))]
    pub sampler_name: String,
}

impl Node for KSamplerSelect {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "KSamplerSelect";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        Sampler::named(&self.sampler_name)
    }
}

/// Euler's method with fresh noise in each step.
#[derive(Inputs)]
pub struct SamplerEulerAncestral {
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
}

impl Node for SamplerEulerAncestral {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerEulerAncestral";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        Sampler::with("euler_ancestral", Method::EulerAncestral(renewal(self.eta, self.s_noise)))
    }
}

/// Euler's method with fresh noise and CFG++, for a guidance of about 1.
#[derive(Inputs)]
pub struct SamplerEulerAncestralCFGPP {
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(1.0).range(0.0..=1.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01).with("round", false))]
    pub s_noise: f64,
}

impl Node for SamplerEulerAncestralCFGPP {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerEulerAncestralCFG++";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        Sampler::with("euler_ancestral_cfg_pp", Method::EulerCfgPp(renewal(self.eta, self.s_noise)))
    }
}

/// Euler's method with CFG++, for a guidance of about 1.
#[derive(Inputs)]
pub struct SamplerEulerCFGpp {
    /// The published form, or an earlier one.
    #[widget(one_of(["regular", "alternative"]))]
    pub version: String,
}

impl Node for SamplerEulerCFGpp {
    const CATEGORY: &str = "_for_testing";
    const TITLE: &str = "SamplerEulerCFG++";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        match self.version.as_str() {
            "alternative" => Sampler::with("euler_cfg_pp", Method::EulerCfgPpAlternative),
            _ => Sampler::named("euler_cfg_pp"),
        }
    }
}

/// Linear multistep: goes on as several steps before did.
#[derive(Inputs)]
pub struct SamplerLMS {
    /// How many steps count.
    #[widget(number(4).range(1..=100))]
    pub order: usize,
}

impl Node for SamplerLMS {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerLMS";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        Sampler::with("lms", Method::Lms(self.order))
    }
}

/// DPM-Solver++ with noise, from three steps.
#[allow(non_camel_case_types, reason = "the class's name in shared files")]
#[derive(Inputs)]
pub struct SamplerDPMPP_3M_SDE {
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
    /// Whose random numbers are used.
    #[widget(one_of(["gpu", "cpu"]))]
    pub noise_device: String,
}

impl Node for SamplerDPMPP_3M_SDE {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerDPMPP_3M_SDE";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        let name = on_device("dpmpp_3m_sde", &self.noise_device);
        Sampler::with(&name, Method::Dpmpp3mSde(renewal(self.eta, self.s_noise)))
    }
}

/// DPM-Solver++ with noise, from two steps.
#[allow(non_camel_case_types, reason = "the class's name in shared files")]
#[derive(Inputs)]
pub struct SamplerDPMPP_2M_SDE {
    /// How the step before is used.
    #[widget(one_of(["midpoint", "heun"]))]
    pub solver_type: String,
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
    /// Whose random numbers are used.
    #[widget(one_of(["gpu", "cpu"]))]
    pub noise_device: String,
}

impl Node for SamplerDPMPP_2M_SDE {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerDPMPP_2M_SDE";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        let heun = self.solver_type == "heun";
        let correction = if heun { Correction::Heun } else { Correction::Midpoint };
        let method = Method::Dpmpp2mSde(renewal(self.eta, self.s_noise), correction);
        Sampler::with(&on_device("dpmpp_2m_sde", &self.noise_device), method)
    }
}

/// DPM-Solver++ with noise, in two halves of a step.
#[allow(non_camel_case_types, reason = "the class's name in shared files")]
#[derive(Inputs)]
pub struct SamplerDPMPP_SDE {
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
    /// Where within a step it is looked at again.
    #[widget(number(0.5).range(0.0..=100.0).step(0.01).with("round", false))]
    pub r: f64,
    /// Whose random numbers are used.
    #[widget(one_of(["gpu", "cpu"]))]
    pub noise_device: String,
}

impl Node for SamplerDPMPP_SDE {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerDPMPP_SDE";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        ensure!(self.r > 0.0, "`r` is 0: expected more");
        let method =
            Method::DpmppSde { renewal: renewal(self.eta, self.s_noise), r: self.r as f32 };
        Sampler::with(&on_device("dpmpp_sde", &self.noise_device), method)
    }
}

/// DPM-Solver++ in two halves of a step, with fresh noise after each.
#[allow(non_camel_case_types, reason = "the class's name in shared files")]
#[derive(Inputs)]
pub struct SamplerDPMPP_2S_Ancestral {
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
}

impl Node for SamplerDPMPP_2S_Ancestral {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerDPMPP_2S_Ancestral";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        let method = Method::Dpmpp2sAncestral(renewal(self.eta, self.s_noise));
        Sampler::with("dpmpp_2s_ancestral", method)
    }
}

/// DPM-Solver with steps as long as the error allows.
#[derive(Inputs)]
pub struct SamplerDPMAdaptative {
    /// The order of the method.
    #[widget(number(3).range(2..=3))]
    pub order: usize,
    /// What error is borne, in parts of the latent.
    #[widget(number(0.05).range(0.0..=100.0).step(0.01).with("round", false))]
    pub rtol: f64,
    /// What error is borne at least.
    #[widget(number(0.0078).range(0.0..=100.0).step(0.01).with("round", false))]
    pub atol: f64,
    /// The first step, in the logarithm of the noise level.
    #[widget(number(0.05).range(0.0..=100.0).step(0.01).with("round", false))]
    pub h_init: f64,
    /// How the next step depends on the last error but one.
    #[widget(number(0.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub pcoeff: f64,
    /// How the next step depends on the last error.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub icoeff: f64,
    /// How the next step depends on how the error changed.
    #[widget(number(0.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub dcoeff: f64,
    /// A step is taken if the next need not be shorter than this part of it.
    #[widget(number(0.81).range(0.0..=100.0).step(0.01).with("round", false))]
    pub accept_safety: f64,
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(0.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
}

impl Node for SamplerDPMAdaptative {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerDPMAdaptative";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        let options = Adaptive {
            order: self.order,
            rtol: self.rtol as f32,
            atol: self.atol as f32,
            h_init: self.h_init as f32,
            pcoeff: self.pcoeff,
            icoeff: self.icoeff,
            dcoeff: self.dcoeff,
            accept_safety: self.accept_safety,
            renewal: renewal(self.eta, self.s_noise),
        };
        Sampler::with("dpm_adaptive", Method::DpmAdaptive(options))
    }
}

/// ER-SDE: the reverse process with more or less noise.
#[allow(non_camel_case_types, reason = "the class's name in shared files")]
#[derive(Inputs)]
pub struct SamplerER_SDE {
    /// How much noise is drawn on the way: that of the paper, that of the reverse process, or none.
    #[widget(one_of(["ER-SDE", "Reverse-time SDE", "ODE"]))]
    pub solver_type: String,
    /// How many steps count.
    #[widget(number(3).range(1..=3))]
    pub max_stage: usize,
    /// How much of the noise the reverse process draws anew; 0 is none.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
}

impl Node for SamplerER_SDE {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerER_SDE";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        let (scale, s_noise) = match (self.solver_type.as_str(), self.eta) {
            ("ER-SDE", _) => (NoiseScale::Extended, self.s_noise),
            ("ODE", _) | (_, 0.0) => (NoiseScale::Power(1.0), 0.0),
            (_, eta) => (NoiseScale::Power(eta as f32 + 1.0), self.s_noise),
        };
        let options = ErSde { scale, max_stage: self.max_stage, s_noise: s_noise as f32 };
        Sampler::with("er_sde", Method::ErSde(options))
    }
}

/// SA-Solver: predicts each step from several before, then corrects it.
#[derive(Inputs)]
pub struct SamplerSASolver {
    /// Its noise levels say where a part of a run is.
    pub model: Model,
    /// How much of the noise is drawn anew; 0 is none.
    #[widget(number(1.0).range(0.0..=10.0).step(0.01).with("round", false))]
    pub eta: f64,
    /// The part of a run after which noise is drawn.
    #[widget(number(0.2).range(0.0..=1.0).step(0.001))]
    pub sde_start_percent: f64,
    /// The part of a run after which no more is drawn.
    #[widget(number(0.8).range(0.0..=1.0).step(0.001))]
    pub sde_end_percent: f64,
    /// What the fresh noise is multiplied by.
    #[widget(number(1.0).range(0.0..=100.0).step(0.01).with("round", false))]
    pub s_noise: f64,
    /// How many steps count when predicting.
    #[widget(number(3).range(1..=6))]
    pub predictor_order: usize,
    /// How many steps count when correcting; 0 does not correct.
    #[widget(number(4).range(0..=6))]
    pub corrector_order: usize,
    /// Looks again at what was corrected, which takes twice as long.
    #[widget(toggle(false))]
    pub use_pece: bool,
    /// Simpler formulas where two steps count.
    #[widget(toggle(false))]
    pub simple_order_2: bool,
}

impl Node for SamplerSASolver {
    const CATEGORY: &str = CATEGORY;
    const TITLE: &str = "SamplerSASolver";
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        let level = |percent| self.model.sampling.percent_to_sigma(percent);
        let options = SaSolver {
            eta: self.eta as f32,
            s_noise: self.s_noise as f32,
            stochastic: Some([level(self.sde_start_percent), level(self.sde_end_percent)]),
            predictor_order: self.predictor_order,
            corrector_order: self.corrector_order,
            evaluates_corrected: self.use_pece,
            simple_order_2: self.simple_order_2,
        };
        Sampler::with("sa_solver", Method::SaSolver(options))
    }
}

/// LCM that makes the latent larger while it samples.
#[derive(Inputs)]
pub struct SamplerLCMUpscale {
    /// How many times wider and higher.
    #[widget(number(1.0).range(0.1..=20.0).step(0.01))]
    pub scale_ratio: f64,
    /// In how many steps; -1 is half of them.
    #[widget(number(-1).range(-1..=1000).step(1))]
    pub scale_steps: i64,
    /// How values between old ones are found.
    #[widget(one_of(["bislerp", "nearest-exact", "bilinear", "area", "bicubic"]))]
    pub upscale_method: String,
}

impl Node for SamplerLCMUpscale {
    const CATEGORY: &str = CATEGORY;
    type Output = Sampler;

    fn run(self, _: &mut Context) -> Result<Sampler> {
        macro_rules! by {
            ($method:literal) => {
                |x, [height, width]| resize_latent(x, $method, height, width, "disabled")
            };
        }
        let resize: fn(&sampling::Latent, [usize; 2]) -> Result<sampling::Latent> =
            match self.upscale_method.as_str() {
                "nearest-exact" => by!("nearest-exact"),
                "bilinear" => by!("bilinear"),
                "area" => by!("area"),
                "bicubic" => by!("bicubic"),
                _ => by!("bislerp"),
            };
        let steps = usize::try_from(self.scale_steps).ok();
        let growth = Growth { by: self.scale_ratio, steps, resize };
        Sampler::with("lcm", Method::LcmUpscale(growth))
    }
}
