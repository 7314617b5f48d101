//! The choice of previews, on the command line and in the editor.

use clap::ValueEnum as _;

/// How samplers show the picture as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PreviewChoice {
    /// As taesd where its file is there and fits the model, else as latent2rgb
    #[default]
    Auto,
    /// By the tiny decoder in models/vae_approx; a run takes at most 5 % more time for it
    Taesd,
    /// By the colours of latent pixels
    Latent2rgb,
    /// Not at all
    None,
}

impl From<PreviewChoice> for nodes::Previews {
    fn from(choice: PreviewChoice) -> Self {
        match choice {
            PreviewChoice::Auto => Self::Auto,
            PreviewChoice::Taesd => Self::Taesd,
            PreviewChoice::Latent2rgb => Self::Latent2rgb,
            PreviewChoice::None => Self::Nothing,
        }
    }
}

/// The methods that the editor offers, with what people read; `none` is its own switch.
pub const OFFERED: [(&str, &str); 3] = [
    ("auto", "TAESD where it fits, else colours"),
    ("taesd", "TAESD, a tiny decoder"),
    ("latent2rgb", "The colours of latent pixels"),
];

/// What a name of [`OFFERED`] means, and nothing.
pub fn named(name: Option<&str>) -> PreviewChoice {
    let known = name.and_then(|name| PreviewChoice::from_str(name, false).ok());
    known.unwrap_or(PreviewChoice::None)
}

/// The name of a choice: one of [`OFFERED`], or `none`.
pub fn name(choice: PreviewChoice) -> &'static str {
    let same = |name: &str| named(Some(name)) == choice;
    OFFERED.iter().map(|(name, _)| *name).find(|name| same(name)).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_editor_offers_is_what_the_command_line_takes() {
        for choice in PreviewChoice::value_variants() {
            assert_eq!(named(Some(name(*choice))), *choice);
        }
        assert_eq!(named(None), PreviewChoice::None);
    }
}
