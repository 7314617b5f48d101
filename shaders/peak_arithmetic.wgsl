// peak_arithmetic: y[i] = sum over 12 chains of c = c x + b, each 4 times `rounds`
//
//   y  [threads of the grid]
//
// What the adapter's multiply-adders reach when none waits for memory, nor for the one before.

struct Params {
    rounds: u32,
    x: f32,
    b: f32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn peak_arithmetic(@builtin(global_invocation_id) thread: vec3<u32>) {
    let x = vec4(p.x);
    let b = vec4(p.b);
    // Variables, not an array, which might come to lie in memory; as few as hide an addition's time, as some
    // processors have sixteen registers.
    var c0 = vec4(f32(thread.x));
    var c1 = c0 + 1.0;
    var c2 = c0 + 2.0;
    for (var round = 0u; round < p.rounds; round++) {
        c0 = fma(fma(fma(fma(c0, x, b), x, b), x, b), x, b);
        c1 = fma(fma(fma(fma(c1, x, b), x, b), x, b), x, b);
        c2 = fma(fma(fma(fma(c2, x, b), x, b), x, b), x, b);
    }
    y[thread.x] = dot(c0 + c1 + c2, vec4(1.0));
}
