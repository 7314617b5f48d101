//! What a person has set, kept from one start to the next.

use crate::{canvas::Style, side::Panel, theme::Theme};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Kept as `settings.json` in the folder for state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub light: bool,
    /// Whether there is a side panel, and what it shows.
    pub side: bool,
    pub panel: Panel,
    pub link_style: Style,
    pub hide_links: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            light: false,
            side: true,
            panel: Panel::default(),
            link_style: Style::default(),
            hide_links: false,
        }
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
