//! What a pointer does to the graph: each press begins one gesture, each gesture is one step of undo.

use super::{
    Canvas, CanvasContext, Event, GRID, Purpose,
    brush::Brush,
    links::Curve,
    scene::{Hit, Scene, Socket},
};
use crate::doc::{self, Doc, History, Id, LinkId, Part};
use egui::{
    CursorIcon, Key, Modifiers, PointerButton, Pos2, Rect, Response, Stroke, StrokeKind, Ui, Vec2,
    vec2,
};
use std::collections::BTreeSet;

/// What the pointer is doing.
#[derive(Clone, Debug)]
pub enum Gesture {
    None,
    Pan,
    /// A box from a canvas point, adding to what was selected before.
    Box {
        from: Pos2,
        before: Part,
    },
    /// Nodes and groups on their way from where they were.
    Move {
        from: Pos2,
        nodes: Vec<(Id, Pos2)>,
        groups: Vec<(usize, Rect)>,
        /// The link that the one node would go into.
        onto: Option<LinkId>,
    },
    Resize {
        id: Id,
        from: Pos2,
        size: Vec2,
    },
    ResizeGroup {
        group: usize,
        from: Pos2,
        frame: Rect,
    },
    Link(PendingLink),
    Minimap,
}

/// A link of which one end is in hand.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingLink {
    /// The end that stays.
    pub fixed: Socket,
    pub ty: String,
    /// The link that is being moved elsewhere.
    pub moved: Option<LinkId>,
    /// Nodes that would make a ring.
    barred: BTreeSet<Id>,
    /// What sockets of the other side there are that fit.
    fitting: BTreeSet<(Id, usize)>,
}

impl PendingLink {
    pub fn new(doc: &Doc, fixed: Socket, moved: Option<LinkId>) -> Self {
        let side = doc.node(fixed.node).map(|n| if fixed.output { &n.outputs } else { &n.inputs });
        let ty = match fixed.output {
            true => doc.output_type((fixed.node, fixed.slot)),
            false => side.and_then(|s| s.get(fixed.slot)).map_or("*", |slot| &slot.ty),
        };
        let ty = ty.to_owned();
        let mut new =
            Self { fixed, ty, moved, barred: reach(doc, fixed), fitting: BTreeSet::new() };
        new.fitting = doc.nodes().flat_map(|node| new.fits(node)).collect();
        new
    }

    fn fits(&self, node: &doc::Node) -> Vec<(Id, usize)> {
        let side = if self.fixed.output { &node.inputs } else { &node.outputs };
        let fit = |ty: &str| {
            if self.fixed.output { doc::fits(&self.ty, ty) } else { doc::fits(ty, &self.ty) }
        };
        let fitting = side.iter().enumerate().filter(|(_, slot)| fit(&slot.ty));
        let free = !self.barred.contains(&node.id);
        fitting.filter(|_| free).map(|(slot, _)| (node.id, slot)).collect()
    }

    /// Whether a node of the class could be linked to what is in hand.
    pub fn fits_class(&self, class: &graph::NodeType) -> bool {
        if self.fixed.output {
            class.inputs.iter().any(|input| doc::fits(&self.ty, input.ty))
        } else {
            class.outputs.iter().any(|output| doc::fits(output.ty, &self.ty))
        }
    }

    /// Whether the link may end at the socket; where it begins counts too.
    pub fn may_end(&self, _: &Scene, socket: Socket) -> bool {
        socket == self.fixed
            || socket.output != self.fixed.output
                && self.fitting.contains(&(socket.node, socket.slot))
    }

    /// Output and input, once the other end is known.
    pub fn ends(&self, other: (Id, usize)) -> [(Id, usize); 2] {
        let fixed = (self.fixed.node, self.fixed.slot);
        if self.fixed.output { [fixed, other] } else { [other, fixed] }
    }

