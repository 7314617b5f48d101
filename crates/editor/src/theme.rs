//! The look, in one place: colours, spacing, radii, type sizes. Nothing else names a colour.

use egui::Color32;

/// All colours and measures of one look.
#[derive(Clone, Debug)]
pub struct Theme {
    pub dark: bool,
    /// Behind the graph, and its grid.
    pub canvas: Color32,
    pub grid: Color32,
    /// Panels, node bodies, title bars, fields: each a step nearer to the reader.
    pub panel: Color32,
    pub node: Color32,
    pub title: Color32,
    pub field: Color32,
    pub outline: Color32,
    pub text: Color32,
    pub dim: Color32,
    pub accent: Color32,
    pub error: Color32,
    pub warning: Color32,
    pub good: Color32,
    pub muted: Color32,
    pub bypassed: Color32,
}

/// Corners of nodes and panels, in canvas units.
pub const RADIUS: f32 = 6.0;
/// Height of a row of a node: a socket or a one-line widget.
pub const ROW: f32 = 22.0;
/// Height of a title bar.
pub const TITLE: f32 = 28.0;
/// Space between things.
pub const GAP: f32 = 6.0;
/// Type size of node text at zoom 1.
pub const TEXT: f32 = 13.0;

impl Theme {
    pub fn dark() -> Self {
        Self {
            dark: true,
            canvas: Color32::from_rgb(0x17, 0x19, 0x1d),
            grid: Color32::from_rgb(0x21, 0x24, 0x29),
            panel: Color32::from_rgb(0x1d, 0x20, 0x25),
            node: Color32::from_rgb(0x2a, 0x2e, 0x35),
            title: Color32::from_rgb(0x34, 0x39, 0x42),
            field: Color32::from_rgb(0x1f, 0x22, 0x28),
            outline: Color32::from_rgb(0x3d, 0x43, 0x4d),
            text: Color32::from_rgb(0xe6, 0xe9, 0xee),
            dim: Color32::from_rgb(0x93, 0x9b, 0xa8),
            accent: Color32::from_rgb(0x5b, 0xa8, 0xff),
            error: Color32::from_rgb(0xff, 0x6b, 0x6b),
            warning: Color32::from_rgb(0xf5, 0xb9, 0x4f),
            good: Color32::from_rgb(0x5f, 0xd0, 0x8b),
            muted: Color32::from_rgb(0x6b, 0x72, 0x7e),
            bypassed: Color32::from_rgb(0xb4, 0x7c, 0xe8),
        }
    }

    pub fn light() -> Self {
        Self {
            dark: false,
            canvas: Color32::from_rgb(0xee, 0xf0, 0xf3),
            grid: Color32::from_rgb(0xe0, 0xe3, 0xe8),
            panel: Color32::from_rgb(0xf8, 0xf9, 0xfb),
            node: Color32::from_rgb(0xff, 0xff, 0xff),
            title: Color32::from_rgb(0xea, 0xed, 0xf2),
            field: Color32::from_rgb(0xf3, 0xf5, 0xf8),
            outline: Color32::from_rgb(0xc9, 0xcf, 0xd8),
            text: Color32::from_rgb(0x1c, 0x22, 0x2b),
            dim: Color32::from_rgb(0x62, 0x6c, 0x7a),
            accent: Color32::from_rgb(0x1f, 0x74, 0xd9),
            error: Color32::from_rgb(0xc9, 0x2f, 0x2f),
            warning: Color32::from_rgb(0xa8, 0x6a, 0x00),
            good: Color32::from_rgb(0x1c, 0x8a, 0x4d),
            muted: Color32::from_rgb(0xa5, 0xad, 0xb8),
            bypassed: Color32::from_rgb(0x8b, 0x4f, 0xc4),
        }
    }

    /// The colour of a socket's type: those that ComfyUI's users know.
    pub fn socket(&self, ty: &str) -> Color32 {
        let [r, g, b] = SOCKETS.iter().find(|(name, ..)| *name == ty).map_or(OTHER, |(_, c, _)| *c);
        let color = Color32::from_rgb(r, g, b);
        // On white the same colours want to be darker.
        if self.dark { color } else { color.lerp_to_gamma(Color32::BLACK, 0.3) }
    }

