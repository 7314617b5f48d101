//! A program on the GPU: compiled once, replayed every step.

use super::{BIND_GROUPS, GpuDevice, Launch, Recording, Span, UPLOADS, recording::Memory};
use crate::{Plan, Program, Result};
use anyhow::{Context as _, anyhow};
use std::sync::{Arc, mpsc};

/// Work of one submission: few enough for systems that reset a GPU which is silent for two seconds.
const FLOPS_PER_SUBMISSION: u64 = 100_000_000_000;

/// One launch of a kernel, ready to be replayed.
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    parameters: Vec<u8>,
    groups: [u32; 3],
    flops: u64,
}

/// A program with its pipelines, weights and memory.
pub struct GpuNetwork {
    pub(crate) program: Program,
    pub(crate) device: Arc<GpuDevice>,
    plan: Plan,
    slots: Vec<Arc<wgpu::Buffer>>,
    scratch: Arc<wgpu::Buffer>,
    /// Those of steady steps first.
    dispatches: Vec<Dispatch>,
    /// How many need not be done again while steady inputs stay as they are.
    steady: usize,
    /// What the steady inputs were when those were done.
    settled: Vec<Vec<f32>>,
    /// Outputs, one after another, where the processor can read them.
    readback: wgpu::Buffer,
    _weights: Vec<Arc<wgpu::Buffer>>,
}

impl GpuDevice {
    pub(crate) fn compile(self: &Arc<Self>, program: Program) -> Result<GpuNetwork> {
        let plan = program.plan();
        let recording = Recording::new(&program, &plan, &self.target())?;
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let slot = |len: &usize| self.buffer("intermediate values", *len, usage).map(Arc::new);
        let slots = plan.slots.iter().map(slot).collect::<Result<Vec<_>>>()?;
        let usage = wgpu::BufferUsages::STORAGE;
        let scratch = Arc::new(self.buffer("scratch", recording.scratch, usage)?);
        let len = program.outputs.iter().map(|id| program.values[*id].len()).sum();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let readback = self.buffer("results", len, usage)?;
        let mut network = GpuNetwork {
            device: self.clone(),
            plan,
            slots,
            scratch,
            dispatches: Vec::new(),
            steady: recording.steady,
            settled: Vec::new(),
            readback,
            _weights: Vec::new(),
            program,
        };
        network.realise(&recording)?;
        self.wait()?;
        Ok(network)
    }
}

impl GpuNetwork {
    /// Turns launches into dispatches: uploads weights, makes pipelines and bind groups.
    fn realise(&mut self, recording: &Recording) -> Result<()> {
        let (mut dispatches, mut held) = (Vec::new(), Vec::new());
        let mut uploaded = 0;
        for launch in &recording.launches {
            let buffers = launch.bindings().map(|span| self.buffer(span));
            let buffers = buffers.collect::<Result<Vec<_>>>()?;
            dispatches.push(self.dispatch(launch, &buffers));
            self.device.check()?;
            for (span, buffer) in launch.bindings().zip(buffers) {
                if let Memory::Weight(stored) = &span.memory {
                    uploaded += 4 * stored.len();
                    held.push(buffer);
                }
            }
            if uploaded > UPLOADS {
                self.device.wait()?;
                uploaded = 0;
            }
        }
        (self.dispatches, self._weights) = (dispatches, held);
        Ok(())
    }

    fn buffer(&self, span: &Span) -> Result<Arc<wgpu::Buffer>> {
        match &span.memory {
            Memory::Slot(slot) => Ok(self.slots[*slot].clone()),
            Memory::Weight(stored) => self.device.weight(stored),
            Memory::Scratch => Ok(self.scratch.clone()),
            Memory::Nothing => Ok(self.device.nothing.clone()),
        }
    }

