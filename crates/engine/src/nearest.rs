//! Names like a mistyped one.

/// Longer names are compared by their beginnings: the table of distances stays small.
const LONGEST: usize = 64;

/// Names of so many letters are near to longer ones that contain them.
const TELLING: usize = 4;

/// The up to three candidates nearest to `name`, best first; none that share little with it.
/// The folders and endings of file names do not count.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = letters(name);
    let scored = |other: &'a str| {
        let letters = letters(other);
        let distance = distance(&name, &letters);
        let most = name.len().max(letters.len()) / 3;
        (distance <= most.max(1) || share_all(&name, &letters)).then_some((distance, other))
    };
    let mut scored: Vec<(usize, &str)> = names.into_iter().filter_map(scored).collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Whether one of the two is a part of the other.
fn share_all(a: &[char], b: &[char]) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    short.len() >= TELLING && long.windows(short.len()).any(|part| part == short)
}

fn letters(name: &str) -> Vec<char> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
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
        let files = ["weft-tiny.safetensors", "sd15/v1-5-pruned-emaonly-fp16.safetensors"];
        assert_eq!(nearest("v1-5-pruned.ckpt", files), files[1..], "a part of it, in a folder");
        assert!(nearest("AOM3A3.safetensors", files).is_empty());
    }
}
