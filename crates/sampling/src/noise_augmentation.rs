//! Noise on what a model is told of a picture (Ho et al. 2022, "Cascaded Diffusion Models", section 4).

/// The cosine schedule (Nichol and Dhariwal 2021, equation 17): noise by level.
pub struct NoiseAugmentation {
    /// How much of the original there is at each level, and of the noise.
    shares: Vec<[f32; 2]>,
}

const LEVELS: usize = 1000;
/// The largest part of its variance that a step may replace.
const MAX_BETA: f64 = 0.999;

impl Default for NoiseAugmentation {
    fn default() -> Self {
        let alpha_bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
        let mut product = 1.0;
        let shares = (0..LEVELS).map(|i| {
            let [now, next] = [i, i + 1].map(|i| alpha_bar(i as f64 / LEVELS as f64));
            product *= 1.0 - (1.0 - next / now).min(MAX_BETA);
            [product.sqrt() as f32, (1.0 - product).sqrt() as f32]
        });
        Self { shares: shares.collect() }
    }
}

impl NoiseAugmentation {
    /// The level for a strength of 0 to 1.
    pub fn level(strength: f64) -> usize {
        ((LEVELS - 1) as f64 * strength.clamp(0.0, 1.0)).round_ties_even() as usize
    }

    /// `x` at this level, mixed with unit noise of the same length.
    pub fn noised(&self, x: &[f32], level: usize, noise: &[f32]) -> Vec<f32> {
        let [original, noisy] = self.shares[level.min(LEVELS - 1)];
        x.iter().zip(noise).map(|(x, n)| original * x + noisy * n).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares as diffusers' `DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")` has them.
    #[test]
    fn noise_grows_as_the_cosine_schedule_says() {
        let augmentation = NoiseAugmentation::default();
        for (level, cumulative) in
            [(0, 0.999_958_7), (50, 0.991_724_7), (500, 0.492_285), (999, 2.4e-9)]
        {
            let [original, noise] = augmentation.shares[level];
            assert!((original * original - cumulative).abs() < 1e-6, "{level}: {original}");
            assert!((original * original + noise * noise - 1.0).abs() < 1e-6, "{level}: {noise}");
        }
        assert_eq!([0.0, 0.05, 1.0].map(NoiseAugmentation::level), [0, 50, 999]);
        let noised = augmentation.noised(&[1.0, 0.0], 500, &[0.0, 1.0]);
        assert_eq!(noised, augmentation.shares[500]);
    }
}