    fn dispatch(&self, launch: &Launch, buffers: &[Arc<wgpu::Buffer>]) -> Dispatch {
        let gpu = &self.device;
        let pipeline = gpu.pipeline(&launch.kernel, &launch.constants, launch.reads.len());
        let bound = launch.bindings().zip(buffers).zip(0..);
        let entries: Vec<_> = bound.map(|((span, buffer), i)| binding(span, buffer, i)).collect();
        gpu.count(BIND_GROUPS);
        let bindings = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.kernel.name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch {
            pipeline,
            bindings,
            parameters: bytemuck::cast_slice(&launch.parameters).to_vec(),
            groups: launch.groups,
            flops: launch.flops,
        }
    }

    fn slot(&self, id: usize) -> &Arc<wgpu::Buffer> {
        &self.slots[self.plan.slot_of[id].expect("the plan gives every value a slot")]
    }

    pub(crate) fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        self.device.check()?;
        for ((_, id), data) in self.program.inputs.iter().zip(inputs) {
            self.device.queue.write_buffer(self.slot(*id), 0, bytemuck::cast_slice(data));
        }
        let first = self.settle(inputs);
        self.replay(first);
        self.read()
    }

    /// Submits the dispatches from number `first` on.
    pub(super) fn replay(&self, first: usize) {
        let mut rest = &self.dispatches[first..];
        while !rest.is_empty() {
            let mut flops = 0;
            let fits = |dispatch: &&Dispatch| {
                flops += dispatch.flops;
                flops <= FLOPS_PER_SUBMISSION
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            self.submit(now);
            rest = later;
        }
    }

    /// The first dispatch that these inputs need.
    fn settle(&mut self, inputs: &[&[f32]]) -> usize {
        let given = self.program.inputs.iter().zip(inputs);
        let steady = given.filter(|((_, id), _)| self.program.steady.contains(id));
        let now: Vec<&[f32]> = steady.map(|(_, data)| *data).collect();
        if self.settled == now {
            return self.steady;
        }
        self.settled = now.into_iter().map(<[f32]>::to_vec).collect();
        0
    }

    fn submit(&self, dispatches: &[Dispatch]) {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for dispatch in dispatches {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bindings, &[]);
            pass.set_immediates(0, &dispatch.parameters);
            let [x, y, z] = dispatch.groups;
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        self.device.queue.submit([encoder.finish()]);
    }

    /// Waits for the outputs and copies them out.
    fn read(&self) -> Result<Vec<Vec<f32>>> {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        let mut at = 0;
        for id in &self.program.outputs {
            let size = 4 * self.program.values[*id].len() as u64;
            encoder.copy_buffer_to_buffer(self.slot(*id), 0, &self.readback, at, size);
            at += size;
        }
        self.device.queue.submit([encoder.finish()]);
        let (sender, mapped) = mpsc::channel();
        self.readback.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        self.device.wait()?;
        mapped.recv().map_err(|_| anyhow!("no answer"))?.context("reading the GPU's results")?;
        let outputs = self.copy_out();
        self.readback.unmap();
        outputs
    }

    fn copy_out(&self) -> Result<Vec<Vec<f32>>> {
        let view = self.readback.get_mapped_range(..).context("reading the GPU's results")?;
        let numbers: &[f32] = bytemuck::try_cast_slice(&view)
            .map_err(|e| anyhow!("reading the GPU's results: {e}"))?;
        let mut rest = numbers;
        let mut outputs = Vec::new();
        for id in &self.program.outputs {
            let (output, later) = rest.split_at(self.program.values[*id].len());
            outputs.push(output.to_vec());
            rest = later;
        }
        Ok(outputs)
    }
}

fn binding<'a>(span: &Span, buffer: &'a wgpu::Buffer, binding: u32) -> wgpu::BindGroupEntry<'a> {
    let offset = 4 * span.start as u64;
    let size = std::num::NonZero::new(span.bytes().min(buffer.size() - offset));
    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
    wgpu::BindGroupEntry { binding, resource }
}
