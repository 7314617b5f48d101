//! Quantiles of the symmetric beta distribution.

/// The x at which the regularised incomplete beta function I_x(a, a) is p, for p in 0..=1 and
/// a > 0. By bisection, to the last bit of an f64.
pub fn quantile(p: f64, a: f64) -> f64 {
    // Symmetry keeps x where the series converges fast, and makes the median exact.
    if p >= 0.5 {
        return if p == 0.5 { 0.5 } else { 1.0 - quantile(1.0 - p, a) };
    }
    let norm = normaliser(a);
    let (mut low, mut high) = (0.0, 0.5);
    loop {
        let mid = 0.5 * (low + high);
        if mid <= low || mid >= high {
            return high;
        }
        if incomplete(mid, a) * norm < p { low = mid } else { high = mid }
    }
}

/// 1 / B(a, a). As I_{1/2}(a, a) is one half, no gamma function is needed.
fn normaliser(a: f64) -> f64 {
    0.5 / incomplete(0.5, a)
}

/// The unnormalised incomplete beta function: the integral of (t (1 - t))^(a - 1) over 0..=x,
/// as the series x^a (1 - x)^a / a * (1 + sum of (2a)...(2a + k) / ((a + 1)...(a + k + 1)) x^(k + 1))
/// (Abramowitz and Stegun 26.5.4). All terms are positive, so nothing cancels.
fn incomplete(x: f64, a: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
    while term > 1e-17 * sum {
        term *= (2.0 * a + k) / (a + 1.0 + k) * x;
        sum += term;
        k += 1.0;
    }
    (x * (1.0 - x)).powf(a) / a * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For a = 1/2 the distribution is the arcsine law, whose quantile is sin^2(pi p / 2); for
    /// a = 1 it is uniform.
    #[test]
    fn quantiles_agree_with_closed_forms() {
        for i in 0..=100 {
            let p = f64::from(i) / 100.0;
            let arcsine = (std::f64::consts::FRAC_PI_2 * p).sin().powi(2);
            assert!((quantile(p, 0.5) - arcsine).abs() < 1e-14, "{p}");
            assert!((quantile(p, 1.0) - p).abs() < 1e-14, "{p}");
        }
    }
}
