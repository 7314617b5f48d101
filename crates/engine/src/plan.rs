//! From a graph in API form to steps in order, every input checked and every link resolved.

use crate::{
    Key, NodeErrors, NodeProblems, Problem, Rejection,
    check::{Checker, Given, no_inputs},
    files::Files,
    key::KeyHasher,
    nearest::nearest,
    wiring::{Wiring, link},
};
use graph::{Host, Json, NodeType, Value};
use serde_json::Map;
use std::collections::{HashMap, HashSet};

/// The node types of a program, by name.
pub struct Types<'a>(HashMap<&'static str, &'a NodeType>);

impl<'a> Types<'a> {
    #[must_use]
    pub fn new(types: &'a [NodeType]) -> Self {
        Self(types.iter().map(|ty| (ty.name, ty)).collect())
    }

    #[must_use]
    pub fn get(&self, class: &str) -> Option<&'a NodeType> {
        self.0.get(class).copied()
    }

    /// The class names most like one that does not exist.
    fn near(&self, class: &str) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.0.keys().copied().collect();
        names.sort_unstable();
        nearest(class, names)
    }
}

/// What a plan is for.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'t> {
    /// Every output node.
    Outputs,
    /// These nodes, of any class, and nothing else.
    Only(&'t [&'t str]),
    /// Every output node, and these.
    OutputsAnd(&'t [&'t str]),
}

/// What to run, in order: what the targets need and nothing else.
pub struct Plan<'a> {
    /// Each after those it reads.
    pub steps: Vec<Step<'a>>,
    /// The steps asked for, by their place in `steps`.
    pub targets: Vec<usize>,
    /// What is wrong with the targets that had to be left out. ComfyUI runs the others.
    pub warnings: NodeErrors,
}

/// One node of a plan.
pub struct Step<'a> {
    pub id: String,
    /// What the user called the node, or the class's title.
    pub title: String,
    pub node: &'a NodeType,
    pub key: Key,
    /// What feeds the inputs that are fed, in the order of the class.
    pub inputs: Vec<(&'static str, Source)>,
}

/// What feeds an input.
pub enum Source {
    Literal {
        /// After conversion to the input's type.
        json: Json,
        value: Value,
    },
    Link {
        /// The place of the step read, in the plan's `steps`.
        step: usize,
        output: usize,
    },
}

impl<'a> Plan<'a> {
    /// Checks what the targets need and puts it in order; otherwise says everything that is wrong.
    /// If some targets are right and others not, the plan has the right ones and warnings.
    pub fn new(
        prompt: &Json,
        types: &Types<'a>,
        host: &dyn Host,
        targets: Targets,
    ) -> Result<Self, Rejection> {
        let wiring = Wiring::new(nodes_of(prompt)?, types);
        known_classes(&wiring, types, targets)
            .map_err(|rejection| and_the_rest(rejection, &wiring, host))?;
        let targets = find_targets(&wiring, targets)?;
        let (checked, problems) = check(&wiring, &Files::new(host), &targets);
        let (right, wrong): (Vec<usize>, Vec<usize>) =
            targets.iter().partition(|target| checked[**target].is_some());
        let warnings = node_errors(&wiring, problems, &wrong);
        if right.is_empty() {
            return Err(failed_validation(warnings, &wiring, &wrong));
        }
        Ok(assemble(&wiring, checked, &right, warnings))
    }
}

