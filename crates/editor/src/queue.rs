//! The queue: what runs, what waits, and what the last run did to each node.

use crate::{
    panels::{
        bar, card, heading, icon_button, icon_button_in, line, nothing, row, seconds, strong,
    },
    runs::{NodeState, Number, Run, Runs},
    theme::Theme,
};
use egui::{DragValue, Id, RichText, ScrollArea, Ui, WidgetInfo, accesskit::Role};
use egui_material_icons::icons::{
    ICON_CANCEL, ICON_CLOSE, ICON_DELETE_SWEEP, ICON_DRAG_INDICATOR, ICON_KEYBOARD_ARROW_DOWN,
    ICON_KEYBOARD_ARROW_UP, ICON_PAUSE, ICON_PLAYLIST_PLAY,
};

/// What a person does to the queue.
enum Wish {
    Cancel(Number),
    Move(Number, usize),
    Clear,
}

/// Graphs queued by one press of the button.
const BATCH: std::ops::RangeInclusive<usize> = 1..=100;

impl Runs {
    /// Draws the panel.
    pub fn queue_ui(&mut self, ui: &mut Ui, theme: &Theme) {
        let mut wishes = Vec::new();
        let waiting: Vec<Run> = self.waiting().into_iter().cloned().collect();
        heading(ui, theme, "Queue", |ui| {
            ui.add_enabled_ui(!waiting.is_empty(), |ui| {
                if icon_button(ui, ICON_DELETE_SWEEP, "Clear the queue").clicked() {
                    wishes.push(Wish::Clear);
                }
            });
        });
        self.how_to_queue(ui, theme);
        ui.separator();
        ScrollArea::vertical().id_salt("queue").auto_shrink([false, true]).show(ui, |ui| {
            if let Some(run) = self.running() {
                wishes.extend(self.running_ui(ui, theme, run));
            }
            for (place, run) in waiting.iter().enumerate() {
                wishes.extend(waiting_ui(ui, theme, run, place, waiting.len()));
            }
            for run in self.held() {
                wishes.extend(held_ui(ui, theme, run));
            }
            if self.running().is_none() && self.queued().next().is_none() {
                nothing(
                    ui,
                    theme,
                    ICON_PLAYLIST_PLAY,
                    "Nothing waits",
                    "Ctrl+Enter runs the graph",
                );
            }
            self.report_ui(ui, theme);
        });
        for wish in wishes {
            match wish {
                Wish::Cancel(number) => self.cancel(number),
                Wish::Move(number, place) => self.reorder(number, place),
                Wish::Clear => self.clear_queue(),
            }
        }
    }

    /// Batch count, and whether every change runs.
    fn how_to_queue(&mut self, ui: &mut Ui, theme: &Theme) {
        ui.horizontal(|ui| {
            let label = ui.label(RichText::new("Batch").color(theme.dim));
            let count = ui.add(DragValue::new(&mut self.batch).range(BATCH).speed(0.05));
            count
                .labelled_by(label.id)
                .on_hover_text("How often one press of Run queues the graph");
            ui.add_space(8.0);
            let on_change = ui.checkbox(&mut self.on_change, "Run on change");
            on_change.on_hover_text("Runs the graph whenever it has changed");
        });
    }

    fn running_ui(&self, ui: &mut Ui, theme: &Theme, run: &Run) -> Option<Wish> {
        let nodes = self.nodes(run.tab);
        let current = nodes.and_then(|nodes| nodes.current());
        let state = nodes.zip(current).and_then(|(nodes, id)| nodes.get(id));
        card(ui, theme, theme.accent, |ui| {
            let mut wish = None;
            let title = |ui: &mut Ui| drop(ui.label(strong(theme, &run.title)));
            row(ui, title, |ui| {
                let icon = RichText::from(ICON_CANCEL).size(18.0).color(theme.error);
                if icon_button_in(ui, icon, "Stop this run (Ctrl+Alt+Enter)").clicked() {
                    wish = Some(Wish::Cancel(run.number));
                }
                let took = run.elapsed().map(seconds).unwrap_or_default();
                ui.label(RichText::new(took).color(theme.dim));
            });
            bar(ui, theme, self.progress().unwrap_or(0.0), "Progress of the run");
            let name = nodes.zip(current).map(|(nodes, id)| nodes.title(id));
            let name = name.unwrap_or_else(|| "Making ready".into());
            let pace = state.map(pace_words).unwrap_or_default();
            line(ui, RichText::new(name), RichText::new(pace).color(theme.dim));
            wish
        })
    }

