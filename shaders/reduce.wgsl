// reduce: one number of all threads' numbers, halving how many are left

var<workgroup> partial: array<f32, THREADS>;

/// The sum of every thread's number, for all of them. All threads must call it together.
fn sum_of_all(thread: u32, mine: f32) -> f32 {
    partial[thread] = mine;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            partial[thread] += partial[thread + half];
        }
    }
    return workgroupUniformLoad(&partial[0]);
}

/// The highest of every thread's number, likewise.
fn highest_of_all(thread: u32, mine: f32) -> f32 {
    partial[thread] = mine;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            partial[thread] = max(partial[thread], partial[thread + half]);
        }
    }
    return workgroupUniformLoad(&partial[0]);
}
