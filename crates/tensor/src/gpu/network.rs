//! A program on the GPU: compiled once, replayed every step.

use super::{
    BIND_GROUPS, GpuDevice, Launch, Recording, Span, UPLOADS, lock, recording::Memory,
    stopwatch::Stopwatch,
};
use crate::{Plan, Program, Result};
use anyhow::anyhow;
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Submissions that may wait for the GPU or be on it: it is never idle, and stops soon when asked to.
const IN_FLIGHT: usize = 2;

/// One launch of a kernel, ready to be replayed.
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    parameters: Vec<u8>,
    groups: [u32; 3],
    step: usize,
    work: u64,
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
    /// From the first run that is to be timed on.
    pub(super) stopwatch: Option<Stopwatch>,
    _weights: Vec<Arc<wgpu::Buffer>>,
}

impl GpuDevice {
    pub(crate) fn compile(self: &Arc<Self>, program: Program) -> Result<GpuNetwork> {
        let products = Recording::new(&program, &program.plan(), &self.target())?.products;
        self.tune(&products)?;
        let network = self.realise(program)?;
        self.keep_compiled();
        Ok(network)
    }

    /// Compiles it with the tiles that are known.
    pub(super) fn realise(self: &Arc<Self>, program: Program) -> Result<GpuNetwork> {
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
            stopwatch: None,
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
            step: launch.step,
            work: launch.work,
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
        if self.device.timing.load(Ordering::Relaxed) && self.stopwatch.is_none() {
            self.stopwatch = Stopwatch::new(&self.device, self.dispatches.len())?;
        }
        let first = self.settle(inputs);
        self.replay(first)?;
        let outputs = self.read()?;
        for (step, time) in self.times()?.unwrap_or_default() {
            self.device.timings.add(&self.program, &self.program.steps[step], time);
        }
        Ok(outputs)
    }

    /// Submits the dispatches from number `first` on, a share at a time.
    pub(super) fn replay(&mut self, first: usize) -> Result<()> {
        let device = self.device.clone();
        let (mut flight, mut rest) = (Flight::default(), first..self.dispatches.len());
        while !rest.is_empty() {
            flight.make_room(&device)?;
            let works = self.dispatches[rest.clone()].iter().map(|dispatch| dispatch.work);
            let share = rest.start..rest.start + lock(&device.pace).share(works.clone());
            let work = works.take(share.len()).sum();
            rest.start = share.end;
            flight.submitted(self.submit(share), work);
        }
        Ok(())
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

    fn submit(&mut self, share: Range<usize>) -> wgpu::SubmissionIndex {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        let dispatches = &self.dispatches[share];
        match &mut self.stopwatch {
            None => record_pass(&mut encoder, None, dispatches),
            Some(stopwatch) => {
                for step in dispatches.chunk_by(|a, b| a.step == b.step) {
                    record_pass(&mut encoder, Some(stopwatch.next_pass(step[0].step)), step);
                }
            }
        }
        self.device.queue.submit([encoder.finish()])
    }

    /// What each step took that was done in the last run, by number, if it was timed.
    pub(super) fn times(&mut self) -> Result<Option<BTreeMap<usize, Duration>>> {
        let Some(stopwatch) = &mut self.stopwatch else { return Ok(None) };
        let mut times = BTreeMap::new();
        for (step, time) in stopwatch.times(&self.device)? {
            *times.entry(step).or_default() += time;
        }
        Ok(Some(times))
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
        self.device.read(&self.readback, |bytes| self.copy_out(bytes))?
    }

    fn copy_out(&self, bytes: &[u8]) -> Result<Vec<Vec<f32>>> {
        let numbers: &[f32] = bytemuck::try_cast_slice(bytes)
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

fn record_pass(
    encoder: &mut wgpu::CommandEncoder,
    timestamp_writes: Option<wgpu::ComputePassTimestampWrites>,
    dispatches: &[Dispatch],
) {
    let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
    let mut pass = encoder.begin_compute_pass(&descriptor);
    for dispatch in dispatches {
        pass.set_pipeline(&dispatch.pipeline);
        pass.set_bind_group(0, &dispatch.bindings, &[]);
        pass.set_immediates(0, &dispatch.parameters);
        let [x, y, z] = dispatch.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The submissions of one run that are not known to be done.
#[derive(Default)]
struct Flight {
    submitted: VecDeque<(wgpu::SubmissionIndex, u64, Instant)>,
    /// When the last one was done.
    done: Option<Instant>,
}

impl Flight {
    fn submitted(&mut self, index: wgpu::SubmissionIndex, work: u64) {
        self.submitted.push_back((index, work, Instant::now()));
    }

    /// Waits until one more may be submitted; learns from the time that took.
    fn make_room(&mut self, device: &GpuDevice) -> Result<()> {
        while self.submitted.len() >= IN_FLIGHT {
            let Some((index, work, start)) = self.submitted.pop_front() else { break };
            device.wait_for(index)?;
            let now = Instant::now();
            // It began when the one before it was done.
            let began = self.done.map_or(start, |done| done.max(start));
            lock(&device.pace).took(work, now - began);
            self.done = Some(now);
        }
        Ok(())
    }
}