    /// Links what is in hand to the first socket of a node that fits.
    pub fn finish(&self, doc: &mut Doc, node: Id) -> bool {
        let Some(it) = doc.node(node) else { return false };
        let fitting = self.fits(it);
        fitting.into_iter().any(|other| {
            let [from, to] = self.ends(other);
            doc.connect(from, to).is_some()
        })
    }
}

/// The node itself, and those from which links lead to it, or to which links lead from it.
fn reach(doc: &Doc, fixed: Socket) -> BTreeSet<Id> {
    let mut seen = BTreeSet::from([fixed.node]);
    loop {
        let count = seen.len();
        for link in doc.links.values() {
            let (near, far) =
                if fixed.output { (link.to, link.from) } else { (link.from, link.to) };
            if seen.contains(&near) {
                seen.insert(far);
            }
        }
        if seen.len() == count {
            return seen;
        }
    }
}

/// A place on the grid.
pub fn on_grid(at: Pos2) -> Pos2 {
    ((at.to_vec2() / GRID).round() * GRID).to_pos2()
}

impl Canvas {
    /// Follows the pointer: `response` is that of everything that is not a widget.
    pub(super) fn touch(
        &mut self,
        ui: &Ui,
        response: &Response,
        history: &mut History,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        self.show_cursor(ui);
        let modifiers = ui.input(|i| i.modifiers);
        let pointer = response.interact_pointer_pos().or_else(|| ui.ctx().pointer_latest_pos());
        let Some(at) = pointer.map(|p| self.view.to_canvas(p)) else { return };
        if response.drag_started_by(PointerButton::Primary) {
            let origin = ui.input(|i| i.pointer.press_origin()).unwrap_or_default();
            let space = ui.input(|i| i.key_down(Key::Space));
            ui.memory_mut(|m| m.stop_text_input());
            self.begin(origin, if space { Modifiers::NONE } else { modifiers }, space, history);
        }
        if response.dragged_by(PointerButton::Primary) {
            self.go_on(at, response.drag_delta(), history);
        }
        if response.drag_stopped_by(PointerButton::Primary) {
            self.finish(at, history, cx, events);
        }
        if response.double_clicked() {
            self.double_click(at, ui, history.doc(), cx, events);
        } else if response.clicked_by(PointerButton::Primary) {
            self.click(modifiers, history);
        }
    }

    fn show_cursor(&self, ui: &Ui) {
        let icon = match (&self.gesture, self.hover) {
            (Gesture::Pan, _) => CursorIcon::Grabbing,
            (Gesture::Resize { .. } | Gesture::ResizeGroup { .. }, _)
            | (Gesture::None, Hit::Corner(_) | Hit::GroupCorner(_)) => CursorIcon::ResizeNwSe,
            (Gesture::None, Hit::Socket(_)) => CursorIcon::Crosshair,
            (Gesture::None, Hit::Middle(_) | Hit::Link(_)) => CursorIcon::PointingHand,
            _ => return,
        };
        ui.set_cursor_icon(icon);
    }

    fn begin(&mut self, origin: Pos2, modifiers: Modifiers, pan: bool, history: &mut History) {
        self.gestures += 1;
        if self.minimap_rect().is_some_and(|rect| rect.contains(origin)) {
            self.gesture = Gesture::Minimap;
            return;
        }
        let at = self.view.to_canvas(origin);
        let hit = if pan { Hit::Nothing } else { self.scene.hit(at, self.view.zoom()) };
        self.gesture = match hit {
            Hit::Socket(socket) => Gesture::Link(self.take_link(socket, modifiers, history.doc())),
            Hit::Corner(id) => {
                let size = self.scene.get(id).map(|n| n.layout.body).unwrap_or_default();
                Gesture::Resize { id, from: at, size }
            }
            Hit::GroupCorner(group) => {
                Gesture::ResizeGroup { group, from: at, frame: self.scene.groups[group] }
            }
            Hit::GroupTitle(_) | Hit::Title(_) | Hit::Body(_) | Hit::Fold(_) => {
                self.select_for_moving(hit, modifiers);
                if modifiers.alt {
                    self.pull_copies(modifiers, history);
                }
                self.moving(at, &self.part(), history.doc())
            }
            Hit::Middle(link) => self.pull_reroute(link, at, history),
            _ if modifiers.command || modifiers.shift => {
                let before = Part { nodes: self.selection.clone(), groups: self.groups.clone() };
                let before = if modifiers.shift { before } else { Part::default() };
                Gesture::Box { from: at, before }
            }
            _ => Gesture::Pan,
        };
    }

