//! What a step of a sampler takes from the allocator: a network's memory is its plan's, made before the
//! first step.

use models::{Checkpoint, Question, UnetSize};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};
use tensor::{Device, Weights};

/// Counts large blocks, of all threads.
struct Counting;

static LARGE: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
/// Lists of arguments and rows are smaller, anything of a picture's size is larger.
const LARGEST: usize = 64 << 10;

fn count(size: usize) {
    if size > LARGEST {
        LARGE.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(size, Ordering::Relaxed);
    }
}

// SAFETY: all memory is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_on_the_cpu_allocates_nothing_large() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../builtin/weights/weft-tiny.safetensors");
    let model = Checkpoint::load(&Weights::open(&file).unwrap()).unwrap();
    let device = Device::cpu();
    // What goes in and comes out has 32 KiB.
    let size = UnetSize { batch: 2, height: 32, width: 32, tokens: 77 };
    let x = vec![0.5; size.batch * model.unet.in_channels * size.height * size.width];
    let context = vec![0.25; size.batch * size.tokens * model.unet.context_channels];
    let timesteps = [500.0; 2];
    let step = || {
        let (timesteps, context) = (&timesteps, &context);
        let question = Question { x: &x, timesteps, context, size, ..Question::default() };
        model.unet.predict(&device, &question).unwrap();
    };
    step();
    assert!(LARGE.load(Ordering::Relaxed) > 10, "the first step makes the network ready");
    let steps: Vec<(usize, usize)> = (0..20)
        .map(|_| {
            let before = [&LARGE, &BYTES].map(|n| n.load(Ordering::Relaxed));
            step();
            let after = [&LARGE, &BYTES].map(|n| n.load(Ordering::Relaxed));
            (after[0] - before[0], after[1] - before[1])
        })
        .collect();
    // A thread may meet some work for the first time late, and make room for it; once.
    let late: usize = steps[10..].iter().map(|(blocks, _)| blocks).sum();
    assert!(late <= 2, "blocks and bytes by step: {steps:?}");
}
