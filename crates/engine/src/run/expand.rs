//! Nodes that have others run in their place.

use super::{Agenda, End, Run, RunEvent};
use crate::{Plan, Step, Targets, wiring::link};
use anyhow::{Result, bail, ensure};
use graph::{Expansion, Interrupted, Json, Value};
use serde_json::Map;
use std::collections::{HashMap, HashSet};

/// Deeper than any graph has nodes in nodes: one that comes here would go on for ever.
const DEEPEST: usize = 100;

impl Run<'_, '_, '_> {
    /// Runs the nodes that `step` has run in its place in its `call`-th call; gives the values of its
    /// outputs. What they show is shown by the step.
    pub(super) fn expand(
        &mut self,
        step: &Step,
        call: usize,
        expansion: &Expansion,
        ui: &mut Map<String, Json>,
    ) -> Result<Vec<Vec<Value>>> {
        ensure!(self.depth < DEEPEST, "has nodes run that have nodes run, over {DEEPEST} deep");
        let (prompt, outputs) =
            placed(&format!("{}.{call}", step.id), expansion, self.options.prompt);
        let ids: HashSet<&str> = outputs.iter().map(|(id, _)| id.as_str()).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let plan = self.engine.plan(&prompt, Targets::Only(&ids))?;
        let own = plan.steps.iter().any(|inner| inner.id == step.id);
        ensure!(!own, "the nodes that it has run in its place need its own result");

        let agenda = Agenda::new(&plan, &self.engine.cache);
        self.engine.pin(&plan, &agenda.due);
        plan.targets.iter().for_each(|target| self.engine.cache.pin(plan.steps[*target].key));
        let mut events = |event| (self.events)(event);
        let mut forward = |event| within(&step.id, event).into_iter().for_each(&mut events);
        let mut inner = Run {
            engine: &mut *self.engine,
            plan: &plan,
            options: self.options,
            events: &mut forward,
            index: 0,
            agenda,
            depth: self.depth + 1,
        };
        let mut reports = HashMap::new();
        match inner.steps(&mut reports) {
            End::Completed => {}
            End::Failed(failure) => bail!(failure),
            End::Interrupted(_) => bail!(Interrupted),
        }
        reports.into_values().for_each(|report| show(ui, report.ui));
        let values = outputs.iter().map(|(id, slot)| self.output(&plan, id, *slot)).collect();
        plan.targets.iter().for_each(|target| self.engine.cache.unpin(plan.steps[*target].key));
        values
    }

    fn output(&self, plan: &Plan, id: &str, slot: usize) -> Result<Vec<Value>> {
        let step = plan.steps.iter().find(|step| step.id == id);
        let cached = step.and_then(|step| self.engine.cache.get(step.key));
        let values = cached.and_then(|cached| cached.values.get(slot)).cloned();
        values.ok_or_else(|| anyhow::anyhow!("node {id} left no output {slot}"))
    }
}

/// The expansion among the nodes around it, its ids begun with `prefix`, and where its outputs are.
fn placed(prefix: &str, expansion: &Expansion, around: &Json) -> (Json, Vec<(String, usize)>) {
    let placed = |id: &str| {
        let own = expansion.graph.contains_key(id);
        if own { format!("{prefix}.{id}") } else { id.to_owned() }
    };
    let mut prompt = around.as_object().cloned().unwrap_or_default();
    for (id, node) in &expansion.graph {
        let mut node = node.clone();
        let inputs = node.get_mut("inputs").and_then(Json::as_object_mut);
        for input in inputs.into_iter().flat_map(Map::values_mut) {
            if let Some((from, slot)) = link(input) {
                *input = Json::from(vec![Json::from(placed(from)), slot.into()]);
            }
        }
        prompt.insert(placed(id), node);
    }
    let outputs = expansion.outputs.iter().map(|(id, slot)| (placed(id), *slot)).collect();
    (prompt.into(), outputs)
}

/// What happens in a node that runs in the place of `id`, as that one's.
fn within(id: &str, event: RunEvent) -> Option<RunEvent> {
    let id = id.to_owned();
    Some(match event {
        RunEvent::Step { done, total, .. } => RunEvent::Step { id, done, total },
        RunEvent::Preview { width, height, rgb, .. } => {
            RunEvent::Preview { id, width, height, rgb }
        }
        RunEvent::Note { text, .. } => RunEvent::Note { id, text },
        RunEvent::Took { what, seconds, .. } => RunEvent::Took { id, what, seconds },
        _ => return None,
    })
}

/// Adds the lists that a node shows to those of another.
fn show(ui: &mut Map<String, Json>, more: Map<String, Json>) {
    for (key, items) in more {
        match (ui.get_mut(&key), items) {
            (Some(Json::Array(list)), Json::Array(items)) => list.extend(items),
            (_, items) => drop(ui.insert(key, items)),
        }
    }
}
