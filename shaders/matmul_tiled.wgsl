// matmul_tiled: a matrix product through workgroup memory, for graphics processors
//
// A workgroup of X x Y threads makes a tile of X TN columns and Y TM rows; a thread makes TM x TN numbers
// of it, X and Y apart, so that neighbours write neighbours. DEPTH quads of k at a time lie in workgroup
// memory, each row one quad longer than it needs to be: so rows start in different banks.

const BM = Y * TM;
const BN = X * TN;
const PITCH = DEPTH + 1u;

var<workgroup> tile_a: array<vec4<f32>, BM * PITCH>;
var<workgroup> tile_w: array<vec4<f32>, BN * PITCH>;

@compute @workgroup_size(X, Y)
fn matmul_tiled(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let m0 = group.y * BM;
    let n0 = group.x * BN;
    var sums: array<array<f32, TN>, TM>;

    for (var quad = 0u; quad < p.quads; quad += DEPTH) {
        for (var i = thread; i < BM * DEPTH; i += X * Y) {
            tile_a[i / DEPTH * PITCH + i % DEPTH] = if_inside(quad + i % DEPTH, a4(m0 + i / DEPTH, min(quad + i % DEPTH, p.quads - 1u)));
        }
        for (var i = thread; i < BN * DEPTH; i += X * Y) {
            tile_w[i / DEPTH * PITCH + i % DEPTH] = w4(n0 + i / DEPTH, min(quad + i % DEPTH, p.quads - 1u));
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            var ws: array<vec4<f32>, TN>;
            for (var j = 0u; j < TN; j++) {
                ws[j] = tile_w[(id.x + j * X) * PITCH + k];
            }
            for (var i = 0u; i < TM; i++) {
                let a = tile_a[(id.y + i * Y) * PITCH + k];
                for (var j = 0u; j < TN; j++) {
                    sums[i][j] += dot(a, ws[j]);
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < TM; i++) {
        for (var j = 0u; j < TN; j++) {
            finish(m0 + id.y + i * Y, n0 + id.x + j * X, sums[i][j]);
        }
    }
}

/// Past the end of k the last quad is read again, and counts nothing.
fn if_inside(quad: u32, value: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), value, quad < p.quads);
}
