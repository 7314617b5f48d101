//! Native reroutes: points that links run through, which the engine never sees.
//!
//! A link names the last point before its input, each point the one before it. So the links of one output
//! share the points that they have in common.

use super::{
    Doc, Link, LinkId,
    json::{Entry, Raw, coordinates, id, numbers, taken},
};
use serde_json::{Map, Value as Json, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A reroute's number in its graph.
pub type RerouteId = i64;

/// A point that links run through.
#[derive(Clone, Debug, PartialEq)]
pub struct Reroute {
    pub pos: [f32; 2],
    /// The point before it, nearer to the output.
    pub parent: Option<RerouteId>,
    raw: Raw,
    /// The links that ran through it when it was read.
    read: Vec<LinkId>,
}

/// What a file says of reroutes, but for the reroutes themselves.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listed {
    /// Whether they stand in `extra`, as in files whose links are lists.
    in_extra: bool,
    entries: Vec<Entry>,
    /// Which link runs through which reroute last, in such files.
    extensions: Vec<Json>,
}

impl Reroute {
    pub(super) fn new(id: RerouteId, pos: [f32; 2], parent: Option<RerouteId>) -> Self {
        let json = json!({"id": id, "pos": coordinates(&pos), "linkIds": []});
        let raw = Raw(json.as_object().cloned().unwrap_or_default());
        Self { pos, parent, raw, read: Vec::new() }
    }

    fn from_json(json: &Json) -> Option<(RerouteId, Self)> {
        let raw = Raw(json.as_object()?.clone());
        let at = json.get("pos").map(numbers)?;
        Some((id(&json["id"])?, Self { pos: at, parent: id(&json["parentId"]), raw, read: vec![] }))
    }

    fn to_json(&self, links: &[LinkId]) -> Json {
        let mut out = self.raw.0.clone();
        Raw::set(&mut out, "pos", &self.pos, numbers, |p| coordinates(p));
        Raw::set(&mut out, "parentId", &self.parent, id, |p| json!(p));
        if links != self.read {
            out.insert("linkIds".into(), json!(links));
        }
        Json::Object(out)
    }

    /// Whether it belongs to a link of which one end hangs in the air: such links are only kept.
    fn floats(&self) -> bool {
        self.raw.0.get("floating").is_some_and(Json::is_object)
    }
}

impl Doc {
    /// Takes in the reroutes of a file whose links are read.
    pub(super) fn reroutes_from(&mut self, raw: &mut Raw, objects: bool) -> Listed {
        let mut listed = Listed { in_extra: !objects, ..Listed::default() };
        let mut list = taken(&mut raw.0, "reroutes");
        if let Some(extra) = raw.0.get_mut("extra").and_then(Json::as_object_mut) {
            listed.extensions = taken(extra, "linkExtensions");
            if list.is_empty() {
                list = taken(extra, "reroutes");
                listed.in_extra |= !list.is_empty();
            } else {
                listed.in_extra = false;
            }
        }
        for json in list {
            listed.entries.push(match Reroute::from_json(&json) {
                Some((id, reroute)) if !self.reroutes.contains_key(&id) => {
                    self.last.reroute = self.last.reroute.max(id);
                    self.reroutes.insert(id, reroute);
                    Entry::Known(id)
                }
                _ => Entry::Other(json),
            });
        }
        for extension in &listed.extensions {
            let link = id(&extension["id"]).and_then(|link| self.links.get_mut(&link));
            if let Some(link) = link.filter(|link| link.parent.is_none()) {
                Arc::make_mut(link).parent = id(&extension["parentId"]);
            }
        }
        for (id, links) in self.links_through() {
            self.reroutes.get_mut(&id).expect("it is there").read = links;
        }
        listed
    }

    pub(super) fn reroutes_into(&self, out: &mut Map<String, Json>) {
        let listed = &self.origin.reroutes;
        let (reroutes, extensions) =
            (self.reroutes_to_json(listed), self.extensions_to_json(listed));
        if !listed.in_extra {
            Raw::put_list(out, "reroutes", reroutes);
            return;
        }
        if !out.get("extra").is_some_and(Json::is_object) && !reroutes.is_empty() {
            out.insert("extra".into(), json!({}));
        }
        if let Some(Json::Object(extra)) = out.get_mut("extra") {
            Raw::put_list(extra, "reroutes", reroutes);
            Raw::put_list(extra, "linkExtensions", extensions);
        }
    }

