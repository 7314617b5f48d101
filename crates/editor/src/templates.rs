//! The ready graphs that come with the program.

use graph::Json;

/// A ready graph.
pub struct Template {
    pub title: &'static str,
    pub about: &'static str,
    text: &'static str,
}

macro_rules! templates { ($($name:literal $title:literal $about:literal;)*) => {
    /// The first one is what a new person sees.
    /// `$name` is that of its file in `graphs/`, without ending.
    pub const ALL: &[Template] = &[$(Template {
        title: $title,
        about: $about,
        text: include_str!(concat!("../../../graphs/", $name, ".json")),
    }),*];
}}
templates! {
    "text_to_image" "Text to image" "A picture from words";
    "image_to_image" "Image to image" "Repaints a picture";
    "inpaint" "Inpaint" "Fills the masked part of a picture and keeps the rest";
    "outpaint" "Outpaint" "Paints beyond a picture's edges";
    "instruct" "Instruct" "Changes a picture by a written instruction";
    "hires_fix" "High resolution in two passes" "Small first, then larger with more detail";
    "area_composition" "Area composition" "Two prompts, each in its own area";
}

impl Template {
    /// In UI form.
    pub fn json(&self) -> Json {
        serde_json::from_str(self.text).expect("the file is ours and a test reads it")
    }
}

impl Template {
    /// Draws it; whether it was chosen.
    pub fn card(&self, ui: &mut egui::Ui, theme: &crate::theme::Theme) -> bool {
        let text = format!("{}\n{}", self.title, self.about);
        let button =
            egui::Button::new(text).fill(theme.node).min_size(egui::vec2(210.0, 110.0)).wrap();
        let response = ui.add(button);
        crate::bar::name(&response, self.title);
        response.clicked()
    }
}
