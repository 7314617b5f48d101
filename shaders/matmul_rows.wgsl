// matmul_rows: a(m, k) is a matrix whose rows are whole quads
//
//   a  [rows, 4 quads]

alias Row = u32;
alias Tap = u32;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;

/// Where row m is; the last row where m is past the end.
fn row_of(m: u32) -> Row {
    return (p.m0 + min(m, p.m - 1u)) * p.quads - p.a_start / 4u;
}

fn tap_of(quad: u32) -> Tap {
    return quad;
}

fn a4(row: Row, tap: Tap) -> vec4<f32> {
    return a[row + tap];
}
