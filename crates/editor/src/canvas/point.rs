//! Points at a node, or at one of its inputs: brings it into view and draws a frame around it that fades.

use super::{Canvas, CanvasContext, brush::Brush};
use crate::doc::{File, Id, Part};
use egui::{Rect, Stroke, StrokeKind, Ui, Vec2};
use std::collections::BTreeSet;

/// What is pointed at.
#[derive(Clone, Debug, PartialEq)]
pub struct Pointed {
    pub node: Id,
    pub input: Option<String>,
    /// In egui's time; not known before it is drawn.
    since: Option<f64>,
}

/// How long the frame is seen, in seconds.
const STAY: f64 = 3.0;

impl Canvas {
    /// Brings a node into the middle of the screen, selects it, and points at it or at one of its inputs, as
    /// soon as its level is seen.
    pub fn point_at(&mut self, node: Id, input: Option<String>) {
        self.pointed = Some(Pointed { node, input, since: None });
    }

    /// What is pointed at now.
    pub fn pointed(&self) -> Option<&Pointed> {
        self.pointed.as_ref()
    }

    /// Looks at what is to be pointed at, now that it is known where it is; forgets it after a while.
    pub(super) fn seek(&mut self, ui: &Ui, file: &File, cx: &CanvasContext) {
        let now = ui.input(|i| i.time);
        let Some(pointed) = self.pointed.clone() else { return };
        match pointed.since {
            Some(since) if now - since > STAY => self.pointed = None,
            Some(_) => ui.ctx().request_repaint(),
            None => {
                let Some(place) = self.place_of(&pointed, file, cx) else {
                    self.pointed = None;
                    return;
                };
                self.select(Part { nodes: BTreeSet::from([pointed.node]), ..Part::default() });
                // Widgets are only drawn where they can be read.
                self.view.readable();
                self.view.center(place.center());
                self.pointed = Some(Pointed { since: Some(now), ..pointed });
                ui.ctx().request_repaint();
            }
        }
    }

    /// The widget, else the socket, else the node.
    fn place_of(&self, pointed: &Pointed, file: &File, cx: &CanvasContext) -> Option<Rect> {
        let placed = self.scene.get(pointed.node)?;
        let input = pointed.input.as_deref().filter(|_| placed.layout.body.y > 0.0);
        let Some(input) = input else { return Some(placed.rect()) };
        let all = file.widgets(pointed.node, &cx.catalog.contract);
        let is_it = |widget: usize| all.get(widget).is_some_and(|widget| widget.name == input);
        let row = placed.layout.widgets.iter().find(|row| is_it(row.widget));
        let row = row.map(|row| row.rect.translate(placed.pos.to_vec2()));
        let socket = || {
            let slot = file.doc().node(pointed.node)?.input(input)?;
            Some(Rect::from_center_size(placed.socket(slot, false)?, Vec2::splat(18.0)))
        };
        Some(row.or_else(socket).unwrap_or_else(|| placed.rect()))
    }

    pub(super) fn paint_pointed(&self, brush: &Brush, file: &File, cx: &CanvasContext) {
        let Some(pointed) = &self.pointed else { return };
        let (Some(since), Some(place)) = (pointed.since, self.place_of(pointed, file, cx)) else {
            return;
        };
        let age = brush.painter.ctx().input(|i| i.time) - since;
        // It beats twice a second and is gone softly.
        let beat = 0.65 + 0.35 * (age * 4.0 * std::f64::consts::PI).cos();
        let left = ((STAY - age) / 0.5).clamp(0.0, 1.0);
        let color = brush.theme.warning.gamma_multiply((beat * left) as f32);
        let frame = brush.view.rect_to_screen(place).expand(3.0);
        let stroke = Stroke::new(2.5, color);
        brush.painter.rect_stroke(frame, 5.0, stroke, StrokeKind::Outside);
    }
}

#[cfg(test)]
mod tests {
    use crate::{app::tests::window, history_panel::Event, missing::tests::graph};
    use egui_kittest::kittest::Queryable as _;

    #[test]
    fn a_problem_leads_into_its_subgraph_and_to_the_input_at_fault() {
        let (mut harness, _state) = window(&graph());
        let tab = harness.state().tab().number;
        let jump = |node: &str, input: Option<&str>| Event::Jump {
            tab,
            node: node.into(),
            input: input.map(Into::into),
        };
        harness.state_mut().new_tab();
        harness.state_mut().take_panel(vec![jump("2:5", Some("seed"))]);
        harness.run_steps(2);
        let app = harness.state();
        assert_eq!(app.tab().history.file().path().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
        let pointed = app.tab().canvas.pointed().unwrap();
        assert_eq!((pointed.node, pointed.input.as_deref()), (5, Some("seed")));
        let (seen, widget) =
            (app.tab().canvas.view.screen, harness.get_by_label("Load Image: seed").rect());
        assert!(seen.contains_rect(widget));
        assert!((seen.center().y - widget.center().y).abs() < 20.0, "{seen:?} {widget:?}");
        harness.run_steps(60 * 4);
        assert!(harness.state().tab().canvas.pointed().is_none(), "it is gone after a while");
        harness.state_mut().take_panel(vec![jump("1", None)]);
        harness.run_steps(2);
        let tab = harness.state().tab();
        assert_eq!(tab.history.file().path().count(), 0, "and out of the subgraph again");
        assert!(tab.canvas.selection.contains(&1));
    }
}
