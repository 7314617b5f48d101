// upsample2x: y[b, i, j, c] = x[b, i / 2, j / 2, c]
//
//   x  [batch, height, width, channels]
//   y  [batch, 2 height, 2 width, channels]

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    y_start: u32,
    width: u32,
    channels: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn upsample2x(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + thread;
    if at >= p.count {
        return;
    }
    let i = p.first + at;
    let pixel = i / p.channels;
    // Rows of all pictures are halved alike.
    let row = pixel / (2u * p.width) / 2u;
    let col = pixel % (2u * p.width) / 2u;
    y[i - p.y_start] = x[(row * p.width + col) * p.channels + i % p.channels - p.x_start];
}
