// softmax: y[r, c] = exp(x[r, c] - max x[r, :]) / sum of the same
//
//   x  [rows, cols]
//   y  [rows, cols]  0..1, each row sums to 1
//
// One workgroup per row; each thread walks the row in strides of THREADS.

struct Params {
    first: u32,
    rows: u32,
    x_start: u32,
    y_start: u32,
    cols: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn softmax(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // Groups past the end do the last row again: no early return before a barrier.
    let row = p.first + min(group.y * groups.x + group.x, p.rows - 1u);
    let x0 = row * p.cols - p.x_start;
    let y0 = row * p.cols - p.y_start;

    var high = -3.4e38;
    for (var c = thread; c < p.cols; c += THREADS) {
        high = max(high, x[x0 + c]);
    }
    high = highest_of_all(thread, high);

    var sum = 0.0;
    for (var c = thread; c < p.cols; c += THREADS) {
        sum += exp(x[x0 + c] - high);
    }
    let scale = 1.0 / sum_of_all(thread, sum);

    for (var c = thread; c < p.cols; c += THREADS) {
        y[y0 + c] = exp(x[x0 + c] - high) * scale;
    }
}
