//! By what a file is recognised.

use tensor::{Result, Weights};

/// Something that holds for a file or does not. A `*` in a key stands for any characters; a key may
/// have several.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sign {
    /// There is such a tensor.
    Key(&'static str),
    /// The first such tensor has, in this dimension, this size.
    Size(&'static str, usize, usize),
    /// The first such tensor has so many dimensions.
    Rank(&'static str, usize),
    /// The numbers of the tensor have a larger standard deviation.
    Spread(&'static str, f32),
}

impl Sign {
    pub fn holds(self, weights: &Weights) -> bool {
        let keys = weights.keys();
        let find = |pattern: &str| keys.iter().copied().find(|key| matches(pattern, key));
        match self {
            Self::Key(pattern) => find(pattern).is_some(),
            Self::Size(pattern, axis, size) => {
                let shape = find(pattern).and_then(|key| weights.shape(key));
                shape.and_then(|shape| shape.get(axis)) == Some(&size)
            }
            Self::Rank(pattern, rank) => {
                find(pattern).and_then(|key| weights.shape(key)).map(<[usize]>::len) == Some(rank)
            }
            // A tensor that cannot be read is no sign of anything; loading will tell.
            Self::Spread(key, more) => spread(weights, key).is_ok_and(|spread| spread > more),
        }
    }
}

fn spread(weights: &Weights, key: &str) -> Result<f32> {
    let weight = weights.get(key)?;
    anyhow::ensure!(weight.len() < 1 << 16, "{key} is too large to be what it is called");
    let numbers = weight.to_f32()?;
    let n = numbers.len().max(1) as f32;
    let mean = numbers.iter().sum::<f32>() / n;
    Ok((numbers.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt())
}

fn matches(pattern: &str, key: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == key };
    let Some(key) = key.strip_prefix(start) else { return false };
    let (middles, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut key) = key.strip_suffix(end) else { return false };
    middles.split('*').all(|middle| match key.find(middle) {
        Some(at) => {
            key = &key[at + middle.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, key) in
            [("a", "a"), ("a*", "ab"), ("*b", "ab"), ("a*c", "abc"), ("*b*d*", "abcde")]
        {
            assert!(matches(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [("a", "ab"), ("a*", "ba"), ("ab*bc", "abc"), ("*d*b*", "abcde")] {
            assert!(!matches(pattern, key), "{pattern} {key}");
        }
    }
}
