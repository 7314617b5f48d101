//! Guidance: from what a network predicts under several conditions to one denoised latent.

mod frequencies;
mod patches;
mod reuse;
mod rules;
mod weaker;

use crate::samplers::Guess;
use crate::{Latent, ModelSampling, mask};
use anyhow::{Result, ensure};
use ndarray::{Array3, Array4, Axis, Slice, Zip, concatenate};
use std::cell::RefCell;

pub use patches::{Grade, Patch};
use patches::{Patched, Sides};
pub use reuse::Reuse;
use reuse::Reused;
pub use rules::Rule;
use rules::{extrapolate, perp_neg};

/// Part of a latent, in latent units (pixels / 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub height: usize,
    pub width: usize,
    pub y: usize,
    pub x: usize,
}

/// Where a condition holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Region {
    Area(Area),
    /// Parts (0..=1) of the latent's height and width.
    Percent {
        height: f64,
        width: f64,
        y: f64,
        x: f64,
    },
}

/// One entry of a conditioning: what the network is told, and where, when and how strongly.
#[derive(Clone, Debug)]
pub struct Cond<C> {
    pub payload: C,
    pub strength: f32,
    /// `None` is the whole latent.
    pub region: Option<Region>,
    /// `[batch, height, width]` of any size.
    pub mask: Option<Array3<f32>>,
    pub mask_strength: f32,
    /// Restricts the network to the smallest area that holds the mask.
    pub set_area_to_bounds: bool,
    /// Parts (0..=1) of the run between which it holds.
    pub start_percent: f64,
    pub end_percent: f64,
    /// Which variant of the network is asked, by the caller's own numbering.
    pub variant: usize,
    /// Counts only as far as the others of its conditioning leave something of a weight of 1, in
    /// the place of its own strength and mask.
    pub fills: bool,
}

impl<C> Cond<C> {
    /// Holds everywhere and always.
    pub fn new(payload: C) -> Self {
        Self {
            payload,
            strength: 1.0,
            region: None,
            mask: None,
            mask_strength: 1.0,
            set_area_to_bounds: false,
            start_percent: 0.0,
            end_percent: 1.0,
            variant: 0,
            fills: false,
        }
    }
}

/// One condition of a batch, and the part of the latent that it is asked for.
pub struct Call<'a, C> {
    pub cond: &'a C,
    /// What was cut out of the latent, so that pictures which go with the condition can be cut
    /// alike. `None` is the whole.
    pub area: Option<Area>,
    /// Which variant of the network is asked: the same in all calls of a batch.
    pub variant: usize,
}

/// A diffusion network.
pub trait Network {
    /// What it is told: token vectors, pooled vectors, pictures.
    type Cond;

    /// The raw output (eps or v) for a batch.
    ///
    /// `x` `[calls.len() * n, c, h, w]` is scaled to unit variance; rows `i * n .. (i + 1) * n`
    /// belong to `calls[i]`. All have the same `sigma` and `timestep`. A network that cannot take
    /// so many rows at once may split them; token lists of different lengths are its own to repeat.
    fn predict(
        &mut self,
        x: &Latent,
        sigma: f32,
        timestep: f32,
        calls: &[Call<Self::Cond>],
    ) -> Result<Latent>;

    /// Whether two conditions may share a batch; their latents have the same shape.
    fn can_batch(&self, a: &Self::Cond, b: &Self::Cond) -> bool;

    /// From now on, or no longer, answers as if every place in the middle of the network saw itself
    /// only: with a picture whose parts do not go together.
    fn perturb(&mut self, _: bool) {}

    /// How much the places in the middle of the network were looked at by all others, in the last
    /// question under this condition: `[n, height, width]`, 1 on average. `None` from a network
    /// that does not tell.
    fn looked_at(&self, _: &Self::Cond) -> Option<Array3<f32>> {
        None
    }
}

/// What guides a run.
pub struct Guider<'a, C> {
    pub rule: Rule,
    /// As many as the rule wants, in its order. One that is empty is zero everywhere.
    pub conds: Vec<&'a [Cond<C>]>,
    /// Changes to the rule that the model brings along.
    pub patches: &'a [Patch],
    /// Lets a mask say for each place from which part of the run on it is sampled, this strongly
    /// (Levin and Fried 2023, "Differential Diffusion").
    pub differential: Option<f32>,
}

