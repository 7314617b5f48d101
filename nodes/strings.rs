//! Texts joined, cut, searched and compared, as Python's strings do it.

use anyhow::Result;
use graph::{Context, Inputs, Node};

/// Joins two texts.
#[derive(Inputs)]
pub struct StringConcatenate {
    /// What comes first.
    #[widget(lines())]
    pub string_a: String,
    /// What comes after.
    #[widget(lines())]
    pub string_b: String,
    /// What comes between.
    #[widget(text("").with("multiline", false))]
    pub delimiter: String,
}

impl Node for StringConcatenate {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Concatenate";
    type Output = String;

    fn run(self, _: &mut Context) -> Result<String> {
        Ok([self.string_a, self.string_b].join(&self.delimiter))
    }
}

/// Part of a text.
#[derive(Inputs)]
pub struct StringSubstring {
    /// The text.
    #[widget(lines())]
    pub string: String,
    /// The first character, from 0; below zero counted from the end.
    #[widget(number(0).unset())]
    pub start: i64,
    /// The character after the last; below zero counted from the end.
    #[widget(number(0).unset())]
    pub end: i64,
}

impl Node for StringSubstring {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Substring";
    type Output = String;

    fn run(self, _: &mut Context) -> Result<String> {
        let length = self.string.chars().count();
        let place = |at: i64| match usize::try_from(at) {
            Ok(at) => at.min(length),
            Err(_) => length.saturating_sub(at.unsigned_abs() as usize),
        };
        let (start, end) = (place(self.start), place(self.end));
        Ok(self.string.chars().skip(start).take(end.saturating_sub(start)).collect())
    }
}

/// How many characters a text has.
#[derive(Inputs)]
pub struct StringLength {
    /// The text.
    #[widget(lines())]
    pub string: String,
}

impl Node for StringLength {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Length";
    const OUTPUT_NAMES: &[&str] = &["length"];
    type Output = usize;

    fn run(self, _: &mut Context) -> Result<usize> {
        Ok(self.string.chars().count())
    }
}

/// What becomes of a text, by name.
type Change = (&'static str, fn(&str) -> String);

const CASES: [Change; 4] = [
    ("UPPERCASE", |text| text.to_uppercase()),
    ("lowercase", |text| text.to_lowercase()),
    ("Capitalize", capitalized),
    ("Title Case", |text| {
        // A word is a run of letters: what follows anything else begins one.
        let words = text.split_inclusive(|c: char| !c.is_alphabetic());
        words.map(capitalized).collect()
    }),
];

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    first + &chars.as_str().to_lowercase()
}

const TRIMS: [Change; 3] = [
    ("Both", |text| text.trim().to_owned()),
    ("Left", |text| text.trim_start().to_owned()),
    ("Right", |text| text.trim_end().to_owned()),
];

/// The change of that name.
fn change(changes: &[Change], name: &str, text: &str) -> Result<String> {
    let change = changes.iter().find(|(n, _)| *n == name);
    let (_, change) = change.ok_or_else(|| anyhow::anyhow!("there is no mode {name}"))?;
    Ok(change(text))
}

/// Writes a text in small or in capital letters.
#[derive(Inputs)]
pub struct CaseConverter {
    /// The text.
    #[widget(lines())]
    pub string: String,
    /// Which letters become capitals.
    #[widget(one_of(CASES.map(|(name, _)| name)))]
    pub mode: String,
}

impl Node for CaseConverter {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Case Converter";
    type Output = String;

    fn run(self, _: &mut Context) -> Result<String> {
        change(&CASES, &self.mode, &self.string)
    }
}

/// Takes spaces and line ends off the ends of a text.
#[derive(Inputs)]
pub struct StringTrim {
    /// The text.
    #[widget(lines())]
    pub string: String,
    /// Off which ends.
    #[widget(one_of(TRIMS.map(|(name, _)| name)))]
    pub mode: String,
}

impl Node for StringTrim {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Trim";
    type Output = String;

    fn run(self, _: &mut Context) -> Result<String> {
        change(&TRIMS, &self.mode, &self.string)
    }
}

/// Puts one text in another's place, wherever that stands.
#[derive(Inputs)]
pub struct StringReplace {
    /// The text.
    #[widget(lines())]
    pub string: String,
    /// What to replace.
    #[widget(lines())]
    pub find: String,
    /// What stands there instead.
    #[widget(lines())]
    pub replace: String,
}

impl Node for StringReplace {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Replace";
    type Output = String;

    fn run(self, _: &mut Context) -> Result<String> {
        Ok(self.string.replace(&self.find, &self.replace))
    }
}

/// Whether a text stands in another.
#[derive(Inputs)]
pub struct StringContains {
    /// Where to look.
    #[widget(lines())]
    pub string: String,
    /// What to look for.
    #[widget(lines())]
    pub substring: String,
    /// Whether small and capital letters differ.
    #[widget(toggle(true))]
    pub case_sensitive: bool,
}

impl Node for StringContains {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Contains";
    const OUTPUT_NAMES: &[&str] = &["contains"];
    type Output = bool;

    fn run(self, _: &mut Context) -> Result<bool> {
        let [string, substring] = folded([self.string, self.substring], self.case_sensitive);
        Ok(string.contains(&substring))
    }
}

/// Compares two texts.
#[derive(Inputs)]
pub struct StringCompare {
    /// The first text.
    #[widget(lines())]
    pub string_a: String,
    /// The second text.
    #[widget(lines())]
    pub string_b: String,
    /// Whether the first begins with the second, ends with it, or is the same.
    #[widget(one_of(["Starts With", "Ends With", "Equal"]))]
    pub mode: String,
    /// Whether small and capital letters differ.
    #[widget(toggle(true))]
    pub case_sensitive: bool,
}

impl Node for StringCompare {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Compare";
    type Output = bool;

    fn run(self, _: &mut Context) -> Result<bool> {
        let [a, b] = folded([self.string_a, self.string_b], self.case_sensitive);
        Ok(match &*self.mode {
            "Starts With" => a.starts_with(&b),
            "Ends With" => a.ends_with(&b),
            _ => a == b,
        })
    }
}

fn folded(texts: [String; 2], case_sensitive: bool) -> [String; 2] {
    texts.map(|text| if case_sensitive { text } else { text.to_lowercase() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_either_end() {
        let part = |start, end| {
            let node = StringSubstring { string: "aöüßz".into(), start, end };
            Context::bare(|ctx| node.run(ctx)).unwrap()
        };
        assert_eq!(part(1, 3), "öü");
        assert_eq!(part(-2, 99), "ßz");
        assert_eq!(part(0, -1), "aöüß");
        assert_eq!(part(3, 1), "");
        assert_eq!(part(i64::MIN, i64::MAX), "aöüßz");
    }

    #[test]
    fn cases_are_pythons() {
        let case = |mode| change(&CASES, mode, "it's a BIG cat-fish 2nd").unwrap();
        assert_eq!(case("UPPERCASE"), "IT'S A BIG CAT-FISH 2ND");
        assert_eq!(case("Capitalize"), "It's a big cat-fish 2nd");
        assert_eq!(case("Title Case"), "It'S A Big Cat-Fish 2Nd");
    }
}
