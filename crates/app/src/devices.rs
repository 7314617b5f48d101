//! `weft devices`, and the choice of one.

use crate::DeviceChoice;
use anyhow::{Result, bail};
use std::sync::Arc;
use tensor::Device;

/// Opens the device asked for. This version computes on the CPU only, and says so.
pub fn open(choice: DeviceChoice) -> Result<Arc<Device>> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Arc::new(Device::cpu())),
        DeviceChoice::Gpu => {
            bail!("this version of Weft does not compute on GPUs yet; use --device cpu")
        }
    }
}

pub fn devices() -> Result<()> {
    let threads = std::thread::available_parallelism()?;
    println!("cpu   this machine's processor, {threads} threads (taken by --device auto)");
    println!("gpu   not in this version");
    Ok(())
}
