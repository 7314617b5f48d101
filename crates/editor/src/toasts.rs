//! Short messages in a corner, gone after a while.

use crate::theme::{GAP, RADIUS, Theme};
use egui::{Align2, Area, Context, Frame, Id, Order, Stroke, vec2};

/// How long a message stays, in seconds: errors and reminders longer.
const STAY: f64 = 4.0;
const STAY_LONG: f64 = 12.0;

/// What there is to tell.
#[derive(Default)]
pub struct Toasts(Vec<Toast>);

struct Toast {
    text: String,
    error: bool,
    /// How long it stays, in seconds.
    stay: f64,
    /// In egui's time; set when it is first drawn.
    until: Option<f64>,
}

impl Toasts {
    pub fn tell(&mut self, text: impl Into<String>) {
        self.0.push(Toast { text: text.into(), error: false, stay: STAY, until: None });
    }

    /// As [`Toasts::tell`], for what nobody may miss.
    pub fn remind(&mut self, text: impl Into<String>) {
        self.0.push(Toast { text: text.into(), error: false, stay: STAY_LONG, until: None });
    }

    pub fn error(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        self.0.push(Toast { text, error: true, stay: STAY_LONG, until: None });
    }

    pub fn ui(&mut self, ctx: &Context, theme: &Theme) {
        let now = ctx.input(|i| i.time);
        self.0.retain(|toast| toast.until.is_none_or(|until| now < until));
        if self.0.is_empty() {
            return;
        }
        let mut gone = None;
        Area::new(Id::unique("toasts"))
            .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -40.0))
            .order(Order::Foreground)
            .show(ctx, |ui| {
                for (i, toast) in self.0.iter_mut().enumerate() {
                    let until = *toast.until.get_or_insert(now + toast.stay);
                    ui.ctx().request_repaint_after_secs((until - now) as f32);
                    let edge = if toast.error { theme.error } else { theme.outline };
                    let frame = Frame::popup(ui.style())
                        .fill(theme.panel)
                        .stroke(Stroke::new(1.0, edge))
                        .corner_radius(RADIUS)
                        .inner_margin(GAP * 2.0);
                    let shown = frame.show(ui, |ui| {
                        ui.set_max_width(560.0);
                        ui.add(egui::Label::new(&toast.text).wrap().sense(egui::Sense::click()))
                    });
                    if shown.inner.on_hover_text("Click to close").clicked() {
                        gone = Some(i);
                    }
                }
            });
        if let Some(gone) = gone {
            self.0.remove(gone);
        }
    }
}
