//! What a GPU can do at most, measured.

use super::{Buffer, GpuDevice, Kernel, THREADS, kernel};
use crate::{Peak, Result, memory::Kind, peak::TRIES};
use std::time::{Duration, Instant};

/// Enough for the largest: some tens of workgroups for each of its processors.
const GROUPS: usize = 1 << 12;
/// A run that takes less says more of how it is begun than of the adapter.
const LONG_ENOUGH: Duration = Duration::from_millis(20);
/// No adapter does so many in that time; one whose driver says it did is not asked for ever more.
const MOST_ROUNDS: u32 = 1 << 22;
/// Bytes to read: more than any cache holds, where the adapter allows it.
const READ: u64 = 512 << 20;

impl GpuDevice {
    /// Takes about half a second.
    pub(crate) fn peak(&self) -> Result<Peak> {
        Ok(Peak { threads: None, gflops: self.arithmetic()?, bandwidth_gbs: self.bandwidth()? })
    }

    fn arithmetic(&self) -> Result<f64> {
        const IN_A_ROUND: usize = 2 * 4 * 12;
        let sums = self.values("peak", GROUPS * THREADS)?;
        let parameters = |rounds| [rounds, 0.999f32.to_bits(), 0.001f32.to_bits()];
        let rounds_a_second = self.best(&kernel!("peak_arithmetic"), &[&sums], parameters)?;
        Ok(rounds_a_second * (IN_A_ROUND * GROUPS * THREADS) as f64 / 1e9)
    }

    fn bandwidth(&self) -> Result<f64> {
        const THREADS_IN_ALL: usize = GROUPS * THREADS;
        // Of its budget a part that need not make anything else go.
        let allowed = self.binding_limit.min(self.device.limits().max_buffer_size);
        let most = READ.min(allowed).min(self.memory.budget() / 8);
        // Each thread reads words of 16 bytes, four at a time.
        let reads = (most as usize / (64 * THREADS_IN_ALL)).max(1);
        let words = 4 * THREADS_IN_ALL * reads;
        let numbers = self.values("peak", 4 * words)?;
        let sums = self.values("peak", THREADS_IN_ALL)?;
        let parameters = |rounds| [rounds, words as u32, THREADS_IN_ALL as u32];
        let rounds_a_second = self.best(&kernel!("peak_memory"), &[&numbers, &sums], parameters)?;
        Ok(rounds_a_second * 16.0 * words as f64 / 1e9)
    }

    fn values(&self, what: &str, len: usize) -> Result<Buffer> {
        self.buffer(what, Kind::Values, len, wgpu::BufferUsages::STORAGE)
    }

    /// The most rounds per second that a kernel reaches. The last of the buffers is written.
    fn best(
        &self,
        kernel: &Kernel,
        buffers: &[&Buffer],
        parameters: impl Fn(u32) -> [u32; 3],
    ) -> Result<f64> {
        let pipeline = self.pipeline(kernel, &[], buffers.len() - 1);
        let whole = buffers.iter().map(|buffer| buffer.as_entire_binding());
        let entry = |(resource, binding)| wgpu::BindGroupEntry { binding, resource };
        let entries: Vec<_> = whole.zip(0..).map(entry).collect();
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let run = |rounds| self.timed(&pipeline, &bindings, &parameters(rounds));
        let mut rounds = 1;
        while rounds < MOST_ROUNDS && run(rounds)? < LONG_ENOUGH {
            rounds *= 2;
        }
        let times = (0..TRIES).map(|_| run(rounds)).collect::<Result<Vec<_>>>()?;
        let fastest = times.into_iter().min().unwrap_or_default();
        Ok(f64::from(rounds) / fastest.as_secs_f64())
    }

    fn timed(
        &self,
        pipeline: &wgpu::ComputePipeline,
        bindings: &wgpu::BindGroup,
        parameters: &[u32],
    ) -> Result<Duration> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, bindings, &[]);
        pass.set_immediates(0, bytemuck::cast_slice(parameters));
        pass.dispatch_workgroups(GROUPS as u32, 1, 1);
        drop(pass);
        let start = Instant::now();
        self.wait_for(self.queue.submit([encoder.finish()]))?;
        Ok(start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Conv, Device, GpuOptions, Tape, testing};
    use std::time::Instant;

    #[test]
    fn nothing_computes_faster_than_at_the_peak_and_the_processor_is_of_its_kind() {
        let Some(adapter) = testing::adapter() else { return };
        for checked in [false, true] {
            let options = GpuOptions { checked, ..GpuOptions::default() };
            let gpu = Device::gpu(adapter, options).unwrap();
            let peak = gpu.peak().unwrap();
            assert_eq!(peak.threads, None);
            let (flops, seconds) = convolution(&gpu);
            let reached = flops as f64 / 1e9 / seconds / peak.gflops;
            assert!((0.001..1.2).contains(&reached), "{reached} of {peak:?}");
            if !adapter.is_gpu() {
                // The same processor, with narrower vectors perhaps.
                let processor = Device::cpu().peak().unwrap();
                for part in
                    [peak.gflops / processor.gflops, peak.bandwidth_gbs / processor.bandwidth_gbs]
                {
                    assert!((0.02..3.0).contains(&part), "{peak:?}, {processor:?}");
                }
            }
        }
    }

    /// The operations of one, and how long the fastest of some takes.
    fn convolution(gpu: &Device) -> (u64, f64) {
        let w = testing::weights(&[("w", &[128, 128, 3, 3])]).get("w").unwrap();
        let tape = Tape::new();
        let y = tape.input("x", &[1, 64, 64, 128]).conv2d(&w, None, Conv::same(3));
        let program = tape.finish(&[&y]);
        let flops = program.flops();
        let mut network = gpu.compile(program).unwrap();
        let x = testing::numbers(64 * 64 * 128, 1);
        let run = |_| {
            let start = Instant::now();
            network.run(&[&x]).unwrap();
            start.elapsed().as_secs_f64()
        };
        (flops, (0..5).map(run).fold(f64::INFINITY, f64::min))
    }
}