impl<'a, C> Guider<'a, C> {
    /// Of a positive and a negative.
    pub fn cfg(cfg: f64, conds: [&'a [Cond<C>]; 2]) -> Self {
        Self { rule: Rule::Cfg(cfg), conds: conds.to_vec(), patches: &[], differential: None }
    }
}

/// A guider, made ready for latents of one size.
pub struct Guidance<'a, C> {
    entries: Vec<Entry<'a, C>>,
    rule: Rule,
    patches: Patched,
    reused: Option<RefCell<Reused>>,
    /// How many conditionings there are, and whether the last of them is asked.
    sides: usize,
    asks_last: bool,
}

/// A condition whose place and time are resolved.
struct Entry<'a, C> {
    cond: &'a C,
    /// The number of its conditioning within the guider.
    side: usize,
    shape: EntryShape,
}

#[derive(Clone)]
struct EntryShape {
    area: Option<Area>,
    mask: Option<Array3<f32>>,
    strength: f32,
    /// Holds for sigmas in end..=start.
    start: f64,
    end: f64,
    variant: usize,
    fills: bool,
}

/// An entry that holds at the present level, and how much each element of its crop counts.
struct Asked<'e, 'a, C> {
    entry: &'e Entry<'a, C>,
    weights: Latent,
}

impl<'a, C> Guidance<'a, C> {
    /// For latents of `height` x `width`. `wants_uncond` has the negative asked even where the
    /// rule can do without.
    pub fn new(
        model: &ModelSampling,
        guider: &Guider<'a, C>,
        wants_uncond: bool,
        (height, width): (usize, usize),
    ) -> Result<Self> {
        let ready = |(side, conds): (usize, &&'a [Cond<C>])| -> Result<Vec<Entry<'a, C>>> {
            let shape = |cond| EntryShape::new(model, cond, height, width);
            let entry =
                |cond: &'a Cond<C>| Ok(Entry { cond: &cond.payload, side, shape: shape(cond)? });
            conds.iter().map(entry).collect()
        };
        let wanted = guider.rule.sides();
        ensure!(guider.conds.len() == wanted, "this rule of guidance wants {wanted} conditionings");
        let mut sides = guider.conds.iter().enumerate().map(ready).collect::<Result<Vec<_>>>()?;
        for from in 0..sides.len() {
            for onto in (0..sides.len()).filter(|onto| *onto != from) {
                let mirrored = mirror_areas(&sides[from], &sides[onto], onto);
                sides[onto].extend(mirrored);
            }
        }
        let wants_uncond = wants_uncond || guider.patches.iter().any(|patch| patch.wants_uncond());
        for idle in guider.rule.idle_sides().iter().filter(|_| !wants_uncond) {
            sides[*idle].clear();
        }
        Ok(Self {
            sides: sides.len(),
            asks_last: sides.last().is_some_and(|side| !side.is_empty()),
            entries: sides.into_iter().flatten().collect(),
            rule: guider.rule,
            patches: Patched::new(guider.patches),
            reused: Reused::new(model, guider.patches).map(RefCell::new),
        })
    }

    /// The guided guess, and the negative's own.
    pub fn denoise<N: Network<Cond = C>>(
        &mut self,
        network: &mut N,
        model: &ModelSampling,
        x: &Latent,
        sigma: f32,
    ) -> Result<Guess> {
        let reused = self.reused.as_mut().map(RefCell::get_mut);
        let known = reused.filter(|reused| reused.settings.guided).and_then(|r| r.guess(x, sigma));
        if let Some(guess) = known {
            return Ok(guess);
        }
        let guess = self.ask(network, model, x, sigma)?;
        let reused = self.reused.as_mut().map(RefCell::get_mut);
        if let Some(reused) = reused.filter(|reused| reused.settings.guided) {
            reused.learn_guess(x, sigma, &guess);
        }
        Ok(guess)
    }

    /// As [`Guidance::denoise`], by asking the network.
    fn ask<N: Network<Cond = C>>(
        &mut self,
        network: &mut N,
        model: &ModelSampling,
        x: &Latent,
        sigma: f32,
    ) -> Result<Guess> {
        let ask = weaker::Ask { model, x, sigma };
        let sides = self.denoise_sides(network, model, x, sigma, None)?;
        let weaker: Vec<Patch> = self.patches.of_weaker_networks().collect();
        let positive = (!weaker.is_empty()).then(|| sides[0].clone());
        let mut guess = self.guide(sides, x, sigma);
        for (patch, positive) in weaker.iter().zip(positive.iter().cycle()) {
            guess.denoised += &self.away_from(patch, network, &ask, [positive, &guess.uncond])?;
        }
        Ok(guess)
    }

    /// What the rule makes of each conditioning's own denoised latent.
    fn guide(&mut self, sides: Vec<Latent>, x: &Latent, sigma: f32) -> Guess {
        let mut sides = sides.into_iter();
        let mut next = || sides.next().expect("as many as the rule wants");
        let (first, second) = (next(), next());
        let pair = |cfg, cond, uncond| Sides { x, sigma, cfg: cfg as f32, cond, uncond };
        let (denoised, pair) = match self.rule {
            Rule::Cfg(cfg) => {
                return self.patches.guide(pair(cfg, first, second), self.asks_last);
            }
            Rule::DualCfg { conds, middle_negative } => {
                let away = (first - &second) * conds as f32;
                let pair = pair(middle_negative, second, next());
                (self.patches.combine(&pair) + away, pair)
            }
            Rule::NestedCfg { conds, middle_negative } => {
                let pair = pair(conds, first, second);
                let both = self.patches.combine(&pair);
                (extrapolate(&next(), &both, middle_negative as f32), pair)
            }
            Rule::PerpNeg { cfg, neg_scale } => {
                let all = perp_neg(&first, &second, &next(), cfg as f32, neg_scale as f32);
                let pair = pair(cfg, first, second);
                (self.patches.finish(all, &pair), pair)
            }
        };
        Guess { denoised, uncond: pair.uncond }
    }

    /// Each conditioning's own denoised latent, or that of only one; zeros where no entry holds.
    fn denoise_sides<N: Network<Cond = C>>(
        &self,
        network: &mut N,
        model: &ModelSampling,
        x: &Latent,
        sigma: f32,
        only: Option<usize>,
    ) -> Result<Vec<Latent>> {
        let reused = self.reused.as_ref().filter(|reused| !reused.borrow().settings.guided);
        if let Some(reused) = reused {
            reused.borrow_mut().begin();
        }
        let mut sums: Vec<_> = (0..self.sides).map(|_| WeightedSum::new(x.raw_dim())).collect();
        let mut waiting = self.asked(x, sigma, only);
        while let Some(first) = waiting.first().map(|asked| asked.entry) {
            let shares = |entry: &Entry<C>| {
                entry.shape.crop_of(x).dim() == first.shape.crop_of(x).dim()
                    && entry.shape.variant == first.shape.variant
                    && network.can_batch(entry.cond, first.cond)
            };
            let (mut batch, rest): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|asked| std::ptr::eq(asked.entry, first) || shares(asked.entry));
            waiting = rest;
            batch.reverse();
            let entries: Vec<_> = batch.iter().map(|asked| asked.entry).collect();
            let outputs = predict_batch(network, model, x, sigma, &entries, reused)?;
            for (Asked { entry, weights }, denoised) in batch.iter().zip(outputs) {
                sums[entry.side].add(entry.shape.area, &denoised, weights);
            }
        }
        Ok(sums.into_iter().map(WeightedSum::mean).collect())
    }

