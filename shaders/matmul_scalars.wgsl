// matmul_scalars: as matmul_pixels, with any number of channels
//
//   a  [batch, height, width, channels]

@group(0) @binding(0) var<storage, read> a: array<f32>;

fn a4(m: u32, quad: u32) -> vec4<f32> {
    let k = 4u * quad;
    return vec4(a1(m, k), a1(m, k + 1u), a1(m, k + 2u), a1(m, k + 3u));
}

fn a1(m: u32, k: u32) -> f32 {
    let pixel = p.m0 + min(m, p.m - 1u);
    let tap = k / p.channels;
    // Wraps around to large numbers before the top and the left edge.
    let i = pixel / p.out_width % p.out_height * p.stride + tap / p.kernel_width - p.top;
    let j = pixel % p.out_width * p.stride + tap % p.kernel_width - p.left;
    // Past the last tap the weights are zeros, but what is read must be a number.
    if i >= p.height << p.up || j >= p.width << p.up {
        return 0.0;
    }
    let entry = pixel / p.out_width / p.out_height;
    let source = (entry * p.height + (i >> p.up)) * p.width + (j >> p.up);
    return a[source * p.channels - p.a_start + k % p.channels];
}
