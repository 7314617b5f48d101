// matmul: what the matrix products share
//
//   y[m, n] = act(sum_k a(m, k) w[n, k] + bias[n] + row[batch of m, n]) + residual[m, n]
//
//   w              [columns, 4 quads]   the last dimension filled up with zeros; f16 if HALVES, else f32
//   bias           [columns]
//   row            [batch, columns]     rows `row_stride` apart
//   residual, y    [rows, columns]
//
// If GATED (Shazeer 2020, GEGLU): columns of w are values and gates in turn, bias all values and then all
// gates; y has half the columns, y[m, n] = value gelu(gate).
//
// The loops come from matmul_tiled or matmul_direct; `row_of`, `tap_of` and `a4` from matmul_rows,
// matmul_pixels or matmul_scalars; `finish4` from matmul_quads or matmul_numbers, or from matmul_partial if
// the common dimension is cut into slices, which matmul_sum adds up.

struct Params {
    // This dispatch: rows m0.. (m of them), columns n0.. (n of them).
    m0: u32,
    m: u32,
    n0: u32,
    n: u32,
    quads: u32,
    // Quads of one slice; for matmul_sum, how many slices.
    slice: u32,
    // Numbers in a row of y.
    columns: u32,
    rows_per_batch: u32,
    has: u32,
    kind: u32,
    // Where the bindings begin in their arrays, in words of 4 bytes.
    a_start: u32,
    w_start: u32,
    row_start: u32,
    y_start: u32,
    row_stride: u32,
    // The picture under a convolution; a plain matrix is one of height `rows`, width 1, kernel 1.
    height: u32,
    width: u32,
    channels: u32,
    out_height: u32,
    out_width: u32,
    kernel_width: u32,
    stride: u32,
    top: u32,
    left: u32,
    // log2 of how often each pixel is read in each direction.
    up: u32,
}

const HAS_BIAS = 1u;
const HAS_ROW = 2u;
const HAS_RESIDUAL = 4u;

var<immediate> p: Params;
@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;

/// Four numbers of column n's weights; of the last column where n is past the end.
fn w4(n: u32, quad: u32) -> vec4<f32> {
    let at = (p.n0 + min(n, p.n - 1u)) * p.quads + quad;
    if HALVES != 0u {
        let words = w[at - p.w_start / 2u];
        return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
    }
    let pair = 2u * at - p.w_start / 2u;
    return vec4(bitcast<vec2<f32>>(w[pair]), bitcast<vec2<f32>>(w[pair + 1u]));
}