    /// The entries that hold at this level; those that fill come last, where others leave them a place.
    fn asked(&self, x: &Latent, sigma: f32, only: Option<usize>) -> Vec<Asked<'_, 'a, C>> {
        let holds = |entry: &&Entry<C>| {
            entry.shape.holds_at(sigma) && only.is_none_or(|side| entry.side == side)
        };
        let (fillers, others): (Vec<_>, Vec<_>) =
            self.entries.iter().filter(holds).partition(|entry| entry.shape.fills);
        let mut all: Vec<Asked<C>> = others
            .into_iter()
            .map(|entry| Asked { entry, weights: entry.shape.weights(x) })
            .collect();
        let mut left: Vec<Option<Latent>> = vec![None; self.sides];
        for entry in fillers {
            let left = left[entry.side].get_or_insert_with(|| left_by(&all, entry.side, x));
            if left.iter().any(|weight| *weight > 0.0) {
                all.push(Asked { entry, weights: entry.shape.crop_of(left).to_owned() });
            }
        }
        all
    }
}

/// What the entries of a side leave of a weight of 1.
fn left_by<C>(asked: &[Asked<C>], side: usize, x: &Latent) -> Latent {
    let mut left = Latent::ones(x.raw_dim());
    for Asked { entry, weights } in asked.iter().filter(|asked| asked.entry.side == side) {
        let mut part = left.view_mut();
        if let Some(area) = entry.shape.area {
            part.slice_axis_inplace(Axis(2), area.rows());
            part.slice_axis_inplace(Axis(3), area.columns());
        }
        part -= weights;
    }
    left.mapv(|weight| weight.max(0.0))
}

