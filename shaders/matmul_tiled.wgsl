// matmul_tiled: a matrix product through workgroup memory, for graphics processors
//
// A workgroup of X x Y threads makes a tile of X TN columns and Y TM rows; a thread makes TM x TN numbers
// of it, in blocks of 4 x 4 that lie 4 X and 4 Y apart. DEPTH quads of k at a time lie in workgroup memory, k
// by k, with rows and columns in quads, and one quad more than needed so that neighbours in k start in
// different banks. While they are multiplied, the next ones are on their way into registers.

const BM = Y * TM;
const BN = X * TN;
const TALL = TM / 4u;
const WIDE = TN / 4u;
const PITCH_A = BM / 4u + 1u;
const PITCH_W = BN / 4u + 1u;
/// Blocks of 4 rows (or columns) by a quad of k, which a thread fetches at once.
const BLOCKS_A = BM / 4u * DEPTH;
const BLOCKS = BLOCKS_A + BN / 4u * DEPTH;
const EACH = (BLOCKS + X * Y - 1u) / (X * Y);
/// Rows of tiles that are done column by column: their operands stay in the cache.
const BAND = 8u;

var<workgroup> tile_a: array<vec4<f32>, 4u * DEPTH * PITCH_A>;
var<workgroup> tile_w: array<vec4<f32>, 4u * DEPTH * PITCH_W>;

@compute @workgroup_size(X, Y)
fn matmul_tiled(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let place = tile_of(group.y * groups.x + group.x);
    let m0 = place.x * BM;
    let n0 = place.y * BN;
    let first = group.z * p.slice;
    let last = min(first + p.slice, p.quads);

    var rows: array<array<Row, 4>, EACH>;
    for (var e = 0u; e < EACH; e++) {
        for (var r = 0u; r < 4u; r++) {
            rows[e][r] = row_of(m0 + (thread + e * X * Y) / DEPTH * 4u + r);
        }
    }
    var sums: array<array<vec4<f32>, WIDE>, TM>;
    var fetched: array<mat4x4<f32>, EACH>;
    for (var quad = first; quad < last + DEPTH; quad += DEPTH) {
        if quad > first {
            workgroupBarrier();
            for (var e = 0u; e < EACH; e++) {
                store(thread + e * X * Y, fetched[e]);
            }
            workgroupBarrier();
        }
        if quad < last {
            for (var e = 0u; e < EACH; e++) {
                let block = thread + e * X * Y;
                let at = quad + block % DEPTH;
                // Past the end of k the last quad is read again, and counts nothing.
                let inside = select(0.0, 1.0, at < last);
                let near = min(at, last - 1u);
                if block < BLOCKS_A {
                    let tap = tap_of(near);
                    fetched[e] = inside * transpose(mat4x4(a4(rows[e][0], tap), a4(rows[e][1], tap), a4(rows[e][2], tap), a4(rows[e][3], tap)));
                } else if block < BLOCKS {
                    let n = n0 + (block - BLOCKS_A) / DEPTH * 4u;
                    fetched[e] = transpose(mat4x4(w4(n, near), w4(n + 1u, near), w4(n + 2u, near), w4(n + 3u, near)));
                }
            }
        }
        if quad > first {
            for (var k = 0u; k < 4u * DEPTH; k++) {
                var ws: array<vec4<f32>, WIDE>;
                for (var j = 0u; j < WIDE; j++) {
                    ws[j] = tile_w[k * PITCH_W + id.x + j * X];
                }
                for (var i = 0u; i < TALL; i++) {
                    let a = tile_a[k * PITCH_A + id.y + i * Y];
                    for (var j = 0u; j < WIDE; j++) {
                        sums[4u * i][j] = fma(vec4(a.x), ws[j], sums[4u * i][j]);
                        sums[4u * i + 1u][j] = fma(vec4(a.y), ws[j], sums[4u * i + 1u][j]);
                        sums[4u * i + 2u][j] = fma(vec4(a.z), ws[j], sums[4u * i + 2u][j]);
                        sums[4u * i + 3u][j] = fma(vec4(a.w), ws[j], sums[4u * i + 3u][j]);
                    }
                }
            }
        }
    }
    for (var i = 0u; i < TALL; i++) {
        for (var r = 0u; r < 4u; r++) {
            for (var j = 0u; j < WIDE; j++) {
                finish4(group.z, m0 + 4u * (id.y + i * Y) + r, n0 + 4u * (id.x + j * X), sums[4u * i + r][j]);
            }
        }
    }
}

/// Row and column of a tile. Those past the end are the last one again: no early return before a barrier.
fn tile_of(number: u32) -> vec2<u32> {
    let down = (p.m + BM - 1u) / BM;
    let across = (p.n + BN - 1u) / BN;
    let tile = min(number, down * across - 1u);
    let band = tile / (BAND * across);
    let height = min(BAND, down - band * BAND);
    let inside = tile - band * BAND * across;
    return vec2(band * BAND + inside % height, inside / height);
}

/// Puts a block where it belongs: `values[c]` is four rows (or columns) at the c-th number of the quad.
fn store(block: u32, values: mat4x4<f32>) {
    if block < BLOCKS_A {
        let at = block % DEPTH * 4u * PITCH_A + block / DEPTH;
        tile_a[at] = values[0];
        tile_a[at + PITCH_A] = values[1];
        tile_a[at + 2u * PITCH_A] = values[2];
        tile_a[at + 3u * PITCH_A] = values[3];
    } else if block < BLOCKS {
        let at = (block - BLOCKS_A) % DEPTH * 4u * PITCH_W + (block - BLOCKS_A) / DEPTH;
        tile_w[at] = values[0];
        tile_w[at + PITCH_W] = values[1];
        tile_w[at + 2u * PITCH_W] = values[2];
        tile_w[at + 3u * PITCH_W] = values[3];
    }
}
