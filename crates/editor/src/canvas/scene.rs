//! Where everything lies on the canvas, and what a point hits.
//!
//! Made anew only when the document changes; panning and zooming just look at it.

use super::{
    images,
    layout::{Kind, Layout},
    route::{Route, Style},
};
use crate::{
    catalog::Catalog,
    doc::{self, Doc, File, Id, LinkId, Node, RerouteId, Widget},
    theme::TITLE,
};
use ahash::{AHasher, HashMap};
use egui::{Pos2, Rect, Vec2, pos2, vec2};
use graph::Contract;
use std::{
    cell::OnceCell,
    collections::BTreeSet,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

/// Sizes of what a pointer can grab, in screen points.
const SOCKET: f32 = 10.0;
const SNAP: f32 = 26.0;
const CORNER: f32 = 14.0;
const MIDDLE: f32 = 9.0;
const LINE: f32 = 6.0;

/// An end that a link can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    pub node: Id,
    pub slot: usize,
    pub output: bool,
}

/// A node in its place.
#[derive(Clone, Debug)]
pub struct Placed {
    pub id: Id,
    pub node: Arc<Node>,
    pub pos: Pos2,
    pub layout: Arc<Layout>,
    /// Whether it has a place for pictures before there are any.
    place: bool,
    /// Whether it has one now.
    picture: bool,
    /// Of all that the layout depends on.
    key: u64,
    /// Made when the node is first seen.
    widgets: OnceCell<Vec<Widget>>,
}

/// A link in its place.
#[derive(Clone, Debug)]
pub struct Wire {
    pub id: LinkId,
    pub link: Arc<doc::Link>,
    pub route: Route,
    pub bounds: Rect,
}

/// What is under a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    Nothing,
    Socket(Socket),
    /// The lower right corner.
    Corner(Id),
    /// The arrow in the title bar.
    Fold(Id),
    Title(Id),
    Body(Id),
    Reroute(RerouteId),
    Middle(LinkId),
    Link(LinkId),
    GroupCorner(usize),
    GroupTitle(usize),
}

impl Hit {
    /// The node that the hit is on.
    pub fn node(self) -> Option<Id> {
        match self {
            Self::Socket(Socket { node: id, .. })
            | Self::Corner(id)
            | Self::Fold(id)
            | Self::Title(id)
            | Self::Body(id) => Some(id),
            _ => None,
        }
    }

    /// The group that the hit is on.
    pub fn group(self) -> Option<usize> {
        match self {
            Self::GroupTitle(group) | Self::GroupCorner(group) => Some(group),
            _ => None,
        }
    }
}

/// Everything in its place, in drawing order.
#[derive(Debug, Default)]
pub struct Scene {
    pub nodes: Vec<Placed>,
    pub links: Vec<Wire>,
    pub reroutes: Vec<Dot>,
    pub groups: Vec<Rect>,
    /// Sockets that have a link, and the node at its other end: with several links, of one of them.
    pub linked: HashMap<Socket, Id>,
    /// Around everything.
    pub bounds: Option<Rect>,
    index: HashMap<Id, usize>,
    made_for: Option<(u64, BTreeSet<Id>, Style)>,
}

/// A reroute in its place.
#[derive(Clone, Debug)]
pub struct Dot {
    pub id: RerouteId,
    pub at: Pos2,
    /// What runs through it.
    pub ty: String,
}

impl Placed {
    /// The node with its title bar.
    pub fn rect(&self) -> Rect {
        self.layout.frame().translate(self.pos.to_vec2())
    }

    pub fn socket(&self, slot: usize, output: bool) -> Option<Pos2> {
        let side = if output { &self.layout.outputs } else { &self.layout.inputs };
        Some(*side.get(slot)? + self.pos.to_vec2())
    }

    pub fn sockets(&self) -> impl Iterator<Item = (Socket, Pos2)> {
        let sides = [(false, &self.layout.inputs), (true, &self.layout.outputs)];
        sides.into_iter().flat_map(move |(output, side)| {
            let place = move |(slot, at): (usize, &Pos2)| {
                (Socket { node: self.id, slot, output }, *at + self.pos.to_vec2())
            };
            side.iter().enumerate().map(place)
        })
    }
}

impl Scene {
    /// Makes the scene anew if the document is another one than last time. `showing` are the nodes
    /// that show pictures which a run has made.
    pub fn update(
        &mut self,
        file: &File,
        revision: u64,
        catalog: &Catalog,
        showing: BTreeSet<Id>,
        style: Style,
    ) {
        let made_for = Some((revision, showing, style));
        if self.made_for == made_for {
            return;
        }
        let showing = made_for.as_ref().map(|(_, ids, _)| ids.clone()).unwrap_or_default();
        self.made_for = made_for;
        let doc = file.doc();
        let ends = |l: &doc::Link| {
            [(socket(l.from, l.from_slot, true), l.to), (socket(l.to, l.to_slot, false), l.from)]
        };
        self.linked = doc.links.values().flat_map(|l| ends(l)).collect();
        let placed = |node| self.placed(file, node, catalog, &showing);
        self.nodes = doc.shared_nodes().iter().map(placed).collect();
        self.index = self.nodes.iter().enumerate().map(|(i, n)| (n.id, i)).collect();
        let wire = |(id, link): (&LinkId, &Arc<doc::Link>)| self.wire(doc, *id, link, style);
        self.links = doc.links.iter().filter_map(wire).collect();
        self.reroutes = dots(doc);
        self.groups = doc.groups.iter().map(|group| rect(group.bounding)).collect();
        let all = self.nodes.iter().map(Placed::rect).chain(self.groups.iter().copied());
        self.bounds = all.reduce(Rect::union);
    }

