//! Tuning: which tile is the fastest for each kind of matrix product, found out by trying when a network
//! with that kind is first compiled.
//!
//! What the model of [`super::Tiles`] thinks far worse than the best is not tried. Arrays hold what memory
//! happens to hold: only time is of interest.

use super::{GpuDevice, Known, Product, Reader, TileClass, lock, stopwatch::Stopwatch};
use crate::{Conv, Program, Result, Tape, Tensor, Weight, Weights};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Runs of each tile; the fastest counts.
const RUNS: usize = 3;
/// Time goes in proportion to the common dimension: so much of it tells enough.
const DEPTH: usize = 2048;

impl GpuDevice {
    /// From now on, products of kinds that are not known yet are tried with every tile.
    pub(crate) fn start_tuning(&self) {
        lock(&self.tiles).only = None;
        self.tuning.store(true, Ordering::Relaxed);
    }

    /// Finds the tiles for what is new among these products, and remembers them.
    pub(super) fn tune(self: &Arc<Self>, products: &[Product]) -> Result<()> {
        if !self.tuning.load(Ordering::Relaxed) {
            return Ok(());
        }
        let before = lock(&self.tiles).tuned.len();
        for product in products {
            let tiles = lock(&self.tiles).clone();
            let classes: Vec<TileClass> = tiles.promising(product).collect();
            // Where there is no choice, there is nothing to remember.
            if tiles.tuned.contains_key(&product.class()) || classes.len() < 2 {
                continue;
            }
            let fastest = fastest(&classes, |class| self.time(product, class))?;
            lock(&self.tiles).tuned.insert(product.class(), fastest);
        }
        let tuned = lock(&self.tiles).tuned.clone();
        if tuned.len() > before {
            // That it cannot be kept only means that it is found out again.
            let _ = lock(&self.known)
                .as_mut()
                .map_or(Ok(()), |known: &mut Known| known.keep_tiles(tuned));
        }
        Ok(())
    }

    /// How long a product like this takes with such tiles.
    fn time(self: &Arc<Self>, product: &Product, class: TileClass) -> Result<Duration> {
        let before = lock(&self.tiles).only.replace(class);
        let compiled = trial(product).and_then(|program| self.realise(program));
        lock(&self.tiles).only = before;
        let mut network = compiled?;
        network.stopwatch = Stopwatch::new(self, 2)?;
        let mut best = Duration::MAX;
        // The first run is for warming up.
        for run in 0..=RUNS {
            let start = Instant::now();
            network.replay(0)?;
            self.wait()?;
            let outside = start.elapsed();
            let time = network.times()?.map_or(outside, |steps| steps.values().sum());
            best = if run == 0 { best } else { best.min(time) };
        }
        Ok(best)
    }
}

fn fastest(
    classes: &[TileClass],
    mut time: impl FnMut(TileClass) -> Result<Duration>,
) -> Result<TileClass> {
    let mut best = (Duration::MAX, classes[0]);
    for class in classes {
        let time = time(*class)?;
        if time < best.0 {
            best = (time, *class);
        }
    }
    Ok(best.1)
}

/// A program that is a product of this kind and nothing else.
fn trial(product: &Product) -> Result<Program> {
    let Product { rows, columns, depth, reader, halves } = *product;
    let depth = depth.min(DEPTH);
    let weight = |shape: &[usize]| -> Result<Weight> {
        let numbers = vec![0.5; shape.iter().product()];
        let weights = Weights::made("tuning", vec![("w".into(), shape.to_vec(), numbers)])?;
        if halves { weights.rounded_to_f16().get("w") } else { weights.get("w") }
    };
    let tape = Tape::new();
    let conv = |channels: usize| -> Result<Tensor> {
        let width = ((rows as f64).sqrt() as usize).max(1);
        let x = tape.input("x", &[1, rows.div_ceil(width), width, channels]);
        Ok(x.conv2d(&weight(&[columns, channels, 3, 3])?, None, Conv::same(3)))
    };
    let y = match reader {
        Reader::Rows => {
            let depth = depth.next_multiple_of(4);
            tape.input("x", &[1, rows, depth]).linear(&weight(&[columns, depth])?, None)
        }
        Reader::Pixels => conv((depth / 9).next_multiple_of(4).max(4))?,
        Reader::Scalars => conv(depth / 9 / 2 * 2 + 1)?,
    };
    Ok(tape.finish(&[&y]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, GpuOptions, testing};

    #[test]
    fn the_fastest_tile_is_taken() {
        use TileClass::{Large, Medium, Small};
        let time = |class| Ok(Duration::from_millis(if class == Medium { 1 } else { 2 }));
        assert_eq!(fastest(&[Large, Medium, Small], time).unwrap(), Medium);
        assert!(fastest(&[Large], |_| anyhow::bail!("lost")).is_err());
    }

    #[test]
    fn a_trial_is_a_product_of_the_same_kind() {
        for reader in [Reader::Rows, Reader::Pixels, Reader::Scalars] {
            for halves in [true, false] {
                let product = Product { rows: 1024, columns: 64, depth: 1152, reader, halves };
                let program = trial(&product).unwrap();
                let plan = program.plan();
                let target = super::super::Target::default();
                let recording = super::super::Recording::new(&program, &plan, &target).unwrap();
                assert_eq!(recording.products[0].class(), product.class());
            }
        }
    }

    #[test]
    fn what_was_found_out_is_kept_and_changes_no_numbers() {
        let Some(adapter) = testing::adapter() else { return };
        let folder = tempfile::tempdir().unwrap();
        let w = testing::weights(&[("w", &[130, 64])]).get("w").unwrap();
        let x = testing::numbers(300 * 64, 1);
        let program = || {
            let tape = Tape::new();
            let y = tape.input("x", &[1, 300, 64]).linear(&w, None);
            tape.finish(&[&y])
        };
        let expected = Device::twin().compile(program()).unwrap().run(&[&x]).unwrap();
        let tuned_and_made = || {
            let known = adapter.known(folder.path(), GpuOptions::default());
            let gpu = Arc::new(adapter.open(GpuOptions::default(), Some(known)).unwrap());
            gpu.start_tuning();
            let got = gpu.compile(program()).unwrap().run(&[&x]).unwrap();
            testing::assert_close(&got[0], &expected[0], 1e-5);
            (lock(&gpu.tiles).tuned.clone(), gpu.created().pipelines)
        };
        let (first, made) = tuned_and_made();
        assert_eq!(first.len(), 1);
        assert!(made > 1, "several tiles are tried");
        assert_eq!(adapter.known(folder.path(), GpuOptions::default()).tiles(), &first);
        assert_eq!(tuned_and_made(), (first, 1), "nothing is tried a second time");
    }
}
