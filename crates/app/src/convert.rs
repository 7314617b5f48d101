//! `weft convert`: one JSON form into the other.

use crate::{
    GraphArg,
    document::{name, read_bytes, write_whole},
};
use anyhow::{Context as _, Result};
use graph::Contract;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

#[derive(clap::Args)]
pub struct ConvertArgs {
    #[command(flatten)]
    graph: GraphArg,
    /// The form wanted
    #[arg(long, value_enum)]
    to: Form,
    /// Where to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// What runs: node id to class and inputs
    Api,
    /// What editors open: nodes with places, links, widgets
    Ui,
}

pub fn convert(args: &ConvertArgs) -> Result<()> {
    let path = &args.graph.graph;
    let text = converted(path, args.to).with_context(|| name(path))?;
    match &args.output {
        Some(file) => {
            write_whole(file, text.as_bytes()).with_context(|| file.display().to_string())
        }
        None => Ok(writeln!(std::io::stdout().lock(), "{text}")?),
    }
}

fn converted(path: &Path, to: Form) -> Result<String> {
    let contract = Contract::from_types(&nodes::all());
    let document = graph::read(&read_bytes(path)?)?;
    let json = match to {
        Form::Api => {
            for node in document.nameless(&contract)? {
                eprintln!(
                    "note: the values of node {node} are left out: Weft does not know their names"
                );
            }
            graph::Json::Object(document.to_api(&contract)?)
        }
        Form::Ui => document.to_ui(&contract)?,
    };
    Ok(serde_json::to_string_pretty(&json)?)
}