    /// The layout is kept while nothing that it depends on has changed.
    fn placed(
        &self,
        file: &File,
        node: &Arc<Node>,
        catalog: &Catalog,
        showing: &BTreeSet<Id>,
    ) -> Placed {
        let contract = &catalog.contract;
        let old = self.get(node.id);
        let same = old.filter(|old| Arc::ptr_eq(&old.node, node));
        let place = same.map_or_else(|| images::has_place(node, catalog), |old| old.place);
        let picture = place || showing.contains(&node.id);
        // What an instance shows depends on its subgraph too.
        let instance = file.subgraph_of(node).is_some();
        let promoted = if instance { file.widgets(node.id, contract) } else { Vec::new() };
        let key = match same.filter(|old| old.picture == picture && !instance) {
            Some(old) => old.key,
            None => key(node, picture, &promoted),
        };
        let layout = match old.filter(|old| old.key == key) {
            Some(old) => old.layout.clone(),
            None => Arc::new(Layout::new(node, &self.widgets_of(file, node, contract), picture)),
        };
        let (id, pos) = (node.id, Pos2::from(node.pos));
        Placed {
            id,
            node: node.clone(),
            pos,
            layout,
            place,
            picture,
            key,
            widgets: OnceCell::new(),
        }
    }

    fn widgets_of(&self, file: &File, node: &Node, contract: &Contract) -> Vec<Widget> {
        let fed = |slot| self.linked.contains_key(&socket(node.id, slot, false));
        file.widgets_fed(node.id, contract, fed)
    }

    /// The node's widgets, made once for each state of the document.
    pub fn widgets<'a>(
        &self,
        file: &File,
        placed: &'a Placed,
        contract: &Contract,
    ) -> &'a [Widget] {
        placed.widgets.get_or_init(|| self.widgets_of(file, &placed.node, contract))
    }

    pub fn get(&self, id: Id) -> Option<&Placed> {
        self.nodes.get(*self.index.get(&id)?)
    }

    pub fn socket(&self, socket: Socket) -> Option<Pos2> {
        self.get(socket.node)?.socket(socket.slot, socket.output)
    }

    fn wire(&self, doc: &Doc, id: LinkId, link: &Arc<doc::Link>, style: Style) -> Option<Wire> {
        let from = self.get(link.from)?.socket(link.from_slot, true)?;
        let to = self.get(link.to)?.socket(link.to_slot, false)?;
        let through = doc.chain(link).into_iter().map(|id| Pos2::from(doc.reroutes[&id].pos));
        let points = [from].into_iter().chain(through).chain([to]);
        let route = Route::new(points.collect(), style, 1.0);
        let bounds = route.bounds();
        Some(Wire { id, link: link.clone(), route, bounds })
    }

    pub fn route(&self, link: LinkId) -> Option<&Route> {
        let at = self.links.binary_search_by_key(&link, |wire| wire.id).ok()?;
        Some(&self.links[at].route)
    }

    /// Around some nodes, or around everything.
    pub fn around(&self, ids: &BTreeSet<Id>) -> Option<Rect> {
        if ids.is_empty() {
            return self.bounds;
        }
        ids.iter().filter_map(|id| self.get(*id)).map(Placed::rect).reduce(Rect::union)
    }

    /// What lies under a canvas point, perhaps without links; the topmost thing wins.
    pub fn hit(&self, at: Pos2, zoom: f32, links: bool) -> Hit {
        let on_node = self.nodes.iter().rev().find_map(|node| hit_node(node, at, zoom));
        let on_link = || self.hit_reroute(at, zoom).or_else(|| self.hit_link(at, zoom));
        on_node
            .or_else(|| links.then(on_link).flatten())
            .or_else(|| self.hit_group(at, zoom))
            .unwrap_or(Hit::Nothing)
    }

    fn hit_reroute(&self, at: Pos2, zoom: f32) -> Option<Hit> {
        let near = self.reroutes.iter().rev().find(|dot| dot.at.distance(at) < MIDDLE / zoom);
        near.map(|dot| Hit::Reroute(dot.id))
    }

    fn hit_link(&self, at: Pos2, zoom: f32) -> Option<Hit> {
        let near = |wire: &&Wire| wire.bounds.expand(MIDDLE / zoom).contains(at);
        self.links.iter().rev().filter(near).find_map(|Wire { id, route, .. }| {
            if route.middle().distance(at) < MIDDLE / zoom {
                Some(Hit::Middle(*id))
            } else {
                (route.distance(at) < LINE / zoom).then_some(Hit::Link(*id))
            }
        })
    }

    fn hit_group(&self, at: Pos2, zoom: f32) -> Option<Hit> {
        self.groups.iter().enumerate().rev().find_map(|(i, rect)| {
            let title = Rect::from_min_size(rect.min, vec2(rect.width(), group_title(zoom)));
            let corner = Rect::from_min_max(rect.max - Vec2::splat(CORNER / zoom), rect.max);
            if title.contains(at) {
                Some(Hit::GroupTitle(i))
            } else {
                corner.contains(at).then_some(Hit::GroupCorner(i))
            }
        })
    }

    /// The nearest socket that a pointer may mean, of those that `fits` lets through.
    pub fn snap(&self, at: Pos2, zoom: f32, fits: impl Fn(Socket) -> bool) -> Option<Socket> {
        let reach = SNAP / zoom;
        let near = self.nodes.iter().filter(|n| n.rect().expand(reach).contains(at));
        let sockets = near.flat_map(Placed::sockets).map(|(s, p)| (s, p.distance(at)));
        let fitting = sockets.filter(|(s, distance)| *distance < reach && fits(*s));
        fitting.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(socket, _)| socket)
    }

    /// The nodes that a box touches.
    pub fn touched(&self, area: Rect) -> BTreeSet<Id> {
        self.nodes.iter().filter(|n| n.rect().intersects(area)).map(|n| n.id).collect()
    }

    /// The reroutes in a box.
    pub fn reroutes_in(&self, area: Rect) -> BTreeSet<RerouteId> {
        self.reroutes.iter().filter(|dot| area.contains(dot.at)).map(|dot| dot.id).collect()
    }

    /// The nodes whose middle lies in a frame: those that move with it.
    pub fn inside(&self, frame: Rect) -> BTreeSet<Id> {
        self.nodes.iter().filter(|n| frame.contains(n.rect().center())).map(|n| n.id).collect()
    }
}

