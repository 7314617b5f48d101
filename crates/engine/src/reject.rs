//! What is wrong with a graph: for programs the JSON that ComfyUI answers, for people a list.

use graph::Json;
use serde_json::{Map, json};
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// ComfyUI's name of the error, such as `value_not_in_list`.
    pub kind: &'static str,
    pub message: String,
    pub details: String,
    pub extra_info: Map<String, Json>,
    /// The same for a person: what is wrong, what was expected, what to do.
    pub help: String,
}

impl Problem {
    fn json(&self) -> Json {
        json!({
            "type": self.kind,
            "message": self.message,
            "details": self.details,
            "extra_info": self.extra_info,
        })
    }
}

/// Everything wrong with one node.
#[derive(Clone, Debug)]
pub struct NodeProblems {
    pub id: String,
    pub class: String,
    /// What the user called the node, or the class's title.
    pub title: String,
    pub problems: Vec<Problem>,
    /// The outputs that cannot run because of this node.
    pub dependent_outputs: Vec<String>,
}

/// What is wrong, by node, in the order of the graph.
#[derive(Clone, Debug, Default)]
pub struct NodeErrors(pub Vec<NodeProblems>);

impl NodeErrors {
    /// ComfyUI's `node_errors`.
    #[must_use]
    pub fn json(&self) -> Json {
        let nodes = self.0.iter().map(|node| {
            let errors: Vec<Json> = node.problems.iter().map(Problem::json).collect();
            let entry = json!({
                "errors": errors,
                "dependent_outputs": node.dependent_outputs,
                "class_type": node.class,
            });
            (node.id.clone(), entry)
        });
        Json::Object(nodes.collect())
    }
}

/// Why no part of a graph can run. Displays as a list of every problem.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// What is wrong with the graph as a whole: never empty. ComfyUI answers with the first.
    pub errors: Vec<Problem>,
    pub nodes: NodeErrors,
    /// What a person should know besides: ComfyUI does not look that far and does not answer it.
    pub also: NodeErrors,
}

impl Rejection {
    pub(crate) fn new(errors: Vec<Problem>) -> Self {
        Self { errors, nodes: NodeErrors::default(), also: NodeErrors::default() }
    }

    /// ComfyUI's answer to `POST /prompt`: `{error, node_errors}`.
    #[must_use]
    pub fn json(&self) -> Json {
        json!({"error": self.errors.first().map(Problem::json), "node_errors": self.nodes.json()})
    }
}

/// So many nodes are shown to a person; a program gets all.
const SHOWN: usize = 100;

impl fmt::Display for NodeErrors {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, node) in self.0.iter().take(SHOWN).enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}node {} ({}):", node.id, named(&node.class, &node.title))?;
            for problem in &node.problems {
                write!(f, "\n  {}", problem.help)?;
            }
        }
        more(f, self.0.len(), "nodes")
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if !self.nodes.0.is_empty() {
            return self.nodes.fmt(f);
        }
        for (i, problem) in self.errors.iter().take(SHOWN).enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{}", problem.help)?;
        }
        more(f, self.errors.len(), "problems")?;
        if self.also.0.is_empty() { Ok(()) } else { write!(f, "\n{}", self.also) }
    }
}

impl std::error::Error for Rejection {}

fn more(f: &mut fmt::Formatter, all: usize, what: &str) -> fmt::Result {
    if all > SHOWN { write!(f, "\n... and {} {what} more", all - SHOWN) } else { Ok(()) }
}

/// A node as people know it: its class, and its title if that says more.
pub(crate) fn named(class: &str, title: &str) -> String {
    let bare = |text: &str| text.replace(' ', "").to_lowercase();
    if title.is_empty() || bare(class) == bare(title) {
        class.to_owned()
    } else {
        format!("{class} {title:?}")
    }
}

/// JSON short enough for a line.
pub(crate) fn brief(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
