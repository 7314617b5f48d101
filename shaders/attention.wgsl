// attention: y = softmax(q k^T / sqrt(D)) v, head by head (Vaswani et al. 2017), without the scores ever
// being in memory (Dao et al. 2022, algorithm 1; f32 throughout)
//
//   q, y  [batch, tokens, heads D]
//   k, v  [batch, keys, heads D]    tokens of q, k and v begin `stride` apart
//
// A workgroup of 8 x 8 threads takes ROWS queries of one head, walks over the keys COLS at a time, and keeps
// OUT channels of the result; a head wider than OUT is made by several workgroups, each of which makes the
// scores anew. A thread has 4 x 4 scores and 4 rows of the result, 8 apart.

const ROWS = 32u;
const COLS = 32u;
const STEP = 16u;                   // channels of q and k in workgroup memory at a time
const KEYS = 8u;                    // keys of v likewise
const EACH = (OUT + 7u) / 8u;       // channels of the result that a thread makes
const NEVER = -3.0e38;

struct Params {
    tokens: u32,
    keys: u32,
    heads: u32,
    first: u32,      // query of this dispatch
    count: u32,      // queries of this dispatch
    causal: u32,
    scale: f32,
    batch: u32,      // entry of this dispatch's first workgroup
    q_start: u32,
    k_start: u32,
    v_start: u32,
    y_start: u32,
    q_stride: u32,
    k_stride: u32,
    v_stride: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> tile_q: array<f32, ROWS * (STEP + 1u)>;
var<workgroup> tile_k: array<f32, COLS * (STEP + 1u)>;
var<workgroup> tile_v: array<f32, KEYS * OUT>;
var<workgroup> weights: array<f32, ROWS * (COLS + 1u)>;
/// Of each row: the highest score so far, the sum of exp(score - highest), and what the last change of the
/// highest shrinks earlier sums by.
var<workgroup> highest: array<f32, ROWS>;
var<workgroup> total: array<f32, ROWS>;
var<workgroup> shrink: array<f32, ROWS>;

@compute @workgroup_size(8, 8)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let slices = (D + OUT - 1u) / OUT;
    let head = group.y / slices;
    let slice = group.y % slices * OUT;
    let entry = p.batch + group.z;
    let row0 = group.x * ROWS;
    let channels = p.heads * D;
    let q0 = (entry * p.tokens + p.first) * p.q_stride + head * D - p.q_start;
    let k0 = entry * p.keys * p.k_stride + head * D - p.k_start;
    let v0 = entry * p.keys * p.v_stride + head * D - p.v_start;
    var sums: array<array<f32, EACH>, 4>;
    if thread < ROWS {
        highest[thread] = NEVER;
        total[thread] = 0.0;
    }

    // A causal row sees no key after itself.
    let seen = select(p.keys, min(p.keys, p.first + row0 + ROWS), p.causal != 0u);
    for (var col0 = 0u; col0 < seen; col0 += COLS) {
        var scores: array<array<f32, 4>, 4>;
        for (var d0 = 0u; d0 < D; d0 += STEP) {
            workgroupBarrier();
            for (var i = thread; i < ROWS * STEP; i += 64u) {
                let r = i / STEP;
                let d = d0 + i % STEP;
                let row = min(row0 + r, p.count - 1u);
                let col = min(col0 + r, p.keys - 1u);
                let inside = d < D;
                let at = min(d, D - 1u);
                tile_q[r * (STEP + 1u) + i % STEP] = select(0.0, q[q0 + row * p.q_stride + at], inside);
                tile_k[r * (STEP + 1u) + i % STEP] = select(0.0, k[k0 + col * p.k_stride + at], inside);
            }
            workgroupBarrier();
            for (var d = 0u; d < STEP; d++) {
                var ks: array<f32, 4>;
                for (var j = 0u; j < 4u; j++) {
                    ks[j] = tile_k[(id.x + 8u * j) * (STEP + 1u) + d];
                }
                for (var i = 0u; i < 4u; i++) {
                    let x = tile_q[(id.y + 8u * i) * (STEP + 1u) + d];
                    for (var j = 0u; j < 4u; j++) {
                        scores[i][j] += x * ks[j];
                    }
                }
            }
        }
        for (var i = 0u; i < 4u; i++) {
            for (var j = 0u; j < 4u; j++) {
                let r = id.y + 8u * i;
                let col = col0 + id.x + 8u * j;
                let hidden = col >= p.keys || (p.causal != 0u && col > p.first + row0 + r);
                weights[r * (COLS + 1u) + id.x + 8u * j] = select(scores[i][j] * p.scale, NEVER, hidden);
            }
        }
        workgroupBarrier();
        if thread < ROWS {
            exponentials(thread);
        }
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            for (var c = 0u; c < EACH; c++) {
                sums[i][c] *= shrink[id.y + 8u * i];
            }
        }
        for (var j0 = 0u; j0 < COLS; j0 += KEYS) {
            for (var i = thread; i < KEYS * OUT; i += 64u) {
                let col = min(col0 + j0 + i / OUT, p.keys - 1u);
                tile_v[i] = v[v0 + col * p.v_stride + min(slice + i % OUT, D - 1u)];
            }
            workgroupBarrier();
            for (var j = 0u; j < KEYS; j++) {
                var vs: array<f32, EACH>;
                for (var c = 0u; c < EACH; c++) {
                    vs[c] = tile_v[j * OUT + min(id.x + 8u * c, OUT - 1u)];
                }
                for (var i = 0u; i < 4u; i++) {
                    let weight = weights[(id.y + 8u * i) * (COLS + 1u) + j0 + j];
                    for (var c = 0u; c < EACH; c++) {
                        sums[i][c] += weight * vs[c];
                    }
                }
            }
            workgroupBarrier();
        }
    }

    for (var i = 0u; i < 4u; i++) {
        let r = id.y + 8u * i;
        let row = row0 + r;
        for (var c = 0u; c < EACH; c++) {
            let d = slice + id.x + 8u * c;
            if row < p.count && id.x + 8u * c < OUT && d < D {
                let at = (entry * p.tokens + p.first + row) * channels + head * D + d;
                y[at - p.y_start] = sums[i][c] / total[r];
            }
        }
    }
}

/// Turns a row's scores into weights against the highest score so far.
fn exponentials(r: u32) {
    let at = r * (COLS + 1u);
    var high = highest[r];
    for (var j = 0u; j < COLS; j++) {
        high = max(high, weights[at + j]);
    }
    var sum = 0.0;
    for (var j = 0u; j < COLS; j++) {
        let weight = exp(weights[at + j] - high);
        weights[at + j] = weight;
        sum += weight;
    }
    shrink[r] = exp(highest[r] - high);
    total[r] = total[r] * shrink[r] + sum;
    highest[r] = high;
}
