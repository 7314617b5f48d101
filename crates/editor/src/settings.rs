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
    /// By which of the program's methods they do so; an unknown one counts as the first.
    pub preview_method: String,
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
            preview_method: String::new(),
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

/// How the program can show the picture as it comes.
pub struct PreviewMethods {
    /// Names, with what people read.
    pub names: Vec<(&'static str, &'static str)>,
    /// The one that the command line wants, in place of what was set before; any other name is none.
    pub given: Option<&'static str>,
    /// From now on by this one, or not at all.
    pub choose: Choose,
}

/// Takes the name of a method, or nothing.
pub type Choose = Box<dyn Fn(Option<&str>)>;

impl Default for PreviewMethods {
    /// None.
    fn default() -> Self {
        Self { names: Vec::new(), given: None, choose: Box::new(|_| ()) }
    }
}

impl PreviewMethods {
    /// The one that is set, with what people read.
    pub(crate) fn of(&self, settings: &Settings) -> Option<(&'static str, &'static str)> {
        let set = self.names.iter().find(|(name, _)| *name == settings.preview_method);
        set.or(self.names.first()).copied()
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
