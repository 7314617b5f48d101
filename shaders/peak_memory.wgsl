// peak_memory: y[i] = sum of x[i], x[i + threads], ...; `rounds` times over
//
//   x  [words] of four numbers, more than any cache holds
//   y  [threads of the grid]
//
// What the adapter reads from its memory when it does nothing else.

struct Params {
    rounds: u32,
    words: u32,
    threads: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn peak_memory(@builtin(global_invocation_id) thread: vec3<u32>) {
    // Four at once, so that a read need not wait for the one before.
    var sums = array(vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
    for (var round = 0u; round < p.rounds; round++) {
        for (var at = thread.x; at < p.words; at += 4u * p.threads) {
            sums[0] += x[at];
            sums[1] += x[at + p.threads];
            sums[2] += x[at + 2u * p.threads];
            sums[3] += x[at + 3u * p.threads];
        }
    }
    y[thread.x] = dot(sums[0] + sums[1] + sums[2] + sums[3], vec4(1.0));
}