    /// In the order that they were read in, then the new ones.
    fn reroutes_to_json(&self, listed: &Listed) -> Vec<Json> {
        let through = self.links_through();
        let links = |id: &RerouteId| through.get(id).map_or(&[][..], Vec::as_slice);
        let old = listed.entries.iter().filter_map(|entry| match entry {
            Entry::Other(json) => Some(json.clone()),
            Entry::Known(id) => self.reroutes.get(id).map(|reroute| reroute.to_json(links(id))),
        });
        let known: BTreeSet<RerouteId> = listed.entries.iter().filter_map(Entry::id).collect();
        let new = self.reroutes.iter().filter(|(id, _)| !known.contains(id));
        old.chain(new.map(|(id, reroute)| reroute.to_json(links(id)))).collect()
    }

    fn extensions_to_json(&self, listed: &Listed) -> Vec<Json> {
        let old = listed.extensions.iter().filter_map(|json| {
            let Some(link) = id(&json["id"]).filter(|link| self.origin.has_link(*link)) else {
                return Some(json.clone());
            };
            let (mut json, parent) = (json.clone(), self.links.get(&link)?.parent);
            if id(&json["parentId"]) != parent {
                json["parentId"] = parent?.into();
            }
            Some(json)
        });
        let known: BTreeSet<LinkId> =
            listed.extensions.iter().filter_map(|json| id(&json["id"])).collect();
        let new = self.links.iter().filter(|(id, _)| !known.contains(id));
        let new = new.filter_map(|(id, link)| Some(json!({"id": id, "parentId": link.parent?})));
        old.chain(new).collect()
    }

    /// What a link runs through, from its output on.
    pub fn chain(&self, link: &Link) -> Vec<RerouteId> {
        let mut chain = Vec::new();
        let mut next = link.parent;
        while let Some((id, reroute)) = next.and_then(|id| Some((id, self.reroutes.get(&id)?))) {
            // A file may have a ring.
            if chain.contains(&id) {
                break;
            }
            chain.push(id);
            next = reroute.parent;
        }
        chain.reverse();
        chain
    }

    /// The links that run through each reroute; nothing for those that none runs through.
    pub fn links_through(&self) -> BTreeMap<RerouteId, Vec<LinkId>> {
        let mut through: BTreeMap<RerouteId, Vec<LinkId>> = BTreeMap::new();
        for (id, link) in self.links.iter().filter(|(_, link)| link.parent.is_some()) {
            self.chain(link).into_iter().for_each(|r| through.entry(r).or_default().push(*id));
        }
        through
    }

    /// Lets a link run through a new point between those of its chain at `place - 1` and `place`. Links that
    /// share the latter share the new one. `None` if there is no such link.
    pub fn add_reroute(&mut self, link: LinkId, place: usize, pos: [f32; 2]) -> Option<RerouteId> {
        let chain = self.chain(self.links.get(&link)?);
        let id = self.last.reroute + 1;
        let before = place.checked_sub(1).and_then(|place| chain.get(place)).copied();
        match chain.get(place) {
            Some(after) => self.reroutes.get_mut(after).expect("it is there").parent = Some(id),
            None => self.set_parent(link, Some(id)),
        }
        self.reroutes.insert(id, Reroute::new(id, pos, before));
        self.last.reroute = id;
        Some(id)
    }

    /// Takes a point away; what runs through it stays.
    pub fn remove_reroute(&mut self, id: RerouteId) {
        let Some(gone) = self.reroutes.remove(&id) else { return };
        for reroute in self.reroutes.values_mut().filter(|r| r.parent == Some(id)) {
            reroute.parent = gone.parent;
        }
        let last = self.links.iter().filter(|(_, link)| link.parent == Some(id));
        let last: Vec<LinkId> = last.map(|(link, _)| *link).collect();
        last.into_iter().for_each(|link| self.set_parent(link, gone.parent));
    }

    pub fn place_reroute(&mut self, id: RerouteId, pos: [f32; 2]) {
        if let Some(reroute) = self.reroutes.get_mut(&id) {
            reroute.pos = pos;
        }
    }

    /// Lets a link run through a chain of points, that of a link of the same output.
    pub fn set_parent(&mut self, link: LinkId, parent: Option<RerouteId>) {
        if let Some(link) = self.links.get_mut(&link).filter(|link| link.parent != parent) {
            Arc::make_mut(link).set_parent(parent);
        }
    }

    /// Forgets the points of a chain that no link runs through any more.
    pub(super) fn prune(&mut self, gone: &Link) {
        let used = self.links_through();
        for id in self.chain(gone) {
            if !used.contains_key(&id) && !self.reroutes[&id].floats() {
                self.remove_reroute(id);
            }
        }
    }
}
