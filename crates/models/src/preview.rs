//! Latents to small pictures without a VAE: a linear map, fitted to what the VAE makes of them.

use tensor::{Result, Weights};

const CHANNELS: usize = 4;

/// Red, green and blue of -1 to 1 for each channel of a scaled latent, then what is added.
#[derive(Clone, Copy)]
pub struct Preview([[f32; 3]; CHANNELS + 1]);

/// For the VAE of Stable Diffusion 1.x: Kevin Turner 2022, "Decoding latents to RGB without
/// upscaling" (discuss.huggingface.co/t/23204).
const STABLE_DIFFUSION_1: Preview = Preview([
    [0.298, 0.207, 0.208],
    [0.187, 0.286, 0.173],
    [-0.158, 0.189, 0.264],
    [-0.184, -0.271, -0.473],
    [0.0; 3],
]);

impl Preview {
    /// The map that comes with a checkpoint (`latent_to_rgb`, `[5, 3]`), or else that of Stable
    /// Diffusion 1.x.
    pub fn load(weights: &Weights) -> Result<Self> {
        if !weights.has("latent_to_rgb") {
            return Ok(STABLE_DIFFUSION_1);
        }
        let map = weights.get("latent_to_rgb")?;
        let shape = [CHANNELS + 1, 3];
        anyhow::ensure!(
            map.shape() == shape,
            weights.wrong("latent_to_rgb", &format!("{shape:?}"))
        );
        let map = map.to_f32()?;
        Ok(Self(std::array::from_fn(|channel| std::array::from_fn(|rgb| map[3 * channel + rgb]))))
    }

    /// Whether it is that of Stable Diffusion 1.x, whose latents others know too.
    pub fn is_general(&self) -> bool {
        self.0 == STABLE_DIFFUSION_1.0
    }

    /// A scaled latent `[4, H, W]` to bytes `[H, W, 3]`.
    pub fn rgb(&self, latent: &[f32]) -> Vec<u8> {
        let plane = latent.len() / CHANNELS;
        let colour = |pixel: usize, rgb: usize| {
            let sum = |c: usize| latent[c * plane + pixel] * self.0[c][rgb];
            let x = (0..CHANNELS).map(sum).sum::<f32>() + self.0[CHANNELS][rgb];
            ((x + 1.0) / 2.0 * 255.0) as u8
        };
        (0..3 * plane).map(|i| colour(i / 3, i % 3)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_adds_its_colour() {
        let mut map = [[0.0; 3]; 5];
        map[1] = [0.0, 1.0, -2.0];
        map[4] = [0.2, 0.0, 0.0];
        // Two pixels; only the second channel is not zero.
        let latent = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(Preview(map).rgb(&latent), [153, 127, 127, 153, 255, 0]);
    }
}
