//! `weft nodes`: the menu by category, or one node's documentation.

use crate::{FolderArgs, Folders};
use anyhow::Result;
use graph::{Host, Input, Json, NodeType};
use std::{collections::BTreeMap, io::Write};

#[derive(clap::Args)]
pub struct NodesArgs {
    /// A node's class, such as KSampler
    class: Option<String>,
    /// As JSON, in the form of ComfyUI's object_info
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folders: FolderArgs,
}

pub fn nodes(args: &NodesArgs) -> Result<()> {
    let types = nodes::all();
    let folders = Folders::new(&args.folders)?;
    let mut out = std::io::stdout().lock();
    let chosen: Vec<&NodeType> = match &args.class {
        Some(class) => vec![find(&types, class)?],
        None => types.iter().collect(),
    };
    if args.json {
        let info = chosen.iter().map(|ty| (ty.name.to_owned(), ty.object_info(&folders)));
        let info: serde_json::Map<String, Json> = info.collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&info)?)?;
    } else if args.class.is_some() {
        document(&mut out, chosen[0], &folders)?;
    } else {
        menu(&mut out, &chosen)?;
    }
    Ok(())
}

fn find<'a>(types: &'a [NodeType], class: &str) -> Result<&'a NodeType> {
    let same = |ty: &&NodeType| {
        ty.name.eq_ignore_ascii_case(class) || ty.title.eq_ignore_ascii_case(class)
    };
    types.iter().find(same).ok_or_else(|| {
        let near = engine::nearest(class, types.iter().map(|ty| ty.name)).join(", ");
        anyhow::anyhow!("there is no node `{class}` (near: {near}); `weft nodes` lists them all")
    })
}

fn menu(out: &mut impl Write, types: &[&NodeType]) -> Result<()> {
    let mut categories = BTreeMap::<&str, Vec<&NodeType>>::new();
    for ty in types {
        categories.entry(ty.category).or_default().push(ty);
    }
    for (category, types) in categories {
        writeln!(out, "{category}")?;
        for ty in types {
            let first = ty.doc.split(['.', ':', ';']).next().unwrap_or_default();
            writeln!(out, "  {:32} {first}", ty.name)?;
        }
    }
    Ok(())
}

fn document(out: &mut impl Write, ty: &NodeType, host: &dyn Host) -> Result<()> {
    writeln!(out, "{} ({}), in {}\n\n{}\n", ty.name, ty.title, ty.category, ty.doc)?;
    for input in &ty.inputs {
        writeln!(out, "  {:24} {}", input.name, describe(input, host))?;
        if !input.doc.is_empty() {
            writeln!(out, "  {:24}   {}", "", input.doc)?;
        }
    }
    let outputs: Vec<String> =
        ty.outputs.iter().map(|o| format!("{} ({})", o.name, o.ty)).collect();
    writeln!(
        out,
        "\n  gives {}",
        if outputs.is_empty() { "nothing".into() } else { outputs.join(", ") }
    )?;
    Ok(())
}

/// `INT, 20, from 1 to 10000`
fn describe(input: &Input, host: &dyn Host) -> String {
    let mut parts = vec![match input.names(host) {
        Some(names) => format!("one of {}", names.join(", ")),
        None => input.ty.to_owned(),
    }];
    let option = |key: &str| input.options.get(key).map(Json::to_string);
    parts.extend(option("default").map(|v| format!("{v} at first")));
    if let (Some(min), Some(max)) = (option("min"), option("max")) {
        parts.push(format!("from {min} to {max}"));
    }
    if input.optional {
        parts.push("optional".into());
    }
    parts.join(", ")
}