    /// What the last run of the graph that is seen did to each node, and why.
    fn report_ui(&self, ui: &mut Ui, theme: &Theme) {
        let Some(run) = self.all().iter().rfind(|run| run.tab == self.shown().0 && run.began())
        else {
            return;
        };
        let Some(nodes) = self.nodes(run.tab) else { return };
        ui.add_space(8.0);
        let title =
            format!("Nodes of the last run ({} of {} reused)", run.cached, run.prompt.len());
        let id = Id::unique("nodes of the last run");
        egui::CollapsingHeader::new(RichText::new(title).color(theme.dim)).id_salt(id).show(
            ui,
            |ui| {
                for id in run.prompt.keys() {
                    if let Some(state) = nodes.get(id) {
                        node_row(ui, theme, &nodes.title(id), state);
                    }
                }
            },
        );
    }
}

fn waiting_ui(ui: &mut Ui, theme: &Theme, run: &Run, place: usize, count: usize) -> Option<Wish> {
    let mut wish = None;
    let grip = |ui: &mut Ui| {
        let grip = ui.dnd_drag_source(Id::unique(("waiting", run.number)), run.number, |ui| {
            ui.label(RichText::from(ICON_DRAG_INDICATOR).color(theme.muted));
            ui.label(RichText::new(format!("{}", place + 1)).color(theme.dim));
        });
        let name = format!("Drag to another place: {} {}", run.title, run.number);
        let info = || WidgetInfo::labeled(Role::Unknown, true, &name);
        grip.response.widget_info(info);
        ui.label(&run.title);
    };
    let buttons = |ui: &mut Ui| {
        let mut button = |icon, what: &str, to: Option<Wish>| {
            let name = format!("{what} {} {}", run.title, run.number);
            ui.add_enabled_ui(to.is_some(), |ui| {
                if icon_button(ui, icon, &name).clicked() {
                    wish = to;
                }
            });
        };
        let moved = |place| Wish::Move(run.number, place);
        button(ICON_CLOSE, "Cancel", Some(Wish::Cancel(run.number)));
        let down = Some(place + 1).filter(|to| *to < count);
        button(ICON_KEYBOARD_ARROW_DOWN, "Later:", down.map(moved));
        button(ICON_KEYBOARD_ARROW_UP, "Earlier:", place.checked_sub(1).map(moved));
    };
    let shown = ui.scope(|ui| card(ui, theme, theme.outline, |ui| row(ui, grip, buttons)));
    if let Some(dragged) = shown.response.dnd_release_payload::<Number>() {
        wish = Some(Wish::Move(*dragged, place));
    }
    wish
}

/// One that an earlier window left.
fn held_ui(ui: &mut Ui, theme: &Theme, run: &Run) -> Option<Wish> {
    let mut wish = None;
    let title = |ui: &mut Ui| {
        ui.label(RichText::from(ICON_PAUSE).color(theme.muted));
        ui.label(RichText::new(&run.title).color(theme.dim));
    };
    card(ui, theme, theme.warning, |ui| {
        row(ui, title, |ui| {
            let name = format!("Cancel {} {}", run.title, run.number);
            if icon_button(ui, ICON_CLOSE, &name).clicked() {
                wish = Some(Wish::Cancel(run.number));
            }
        });
    });
    wish
}

/// A node, how long it took, and why it ran.
fn node_row(ui: &mut Ui, theme: &Theme, title: &str, state: &NodeState) {
    let (words, color) = match (state.cached, state.seconds) {
        (true, _) => ("reused".into(), theme.good),
        (false, Some(took)) => (seconds(took), theme.dim),
        (false, None) if state.error.is_some() => ("failed".into(), theme.error),
        (false, None) => (String::new(), theme.dim),
    };
    line(ui, RichText::new(title), RichText::new(words).color(color));
    if let Some(why) = &state.why {
        ui.label(RichText::new(format!("ran because {why}")).small().color(theme.dim));
    }
}

/// `12 of 20, 2.3 steps/s, 3.5 s left`.
pub fn pace_words(state: &NodeState) -> String {
    let steps = state.progress.map(|(done, total)| format!("{done} of {total}"));
    let rate = state.rate.map(|rate| match rate {
        rate if rate < 1.0 => format!("{:.1} s/step", 1.0 / rate),
        rate => format!("{rate:.1} steps/s"),
    });
    let left = state.left.map(|left| format!("{} left", seconds(left.into())));
    [steps, rate, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_told_as_far_as_it_is_known() {
        let mut state = NodeState { progress: Some((3, 20)), ..NodeState::default() };
        assert_eq!(pace_words(&state), "3 of 20");
        (state.rate, state.left) = (Some(0.5), Some(34.0));
        assert_eq!(pace_words(&state), "3 of 20, 2.0 s/step, 34.0 s left");
    }
}
