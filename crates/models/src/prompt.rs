//! Prompts: weights in parentheses, embeddings by name, chunks of 77 tokens.

use crate::tokenizer::{self, END, START};
use anyhow::{Result, ensure};
use std::sync::Arc;

/// Tokens a text encoder reads at once, with start and end.
pub const CHUNK: usize = 77;
/// Groups of this many tokens may be cut at the end of a chunk; shorter ones move to the next.
const LONG_GROUP: usize = 8;
/// More chunks than any prompt has use for: a guard of time and memory.
const MAX_CHUNKS: usize = 128;
/// Parentheses nested deeper are taken literally.
const MAX_DEPTH: usize = 64;

/// What stands at one place of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Id(u32),
    /// A vector of a textual-inversion embedding.
    Vector(Arc<[f32]>),
}

/// A token, and how strongly it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    pub token: Token,
    pub weight: f32,
    /// The group of the prompt it came from, from 1 on; 0 for start, end and padding.
    pub group: usize,
}

/// Finds the vectors of an embedding by its name in the prompt.
pub type Embeddings<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<Arc<[f32]>>>>;

/// A prompt as chunks of exactly [`CHUNK`] tokens, and what should be said about it.
#[derive(Debug)]
pub struct Chunks {
    pub chunks: Vec<Vec<Weighted>>,
    /// Embeddings that were named and are not there.
    pub missing: Vec<String>,
}

/// Reads a prompt as ComfyUI does. `pad` fills a chunk after its end token.
pub fn parse(text: &str, pad: u32, embeddings: Embeddings) -> Result<Chunks> {
    let mut groups = Vec::new();
    let mut missing = Vec::new();
    // Escaped parentheses stand aside while the others are read.
    let text = text.replace("\\)", "\0\u{1}").replace("\\(", "\0\u{2}");
    for (segment, weight) in segments(&text) {
        let segment = segment.replace("\0\u{1}", ")").replace("\0\u{2}", "(");
        for part in split_embeddings(&segment) {
            add_groups(part, weight, embeddings, &mut groups, &mut missing)?;
        }
    }
    Ok(Chunks { chunks: chunk(groups, pad)?, missing })
}

type Group = Vec<(Token, f32)>;

fn add_groups(
    part: &str,
    weight: f32,
    embeddings: Embeddings,
    groups: &mut Vec<Group>,
    missing: &mut Vec<String>,
) -> Result<()> {
    if let Some(named) = part.strip_prefix(EMBEDDING) {
        let end = named.find(char::is_whitespace).unwrap_or(named.len());
        let (name, rest) = named.split_at(end);
        let bare = name.trim_end_matches(',');
        let (vectors, after) = match embeddings(name)? {
            Some(vectors) => (Some(vectors), rest.to_owned()),
            None if bare.len() < name.len() => {
                (embeddings(bare)?, format!("{}{rest}", &name[bare.len()..]))
            }
            None => (None, rest.to_owned()),
        };
        match vectors {
            Some(vectors) => {
                groups.push(vectors.into_iter().map(|v| (Token::Vector(v), weight)).collect())
            }
            None => missing.push(name.to_owned()),
        }
        return if after.is_empty() { Ok(()) } else { add_words(&after, weight, groups) };
    }
    add_words(part, weight, groups)
}

fn add_words(text: &str, weight: f32, groups: &mut Vec<Group>) -> Result<()> {
    let ids = tokenizer::tokenize(text)?;
    groups.push(ids.into_iter().map(|id| (Token::Id(id), weight)).collect());
    Ok(())
}

const EMBEDDING: &str = "embedding:";

/// Cuts before each `embedding:` that a blank or a line break precedes.
fn split_embeddings(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let next = text
            .char_indices()
            .find(|(i, c)| matches!(c, ' ' | '\n') && text[i + 1..].starts_with(EMBEDDING));
        let (part, after) = match next {
            Some((i, _)) => (&text[..i], Some(&text[i + 1..])),
            None => (text, None),
        };
        rest = after;
        Some(part)
    })
    .filter(|part| !part.is_empty())
}

/// The prompt's parts with their weights: `(x)` counts 1.1 times, `(x:w)` counts w.
fn segments(text: &str) -> Vec<(&str, f32)> {
    let mut out = Vec::new();
    weigh(text, 1.0, 0, &mut out);
    out
}

