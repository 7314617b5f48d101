// matmul_sum: adds up the slices of a product, always in the same order, and finishes it
//
//   a  [slices, m, n in quads]  as matmul_partial leaves them

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn matmul_sum(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + thread;
    let quads = (p.n + 3u) / 4u;
    if i >= p.m * quads {
        return;
    }
    var sum = a[i];
    for (var slice = 1u; slice < p.slice; slice++) {
        sum += a[slice * p.m * quads + i];
    }
    finish4(0u, i / quads, i % quads * 4u, sum);
}
