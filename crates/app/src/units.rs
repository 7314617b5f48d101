//! Numbers for people.

/// A thousand by a thousand, with one decimal: `1.6 TFLOP`, `342.0 MB`, `17 B`.
pub fn si(n: u64, unit: &str) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let power = n.checked_ilog(1000).unwrap_or_default() as usize;
    if power == 0 {
        return format!("{n} {unit}");
    }
    format!("{:.1} {}{unit}", n as f64 / 1000f64.powi(power as i32), PREFIXES[power])
}

/// A duration with four digits: `12.34 s`, `56.78 ms`, `0.12 ms`.
pub fn seconds(s: f64) -> String {
    match s {
        100.0.. => format!("{s:.0} s"),
        1.0.. => format!("{s:.2} s"),
        0.1.. => format!("{:.0} ms", 1e3 * s),
        _ => format!("{:.2} ms", 1e3 * s),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_short_at_every_size() {
        let shown =
            [0, 999, 1000, 342_000_000, 1_650_000_000_000, u64::MAX].map(|n| super::si(n, "B"));
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "342.0 MB", "1.6 TB", "18.4 EB"]);
        let shown = [0.0, 0.000_12, 0.0567, 0.25, 1.234, 4321.0].map(super::seconds);
        assert_eq!(shown, ["0.00 ms", "0.12 ms", "56.70 ms", "250 ms", "1.23 s", "4321 s"]);
    }
}
