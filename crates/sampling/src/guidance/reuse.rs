//! Answers that are not asked for: where little changes from step to step, what the network did last time is
//! done again (Zhou et al. 2025, "Less is Enough", EasyCache: section 3.3).

use super::{Guess, Patch};
use crate::{Latent, ModelSampling};
use ndarray::{Axis, Slice, s};
use std::collections::HashMap;

/// How much change is let pass, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reuse {
    /// Of the changes that are expected of the answer since it was last asked for, as parts of it.
    pub threshold: f32,
    /// Parts (0..=1) of the run between which answers are reused.
    pub start_percent: f64,
    pub end_percent: f64,
    /// Of what guidance comes to, in place of what the network says.
    pub guided: bool,
}

/// Of a latent, every so many-th row and column is compared.
const SPARSE: isize = 8;

/// The memory of a run.
pub(super) struct Reused {
    pub settings: Reuse,
    /// The levels of noise between which answers are reused.
    start: f64,
    end: f64,
    /// What the answer added to the question, by the number of the entry.
    added: HashMap<usize, Latent>,
    /// The entry whose changes are watched.
    watched: Option<usize>,
    rate: Rate,
    /// Whether the watched entry's answer was reused in this step: then all are.
    reusing: bool,
    /// The negative's answer that goes with the last one.
    uncond: Option<Latent>,
}

/// How much the answer changes with the question.
#[derive(Default)]
struct Rate {
    /// The last question and its answer, sparse, and the mean size of the answer.
    before: Option<(Latent, Latent, f32)>,
    /// The answer's change for each change of the question.
    rate: Option<f32>,
    /// Changes of the answer that were let pass.
    passed: f32,
}

impl Reused {
    /// The last of the patches counts.
    pub fn new(model: &ModelSampling, patches: &[Patch]) -> Option<Self> {
        let settings = patches.iter().rev().find_map(|patch| match patch {
            Patch::Reuse(settings) => Some(*settings),
            _ => None,
        })?;
        let [start, end] =
            [settings.start_percent, settings.end_percent].map(|p| model.percent_to_sigma(p));
        Some(Self {
            start,
            end,
            added: HashMap::new(),
            watched: settings.guided.then_some(0),
            rate: Rate::default(),
            reusing: false,
            uncond: None,
            settings,
        })
    }

    /// A new step.
    pub fn begin(&mut self) {
        self.reusing = false;
    }

    fn ends(&self, sigma: f32) -> bool {
        f64::from(sigma) <= self.end
    }

    fn reuses(&self, sigma: f32) -> bool {
        f64::from(sigma) <= self.start && !self.ends(sigma)
    }

    /// The answer to a batch of questions, one after another for these entries, if it need not be asked for.
    pub fn answer(&mut self, x: &Latent, sigma: f32, entries: &[usize]) -> Option<Latent> {
        if !self.reuses(sigma) {
            return None;
        }
        let known = entries.iter().all(|entry| {
            self.added.get(entry).is_some_and(|added| added.shape()[1..] == x.shape()[1..])
        });
        if !self.reusing {
            let watched = *self.watched.get_or_insert(entries[0]);
            let place = entries.iter().position(|entry| *entry == watched)?;
            let question = sparse(&part(x, place, entries.len()));
            self.reusing = self.rate.passes(&question, self.settings.threshold, known);
        }
        (self.reusing && known).then(|| {
            let mut answer = x.clone();
            let rows = x.dim().0 / entries.len();
            for (mut part, entry) in answer.axis_chunks_iter_mut(Axis(0), rows).zip(entries) {
                part += &self.added[entry];
            }
            answer
        })
    }

    /// What came of asking.
    pub fn learn(&mut self, x: &Latent, answer: &Latent, sigma: f32, entries: &[usize]) {
        if self.ends(sigma) {
            return;
        }
        let count = entries.len();
        for (i, entry) in entries.iter().enumerate() {
            self.added.insert(*entry, part(answer, i, count) - part(x, i, count));
        }
        if let Some(i) = entries.iter().position(|entry| Some(*entry) == self.watched) {
            let size = answer.iter().map(|x| x.abs()).sum::<f32>() / answer.len() as f32;
            let [x, answer] = [x, answer].map(|of| sparse(&part(of, i, count)));
            let counts = self.reuses(sigma);
            self.rate.learn((x, answer, size), counts);
        }
    }

    /// As [`Reused::answer`], of guidance.
    pub fn guess(&mut self, x: &Latent, sigma: f32) -> Option<Guess> {
        self.begin();
        let denoised = self.answer(x, sigma, &[0])?;
        Some(Guess { denoised, uncond: self.uncond.clone()? })
    }

