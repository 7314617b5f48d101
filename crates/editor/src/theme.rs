//! The look, in one place: colours, spacing, radii, type sizes. Nothing else names a colour.

use egui::{Color32, CornerRadius, ecolor::Rgba};
use std::sync::LazyLock;

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
/// Corners of fields and buttons.
pub const CORNER: f32 = 4.0;
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
            dim: Color32::from_rgb(0x9c, 0xa4, 0xb1),
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
            dim: Color32::from_rgb(0x5a, 0x63, 0x70),
            accent: Color32::from_rgb(0x1a, 0x6b, 0xcc),
            error: Color32::from_rgb(0xc9, 0x2f, 0x2f),
            warning: Color32::from_rgb(0x98, 0x5f, 0x00),
            good: Color32::from_rgb(0x18, 0x7c, 0x44),
            muted: Color32::from_rgb(0xa5, 0xad, 0xb8),
            bypassed: Color32::from_rgb(0x8b, 0x4f, 0xc4),
        }
    }

    /// The colour of a socket's type: those that ComfyUI's users know.
    pub fn socket(&self, ty: &str) -> Color32 {
        static ON_WHITE: LazyLock<Vec<Color32>> = LazyLock::new(|| {
            SOCKETS
                .iter()
                .map(|(_, rgb, _)| seen_on_white(*rgb))
                .chain([seen_on_white(OTHER)])
                .collect()
        });
        let at = SOCKETS.iter().position(|(name, ..)| *name == ty);
        if self.dark {
            let [r, g, b] = at.map_or(OTHER, |at| SOCKETS[at].1);
            Color32::from_rgb(r, g, b)
        } else {
            ON_WHITE[at.unwrap_or(SOCKETS.len())]
        }
    }

    /// The colour of text on a colour that people chose.
    pub fn ink_on(&self, fill: Color32) -> Color32 {
        let inks = [self.text, Color32::BLACK, Color32::WHITE];
        let read = |ink: &&Color32| contrast(**ink, fill) >= READABLE;
        let best =
            || inks.iter().max_by(|a, b| contrast(**a, fill).total_cmp(&contrast(**b, fill)));
        *inks.iter().find(read).or_else(best).expect("there are three")
    }

    /// The colour of lesser text there.
    pub fn dim_on(&self, fill: Color32) -> Color32 {
        if contrast(self.dim, fill) >= READABLE { self.dim } else { self.ink_on(fill) }
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
            let all = &mut v.widgets;
            for widget in [
                &mut all.noninteractive,
                &mut all.inactive,
                &mut all.hovered,
                &mut all.active,
                &mut all.open,
            ] {
                widget.fg_stroke.color = self.text;
                widget.corner_radius = CornerRadius::same(CORNER as u8);
            }
            // There is no bold type: strong words are a little brighter.
            v.widgets.active.fg_stroke.color =
                if self.dark { Color32::WHITE } else { Color32::BLACK };
            v.weak_text_color = Some(self.dim);
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

/// What the contrast of text must come to, by the rules for accessible pages (WCAG 2.2, 1.4.3).
const READABLE: f32 = 4.5;

/// The contrast of two colours, from 1 to 21, as those rules reckon it.
fn contrast(a: Color32, b: Color32) -> f32 {
    let light = |color: Color32| {
        let linear = Rgba::from(color);
        0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b() + 0.05
    };
    let (a, b) = (light(a), light(b));
    a.max(b) / a.min(b)
}

/// A colour made only so much darker that shapes of it are seen on white (1.4.11).
fn seen_on_white([r, g, b]: [u8; 3]) -> Color32 {
    let darker =
        |i: u8| Color32::from_rgb(r, g, b).lerp_to_gamma(Color32::BLACK, f32::from(i) * 0.02);
    (0..50)
        .map(darker)
        .find(|color| contrast(*color, Color32::WHITE) >= 3.0)
        .unwrap_or(Color32::BLACK)
}

/// What a mask is shown in over a picture; on a red apple red is no help.
pub const VEILS: [Color32; 4] = [
    Color32::from_rgb(0xff, 0x50, 0x50),
    Color32::from_rgb(0x30, 0xe0, 0x70),
    Color32::WHITE,
    Color32::BLACK,
];

/// How a socket is drawn, so that types can be told apart without colour: what most graphs have has a
/// shape of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    Circle,
    Square,
    /// Higher than wide.
    Bar,
    Diamond,
    /// To the right.
    Triangle,
    Down,
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
    ("CONDITIONING", [0xff, 0xa9, 0x31], Shape::Circle),
    ("LATENT", [0xff, 0x9c, 0xf9], Shape::Bar),
    ("IMAGE", [0x64, 0xb5, 0xf6], Shape::Square),
    ("MASK", [0x81, 0xc7, 0x84], Shape::Down),
    ("CLIP_VISION", [0xa8, 0xda, 0xdc], Shape::Diamond),
    ("CONTROL_NET", [0x6e, 0xe7, 0xb7], Shape::Hexagon),
    ("STYLE_MODEL", [0xc2, 0xff, 0xae], Shape::Hexagon),
    ("NOISE", [0xb0, 0xb0, 0xb0], Shape::Circle),
    ("GUIDER", [0x66, 0xff, 0xff], Shape::Triangle),
    ("SAMPLER", [0xec, 0xb4, 0xb4], Shape::Down),
    ("SIGMAS", [0xcd, 0xff, 0xcd], Shape::Bar),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn text_can_be_read_on_everything_it_stands_on() {
        for theme in [Theme::dark(), Theme::light()] {
            let fills = [theme.canvas, theme.panel, theme.node, theme.title, theme.field];
            let inks = [theme.text, theme.dim];
            for (fill, ink) in fills.into_iter().flat_map(|fill| inks.map(|ink| (fill, ink))) {
                let contrast = contrast(ink, fill);
                assert!(contrast >= READABLE, "{ink:?} on {fill:?}: {contrast}");
            }
            for ink in [theme.accent, theme.error, theme.warning, theme.good] {
                let contrast = contrast(ink, theme.panel);
                assert!(contrast >= READABLE, "{ink:?} on panels: {contrast}");
            }
        }
    }

    #[test]
    fn text_can_be_read_on_any_colour_of_a_node() {
        for theme in [Theme::dark(), Theme::light()] {
            for (r, g, b) in (0..512).map(|i| ((i >> 6) * 36, (i >> 3 & 7) * 36, (i & 7) * 36)) {
                let fill = Color32::from_rgb(r as u8, g as u8, b as u8);
                assert!(contrast(theme.ink_on(fill), fill) >= READABLE, "{fill:?}");
                assert!(contrast(theme.dim_on(fill), fill) >= READABLE, "{fill:?}");
            }
        }
    }

    #[test]
    fn sockets_stand_out_and_the_common_ones_have_shapes_of_their_own() {
        for theme in [Theme::dark(), Theme::light()] {
            for (ty, ..) in SOCKETS {
                let contrast = contrast(theme.socket(ty), theme.node);
                assert!(contrast >= 3.0, "{ty}: {contrast}");
            }
        }
        let common = ["MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "IMAGE", "MASK"];
        assert_eq!(HashSet::from(common.map(shape)).len(), common.len());
    }

    #[test]
    fn contrast_is_that_of_the_rules() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 1e-3);
        assert!((contrast(Color32::from_gray(0x77), Color32::WHITE) - 4.48).abs() < 0.01);
    }
}
