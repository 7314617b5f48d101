//! A program on the GPU: compiled once, replayed every step.

use super::{
    BIND_GROUPS, Buffer, GpuDevice, Launch, Recording, Span, UPLOADS, lock,
    recording::{Memory, Stored},
    stopwatch::Stopwatch,
};
use crate::{
    OutOfMemory, Plan, Program, Result,
    blocks::{Blocks, Need},
    memory::{Held, Kind},
};
use anyhow::anyhow;
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    sync::{Arc, Mutex, atomic::Ordering},
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

/// A program with its launches, pipelines, weights and memory.
pub struct GpuNetwork {
    pub(crate) program: Program,
    pub(crate) device: Arc<GpuDevice>,
    plan: Plan,
    /// Launches of steady steps come first: they need not be done again while steady inputs stay as they are.
    recording: Recording,
    need: Need,
    network: u64,
    values: Arc<Held<Arc<Values>>>,
    /// Of launches.
    blocks: Blocks<Block>,
    /// What the steady inputs were when what depends on them alone was done.
    settled: Vec<Vec<f32>>,
    /// From the first run that is to be timed on.
    pub(super) stopwatch: Option<Stopwatch>,
}

/// Memory for what is computed.
struct Values {
    slots: Vec<Arc<Buffer>>,
    scratch: Arc<Buffer>,
    /// Outputs, one after another, where the processor can read them.
    readback: Buffer,
}

/// Some launches, ready to be replayed.
struct Block {
    device: Arc<GpuDevice>,
    dispatches: Vec<Dispatch>,
    _weights: Vec<Arc<Buffer>>,
    /// What the dispatches are bound to.
    _values: Arc<Values>,
    /// Its last use.
    submitted: Mutex<Option<wgpu::SubmissionIndex>>,
}

impl Drop for Block {
    /// Its memory is free when the GPU no longer reads it.
    fn drop(&mut self) {
        let submission_index = lock(&self.submitted).take();
        if submission_index.is_some() {
            // A lost device is told by whoever computes next.
            let wait = wgpu::PollType::Wait { submission_index, timeout: None };
            let _ = self.device.device.poll(wait);
        }
    }
}

impl GpuDevice {
    pub(crate) fn need(&self, program: &Program) -> Result<Need> {
        let plan = program.plan();
        self.need_of(program, &plan, &Recording::new(program, &plan, &self.target())?)
    }

    fn need_of(&self, program: &Program, plan: &Plan, recording: &Recording) -> Result<Need> {
        let outputs = program.outputs.iter().map(|id| program.values[*id].len()).sum();
        let others = [recording.scratch, outputs];
        let values = plan.slots.iter().copied().chain(others).map(|len| self.size(len));
        values.clone().try_for_each(|size| self.allows("intermediate values", size))?;
        let read = |stored: &Stored| {
            let mut hash = DefaultHasher::new();
            (stored.weight.id(), stored.form).hash(&mut hash);
            let size = self.size(stored.len());
            self.allows(stored.weight.key(), size).map(|()| (hash.finish(), size))
        };
        let reads = |launch: &Launch| launch.weights().map(read).collect::<Result<Vec<_>>>();
        let weights = recording.launches.iter().map(reads).collect::<Result<Vec<_>>>()?;
        Ok(Need { values: values.sum(), weights })
    }

    pub(crate) fn compile(self: &Arc<Self>, program: Program) -> Result<GpuNetwork> {
        let products = Recording::new(&program, &program.plan(), &self.target())?.products;
        self.tune(&products)?;
        self.realise(program)
    }

    /// Compiles it with the tiles that are known.
    pub(super) fn realise(self: &Arc<Self>, program: Program) -> Result<GpuNetwork> {
        let plan = program.plan();
        let recording = Recording::new(&program, &plan, &self.target())?;
        let need = self.need_of(&program, &plan, &recording)?;
        let cut = self.memory.cut(&program.name, &need, true)?;
        let number = self.memory.network();
        self.memory.runs(number);
        let network = GpuNetwork {
            blocks: Blocks::new(cut, &self.memory, number),
            values: Held::new(&self.memory, number),
            device: self.clone(),
            network: number,
            settled: Vec::new(),
            stopwatch: None,
            plan,
            recording,
            need,
            program,
        };
        network.values.put(Arc::new(network.make_values()?));
        Ok(network)
    }
}

impl GpuNetwork {
    fn make_values(&self) -> Result<Values> {
        use wgpu::BufferUsages as Usage;
        let buffer = |what: &str, len: usize, usage: Usage| {
            self.device.buffer(what, Kind::Values, len, usage)
        };
        let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let slot = |len: &usize| buffer("intermediate values", *len, usage).map(Arc::new);
        let len = self.program.outputs.iter().map(|id| self.program.values[*id].len()).sum();
        Ok(Values {
            slots: self.plan.slots.iter().map(slot).collect::<Result<Vec<_>>>()?,
            scratch: Arc::new(buffer("scratch", self.recording.scratch, Usage::STORAGE)?),
            readback: buffer("results", len, Usage::MAP_READ | Usage::COPY_DST)?,
        })
    }

    /// Turns launches into dispatches: uploads weights, makes pipelines and bind groups.
    fn realise(&self, values: &Arc<Values>, launches: Range<usize>) -> Result<Block> {
        let (mut dispatches, mut weights) = (Vec::new(), Vec::new());
        let mut uploaded = 0;
        for launch in &self.recording.launches[launches] {
            let buffers = launch.bindings().map(|span| self.buffer(values, span));
            let buffers = buffers.collect::<Result<Vec<_>>>()?;
            dispatches.push(self.dispatch(launch, &buffers));
            self.device.check()?;
            for (span, buffer) in launch.bindings().zip(buffers) {
                if let Memory::Weight(stored) = &span.memory {
                    uploaded += 4 * stored.len();
                    weights.push(buffer);
                }
            }
            if uploaded > UPLOADS {
                self.device.wait()?;
                uploaded = 0;
            }
        }
        Ok(Block {
            device: self.device.clone(),
            dispatches,
            _weights: weights,
            _values: values.clone(),
            submitted: Mutex::default(),
        })
    }

