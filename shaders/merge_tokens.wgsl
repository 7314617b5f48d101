// merge_tokens: y[b, r] = the mean of those x[b, n] whose slots[b, n] is r
//
//   x      [entries, tokens, cols]
//   slots  [entries, tokens]
//   y      [entries, rows, cols]
//
// One workgroup for each row of y. Together the threads look for its tokens, 32 for each thread at a time;
// then each adds up its own columns, in the same order on every machine.

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    slots_start: u32,
    y_start: u32,
    tokens: u32,
    rows: u32,
    cols: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> slots: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

/// A bit for each token of a thread that belongs to the row.
var<workgroup> found: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn merge_tokens(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // A workgroup past the end does the last row again, with the same result.
    let row = p.first + min(group.y * groups.x + group.x, p.count - 1u);
    let entry = row / p.rows * p.tokens;
    let slot = row % p.rows;
    let y0 = row * p.cols - p.y_start;
    for (var c = thread; c < p.cols; c += THREADS) {
        y[y0 + c] = 0.0;
    }
    var members = 0u;
    for (var n0 = 0u; n0 < p.tokens; n0 += 32u * THREADS) {
        var bits = 0u;
        for (var bit = 0u; bit < 32u; bit += 1u) {
            let n = n0 + bit * THREADS + thread;
            if n < p.tokens {
                bits |= select(0u, 1u << bit, u32(slots[entry + n - p.slots_start]) == slot);
            }
        }
        workgroupBarrier();
        found[thread] = bits;
        workgroupBarrier();
        for (var owner = 0u; owner < THREADS; owner += 1u) {
            for (var left = found[owner]; left != 0u; left &= left - 1u) {
                let n = n0 + firstTrailingBit(left) * THREADS + owner;
                members += 1u;
                for (var c = thread; c < p.cols; c += THREADS) {
                    y[y0 + c] += x[(entry + n) * p.cols + c - p.x_start];
                }
            }
        }
    }
    for (var c = thread; c < p.cols; c += THREADS) {
        y[y0 + c] /= f32(members);
    }
}
