// map: y[i] = act(scale x[i] + shift)

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    y_start: u32,
    scale: f32,
    shift: f32,
    kind: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn map(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + thread;
    if i < p.count {
        y[p.first + i - p.y_start] = act(p.kind, p.scale * x[p.first + i - p.x_start] + p.shift);
    }
}
