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
}

/// Larger than any noise level: where a range that starts at 0 percent begins.
const ABOVE_ALL_SIGMAS: f64 = 999_999_999.9;
/// Product of alphas at the last step of a zero-terminal-SNR schedule, in place of 0.
const ZSNR_LAST_ALPHA_BAR: f32 = 4.897_345e-8;

/// The noise levels of a discrete diffusion model, and its kind of prediction.
#[derive(Clone, Debug)]
pub struct ModelSampling {
    pub prediction: Prediction,
    /// Sigma at each of the model's timesteps, rising.
    sigmas: Vec<f32>,
    log_sigmas: Vec<f32>,
}

impl ModelSampling {
    /// Stable Diffusion's schedule: 1000 steps, sqrt(beta) linear from 0.00085 to 0.012.
    pub fn stable_diffusion(prediction: Prediction) -> Self {
        Self::from_f64(prediction, &scaled_linear_sigmas(0.00085, 0.012, 1000))
    }

    /// The same, rescaled so that the last timestep is pure noise (Lin et al. 2023, algorithm 1).
    pub fn zero_terminal_snr(prediction: Prediction) -> Self {
        let sigmas = scaled_linear_sigmas(0.00085, 0.012, 1000);
        Self::from_f64(prediction, &rescale_zero_terminal_snr(&sigmas))
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
        }
    }

    /// Sigma at each timestep, rising.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    pub fn sigma_min(&self) -> f32 {
        self.sigmas[0]
    }

    pub fn sigma_max(&self) -> f32 {
        self.sigmas[self.sigmas.len() - 1]
    }

    /// The integer timestep whose log sigma is nearest; the lower one of a tie.
    pub fn timestep(&self, sigma: f32) -> f32 {
        let log_sigma = sigma.ln();
        let distance = |i: &usize| (log_sigma - self.log_sigmas[*i]).abs();
        let nearest = (0..self.sigmas.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.unwrap_or(0) as f32
    }

    /// Sigma at a timestep, between two of them by the logarithm.
    pub fn sigma(&self, timestep: f32) -> f32 {
        let t = timestep.clamp(0.0, (self.sigmas.len() - 1) as f32);
        let (low, high) = (t.floor() as usize, t.ceil() as usize);
        let w = t.fract();
        ((1.0 - w) * self.log_sigmas[low] + w * self.log_sigmas[high]).exp()
    }

    /// Sigma after this part (0..=1) of a full sampling run.
    pub fn percent_to_sigma(&self, percent: f64) -> f64 {
        match percent {
            p if p <= 0.0 => ABOVE_ALL_SIGMAS,
            p if p >= 1.0 => 0.0,
            p => f64::from(self.sigma(((1.0 - p) * 999.0) as f32)),
        }
    }

    /// What the network is fed for the noisy latent `x`: unit variance.
    pub fn scale_input(&self, x: &Latent, sigma: f32) -> Latent {
        let norm = (sigma * sigma + 1.0).sqrt();
        x.mapv(|x| x / norm)
    }

    /// The clean latent that the network's raw `output` for the unscaled `x` means.
    pub fn denoised(&self, x: &Latent, output: &Latent, sigma: f32) -> Latent {
        let variance = sigma * sigma + 1.0;
        let norm = variance.sqrt();
        let zip = Zip::from(x).and(output);
        match self.prediction {
            Prediction::Eps => zip.map_collect(|x, eps| x - eps * sigma),
            Prediction::V => zip.map_collect(|x, v| x / variance - v * sigma / norm),
        }
    }

    /// Puts `noise` of level sigma on a latent, to start a run there. At the highest level the
    /// sum has the variance that the network saw in training, which counts the picture's own.
    pub fn noise_latent(&self, sigma: f32, noise: &Latent, latent: &Latent) -> Latent {
        let scale = if self.is_max_denoise(sigma) { (1.0 + sigma * sigma).sqrt() } else { sigma };
        Zip::from(noise).and(latent).map_collect(|n, x| n * scale + x)
    }

    fn is_max_denoise(&self, sigma: f32) -> bool {
        let (max, sigma) = (f64::from(self.sigma_max()), f64::from(sigma));
        sigma > max || (max - sigma).abs() <= 1e-5 * max.max(sigma)
    }
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
    use crate::testing::{bits, golden, tensor};
    use safetensors::SafeTensors;

    pub fn families() -> [(&'static str, ModelSampling); 2] {
        [
            ("sd15_eps", ModelSampling::stable_diffusion(Prediction::Eps)),
            ("sd21_vpred_zsnr", ModelSampling::zero_terminal_snr(Prediction::V)),
        ]
    }

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
                let bound = if family == "sd15_eps" { 5e-7 } else { 1e-4 };
                assert!(far(model.sigma(t), want) <= bound, "{family} t {t}: {want}");
            }
            for (sigma, want) in get("t_of_sigma/sigma").into_iter().zip(get("t_of_sigma")) {
                assert_eq!(model.timestep(sigma), want, "{family} sigma {sigma}");
            }
            for (i, want) in get("percent_to_sigma").into_iter().enumerate() {
                let sigma = model.percent_to_sigma(i as f64 / 20.0) as f32;
                let bound = if family == "sd15_eps" { 5e-7 } else { 1e-4 };
                assert!(far(sigma, want) <= bound, "{family} {i}/20: {sigma} {want}");
            }
        }
    }

    #[test]
    fn both_predictions_of_a_perfect_network_mean_the_clean_latent() {
        let clean = Latent::from_shape_fn((1, 4, 3, 5), |(_, c, y, x)| (c + 2 * y + x) as f32);
        let noise = crate::noise::Generator::cpu(1).latent([1, 4, 3, 5]);
        for (prediction, sigma) in [Prediction::Eps, Prediction::V]
            .into_iter()
            .zip([3.0f32, 0.3])
            .chain([(Prediction::V, 9.0)])
        {
            let model = ModelSampling::stable_diffusion(prediction);
            let x = &clean + &(&noise * sigma);
            let norm = (1.0 + sigma * sigma).sqrt();
            let output = match prediction {
                Prediction::Eps => noise.clone(),
                Prediction::V => (&noise - &(&clean * sigma)) / norm,
            };
            let error = model.denoised(&x, &output, sigma) - &clean;
            // Values up to 40 in f32.
            assert!(error.iter().all(|e| e.abs() < 2e-5), "{prediction:?} {sigma}");
        }
    }

    #[test]
    fn levels_that_do_not_rise_are_refused() {
        assert!(ModelSampling::new(Prediction::Eps, &[0.1, 0.1]).is_err());
        assert!(ModelSampling::new(Prediction::Eps, &[]).is_err());
    }
}
