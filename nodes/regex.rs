//! Regular expressions, as Python's `re` reads them.

use anyhow::{Context as _, Result};
use fancy_regex::{Captures, Regex};
use graph::{Context, Inputs, Node};

/// The pattern with Python's flags.
fn regex(pattern: &str, case_insensitive: bool, multiline: bool, dotall: bool) -> Result<Regex> {
    let flags = [("i", case_insensitive), ("m", multiline), ("s", dotall)];
    let flags: String = flags.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag).collect();
    let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
    // What Python calls differently.
    let pattern = pattern.replace("\\Z", "\\z");
    Regex::new(&format!("{flags}{pattern}"))
        .with_context(|| format!("{pattern:?} is no regular expression"))
}

/// As [`regex`]; a pattern that is none finds nothing, as in the original, and the person is told.
fn regex_or_note(ctx: &mut Context, regex: Result<Regex>) -> Option<Regex> {
    regex.inspect_err(|error| ctx.note(format!("{error:#}"))).ok()
}

/// Whether a regular expression finds something in a text.
#[derive(Inputs)]
pub struct RegexMatch {
    /// The text.
    #[widget(lines())]
    pub string: String,
    /// The regular expression.
    #[widget(lines())]
    pub regex_pattern: String,
    /// Whether small and capital letters are the same.
    #[widget(toggle(true))]
    pub case_insensitive: bool,
    /// Whether ^ and $ stand for the ends of lines too.
    #[widget(toggle(false))]
    pub multiline: bool,
    /// Whether the dot stands for line ends too.
    #[widget(toggle(false))]
    pub dotall: bool,
}

impl Node for RegexMatch {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Regex Match";
    const OUTPUT_NAMES: &[&str] = &["matches"];
    type Output = bool;

    fn run(self, ctx: &mut Context) -> Result<bool> {
        let regex = regex(&self.regex_pattern, self.case_insensitive, self.multiline, self.dotall);
        let Some(regex) = regex_or_note(ctx, regex) else { return Ok(false) };
        Ok(regex.is_match(&self.string)?)
    }
}

/// Takes out of a text what a regular expression finds; several things, one a line.
#[derive(Inputs)]
pub struct RegexExtract {
    /// The text.
    #[widget(lines())]
    pub string: String,
    /// The regular expression.
    #[widget(lines())]
    pub regex_pattern: String,
    /// What is taken: whole matches (of a pattern with groups, All Matches takes the first group), or a
    /// group of them.
    #[widget(one_of(["First Match", "All Matches", "First Group", "All Groups"]))]
    pub mode: String,
    /// Whether small and capital letters are the same.
    #[widget(toggle(true))]
    pub case_insensitive: bool,
    /// Whether ^ and $ stand for the ends of lines too.
    #[widget(toggle(false))]
    pub multiline: bool,
    /// Whether the dot stands for line ends too.
    #[widget(toggle(false))]
    pub dotall: bool,
    /// Which group, from 1; 0 is the whole match.
    #[widget(number(1).range(0..=100))]
    pub group_index: usize,
}

impl Node for RegexExtract {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Regex Extract";
    type Output = String;

    fn run(self, ctx: &mut Context) -> Result<String> {
        let regex = regex(&self.regex_pattern, self.case_insensitive, self.multiline, self.dotall);
        let Some(regex) = regex_or_note(ctx, regex) else { return Ok(String::new()) };
        let groups = regex.captures_len() - 1;
        let (first_only, group) = match &*self.mode {
            "First Match" => (true, 0),
            "All Matches" => (false, groups.min(1)),
            "First Group" => (true, self.group_index),
            _ => (false, self.group_index),
        };
        if group > groups || self.mode == "All Groups" && groups == 0 {
            return Ok(String::new());
        }
        let most = if first_only { 1 } else { usize::MAX };
        let text = |found: &Captures| found.get(group).map_or("", |m| m.as_str()).to_owned();
        let found = regex.captures_iter(&self.string).take(most);
        let texts = found.map(|found| Ok(text(&found?))).collect::<Result<Vec<_>>>()?;
        Ok(texts.join("\n"))
    }
}

