//! How a network was trained to see noise: its noise levels, and what its output means.

use crate::Latent;
use anyhow::{Result, ensure};
use ndarray::Zip;

/// What the network predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// The noise (Ho et al. 2020).
    Eps,
    /// The velocity (Salimans and Ho 2022, appendix D).
    V,
    /// The clean latent.
    X0,
    /// The clean latent, from a noisy one that is not scaled.
    ImageToImage,
    /// The noise, mixed with the input by the boundary condition of a latent consistency model
    /// (Luo et al. 2023).
    Consistency,
    /// The clean latent as a residual (Karras et al. 2022, table 1, "EDM").
    Edm,
    /// The velocity of a rectified flow, where its time is sigma / (sigma + 1).
    RectifiedFlow,
    /// The velocity of a rectified flow (Liu et al. 2022) whose time is sigma itself: a latent is
    /// 1 - sigma of the picture and sigma of noise.
    Flow,
}

/// How the network counts noise levels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Clock {
    /// By their number, of which a distilled model knows only every so many.
    Discrete { every: usize },
    /// By a quarter of log sigma (Karras et al. 2022, table 1).
    QuarterLog,
    /// By 2 / pi atan(sigma).
    Angle,
    /// By sigma / (sigma + 1).
    Share,
    /// By sigma times `of_one`; timesteps are shifted towards noise (Esser et al. 2024, equation 23).
    Flow { shift: f64, of_one: f32 },
}

/// Larger than any noise level: where a range that starts at 0 percent begins.
const ABOVE_ALL_SIGMAS: f64 = 999_999_999.9;
/// Product of alphas at the last step of a zero-terminal-SNR schedule, in place of 0.
const ZSNR_LAST_ALPHA_BAR: f32 = 4.897_345e-8;
/// How many timesteps Stable Diffusion has, and a model distilled for consistency.
const TIMESTEPS: usize = 1000;
const DISTILLED_TIMESTEPS: usize = 50;

/// The noise levels of a diffusion model, and its kind of prediction.
#[derive(Clone, Debug)]
pub struct ModelSampling {
    pub prediction: Prediction,
    /// Rising: sigma at each of the model's timesteps, or where it has none at even distances of
    /// its logarithm.
    sigmas: Vec<f32>,
    log_sigmas: Vec<f32>,
    clock: Clock,
    /// The standard deviation that the network thinks clean latents to have.
    sigma_data: f32,
}

impl ModelSampling {
    /// Stable Diffusion's schedule: 1000 steps, sqrt(beta) linear from 0.00085 to 0.012.
    pub fn stable_diffusion(prediction: Prediction) -> Self {
        Self::from_f64(prediction, &scaled_linear_sigmas(0.00085, 0.012, TIMESTEPS))
    }

    /// The same, rescaled so that the last timestep is pure noise (Lin et al. 2023, algorithm 1).
    pub fn zero_terminal_snr(prediction: Prediction) -> Self {
        let sigmas = scaled_linear_sigmas(0.00085, 0.012, TIMESTEPS);
        Self::from_f64(prediction, &rescale_zero_terminal_snr(&sigmas))
    }

    /// Every 20th level from the last down, as a model distilled for few steps was shown.
    #[must_use]
    pub fn distilled(self) -> Self {
        let every = self.sigmas.len() / DISTILLED_TIMESTEPS;
        let thinned =
            |levels: &[f32]| levels.iter().skip(every - 1).step_by(every).copied().collect();
        Self {
            sigmas: thinned(&self.sigmas),
            log_sigmas: thinned(&self.log_sigmas),
            clock: Clock::Discrete { every },
            ..self
        }
    }

    /// Any sigma in the range, told to the network as a quarter of its logarithm; `sigma_data` is
    /// the standard deviation of clean latents.
    pub fn continuous(
        prediction: Prediction,
        range: std::ops::RangeInclusive<f64>,
        sigma_data: f32,
    ) -> Result<Self> {
        Self::with_clock(prediction, range, Clock::QuarterLog, sigma_data)
    }

