// group_norm_small: as group_norm, in one go, for groups of few numbers
//
//   x, y          [batch, rows, GROUPS size]
//   weight, bias  [GROUPS size]
//
// One workgroup per group and batch entry: the mean first, then the squared differences from it, both measured
// from the group's first number, so that groups whose values are large and alike keep their digits.

struct Params {
    rows: u32,
    size: u32,
    groups: u32,
    kind: u32,
    eps: f32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn group_norm_small(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let channels = p.groups * p.size;
    let first = group.x * p.size;
    let base = group.y * p.rows * channels + first;
    let count = p.rows * p.size;
    let shift = x[base];

    var sum = 0.0;
    for (var i = thread; i < count; i += THREADS) {
        sum += x[base + i / p.size * channels + i % p.size] - shift;
    }
    let mean = sum_of_all(thread, sum) / f32(count);

    sum = 0.0;
    for (var i = thread; i < count; i += THREADS) {
        let d = x[base + i / p.size * channels + i % p.size] - shift - mean;
        sum += d * d;
    }
    let scale = 1.0 / sqrt(sum_of_all(thread, sum) / f32(count) + p.eps);

    for (var i = thread; i < count; i += THREADS) {
        let c = i % p.size;
        let at = base + i / p.size * channels + c;
        let normal = (x[at] - shift - mean) * scale;
        y[at] = act(p.kind, normal * weight[first + c] + bias[first + c]);
    }
}
