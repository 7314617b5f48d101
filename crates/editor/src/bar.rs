//! The bars: menus, tabs and the run button above, the state of things below.

use crate::{
    actions::{Action, Menu, action},
    app::{App, MARGIN},
    theme::RADIUS,
};
use egui::{
    Align, Button, DragValue, Frame, Layout, Panel, ProgressBar, RichText, Role, Ui, WidgetInfo,
    vec2,
};
use egui_material_icons::icons::{ICON_CLOSE, ICON_HISTORY, ICON_MENU};

/// Says that runs were left by an earlier window, and asks what shall become of them.
pub fn held(app: &mut App, ui: &mut Ui) {
    let count = app.runs.held().count();
    if count == 0 {
        return;
    }
    let frame = Frame::NONE.fill(app.theme.field).inner_margin(MARGIN);
    Panel::top("held").frame(frame).show(ui, |ui| {
        ui.horizontal(|ui| {
            let icon = RichText::new(ICON_HISTORY.codepoint).size(18.0).color(app.theme.warning);
            ui.label(icon);
            let runs = if count == 1 { "1 run is" } else { &*format!("{count} runs are") };
            ui.label(format!("{runs} waiting from last time"));
            if ui.button("Run them").clicked() {
                app.runs.release();
            }
            if ui.button("Discard them").clicked() {
                app.runs.discard_held();
            }
        });
    });
}

/// Height of what stands in the top bar.
const HEIGHT: f32 = 30.0;

pub fn top(app: &mut App, ui: &mut Ui) {
    let frame = Frame::NONE.fill(app.theme.panel).inner_margin(MARGIN);
    Panel::top("top").frame(frame).show(ui, |ui| {
        // All that stands in the row is centred on one line.
        ui.spacing_mut().interact_size.y = HEIGHT;
        ui.horizontal(|ui| {
            menu(app, ui);
            ui.separator();
            // The right side first: tabs take what is left.
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                run(app, ui);
                ui.separator();
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| tabs(app, ui));
            });
        });
    });
}

fn menu(app: &mut App, ui: &mut Ui) {
    let button = ui.menu_button(RichText::new(ICON_MENU.codepoint).size(20.0), |ui| {
        for menu in Menu::ALL {
            ui.menu_button(menu.title(), |ui| entries(app, ui, menu));
        }
    });
    name(&button.response.on_hover_text("Menu"), "Menu");
    ui.label(RichText::new("Weft").strong().size(16.0));
}

fn entries(app: &mut App, ui: &mut Ui, menu: Menu) {
    ui.set_min_width(220.0);
    let mut part = None;
    for action in menu.actions() {
        if part.is_some_and(|part| part != action.part) {
            ui.separator();
        }
        part = Some(action.part);
        entry(app, ui, action);
        if action.id == "open-path" {
            app.recent_ui(ui);
        }
    }
}

/// One line of a menu.
pub fn entry(app: &mut App, ui: &mut Ui, action: &Action) {
    let text = format!("{}  {}", action.icon.codepoint, action.title);
    let button = Button::new(text).shortcut_text(action.key(ui.ctx()));
    let response = ui.add_enabled((action.enabled)(app), button);
    name(&response, action.title);
    if response.clicked() {
        action.fire(app);
        ui.close();
    }
}

/// Gives what has only an icon, or an icon beside it, its name.
pub fn name(response: &egui::Response, name: &str) {
    let enabled = response.enabled();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, name));
}