/// Puts a text in the place of what a regular expression finds.
#[derive(Inputs)]
pub struct RegexReplace {
    /// The text.
    #[widget(lines())]
    pub string: String,
    /// The regular expression.
    #[widget(lines())]
    pub regex_pattern: String,
    /// What stands there instead; \1 is the first group, \g<name> that of a name.
    #[widget(lines())]
    pub replace: String,
    /// Whether small and capital letters are the same.
    #[widget(toggle(true))]
    pub case_insensitive: Option<bool>,
    /// Whether ^ and $ stand for the ends of lines too.
    #[widget(toggle(false))]
    pub multiline: Option<bool>,
    /// Whether the dot stands for line ends too.
    #[widget(toggle(false))]
    pub dotall: Option<bool>,
    /// How many are replaced at most; 0 is all.
    #[widget(number(0).range(0..=100))]
    pub count: Option<usize>,
}

impl Node for RegexReplace {
    const CATEGORY: &str = "utils/string";
    const TITLE: &str = "Regex Replace";
    type Output = String;

    fn run(self, _: &mut Context) -> Result<String> {
        let on = |flag: Option<bool>, default| flag.unwrap_or(default);
        let flags =
            (on(self.case_insensitive, true), on(self.multiline, false), on(self.dotall, false));
        let regex = regex(&self.regex_pattern, flags.0, flags.1, flags.2)?;
        let with = |found: &Captures| expanded(&self.replace, found);
        let count = self.count.unwrap_or(0);
        Ok(regex.try_replacen(&self.string, count, with)?.into_owned())
    }
}

/// Python's template for what replaces a match: `\1`, `\g<1>`, `\g<name>`, `\n`, `\t`, `\\`.
fn expanded(template: &str, found: &Captures) -> String {
    let group = |index: usize| found.get(index).map_or("", |m| m.as_str()).to_owned();
    let named = |name: &str| match name.parse() {
        Ok(index) => group(index),
        Err(_) => found.name(name).map_or("", |m| m.as_str()).to_owned(),
    };
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            out += &named(&rest[..digits]);
            rest = &rest[digits..];
        } else if let Some((name, after)) = rest.strip_prefix("g<").and_then(|r| r.split_once('>'))
        {
            out += &named(name);
            rest = after;
        } else if let Some(c) = rest.chars().next() {
            match c {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                '\\' => out.push('\\'),
                other => out.extend(['\\', other]),
            }
            rest = &rest[c.len_utf8()..];
        } else {
            out.push('\\');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(pattern: &str, mode: &str, group_index: usize) -> String {
        let node = RegexExtract {
            string: "cat 12, dog 7, Cow 30".into(),
            regex_pattern: pattern.into(),
            mode: mode.into(),
            case_insensitive: true,
            multiline: false,
            dotall: false,
            group_index,
        };
        Context::bare(|ctx| node.run(ctx)).unwrap()
    }

    #[test]
    fn matches_and_groups_are_taken_out() {
        assert_eq!(extracted("c\\w+", "First Match", 1), "cat");
        assert_eq!(extracted("c\\w+", "All Matches", 1), "cat\nCow");
        assert_eq!(extracted("(\\w+) (\\d+)", "All Matches", 2), "cat\ndog\nCow");
        assert_eq!(extracted("(\\w+) (\\d+)", "First Group", 2), "12");
        assert_eq!(extracted("(\\w+) (\\d+)", "All Groups", 2), "12\n7\n30");
        assert_eq!(extracted("(\\w+) (\\d+)", "First Group", 3), "");
        assert_eq!(extracted("\\w+(?= 7)", "First Match", 1), "dog");
        assert_eq!(extracted("(", "First Match", 1), "");
    }

    fn replaced(replace: &str, count: Option<usize>) -> String {
        let node = RegexReplace {
            string: "a1 b2".into(),
            regex_pattern: "(?P<letter>[a-z])(\\d)".into(),
            replace: replace.into(),
            case_insensitive: None,
            multiline: None,
            dotall: None,
            count,
        };
        Context::bare(|ctx| node.run(ctx)).unwrap()
    }

    #[test]
    fn templates_are_pythons() {
        assert_eq!(replaced("\\2\\1", None), "1a 2b");
        assert_eq!(replaced("\\g<letter>\\g<2>$1", Some(1)), "a1$1 b2");
        assert_eq!(replaced("\\n\\\\", Some(0)), "\n\\ \n\\");
    }
}
