//! What has run, with what came of it; and what is wrong with the graph.

use crate::{
    panels::{ago, card, heading, icon_button, nothing, picture, row, seconds, strong},
    pictures::Picture,
    runs::{Number, Problem, Run, Runs, Stage, Tab, why::Prompt},
    theme::Theme,
};
use egui::{Color32, RichText, ScrollArea, Ui};
use egui_material_icons::icons::{
    ICON_ACCOUNT_TREE, ICON_CHECK_CIRCLE, ICON_DELETE, ICON_DELETE_SWEEP, ICON_ERROR, ICON_HISTORY,
    ICON_MY_LOCATION, ICON_WARNING,
};
use graph::Json;
use std::{sync::Arc, time::SystemTime};

/// What the panels ask of the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Show a node: its file and its path, `12:7` if it is within a subgraph; and one of its inputs.
    Jump { tab: Tab, node: String, input: Option<String> },
    /// Show pictures at full size, beginning with the one at this place.
    View(Vec<Picture>, usize),
    /// Open the graph of an earlier run in a new tab: its UI form, and if that is null its API form.
    Open { title: String, workflow: Arc<Json>, prompt: Arc<Prompt> },
}

/// The longer side of a picture in the list, in points.
const PICTURE: f32 = 88.0;
/// The height of a run in the list: a card's margins and a picture.
const ROW: f32 = PICTURE + 16.0;

impl Runs {
    /// Draws the panel of all that has run, the latest first.
    pub fn history_ui(&mut self, ui: &mut Ui, theme: &Theme) -> Vec<Event> {
        let (mut events, mut forget, mut clear) = (Vec::new(), None, false);
        let over: Vec<&Run> = self.all().iter().rev().filter(|run| run.over()).collect();
        heading(ui, theme, "History", |ui| {
            ui.add_enabled_ui(!over.is_empty(), |ui| {
                clear = icon_button(ui, ICON_DELETE_SWEEP, "Clear the history; pictures stay")
                    .clicked();
            });
        });
        if over.is_empty() {
            nothing(
                ui,
                theme,
                ICON_HISTORY,
                "Nothing has run yet",
                "Every run is kept here with its pictures",
            );
        }
        let area = ScrollArea::vertical().id_salt("history").auto_shrink([false, true]);
        area.show_rows(ui, ROW, over.len(), |ui, rows| {
            for run in &over[rows] {
                let wish = ui.push_id(run.number, |ui| self.run_ui(ui, theme, run)).inner;
                match wish {
                    Some(Wish::Tell(event)) => events.push(event),
                    Some(Wish::Forget(number)) => forget = Some(number),
                    None => {}
                }
            }
        });
        if let Some(number) = forget {
            self.forget(number);
        }
        if clear {
            self.clear_history();
        }
        events
    }

    fn run_ui(&self, ui: &mut Ui, theme: &Theme, run: &Run) -> Option<Wish> {
        let mut wish = None;
        card(ui, theme, color(theme, &run.stage), |ui| {
            ui.set_height(PICTURE);
            ui.horizontal_top(|ui| {
                if let Some(first) = run.pictures.first() {
                    let name = format!("Picture of run {}", run.number);
                    let shown = picture(ui, theme, &self.thumbnails.get(first), PICTURE, &name);
                    badge(ui, theme, shown.rect, run.pictures.len());
                    if shown.clicked() {
                        wish = Some(Wish::Tell(Event::View(run.pictures.clone(), 0)));
                    }
                }
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = 3.0;
                    ui.add(egui::Label::new(strong(theme, &run.title)).truncate());
                    facts(ui, theme, run);
                    ui.with_layout(egui::Layout::bottom_up(egui::Align::Min), |ui| {
                        ui.horizontal(|ui| wish = wish.take().or(buttons(ui, run)));
                    });
                });
            });
        });
        wish
    }

    /// Draws the panel of what is wrong.
    pub fn errors_ui(&self, ui: &mut Ui, theme: &Theme) -> Vec<Event> {
        let problems = self.problems();
        heading(ui, theme, "Problems", |ui| {
            if !problems.is_empty() {
                ui.label(RichText::new(problems.len().to_string()).color(theme.dim));
            }
        });
        if problems.is_empty() {
            nothing(
                ui,
                theme,
                ICON_CHECK_CIRCLE,
                "No problems",
                "What goes wrong is told here in words",
            );
        }
        let mut events = Vec::new();
        ScrollArea::vertical().id_salt("problems").auto_shrink([false, true]).show(ui, |ui| {
            for (i, problem) in problems.iter().enumerate() {
                let jump = ui.push_id(i, |ui| problem_ui(ui, theme, problem)).inner;
                events.extend(jump.then(|| Event::Jump {
                    tab: self.shown().0,
                    node: problem.node.clone(),
                    input: problem.input.clone(),
                }));
            }
        });
        events
    }
}