    /// As [`Reused::learn`].
    pub fn learn_guess(&mut self, x: &Latent, sigma: f32, guess: &Guess) {
        self.learn(x, &guess.denoised, sigma, &[0]);
        self.uncond = Some(guess.uncond.clone());
    }
}

impl Rate {
    /// Whether the change that is to be expected, with those before, is small enough to pass; if not, the
    /// count begins anew.
    fn passes(&mut self, question: &Latent, threshold: f32, known: bool) -> bool {
        let (Some((x, _, size)), Some(rate)) = (&self.before, self.rate) else { return false };
        if x.shape() != question.shape() {
            *self = Self::default();
            return false;
        }
        self.passed += rate * change(question, x) / size;
        let passes = self.passed < threshold && known;
        if !passes {
            self.passed = 0.0;
        }
        passes
    }

    fn learn(&mut self, now: (Latent, Latent, f32), counts: bool) {
        let before = self.before.as_ref().filter(|(x, ..)| counts && x.shape() == now.0.shape());
        if let Some((x, answer, _)) = before {
            self.rate = Some(change(&now.1, answer) / change(&now.0, x));
        }
        self.before = Some(now);
    }
}

/// The mean difference.
fn change(a: &Latent, b: &Latent) -> f32 {
    (a - b).iter().map(|x| x.abs()).sum::<f32>() / a.len() as f32
}

/// The rows of one of `count` entries of a batch.
fn part(x: &Latent, i: usize, count: usize) -> Latent {
    let rows = x.dim().0 / count;
    x.slice_axis(Axis(0), Slice::from(i * rows..(i + 1) * rows)).to_owned()
}

fn sparse(x: &Latent) -> Latent {
    x.slice(s![.., .., ..;SPARSE, ..;SPARSE]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prediction;

    fn reused(threshold: f32, guided: bool) -> Reused {
        let settings = Reuse { threshold, start_percent: 0.0, end_percent: 1.0, guided };
        let model = ModelSampling::stable_diffusion(Prediction::Eps);
        Reused::new(&model, &[Patch::Reuse(settings)]).unwrap()
    }

    fn latent(rows: usize, value: f32) -> Latent {
        Latent::from_elem((rows, 4, 16, 16), value)
    }

    /// Questions 1, 2, 3, ... whose answers are three times as large: they change by 3 for each 1.
    fn steps(reused: &mut Reused, count: usize) -> Vec<Option<f32>> {
        let step = |i: usize| {
            let x = latent(2, i as f32);
            reused.begin();
            let answer = reused.answer(&x, 5.0, &[7, 8]);
            if answer.is_none() {
                reused.learn(&x, &(&x * 3.0), 5.0, &[7, 8]);
            }
            answer.map(|answer| answer[[0, 0, 0, 0]])
        };
        (1..=count).map(step).collect()
    }

    #[test]
    fn small_changes_are_passed_until_they_add_up() {
        // The third question has changed by 1, its answer by 3 of 6: 0.5. The fourth's counts from the
        // second's too: 0.5 + 1. What the network added to 2 was 4.
        assert_eq!(steps(&mut reused(1.6, false), 5), [None, None, Some(7.0), Some(8.0), None]);
        assert_eq!(steps(&mut reused(0.3, false), 4), [None; 4]);
    }

    #[test]
    fn an_entry_that_was_never_asked_is_asked() {
        let mut reused = reused(100.0, false);
        steps(&mut reused, 3);
        let x = latent(3, 9.0);
        assert!(reused.answer(&x, 5.0, &[7, 8, 9]).is_none());
        // Before and after its part of the run nothing is reused.
        reused.start = 4.0;
        assert!(reused.answer(&latent(2, 9.0), 5.0, &[7, 8]).is_none());
        reused.end = 3.0;
        assert!(reused.answer(&latent(2, 9.0), 2.0, &[7, 8]).is_none());
    }

    #[test]
    fn what_guidance_comes_to_is_reused_as_a_whole() {
        let mut reused = reused(10.0, true);
        for i in 1..3 {
            let x = latent(1, i as f32);
            assert!(reused.guess(&x, 5.0).is_none());
            let guess = Guess { denoised: &x * 3.0, uncond: &x * 2.0 };
            reused.learn_guess(&x, 5.0, &guess);
        }
        let guess = reused.guess(&latent(1, 3.0), 5.0).unwrap();
        assert_eq!((guess.denoised[[0, 0, 0, 0]], guess.uncond[[0, 0, 0, 0]]), (7.0, 4.0));
    }
}