/// The denoised latent of each entry, from one call of the network.
fn predict_batch<N: Network>(
    network: &mut N,
    model: &ModelSampling,
    x: &Latent,
    sigma: f32,
    batch: &[&Entry<N::Cond>],
    reused: Option<&RefCell<Reused>>,
) -> Result<Vec<Latent>> {
    let crops: Vec<_> = batch.iter().map(|entry| entry.shape.crop_of(x)).collect();
    let x = concatenate(Axis(0), &crops)?;
    let calls: Vec<_> = batch
        .iter()
        .map(|Entry { cond, shape, .. }| Call {
            cond: *cond,
            area: shape.area,
            variant: shape.variant,
        })
        .collect();
    let scaled = model.scale_input(&x, sigma);
    let places: Vec<usize> =
        batch.iter().map(|entry| std::ptr::from_ref(*entry) as usize).collect();
    let known = reused.and_then(|r| r.borrow_mut().answer(&scaled, sigma, &places));
    let output = match known {
        Some(output) => output,
        None => {
            let output = network.predict(&scaled, sigma, model.timestep(sigma), &calls)?;
            if let Some(reused) = reused {
                reused.borrow_mut().learn(&scaled, &output, sigma, &places);
            }
            output
        }
    };
    ensure!(
        output.dim() == x.dim(),
        "the network answered with shape {:?} where {:?} was expected",
        output.shape(),
        x.shape()
    );
    let denoised = model.denoised(&x, &output, sigma);
    let rows = crops[0].len_of(Axis(0)).max(1);
    Ok(denoised.axis_chunks_iter(Axis(0), rows).map(|chunk| chunk.to_owned()).collect())
}

/// A mean of latents weighted per element, where each may cover only a part.
struct WeightedSum {
    sum: Latent,
    weight: Latent,
}

impl WeightedSum {
    fn new(shape: ndarray::Dim<[usize; 4]>) -> Self {
        // Not zero, so that what nothing covers becomes 0 and not NaN.
        Self { sum: Latent::zeros(shape), weight: Latent::from_elem(shape, 1e-37) }
    }

    fn add(&mut self, area: Option<Area>, values: &Latent, weights: &Latent) {
        let (mut sum, mut weight) = (self.sum.view_mut(), self.weight.view_mut());
        if let Some(area) = area {
            sum.slice_axis_inplace(Axis(2), area.rows());
            sum.slice_axis_inplace(Axis(3), area.columns());
            weight.slice_axis_inplace(Axis(2), area.rows());
            weight.slice_axis_inplace(Axis(3), area.columns());
        }
        Zip::from(&mut sum).and(&mut weight).and(values).and(weights).for_each(
            |sum, weight, v, w| {
                *sum += v * w;
                *weight += w;
            },
        );
    }

    fn mean(self) -> Latent {
        self.sum / self.weight
    }
}

impl Area {
    fn rows(self) -> Slice {
        Slice::from(self.y..self.y + self.height)
    }

    fn columns(self) -> Slice {
        Slice::from(self.x..self.x + self.width)
    }

    fn is_inside(self, other: Area) -> bool {
        self.y >= other.y
            && self.x >= other.x
            && self.y + self.height <= other.y + other.height
            && self.x + self.width <= other.x + other.width
    }

    /// Without what lies beyond a latent of this size.
    fn clipped(self, height: usize, width: usize) -> Result<Area> {
        let clipped = Area {
            height: self.height.min(height.saturating_sub(self.y)),
            width: self.width.min(width.saturating_sub(self.x)),
            ..self
        };
        ensure!(
            clipped.height > 0 && clipped.width > 0,
            "a conditioning's area (height {}, width {}, y {}, x {}; in pixels, 8 times that) lies \
             outside the latent, which is {height} high and {width} wide",
            self.height,
            self.width,
            self.y,
            self.x
        );
        Ok(clipped)
    }
}

impl Region {
    /// In units of a latent of this size, rounded to even as Python does.
    fn resolve(self, latent_height: usize, latent_width: usize) -> Area {
        let part = |part: f64, of: usize| (part * of as f64).round_ties_even() as usize;
        match self {
            Region::Area(area) => area,
            Region::Percent { height, width, y, x } => Area {
                height: part(height, latent_height).max(1),
                width: part(width, latent_width).max(1),
                y: part(y, latent_height),
                x: part(x, latent_width),
            },
        }
    }
}

