//! What is wrong with the value of a widget, and what it may be, in words.

use super::{CanvasContext, widgets::Field};
use crate::{doc::Widget, runs::NodeState};
use graph::Json;
use std::ops::RangeInclusive;

impl Field<'_> {
    /// Between what a number may be.
    pub fn range(&self) -> RangeInclusive<f64> {
        self.option("min").unwrap_or(f64::MIN)..=self.option("max").unwrap_or(f64::MAX)
    }

    /// What a number may be, in words; `None` if there are no limits.
    pub fn limits(&self) -> Option<String> {
        let limits = self.options?;
        let said =
            |key: &str, words: &str| limits.get(key).map(|n| format!("{words} {}", short(n)));
        let all = [said("min", "from"), said("max", "to"), said("step", "in steps of")];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// What is wrong with the value by itself.
    pub fn own_fault(&self, class: &str, cx: &CanvasContext) -> Option<String> {
        let ty = self.widget.spec.as_ref().map_or("", |spec| spec.ty.as_str());
        match ty {
            "INT" | "FLOAT" => self.number_fault(),
            "COMBO" => self.choice_fault(class, cx),
            _ => None,
        }
    }

    fn number_fault(&self) -> Option<String> {
        let value = &self.widget.value;
        let Some(number) = value.as_f64() else {
            return (!value.is_null()).then(|| format!("{value} is not a number"));
        };
        let range = self.range();
        let limit =
            |key: &str| self.options.and_then(|o| o.get(key)).map(short).unwrap_or_default();
        match number {
            n if n < *range.start() => Some(format!("{value} is less than {}", limit("min"))),
            n if n > *range.end() => Some(format!("{value} is more than {}", limit("max"))),
            _ => None,
        }
    }

    fn choice_fault(&self, class: &str, cx: &CanvasContext) -> Option<String> {
        let shown = self.shown();
        if self.choices.contains(&shown) {
            return None;
        }
        match cx.catalog.folder(class, &self.widget.name) {
            Some(_) if shown.is_empty() => Some("no file is chosen".into()),
            Some(folder) if cx.catalog.has_unlisted(folder, &shown) => None,
            Some(folder) => Some(format!("there is no {shown} in the folder {folder}")),
            // A class that this program does not have may offer anything.
            None if self.choices.is_empty() => None,
            None => Some(format!("“{shown}” is not in the list")),
        }
    }
}

/// What the last run found wrong with an input.
pub fn complaint(state: Option<&NodeState>, widget: &Widget) -> Option<String> {
    let mut problems = state?.problems.iter();
    problems.find(|(input, _)| input.as_ref() == Some(&widget.name)).map(|(_, words)| words.clone())
}

/// A limit as people say it.
fn short(limit: &Json) -> String {
    match limit.as_f64() {
        Some(n) if n.abs() >= 1e9 => format!("{n:.1e}"),
        _ => limit.to_string(),
    }
}
