//! The graph on screen: drawing it and touching it.
//!
//! Everything is laid out in screen coordinates, node by node in drawing order, so that text is crisp at
//! every zoom and what lies above takes the pointer. What a person does becomes a change of the document
//! ([`crate::doc::History`]), or an [`Event`] where it concerns more than the graph.

mod border;
mod brush;
mod choices;
mod color;
mod combo;
mod far;
mod faults;
mod gestures;
mod groups;
pub mod images;
mod layout;
mod levels;
mod links;
mod menus;
mod minimap;
mod nodes;
mod notes;
mod numbers;
mod part;
mod pending;
mod point;
mod prompt;
mod rename;
mod reroutes;
mod route;
mod scene;
mod show;
mod tools;
mod view;
mod widgets;

pub use nodes::title;
pub use pending::PendingLink;
pub use point::Pointed;
pub use route::Style;
pub use scene::Socket;
pub use view::View;

use crate::{
    catalog::Catalog,
    doc::{History, Id, Part, RerouteId},
    runs::Runs,
    theme::Theme,
};
use brush::Brush;
use egui::{Pos2, Rect, Response, Sense, Ui, Vec2, vec2};
use gestures::Gesture;
use scene::{Hit, Scene};
use std::collections::{BTreeSet, HashMap};

/// Distance of the grid's lines, in canvas units.
pub const GRID: f32 = 10.0;

/// The graph that is seen, and what is selected of it.
pub struct Canvas {
    pub view: View,
    pub selection: BTreeSet<Id>,
    /// The reroutes that are selected.
    pub reroutes: BTreeSet<RerouteId>,
    pub link_style: Style,
    /// Whether only the links of nodes that are selected or pointed at are drawn.
    pub links_hidden: bool,
    /// The level that is seen, by the instances that lead there, and how others were left.
    level: Vec<Id>,
    left: HashMap<Vec<Id>, levels::Left>,
    /// The groups that are selected, by their places.
    pub groups: BTreeSet<usize>,
    /// Whether nodes keep to the grid when they are moved.
    pub snapping: bool,
    pub minimap: bool,
    scene: Scene,
    gesture: Gesture,
    /// What is under the pointer.
    hover: Hit,
    /// What the open menu is about, and where on the canvas it was asked for.
    menu: (Hit, Pos2),
    rename: Option<rename::Rename>,
    markdown: notes::Markdown,
    /// The node whose first widget is to have the focus.
    focus: Option<Id>,
    /// The node that has the focus itself, and its name in egui.
    focused: Option<(Id, egui::Id)>,
    /// To be shown whole as soon as the size of the screen is known; empty for everything.
    fit: Option<BTreeSet<Id>>,
    pointed: Option<point::Pointed>,
    /// Counts gestures: changes of one are one step.
    gestures: u64,
}

/// What the canvas draws from, beside the document.
#[derive(Clone, Copy)]
pub struct CanvasContext<'a> {
    pub catalog: &'a Catalog,
    pub theme: &'a Theme,
    pub runs: &'a Runs,
    /// The ids of the window's actions that can be done now.
    pub able: &'a BTreeSet<&'static str>,
}

/// What a person asked for that is not the canvas's own to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// To choose a new node for a place on the canvas, perhaps one that fits a link in hand.
    OpenPalette {
        at: [f32; 2],
        screen: Pos2,
        purpose: Purpose,
    },
    /// A picture that a node shows.
    OpenImage(Id, usize),
    EditMask(Id),
    /// The frame of a node that adds borders.
    Outpaint(Id),
    EnterSubgraph(Id),
    /// A class's help.
    Help(String),
    /// To add a file to a list of files: the node and the input.
    Upload(Id, String),
    /// One of the window's actions, by its id.
    Action(&'static str),
}

/// What a new node is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Purpose {
    #[default]
    Add,
    /// To be linked to an end of a link that was dropped.
    Fit(PendingLink),
    /// To be put into a link.
    Insert(crate::doc::LinkId),
}

impl Default for Canvas {
    fn default() -> Self {
        Self {
            view: View::default(),
            selection: BTreeSet::new(),
            reroutes: BTreeSet::new(),
            link_style: Style::default(),
            links_hidden: false,
            level: Vec::new(),
            left: HashMap::new(),
            groups: BTreeSet::new(),
            snapping: true,
            minimap: true,
            scene: Scene::default(),
            gesture: Gesture::None,
            hover: Hit::Nothing,
            menu: (Hit::Nothing, Pos2::ZERO),
            rename: None,
            markdown: notes::Markdown::default(),
            focus: None,
            focused: None,
            fit: Some(BTreeSet::new()),
            pointed: None,
            gestures: 0,
        }
    }
}

