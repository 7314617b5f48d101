//! Quantiles of the beta distribution.

/// The x at which the regularised incomplete beta function I_x(a, b) is p, for p in 0..=1 and
/// positive a and b. By bisection, to the last bit of an f64.
pub fn quantile(p: f64, a: f64, b: f64) -> f64 {
    // As I_{1/2}(a, b) and I_{1/2}(b, a) sum to 1, no gamma function is needed.
    let (below, above) = (incomplete(0.5, a, b), incomplete(0.5, b, a));
    let (whole, half) = (below + above, below / (below + above));
    match p {
        p if p == half => 0.5,
        p if p < half => lower(p * whole, a, b),
        // The mirror image keeps x where the series converges fast.
        p => 1.0 - lower((1.0 - p) * whole, b, a),
    }
}

/// Up to where the unnormalised function is this much, if that is at most one half.
fn lower(integral: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 0.5);
    loop {
        let mid = 0.5 * (low + high);
        if mid <= low || mid >= high {
            return high;
        }
        if incomplete(mid, a, b) < integral { low = mid } else { high = mid }
    }
}

/// The unnormalised incomplete beta function: the integral of t^(a - 1) (1 - t)^(b - 1) over
/// 0..=x, as the series x^a (1 - x)^b / a * (1 + sum of (a + b)...(a + b + k) /
/// ((a + 1)...(a + k + 1)) x^(k + 1)) (Abramowitz and Stegun 26.5.4). All terms are positive, so
/// nothing cancels.
fn incomplete(x: f64, a: f64, b: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
    while term > 1e-17 * sum {
        term *= (a + b + k) / (a + 1.0 + k) * x;
        sum += term;
        k += 1.0;
    }
    x.powf(a) * (1.0 - x).powf(b) / a * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For a = b = 1/2 the distribution is the arcsine law, whose quantile is sin^2(pi p / 2); for
    /// a = b = 1 it is uniform, and for b = 1 it is the a-th root.
    #[test]
    fn quantiles_agree_with_closed_forms() {
        for i in 0..=100 {
            let p = f64::from(i) / 100.0;
            let arcsine = (std::f64::consts::FRAC_PI_2 * p).sin().powi(2);
            assert!((quantile(p, 0.5, 0.5) - arcsine).abs() < 1e-14, "{p}");
            assert!((quantile(p, 1.0, 1.0) - p).abs() < 1e-14, "{p}");
            assert!((quantile(p, 3.0, 1.0) - p.cbrt()).abs() < 1e-14, "{p}");
            assert!((quantile(p, 1.0, 3.0) - (1.0 - (1.0 - p).cbrt())).abs() < 1e-14, "{p}");
        }
    }
}