/// The height of a group's title bar in canvas units: readable when zoomed out.
pub fn group_title(zoom: f32) -> f32 {
    TITLE.max(16.0 / zoom)
}

fn socket(node: Id, slot: usize, output: bool) -> Socket {
    Socket { node, slot, output }
}

pub fn rect([x, y, w, h]: [f32; 4]) -> Rect {
    Rect::from_min_size(pos2(x, y), vec2(w, h))
}

fn hit_node(node: &Placed, at: Pos2, zoom: f32) -> Option<Hit> {
    let frame = node.rect();
    if !frame.expand(SOCKET / zoom).contains(at) {
        return None;
    }
    // Small nodes must not be all sockets.
    let reach = (SOCKET / zoom).min(14.0);
    let sockets = node.sockets().map(|(socket, place)| (socket, place.distance(at)));
    let nearest = sockets.filter(|(_, d)| *d < reach).min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((socket, _)) = nearest {
        return Some(Hit::Socket(socket));
    }
    if !frame.contains(at) {
        return None;
    }
    let corner = Rect::from_min_max(frame.max - Vec2::splat(CORNER / zoom.max(1.0)), frame.max);
    let open = node.layout.body.y > 0.0 && node.layout.kind != Kind::Dot;
    Some(if open && corner.contains(at) {
        Hit::Corner(node.id)
    } else if at.y >= node.pos.y {
        Hit::Body(node.id)
    } else if at.x < node.pos.x + 22.0 && zoom > 0.45 {
        Hit::Fold(node.id)
    } else {
        Hit::Title(node.id)
    })
}

/// Those that links run through.
fn dots(doc: &Doc) -> Vec<Dot> {
    let dot = |(id, links): (RerouteId, Vec<LinkId>)| {
        let ty = doc.links[links.first()?].ty.clone();
        Some(Dot { id, at: doc.reroutes[&id].pos.into(), ty })
    };
    doc.links_through().into_iter().filter_map(dot).collect()
}

/// Of all that a node's layout depends on.
fn key(node: &doc::Node, picture: bool, promoted: &[Widget]) -> u64 {
    let mut hash = AHasher::default();
    let values = node.values.as_array().map(Vec::len);
    (&node.class, node.collapsed, picture, node.outputs.len(), values).hash(&mut hash);
    // A primitive has the widget of what it feeds, and that has the type of its output.
    node.outputs.iter().for_each(|slot| slot.ty.hash(&mut hash));
    node.size.map(f32::to_bits).hash(&mut hash);
    for widget in promoted {
        (&widget.name, super::layout::grows(widget)).hash(&mut hash);
    }
    for slot in &node.inputs {
        (&slot.name, &slot.widget).hash(&mut hash);
    }
    hash.finish()
}
