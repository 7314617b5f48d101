//! Rules of guidance: how several denoised latents become one.

use crate::Latent;
use ndarray::Zip;

/// How the denoised latents of several conditionings become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Of a positive and a negative: uncond + (cond - uncond) cfg (Ho and Salimans 2022). With a
    /// cfg of 1 the negative is not asked.
    Cfg(f64),
    /// Of a positive, a middle and a negative: both differences are drawn out, each by its own
    /// scale (Brooks et al. 2023, equation 3).
    DualCfg { conds: f64, middle_negative: f64 },
    /// Of the same: what the first two make together is drawn out from the negative.
    NestedCfg { conds: f64, middle_negative: f64 },
    /// Of a positive, a negative and an empty prompt: the negative counts as far as it is
    /// perpendicular to the positive (Armandpour et al. 2023, "Perp-Neg").
    PerpNeg { cfg: f64, neg_scale: f64 },
}

impl Rule {
    /// Of how many conditionings it is.
    pub fn sides(self) -> usize {
        if matches!(self, Self::Cfg(_)) { 2 } else { 3 }
    }

    /// Those that a scale of 1 leaves nothing of.
    pub fn idle_sides(self) -> &'static [usize] {
        let is_one = |scale: f64| (scale - 1.0).abs() <= 1e-9 * scale.abs().max(1.0);
        match self {
            Self::Cfg(cfg) if is_one(cfg) => &[1],
            Self::DualCfg { conds, middle_negative } if is_one(middle_negative) => {
                if is_one(conds) { &[1, 2] } else { &[2] }
            }
            _ => &[],
        }
    }
}

/// from + (to - from) scale
pub fn extrapolate(from: &Latent, to: &Latent, scale: f32) -> Latent {
    Zip::from(from).and(to).map_collect(|from, to| from + (to - from) * scale)
}

/// Perp-Neg's weighted sum, on the whole batch as one vector.
pub fn perp_neg(pos: &Latent, neg: &Latent, empty: &Latent, cfg: f32, neg_scale: f32) -> Latent {
    let (pos, neg) = (pos - empty, neg - empty);
    let square = (&pos * &pos).sum();
    let parallel = if square > 0.0 { (&neg * &pos).sum() / square } else { 0.0 };
    let perpendicular = neg - &pos * parallel;
    empty + &((pos - perpendicular * neg_scale) * cfg)
}
