// matmul_quads: the end of a product whose columns come in whole quads

@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> row: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

/// Finishes and writes four numbers of this dispatch's part of y, from column n on.
fn finish4(slice: u32, m: u32, n: u32, sum: vec4<f32>) {
    if m >= p.m || n >= p.n {
        return;
    }
    let line = p.m0 + m;
    let column = p.n0 + n;
    var value = sum;
    if (p.has & HAS_BIAS) != 0u {
        value += bias[column / 4u];
    }
    if (p.has & HAS_ROW) != 0u {
        value += row[(line / p.rows_per_batch * p.row_stride + column - p.row_start) / 4u];
    }
    value = act4(p.kind, value);
    let at = (line * p.columns + column - p.y_start) / 4u;
    if (p.has & HAS_RESIDUAL) != 0u {
        value += residual[at];
    }
    y[at] = value;
}

fn act4(kind: u32, x: vec4<f32>) -> vec4<f32> {
    if kind == 0u {
        return x;
    }
    return vec4(act(kind, x.x), act(kind, x.y), act(kind, x.z), act(kind, x.w));
}
