//! Weights in prompts, `(word:1.1)`, changed by a key.

use std::ops::Range;

/// What a press of the key adds to a weight or takes from it.
const STEP: f64 = 0.05;
/// Where words end.
const DELIMITERS: &str = " .,\\/!?%^*;:{}=-_`~()\r\n\t";

/// Makes the selected words count more, or less, and gives the text and what is selected then; places are
/// counted in characters. Without a selection it is the innermost parentheses around the cursor, or the
/// word there; `None` if there is neither.
pub fn reweighted(text: &str, selected: Range<usize>, up: bool) -> Option<(String, Range<usize>)> {
    let chars: Vec<char> = text.chars().collect();
    let range = widened(&chars, chosen(&chars, selected)?);
    let (words, weight) = parts(&chars[range.clone()]);
    let weight = weight + if up { STEP } else { -STEP };
    // 1.1 + 0.05 must not become 1.1500000000000001.
    let weight = (weight * 1e6).round() / 1e6;
    let words: String = words.iter().collect();
    let new = if weight == 1.0 { words } else { format!("({words}:{weight})") };
    let head = chars[..range.start].iter().collect::<String>();
    let tail = chars[range.end..].iter().collect::<String>();
    let end = range.start + new.chars().count();
    Some((head + &new + &tail, range.start..end))
}

/// The characters that are meant.
fn chosen(chars: &[char], selected: Range<usize>) -> Option<Range<usize>> {
    let range = if selected.is_empty() {
        around(chars, selected.start).unwrap_or_else(|| word(chars, selected.start))
    } else {
        selected
    };
    let text = &chars[range.clone()];
    let blanks = text.iter().rev().take_while(|c| c.is_whitespace()).count();
    let range = range.start..range.end - blanks;
    (!range.is_empty()).then_some(range)
}

/// With the parentheses just around it, if they are each other's.
fn widened(chars: &[char], range: Range<usize>) -> Range<usize> {
    if range.start == 0 || range.end == chars.len() {
        return range;
    }
    let wider = range.start - 1..range.end + 1;
    if is_group(&chars[wider.clone()]) { wider } else { range }
}

/// The words, and how much they count.
fn parts(chars: &[char]) -> (&[char], f64) {
    if !is_group(chars) {
        return (chars, 1.0);
    }
    let inner = &chars[1..chars.len() - 1];
    let split = inner.iter().rposition(|c| *c == ':').and_then(|colon| {
        let weight: String = inner[colon + 1..].iter().collect();
        Some((&inner[..colon], weight.trim().parse::<f64>().ok().filter(|w| w.is_finite())?))
    });
    split.unwrap_or((inner, 1.0))
}

/// Whether it begins with a parenthesis that is closed by its last character.
fn is_group(chars: &[char]) -> bool {
    chars.first() == Some(&'(') && partner(chars, 0) == Some(chars.len() - 1)
}

/// Where the parenthesis is closed that opens at a place.
fn partner(chars: &[char], open: usize) -> Option<usize> {
    let mut depth = 0;
    (open..chars.len()).find(|at| {
        depth += step(chars, *at);
        depth == 0
    })
}

/// What a character does to the depth; after a backslash a parenthesis is only a letter.
fn step(chars: &[char], at: usize) -> i32 {
    let letter = at > 0 && chars[at - 1] == '\\';
    match chars[at] {
        '(' if !letter => 1,
        ')' if !letter => -1,
        _ => 0,
    }
}

/// What is inside the innermost parentheses around a place.
fn around(chars: &[char], at: usize) -> Option<Range<usize>> {
    let mut depth = 0;
    let open = (0..at).rev().find(|i| {
        depth += step(chars, *i);
        depth == 1
    })?;
    Some(open + 1..partner(chars, open)?)
}

fn word(chars: &[char], at: usize) -> Range<usize> {
    let ends = |c: &char| DELIMITERS.contains(*c);
    let start = chars[..at].iter().rposition(ends).map_or(0, |i| i + 1);
    let end = chars[at..].iter().position(ends).map_or(chars.len(), |i| at + i);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `|` marks the cursor, or both ends of the selection.
    fn pressed(marked: &str, up: bool) -> Option<String> {
        let marks: Vec<usize> =
            marked.chars().enumerate().filter(|(_, c)| *c == '|').map(|(i, _)| i).collect();
        let selected = match marks[..] {
            [at] => at..at,
            [from, to] => from..to - 1,
            _ => unreachable!("one or two marks"),
        };
        let (text, range) = reweighted(&marked.replace('|', ""), selected, up)?;
        let mut chars: Vec<char> = text.chars().collect();
        chars.insert(range.end, '|');
        chars.insert(range.start, '|');
        Some(chars.into_iter().collect())
    }

    #[test]
    fn words_gain_and_lose_weight_by_steps() {
        for (marked, up, expected) in [
            ("a |red| hat", true, "a |(red:1.05)| hat"),
            ("a |(red:1.05)| hat", true, "a |(red:1.1)| hat"),
            ("a |(red:1.05)| hat", false, "a |red| hat"),
            ("a |red| hat", false, "a |(red:0.95)| hat"),
            ("a |(red:0.05)| hat", false, "a |(red:0)| hat"),
            ("a |(red:0)| hat", false, "a |(red:-0.05)| hat"),
            ("a |red |hat", true, "a |(red:1.05)| hat"),
            ("a |(red)| hat", true, "a |(red:1.05)| hat"),
            ("|größe|, x", true, "|(größe:1.05)|, x"),
        ] {
            assert_eq!(pressed(marked, up).as_deref(), Some(expected), "{marked}");
        }
    }

    #[test]
    fn without_a_selection_it_is_the_parentheses_around_the_cursor_or_the_word() {
        for (marked, expected) in [
            ("a re|d hat", "a |(red:1.05)| hat"),
            ("|red", "|(red:1.05)|"),
            ("red|", "|(red:1.05)|"),
            ("a (red h|at:1.2) b", "a |(red hat:1.25)| b"),
            ("a (red hat:1.|2) b", "a |(red hat:1.25)| b"),
            ("((a|:1.2) b:1.1)", "(|(a:1.25)| b:1.1)"),
            ("((a:1.2) b|:1.1)", "|((a:1.2) b:1.15)|"),
        ] {
            assert_eq!(pressed(marked, true).as_deref(), Some(expected), "{marked}");
        }
        assert_eq!(pressed("a , | b", true), None);
        assert_eq!(pressed("|", true), None);
    }

    #[test]
    fn parentheses_that_are_not_each_others_do_not_count_as_one_pair() {
        for (marked, expected) in [
            ("|(a:1.2) and (b:1.1)|", "|((a:1.2) and (b:1.1):1.05)|"),
            ("(|a:1.2|)", "|(a:1.25)|"),
            ("(|a| b)", "(|(a:1.05)| b)"),
            (r"\(re|d x\)", r"\(|(red:1.05)| x\)"),
        ] {
            assert_eq!(pressed(marked, true).as_deref(), Some(expected), "{marked}");
        }
    }
}