    /// Any sigma in the range, told to the network as an angle.
    pub fn continuous_angle(
        prediction: Prediction,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<Self> {
        Self::with_clock(prediction, range, Clock::Angle, 1.0)
    }

    /// A rectified flow, in terms of a sigma in the range.
    pub fn rectified_flow(range: std::ops::RangeInclusive<f64>) -> Result<Self> {
        Self::with_clock(Prediction::RectifiedFlow, range, Clock::Share, 1.0)
    }

    /// A rectified flow of so many levels, whose last the network knows as the timestep `of_one`.
    /// Large pictures want a `shift` above 1, which must be positive.
    pub fn flow(shift: f64, levels: usize, of_one: f32) -> Result<Self> {
        ensure!(shift > 0.0, "the shift is {shift}: expected more than 0");
        let level = |i: usize| shifted(shift, i as f64 / levels as f64);
        let sigmas: Vec<f64> = (1..=levels).map(level).collect();
        let clock = Clock::Flow { shift, of_one };
        Ok(Self { clock, ..Self::from_f64(Prediction::Flow, &sigmas) })
    }

    fn with_clock(
        prediction: Prediction,
        range: std::ops::RangeInclusive<f64>,
        clock: Clock,
        sigma_data: f32,
    ) -> Result<Self> {
        let (min, max) = (*range.start(), *range.end());
        ensure!(
            min > 0.0 && min < max,
            "sigma_min is {min} and sigma_max {max}: expected 0 < sigma_min < sigma_max"
        );
        let (low, high) = (min.ln(), max.ln());
        let last = (TIMESTEPS - 1) as f64;
        let level = |i: usize| (low + (high - low) * i as f64 / last).exp();
        let levels: Vec<f64> = (0..TIMESTEPS).map(level).collect();
        Ok(Self { clock, sigma_data, ..Self::from_f64(prediction, &levels) })
    }

    /// Any rising, positive list of noise levels, one per timestep.
    pub fn new(prediction: Prediction, sigmas: &[f64]) -> Result<Self> {
        ensure!(!sigmas.is_empty(), "a model needs at least one noise level");
        let rising = sigmas.windows(2).all(|pair| pair[0] < pair[1]);
        ensure!(sigmas[0] > 0.0 && rising, "a model's noise levels must be positive and rise");
        Ok(Self::from_f64(prediction, sigmas))
    }

    fn from_f64(prediction: Prediction, sigmas: &[f64]) -> Self {
        Self {
            prediction,
            sigmas: sigmas.iter().map(|s| *s as f32).collect(),
            log_sigmas: sigmas.iter().map(|s| s.ln() as f32).collect(),
            clock: Clock::Discrete { every: 1 },
            sigma_data: 1.0,
        }
    }

    /// Noise levels, rising.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    pub fn sigma_min(&self) -> f32 {
        self.sigmas[0]
    }

    pub fn sigma_max(&self) -> f32 {
        self.sigmas[self.sigmas.len() - 1]
    }

    /// What the network is told of a sigma. Of discrete levels the one whose logarithm is
    /// nearest, the lower one of a tie.
    pub fn timestep(&self, sigma: f32) -> f32 {
        match self.clock {
            Clock::Discrete { every } => {
                let log_sigma = sigma.ln();
                let distance = |i: &usize| (log_sigma - self.log_sigmas[*i]).abs();
                let levels = 0..self.sigmas.len();
                let nearest = levels.min_by(|a, b| distance(a).total_cmp(&distance(b)));
                (nearest.unwrap_or(0) * every + every - 1) as f32
            }
            Clock::QuarterLog => 0.25 * sigma.ln(),
            Clock::Angle => sigma.atan() / std::f32::consts::FRAC_PI_2,
            Clock::Share => sigma / (sigma + 1.0),
            Clock::Flow { of_one, .. } => sigma * of_one,
        }
    }

    /// Sigma at a timestep, between two of discrete ones by the logarithm.
    pub fn sigma(&self, timestep: f32) -> f32 {
        match self.clock {
            Clock::Discrete { every } => {
                let t = (timestep - (every - 1) as f32) / every as f32;
                let t = t.clamp(0.0, (self.sigmas.len() - 1) as f32);
                let (low, high) = (t.floor() as usize, t.ceil() as usize);
                let w = t.fract();
                ((1.0 - w) * self.log_sigmas[low] + w * self.log_sigmas[high]).exp()
            }
            Clock::QuarterLog => (timestep / 0.25).exp(),
            Clock::Angle => (timestep * std::f32::consts::FRAC_PI_2).tan(),
            Clock::Share => (timestep / (1.0 - timestep).max(0.0)).min(self.sigma_max()),
            Clock::Flow { shift, of_one } => shifted(shift, f64::from(timestep / of_one)) as f32,
        }
    }