    /// A new link from the socket, or the end of the link that feeds it; with Shift always a new one.
    fn take_link(&self, socket: Socket, modifiers: Modifiers, doc: &Doc) -> PendingLink {
        let fed =
            doc.link_into(socket.node, socket.slot).filter(|_| !socket.output && !modifiers.shift);
        match fed.and_then(|id| Some((id, doc.links.get(&id)?))) {
            Some((id, link)) => {
                let from = Socket { node: link.from, slot: link.from_slot, output: true };
                PendingLink::new(doc, from, Some(id))
            }
            None => PendingLink::new(doc, socket, None),
        }
    }

    pub(super) fn groups_inside(&self, frame: Rect) -> impl Iterator<Item = usize> {
        let groups = self.scene.groups.iter().enumerate();
        groups.filter(move |(_, rect)| frame.contains_rect(**rect)).map(|(i, _)| i)
    }

    fn moving(&self, from: Pos2, part: &Part, doc: &Doc) -> Gesture {
        let free = part.nodes.iter().filter_map(|id| doc.node(*id)).filter(|n| !n.pinned);
        let frame = |i: &usize| Some((*i, super::scene::rect(doc.groups.get(*i)?.bounding)));
        Gesture::Move {
            from,
            nodes: free.map(|n| (n.id, n.pos.into())).collect(),
            groups: part.groups.iter().filter_map(frame).collect(),
            onto: None,
        }
    }

    /// A reroute in the middle of a link, which then follows the pointer.
    fn pull_reroute(&mut self, link: LinkId, at: Pos2, history: &mut History) -> Gesture {
        let made = history
            .edit_merged("Add a reroute", self.key(), |doc| doc.insert_reroute(link, at.into()));
        let Some(id) = made else { return Gesture::Pan };
        self.select(Part { nodes: BTreeSet::from([id]), ..Part::default() });
        self.moving(at, &self.part(), history.doc())
    }

    /// What the changes of this gesture are merged by.
    pub(super) fn key(&self) -> u64 {
        self.gestures << 32
    }

    fn go_on(&mut self, at: Pos2, moved: Vec2, history: &mut History) {
        let key = self.key();
        match self.gesture.clone() {
            Gesture::Pan => self.view.pan(moved),
            Gesture::Box { from, before } => {
                let area = Rect::from_two_pos(from, at);
                let groups = self.groups_inside(area).collect();
                self.selection = &before.nodes | &self.scene.touched(area);
                self.groups = &before.groups | &groups;
            }
            Gesture::Move { from, nodes, groups, .. } => {
                let first = nodes.first().map(|n| n.1).or(groups.first().map(|g| g.1.min));
                let by = self.step(at - from, first);
                history.edit_merged("Move", key, |doc| shift(doc, &nodes, &groups, by));
                let under = self.onto(history.doc());
                if let Gesture::Move { onto, .. } = &mut self.gesture {
                    *onto = under;
                }
            }
            Gesture::Resize { id, from, size } => {
                let size = (size + (at - from)).max(vec2(120.0, 30.0));
                let size = if self.snapping { on_grid(size.to_pos2()).to_vec2() } else { size };
                history.edit_merged("Resize", key, |doc| doc.resize(id, size.into()));
            }
            Gesture::ResizeGroup { group, from, frame } => {
                let size = (frame.size() + (at - from)).max(vec2(140.0, 80.0));
                history.edit_merged("Resize a group", key, |doc| {
                    if let Some(group) = doc.groups.get_mut(group) {
                        [group.bounding[2], group.bounding[3]] = size.into();
                    }
                });
            }
            Gesture::Minimap => self.look_at_minimap(at),
            Gesture::Link(_) | Gesture::None => {}
        }
    }

