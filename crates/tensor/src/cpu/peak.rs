//! What this machine's processor can do at most, measured.

use super::CpuDevice;
use crate::{
    ops::lanes_sum,
    peak::{Peak, TRIES},
};
use multiversion::multiversion;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::{hint::black_box, time::Instant};

const ROUNDS: usize = 2_000_000;
/// More than any cache holds.
const NUMBERS: usize = 64 << 20;

impl CpuDevice {
    /// What all threads together reach. Takes about a second.
    pub(crate) fn peak() -> Peak {
        let threads = rayon::current_num_threads();
        let flops = best(|| {
            let done = (0..threads).into_par_iter().map(|_| Arch::new().dispatch(MultiplyAdds));
            done.sum::<usize>()
        });
        let numbers = vec![1.0f32; NUMBERS];
        let bytes = best(|| {
            let parts = numbers.par_chunks(NUMBERS.div_ceil(4 * threads));
            black_box(parts.map(sum).sum::<f32>());
            4 * NUMBERS
        });
        Peak { threads: Some(threads), gflops: flops, bandwidth_gbs: bytes }
    }
}

/// The highest rate, in units per nanosecond.
fn best(work: impl Fn() -> usize) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        let done = work();
        done as f64 / start.elapsed().as_nanos() as f64
    };
    (0..TRIES).map(rate).fold(0.0, f64::max)
}

#[multiversion(targets = "simd")]
fn sum(numbers: &[f32]) -> f32 {
    lanes_sum(numbers)
}

/// Chains of multiply-adds, enough of them that none waits for another; gives the operations done.
struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        const CHAINS: usize = 12;
        let (x, y) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut chains = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = simd.mul_add_e_f32s(*chain, x, y);
            }
        }
        black_box(chains);
        2 * CHAINS * S::F32_LANES * ROUNDS
    }
}
