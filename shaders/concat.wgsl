// concat: rows of a and b one after another: y[r, c] = a[r, c] for c < a_cols, else b[r, c - a_cols]
//
//   a  [rows, a_cols]
//   b  [rows, b_cols]
//   y  [rows, a_cols + b_cols]

struct Params {
    first: u32,
    count: u32,
    a_start: u32,
    b_start: u32,
    y_start: u32,
    a_cols: u32,
    b_cols: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn concat(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + thread;
    if at >= p.count {
        return;
    }
    let i = p.first + at;
    let row = i / (p.a_cols + p.b_cols);
    let column = i % (p.a_cols + p.b_cols);
    if column < p.a_cols {
        y[i - p.y_start] = a[row * p.a_cols + column - p.a_start];
    } else {
        y[i - p.y_start] = b[row * p.b_cols + column - p.a_cols - p.b_start];
    }
}
