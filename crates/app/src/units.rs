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

/// Bytes in a person's writing: `1.5G`, `800MB`, `2 GiB`, `123456`. K, M, G and T are thousands, with an i
/// powers of 1024.
pub fn bytes(text: &str) -> anyhow::Result<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = match unit.strip_suffix('i') {
        Some(prefix) => (prefix, 1024f64),
        None => (unit, 1000f64),
    };
    let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == prefix);
    let value = number.parse::<f64>().ok().zip(power);
    let value = value.map(|(number, power)| number * base.powi(power as i32));
    match value.filter(|bytes| (1.0..=u64::MAX as f64).contains(bytes)) {
        Some(bytes) => Ok(bytes as u64),
        None => anyhow::bail!("expected a number of bytes, such as 1.5G, 800M, 2GiB or 123456"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("123456", 123_456),
            ("1.5G", 1_500_000_000),
            ("800M", 800_000_000),
            ("800mb", 800_000_000),
            ("2 GiB", 2 << 30),
            ("64k", 64_000),
            ("0.5Ki", 512),
            ("1T", 1_000_000_000_000),
        ] {
            assert_eq!(super::bytes(text).unwrap(), expected, "{text}");
        }
        for text in ["", "G", "0", "-1G", "1.2.3", "12Q", "1GG", "1e9", "lots"] {
            let error = super::bytes(text).unwrap_err().to_string();
            assert!(error.contains("such as 1.5G"), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_are_short_at_every_size() {
        let shown =
            [0, 999, 1000, 342_000_000, 1_650_000_000_000, u64::MAX].map(|n| super::si(n, "B"));
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "342.0 MB", "1.6 TB", "18.4 EB"]);
        let shown = [0.0, 0.000_12, 0.0567, 0.25, 1.234, 4321.0].map(super::seconds);
        assert_eq!(shown, ["0.00 ms", "0.12 ms", "56.70 ms", "250 ms", "1.23 s", "4321 s"]);
    }
}
