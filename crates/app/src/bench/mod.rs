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
//! | guided step, 512x512, so far | 0.85 | 0.79 (3.7 s); VAE decode 1.72 (2.7 s) | - |
//! | attention transposed, a query in each lane | 1.5 times as fast | 1.5 to 2 times | yes |
//! | tiles of 12 rows again, in loops that do not spill | 1.1 | 1.05 | until tiles of 3 vectors |
//! | f16 unpacked by the instruction for it | a twentieth of linear layers | a twentieth | yes |
//! | what depends on the prompt alone once per prompt | cross attention halved | 11 to 5.4 ms | yes |
//! | a tile's rows by four pointers: the compiler had made a chain of additions | 1.2 | 1.1 to 1.25 | yes |
//! | tiles of 8 rows by 3 vectors, 160 deep, blocks of 96 rows for 12 by 2, 256, 192 | 1.2 | 1.1 to 1.25 | yes |
//! | blocks of 64 rows; of 48; of 128; of 192 | - | 1.02; 0.89; 0.96; 0.92 | 64 |
//! | all numbers at cache lines | 1.1 | 1.05 | yes |
//! | the next tile's rows prefetched | fewer stalls | 0.55 one by one, 0.93 at once | no |
//! | rows packed for each block | 1.1 | 0.9 to 1.05 | no |
//! | huge pages for all memory | fewer misses | 1.0 | no |
//! | Winograd's numbers by product, not by tile | fewer pages | 1.0 | no |
//! | Winograd by tiles of 4 from 24 pixels on, not 48 | a twentieth of the step | convolutions 1.05 to 1.1 | yes |
//! | GEGLU in a core's cache | 1.05 | not timed alone; 10 MB less | yes |
//! | Winograd by tiles of 4 everywhere, kernels transformed on the way | convolutions 1.3 | 1.15 in the step, VAE 0.8; 1.2 GB less | yes |
//! | its input transformed once for all columns, in memory | fewer transforms | 0.9 to 1.1: memory is slow | no |
//! | 48 or 64 tiles at once, other columns, depths of 16 to 128 | - | 0.9 to 1.0 | 32 by 144, 64 deep |
//! | sums stored from registers; no tiles of 12 rows, whose loop the compiler leaves rolled | 1.1 | 1.06 | yes |
//! | transforms stored from registers, not from a loop over the stack | 1.05 | 1.15 | yes |
//! | blocks of 128 rows, panels 64 to 112 deep, again | f16 unpacked half as often | 0.98 to 1.02 | no |
//! | matrix units for linear layers, five products of bf16 | 2 to 3 | 1.4 | yes |
//! | values and gates paired in the weight, tiles stored in place | gated layers 1.2 | 1.4, gated 1.6 | yes |
//! | blocks of 128 rows, 1280 deep, for 256, 640; 64 to 512, 160 to 5120 | - | 1.03; 0.8 to 1.0 | yes |
//! | weights packed in the file's order, memory in large pages by all threads | first step sooner | 7 to 3.6 s made ready | yes |
//! | matrix units: three products of bf16 for five, of weights kept as f16 and taken apart for each block of rows | 1.5 | linear layers 1.3; 0.7 GB less | yes, large layers |
//! | convolutions by them, pixels taken apart once for each tap | small pictures 2 | 8x8 1.5, 4x4 2.4, larger 1.0 to 1.05, 128 columns 0.9 | over 128 columns |
//! | the same by five products, as exact as f32 | 1.2 | in the step 0.9 of three | no |
//! | a gated layer's rows taken apart once for all its parts; as many tasks as threads | 1.1 | 1.2 | yes |
//! | blocks of 128 to 512 rows, 320 to 1280 deep, for 256, 640 | - | 0.75 to 1.0 | no |
//! | weights of the next columns prefetched meanwhile; results, rows prefetched | 1.15 | 0.95 to 1.05 | no |
//! | four rows of a panel in one turn of the innermost loop | 1.1 | 0.95 to 1.0: in the first cache it reaches 0.87 either way | no |
//! | blocks of 512 rows where a weight is 320 deep | taken apart half as often | linear layers 1.03, of a batch of 4 0.98 | no |
//! | convolutions: the next channels prefetched; tasks by columns where the weight is larger | a batch of 4 1.1 | 1.02; 0.99 | no |
//! | attention by 48 to 192 keys at once for 128 | 1.1 | 0.95 to 1.05 | no |
//!
//! On a later day and a slower host (peak 440 to 460), beside another build, in turn with PyTorch 2.15 (channels_last,
//! 2 threads): guided step 5.14 and 5.16 s (0.70 of the peak) to 8.00 and 8.17 s, a ratio of 0.64; VAE decode 3.99
//! and 3.77 s (1.4) to 11.00 and 10.33 s, 0.36. With AVX2 only (peak 230 to 250): 0.77 to 0.82 of the peak, VAE
//! decode 1.7 to 1.85.
//!
//! With what the last ten rows tell, on such a host (peak 420 to 477): guided step 3.6 to 4.1 s, 0.96 to 1.1 of the
//! peak, at 256x256 0.71 to 0.83, VAE decode 4.4 to 5.0 s, 1.2 to 1.4 (3.8 s before: kept kernels served it better, but the
//! step worse). In turn with PyTorch 2.15: 3.63 and 4.07 s to 8.42 and 8.30 s, a ratio of 0.46; VAE decode 5.02 and
//! 4.94 s to 11.75 and 11.32 s, 0.43. Without matrix units: step 0.77 to 0.78, 256x256 0.74; with AVX2 only (peak 228
//! to 250): 0.94 and 0.84, VAE decode 1.5. From 256x256 to 1024x1024 2.6 to 3.0 s per TFLOP; a batch of 4 takes 3.9
//! times as long as one. The latent of a step, guidance 7, differs by 5.8e-6 of its rms from that by the definition.
//!
//! With the last six rows, while the memory gave 10 to 18 GB/s, in turn with the program before them: 256x256 in 1.31,
//! 1.11, 0.87, 0.97 s to 1.59, 1.48, 1.13, 1.17 s, 0.79 of the time: 0.63 to 0.93 of the peak to 0.54 to 0.71; while
//! it gave 21 to 26 GB/s, 1.0 to 1.35 of the peak. Guided step at 512x512 3.0 to 4.0 s, 0.89 to 1.26; in turn with
//! PyTorch 3.64 and 4.02 s to 8.74 and 7.92 s, a ratio of 0.46; VAE decode 4.23 and 4.65 s (1.2 to 1.4) to 11.76 and
//! 14.62 s, 0.34. 2.5 to 2.7 s per TFLOP from 256x256 to 1024x1024; 2.9 GB. The UNet's result differs by 7.4e-6 of its
//! rms from that by the definition (1.1e-6 before), the latent of a step with guidance 7 by 4.4e-5.
//!
//! The same program on a quieter host (memory 19 to 23 GB/s, peak 418 to 486): 2.65 to 3.24 s, 1.11 to 1.3; 256x256
//! 0.63 to 0.73 s, 1.09 to 1.25; VAE decode 3.95 to 4.3 s, 1.4; weights of f32 3.27 s, 1.08; SD 2.1 3.38 s, 1.14.
//! A batch of 4 in turn with one: 10.55, 11.70, 11.95 s to 2.65, 2.79, 2.83 s, 3.98 to 4.2 times: of its work next to
//! nothing is shared but the weights' way from memory. Without matrix units 0.81, 256x256 0.73. An hour later, while
//! neighbours left 12 GB/s of the memory: 3.9 to 4.8 s, 0.80 to 0.93, and a batch of 4 3.4 to 3.8 times one.

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
    let threads = threads.map_or(String::new(), |threads| format!(" with {threads} threads"));
    writeln!(out, "computing on {}", device.name())?;
    writeln!(out, "its peak, measured now{threads}: {gflops:.0} GFLOP/s, {bandwidth_gbs:.1} GB/s")?;
    Ok(())
}
