// matmul_rows: a(m, k) is a matrix whose rows are whole quads
//
//   a  [rows, 4 quads]

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;

fn a4(m: u32, quad: u32) -> vec4<f32> {
    return a[(p.m0 + min(m, p.m - 1u)) * p.quads - p.a_start / 4u + quad];
}
