//! What a device can do at most, measured: the yardstick for kernels.

/// What it reaches when it does nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Of the processor; a GPU has its own.
    pub threads: Option<usize>,
    /// Floating-point operations per nanosecond: fused multiply-adds of f32 in registers, each two.
    pub gflops: f64,
    /// Bytes per nanosecond, read from memory.
    pub bandwidth_gbs: f64,
}

/// Times, of which the best counts: others may use the machine too.
pub const TRIES: usize = 5;
