//! The pictures on nodes: what a run has made, or what a node loads.

use super::{
    CanvasContext,
    brush::{Brush, Line},
};
use crate::{
    catalog::Catalog,
    doc::{Node, Widget},
    pictures::Picture,
    thumbnails::Thumbnail,
};
use egui::{Align2, Color32, Pos2, Rect, TextureHandle, Vec2, pos2, vec2};
use egui_material_icons::icons;
use graph::NodeType;

/// What stands in a node's place for pictures.
#[derive(Default)]
pub struct Images {
    pub textures: Vec<TextureHandle>,
    /// Below them: their size in pixels.
    caption: String,
    /// Instead of them: why there are none.
    fault: Option<String>,
}

/// Height of the words below pictures, in canvas units.
const CAPTION: f32 = 16.0;

/// Whether a node shows pictures now, or has a place for them.
pub fn any(node: &Node, cx: &CanvasContext) -> bool {
    let made = || cx.runs.node(node.id).is_some_and(|state| !state.images.is_empty());
    has_place(node, cx.catalog) || made()
}

/// Whether a node has a place for pictures before there are any: it loads one, or has room for those that
/// it will make.
pub fn has_place(node: &Node, catalog: &Catalog) -> bool {
    let takes = |ty: &NodeType| ty.inputs.iter().any(|input| input.ty == "IMAGE");
    let makes = || catalog.get(&node.class).is_some_and(|ty| ty.output_node && takes(ty));
    catalog.picture_input(&node.class).is_some() || node.size[1] >= ROOM && makes()
}

/// The height from which on a node has room for a picture.
const ROOM: f32 = 200.0;

/// The picture of the input folder that a node loads, by the widget with this name.
pub fn loaded(input: &str, widgets: &[Widget]) -> Option<Picture> {
    let widget = widgets.iter().find(|widget| widget.name == input && !widget.linked)?;
    widget.value.as_str().filter(|name| !name.is_empty()).map(Picture::input)
}

impl Images {
    /// `widgets` are the node's; most nodes can do without.
    pub fn of<'a>(node: &Node, widgets: impl FnOnce() -> &'a [Widget], cx: &CanvasContext) -> Self {
        let thumbnails = &cx.runs.thumbnails;
        if let Some(state) = cx.runs.node(node.id).filter(|state| !state.images.is_empty()) {
            let first = state.pictures.first().filter(|_| !state.running);
            let caption = match first.map(|picture| thumbnails.get(picture)) {
                Some(Thumbnail::Ready(_, size)) => caption(size, state.images.len()),
                _ => String::new(),
            };
            return Self { textures: state.images.clone(), caption, fault: None };
        }
        let input = cx.catalog.picture_input(&node.class);
        let loaded = input.and_then(|input| loaded(input, widgets()));
        match loaded.map(|picture| thumbnails.get(&picture)) {
            Some(Thumbnail::Ready(texture, size)) => {
                Self { textures: vec![texture], caption: caption(size, 1), fault: None }
            }
            Some(Thumbnail::Broken(why)) => Self { fault: Some(why), ..Self::default() },
            Some(Thumbnail::Loading) | None => Self::default(),
        }
    }

    /// Side by side in their place, as large as fits.
    pub fn paint(&self, brush: &Brush, place: Rect) {
        let theme = brush.theme;
        let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        for (rect, image) in self.grid(place) {
            brush.painter.image(image.id(), brush.view.rect_to_screen(rect), whole, Color32::WHITE);
        }
        let mut words = Line {
            at: pos2(place.center().x, place.bottom() - CAPTION / 2.0),
            anchor: Align2::CENTER_CENTER,
            size: 11.0,
            color: theme.dim,
            width: place.width(),
        };
        brush.text(words, &self.caption);
        if self.textures.is_empty() && self.fault.is_none() {
            brush.icon(icons::ICON_IMAGE, place.center(), 40.0, theme.outline);
        }
        if let Some(fault) = &self.fault {
            brush.icon(icons::ICON_BROKEN_IMAGE, place.center(), 28.0, theme.muted);
            words.at = place.center() + vec2(0.0, 26.0);
            brush.text(words, fault);
        }
    }

    /// The rectangle of each picture, in rows and columns.
    pub fn grid(&self, place: Rect) -> Vec<(Rect, &TextureHandle)> {
        let area = place.with_max_y(place.bottom() - CAPTION);
        let columns = (self.textures.len() as f32).sqrt().ceil().max(1.0);
        let rows = (self.textures.len() as f32 / columns).ceil().max(1.0);
        let cell = area.size() / vec2(columns, rows);
        let place = |i: usize, image: &TextureHandle| {
            let at = vec2(i as f32 % columns, (i as f32 / columns).floor());
            let cell = Rect::from_min_size(area.min + at * cell, cell).shrink(1.0);
            let size = Vec2::from(image.size().map(|n| n.max(1) as f32));
            Rect::from_center_size(cell.center(), size * (cell.size() / size).min_elem())
        };
        self.textures.iter().enumerate().map(|(i, image)| (place(i, image), image)).collect()
    }
}

fn caption([width, height]: [u32; 2], count: usize) -> String {
    let size = format!("{width} × {height}");
    if count > 1 { format!("{count} pictures, {size}") } else { size }
}
