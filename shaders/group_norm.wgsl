// group_norm: y = act((x - mean) / sqrt(variance + eps) weight + bias) (Wu and He 2018)
//
//   x, y          [batch, rows, GROUPS size]
//   partials      [batch, chunks, GROUPS]  as group_norm_statistics makes them
//   weight, bias  [GROUPS size]
//
// One workgroup per run of rows. Chunks are combined by Chan et al. 1979.

struct Params {
    first: u32,    // run of this dispatch, counted over the whole batch
    count: u32,    // runs of this dispatch
    x_start: u32,
    y_start: u32,
    rows: u32,     // of one batch entry
    each: u32,     // rows of a run; the last one may have fewer
    runs: u32,     // of one batch entry
    chunks: u32,
    size: u32,
    kind: u32,
    eps: f32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

/// Of each group: shift, mean - shift, 1 / sqrt(variance + eps).
var<workgroup> statistics: array<vec3<f32>, GROUPS>;

@compute @workgroup_size(THREADS)
fn group_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // Groups past the end do the last run again: no early return before a barrier.
    let run = p.first + min(group.y * groups.x + group.x, p.count - 1u);
    let entry = run / p.runs;
    for (var g = thread; g < GROUPS; g += THREADS) {
        statistics[g] = combined(entry * p.chunks * GROUPS + g);
    }
    workgroupBarrier();

    let channels = GROUPS * p.size;
    let begin = run % p.runs * p.each;
    let count = (min(begin + p.each, p.rows) - begin) * channels;
    let base = (entry * p.rows + begin) * channels;
    for (var i = thread; i < count; i += THREADS) {
        let c = i % channels;
        let s = statistics[c / p.size];
        let normal = (x[base + i - p.x_start] - s.x - s.y) * s.z;
        y[base + i - p.y_start] = act(p.kind, normal * weight[c] + bias[c]);
    }
}

/// The statistics of all chunks of a group, of which `at` is the first.
fn combined(at: u32) -> vec3<f32> {
    let shift = partials[at].x;
    var count = 0.0;
    var sum = 0.0;
    for (var i = 0u; i < p.chunks; i++) {
        let part = partials[at + i * GROUPS];
        count += part.w;
        sum += part.w * (part.x - shift + part.y);
    }
    let mean = sum / count;
    var squares = 0.0;
    for (var i = 0u; i < p.chunks; i++) {
        let part = partials[at + i * GROUPS];
        let d = part.x - shift + part.y - mean;
        squares += part.z + part.w * d * d;
    }
    return vec3(shift, mean, 1.0 / sqrt(squares / count + p.eps));
}
