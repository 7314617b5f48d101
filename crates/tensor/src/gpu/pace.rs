//! How much work one submission is: enough to keep a GPU busy, little enough that no system resets a GPU
//! that was silent for too long (two seconds on Windows), and that a screen driven by it stays alive.

use std::time::Duration;

/// Floating-point operations that take as long as a byte from memory, on common GPUs.
const FLOPS_PER_BYTE: u64 = 16;
/// What a submission should take.
const AIM: Duration = Duration::from_millis(75);
/// Work of the first submission, before anything is known: 40 ms on a GPU of 0.1 TFLOP/s.
const FIRST: u64 = 4_000_000_000;

/// How long something takes, in floating-point operations.
pub fn work(flops: u64, bytes: u64) -> u64 {
    flops + FLOPS_PER_BYTE * bytes
}

/// Work of the next submission, from the time that earlier ones took.
pub struct Pace(u64);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// How many of these pieces, of so much work each, go into the next submission: at least one.
    pub fn share(&self, pieces: impl Iterator<Item = u64>) -> usize {
        let mut sum = 0;
        let fits = |work: &u64| {
            sum += work;
            sum <= self.0
        };
        pieces.take_while(fits).count().max(1)
    }

    /// A submission of this work took that long. It may double or halve the next one.
    pub fn took(&mut self, work: u64, time: Duration) {
        // A small rest tells little, unless even that took long.
        if 2 * work < self.0 && time < AIM {
            return;
        }
        let right = work as f64 * AIM.as_secs_f64() / time.as_secs_f64().max(1e-6);
        self.0 = (right as u64).clamp(self.0 / 2, self.0.saturating_mul(2)).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, GpuOptions, Tape, gpu::lock, testing};

    #[test]
    fn a_run_in_many_submissions_makes_the_same_numbers_and_learns_the_pace() {
        let Some(gpu) = testing::gpu(GpuOptions::default()) else { return };
        let Device::Gpu(device) = &gpu else { unreachable!("it is one") };
        let tape = Tape::new();
        let x = tape.input("x", &[1000]);
        let y = (0..40).fold(x, |y, _| y.affine(0.5, 1.0).softmax());
        let mut network = gpu.compile(tape.finish(&[&y])).unwrap();
        let x = testing::numbers(1000, 1);
        let whole = network.run(&[&x]).unwrap();
        *lock(&device.pace) = Pace(1);
        assert_eq!(network.run(&[&x]).unwrap(), whole);
        assert!(lock(&device.pace).0 > 1000, "{} operations", lock(&device.pace).0);
    }

    /// The pace after 30 submissions on a GPU of so many operations a second, in seconds.
    fn settled(speed: f64) -> f64 {
        let mut pace = Pace::default();
        for _ in 0..30 {
            pace.took(pace.0, Duration::from_secs_f64(pace.0 as f64 / speed));
        }
        pace.0 as f64 / speed
    }

    #[test]
    fn submissions_come_to_take_what_they_should_on_slow_and_fast_gpus() {
        for speed in [1e9, 1e11, 1e13, 1e15] {
            let seconds = settled(speed);
            assert!((0.05..0.1).contains(&seconds), "{seconds} s at {speed:e}");
        }
    }

    #[test]
    fn a_small_rest_does_not_slow_the_pace_and_a_stall_does() {
        let mut pace = Pace(1000);
        pace.took(10, Duration::from_millis(10));
        assert_eq!(pace.0, 1000);
        pace.took(10, Duration::from_secs(1));
        assert_eq!(pace.0, 500);
    }

    #[test]
    fn pieces_are_taken_up_to_the_pace_but_never_none() {
        let pace = Pace(10);
        assert_eq!(pace.share([4, 4, 4].into_iter()), 2);
        assert_eq!(pace.share([40, 4].into_iter()), 1);
        assert_eq!(pace.share([1, 1].into_iter()), 2);
    }
}