fn weigh<'a>(text: &'a str, weight: f32, depth: usize, out: &mut Vec<(&'a str, f32)>) {
    for item in parenthesised(text) {
        let inner = item.strip_prefix('(').and_then(|i| i.strip_suffix(')'));
        let (Some(inner), true) = (inner, depth < MAX_DEPTH) else {
            out.push((item, weight));
            continue;
        };
        let colon = inner.rfind(':').filter(|i| *i > 0);
        match colon.and_then(|i| Some((i, python_float(&inner[i + 1..])?))) {
            Some((i, own)) => weigh(&inner[..i], own, depth + 1, out),
            None => weigh(inner, weight * 1.1, depth + 1, out),
        }
    }
}

/// Cuts text into outermost parentheses and what is between them. A closing one without its opening
/// one does not count, and shifts the level of those after it, as in the original.
fn parenthesised(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut level) = (Vec::new(), 0, 0i64);
    for (i, c) in text.char_indices() {
        match c {
            '(' => {
                if level == 0 && i > start {
                    items.push(&text[start..i]);
                    start = i;
                }
                level += 1;
            }
            ')' => {
                level -= 1;
                if level == 0 {
                    items.push(&text[start..=i]);
                    start = i + 1;
                }
            }
            _ => {}
        }
    }
    if start < text.len() {
        items.push(&text[start..]);
    }
    items
}

/// What Python's `float()` takes for a finite number; with others a picture would be all NaN.
fn python_float(text: &str) -> Option<f32> {
    let text = text.trim();
    let plain = text.replace('_', "");
    plain.parse().ok().filter(|w: &f32| w.is_finite())
}

/// Fills chunks group by group.
fn chunk(groups: Vec<Group>, pad: u32) -> Result<Vec<Vec<Weighted>>> {
    let special = |id| Weighted { token: Token::Id(id), weight: 1.0, group: 0 };
    let end = |chunk: &mut Vec<Weighted>| {
        chunk.push(special(END));
        chunk.resize(CHUNK, special(pad));
    };
    let mut chunks = vec![vec![special(START)]];
    for (number, group) in groups.into_iter().enumerate() {
        let mut group =
            group.into_iter().map(|(token, weight)| Weighted { token, weight, group: number + 1 });
        let long = group.len() >= LONG_GROUP;
        while group.len() > 0 {
            ensure!(
                chunks.len() <= MAX_CHUNKS,
                "the prompt is longer than {} tokens",
                MAX_CHUNKS * (CHUNK - 2)
            );
            let now = chunks.last_mut().expect("there is always a chunk");
            let room = CHUNK - 1 - now.len();
            if group.len() <= room {
                now.extend(&mut group);
                break;
            }
            if long {
                now.extend(group.by_ref().take(room));
            }
            end(now);
            chunks.push(vec![special(START)]);
        }
    }
    end(chunks.last_mut().expect("there is always a chunk"));
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_the_parentheses() {
        let check = |text: &str, expected: &[(&str, f32)]| {
            let got = segments(text);
            assert_eq!(got.len(), expected.len(), "{text}: {got:?}");
            for ((a, w), (b, v)) in got.iter().zip(expected) {
                assert!(a == b && (w - v).abs() < 1e-6, "{text}: {got:?}");
            }
        };
        check("a (b) c", &[("a ", 1.0), ("b", 1.1), (" c", 1.0)]);
        check("((c:0.5):1.5)", &[("c", 0.5)]);
        check("(:1.2)", &[(":1.2", 1.1)]);
        check("(a:b:1.2)", &[("a:b", 1.2)]);
        check("(x:1e1) (y:.5)", &[("x", 10.0), (" ", 1.0), ("y", 0.5)]);
        check("(a:nan) (b:inf)", &[("a:nan", 1.1), (" ", 1.0), ("b:inf", 1.1)]);
        check("(open", &[("(open", 1.0)]);
        check("shut)", &[("shut)", 1.0)]);
    }

    #[test]
    fn hostile_prompts_end_soon() {
        let none = |_: &str| Ok(None);
        let deep = "(".repeat(500_000) + &")".repeat(500_000);
        assert!(parse(&deep, END, &none).is_ok() || parse(&deep, END, &none).is_err());
        let long = parse(&"word ".repeat(200_000), END, &none).unwrap_err().to_string();
        assert!(long.contains("longer than"), "{long}");
        let _ = parse(&"x".repeat(1_000_000), END, &none);
    }
}
