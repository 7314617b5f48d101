//! What a person has set, kept from one start to the next.

use crate::{side::Panel, theme::Theme};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Kept as `settings.json` in the folder for state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub light: bool,
    /// Whether samplers show the picture as it comes.
    pub previews: bool,
    /// Whether there is a side panel, and what it shows.
    pub side: bool,
    pub panel: Panel,
}

impl Default for Settings {
    fn default() -> Self {
        Self { light: false, previews: true, side: true, panel: Panel::default() }
    }
}

const FILE: &str = "settings.json";

impl Settings {
    /// What was kept; what cannot be read is as it is for a new person.
    pub fn load(state_dir: &Path) -> Self {
        let text = std::fs::read(state_dir.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub fn save(&self, state_dir: &Path) -> Result<()> {
        std::fs::create_dir_all(state_dir)?;
        crate::files::write_whole(&state_dir.join(FILE), &serde_json::to_vec_pretty(self)?)
    }

    pub fn theme(&self) -> Theme {
        if self.light { Theme::light() } else { Theme::dark() }
    }
}
