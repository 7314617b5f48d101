//! Progress bars: one for the nodes, one for the steps of the node that runs.

use crate::document::Graph;
use engine::RunEvent;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::{fmt::Write, time::Duration};

pub struct Progress<'a> {
    graph: &'a Graph,
    all: MultiProgress,
    nodes: ProgressBar,
    steps: Option<ProgressBar>,
}

impl<'a> Progress<'a> {
    /// Bars on standard error; nothing is drawn where that is no terminal.
    pub fn new(graph: &'a Graph, total: usize) -> Self {
        let all = MultiProgress::new();
        let nodes = all.add(ProgressBar::new(total as u64));
        nodes.set_style(style("{spinner:.cyan} {bar:24.cyan/dim} {pos}/{len} nodes  {msg}"));
        nodes.enable_steady_tick(Duration::from_millis(120));
        Self { graph, all, nodes, steps: None }
    }

    pub fn on(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Cached { ids } => self.nodes.inc(ids.len() as u64),
            RunEvent::Started { id, .. } => self.nodes.set_message(self.graph.label(id)),
            RunEvent::Step { done, total, .. } => self.step(*done, *total),
            RunEvent::Note { id, text } => self.note(id, text),
            RunEvent::Executed { id, ui, .. } => {
                for text in ui.get("text").and_then(|t| t.as_array()).into_iter().flatten() {
                    self.say(&format!(
                        "{} ({id}): {}",
                        self.graph.label(id),
                        text.as_str().unwrap_or_default()
                    ));
                }
                self.executed();
            }
            _ => {}
        }
    }

    fn step(&mut self, done: usize, total: usize) {
        let bar = self.steps.get_or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total as u64));
            let style = style("  {bar:24.green/dim} {pos}/{len} steps  {rate}  {eta} left");
            bar.set_style(style.with_key("rate", rate));
            bar
        });
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }

    fn note(&self, id: &str, text: &str) {
        self.say(&format!("note: {} ({id}): {text}", self.graph.label(id)));
    }

    /// A line above the bars.
    pub fn say(&self, line: &str) {
        if self.all.is_hidden() { eprintln!("{line}") } else { drop(self.all.println(line)) }
    }

    fn executed(&mut self) {
        self.nodes.inc(1);
        if let Some(bar) = self.steps.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        drop(self.all.clear());
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is ours");
    style.progress_chars("━╸─")
}

/// Whichever of steps a second and seconds a step is the larger number.
fn rate(state: &ProgressState, out: &mut dyn Write) {
    let rate = state.per_sec();
    let text =
        if rate < 1.0 { format!("{:.1} s/step", 1.0 / rate) } else { format!("{rate:.1} steps/s") };
    let _ = out.write_str(if rate > 0.0 { &text } else { "" });
}
