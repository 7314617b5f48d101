//! What a person has set, kept from one start to the next.

use crate::{canvas::Style, files::set_aside, keys::Keys, side::Panel, theme::Theme};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::{io::ErrorKind, path::Path};

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
    pub link_style: Style,
    pub hide_links: bool,
    /// In points.
    pub side_width: f32,
    /// How large text and all else is; 1 is the usual size.
    pub size: f32,
    pub keys: Keys,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            light: false,
            previews: true,
            side: true,
            panel: Panel::default(),
            link_style: Style::default(),
            hide_links: false,
            side_width: 300.0,
            size: 1.0,
            keys: Keys::default(),
        }
    }
}

const FILE: &str = "settings.json";

impl Settings {
    /// What was kept. A file that cannot be read is set aside, and the error says where it is.
    pub fn load(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join(FILE);
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            read => read
                .map_err(anyhow::Error::from)
                .and_then(|text| Ok(serde_json::from_slice(&text)?))
                .map_err(|error| set_aside(&path, state_dir, error)),
        }
    }

    pub fn save(&self, state_dir: &Path) -> Result<()> {
        std::fs::create_dir_all(state_dir)?;
        crate::files::write_whole(&state_dir.join(FILE), &serde_json::to_vec_pretty(self)?)
    }

    pub fn theme(&self) -> Theme {
        if self.light { Theme::light() } else { Theme::dark() }
    }
}
