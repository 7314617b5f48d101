//! What the window's actions do to what is selected: the clipboard, groups, order, moving by keys.

use crate::{
    app::App,
    canvas::GRID,
    doc::{
        Fragment, Id, Part,
        arrange::{self, Axis, Frames, Line},
    },
    theme::PAINTS,
};
use anyhow::{Context as _, Result};
use egui::{Event, ViewportCommand};
use std::collections::BTreeSet;

/// Takes in what came from the clipboard since the last frame, unless text is typed.
pub(crate) fn take_clipboard(app: &mut App) {
    // What was asked for in the last frame comes in this one, or never.
    let linked = std::mem::take(&mut app.paste_linked);
    let mut found = Vec::new();
    app.ctx.input_mut(|input| {
        let ours = |e: &Event| {
            matches!(e, Event::Copy | Event::Cut | Event::Paste(_) | Event::PasteImage(_))
        };
        found.extend(input.events.extract_if(.., |event| ours(event)));
    });
    for event in found {
        match event {
            Event::Copy if has_part(app) => app.copy(),
            Event::Cut if has_part(app) => app.cut(),
            Event::Paste(text) => {
                let pasted = app.paste(&text, linked).context("Nothing here to paste");
                app.tell_error(pasted);
            }
            Event::PasteImage(image) => {
                let pasted = app.paste_picture(&image).context("The picture cannot be pasted");
                app.tell_error(pasted);
            }
            _ => {}
        }
    }
}

pub(crate) fn has_part(app: &App) -> bool {
    let canvas = &app.tab().canvas;
    !canvas.selection.is_empty() || !canvas.groups.is_empty()
}

impl App {
    /// Puts what is selected on the clipboard, as a workflow.
    pub(crate) fn copy(&mut self) {
        let tab = self.tab();
        let fragment = tab.history.file().copy(&tab.canvas.part());
        self.ctx.copy_text(fragment.to_json().to_string());
    }

    pub(crate) fn cut(&mut self) {
        self.copy();
        let part = self.tab().canvas.part();
        self.tab_mut().history.edit("Cut", |doc| doc.remove_part(&part));
        self.tab_mut().canvas.groups.clear();
    }

    /// Asks the system for what is on the clipboard: it comes as an event.
    pub(crate) fn ask_paste(&mut self, linked: bool) {
        self.paste_linked = linked;
        self.ctx.send_viewport_cmd(ViewportCommand::RequestPaste);
    }

    fn paste(&mut self, text: &str, linked: bool) -> Result<()> {
        let fragment = Fragment::read(text, &self.catalog.contract)?;
        let (at, corner) = (self.place(), fragment.corner());
        let tab = self.tab_mut();
        let by = tab.canvas.whole_steps([at[0] - corner[0], at[1] - corner[1]]);
        let pasted = tab.history.edit_file("Paste", |file| file.paste(&fragment, by, linked))?;
        tab.canvas.select(pasted);
        Ok(())
    }

    pub(crate) fn duplicate(&mut self) {
        let tab = self.tab_mut();
        let (part, by) = (tab.canvas.part(), [3.0 * GRID; 2]);
        let copies = tab.history.edit("Duplicate", |doc| doc.duplicate(&part, by, false));
        tab.canvas.select(copies);
    }

    pub(crate) fn delete(&mut self) {
        let tab = self.tab_mut();
        let part = Part { nodes: tab.canvas.selection.clone(), groups: tab.canvas.groups.clone() };
        tab.history.edit("Delete", |doc| {
            tab.canvas.reroutes.iter().for_each(|id| doc.remove_reroute(*id));
            doc.remove_part(&part);
        });
        tab.canvas.select(Part::default());
    }

    /// Deletes what is selected, and all that lies in groups that are.
    pub(crate) fn delete_with_contents(&mut self) {
        let part = self.tab().canvas.part();
        self.tab_mut().history.edit("Delete", |doc| doc.remove_part(&part));
        self.tab_mut().canvas.select(Part::default());
    }

    pub(crate) fn select_contents(&mut self) {
        let part = self.tab().canvas.part();
        self.tab_mut().canvas.select(part);
    }

    pub(crate) fn deselect(&mut self) {
        self.tab_mut().canvas.select(Part::default());
    }

    /// Makes a group around what is selected, and lets its title be typed.
    pub(crate) fn group(&mut self) {
        let tab = self.tab_mut();
        let frames = tab.canvas.selected_frames(tab.history.doc());
        let Some(around) = arrange::around(frames.into_iter()) else { return };
        let frame = crate::doc::Group::frame_around(around);
        let place = tab.history.edit("Group", |doc| doc.add_group("Group", frame));
        tab.canvas.select(Part { groups: [place].into(), ..Part::default() });
        tab.canvas.rename_group(place);
    }

