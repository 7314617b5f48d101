// permute: y in another order of dimensions
//
//   y  four dimensions (the first ones 1 where there are fewer)
//   x  read at the sum of index times stride

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    y_start: u32,
    size1: u32,
    size2: u32,
    size3: u32,
    stride0: u32,
    stride1: u32,
    stride2: u32,
    stride3: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn permute(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + thread;
    if at >= p.count {
        return;
    }
    let i = p.first + at;
    let rows = i / p.size3;
    let planes = rows / p.size2;
    let source = planes / p.size1 * p.stride0 + planes % p.size1 * p.stride1 + rows % p.size2 * p.stride2 + i % p.size3 * p.stride3;
    y[i - p.y_start] = x[source - p.x_start];
}
