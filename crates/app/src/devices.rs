//! `weft devices`, and the choice of one.

use crate::DeviceChoice;
use anyhow::Result;
use std::sync::Arc;
use tensor::Device;

pub fn open(choice: DeviceChoice) -> Result<Arc<Device>> {
    Ok(Arc::new(match choice {
        DeviceChoice::Cpu => Device::cpu(),
        DeviceChoice::Gpu => Device::gpu()?,
        DeviceChoice::Auto => Device::auto(),
    }))
}