    /// Sigma after this part (0..=1) of a full sampling run.
    pub fn percent_to_sigma(&self, percent: f64) -> f64 {
        if percent <= 0.0 {
            return if self.is_flow() { 1.0 } else { ABOVE_ALL_SIGMAS };
        }
        if percent >= 1.0 {
            return 0.0;
        }
        let part = 1.0 - percent;
        if let Clock::Discrete { .. } = self.clock {
            return f64::from(self.sigma((part * (TIMESTEPS - 1) as f64) as f32));
        }
        if let Clock::Flow { shift, .. } = self.clock {
            return shifted(shift, part);
        }
        let [low, high] = [self.sigma_min(), self.sigma_max()].map(|s| f64::from(s).ln());
        (low + (high - low) * part).exp()
    }

    /// What the network is fed for the noisy latent `x`: unit variance, if it was trained so.
    pub fn scale_input(&self, x: &Latent, sigma: f32) -> Latent {
        let norm = match self.prediction {
            Prediction::ImageToImage | Prediction::Flow => 1.0,
            Prediction::RectifiedFlow => sigma + 1.0,
            _ => (sigma * sigma + self.sigma_data * self.sigma_data).sqrt(),
        };
        x.mapv(|x| x / norm)
    }

    /// The clean latent that the network's raw `output` for the unscaled `x` means.
    pub fn denoised(&self, x: &Latent, output: &Latent, sigma: f32) -> Latent {
        let data = self.sigma_data;
        let variance = sigma * sigma + data * data;
        let (skip, scale) = (data * data / variance, sigma * data / variance.sqrt());
        let zip = Zip::from(x).and(output);
        match self.prediction {
            Prediction::Eps | Prediction::Flow => zip.map_collect(|x, eps| x - eps * sigma),
            Prediction::V => zip.map_collect(|x, v| x * skip - v * scale),
            Prediction::Edm => zip.map_collect(|x, residual| x * skip + residual * scale),
            Prediction::X0 | Prediction::ImageToImage => output.clone(),
            Prediction::Consistency => {
                let [skip, out] = self.boundary(sigma);
                zip.map_collect(|x, eps| out * (x - eps * sigma) + skip * x)
            }
            Prediction::RectifiedFlow => {
                let time = sigma / (sigma + 1.0);
                zip.map_collect(|x, v| x * (1.0 - time) - v * time)
            }
        }
    }

    /// c_skip and c_out of a consistency model: 1 and 0 at time 0.
    fn boundary(&self, sigma: f32) -> [f32; 2] {
        const TIMESTEP_SCALE: f32 = 10.0;
        const DATA: f32 = 0.5;
        let t = self.timestep(sigma) * TIMESTEP_SCALE;
        let variance = t * t + DATA * DATA;
        [DATA * DATA / variance, t / variance.sqrt()]
    }

    /// Whether a latent is a mixture of picture and noise, in place of their sum.
    pub fn is_flow(&self) -> bool {
        self.prediction == Prediction::Flow
    }

    /// A latent with `noise` of level sigma.
    pub fn noised(&self, sigma: f32, noise: &Latent, latent: &Latent) -> Latent {
        let zip = Zip::from(noise).and(latent);
        match self.is_flow() {
            true => zip.map_collect(|n, x| n * sigma + x * (1.0 - sigma)),
            false => zip.map_collect(|n, x| n * sigma + x),
        }
    }

    /// As [`Self::noised`], to start a run there. At the highest level a sum has the variance that
    /// the network saw in training, which counts the picture's own.
    pub fn noise_latent(&self, sigma: f32, noise: &Latent, latent: &Latent) -> Latent {
        let flows = matches!(self.prediction, Prediction::RectifiedFlow | Prediction::Flow);
        if flows || !self.is_max_denoise(sigma) {
            return self.noised(sigma, noise, latent);
        }
        let scale = (1.0 + sigma * sigma).sqrt();
        Zip::from(noise).and(latent).map_collect(|n, x| n * scale + x)
    }

