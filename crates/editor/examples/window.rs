//! The editor's window as far as it is built: `cargo run -p editor --example window`.

use editor::{Setup, run};
use graph::Services;
use std::sync::Arc;

fn main() -> anyhow::Result<()> {
    let device = Arc::new(tensor::Device::cpu());
    run(Setup {
        types: Vec::leak(nodes::all()),
        host: Arc::new(app::Folders::new(&app::FolderArgs::default())?),
        device: device.name().to_owned(),
        services: Services::default().with(device).with(Arc::new(nodes::Options::default())),
        folders: Vec::new(),
        weights: Box::new(|_| anyhow::bail!("this example does not look into weights")),
        state_dir: std::env::temp_dir().join("weft-editor-example"),
        open: std::env::args_os().nth(1).map(Into::into),
    })
}