impl Canvas {
    /// Shows the nodes whole, or everything if there are none.
    pub fn fit(&mut self, ids: &BTreeSet<Id>) {
        self.fit = Some(ids.clone());
    }

    /// Zooms by steps about the middle of the screen.
    pub fn zoom_by(&mut self, steps: i32) {
        self.view.zoom_by(steps, self.view.screen.center());
    }

    /// Brings a node into the middle of the screen, and selects it.
    pub fn scroll_to(&mut self, id: Id) {
        self.select(Part { nodes: BTreeSet::from([id]), ..Part::default() });
        if let Some(rect) = self.scene.around(&self.selection) {
            self.view.center(rect.center());
        }
    }

    /// Around everything, in canvas units.
    pub fn bounds(&self) -> Option<Rect> {
        self.scene.bounds
    }

    /// The node at a point of the screen.
    pub fn node_at(&self, screen: Pos2) -> Option<Id> {
        self.scene.hit(self.view.to_canvas(screen), self.view.zoom(), false).node()
    }

    /// Lets the title of a node be typed.
    pub fn rename(&mut self, id: Id) {
        self.rename = Some(rename::Rename::new(rename::Target::Node(id)));
    }

    /// Lets the title of a group be typed.
    pub fn rename_group(&mut self, group: usize) {
        self.rename = Some(rename::Rename::new(rename::Target::Group(group)));
    }

    /// Brings a node into the middle, large enough to be read, and gives the keys to its first widget.
    pub fn focus(&mut self, id: Id) {
        self.view.readable();
        self.scroll_to(id);
        self.focus = Some(id);
    }

    /// Whether keys for what is selected may mean the canvas: nothing has the focus, or a node has.
    pub fn takes_keys(&self, focused: Option<egui::Id>) -> bool {
        focused.is_none() || focused == self.focused.map(|(_, body)| body)
    }

    /// Where on the canvas the pointer is, or else the middle of what is seen: the place for new things.
    pub fn place(&self, ctx: &egui::Context) -> [f32; 2] {
        let pointer = ctx.pointer_latest_pos().filter(|p| self.view.screen.contains(*p));
        self.view.to_canvas(pointer.unwrap_or(self.view.screen.center())).into()
    }

