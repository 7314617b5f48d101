//! Several weights as one: their rows below each other.

use super::Weight;
use std::sync::Arc;

impl Weight {
    /// The rows of all of them, in order. Their rows must be alike.
    ///
    /// # Panics
    /// If there are none, or rows differ in shape.
    #[must_use]
    pub fn joined(parts: &[&Self]) -> Self {
        let first = parts[0];
        let rows = |part: &&Self| {
            assert_eq!(part.shape[1..], first.shape[1..], "{} and {}: rows", first.key, part.key);
            part.shape[0]
        };
        let mut shape = first.shape.clone();
        shape[0] = parts.iter().map(rows).sum();
        let key = format!("{} and {} more", first.key, parts.len() - 1);
        let parts: Arc<[Self]> = parts.iter().map(|part| (*part).clone()).collect();
        Self { key, shape, parts, ..first.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_joined_weight_has_the_rows_of_its_parts_and_an_identity_of_its_own() {
        let file = testing::weights(&[("a", &[2, 3]), ("b", &[1, 3])]);
        let [a, b] = ["a", "b"].map(|key| file.get(key).unwrap());
        let whole = Weight::joined(&[&a, &b]);
        assert_eq!(whole.shape(), [3, 3]);
        assert_eq!(whole.to_f32().unwrap(), [a.to_f32().unwrap(), b.to_f32().unwrap()].concat());
        let ids = [a.id(), b.id(), whole.id(), Weight::joined(&[&b, &a]).id()];
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert_eq!(whole.id(), Weight::joined(&[&a, &b]).id());
        assert!(!whole.fits_f16());
        let halves = file.rounded_to_f16();
        let [a, b] = ["a", "b"].map(|key| halves.get(key).unwrap());
        assert!(Weight::joined(&[&a, &b]).fits_f16());
    }
}
