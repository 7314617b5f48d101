//! `weft edit`: the editor's window, and what it needs of the program.

use crate::{
    FolderArgs, Folders,
    devices::DeviceArgs,
    inspect,
    previews::{self, OFFERED, PreviewChoice},
    record,
};
use anyhow::{Context as _, Result};
use editor::{PreviewMethods, Setup, Weights};
use graph::Services;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(clap::Args, Default)]
pub struct EditArgs {
    /// UI JSON, API JSON, or a PNG or WebP that carries one
    #[arg(value_name = "GRAPH")]
    graph: Option<PathBuf>,
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// How samplers show the picture as it comes [default: as the settings say]
    #[arg(long, value_enum, value_name = "METHOD")]
    preview: Option<PreviewChoice>,
}

pub fn edit(args: EditArgs) -> Result<()> {
    let folders = Arc::new(Folders::new(&args.folders)?);
    let device = Arc::new(args.device.open()?);
    let options = nodes::Options::default();
    let switch = Arc::new(nodes::PreviewSwitch::default());
    let homes = folders.clone();
    let stamp = record::stamp(folders.clone(), &device, options, record::Kept::open());
    let setup = Setup {
        // They live as long as the program.
        types: Vec::leak(nodes::all()),
        device: device.name().to_owned(),
        folders: folders.all(),
        weights: Box::new(move |path| weights(&homes, path)),
        host: folders,
        previews: previews(args.preview, switch.clone()),
        services: Services::default()
            .with(device)
            .with(Arc::new(options))
            .with(switch)
            .with(Arc::new(stamp)),
        state_dir: state_dir()?,
        open: args.graph,
    };
    editor::run(setup).context(
        "the editor's window cannot be opened; without a display, `weft run GRAPH` runs a graph",
    )
}

fn previews(given: Option<PreviewChoice>, switch: Arc<nodes::PreviewSwitch>) -> PreviewMethods {
    let choose = move |name: Option<&str>| switch.set(previews::named(name).into());
    let given = given.map(previews::name);
    PreviewMethods { names: OFFERED.to_vec(), given, choose: Box::new(choose) }
}

fn weights(folders: &Folders, path: &Path) -> Result<Weights> {
    let weights = tensor::Weights::open(path)?;
    let home = models::identify(&weights).and_then(|kind| folders.home(kind.folder));
    Ok(Weights { about: inspect::describe(&weights).join("\n"), home })
}

/// Where the system keeps what a program remembers of its last runs.
fn state_dir() -> Result<PathBuf> {
    let base = dirs::state_dir().or_else(dirs::data_local_dir);
    Ok(base.context("the system names no folder for what programs remember")?.join("weft"))
}
