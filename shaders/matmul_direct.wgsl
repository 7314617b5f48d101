// matmul_direct: a matrix product through registers alone, for adapters that are processors in disguise
//
// A thread makes TM x TN numbers and reads everything from the bindings: where workgroup memory is plain
// memory and a barrier is costly, the largest tile that registers hold is the fastest.

@compute @workgroup_size(THREADS)
fn matmul_direct(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tiles = (p.n + TN - 1u) / TN;
    let tile = (group.y * groups.x + group.x) * THREADS + thread;
    let m0 = tile / tiles * TM;
    let n0 = tile % tiles * TN;
    if m0 >= p.m {
        return;
    }
    var rows: array<Row, TM>;
    for (var i = 0u; i < TM; i++) {
        rows[i] = row_of(m0 + i);
    }
    var sums: array<array<f32, TN>, TM>;
    for (var quad = 0u; quad < p.quads; quad++) {
        var ws: array<vec4<f32>, TN>;
        for (var j = 0u; j < TN; j++) {
            ws[j] = w4(n0 + j, quad);
        }
        let tap = tap_of(quad);
        for (var i = 0u; i < TM; i++) {
            let a = a4(rows[i], tap);
            for (var j = 0u; j < TN; j++) {
                sums[i][j] += dot(a, ws[j]);
            }
        }
    }
    for (var i = 0u; i < TM; i++) {
        for (var j = 0u; j < TN; j += 4u) {
            finish4(0u, m0 + i, n0 + j, vec4(sums[i][j], sums[i][j + 1u], sums[i][j + 2u], sums[i][j + 3u]));
        }
    }
}