    fn buffer(&self, values: &Values, span: &Span) -> Result<Arc<Buffer>> {
        match &span.memory {
            Memory::Slot(slot) => Ok(values.slots[*slot].clone()),
            Memory::Weight(stored) => self.device.weight(stored),
            Memory::Scratch => Ok(values.scratch.clone()),
            Memory::Nothing => Ok(self.device.nothing.clone()),
        }
    }

    fn dispatch(&self, launch: &Launch, buffers: &[Arc<Buffer>]) -> Dispatch {
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

    fn slot<'v>(&self, values: &'v Values, id: usize) -> &'v Arc<Buffer> {
        &values.slots[self.plan.slot_of[id].expect("the plan gives every value a slot")]
    }

    pub(crate) fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        self.device.check()?;
        let memory = self.device.memory.clone();
        let budget = memory.budget();
        memory.runs(self.network);
        match self.attempt(inputs) {
            // The device has less than was thought; now it is known how much.
            Err(error) if error.is::<OutOfMemory>() && memory.budget() < budget => {
                let cut = memory.cut(&self.program.name, &self.need, true)?;
                self.blocks = Blocks::new(cut, &memory, self.network);
                self.attempt(inputs)
            }
            result => result,
        }
    }

    fn attempt(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let values = self.take_values()?;
        for ((_, id), data) in self.program.inputs.iter().zip(inputs) {
            let slot = self.slot(&values, *id);
            self.device.queue.write_buffer(slot, 0, bytemuck::cast_slice(data));
        }
        if self.device.timing.load(Ordering::Relaxed) && self.stopwatch.is_none() {
            self.stopwatch = Stopwatch::new(&self.device, self.recording.launches.len())?;
        }
        let first = self.settle(inputs);
        let waited = self.replay_in(&values, first)?;
        if !waited.is_zero() {
            self.device.timings.prepared(&self.program, waited);
        }
        let outputs = self.read(&values)?;
        self.values.put(values);
        for (step, time) in self.times()?.unwrap_or_default() {
            self.device.timings.add(&self.program, &self.program.steps[step], time);
        }
        Ok(outputs)
    }

    fn take_values(&mut self) -> Result<Arc<Values>> {
        if let Some(values) = self.values.take() {
            return Ok(values);
        }
        self.blocks.clear();
        self.settled.clear();
        Ok(Arc::new(self.make_values()?))
    }

    /// Submits the dispatches from number `first` on, over whatever the inputs are.
    pub(super) fn replay(&mut self, first: usize) -> Result<()> {
        let values = self.take_values()?;
        self.replay_in(&values, first)?;
        self.values.put(values);
        Ok(())
    }

    /// Tells how long weights were waited for.
    fn replay_in(&mut self, values: &Arc<Values>, first: usize) -> Result<Duration> {
        let (mut stopwatch, mut flight) = (self.stopwatch.take(), Flight::default());
        let wanted = |launches: Range<usize>| launches.end > first;
        let load = |launches| self.realise(values, launches);
        let replayed = self.blocks.run(wanted, load, |launches, block| {
            let first = first.saturating_sub(launches.start);
            self.submit_all(block, first, &mut flight, stopwatch.as_mut())
        });
        self.stopwatch = stopwatch;
        // Pipelines are new only after the first run.
        self.device.keep_compiled();
        replayed
    }

    /// Submits a block's dispatches from number `first` on, a share at a time.
    fn submit_all(
        &self,
        block: &Block,
        first: usize,
        flight: &mut Flight,
        mut stopwatch: Option<&mut Stopwatch>,
    ) -> Result<()> {
        let mut rest = &block.dispatches[first..];
        while !rest.is_empty() {
            flight.make_room(&self.device)?;
            let works = rest.iter().map(|dispatch| dispatch.work);
            let share = lock(&self.device.pace).share(works.clone());
            let work = works.take(share).sum();
            let (now, later) = rest.split_at(share);
            let index = self.submit(now, stopwatch.as_deref_mut());
            *lock(&block.submitted) = Some(index.clone());
            flight.submitted(index, work);
            rest = later;
        }
        Ok(())
    }

    /// The first dispatch that these inputs need.
    fn settle(&mut self, inputs: &[&[f32]]) -> usize {
        let given = self.program.inputs.iter().zip(inputs);
        let steady = given.filter(|((_, id), _)| self.program.steady.contains(id));
        let now: Vec<&[f32]> = steady.map(|(_, data)| *data).collect();
        if self.settled == now {
            return self.recording.steady;
        }
        self.settled = now.into_iter().map(<[f32]>::to_vec).collect();
        0
    }

    fn submit(
        &self,
        dispatches: &[Dispatch],
        stopwatch: Option<&mut Stopwatch>,
    ) -> wgpu::SubmissionIndex {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        match stopwatch {
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
    fn read(&self, values: &Values) -> Result<Vec<Vec<f32>>> {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        let mut at = 0;
        for id in &self.program.outputs {
            let size = 4 * self.program.values[*id].len() as u64;
            encoder.copy_buffer_to_buffer(self.slot(values, *id), 0, &values.readback, at, size);
            at += size;
        }
        self.device.queue.submit([encoder.finish()]);
        self.device.read(&values.readback, |bytes| self.copy_out(bytes))?
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