    /// The link that the node on its way would go into.
    fn onto(&self, doc: &Doc) -> Option<LinkId> {
        let Gesture::Move { nodes, groups, .. } = &self.gesture else { return None };
        let [(id, _)] = nodes[..] else { return None };
        groups.is_empty().then(|| self.link_under(id, doc))?
    }

    /// The movement that brings `first` onto the grid.
    fn step(&self, by: Vec2, first: Option<Pos2>) -> Vec2 {
        match first {
            Some(first) if self.snapping => on_grid(first + by) - first,
            _ => by,
        }
    }

    fn finish(
        &mut self,
        at: Pos2,
        history: &mut History,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        let key = self.key();
        match std::mem::replace(&mut self.gesture, Gesture::None) {
            Gesture::Link(pending) => self.drop_link(pending, at, history, cx, events),
            Gesture::Move { nodes, onto: Some(link), .. } => {
                history.edit_merged("Insert a node", key, |doc| doc.insert_on(link, nodes[0].0));
            }
            _ => {}
        }
        history.settle();
    }

    fn drop_link(
        &mut self,
        pending: PendingLink,
        at: Pos2,
        history: &mut History,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        let target = self.target(&pending, at).or_else(|| self.on_node(&pending, at, cx));
        match (target, pending.moved) {
            (Some(socket), moved) => history.edit("Connect", |doc| {
                let [from, to] = pending.ends((socket.node, socket.slot));
                let made = doc.connect(from, to);
                if let Some(old) = moved.filter(|old| made.is_some_and(|new| new != *old)) {
                    doc.disconnect(old);
                }
            }),
            (None, Some(link)) => history.edit("Disconnect", |doc| doc.disconnect(link)),
            (None, None) if self.scene.hit(at, self.view.zoom()).node().is_none() => {
                let screen = self.view.to_screen(at);
                events.push(Event::OpenPalette {
                    at: at.into(),
                    screen,
                    purpose: Purpose::Fit(pending),
                });
            }
            (None, None) => {}
        }
    }

    /// The socket that a link in hand would be linked to.
    fn target(&self, pending: &PendingLink, at: Pos2) -> Option<Socket> {
        let fits = |s: Socket| s != pending.fixed && pending.may_end(&self.scene, s);
        self.scene.snap(at, self.view.zoom(), fits)
    }

    /// Dropped anywhere on a node: its first socket that fits and is free.
    fn on_node(&self, pending: &PendingLink, at: Pos2, _: &CanvasContext) -> Option<Socket> {
        let id = self.scene.hit(at, self.view.zoom()).node()?;
        let placed = self.scene.get(id)?;
        let free = |s: &Socket| *s != pending.fixed && pending.may_end(&self.scene, *s);
        let mut sockets = placed.sockets().map(|(s, _)| s).filter(free);
        let first = sockets.next()?;
        let open = std::iter::once(first)
            .chain(sockets)
            .find(|s| s.output || !self.scene.linked.contains(s));
        open.or(Some(first))
    }

    fn click(&mut self, modifiers: Modifiers, history: &mut History) {
        match self.hover {
            Hit::Fold(id) => {
                let open = history.doc().node(id).is_some_and(|n| !n.collapsed);
                history.edit("Collapse", |doc| doc.set_collapsed(&BTreeSet::from([id]), open));
            }
            hit => self.select_clicked(hit, modifiers),
        }
    }

