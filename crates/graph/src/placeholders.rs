//! What editors fill into the names of files before they send them: `%date:yyyy-MM-dd%` and
//! `%Node.widget%`. Other words between percent signs are left to the node.

use crate::{Json, clock};

/// Fills placeholders in; `widget` finds the value in a node's widget by the names of both.
pub fn fill(text: &str, widget: impl Fn(&str, &str) -> Option<Json>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out += before;
        let Some((name, after_name)) = after.split_once('%') else {
            return out + "%" + after;
        };
        match value(name, &widget) {
            Some(value) => {
                out += &value;
                rest = after_name;
            }
            // Its second sign may be the first of another.
            None => {
                out.extend(["%", name]);
                rest = &after[name.len()..];
            }
        }
    }
    out + rest
}

fn value(name: &str, widget: impl Fn(&str, &str) -> Option<Json>) -> Option<String> {
    if let Some(format) = name.strip_prefix("date:") {
        return Some(date(format, clock::local_now()));
    }
    let (node, input) = name.split_once('.').filter(|(_, input)| !input.contains('.'))?;
    Some(for_file_name(&widget(node, input)?))
}

/// The value's text; what no file name may have becomes `_`.
fn for_file_name(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Number(n) => {
            n.as_f64().filter(|_| n.is_f64()).map_or(n.to_string(), |f| f.to_string())
        }
        other => other.to_string(),
    };
    text.replace(|c: char| c.is_ascii_control() || r#"/?<>\:*|""#.contains(c), "_")
}

/// A date in the form that runs of `y`, `M`, `d`, `h`, `m` and `s` give.
fn date(format: &str, [year, month, day, hour, minute, second]: [u32; 6]) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(letter).len();
        let part = match letter {
            'M' => Some(month),
            'd' => Some(day),
            'h' => Some(hour),
            'm' => Some(minute),
            's' => Some(second),
            _ => None,
        };
        let (text, taken) = match (letter, part) {
            ('y', _) if run >= 4 => (year.to_string(), 4),
            ('y', _) if run >= 2 => (format!("{:02}", year % 100), 2),
            (_, Some(part)) => (format!("{part:0>0$}", run.min(2)), run.min(2)),
            _ => (letter.to_string(), letter.len_utf8()),
        };
        out += &text;
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dates_take_the_form_asked_for() {
        let now = [2026, 3, 9, 14, 5, 7];
        assert_eq!(date("yyyy-MM-dd hh_mm_ss", now), "2026-03-09 14_05_07");
        assert_eq!(date("d.M.yy h:m:s", now), "9.3.26 14:5:7");
        assert_eq!(date("é y", now), "é y");
    }

    #[test]
    fn only_what_is_known_is_filled_in() {
        let widget = |node: &str, widget: &str| match (node, widget) {
            ("Sampler", "seed") => Some(json!(7)),
            ("Sampler", "cfg") => Some(json!(8.0)),
            ("Text", "text") => Some(json!("a/b: \"c\"")),
            _ => None,
        };
        let cases = [
            ("x_%Sampler.seed%_y", "x_7_y"),
            ("%Sampler.cfg%%Text.text%", "8a_b_ _c_"),
            ("%width%x%height%_%Sampler.seed%", "%width%x%height%_7"),
            ("50% of %Sampler.seed% or %Nobody.seed%", "50% of 7 or %Nobody.seed%"),
            ("100%", "100%"),
        ];
        for (text, expected) in cases {
            assert_eq!(fill(text, widget), expected);
        }
        let year = fill("%date:yyyy%", widget);
        assert!(year.parse::<u32>().is_ok_and(|y| y > 2024), "{year}");
    }
}
