//! `weft bench`: how fast the networks are, against what the machine can do at most.
//!
//! What has been tried on the CPU, on two threads with AVX-512 (peak 533 to 548 GFLOP/s), beside other builds at
//! real-time priority, in the dev profile; kernels by `weft bench kernels`, the rest by `weft bench model`:
//!
//! | change | expected | measured | kept |
//! |---|---|---|---|
//! | own matrix product over packed weights, rows unpacked | 0.9 of the peak | 0.65 to 0.82 | yes |
//! | tiles of 12 rows for AVX-512 | fewer loads | 0.47: registers spill | no |
//! | even slabs of at most 384, columns in blocks of 640 | less traffic of results | 0.72 to 0.85 | yes |
//! | Winograd with transforms in closures | 1.6 of the peak | 0.57: no wide vectors in closures | no |
//! | the same in loops | 1.6 | 1.75 to 2.2 | yes |
//! | attention in blocks, its softmax in a closure | 0.5 | 0.29, channels of 40 | no |
//! | the same in a function for wide vectors | 0.5 | 0.48, of 80 channels 0.52, of 512 0.71 | yes |
//! | f16 weights unpacked by vectors instead of `half` | a tenth of linear layers | 0.65 to 0.70 in the step | yes |
//! | guided step, 512x512 | 0.85 | 0.79 (3.7 s); VAE decode 1.72 (2.7 s) | - |

mod kernels;
mod model;

use anyhow::Result;
use std::{io::Write, time::Instant};
use tensor::{Device, Peak};

#[derive(clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The parts of a text-to-picture run: text encoding, a guided step, VAE decoding and encoding
    Model(model::ModelArgs),
    /// Single operations at the sizes that SD 1.5 and SDXL have
    Kernels(kernels::KernelsArgs),
}

pub fn bench(args: &BenchArgs) -> Result<()> {
    match &args.what {
        What::Model(args) => model::model(args),
        What::Kernels(args) => kernels::kernels(args),
    }
}

/// Numbers of -1 to 1 without a pattern.
fn noise(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| i.wrapping_mul(2_654_435_769) as i32 as f32 / i32::MAX as f32).collect()
}

/// The seconds of the fastest run.
fn best_of(runs: u64, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut fastest = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

fn header(out: &mut impl Write, device: &Device, peak: &Peak) -> Result<()> {
    let Peak { threads, gflops, bandwidth_gbs } = peak;
    writeln!(out, "computing on {}", device.name())?;
    writeln!(
        out,
        "this processor's peak, measured now with {threads} threads: {gflops:.0} GFLOP/s, {bandwidth_gbs:.1} GB/s"
    )?;
    Ok(())
}
