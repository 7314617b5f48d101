//! The graph behind the JSON: nodes by number, links as edges, order and cycles.

use crate::{Problem, Types};
use graph::{Input, Json, NodeType};
use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
    visit::{Dfs, DfsPostOrder},
};
use serde_json::Map;
use std::collections::{HashMap, HashSet};

/// A graph in API form, taken apart.
pub(crate) struct Wiring<'p, 'a> {
    pub nodes: Vec<Node<'p, 'a>>,
    pub numbers: HashMap<&'p str, usize>,
    /// Edges go from a node to those it reads.
    edges: DiGraph<(), ()>,
}

pub(crate) struct Node<'p, 'a> {
    pub id: &'p str,
    pub class: Option<&'p str>,
    pub ty: Option<&'a NodeType>,
    /// `None` if the node has no object `inputs`.
    pub inputs: Option<&'p Map<String, Json>>,
    title: Option<&'p str>,
}

impl Node<'_, '_> {
    /// What the user called the node, or the class's title.
    pub fn title(&self) -> &str {
        self.title.or_else(|| self.ty.map(|ty| &*ty.title)).unwrap_or_default()
    }
}

impl<'p, 'a> Wiring<'p, 'a> {
    pub fn new(prompt: &'p Map<String, Json>, types: &Types<'a>) -> Self {
        let node = |(id, json): (&'p String, &'p Json)| {
            let class = json.get("class_type").and_then(Json::as_str);
            let ty = class.and_then(|class| types.get(class));
            let title = json.get("_meta").and_then(|meta| meta.get("title")?.as_str());
            let inputs = json.get("inputs").and_then(Json::as_object);
            Node { id, class, ty, inputs, title }
        };
        let nodes: Vec<Node> = prompt.iter().map(node).collect();
        let numbers = nodes.iter().enumerate().map(|(i, node)| (node.id, i)).collect();
        let mut wiring = Self { nodes, numbers, edges: DiGraph::new() };
        wiring.connect();
        wiring
    }

    fn connect(&mut self) {
        for _ in &self.nodes {
            self.edges.add_node(());
        }
        for (i, node) in self.nodes.iter().enumerate() {
            for (from, _) in node.declared().filter_map(|(_, json)| link(json)) {
                if let Some(from) = self.numbers.get(from) {
                    self.edges.add_edge(NodeIndex::new(i), NodeIndex::new(*from), ());
                }
            }
        }
    }

    /// What the targets need, each node after those it reads: depth first, one target after the
    /// other, so that results come early and few values wait for their readers.
    pub fn order(&self, targets: &[usize]) -> Vec<usize> {
        let mut search = DfsPostOrder::empty(&self.edges);
        let mut order = Vec::new();
        for target in targets {
            search.move_to(NodeIndex::new(*target));
            while let Some(node) = search.next(&self.edges) {
                order.push(node.index());
            }
        }
        order
    }

    /// One cycle out of each knot of nodes that read one another, from its first node in the graph.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let mut knots: Vec<Vec<usize>> = kosaraju_scc(&self.edges)
            .into_iter()
            .map(|knot| knot.into_iter().map(NodeIndex::index).collect::<Vec<_>>())
            .filter(|knot| knot.len() > 1 || self.reads(knot[0]).any(|from| from == knot[0]))
            .map(|knot| self.cycle_in(&knot))
            .collect();
        knots.sort();
        knots
    }

    /// Walks upstream inside the knot until it meets its own track.
    fn cycle_in(&self, knot: &[usize]) -> Vec<usize> {
        let inside: HashSet<usize> = knot.iter().copied().collect();
        let (mut track, mut seen) = (Vec::new(), HashMap::new());
        let mut at = knot.iter().copied().min().expect("a knot has nodes");
        while !seen.contains_key(&at) {
            seen.insert(at, track.len());
            track.push(at);
            at = self.reads(at).filter(|n| inside.contains(n)).min().expect("a knot goes round");
        }
        let mut cycle = track.split_off(seen[&at]);
        let first = (0..cycle.len()).min_by_key(|i| cycle[*i]).unwrap_or(0);
        cycle.rotate_left(first);
        cycle
    }

    fn reads(&self, node: usize) -> impl Iterator<Item = usize> {
        self.edges.neighbors(NodeIndex::new(node)).map(NodeIndex::index)
    }

    /// Everything a node depends on, itself included.
    pub fn upstream(&self, node: usize) -> impl Iterator<Item = usize> {
        let mut search = Dfs::new(&self.edges, NodeIndex::new(node));
        std::iter::from_fn(move || search.next(&self.edges)).map(NodeIndex::index)
    }

    /// The error about a cycle, naming its nodes in the direction of the links.
    pub fn cycle_problem(&self, cycle: &[usize]) -> Problem {
        let name = |i: &usize| {
            let node = &self.nodes[*i];
            format!("{} ({})", node.id, node.class.unwrap_or_default())
        };
        let mut names: Vec<String> = cycle.iter().take(20).map(name).collect();
        if cycle.len() > names.len() {
            names.push(format!("... {} more", cycle.len() - names.len()));
        }
        names.push(name(&cycle[0]));
        let path = names.join(" <- ");
        Problem {
            kind: "dependency_cycle",
            message: "Dependency cycle detected".into(),
            help: format!("needs its own result: {path}; remove one of these links"),
            details: path,
            extra_info: Map::new(),
        }
    }
}

impl<'p, 'a> Node<'p, 'a> {
    /// The inputs that the class declares and the graph gives.
    fn declared(&self) -> impl Iterator<Item = (&'a Input, &'p Json)> {
        let inputs = self.inputs;
        let declared = self.ty.iter().flat_map(|ty| &ty.inputs);
        declared.filter_map(move |input| Some((input, inputs?.get(input.name)?)))
    }
}

/// `["4", 0]` is a link to output 0 of node 4. Python takes `0.0` for a number too.
pub(crate) fn link(json: &Json) -> Option<(&str, usize)> {
    let [from, output] = json.as_array()?.as_slice() else { return None };
    let whole = || output.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as usize);
    let output = output.as_u64().map(|n| n as usize).or_else(whole)?;
    Some((from.as_str()?, output))
}