    /// What a run that ends at sigma hands on: of a flow's mixture the picture as large as it is.
    pub fn handed_on(&self, sigma: f32, x: Latent) -> Result<Latent> {
        if !self.is_flow() || sigma == 0.0 {
            return Ok(x);
        }
        ensure!(
            sigma < 1.0,
            "a run with a flow model ends at a noise level of {sigma}, where nothing is left of the \
             picture: let it end below 1"
        );
        Ok(x / (1.0 - sigma))
    }

    fn is_max_denoise(&self, sigma: f32) -> bool {
        let (max, sigma) = (f64::from(self.sigma_max()), f64::from(sigma));
        sigma > max || (max - sigma).abs() <= 1e-5 * max.max(sigma)
    }
}

/// The time of a flow, 0..=1, for a picture whose side is the square root of `shift` times longer.
fn shifted(shift: f64, time: f64) -> f64 {
    shift * time / (1.0 + (shift - 1.0) * time)
}

/// sigma^2 = (1 - alpha_bar) / alpha_bar, with alpha_bar the running product of 1 - beta.
fn scaled_linear_sigmas(beta_start: f64, beta_end: f64, steps: usize) -> Vec<f64> {
    let (start, end) = (beta_start.sqrt(), beta_end.sqrt());
    let step = (end - start) / (steps - 1) as f64;
    let mut alpha_bar = 1.0;
    let sigma = |i: usize| {
        // From the nearer end, as torch.linspace counts.
        let root = if i < steps / 2 {
            start + step * i as f64
        } else {
            end - step * (steps - 1 - i) as f64
        };
        alpha_bar *= 1.0 - root * root;
        ((1.0 - alpha_bar) / alpha_bar).sqrt()
    };
    (0..steps).map(sigma).collect()
}

