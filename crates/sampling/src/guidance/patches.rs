//! Changes to classifier-free guidance that are plain arithmetic on denoised latents.

use super::{Guess, Reuse, extrapolate, frequencies};
use crate::{Latent, LatentOperation};
use ndarray::{ArrayView3, ArrayViewMut3, Axis, Zip};

/// One change; a model may have several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Patch {
    /// Scales what guidance gives, as a velocity, back to the spread of the positive's, for this
    /// part (Lin et al. 2023, section 3.4). Only the last one of a model counts.
    RescaleCfg(f32),
    /// CFG-Zero* (Fan et al. 2025): scales the negative to fit the positive best.
    ZeroStar,
    /// Bounds each element's channels to the length of the positive's, times this strength.
    Norm(f32),
    /// Tangential damping (Kwon et al. 2025, "TCFG"): of the negative, only what lies along the
    /// first singular vector of both remains.
    Tangential,
    /// Adaptive projected guidance (Sadat et al. 2024, algorithm 1).
    Projected {
        /// How much of the part parallel to the positive stays.
        eta: f32,
        /// The longest that the difference may be; 0 is any length.
        norm_threshold: f32,
        /// Below 0, how much of the differences before is taken away again.
        momentum: f32,
    },
    /// Mahiro (no paper): leans to the scaled positive, the more so the less the result is like the negative.
    Mahiro,
    /// Scales what the positive has over the negative: its low frequencies, those below `cutoff`, by
    /// `low`, the others by `high` (Huang et al. 2025, "FreSca").
    Frequencies { low: f32, high: f32, cutoff: usize },
    /// Does again what was done in steps before, where little changes. Only the last one counts.
    Reuse(Reuse),
    /// Divides the noise (Ning et al. 2024, "Elucidating the exposure bias").
    EpsilonScaling(f32),
    /// Puts the difference of the sides through a change of latents.
    Operation(LatentOperation),
    /// Guides the pictures of a batch unlike one another, from this strength on the first to the run's own.
    /// Of these and of [`Patch::RescaleCfg`] only the last one of a model counts.
    Graded { least: f32, shape: Grade },
    /// Leads away, by this scale, from what the positive comes to with self-attention in the middle
    /// of the network undone (Ahn et al. 2024, "Self-rectifying diffusion sampling").
    Perturbed(f32),
    /// Leads away from what the negative comes to where the picture is blurred at the places that
    /// the network looks at (Hong et al. 2023, "Self-attention guidance", algorithm 1).
    SelfAttention {
        scale: f32,
        /// Of the blur, in latent pixels.
        blur: f32,
    },
}

/// How guidance grows over a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// To the last picture.
    Linear,
    /// To the middle one, and back.
    Triangle,
}

impl Patch {
    /// Whether it asks the network more than guidance does.
    fn asks_weaker_network(self) -> bool {
        matches!(self, Self::Perturbed(_) | Self::SelfAttention { .. })
    }

    /// Whether it needs the negative where guidance could do without.
    pub(super) fn wants_uncond(self) -> bool {
        matches!(self, Self::SelfAttention { .. })
    }
}

/// The denoised latents of both sides, and what they were made of.
pub(super) struct Sides<'a> {
    pub x: &'a Latent,
    pub sigma: f32,
    pub cfg: f32,
    pub cond: Latent,
    pub uncond: Latent,
}

/// The patches of a run, with the memory of those that have one.
pub(super) struct Patched(Vec<(Patch, Option<Momentum>)>);

/// The running sum of differences, and the level at which it was last changed.
struct Momentum {
    sigma: f32,
    sum: Latent,
}

impl Patched {
    pub fn new(patches: &[Patch]) -> Self {
        Self(patches.iter().map(|patch| (*patch, None)).collect())
    }

    /// Those that ask the network more than guidance does.
    pub fn of_weaker_networks(&self) -> impl Iterator<Item = Patch> {
        self.0.iter().map(|(patch, _)| *patch).filter(|patch| patch.asks_weaker_network())
    }

