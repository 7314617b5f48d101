// group_norm_statistics: mean and spread of each group of channels over each chunk of rows
//
//   x         [batch, rows, GROUPS size]
//   partials  [batch, chunks, GROUPS]  (shift, mean - shift, sum of squared differences from the mean, count)
//
// One workgroup per chunk and group. Everything is measured from the chunk's first number (shift), so that
// groups whose values are large and alike keep their digits.

struct Params {
    first: u32,    // chunk of this dispatch, counted over the whole batch
    x_start: u32,
    rows: u32,     // of one batch entry
    each: u32,     // rows of a chunk; the last one may have fewer
    chunks: u32,   // of one batch entry
    size: u32,     // channels of a group
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn group_norm_statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = group.x;
    let chunk = p.first + group.y;
    let begin = chunk % p.chunks * p.each;
    let count = (min(begin + p.each, p.rows) - begin) * p.size;
    let channels = GROUPS * p.size;
    let base = (chunk / p.chunks * p.rows + begin) * channels + g * p.size - p.x_start;
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
    let squares = sum_of_all(thread, sum);
    if thread == 0u {
        partials[chunk * GROUPS + g] = vec4(shift, mean, squares, f32(count));
    }
}
