// copy_rows: y[r, y_skip + i] = x[r, x_skip + i] for i < len: concatenations and slices
//
//   x  [rows, x_cols]
//   y  [rows, y_cols]

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    y_start: u32,
    x_cols: u32,
    x_skip: u32,
    y_cols: u32,
    y_skip: u32,
    len: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn copy_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + thread;
    if i >= p.count {
        return;
    }
    let row = p.first + i / p.len;
    let col = i % p.len;
    y[row * p.y_cols + p.y_skip + col - p.y_start] = x[row * p.x_cols + p.x_skip + col - p.x_start];
}
