//! Progress: on a terminal two bars, one for the nodes and one for the steps of the node that runs;
//! elsewhere, of long work, a line now and then.

use crate::document::Graph;
use engine::RunEvent;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Where there are no bars, lines come no faster.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

pub struct Progress<'a> {
    graph: &'a Graph,
    all: MultiProgress,
    nodes: ProgressBar,
    steps: Option<ProgressBar>,
    /// Of the node that runs.
    pace: Arc<Mutex<Pace>>,
    /// When the last line was written.
    line: Instant,
}

impl<'a> Progress<'a> {
    /// Bars on standard error; where that is no terminal, lines.
    pub fn new(graph: &'a Graph, total: usize) -> Self {
        let all = MultiProgress::new();
        let nodes = all.add(ProgressBar::new(total as u64));
        nodes.set_style(style(
            "{spinner:.cyan} {bar:24.cyan/dim} {pos}/{len} nodes  {elapsed}  {msg}",
        ));
        nodes.enable_steady_tick(Duration::from_millis(120));
        let (pace, line) = (Arc::new(Mutex::new(Pace::new(Instant::now()))), Instant::now());
        Self { graph, all, nodes, steps: None, pace, line }
    }

    pub fn on(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Cached { ids } => self.nodes.inc(ids.len() as u64),
            RunEvent::Started { id, .. } => {
                self.nodes.set_message(self.graph.label(id));
                *lock(&self.pace) = Pace::new(Instant::now());
            }
            RunEvent::Step { id, done, total } => self.step(id, *done, *total),
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

    fn step(&mut self, id: &str, done: usize, total: usize) {
        let now = Instant::now();
        lock(&self.pace).step(done, total, now);
        if self.all.is_hidden() {
            if done < total && now - self.line >= BETWEEN_LINES {
                self.line = now;
                let pace = lock(&self.pace).told(now);
                eprintln!("{} ({id}): {done} of {total} steps{pace}", self.graph.label(id));
            }
            return;
        }
        let bar = self.steps.get_or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total as u64));
            let style = style("  {bar:24.green/dim} {pos}/{len} steps{pace}");
            let pace = self.pace.clone();
            bar.set_style(style.with_key("pace", move |_: &ProgressState, out: &mut dyn Write| {
                let _ = out.write_str(&lock(&pace).told(Instant::now()));
            }));
            bar.enable_steady_tick(Duration::from_millis(500));
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

fn lock(pace: &Mutex<Pace>) -> std::sync::MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How fast a node's steps go by, and how long the rest will take.
struct Pace {
    /// When the node began.
    begun: Instant,
    /// The first and the last step that was told of: how many were done, and when.
    steps: Option<[(usize, Instant); 2]>,
    total: usize,
}

impl Pace {
    fn new(begun: Instant) -> Self {
        Self { begun, steps: None, total: 0 }
    }

    fn step(&mut self, done: usize, total: usize, now: Instant) {
        let first = self.steps.map_or((done, now), |[first, _]| first);
        // A second round of steps, as of another tile, begins anew.
        let first = if done < first.0 { (done, now) } else { first };
        (self.steps, self.total) = (Some([first, (done, now)]), total);
    }

    /// Seconds of a step. Those after the first one count, once there are any: the first also makes the
    /// network ready.
    fn seconds(&self) -> Option<f64> {
        let [(first, first_at), (last, last_at)] = self.steps?;
        let (steps, time) = match last - first {
            0 => (last, last_at - self.begun),
            steps => (steps, last_at - first_at),
        };
        (steps > 0).then(|| time.as_secs_f64() / steps as f64)
    }

    /// `, 3.7 s/step, 56 s left`; nothing before the first step is done.
    fn told(&self, now: Instant) -> String {
        let (Some(seconds), Some([_, (done, at)])) = (self.seconds(), self.steps) else {
            return String::new();
        };
        let rate = match seconds {
            0.1.. => format!("{seconds:.1} s/step"),
            _ => format!("{:.0} steps/s", 1.0 / seconds.max(1e-9)),
        };
        let left = (self.total - done.min(self.total)) as f64 * seconds;
        let left = (left - (now - at).as_secs_f64()).max(0.0).ceil() as u64;
        format!(", {rate}, {} left", clock(left))
    }
}

/// `56 s`, `3:07`, `1:02:03`
fn clock(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes}:{rest:02}"),
        _ => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_steps_after_the_first_and_the_time_left_runs_down() {
        let begun = Instant::now();
        let at = |seconds: f64| begun + Duration::from_secs_f64(seconds);
        let mut pace = Pace::new(begun);
        assert_eq!(pace.told(at(1.0)), "");
        pace.step(1, 20, at(10.0));
        assert_eq!(pace.told(at(10.0)), ", 10.0 s/step, 3:10 left");
        pace.step(2, 20, at(13.0));
        pace.step(3, 20, at(16.0));
        assert_eq!(pace.told(at(16.0)), ", 3.0 s/step, 51 s left");
        assert_eq!(pace.told(at(17.5)), ", 3.0 s/step, 50 s left");
        pace.step(20, 20, at(17.0));
        assert_eq!(pace.told(at(30.0)), ", 0.4 s/step, 0 s left");
        let mut fast = Pace::new(begun);
        fast.step(1, 9000, at(0.02));
        fast.step(2, 9000, at(0.03));
        assert_eq!(fast.told(at(0.03)), ", 100 steps/s, 1:30 left");
        assert_eq!(clock(3723), "1:02:03");
    }
}
