// matmul_scalars: as matmul_pixels, with any number of channels
//
//   a  [batch, height, width, channels]

@group(0) @binding(0) var<storage, read> a: array<f32>;

struct Row {
    picture: u32,
    i: u32,
    j: u32,
}

alias Tap = u32;

fn row_of(m: u32) -> Row {
    let pixel = p.m0 + min(m, p.m - 1u);
    let line = pixel / p.out_width;
    // Wraps around to large numbers before the top and the left edge.
    let i = line % p.out_height * p.stride - p.top;
    let j = pixel % p.out_width * p.stride - p.left;
    return Row(line / p.out_height * p.height, i, j);
}

fn tap_of(quad: u32) -> Tap {
    return 4u * quad;
}

fn a4(row: Row, tap: Tap) -> vec4<f32> {
    return vec4(a1(row, tap), a1(row, tap + 1u), a1(row, tap + 2u), a1(row, tap + 3u));
}

fn a1(row: Row, k: u32) -> f32 {
    let tap = k / p.channels;
    let i = row.i + tap / p.kernel_width;
    let j = row.j + tap % p.kernel_width;
    // Past the last tap the weights are zeros, but what is read must be a number.
    if i >= p.height << p.up || j >= p.width << p.up {
        return 0.0;
    }
    let source = (row.picture + (i >> p.up)) * p.width + (j >> p.up);
    return a[source * p.channels - p.a_start + k % p.channels];
}
