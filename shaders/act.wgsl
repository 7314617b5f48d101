// act: the elementwise functions that operations finish with, numbered as in `ops::Act`

/// Greater than any |x| at which the functions below still differ from 0 or x.
const FAR: f32 = 80.0;

fn act(kind: u32, x: f32) -> f32 {
    switch kind {
        case 1u: { return x / (1.0 + exp(clamp(-x, -FAR, FAR))); }
        case 2u: { return gelu(x); }
        case 3u: { return x / (1.0 + exp(clamp(-1.702 * x, -FAR, FAR))); }
        case 4u: { return max(x, 0.0); }
        case 5u: { return max(x, 0.2 * x); }
        case 6u: { return 1.0 - 2.0 / (1.0 + exp(clamp(2.0 * x, -FAR, FAR))); }
        case 7u: { return max(x, 0.0) + exp(clamp(x, -FAR, 0.0)) - 1.0; }
        case 8u: { return x / (1.0 + abs(x)); }
        case 9u: { return mish(x); }
        default: { return x; }
    }
}

/// x tanh(ln(1 + e^x)); the tangent is 1 long before 20.
fn mish(x: f32) -> f32 {
    let e = exp(clamp(x, -FAR, 20.0));
    let n = e * (e + 2.0);
    return x * (n / (n + 2.0));
}

/// x Phi(x), the error function by Abramowitz and Stegun 7.1.26 (error below 1.5e-7).
fn gelu(x: f32) -> f32 {
    let z = abs(x) * 0.70710678118;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let tail = 0.5 * p * exp(-min(z * z, FAR));
    return x * select(1.0 - tail, tail, x < 0.0);
}
