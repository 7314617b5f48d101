//! Literals as Python sees them: conversion of numbers, limits, how errors write values.

use graph::Json;
use serde_json::{Map, Number as JsonNumber};

/// A literal of an `INT` or `FLOAT` input after Python's `int()` or `float()`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

/// Which limit a number breaks, with that limit.
#[derive(Debug, PartialEq)]
pub(crate) enum Broken<'a> {
    Min(&'a Json),
    Max(&'a Json),
}

impl Number {
    /// The literal as a number, if inputs of type `ty` are numbers; an error is Python's own text.
    pub fn read(ty: &str, json: &Json) -> Option<Result<Self, String>> {
        match ty {
            "INT" => Some(int(json).map(Self::Int)),
            "FLOAT" => Some(float(json).map(Self::Float)),
            _ => None,
        }
    }

    /// As JSON; what JSON cannot say (NaN, infinity, over 64 bits) as a string.
    pub fn json(self) -> Json {
        let number = match self {
            Self::Int(i) => JsonNumber::from_i128(i),
            Self::Float(f) => JsonNumber::from_f64(f),
        };
        number.map_or_else(|| Json::String(self.text()), Json::Number)
    }

    /// As Python's `str()` writes it.
    pub fn text(self) -> String {
        match self {
            Self::Int(i) => i.to_string(),
            Self::Float(f) => float_text(f),
        }
    }

    pub fn is_nan(self) -> bool {
        matches!(self, Self::Float(f) if f.is_nan())
    }

    /// The limit among the widget's options that the number breaks, if it does.
    pub fn breaks(self, options: &Map<String, Json>) -> Option<Broken<'_>> {
        let limit = |name| options.get(name).filter(|limit| limit.is_number());
        match (limit("min"), limit("max")) {
            (Some(min), _) if self.less(min, false) => Some(Broken::Min(min)),
            (_, Some(max)) if self.less(max, true) => Some(Broken::Max(max)),
            _ => None,
        }
    }

    /// Whether the number is less than `limit`, or, if `more`, greater.
    fn less(self, limit: &Json, more: bool) -> bool {
        let whole = limit.as_i64().map(i128::from).or_else(|| limit.as_u64().map(i128::from));
        let order = match (self, whole) {
            (Self::Int(i), Some(limit)) => i.partial_cmp(&limit),
            (Self::Int(i), None) => (i as f64).partial_cmp(&limit.as_f64().unwrap_or(f64::NAN)),
            (Self::Float(f), _) => f.partial_cmp(&limit.as_f64().unwrap_or(f64::NAN)),
        };
        order == Some(if more { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less })
    }
}

fn int(json: &Json) -> Result<i128, String> {
    match json {
        Json::Bool(b) => Ok(i128::from(*b)),
        Json::Number(n) => {
            let whole = n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
            Ok(whole.unwrap_or_else(|| n.as_f64().map_or(0, |f| f.trunc() as i128)))
        }
        Json::String(s) => s
            .trim()
            .replace('_', "")
            .parse()
            .map_err(|_| format!("invalid literal for int() with base 10: {}", quoted(s))),
        other => Err(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            python_type(other)
        )),
    }
}

fn float(json: &Json) -> Result<f64, String> {
    match json {
        Json::Bool(b) => Ok(f64::from(u8::from(*b))),
        Json::Number(n) => Ok(n.as_f64().unwrap_or(f64::NAN)),
        Json::String(s) => s
            .trim()
            .parse()
            .map_err(|_| format!("could not convert string to float: {}", quoted(s))),
        other => Err(format!(
            "float() argument must be a string or a real number, not '{}'",
            python_type(other)
        )),
    }
}

fn python_type(json: &Json) -> &'static str {
    match json {
        Json::Null => "NoneType",
        Json::Bool(_) => "bool",
        Json::Number(_) => "float",
        Json::String(_) => "str",
        Json::Array(_) => "list",
        Json::Object(_) => "dict",
    }
}

/// Python's `str(x)` of a JSON value.
pub(crate) fn python_str(json: &Json) -> String {
    match json {
        Json::String(s) => s.clone(),
        Json::Null => "None".into(),
        Json::Bool(b) => if *b { "True" } else { "False" }.into(),
        Json::Number(n) if n.is_f64() => float_text(n.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

/// Python's `repr` of a list of strings.
pub(crate) fn python_list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| quoted(n)).collect();
    format!("[{}]", names.join(", "))
}

/// Python's `repr` of a float: `1000.0`, `1e-05`.
fn float_text(f: f64) -> String {
    let text = format!("{f:?}").to_lowercase();
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        None => text,
    }
}

/// Python's `repr` of a string.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    #[allow(clippy::needless_pass_by_value)]
    fn numbers_are_converted_as_python_does() {
        let read = |ty, json: Json| Number::read(ty, &json).unwrap();
        assert_eq!(read("INT", json!("64")), Ok(Number::Int(64)));
        assert_eq!(read("INT", json!(64.9)), Ok(Number::Int(64)));
        assert_eq!(read("INT", json!(true)), Ok(Number::Int(1)));
        assert_eq!(read("INT", json!(u64::MAX)), Ok(Number::Int(i128::from(u64::MAX))));
        assert_eq!(read("FLOAT", json!("0.5")), Ok(Number::Float(0.5)));
        assert!(read("FLOAT", json!("nan")).unwrap().is_nan());
        assert!(read("INT", json!("64.9")).is_err());
        assert!(read("INT", json!(null)).unwrap_err().ends_with("not 'NoneType'"));
        assert!(Number::read("STRING", &json!(1)).is_none());
    }

    #[test]
    fn limits_are_exact_at_the_end_of_64_bits() {
        let options = json!({"min": 0, "max": u64::MAX});
        let options = options.as_object().unwrap();
        assert_eq!(Number::Int(i128::from(u64::MAX)).breaks(options), None);
        let over = Number::Int(i128::from(u64::MAX) + 1);
        assert_eq!(over.breaks(options), Some(Broken::Max(&json!(u64::MAX))));
        assert_eq!(Number::Int(-1).breaks(options), Some(Broken::Min(&json!(0))));
        assert_eq!(Number::Float(f64::NAN).breaks(options), None);
    }

    #[test]
    fn texts_are_pythons() {
        assert_eq!([1000.0, 1e-5, 1e16].map(float_text), ["1000.0", "1e-05", "1e+16"]);
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(python_list(&["a".into(), "b\n".into()]), "['a', 'b\\n']");
        assert_eq!(python_str(&json!(true)), "True");
    }
}