/// A node whose inputs are right, and whose upstream is.
struct Checked {
    key: Key,
    inputs: Vec<(&'static str, Given)>,
}

fn nodes_of(prompt: &Json) -> Result<&Map<String, Json>, Rejection> {
    match prompt {
        Json::Object(nodes) => Ok(nodes),
        Json::Null => {
            let text = "No prompt provided";
            Err(rejected("no_prompt", text, text, "there is no graph".into()))
        }
        _ => {
            let text = "Cannot execute because the prompt is not an object of nodes.";
            let help = "a graph in API form is an object: {\"id\": {\"class_type\", \"inputs\"}}";
            Err(rejected("invalid_prompt", text, "", help.into()))
        }
    }
}

/// Every node has a class that exists. With chosen targets only what they need must.
fn known_classes(wiring: &Wiring, types: &Types, targets: Targets) -> Result<(), Rejection> {
    let suspects = match targets {
        Targets::Only(_) => wiring.order(&find_targets(wiring, targets)?),
        _ => (0..wiring.nodes.len()).collect(),
    };
    let mut errors = Vec::new();
    for node in suspects.into_iter().map(|i| &wiring.nodes[i]).filter(|node| node.ty.is_none()) {
        let (message, help) = match node.class {
            None => (
                "Cannot execute because a node is missing the class_type property.".to_owned(),
                format!("node {} has no `class_type`", node.id),
            ),
            Some(class) => {
                // Likeness is only worth its time where a person reads it.
                let near = if errors.len() < 100 { types.near(class) } else { Vec::new() };
                let near = near.iter().map(|n| format!("; did you mean {n}?")).next();
                (
                    format!("Cannot execute because node {class} does not exist."),
                    format!(
                        "node {}: there is no node class {class:?}{}",
                        node.id,
                        near.unwrap_or_default()
                    ),
                )
            }
        };
        errors.push(problem("invalid_prompt", message, format!("Node ID '#{}'", node.id), help));
    }
    if errors.is_empty() { Ok(()) } else { Err(Rejection::new(errors)) }
}

/// For classes that do not exist a graph is refused at once, as by ComfyUI; a person is told what
/// else is wrong with it, in any node: what an unknown class would need is not known.
fn and_the_rest(rejection: Rejection, wiring: &Wiring, host: &dyn Host) -> Rejection {
    let all: Vec<usize> = (0..wiring.nodes.len()).collect();
    let (_, mut problems) = check(wiring, &Files::new(host), &all);
    problems.retain(|node, _| wiring.nodes[*node].ty.is_some());
    Rejection { also: node_errors(wiring, problems, &[]), ..rejection }
}

fn find_targets(wiring: &Wiring, targets: Targets) -> Result<Vec<usize>, Rejection> {
    let (outputs, named) = match targets {
        Targets::Outputs => (true, &[][..]),
        Targets::Only(ids) => (false, ids),
        Targets::OutputsAnd(ids) => (true, ids),
    };
    let is_output = |i: &usize| outputs && wiring.nodes[*i].ty.is_some_and(|ty| ty.output_node);
    let mut found: Vec<usize> = (0..wiring.nodes.len()).filter(is_output).collect();
    for id in named {
        let Some(node) = wiring.numbers.get(id) else {
            let text = format!("Cannot execute because node {id} is not in the graph.");
            let help = format!("node {id}, which was asked for, is not in the graph");
            return Err(rejected("invalid_prompt", &text, &format!("Node ID '#{id}'"), help));
        };
        if !found.contains(node) {
            found.push(*node);
        }
    }
    if found.is_empty() {
        let help = "the graph has no output node (such as SaveImage): nothing would come of it";
        return Err(rejected("prompt_no_outputs", "Prompt has no outputs", "", help.into()));
    }
    Ok(found)
}

/// Everything the targets need, checked: by node number what is right, and the problems found.
fn check(
    wiring: &Wiring,
    files: &Files,
    targets: &[usize],
) -> (Vec<Option<Checked>>, HashMap<usize, Vec<Problem>>) {
    let checker = Checker { wiring, files };
    let mut checked: Vec<Option<Checked>> = wiring.nodes.iter().map(|_| None).collect();
    let mut problems = HashMap::new();
    let order = wiring.order(targets);
    for &node in &order {
        match check_node(&checker, node, &checked) {
            Ok(right) => checked[node] = right,
            Err(found) => drop(problems.insert(node, found)),
        }
    }
    let needed: HashSet<usize> = order.into_iter().collect();
    for cycle in wiring.cycles().iter().filter(|cycle| needed.contains(&cycle[0])) {
        let problem = wiring.cycle_problem(cycle);
        problems.entry(cycle[0]).or_insert_with(Vec::new).push(problem);
    }
    (checked, problems)
}

/// `Ok(None)`: there is nothing wrong but upstream.
fn check_node(
    checker: &Checker,
    node: usize,
    checked: &[Option<Checked>],
) -> Result<Option<Checked>, Vec<Problem>> {
    let node = &checker.wiring.nodes[node];
    let (Some(ty), Some(given)) = (node.ty, node.inputs) else { return Err(vec![no_inputs()]) };
    let (mut inputs, mut problems, mut upstream) = (Vec::new(), Vec::new(), true);
    for input in &ty.inputs {
        match checker.given(input, given.get(input.name)) {
            Ok(None) => {}
            Ok(Some(source)) => {
                upstream &= !matches!(source, Given::Link { node, .. } if checked[node].is_none());
                inputs.push((input.name, source));
            }
            Err(problem) => problems.push(*problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(upstream.then(|| Checked { key: key(node.id, ty, given, &inputs, checked), inputs }))
}

/// Inputs that the class does not have count too, as in ComfyUI; a link among them only as such.
fn key(
    id: &str,
    ty: &NodeType,
    given: &Map<String, Json>,
    inputs: &[(&'static str, Given)],
    checked: &[Option<Checked>],
) -> Key {
    let mut hasher = KeyHasher::new(ty.name);
    if !ty.idempotent {
        hasher.node(id);
    }
    for (name, source) in inputs {
        match source {
            Given::Literal { json, nan, content, .. } => {
                hasher.literal(name, json);
                if let Some(fingerprint) = content {
                    hasher.file(name, *fingerprint);
                }
                if *nan {
                    hasher.never_equal();
                }
            }
            Given::Link { node, output } => {
                let from = checked[*node].as_ref().map_or(0, |from| from.key);
                hasher.link(name, from, *output);
            }
        }
    }
    let mut unknown: Vec<_> = given.iter().filter(|(name, _)| ty.input(name).is_none()).collect();
    unknown.sort_by_key(|(name, _)| *name);
    for (name, json) in unknown {
        match link(json) {
            Some((_, output)) => hasher.link(name, 0, output),
            None => hasher.literal(name, json),
        }
    }
    hasher.finish()
}

/// The steps of the right targets.
fn assemble<'a>(
    wiring: &Wiring<'_, 'a>,
    mut checked: Vec<Option<Checked>>,
    targets: &[usize],
    warnings: NodeErrors,
) -> Plan<'a> {
    let mut places = vec![0; checked.len()];
    let mut steps = Vec::new();
    for i in wiring.order(targets) {
        let node = &wiring.nodes[i];
        let (Some(ty), Some(Checked { key, inputs })) = (node.ty, checked[i].take()) else {
            unreachable!("a right target needs only right nodes");
        };
        let source = |(name, given)| match given {
            Given::Literal { json, value, .. } => (name, Source::Literal { json, value }),
            Given::Link { node, output } => (name, Source::Link { step: places[node], output }),
        };
        let inputs = inputs.into_iter().map(source).collect();
        places[i] = steps.len();
        let (id, title) = (node.id.to_owned(), node.title().to_owned());
        steps.push(Step { id, title, node: ty, key, inputs });
    }
    Plan { steps, targets: targets.iter().map(|i| places[*i]).collect(), warnings }
}

/// So many visits are spent on finding which outputs depend on which bad nodes.
const VISITS: usize = 5_000_000;

fn node_errors(
    wiring: &Wiring,
    problems: HashMap<usize, Vec<Problem>>,
    wrong: &[usize],
) -> NodeErrors {
    let mut dependents: HashMap<usize, Vec<String>> = HashMap::new();
    let visits = wrong.iter().flat_map(|t| wiring.upstream(*t).map(move |node| (*t, node)));
    for (target, node) in visits.take(VISITS) {
        if problems.contains_key(&node) {
            dependents.entry(node).or_default().push(wiring.nodes[target].id.to_owned());
        }
    }
    let mut problems: Vec<_> = problems.into_iter().collect();
    problems.sort_by_key(|(node, _)| *node);
    let entry = |(i, problems): (usize, Vec<Problem>)| {
        let node = &wiring.nodes[i];
        NodeProblems {
            id: node.id.to_owned(),
            class: node.class.unwrap_or_default().to_owned(),
            title: node.title().to_owned(),
            problems,
            dependent_outputs: dependents.remove(&i).unwrap_or_default(),
        }
    };
    NodeErrors(problems.into_iter().map(entry).collect())
}

/// ComfyUI gives the details of the output nodes only.
fn failed_validation(nodes: NodeErrors, wiring: &Wiring, wrong: &[usize]) -> Rejection {
    let ids: HashSet<&str> = wrong.iter().map(|i| wiring.nodes[*i].id).collect();
    let own = nodes.0.iter().filter(|node| ids.contains(&*node.id));
    let lines: Vec<String> = own
        .flat_map(|node| &node.problems)
        .map(|problem| format!("{}: {}", problem.message, problem.details))
        .collect();
    let message = "Prompt outputs failed validation";
    let help = nodes.to_string();
    let kind = "prompt_outputs_failed_validation";
    let errors = vec![problem(kind, message.into(), lines.join("\n"), help)];
    Rejection { nodes, ..Rejection::new(errors) }
}

fn rejected(kind: &'static str, message: &str, details: &str, help: String) -> Rejection {
    Rejection::new(vec![problem(kind, message.into(), details.into(), help)])
}

fn problem(kind: &'static str, message: String, details: String, help: String) -> Problem {
    Problem { kind, message, details, extra_info: Map::new(), help }
}

#[cfg(test)]
mod tests;
