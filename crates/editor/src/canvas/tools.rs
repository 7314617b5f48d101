//! What can be done with a node of its own kind: first in its menu, and as buttons in its title bar.

use super::{Event, brush::Brush, nodes::Look};
use crate::{
    doc::{Id, Node},
    theme::TITLE,
};
use egui::{Rect, Sense, Ui, Vec2, WidgetInfo, accesskit::Role, pos2};
use egui_material_icons::{MaterialIcon, icons};

/// A way to work with a node.
pub struct Tool {
    pub icon: MaterialIcon,
    pub title: &'static str,
    pub event: fn(Id) -> Event,
    /// Whether the node has a button for it.
    button: fn(&Node) -> bool,
    /// Whether its menu has a row for it; the second is whether it shows pictures.
    row: fn(&Node, bool) -> bool,
}

const TOOLS: &[Tool] = &[
    Tool {
        icon: icons::ICON_FULLSCREEN,
        title: "View at full size",
        event: |id| Event::OpenImage(id, 0),
        button: |_| false,
        row: |_, pictures| pictures,
    },
    Tool {
        icon: icons::ICON_BRUSH,
        title: "Edit the mask",
        event: Event::EditMask,
        button: |node| node.class.starts_with("LoadImage"),
        row: |_, pictures| pictures,
    },
    Tool {
        icon: icons::ICON_ASPECT_RATIO,
        title: "Drag the frame",
        event: Event::Outpaint,
        button: pads,
        row: |node, _| pads(node),
    },
];

fn pads(node: &Node) -> bool {
    node.class == crate::outpaint::CLASS
}

/// The distance between buttons, in canvas units.
const PITCH: f32 = 20.0;

/// Those that the node's menu has.
pub fn rows(node: &Node, pictures: bool) -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(move |tool| (tool.row)(node, pictures))
}

fn buttons(node: &Node) -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(move |tool| (tool.button)(node))
}

/// How much of the title bar they take, in canvas units.
pub fn width(node: &Node) -> f32 {
    buttons(node).count() as f32 * PITCH
}

/// Draws the buttons at the right end of the title bar.
pub fn show(ui: &Ui, brush: &Brush, look: &Look, events: &mut Vec<Event>) {
    let frame = look.placed.rect();
    let mut right = frame.right() - 4.0;
    for tool in buttons(look.node) {
        let at = pos2(right - PITCH / 2.0, frame.top() + TITLE / 2.0);
        let place = brush.view.rect_to_screen(Rect::from_center_size(at, Vec2::splat(PITCH)));
        let id = ui.scope_id().with(("tool", look.node.id, tool.title));
        let response = ui.interact(place, id, Sense::click());
        let name = format!("{}: {}", look.title, tool.title);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        let near = response.hovered() || response.has_focus();
        let color =
            if near { brush.theme.accent } else { brush.theme.dim_on(look.colors(brush).0) };
        brush.icon(tool.icon, at, 15.0, color);
        if response.on_hover_text(tool.title).clicked() {
            events.push((tool.event)(look.node.id));
        }
        right -= PITCH;
    }
}