/// An entry on the side `onto` for every area of another side that it lacks, so that all are asked
/// about the same crop. The words are those of the smallest entry that the area lies in.
fn mirror_areas<'a, C>(
    from: &[Entry<'a, C>],
    onto: &[Entry<'a, C>],
    side: usize,
) -> Vec<Entry<'a, C>> {
    let mut mirrored: Vec<Entry<'a, C>> = Vec::new();
    for entry in from {
        let Some(area) = entry.shape.area else { continue };
        let around = |other: &&Entry<C>| other.shape.area.is_none_or(|other| area.is_inside(other));
        let size = |other: &&Entry<C>| other.shape.area.map_or(usize::MAX, |a| a.height * a.width);
        let all = onto.iter().chain(&mirrored);
        let Some(smallest) = all.filter(around).min_by_key(size) else { continue };
        if smallest.shape.area != Some(area) {
            let cond = smallest.cond;
            mirrored.push(Entry { cond, side, shape: entry.shape.clone() });
        }
    }
    mirrored
}

/// The smallest area, of at least 8 x 8, that holds all of a mask.
fn bounds(mask: &Array3<f32>) -> Area {
    let mut corners: Option<[usize; 4]> = None;
    for ((_, y, x), _) in mask.indexed_iter().filter(|(_, m)| **m != 0.0) {
        let [top, left, bottom, right] = corners.unwrap_or([y, x, y, x]);
        corners = Some([top.min(y), left.min(x), bottom.max(y), right.max(x)]);
    }
    let [top, left, bottom, right] = corners.unwrap_or_default();
    Area { height: (bottom - top + 1).max(8), width: (right - left + 1).max(8), y: top, x: left }
}

/// Ramps down towards the edges of an area that are not edges of the picture.
fn feather(weights: &mut Array4<f32>, axis: Axis, at_start: bool, at_end: bool) {
    let size = weights.len_of(axis);
    let ramp = (size / 4).min(8);
    for t in 0..ramp {
        let weight = (1.0 / ramp as f64 * (t + 1) as f64) as f32;
        if at_start {
            weights.index_axis_mut(axis, t).mapv_inplace(|w| w * weight);
        }
        if at_end {
            weights.index_axis_mut(axis, size - 1 - t).mapv_inplace(|w| w * weight);
        }
    }
}

impl EntryShape {
    fn new<C>(model: &ModelSampling, cond: &Cond<C>, height: usize, width: usize) -> Result<Self> {
        let mask = cond.mask.as_ref().filter(|mask| !mask.is_empty());
        let mask = mask.map(|mask| mask::resize(mask, height, width));
        let area = match &mask {
            Some(mask) if cond.set_area_to_bounds => Some(bounds(mask)),
            _ => cond.region.map(|region| region.resolve(height, width)),
        };
        Ok(Self {
            area: area.map(|area| area.clipped(height, width)).transpose()?,
            mask: mask.map(|mask| mask * cond.mask_strength),
            strength: cond.strength,
            start: model.percent_to_sigma(cond.start_percent),
            end: model.percent_to_sigma(cond.end_percent),
            variant: cond.variant,
            fills: cond.fills,
        })
    }

    fn holds_at(&self, sigma: f32) -> bool {
        (self.end..=self.start).contains(&f64::from(sigma))
    }

    fn crop_of<'x>(&self, x: &'x Latent) -> ndarray::ArrayView4<'x, f32> {
        let mut crop = x.view();
        if let Some(area) = self.area {
            crop.slice_axis_inplace(Axis(2), area.rows());
            crop.slice_axis_inplace(Axis(3), area.columns());
        }
        crop
    }

    /// How much each element of the crop counts.
    fn weights(&self, x: &Latent) -> Array4<f32> {
        let (n, c, height, width) = self.crop_of(x).dim();
        let Some(mask) = &self.mask else {
            let mut weights = Array4::from_elem((n, c, height, width), self.strength);
            if let Some(area) = self.area {
                feather(&mut weights, Axis(2), area.y > 0, area.y + height < x.dim().2);
                feather(&mut weights, Axis(3), area.x > 0, area.x + width < x.dim().3);
            }
            return weights;
        };
        let mut mask = mask.view();
        if let Some(area) = self.area {
            mask.slice_axis_inplace(Axis(1), area.rows());
            mask.slice_axis_inplace(Axis(2), area.columns());
        }
        mask::for_latent(&mask.mapv(|m| m * self.strength), [n, c, height, width])
    }
}

#[cfg(test)]
mod tests;
