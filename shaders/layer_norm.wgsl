// layer_norm: y[r, c] = (x[r, c] - mean) / sqrt(variance + eps) weight[c] + bias[c] (Ba et al. 2016)
//
//   x, y          [rows, cols]
//   weight, bias  [cols]
//
// One workgroup per row; the mean first, then the squared differences from it.

struct Params {
    first: u32,
    rows: u32,
    x_start: u32,
    weight_start: u32,    // these two are bound whole, from 0
    bias_start: u32,
    y_start: u32,
    cols: u32,
    eps: f32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn layer_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // Groups past the end do the last row again: no early return before a barrier.
    let row = p.first + min(group.y * groups.x + group.x, p.rows - 1u);
    let x0 = row * p.cols - p.x_start;
    let y0 = row * p.cols - p.y_start;

    var sum = 0.0;
    for (var c = thread; c < p.cols; c += THREADS) {
        sum += x[x0 + c];
    }
    let mean = sum_of_all(thread, sum) / f32(p.cols);

    sum = 0.0;
    for (var c = thread; c < p.cols; c += THREADS) {
        let d = x[x0 + c] - mean;
        sum += d * d;
    }
    let scale = 1.0 / sqrt(sum_of_all(thread, sum) / f32(p.cols) + p.eps);

    for (var c = thread; c < p.cols; c += THREADS) {
        y[y0 + c] = (x[x0 + c] - mean) * scale * weight[c] + bias[c];
    }
}
