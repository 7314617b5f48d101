//! How latents lie for a network, beside how a VAE gives them.

use crate::Latent;

/// What latents are multiplied by on their way into a network, and what is first taken away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatentFormat {
    pub scale: f32,
    /// Mean and standard deviation of each channel, where the network wants them to be 0 and 1.
    channels: Option<[[f32; 4]; 2]>,
}

impl LatentFormat {
    /// Of Playground 2.5 (Li et al. 2024), an SDXL model: every channel on its own.
    pub const PLAYGROUND: Self = Self {
        scale: 0.5,
        channels: Some([[-1.6574, 1.886, -1.383, 2.5155], [8.4927, 5.9022, 6.5498, 5.2299]]),
    };

    /// All channels alike: 0.18215 for Stable Diffusion 1 and 2.
    pub const fn scaled(scale: f32) -> Self {
        Self { scale, channels: None }
    }

    /// For the network. An empty latent, which is zero everywhere, stays so.
    pub fn enter(&self, latent: &Latent) -> Latent {
        let Some([mean, deviation]) = &self.channels else { return latent * self.scale };
        if latent.iter().all(|x| *x == 0.0) {
            return latent.clone();
        }
        channelwise(latent, |c, x| (x - mean[c]) * (self.scale / deviation[c]))
    }

    /// From the network.
    pub fn leave(&self, latent: &Latent) -> Latent {
        let Some([mean, deviation]) = &self.channels else { return latent / self.scale };
        channelwise(latent, |c, x| x * deviation[c] / self.scale + mean[c])
    }
}

/// `f` of each channel's number and value. A channel beyond the fourth is read as the fourth.
fn channelwise(latent: &Latent, f: impl Fn(usize, f32) -> f32) -> Latent {
    let mut latent = latent.clone();
    for ((_, c, _, _), x) in latent.indexed_iter_mut() {
        *x = f(c.min(3), *x);
    }
    latent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_come_back_as_they_went_in_and_empty_ones_stay_empty() {
        let latent = Latent::from_shape_fn((2, 4, 3, 5), |(n, c, y, x)| (n + c * y + x) as f32);
        let empty = Latent::zeros((1, 4, 2, 2));
        for format in [LatentFormat::scaled(0.18215), LatentFormat::PLAYGROUND] {
            let back = format.leave(&format.enter(&latent));
            assert!((back - &latent).iter().all(|e| e.abs() < 1e-5));
            assert_eq!(format.enter(&empty), empty);
        }
    }
}
