//! What editors do with a prompt's text before they send it: choices and comments.

use std::hash::{BuildHasher, RandomState};

/// Cuts `//` and `/* */` comments out and resolves `{a|b}`, nested as one likes, by chance. `\{`,
/// `\}` and `\|` stand for themselves.
pub fn resolve(text: &str) -> String {
    resolve_by(text, &mut by_chance)
}

/// A number below `n` that nobody can foresee.
fn by_chance(n: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(n) % n as u64).unwrap_or(0)
}

fn resolve_by(text: &str, pick: &mut impl FnMut(usize) -> usize) -> String {
    let text = without_comments(text);
    let mut chars = text.chars().peekable();
    let mut done = String::new();
    // For each brace that is open, its options so far and the one being read.
    let mut open: Vec<(Vec<String>, String)> = vec![];
    while let Some(c) = chars.next() {
        match (c, open.last_mut()) {
            ('\\', now) if matches!(chars.peek(), Some('{' | '}' | '|')) => {
                now.map_or(&mut done, |(_, option)| option).extend(chars.next());
            }
            ('{', _) => open.push((vec![], String::new())),
            ('}', Some(_)) => close(&mut open, &mut done, pick),
            ('|', Some((options, option))) => options.push(std::mem::take(option)),
            (c, now) => now.map_or(&mut done, |(_, option)| option).push(c),
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut done, pick);
    }
    done
}

/// Replaces the innermost open brace by one of its options.
fn close(
    open: &mut Vec<(Vec<String>, String)>,
    done: &mut String,
    pick: &mut impl FnMut(usize) -> usize,
) {
    let Some((mut options, last)) = open.pop() else { return };
    options.push(last);
    let chosen = options.swap_remove(pick(options.len()));
    open.last_mut().map_or(done, |(_, option)| option).push_str(&chosen);
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, last_close) = (text, text.rfind("*/"));
    while let Some(at) = rest.find('/') {
        let (before, comment) = rest.split_at(at);
        out.push_str(before);
        // No search where none can end: many open comments would take quadratic time.
        let closes = last_close.is_some_and(|close| close >= text.len() - comment.len() + 2);
        let end = match comment.as_bytes().get(1) {
            Some(b'/') => comment.find('\n').unwrap_or(comment.len()),
            Some(b'*') if closes => comment[2..].find("*/").map_or(0, |end| end + 4),
            _ => 0,
        };
        // A slash that opens no comment, or one without an end, is text.
        out.push_str(if end == 0 { "/" } else { "" });
        rest = &comment[end.max(1)..];
    }
    out + rest
}

/// The text that [`resolve`] turns into `text`: braces escaped, slashes kept from being comments.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '{' | '}' | '|' => out.extend(['\\', c]),
            // A choice with one option: nothing else keeps two slashes apart.
            '/' | '*' if before == '/' => out.extend(['{', c, '}']),
            c => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_nest_and_comments_go() {
        let last = |text| resolve_by(text, &mut |n| n - 1);
        assert_eq!(last("a {red|{dark|light} blue} cat"), "a light blue cat");
        assert_eq!(last("a /* b */ c // d\ne"), "a  c \ne");
        assert_eq!(last(r"\{a\|b\} 1/2 /* open"), "{a|b} 1/2 /* open");
        assert_eq!(last("{a|b"), "b");
    }

    #[test]
    fn a_megabyte_of_open_comments_takes_no_quadratic_time() {
        let text = "/* ".repeat(300_000);
        assert_eq!(without_comments(&text), text);
    }
}