/// In f32, as the original: the lowest levels depend on its roundings.
fn rescale_zero_terminal_snr(sigmas: &[f64]) -> Vec<f64> {
    let root = |sigma: &f64| {
        let sigma = *sigma as f32;
        (1.0 / (sigma * sigma + 1.0)).sqrt()
    };
    let last = sigmas.len() - 1;
    let (first_root, last_root) = (root(&sigmas[0]), root(&sigmas[last]));
    let stretch = first_root / (first_root - last_root);
    let rescale = |(i, sigma): (usize, &f64)| {
        let alpha_bar = match i {
            i if i == last => ZSNR_LAST_ALPHA_BAR,
            _ => ((root(sigma) - last_root) * stretch).powi(2),
        };
        f64::from(((1.0 - alpha_bar) / alpha_bar).sqrt())
    };
    sigmas.iter().enumerate().map(rescale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, families, golden, tensor};
    use safetensors::SafeTensors;

    /// Relative distance.
    fn far(a: f32, b: f32) -> f32 {
        if a == b { 0.0 } else { (a - b).abs() / a.abs().max(b.abs()) }
    }

    #[test]
    fn noise_levels_are_those_of_the_original() {
        let Some(bytes) = golden("random_tiny/sigmas.safetensors") else { return };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (family, model) in families() {
            let (want, _) = tensor(&file, &format!("{family}/table"));
            if family == "sd15_eps" {
                assert_eq!(bits(model.sigmas()), bits(&want));
            }
            // One ulp of an alpha_bar near 1 is 7e-5 of the lowest sigma.
            assert!(model.sigmas().iter().zip(&want).all(|(a, b)| far(*a, *b) < 1e-4), "{family}");
        }
    }

    #[test]
    fn timesteps_and_sigmas_convert_as_in_the_original() {
        let Some(bytes) = golden("random_tiny/sigmas.safetensors") else { return };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (family, model) in families() {
            let get = |key: &str| tensor(&file, &format!("{family}/{key}")).0;
            for (t, want) in get("sigma_of_t/t").into_iter().zip(get("sigma_of_t")) {
                // A few ulp of exp, and the table's own distance from the original's.
                let bound = if family == "sd21_vpred_zsnr" { 1e-4 } else { 5e-7 };
                assert!(far(model.sigma(t), want) <= bound, "{family} t {t}: {want}");
            }
            for (sigma, want) in get("t_of_sigma/sigma").into_iter().zip(get("t_of_sigma")) {
                assert_eq!(model.timestep(sigma), want, "{family} sigma {sigma}");
            }
            for (i, want) in get("percent_to_sigma").into_iter().enumerate() {
                let sigma = model.percent_to_sigma(i as f64 / 20.0) as f32;
                let bound = if family == "sd21_vpred_zsnr" { 1e-4 } else { 5e-7 };
                assert!(far(sigma, want) <= bound, "{family} {i}/20: {sigma} {want}");
            }
        }
    }

    #[test]
    fn what_a_perfect_network_predicts_means_the_clean_latent() {
        let clean = Latent::from_shape_fn((1, 4, 3, 5), |(_, c, y, x)| (c + 2 * y + x) as f32);
        let noise = crate::noise::Generator::cpu(1).latent([1, 4, 3, 5]);
        for sigma in [0.3f32, 3.0, 9.0] {
            let x = &clean + &(&noise * sigma);
            let norm = (1.0 + sigma * sigma).sqrt();
            for (prediction, output) in [
                (Prediction::Eps, noise.clone()),
                (Prediction::V, (&noise - &(&clean * sigma)) / norm),
                (Prediction::X0, clean.clone()),
                (Prediction::ImageToImage, clean.clone()),
                // Far from time 0, where it gives back what it is given.
                (Prediction::Consistency, noise.clone()),
                (Prediction::Edm, (&clean * sigma - &noise) / norm),
                (Prediction::RectifiedFlow, &noise - &clean),
            ] {
                let model = ModelSampling::stable_diffusion(prediction);
                let error = model.denoised(&x, &output, sigma) - &clean;
                // Values up to 40 in f32.
                assert!(error.iter().all(|e| e.abs() < 3e-5), "{prediction:?} {sigma} {error}");
            }
        }
    }

    #[test]
    fn a_flow_mixes_and_hands_on_the_picture() {
        let model = ModelSampling::flow(3.0, 1000, 1000.0).unwrap();
        let picture = Latent::from_elem((1, 4, 2, 2), 3.0);
        let noise = crate::noise::Generator::cpu(1).latent([1, 4, 2, 2]);
        for sigma in [0.1f32, 0.5, 1.0] {
            let x = model.noise_latent(sigma, &noise, &picture);
            let error = model.denoised(&x, &(&noise - &picture), sigma) - &picture;
            assert!(error.iter().all(|e| e.abs() < 1e-6), "{sigma} {error}");
        }
        let half = model.noised(0.5, &Latent::zeros((1, 4, 2, 2)), &picture);
        assert_eq!(model.handed_on(0.5, half).unwrap(), picture);
        assert!(model.handed_on(1.0, picture).is_err());
        assert!(ModelSampling::flow(0.0, 1000, 1.0).is_err());
    }

    #[test]
    fn every_kind_of_levels_converts_both_ways() {
        let edm = ModelSampling::continuous(Prediction::Edm, 0.002..=120.0, 0.5).unwrap();
        let angle = ModelSampling::continuous_angle(Prediction::V, 0.03..=500.0).unwrap();
        let flow = ModelSampling::rectified_flow(0.002..=80.0).unwrap();
        let distilled = ModelSampling::stable_diffusion(Prediction::Consistency).distilled();
        for model in [edm, angle, flow] {
            for sigma in [0.05, 0.7, 3.0, 60.0] {
                let back = model.sigma(model.timestep(sigma));
                assert!(far(back, sigma) < 1e-4, "{model:?} {sigma} {back}");
            }
            let middle = model.percent_to_sigma(0.5) as f32;
            assert!(far(middle, (model.sigma_min() * model.sigma_max()).sqrt()) < 1e-5);
        }
        assert_eq!(distilled.sigmas().len(), 50);
        assert_eq!(distilled.timestep(100.0), 999.0);
        assert_eq!(distilled.timestep(0.0001), 19.0);
        assert!(far(distilled.sigma(999.0), distilled.sigma_max()) < 1e-6);
        assert!(ModelSampling::rectified_flow(2.0..=1.0).is_err());
    }

    #[test]
    fn levels_that_do_not_rise_are_refused() {
        assert!(ModelSampling::new(Prediction::Eps, &[0.1, 0.1]).is_err());
        assert!(ModelSampling::new(Prediction::Eps, &[]).is_err());
    }
}