    /// The whole of it: what comes before guidance, guidance, what comes after.
    pub fn guide(&mut self, mut sides: Sides, asks_uncond: bool) -> Guess {
        for (patch, memory) in &mut self.0 {
            match *patch {
                Patch::Tangential if asks_uncond => sides.uncond = tangential(&sides),
                Patch::Projected { eta, norm_threshold, momentum } => {
                    let difference = with_momentum(memory, momentum, &sides);
                    sides.cond = projected(&sides, difference, eta, norm_threshold);
                }
                Patch::Frequencies { low, high, cutoff } => {
                    let difference = &sides.cond - &sides.uncond;
                    let scaled = frequencies::scaled(&difference, low, high, cutoff);
                    sides.cond = scaled + &sides.uncond;
                }
                Patch::Operation(operation) => {
                    let difference = operation.apply(&(&sides.cond - &sides.uncond));
                    sides.cond = difference + &sides.uncond;
                }
                _ => {}
            }
        }
        Guess { denoised: self.combine(&sides), uncond: sides.uncond }
    }

    /// Guidance, and what comes after.
    pub fn combine(&self, sides: &Sides) -> Latent {
        let own_rule = self.0.iter().rev().find_map(|(patch, _)| match *patch {
            Patch::RescaleCfg(part) => Some(rescaled(sides, part)),
            Patch::Graded { least, shape } => Some(graded(sides, least, shape)),
            _ => None,
        });
        let denoised =
            own_rule.unwrap_or_else(|| extrapolate(&sides.uncond, &sides.cond, sides.cfg));
        self.finish(denoised, sides)
    }

    /// What comes after guidance, in the order of the patches.
    pub fn finish(&self, denoised: Latent, sides: &Sides) -> Latent {
        self.0.iter().fold(denoised, |denoised, (patch, _)| match *patch {
            Patch::ZeroStar => zero_star(denoised, sides),
            Patch::Norm(strength) => bounded(denoised, sides, strength),
            Patch::Mahiro => mahiro(&denoised, sides),
            Patch::EpsilonScaling(scale) => {
                Zip::from(sides.x).and(&denoised).map_collect(|x, d| x - (x - d) / scale)
            }
            Patch::RescaleCfg(_)
            | Patch::Graded { .. }
            | Patch::Operation(_)
            | Patch::Tangential
            | Patch::Projected { .. }
            | Patch::Frequencies { .. }
            | Patch::Reuse(_)
            | Patch::Perturbed(_)
            | Patch::SelfAttention { .. } => denoised,
        })
    }
}

/// Calls `f` with the pictures of a batch, one after another.
fn each_picture(
    latents: [&Latent; 2],
    out: &mut Latent,
    mut f: impl FnMut([ArrayView3<f32>; 2], ArrayViewMut3<f32>),
) {
    for (i, out) in out.outer_iter_mut().enumerate() {
        f(latents.map(|latent| latent.index_axis(Axis(0), i)), out);
    }
}

fn dot(a: &ArrayView3<f32>, b: &ArrayView3<f32>) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// With n - 1 degrees of freedom.
fn deviation(x: &ArrayView3<f32>) -> f64 {
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
    let squares: f64 = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
    (squares / (x.len() as f64 - 1.0)).sqrt()
}

fn rescaled(sides: &Sides, part: f32) -> Latent {
    let Sides { x, sigma, .. } = *sides;
    let norm = (sigma * sigma + 1.0).sqrt();
    let base = x / (norm * norm);
    let velocity = |denoised: &Latent| (&base - denoised) * (norm / sigma);
    let cond = velocity(&sides.cond);
    let mut guided = extrapolate(&velocity(&sides.uncond), &cond, sides.cfg);
    let wide = guided.clone();
    each_picture([&cond, &wide], &mut guided, |[cond, wide], mut guided| {
        let scale = (deviation(&cond) / deviation(&wide)) as f32;
        guided *= part * scale + (1.0 - part);
    });
    base - guided * (sigma / norm)
}

fn graded(sides: &Sides, least: f32, shape: Grade) -> Latent {
    let mut guided = &sides.cond - &sides.uncond;
    let last = guided.dim().0.saturating_sub(1).max(1);
    for (i, mut picture) in guided.outer_iter_mut().enumerate() {
        let part = i as f32 / last as f32;
        let part = match shape {
            Grade::Linear => part,
            Grade::Triangle => 1.0 - (2.0 * part - 1.0).abs(),
        };
        picture *= least + (sides.cfg - least) * part;
    }
    guided + &sides.uncond
}