enum Wish {
    Tell(Event),
    Forget(Number),
}

fn color(theme: &Theme, stage: &Stage) -> Color32 {
    match stage {
        Stage::Done => theme.good,
        Stage::Failed(_) => theme.error,
        Stage::Running => theme.accent,
        Stage::Waiting | Stage::Cancelled => theme.muted,
    }
}

/// When it ran and how long it took, the seed, and why there is no picture.
fn facts(ui: &mut Ui, theme: &Theme, run: &Run) {
    let when = ago(run.asked, SystemTime::now());
    let took = run.seconds.map(|took| format!(" in {}", seconds(took))).unwrap_or_default();
    ui.label(RichText::new(format!("{when}{took}")).small().color(theme.dim));
    if let Some(seed) = run.seed() {
        ui.label(RichText::new(format!("seed {seed}")).small().color(theme.dim));
    }
    match &run.stage {
        Stage::Failed(words) => {
            let line = words.lines().last().unwrap_or_default().trim();
            let label = egui::Label::new(RichText::new(line).small().color(theme.error)).truncate();
            ui.add(label).on_hover_text(words);
        }
        Stage::Cancelled => drop(ui.label(RichText::new("cancelled").small().color(theme.dim))),
        _ => {}
    }
}

fn buttons(ui: &mut Ui, run: &Run) -> Option<Wish> {
    let name = |what: &str| format!("{what} {}", run.number);
    if icon_button(ui, ICON_ACCOUNT_TREE, &name("Open the graph of run")).clicked() {
        let (title, workflow, prompt) =
            (run.title.clone(), run.workflow.clone(), run.prompt.clone());
        return Some(Wish::Tell(Event::Open { title, workflow, prompt }));
    }
    let delete = icon_button(ui, ICON_DELETE, &name("Remove from the history: run"));
    delete.clicked().then_some(Wish::Forget(run.number))
}

/// How many pictures there are, in the corner of the first.
fn badge(ui: &Ui, theme: &Theme, rect: egui::Rect, count: usize) {
    if count < 2 {
        return;
    }
    let place = egui::Rect::from_min_size(
        rect.right_bottom() - egui::vec2(26.0, 20.0),
        egui::vec2(22.0, 16.0),
    );
    ui.painter().rect_filled(place, 4.0, theme.panel.gamma_multiply(0.85));
    let font = egui::FontId::proportional(11.0);
    ui.painter().text(place.center(), egui::Align2::CENTER_CENTER, count, font, theme.text);
}

/// Draws one problem; whether its node is to be shown.
fn problem_ui(ui: &mut Ui, theme: &Theme, problem: &Problem) -> bool {
    let (icon, color) =
        if problem.fatal { (ICON_ERROR, theme.error) } else { (ICON_WARNING, theme.warning) };
    card(ui, theme, color, |ui| {
        let mut jump = false;
        let what = |ui: &mut Ui| {
            ui.label(RichText::from(icon).size(18.0).color(color));
            ui.label(strong(theme, &problem.title));
            if let Some(input) = &problem.input {
                ui.label(RichText::new(input).color(theme.dim));
            }
        };
        row(ui, what, |ui| {
            let name = format!("Show {} ({})", problem.title, problem.node);
            jump = !problem.node.is_empty() && icon_button(ui, ICON_MY_LOCATION, &name).clicked();
        });
        ui.add(egui::Label::new(&problem.message).wrap().selectable(true));
        if let Some(advice) = advice(&problem.message) {
            ui.label(RichText::new(advice).small().color(theme.dim));
        }
        jump
    })
}

/// What to do about errors whose own words do not say it.
const ADVICE: &[(&str, &str)] = &[
    ("memory", "Make the picture or the batch smaller, or close what else uses the memory."),
    (
        "device lost",
        "Run again: the device is opened anew. If it comes back, take the CPU in the settings.",
    ),
    ("no space", "Free some space on the disk of the output folder."),
    ("ermission denied", "Choose a folder that you may write to in the settings."),
    (
        "panic",
        "This is a fault of Weft's: the graph and these words help to find it. Other graphs still run.",
    ),
    (
        "Weft itself",
        "This is a fault of Weft's: the graph and these words help to find it. Other graphs still run.",
    ),
    ("is damaged", "Copy or download the file again."),
];

fn advice(message: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(words, _)| message.contains(words)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_failures_have_advice_and_others_speak_for_themselves() {
        assert!(advice("KSampler: out of memory: 3 GB").unwrap().contains("smaller"));
        assert!(advice("width must be at least 16").is_none());
    }
}
