//! Arithmetic as it is typed into number fields: `512*2`, `(3+1)/4`, `2^10`.

/// Longer texts are no numbers, and cannot nest too deep either.
const LONGEST: usize = 100;

/// What the text comes to; `None` if it is no arithmetic, or no finite number.
pub fn value(text: &str) -> Option<f64> {
    let letters = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<u8>>();
    let mut rest = letters.as_slice();
    if rest.len() > LONGEST {
        return None;
    }
    let value = sum(&mut rest)?;
    (rest.is_empty() && value.is_finite()).then_some(value)
}

fn sum(rest: &mut &[u8]) -> Option<f64> {
    let mut value = product(rest)?;
    loop {
        match rest {
            [b'+', after @ ..] => value += tail(rest, after, product)?,
            [b'-', after @ ..] => value -= tail(rest, after, product)?,
            _ => return Some(value),
        }
    }
}

fn product(rest: &mut &[u8]) -> Option<f64> {
    let mut value = signed(rest)?;
    loop {
        match rest {
            [b'*', after @ ..] => value *= tail(rest, after, signed)?,
            [b'/', after @ ..] => value /= tail(rest, after, signed)?,
            _ => return Some(value),
        }
    }
}

/// A sign binds less than a power: `-2^2` is -4.
fn signed(rest: &mut &[u8]) -> Option<f64> {
    match rest {
        [b'-', after @ ..] => tail(rest, after, signed).map(|value| -value),
        [b'+', after @ ..] => tail(rest, after, signed),
        _ => power(rest),
    }
}

fn power(rest: &mut &[u8]) -> Option<f64> {
    let base = atom(rest)?;
    match rest {
        [b'^', after @ ..] => tail(rest, after, signed).map(|exponent| base.powf(exponent)),
        _ => Some(base),
    }
}

fn atom(rest: &mut &[u8]) -> Option<f64> {
    if let [b'(', after @ ..] = rest {
        let value = tail(rest, after, sum)?;
        *rest = rest.strip_prefix(b")")?;
        return Some(value);
    }
    let length = digits(rest);
    let (number, after) = rest.split_at(length);
    *rest = after;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// How many letters belong to the number at the beginning, its exponent too.
fn digits(text: &[u8]) -> usize {
    let plain = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let length = plain(text);
    match &text[length..] {
        [b'e' | b'E', b'+' | b'-', after @ ..] if plain(after) > 0 => length + 2 + plain(after),
        [b'e' | b'E', after @ ..] if plain(after) > 0 => length + 1 + plain(after),
        _ => length,
    }
}

fn tail<'a>(
    rest: &mut &'a [u8],
    after: &'a [u8],
    read: fn(&mut &'a [u8]) -> Option<f64>,
) -> Option<f64> {
    *rest = after;
    read(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_comes_to_what_it_does_on_paper() {
        for (text, expected) in [
            ("512", 512.0),
            (" 512 * 2 ", 1024.0),
            ("1+2*3", 7.0),
            ("(1+2)*3", 9.0),
            ("8/4/2", 1.0),
            ("10-4-3", 3.0),
            ("-2^2", -4.0),
            ("2^3^2", 512.0),
            ("2^-1", 0.5),
            (".5*3", 1.5),
            ("1e-3", 0.001),
            ("2*-3", -6.0),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "x", "1+", "(1", "1)", "1/0", "1..2", "2**3", "e", "1 e", "5,5"] {
            assert_eq!(value(text), None, "{text}");
        }
        assert_eq!(value(&"(".repeat(100_000)), None);
    }
}