    /// Fits the selected groups to what lies in them.
    pub(crate) fn fit_groups(&mut self) {
        let tab = self.tab_mut();
        let fitted: Vec<_> =
            tab.canvas.groups.iter().filter_map(|i| Some((*i, tab.canvas.fitted(*i)?))).collect();
        tab.history.edit("Fit groups", |doc| {
            for (group, frame) in fitted {
                doc.each_group(&[group].into(), |group| group.bounding = frame);
            }
        });
    }

    pub(crate) fn ungroup(&mut self) {
        let tab = self.tab_mut();
        tab.history.edit("Ungroup", |doc| doc.remove_groups(&tab.canvas.groups));
        tab.canvas.groups.clear();
    }

    /// Brings the selected nodes to where `order` puts them.
    fn bring(&mut self, what: &'static str, order: impl Fn(&Frames) -> Frames) {
        let tab = self.tab_mut();
        let mut frames = tab.canvas.frames(tab.history.doc());
        frames.retain(|id, _| tab.canvas.selection.contains(id));
        tab.history.edit(what, |doc| doc.bring(&frames, &order(&frames)));
    }

    pub(crate) fn align(&mut self, line: Line) {
        self.bring("Align", |frames| arrange::align(frames, line));
    }

    pub(crate) fn distribute(&mut self, axis: Axis) {
        self.bring("Distribute", |frames| arrange::distribute(frames, axis));
    }

    /// Arranges the selection, or the whole graph if less than two nodes are selected.
    pub(crate) fn arrange(&mut self) {
        let tab = self.tab_mut();
        let frames = tab.canvas.frames(tab.history.doc());
        let part = Some(tab.canvas.part()).filter(|part| part.nodes.len() > 1).unwrap_or_default();
        tab.history.edit("Arrange", |doc| doc.arrange(&part, &frames));
        if part.is_empty() {
            tab.canvas.fit(&BTreeSet::new());
        }
    }

    /// Moves what is selected; steps that follow each other are undone together.
    pub(crate) fn nudge(&mut self, x: f32, y: f32) {
        const KEY: u64 = 0x6e75_6467_6500;
        let tab = self.tab_mut();
        let part = tab.canvas.part();
        tab.history.edit_merged("Move", KEY, |doc| doc.move_part(&part, [x, y]));
    }

    /// Selects and shows the node `by` places further on, in reading order.
    pub(crate) fn walk(&mut self, by: isize) {
        let tab = self.tab_mut();
        let mut nodes: Vec<([f32; 2], Id)> =
            tab.history.doc().nodes().map(|node| (node.pos, node.id)).collect();
        nodes.sort_by(|(a, i), (b, j)| {
            a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])).then(i.cmp(j))
        });
        let now = nodes.iter().position(|(_, id)| tab.canvas.selection.contains(id));
        let next = match now {
            Some(now) => (now as isize + by).rem_euclid(nodes.len() as isize) as usize,
            None if by > 0 => 0,
            None => nodes.len() - 1,
        };
        tab.canvas.scroll_to(nodes[next].1);
    }

    /// Enters the selected subgraph, or lets the first widget of the selected node be changed.
    pub(crate) fn open_node(&mut self) {
        let tab = self.tab_mut();
        let Some(id) = tab.canvas.only_node() else { return };
        if !tab.history.enter(id) {
            tab.canvas.focus(id);
        }
    }

    pub(crate) fn rename(&mut self) {
        let canvas = &mut self.tab_mut().canvas;
        match (canvas.only_node(), canvas.only_group()) {
            (Some(id), _) => canvas.rename(id),
            (None, Some(group)) => canvas.rename_group(group),
            (None, None) => {}
        }
    }

    /// Colours what is selected; without the name of a paint as the theme does.
    pub(crate) fn color(&mut self, name: &str) {
        let paint = PAINTS.iter().find(|paint| paint.name == name);
        let tab = self.tab_mut();
        tab.history.edit("Colour", |doc| {
            doc.set_colors(&tab.canvas.selection, paint.map(|paint| paint.node));
            let color = paint.map(|paint| paint.group.to_owned());
            doc.each_group(&tab.canvas.groups, |group| group.color.clone_from(&color));
        });
    }

    pub(crate) fn turn_snapping(&mut self) {
        let canvas = &mut self.tab_mut().canvas;
        canvas.snapping ^= true;
        let words = if canvas.snapping { "Nodes keep to the grid" } else { "Nodes move freely" };
        self.toasts.tell(words);
    }
}
