// matmul_numbers: the end of a product with any number of columns, or with gates

@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> row: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

/// Finishes and writes what four columns of this dispatch's part make, from n on.
fn finish4(slice: u32, m: u32, n: u32, sum: vec4<f32>) {
    if GATED != 0u {
        gate(m, n, sum.xy);
        gate(m, n + 2u, sum.zw);
    } else {
        finish(m, n, sum.x);
        finish(m, n + 1u, sum.y);
        finish(m, n + 2u, sum.z);
        finish(m, n + 3u, sum.w);
    }
}

fn finish(m: u32, n: u32, sum: f32) {
    if m >= p.m || n >= p.n {
        return;
    }
    let line = p.m0 + m;
    let column = p.n0 + n;
    var value = sum;
    if (p.has & HAS_BIAS) != 0u {
        value += bias[column];
    }
    if (p.has & HAS_ROW) != 0u {
        value += row[line / p.rows_per_batch * p.row_stride + column - p.row_start];
    }
    value = act(p.kind, value);
    let at = line * p.columns + column - p.y_start;
    if (p.has & HAS_RESIDUAL) != 0u {
        value += residual[at];
    }
    y[at] = value;
}

/// Columns n and n + 1 are a value and its gate.
fn gate(m: u32, n: u32, sums: vec2<f32>) {
    if m >= p.m || n >= p.n {
        return;
    }
    let column = (p.n0 + n) / 2u;
    var pair = sums;
    if (p.has & HAS_BIAS) != 0u {
        pair += vec2(bias[column], bias[p.columns + column]);
    }
    y[(p.m0 + m) * p.columns + column - p.y_start] = pair.x * gelu(pair.y);
}
