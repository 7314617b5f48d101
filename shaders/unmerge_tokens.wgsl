// unmerge_tokens: y[b, n] = x[b, slots[b, n]]
//
//   x      [entries, rows, cols]
//   slots  [entries, tokens]
//   y      [entries, tokens, cols]

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

@compute @workgroup_size(THREADS)
fn unmerge_tokens(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + thread;
    if at >= p.count {
        return;
    }
    let i = p.first + at;
    let token = i / p.cols;
    let row = token / p.tokens * p.rows + u32(slots[token - p.slots_start]);
    y[i - p.y_start] = x[row * p.cols + i % p.cols - p.x_start];
}
