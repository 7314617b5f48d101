//! The panel at the right: queue and history, errors, help.

use crate::{
    app::{App, MARGIN},
    help,
    theme::GAP,
};
use egui::{Frame, Panel as Bar, ScrollArea, Ui};
use serde::{Deserialize, Serialize};

/// What the side panel shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Panel {
    #[default]
    Queue,
    Errors,
    Help,
}

impl Panel {
    const ALL: [(Self, &str); 3] =
        [(Self::Queue, "Queue"), (Self::Errors, "Errors"), (Self::Help, "Help")];
}

pub fn ui(app: &mut App, ui: &mut Ui) {
    if !app.settings.side {
        return;
    }
    let frame = Frame::NONE.fill(app.theme.panel).inner_margin(MARGIN);
    let bar = Bar::right("side").default_size(app.settings.side_width).min_size(220.0).frame(frame);
    let shown = bar.show(ui, |ui| {
        let before = app.settings.panel;
        ui.horizontal(|ui| {
            for (panel, title) in Panel::ALL {
                ui.selectable_value(&mut app.settings.panel, panel, title);
            }
        });
        if app.settings.panel != before {
            app.take_settings();
        }
        ui.add_space(GAP);
        ScrollArea::vertical().id_salt("side").auto_shrink(false).show(ui, |ui| {
            match app.settings.panel {
                Panel::Queue => queue(app, ui),
                Panel::Errors => errors(app, ui),
                Panel::Help => help::ui(app, ui),
            }
        });
    });
    let width = shown.response.rect.width();
    let dragged = ui.input(|i| i.pointer.any_down());
    if !dragged && (width - app.settings.side_width).abs() > 1.0 {
        app.settings.side_width = width;
        app.take_settings();
    }
}

fn queue(app: &mut App, ui: &mut Ui) {
    app.runs.queue_ui(ui, &app.theme);
    ui.separator();
    let events = app.runs.history_ui(ui, &app.theme);
    app.take_panel(events);
}

fn errors(app: &mut App, ui: &mut Ui) {
    let events = app.runs.errors_ui(ui, &app.theme);
    app.take_panel(events);
}