    /// Sets egui's own style to this look.
    pub fn apply(&self, ctx: &egui::Context) {
        ctx.set_theme(if self.dark { egui::Theme::Dark } else { egui::Theme::Light });
        ctx.all_styles_mut(|style| {
            let v = &mut style.visuals;
            v.dark_mode = self.dark;
            v.panel_fill = self.panel;
            v.window_fill = self.panel;
            v.extreme_bg_color = self.field;
            v.override_text_color = Some(self.text);
            v.selection.bg_fill = self.accent.gamma_multiply(0.45);
            v.selection.stroke.color = self.text;
            v.hyperlink_color = self.accent;
            v.window_stroke.color = self.outline;
            v.widgets.noninteractive.bg_stroke.color = self.outline;
            v.widgets.inactive.bg_fill = self.title;
            v.widgets.inactive.weak_bg_fill = self.title;
            style.interaction.selectable_labels = false;
            style.spacing.item_spacing = egui::vec2(GAP, GAP);
        });
    }
}

/// How a socket is drawn, so that types can be told apart without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Circle,
    Square,
    Diamond,
    Triangle,
    Hexagon,
}

/// The shape of a socket's type.
pub fn shape(ty: &str) -> Shape {
    SOCKETS.iter().find(|(name, ..)| *name == ty).map_or(Shape::Circle, |(.., shape)| *shape)
}

const OTHER: [u8; 3] = [0xaa, 0xaa, 0xaa];

const SOCKETS: &[(&str, [u8; 3], Shape)] = &[
    ("MODEL", [0xb3, 0x9d, 0xdb], Shape::Hexagon),
    ("CLIP", [0xff, 0xd5, 0x00], Shape::Diamond),
    ("VAE", [0xff, 0x6e, 0x6e], Shape::Triangle),
    ("CONDITIONING", [0xff, 0xa9, 0x31], Shape::Diamond),
    ("LATENT", [0xff, 0x9c, 0xf9], Shape::Square),
    ("IMAGE", [0x64, 0xb5, 0xf6], Shape::Square),
    ("MASK", [0x81, 0xc7, 0x84], Shape::Square),
    ("CLIP_VISION", [0xa8, 0xda, 0xdc], Shape::Diamond),
    ("CONTROL_NET", [0x6e, 0xe7, 0xb7], Shape::Hexagon),
    ("STYLE_MODEL", [0xc2, 0xff, 0xae], Shape::Hexagon),
    ("NOISE", [0xb0, 0xb0, 0xb0], Shape::Circle),
    ("GUIDER", [0x66, 0xff, 0xff], Shape::Triangle),
    ("SAMPLER", [0xec, 0xb4, 0xb4], Shape::Triangle),
    ("SIGMAS", [0xcd, 0xff, 0xcd], Shape::Triangle),
];

/// What people colour nodes and groups with, as files know it.
pub struct Paint {
    pub name: &'static str,
    /// Title bar and body of a node.
    pub node: [&'static str; 2],
    pub group: &'static str,
}

pub const PAINTS: [Paint; 9] = [
    paint("red", ["#322", "#533"], "#A88"),
    paint("brown", ["#332922", "#593930"], "#b06634"),
    paint("green", ["#232", "#353"], "#8A8"),
    paint("blue", ["#223", "#335"], "#88A"),
    paint("pale blue", ["#2a363b", "#3f5159"], "#3f789e"),
    paint("cyan", ["#233", "#355"], "#8AA"),
    paint("purple", ["#323", "#535"], "#a1309b"),
    paint("yellow", ["#432", "#653"], "#b58b2a"),
    paint("black", ["#222", "#000"], "#444"),
];

const fn paint(name: &'static str, node: [&'static str; 2], group: &'static str) -> Paint {
    Paint { name, node, group }
}
