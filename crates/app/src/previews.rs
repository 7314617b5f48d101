//! The choice of previews on the command line.

/// How samplers show the picture as it comes.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
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
