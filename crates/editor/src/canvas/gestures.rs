//! What a pointer does to the graph: each press begins one gesture, each gesture is one step of undo.

use super::{
    Canvas, CanvasContext, Event, GRID, Purpose,
    brush::Brush,
    links::Curve,
    pending::PendingLink,
    scene::{Hit, Socket},
};
use crate::doc::{Doc, File, History, Id, LinkId, Part, RerouteId};
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
    /// Nodes, groups and reroutes on their way from where they were.
    Move {
        from: Pos2,
        nodes: Vec<(Id, Pos2)>,
        groups: Vec<(usize, Rect)>,
        reroutes: Vec<(RerouteId, Pos2)>,
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
            self.double_click(at, ui, history.file(), cx, events);
        } else if response.clicked_by(PointerButton::Primary) {
            self.click(at, modifiers, history);
        }
    }

    fn show_cursor(&self, ui: &Ui) {
        let icon = match (&self.gesture, self.hover) {
            (Gesture::Pan, _) => CursorIcon::Grabbing,
            (Gesture::Resize { .. } | Gesture::ResizeGroup { .. }, _)
            | (Gesture::None, Hit::Corner(_) | Hit::GroupCorner(_)) => CursorIcon::ResizeNwSe,
            (Gesture::None, Hit::Socket(_)) => CursorIcon::Crosshair,
            (Gesture::None, Hit::Reroute(_)) => CursorIcon::Grab,
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
        let hit = if pan { Hit::Nothing } else { self.hit(at) };
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
            Hit::Reroute(id) if modifiers.shift => {
                self.branch(id, history.doc()).map_or(Gesture::Pan, Gesture::Link)
            }
            Hit::Reroute(id) => {
                if !self.reroutes.contains(&id) {
                    self.pick(id, modifiers);
                }
                self.moving(at, &self.part(), history.doc())
            }
            Hit::Middle(link) => self.pull_reroute(link, at, history),
            Hit::Link(link) if modifiers.alt => self.pull_reroute(link, at, history),
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

    fn pick(&mut self, id: RerouteId, modifiers: Modifiers) {
        if !modifiers.command && !modifiers.shift {
            self.select(Part::default());
        }
        self.reroutes.insert(id);
    }

    pub(super) fn groups_inside(&self, frame: Rect) -> impl Iterator<Item = usize> {
        let groups = self.scene.groups.iter().enumerate();
        groups.filter(move |(_, rect)| frame.contains_rect(**rect)).map(|(i, _)| i)
    }

    fn moving(&self, from: Pos2, part: &Part, doc: &Doc) -> Gesture {
        let free = part.nodes.iter().filter_map(|id| doc.node(*id)).filter(|n| !n.pinned);
        let frame = |i: &usize| Some((*i, super::scene::rect(doc.groups.get(*i)?.bounding)));
        let reroutes = self.reroutes.iter().filter_map(|id| Some((*id, doc.reroutes.get(id)?.pos)));
        Gesture::Move {
            from,
            nodes: free.map(|n| (n.id, n.pos.into())).collect(),
            groups: part.groups.iter().filter_map(frame).collect(),
            reroutes: reroutes.map(|(id, pos)| (id, pos.into())).collect(),
            onto: None,
        }
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
                self.reroutes = self.scene.reroutes_in(area);
            }
            Gesture::Move { from, nodes, groups, reroutes, .. } => {
                let firsts = [nodes.first().map(|n| n.1), groups.first().map(|g| g.1.min)];
                let first = firsts.into_iter().flatten().next().or(reroutes.first().map(|r| r.1));
                let by = self.step(at - from, first);
                history.edit_merged("Move", key, |doc| {
                    shift(doc, &nodes, &groups, by);
                    for (id, start) in &reroutes {
                        doc.place_reroute(*id, (*start + by).into());
                    }
                });
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
                doc.plug(from, to, pending.via, moved);
            }),
            (None, Some(link)) => history.edit("Disconnect", |doc| doc.disconnect(link)),
            (None, None) if self.hit(at).node().is_none() => {
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
        let id = self.hit(at).node()?;
        let placed = self.scene.get(id)?;
        let free = |s: &Socket| *s != pending.fixed && pending.may_end(&self.scene, *s);
        let mut sockets = placed.sockets().map(|(s, _)| s).filter(free);
        let first = sockets.next()?;
        let open = std::iter::once(first)
            .chain(sockets)
            .find(|s| s.output || !self.scene.linked.contains_key(s));
        open.or(Some(first))
    }

    fn click(&mut self, at: Pos2, modifiers: Modifiers, history: &mut History) {
        match self.hover {
            Hit::Link(link) | Hit::Middle(link) if modifiers.alt => {
                history.edit("Add a reroute", |doc| self.add_reroute(doc, link, at));
            }
            Hit::Reroute(id) if modifiers.command || modifiers.shift => {
                super::part::toggle(&mut self.reroutes, id);
            }
            Hit::Reroute(id) => self.pick(id, modifiers),
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
        file: &File,
        cx: &CanvasContext,
        events: &mut Vec<Event>,
    ) {
        match self.hover {
            Hit::Title(id) if file.subgraph_name(id).is_some() => {
                events.push(Event::EnterSubgraph(id));
            }
            Hit::Title(id) => {
                self.rename = Some(super::rename::Rename::new(super::rename::Target::Node(id)))
            }
            Hit::GroupTitle(group) => {
                self.rename = Some(super::rename::Rename::new(super::rename::Target::Group(group)));
            }
            Hit::Body(id) => {
                if let Some(image) = self.picture_at(id, at, file, cx) {
                    events.push(Event::OpenImage(id, image));
                } else if file.subgraph_name(id).is_some() {
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

    fn picture_at(&self, id: Id, at: Pos2, file: &File, cx: &CanvasContext) -> Option<usize> {
        let placed = self.scene.get(id)?;
        let area = placed.layout.picture?.translate(placed.pos.to_vec2());
        let images = self.images(file, placed, cx);
        images.grid(area).iter().position(|(rect, _)| rect.contains(at))
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
                let via =
                    pending.via.and_then(|id| self.scene.reroutes.iter().find(|d| d.id == id));
                let fixed = via.map(|dot| dot.at).or(self.scene.socket(pending.fixed));
                let Some(fixed) = fixed else { return };
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
        let Some(route) = self.scene.route(link) else { return };
        let width = (5.0 * brush.zoom).max(3.0);
        let route = route.mapped(|at| self.view.to_screen(at), brush.zoom);
        brush.painter.extend(route.shapes(width, brush.theme.accent));
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
