//! SEEDS (Gonzalez et al. 2023): exponential integrators of the reverse SDE without derivatives,
//! predicting the data, with an eta of 1.

use super::{Denoiser, Latent, Noise, Result, add_scaled, blend, lambda, sigma_at, steps};

/// SEEDS-2 with its second stage at half of the step.
pub fn seeds_2(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    const R: f32 = 0.5;
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let stages = Stages::new(sigma, next);
        let mid = stages.sigma(R);
        let noises = [noise(sigma, mid), noise(mid, next)];
        let there = stages.step(&x, &denoised, R, &[R], &noises);
        let second = denoiser.denoise(&there, mid)?;
        let target = blend(1.0 - 0.5 / R, &denoised, 0.5 / R, &second);
        x = stages.step(&x, &target, 1.0, &[R, 1.0], &noises);
    }
    Ok(x)
}

/// SEEDS-3 with its stages at a third and two thirds of the step.
pub fn seeds_3(
    denoiser: &mut Denoiser,
    noise: &mut Noise,
    mut x: Latent,
    sigmas: &[f32],
) -> Result<Latent> {
    const R: [f32; 3] = [1.0 / 3.0, 2.0 / 3.0, 1.0];
    for (i, sigma, next) in steps(sigmas) {
        let denoised = denoiser.begin_step(i, &x, sigma)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let stages = Stages::new(sigma, next);
        let [first, second] = [stages.sigma(R[0]), stages.sigma(R[1])];
        let noises = [noise(sigma, first), noise(first, second), noise(second, next)];
        let mut there = stages.step(&x, &denoised, R[0], &R[..1], &noises);
        let change = denoiser.denoise(&there, first)? - &denoised;
        there = stages.step(&x, &denoised, R[1], &R[..2], &noises);
        add_scaled(&mut there, R[1] / R[0] * stages.curve(R[1]), &change);
        let change = denoiser.denoise(&there, second)? - &denoised;
        x = stages.step(&x, &denoised, 1.0, &R, &noises);
        add_scaled(&mut x, stages.curve(1.0) / R[1], &change);
    }
    Ok(x)
}

/// A step, and the places within it.
struct Stages {
    sigma: f32,
    t: f32,
    /// Its length in lambda.
    h: f32,
}

impl Stages {
    fn new(sigma: f32, next: f32) -> Self {
        Self { sigma, t: lambda(sigma), h: lambda(next) - lambda(sigma) }
    }

    /// The level at the part `r` of the step.
    fn sigma(&self, r: f32) -> f32 {
        sigma_at(self.t + r * self.h)
    }

    /// The exact solution at the part `r` for a constant guess. Each of `noises` belongs to the
    /// piece that ends at its place in `places` and decays on the way from there to `r`.
    fn step(
        &self,
        x: &Latent,
        denoised: &Latent,
        r: f32,
        places: &[f32],
        noises: &[Latent],
    ) -> Latent {
        let h = r * self.h;
        let sigma = self.sigma(r);
        let mut there = blend(sigma / self.sigma * (-h).exp(), x, -(-2.0 * h).exp_m1(), denoised);
        let mut from = 0.0;
        for (place, noise) in places.iter().zip(noises) {
            // The variance is that of the process at `r` less what was there before the piece.
            let decay = |to: f32| (-2.0 * (r - to) * self.h).exp();
            add_scaled(&mut there, sigma * (decay(*place) - decay(from)).sqrt(), noise);
            from = *place;
        }
        there
    }

    /// How much of a linear change of the guess is taken in up to `r`.
    fn curve(&self, r: f32) -> f32 {
        let h = 2.0 * r * self.h;
        (-h).exp_m1() / h + 1.0
    }
}
