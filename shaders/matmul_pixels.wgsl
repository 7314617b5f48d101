// matmul_pixels: a(m, k) is the patch under a convolution's kernel, channels in whole quads
//
//   a  [batch, height, width, channels]
//
// m counts output pixels, k taps and then channels; outside the picture are zeros.

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;

/// The patch of an output pixel: the first line of its picture, and its own first line and column there.
struct Row {
    picture: u32,
    i: u32,
    j: u32,
}

/// A place in a patch: line, column, quad of channels.
struct Tap {
    i: u32,
    j: u32,
    quad: u32,
}

/// The patch of pixel m; of the last pixel where m is past the end.
fn row_of(m: u32) -> Row {
    let pixel = p.m0 + min(m, p.m - 1u);
    let line = pixel / p.out_width;
    // Wraps around to large numbers before the top and the left edge.
    let i = line % p.out_height * p.stride - p.top;
    let j = pixel % p.out_width * p.stride - p.left;
    return Row(line / p.out_height * p.height, i, j);
}

fn tap_of(quad: u32) -> Tap {
    let quads = p.channels / 4u;
    let tap = quad / quads;
    return Tap(tap / p.kernel_width, tap % p.kernel_width, quad % quads);
}

fn a4(row: Row, tap: Tap) -> vec4<f32> {
    let i = row.i + tap.i;
    let j = row.j + tap.j;
    if i >= p.height << p.up || j >= p.width << p.up {
        return vec4(0.0);
    }
    let source = (row.picture + (i >> p.up)) * p.width + (j >> p.up);
    return a[source * (p.channels / 4u) + tap.quad - p.a_start / 4u];
}
