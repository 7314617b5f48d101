// matmul_pixels: a(m, k) is the patch under a convolution's kernel, channels in whole quads
//
//   a  [batch, height, width, channels]
//
// m counts output pixels, k taps and then channels; outside the picture are zeros.

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;

fn a4(m: u32, quad: u32) -> vec4<f32> {
    let pixel = p.m0 + min(m, p.m - 1u);
    let quads = p.channels / 4u;
    let tap = quad / quads;
    // Wraps around to large numbers before the top and the left edge.
    let i = (pixel / p.out_width % p.out_height * p.stride + tap / p.kernel_width - p.top);
    let j = (pixel % p.out_width * p.stride + tap % p.kernel_width - p.left);
    if i >= p.height << p.up || j >= p.width << p.up {
        return vec4(0.0);
    }
    let entry = pixel / p.out_width / p.out_height;
    let source = (entry * p.height + (i >> p.up)) * p.width + (j >> p.up);
    return a[source * quads - p.a_start / 4u + quad % quads];
}
