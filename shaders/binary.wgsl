// binary: y[i] = a[i] + b[j] or a[i] * b[j]
//
//   a, y  [rows, cols]
//   b     one row for every `share` rows of a; as many rows as a where share is 1

struct Params {
    first: u32,
    count: u32,
    a_start: u32,
    b_start: u32,
    y_start: u32,
    cols: u32,
    share: u32,
    multiply: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn binary(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + thread;
    if at >= p.count {
        return;
    }
    let i = p.first + at;
    let left = a[i - p.a_start];
    let right = b[i / p.cols / p.share * p.cols + i % p.cols - p.b_start];
    y[i - p.y_start] = select(left + right, left * right, p.multiply != 0u);
}
