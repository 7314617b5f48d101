//! What the tests of operations share: random numbers, weights without a file, every device.

use crate::{Adapter, Device, GpuOptions, Program, TileClass, Weights, gpu::furthest};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::OnceLock,
};

/// Counts what each thread holds, and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: all memory is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        MOST.set(MOST.get().max(HELD.get()));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that this thread held more than before while it ran `f`.
pub fn most_held(f: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    f();
    (MOST.get() - before) as usize
}

/// Bytes that this thread holds more after `f`, as long as its result lives.
pub fn held<T>(f: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    let result = f();
    (result, HELD.get() - before)
}

/// A small generator (Vigna's splitmix64): the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// One of them.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
    /// Uniform in -1..1.
    pub fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

pub fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..len).map(|_| random.number()).collect()
}

/// Weights with random numbers under these names.
pub fn weights(tensors: &[(&str, &[usize])]) -> Weights {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (seed, (name, shape)) in tensors.iter().enumerate() {
        let start = data.len();
        let values = numbers(shape.iter().product(), 1000 + seed as u64);
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    Weights::from_parts("test", &[bytes.leak()]).unwrap()
}

/// Largest difference, relative to the standard deviation of what was expected.
#[track_caller]
pub fn assert_close(got: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let (at, off) = furthest(got, expected);
    assert!(
        off <= tolerance,
        "at {at}: {}, expected {} (off by {off:.2e} std)",
        got[at],
        expected[at]
    );
}

/// Runs the program on every device here and compares with `expected`, made in f64. One of the devices
/// has bindings so small that nearly every operation is cut into pieces.
#[track_caller]
pub fn check(program: impl Fn() -> Program, inputs: &[&[f32]], expected: &[f64], tolerance: f64) {
    check_bound(16 << 10, program, inputs, expected, tolerance);
}

/// As [`check`], for operations of which some array cannot be cut that small: bindings of `limit` bytes.
#[track_caller]
pub fn check_bound(
    limit: u64,
    program: impl Fn() -> Program,
    inputs: &[&[f32]],
    expected: &[f64],
    tolerance: f64,
) {
    let expected: Vec<f32> = expected.iter().map(|x| *x as f32).collect();
    let run = |device: &Device| device.compile(program()).unwrap().run(inputs).unwrap();
    for device in &devices(limit) {
        assert_close(&run(device)[0], &expected, tolerance);
    }
    // Where there are matrix units, each of their products is off by 2^-18; this is the furthest of all.
    assert_close(&run(&Device::cpu())[0], &expected, tolerance.max(1e-4));
}

/// The CPU, exact to f32, and the first adapter in every way of building kernels that there is; last, with
/// bindings of at most `limit` bytes.
pub fn devices(limit: u64) -> Vec<Device> {
    std::iter::once(Device::twin()).chain(gpus(limit)).collect()
}

/// The first adapter that can run Weft's kernels; nothing, said aloud, where there is none. With
/// `WEFT_REQUIRE_GPU` that is a failure.
pub fn adapter() -> Option<&'static Adapter> {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    let adapter = ADAPTERS.get_or_init(Adapter::all).iter().find(|a| a.unfit().is_none());
    if adapter.is_none() {
        assert!(std::env::var_os("WEFT_REQUIRE_GPU").is_none(), "no GPU, but one is required");
        eprintln!("SKIPPED: no GPU here");
    }
    adapter
}

fn gpus(limit: u64) -> Vec<Device> {
    let plain = GpuOptions { checked: true, tile: Some(TileClass::Small), ..GpuOptions::default() };
    let ways = [
        plain,
        GpuOptions { tile: Some(TileClass::Direct), ..plain },
        GpuOptions { checked: false, ..plain },
        GpuOptions { binding_limit: limit, ..plain },
    ];
    ways.iter().filter_map(|way| gpu(*way)).collect()
}

/// The first adapter, opened so; none where there is none.
pub fn gpu(options: GpuOptions) -> Option<Device> {
    Some(Device::gpu(adapter()?, options).unwrap())
}

/// All index tuples of a shape, in memory order.
pub fn indices(shape: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let [a, b, c, d] = shape;
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}
