//! How long each step of a run takes on the GPU, by its own clock.

use super::{Buffer, GpuDevice};
use crate::{Result, memory::Kind};
use std::time::Duration;

/// Timestamps at the beginning and the end of each pass of a run. The steps then run one after the
/// other, so that the sum is a little more than a run without a stopwatch takes.
pub struct Stopwatch {
    /// Each for as many passes as adapters allow.
    queries: Vec<wgpu::QuerySet>,
    resolved: Buffer,
    readback: Buffer,
    /// The step that each pass belongs to, so far.
    steps: Vec<usize>,
}

const PASSES_PER_SET: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;
/// Bytes of the two timestamps of a pass.
const PAIR: u64 = 2 * wgpu::QUERY_SIZE as u64;

impl Stopwatch {
    /// For a run of up to `passes` passes; nothing where the adapter has no clock.
    pub fn new(device: &GpuDevice, passes: usize) -> Result<Option<Self>> {
        if !device.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let sets = passes.div_ceil(PASSES_PER_SET).max(1);
        let words = sets * PASSES_PER_SET * (PAIR / 4) as usize;
        let set = |_| {
            device.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * PASSES_PER_SET as u32,
            })
        };
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = device.buffer("times", Kind::Values, words, usage)?;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let readback = device.buffer("times", Kind::Values, words, usage)?;
        let queries = (0..sets).map(set).collect();
        Ok(Some(Self { queries, resolved, readback, steps: Vec::new() }))
    }

    /// Where the next pass, which belongs to `step`, writes its times.
    pub fn next_pass(&mut self, step: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let pass = self.steps.len();
        self.steps.push(step);
        let at = 2 * (pass % PASSES_PER_SET) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries[pass / PASSES_PER_SET],
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        }
    }

    /// Waits for the run, and gives each step's time, in order; a step may come more than once.
    pub fn times(&mut self, device: &GpuDevice) -> Result<Vec<(usize, Duration)>> {
        let steps = std::mem::take(&mut self.steps);
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let mut encoder = device.device.create_command_encoder(&Default::default());
        for (i, passes) in steps.chunks(PASSES_PER_SET).enumerate() {
            let (queries, at) = (0..2 * passes.len() as u32, (i * PASSES_PER_SET) as u64 * PAIR);
            encoder.resolve_query_set(&self.queries[i], queries, &self.resolved, at);
        }
        let size = steps.len() as u64 * PAIR;
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, size);
        device.queue.submit([encoder.finish()]);
        let mut ticks = vec![0u64; 2 * steps.len()];
        device.read(&self.readback, |bytes| {
            bytemuck::cast_slice_mut(&mut ticks).copy_from_slice(&bytes[..size as usize]);
        })?;
        let period = f64::from(device.queue.get_timestamp_period());
        let time = |pair: &[u64]| {
            Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * period) as u64)
        };
        Ok(steps.into_iter().zip(ticks.chunks_exact(2).map(time)).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, GpuOptions, Tape, testing};

    #[test]
    fn runs_are_timed_step_by_step_once_that_is_asked_for() {
        let Some(gpu) = testing::gpu(GpuOptions::default()) else { return };
        let Device::Gpu(device) = &gpu else { unreachable!("it is one") };
        let weights = testing::weights(&[("w", &[64, 64])]);
        let tape = Tape::named("timed");
        let x = tape.input("x", &[1, 300, 64]);
        let y = x.linear(&weights.get("w").unwrap(), None).softmax();
        let mut network = gpu.compile(tape.finish(&[&y])).unwrap();
        let x = testing::numbers(300 * 64, 1);
        let ops = || gpu.timings().into_iter().filter(crate::Time::is_op).collect::<Vec<_>>();
        let untimed = network.run(&[&x]).unwrap();
        assert_eq!(ops(), [], "nobody asked");
        gpu.start_timing();
        assert_eq!(network.run(&[&x]).unwrap(), untimed);
        network.run(&[&x]).unwrap();
        if !device.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            assert_eq!(ops(), []);
            return;
        }
        let times = ops();
        let told: Vec<_> = times.iter().map(|t| (t.network.as_str(), t.op, t.calls)).collect();
        assert_eq!(told, [("timed", "linear", 2), ("timed", "softmax", 2)]);
        assert_eq!(times[0].flops, 2 * 2 * 300 * 64 * 64);
        assert!(times.iter().all(|t| !t.fastest.is_zero() && t.time.as_secs() < 60), "{times:?}");
    }
}
