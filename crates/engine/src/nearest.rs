//! Names like a mistyped one.

/// Longer names are compared by their beginnings: the table of distances stays small.
const LONGEST: usize = 64;

/// The up to three candidates nearest to `name`, best first; none that share little with it.
/// The endings of file names do not count.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = letters(name);
    let mut scored: Vec<(usize, &str)> = names
        .into_iter()
        .map(|other| (distance(&name, &letters(other)), other))
        .filter(|(distance, other)| *distance <= (name.len().max(other.len()) / 2).max(1))
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

fn letters(name: &str) -> Vec<char> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.chars().take(LONGEST).flat_map(char::to_lowercase).collect()
}

/// Levenshtein's edit distance: insertions, deletions and replacements, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        let d = |a: &str, b: &str| distance(&letters(a), &letters(b));
        assert_eq!((d("kitten", "sitting"), d("", "abc"), d("abc", ""), d("A", "a")), (3, 3, 3, 0));
    }

    #[test]
    fn the_nearest_come_first_and_strangers_not_at_all() {
        let names = ["euler_ancestral", "heun", "euler", "dpmpp_2m"];
        assert_eq!(nearest("eular", names)[0], "euler");
        assert!(nearest("zzzzzzzz", names).is_empty());
    }
}