fn tabs(app: &mut App, ui: &mut Ui) {
    let (mut show, mut close) = (None, None);
    egui::ScrollArea::horizontal().id_salt("tabs").show(ui, |ui| {
        ui.horizontal(|ui| {
            for (i, tab) in app.tabs.iter().enumerate() {
                let mark = if tab.modified() { " •" } else { "" };
                let text = RichText::new(format!("{}{mark}", tab.title));
                let chosen = i == app.active;
                let text = if chosen { text.strong() } else { text.color(app.theme.dim) };
                let fill = if chosen { app.theme.title } else { app.theme.panel };
                let frame =
                    Frame::NONE.fill(fill).corner_radius(RADIUS).inner_margin(vec2(8.0, 0.0));
                frame.show(ui, |ui| {
                    let path = tab
                        .path
                        .as_ref()
                        .map_or("not saved yet".into(), |p| p.display().to_string());
                    let button = Button::new(text).frame(false).min_size(vec2(0.0, HEIGHT));
                    let response = ui.add(button).on_hover_text(path);
                    name(&response, &format!("Tab {}", tab.title));
                    if response.clicked() {
                        show = Some(i);
                    }
                    let small = RichText::new(ICON_CLOSE.codepoint).color(app.theme.dim);
                    let small = Button::new(small).frame(false).min_size(vec2(20.0, HEIGHT));
                    let closer = ui.add(small).on_hover_text("Close tab");
                    name(&closer, &format!("Close {}", tab.title));
                    if closer.clicked() || response.middle_clicked() {
                        close = Some(tab.number);
                    }
                });
            }
            icon(app, ui, action("new"));
        });
    });
    app.active = show.unwrap_or(app.active);
    if let Some(number) = close {
        app.close(number);
    }
}

/// A button that is only an icon.
fn icon(app: &mut App, ui: &mut Ui, action: &Action) {
    let text = RichText::new(action.icon.codepoint).size(18.0);
    let response = ui.add_enabled((action.enabled)(app), Button::new(text).frame(false));
    name(&response, action.title);
    if response.on_hover_text(action.tooltip(ui.ctx())).clicked() {
        action.fire(app);
    }
}

/// From right to left: stop, progress, batch, run.
fn run(app: &mut App, ui: &mut Ui) {
    let go = action("run");
    let text = format!("{}  Run", go.icon.codepoint);
    let ink = if app.theme.dark { app.theme.canvas } else { app.theme.node };
    let button = Button::new(RichText::new(text).strong().color(ink))
        .fill(app.theme.accent)
        .corner_radius(RADIUS)
        .min_size(vec2(88.0, HEIGHT));
    let response = ui.add_enabled((go.enabled)(app), button);
    name(&response, "Run");
    if response.on_hover_text(go.tooltip(ui.ctx())).clicked() {
        go.fire(app);
    }
    let batch = DragValue::new(&mut app.runs.batch).range(1..=100).prefix("× ");
    let batch = ui.add(batch).on_hover_text("How often one press runs the graph");
    batch.widget_info(|| WidgetInfo::labeled(Role::SpinButton, true, "Batch count"));
    icon(app, ui, action("on-change"));
    icon(app, ui, action("interrupt"));
    if let Some(done) = app.runs.progress() {
        let left = app.runs.waiting().len();
        let text = if left > 0 {
            format!("{:.0} %, {left} wait", done * 100.0)
        } else {
            format!("{:.0} %", done * 100.0)
        };
        ui.add(ProgressBar::new(done).desired_width(140.0).text(text));
    }
}

/// Device, queue, what is open and how large it is seen.
pub fn status(app: &mut App, ui: &mut Ui) {
    let frame = Frame::NONE.fill(app.theme.panel).inner_margin(vec2(MARGIN.x, 3.0));
    Panel::bottom("status").frame(frame).show(ui, |ui| {
        ui.horizontal(|ui| {
            let dim = app.theme.dim;
            let line = |ui: &mut Ui, text: String| ui.label(RichText::new(text).small().color(dim));
            line(ui, app.setup.device.clone());
            ui.separator();
            let queue = match (app.runs.running(), app.runs.waiting().len()) {
                (None, 0) => "idle".to_owned(),
                (None, n) => format!("{n} wait"),
                (Some(run), n) => format!("runs {}, {n} wait", run.title),
            };
            line(ui, queue);
            app.transfers.ui(ui, &app.theme);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let doc = app.tab().history.doc();
                line(ui, format!("{} nodes, {} links", doc.nodes().len(), doc.links.len()));
            });
        });
    });
}