fn zero_star(denoised: Latent, sides: &Sides) -> Latent {
    let (pos, neg) = (sides.x - &sides.cond, sides.x - &sides.uncond);
    let mut out = denoised;
    for (i, mut picture) in out.outer_iter_mut().enumerate() {
        let [pos, neg, uncond] = [&pos, &neg, &sides.uncond].map(|l| l.index_axis(Axis(0), i));
        let fit = (dot(&pos, &neg) / (dot(&neg, &neg) + 1e-8)) as f32;
        picture.scaled_add((fit - 1.0) * (1.0 - sides.cfg), &uncond);
    }
    out
}

fn bounded(mut denoised: Latent, sides: &Sides, strength: f32) -> Latent {
    let length = |latent: &Latent| (latent * latent).sum_axis(Axis(1)).mapv(f32::sqrt);
    let scale = length(&sides.cond) / (length(&denoised) + 1e-8);
    let scale = scale.mapv(|scale| scale.clamp(0.0, 1.0) * strength);
    denoised *= &scale.insert_axis(Axis(1));
    denoised
}

/// The first right singular vector of two rows is the mix of them whose weights are the first
/// eigenvector of their 2 x 2 matrix of products.
fn tangential(sides: &Sides) -> Latent {
    let (cond, uncond) = (sides.x - &sides.cond, sides.x - &sides.uncond);
    let mut kept = Latent::zeros(uncond.raw_dim());
    each_picture([&cond, &uncond], &mut kept, |[cond, uncond], mut kept| {
        let (a, b, c) = (dot(&uncond, &uncond), dot(&uncond, &cond), dot(&cond, &cond));
        let angle = 0.5 * (2.0 * b).atan2(a - c);
        let (u, v) = (angle.cos(), angle.sin());
        let square = u * u * a + 2.0 * u * v * b + v * v * c;
        let along = if square > 0.0 { (u * a + v * b) / square } else { 0.0 };
        kept.scaled_add((along * u) as f32, &uncond);
        kept.scaled_add((along * v) as f32, &cond);
    });
    sides.x - kept
}

/// The difference of the sides, with what is remembered. A level that rises begins a new run.
fn with_momentum(memory: &mut Option<Momentum>, momentum: f32, sides: &Sides) -> Latent {
    let difference = &sides.cond - &sides.uncond;
    if momentum == 0.0 {
        return difference;
    }
    let sum = match memory.take().filter(|memory| sides.sigma <= memory.sigma) {
        Some(memory) => memory.sum * momentum + difference,
        None => difference,
    };
    *memory = Some(Momentum { sigma: sides.sigma, sum: sum.clone() });
    sum
}

/// The positive such that guidance adds the shortened, projected difference cfg times.
fn projected(sides: &Sides, mut difference: Latent, eta: f32, threshold: f32) -> Latent {
    for (mut picture, cond) in difference.outer_iter_mut().zip(sides.cond.outer_iter()) {
        let length = dot(&picture.view(), &picture.view()).sqrt() as f32;
        if threshold > 0.0 && length > threshold {
            picture *= threshold / length;
        }
        let square = dot(&cond, &cond).max(1e-24);
        let parallel = (dot(&picture.view(), &cond) / square) as f32;
        picture.scaled_add((eta - 1.0) * parallel, &cond);
    }
    &sides.uncond + &difference + (&sides.cond - &sides.uncond) / sides.cfg
}

fn mahiro(denoised: &Latent, sides: &Sides) -> Latent {
    let leap = &sides.cond * sides.cfg;
    let root = |x: f32| x.abs().sqrt().copysign(x);
    let negative = (&sides.uncond * sides.cfg).mapv(root);
    let merged = ((&leap + denoised) / 2.0).mapv(root);
    let likeness = cosine_over_channels(&negative, &merged);
    let weight = 2.0 * (likeness + 1.0);
    (denoised * weight + leap * (4.0 - weight)) / 4.0
}

/// The mean over places of the cosine between two latents' channels.
fn cosine_over_channels(a: &Latent, b: &Latent) -> f32 {
    let length = |x: &Latent| (x * x).sum_axis(Axis(1)).mapv(|s| s.sqrt().max(1e-8));
    let cosines = (a * b).sum_axis(Axis(1)) / (length(a) * length(b));
    cosines.mean().unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