    fn double_click(
        &mut self,
        at: Pos2,
        ui: &Ui,
        doc: &Doc,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        match self.hover {
            Hit::Title(id) => {
                self.rename = Some(super::rename::Rename::new(super::rename::Target::Node(id)))
            }
            Hit::GroupTitle(group) => {
                self.rename = Some(super::rename::Rename::new(super::rename::Target::Group(group)));
            }
            Hit::Body(id) => {
                if let Some(image) = self.picture_at(id, at, cx) {
                    events.push(Event::OpenImage(id, image));
                } else if doc.node(id).is_some_and(|n| cx.catalog.get(&n.class).is_none()) {
                    events.push(Event::EnterSubgraph(id));
                }
            }
            Hit::Nothing | Hit::Link(_) => {
                let screen = ui.ctx().pointer_latest_pos().unwrap_or(self.view.to_screen(at));
                events.push(Event::OpenPalette { at: at.into(), screen, purpose: Purpose::Add });
            }
            _ => {}
        }
    }

    fn picture_at(&self, id: Id, at: Pos2, cx: &CanvasContext) -> Option<usize> {
        let placed = self.scene.get(id)?;
        let area = placed.layout.picture?.translate(placed.pos.to_vec2());
        let images = &cx.runs.node(id)?.images;
        super::nodes::grid(area, images).iter().position(|(rect, _)| rect.contains(at))
    }

    /// The box, or the link in hand.
    pub(super) fn paint_gesture(&self, brush: &Brush, _: &Doc) {
        let Some(pointer) = brush.painter.ctx().pointer_latest_pos() else { return };
        let at = self.view.to_canvas(pointer);
        match &self.gesture {
            Gesture::Box { from, .. } => {
                let area = self.view.rect_to_screen(Rect::from_two_pos(*from, at));
                let color = brush.theme.accent;
                let stroke = Stroke::new(1.0, color);
                brush.painter.rect(
                    area,
                    2.0,
                    color.gamma_multiply(0.12),
                    stroke,
                    StrokeKind::Inside,
                );
            }
            Gesture::Link(pending) => {
                let Some(fixed) = self.scene.socket(pending.fixed) else { return };
                let target = self.target(pending, at);
                let free = target.and_then(|s| self.scene.socket(s)).unwrap_or(at);
                let (from, to) = if pending.fixed.output { (fixed, free) } else { (free, fixed) };
                let (from, to) = (self.view.to_screen(from), self.view.to_screen(to));
                let color = brush.theme.socket(&pending.ty);
                let width = (3.0 * brush.zoom).max(1.5);
                brush.painter.add(Curve::new(from, to, brush.zoom).shape(width, color));
                if target.is_some() {
                    let end = if pending.fixed.output { to } else { from };
                    brush.painter.circle_stroke(
                        end,
                        (9.0 * brush.zoom).max(5.0),
                        Stroke::new(2.0, color),
                    );
                }
            }
            Gesture::Move { onto: Some(link), .. } => self.paint_target(brush, *link),
            _ => {}
        }
    }

    /// The link that a node is about to go into.
    fn paint_target(&self, brush: &Brush, link: LinkId) {
        for wire in self.scene.links.iter().filter(|wire| wire.id == link) {
            let [from, to] = [wire.curve.from, wire.curve.to].map(|end| self.view.to_screen(end));
            let curve = Curve::new(from, to, brush.zoom);
            brush.painter.add(curve.shape((5.0 * brush.zoom).max(3.0), brush.theme.accent));
        }
    }

    /// The link that hangs on the pointer instead of where it was.
    pub(super) fn lifted(&self) -> Option<LinkId> {
        match &self.gesture {
            Gesture::Link(pending) => pending.moved,
            _ => None,
        }
    }
}

/// Puts nodes and groups where they were, and `by` from there.
fn shift(doc: &mut Doc, nodes: &[(Id, Pos2)], groups: &[(usize, Rect)], by: Vec2) {
    for (id, start) in nodes {
        let to = *start + by;
        if let Some(node) = doc.node(*id) {
            let step = to - Pos2::from(node.pos);
            doc.move_by(&BTreeSet::from([*id]), step.into());
        }
    }
    for (group, start) in groups {
        if let Some(group) = doc.groups.get_mut(*group) {
            let min = start.min + by;
            [group.bounding[0], group.bounding[1]] = min.into();
        }
    }
}
