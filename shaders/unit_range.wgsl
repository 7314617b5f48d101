// unit_range: each row from 0, its smallest number, to 1, its largest

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    y_start: u32,
    cols: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> lows: array<f32, THREADS>;
var<workgroup> highs: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn unit_range(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // A workgroup past the end does the last row again and keeps nothing of it.
    let at = group.y * groups.x + group.x;
    let row = (p.first + min(at, p.count - 1u)) * p.cols;
    var low = x[row - p.x_start];
    var high = low;
    for (var i = thread; i < p.cols; i += THREADS) {
        low = min(low, x[row + i - p.x_start]);
        high = max(high, x[row + i - p.x_start]);
    }
    lows[thread] = low;
    highs[thread] = high;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if thread < half {
            lows[thread] = min(lows[thread], lows[thread + half]);
            highs[thread] = max(highs[thread], highs[thread + half]);
        }
        workgroupBarrier();
    }
    if at >= p.count {
        return;
    }
    for (var i = thread; i < p.cols; i += THREADS) {
        y[row + i - p.y_start] = (x[row + i - p.x_start] - lows[0]) / (highs[0] - lows[0]);
    }
}
