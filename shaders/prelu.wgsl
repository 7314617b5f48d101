// prelu: y[i] = x[i] above 0, slope[i % cols] x[i] below

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    slope_start: u32,
    y_start: u32,
    cols: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> slope: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn prelu(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + thread;
    if at >= p.count {
        return;
    }
    let i = p.first + at;
    let value = x[i - p.x_start];
    y[i - p.y_start] = max(value, 0.0) + slope[i % p.cols - p.slope_start] * min(value, 0.0);
}
