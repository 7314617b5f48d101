// matmul_partial: the end of a slice of a product: its sums, to be added up by matmul_sum
//
//   y  [slices, m, n in quads]

@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

fn finish4(slice: u32, m: u32, n: u32, sum: vec4<f32>) {
    if m < p.m && n < p.n {
        y[(slice * p.m + m) * ((p.n + 3u) / 4u) + n / 4u] = sum;
    }
}