    /// Draws the graph into the room that is left, and changes it as a person wants.
    pub fn ui(&mut self, ui: &mut Ui, history: &mut History, cx: &CanvasContext) -> Vec<Event> {
        let rect = ui.available_rect_before_wrap();
        self.view.screen = rect;
        let id = ui.scope_id().with("canvas");
        ui.advance_cursor_after_rect(rect);
        let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(rect).scope_id(id));
        ui.shrink_clip_rect(rect);
        let background = ui.interact(rect, id.with("background"), Sense::click_and_drag());
        background.widget_info(|| {
            egui::WidgetInfo::labeled(egui::accesskit::Role::Canvas, true, "Graph")
        });
        self.navigate(&ui);
        self.follow_level(history.file());
        self.scene.update(
            history.file(),
            history.revision(),
            cx.catalog,
            cx.runs.with_pictures(),
            self.link_style,
        );
        self.reroutes.retain(|id| history.doc().reroutes.contains_key(id));
        self.selection.retain(|id| self.scene.get(*id).is_some());
        self.groups.retain(|group| *group < self.scene.groups.len());
        if let Some(rect) = self.fit.take().and_then(|ids| self.scene.around(&ids)) {
            self.view.fit(rect);
        }
        self.seek(&ui, history.file(), cx);
        self.hover = self.under_pointer(&ui);
        self.pass_focus(&ui);
        let mut shown = self.draw(&mut ui, background, history, cx);
        self.follow_focus(shown.focused);
        self.show_rename(&mut ui, history, cx);
        self.touch(&ui, &shown.response, history, cx, &mut shown.events);
        self.menus(&shown.response, history, cx, &mut shown.events);
        self.obey(shown.wishes, history, cx, &mut shown.events);
        shown.events
    }

    /// The node that gets the focus is selected.
    fn follow_focus(&mut self, focused: Option<(Id, egui::Id)>) {
        if let Some((id, _)) = focused.filter(|now| self.focused != Some(*now)) {
            self.select(Part { nodes: BTreeSet::from([id]), ..Part::default() });
        }
        self.focused = focused;
    }

    /// From the node whose first widget is wanted the focus goes on, in the frame after it got it.
    fn pass_focus(&mut self, ui: &Ui) {
        if self.focus.is_some() && self.focus == self.focused.map(|(id, _)| id) {
            self.focus = None;
            ui.memory_mut(|m| m.move_focus(egui::FocusDirection::Next));
        }
    }

    fn under_pointer(&self, ui: &Ui) -> Hit {
        let pointer = ui.ctx().pointer_hover_pos().filter(|p| self.view.screen.contains(*p));
        let Some(at) = pointer.filter(|p| ui.ctx().layer_id_at(*p) == Some(ui.layer_id())) else {
            return Hit::Nothing;
        };
        self.hit(self.view.to_canvas(at))
    }

    /// What lies under a canvas point and can be seen.
    fn hit(&self, at: Pos2) -> Hit {
        self.scene.hit(at, self.view.zoom(), !self.links_hidden)
    }

    /// Wheel, middle button and space: these work over nodes too.
    fn navigate(&mut self, ui: &Ui) {
        let Some(at) = ui.ctx().pointer_hover_pos().filter(|p| self.view.screen.contains(*p))
        else {
            return;
        };
        if ui.ctx().layer_id_at(at) != Some(ui.layer_id()) {
            return;
        }
        let (wheel, pinch, middle, moved) = ui.input(|i| {
            (i.smooth_scroll_delta().y, i.zoom_delta(), i.pointer.middle_down(), i.pointer.delta())
        });
        let typing_here = ui.memory(|m| m.focused()).and_then(|id| ui.ctx().read_response(id));
        if typing_here.is_some_and(|r| r.rect.contains(at)) {
            return;
        }
        if pinch != 1.0 {
            self.view.wheel(pinch.ln() * 280.0, at);
        } else if wheel != 0.0 {
            self.view.wheel(wheel, at);
            ui.input_mut(|i| i.smooth_scroll_delta = Vec2::ZERO);
        }
        if middle {
            self.view.pan(moved);
        }
    }

    fn draw(
        &self,
        ui: &mut Ui,
        background: Response,
        history: &History,
        cx: &CanvasContext,
    ) -> show::Shown {
        let brush = Brush::new(ui.painter().clone(), cx.theme, &self.view);
        self.paint_grid(&brush);
        self.paint_groups(&brush, history.doc());
        self.paint_links(&brush);
        self.paint_reroutes(&brush);
        let mut shown = show::Shown::new(background);
        if self.view.overview() {
            self.paint_far(&brush, history, cx);
        } else {
            self.name_reroutes(ui);
            self.show_nodes(ui, &brush, history, cx, &mut shown);
        }
        self.paint_pointed(&brush, history.file(), cx);
        self.paint_gesture(&brush, history.doc());
        if self.minimap {
            self.paint_minimap(&brush, history.doc());
        }
        shown
    }

    fn paint_grid(&self, brush: &Brush) {
        brush.painter.rect_filled(self.view.screen, 0.0, brush.theme.canvas);
        let mut pitch = GRID * 2.0;
        while pitch * brush.zoom < 20.0 {
            pitch *= 5.0;
        }
        let visible = self.view.visible();
        let first = (visible.min.to_vec2() / pitch).ceil() * pitch;
        let count = ((visible.max.to_vec2() - first) / pitch).floor();
        let stroke = egui::Stroke::new(1.0, brush.theme.grid);
        let round = |x: f32| x.round() + 0.5;
        for i in 0..=count.x.max(0.0) as usize {
            let at = self.view.to_screen((first + vec2(i as f32 * pitch, 0.0)).to_pos2());
            brush.painter.vline(round(at.x), self.view.screen.y_range(), stroke);
        }
        for i in 0..=count.y.max(0.0) as usize {
            let at = self.view.to_screen((first + vec2(0.0, i as f32 * pitch)).to_pos2());
            brush.painter.hline(self.view.screen.x_range(), round(at.y), stroke);
        }
    }

    /// The part of the canvas on which things are drawn: what is seen, and a little more for what hangs over.
    fn drawn(&self) -> Rect {
        self.view.visible().expand(80.0)
    }
}
