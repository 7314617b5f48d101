//! Everything a person can do, in one table. Menus, tooltips, keys and the command palette are its readers.

use crate::{
    app::App,
    canvas::GRID,
    dialog::{self, Dialog},
    doc::{
        Mode,
        arrange::{Axis, Line},
        widgets,
    },
    editing::{self, has_part},
    side::Panel,
};
use egui::{Event, Key, KeyboardShortcut, Modifiers, ViewportCommand};
use egui_material_icons::{MaterialIcon, icons::*};

/// Something a person can do.
pub struct Action {
    /// For tests and settings: never shown, never changed.
    pub id: &'static str,
    pub title: &'static str,
    pub icon: MaterialIcon,
    pub menu: Menu,
    /// Actions of one menu with different numbers are divided by a line.
    pub part: u8,
    pub keys: &'static [KeyboardShortcut],
    pub enabled: fn(&App) -> bool,
    pub run: fn(&mut App),
}

/// Where an action is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    File,
    Edit,
    View,
    Node,
    Color,
    Arrange,
    Move,
    Run,
    Help,
}

impl Menu {
    pub const ALL: [Self; 9] = [
        Self::File,
        Self::Edit,
        Self::View,
        Self::Node,
        Self::Color,
        Self::Arrange,
        Self::Move,
        Self::Run,
        Self::Help,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Edit => "Edit",
            Self::View => "View",
            Self::Node => "Node",
            Self::Color => "Colour",
            Self::Arrange => "Arrange",
            Self::Move => "Move",
            Self::Run => "Run",
            Self::Help => "Help",
        }
    }

    pub fn actions(self) -> impl Iterator<Item = &'static Action> {
        ACTIONS.iter().filter(move |action| action.menu == self)
    }
}

const NONE: Modifiers = Modifiers::NONE;
const CTRL: Modifiers = Modifiers::COMMAND;
const ALT: Modifiers = Modifiers::ALT;
const SHIFT: Modifiers = Modifiers::SHIFT;
const ALT_SHIFT: Modifiers = Modifiers::ALT.plus(Modifiers::SHIFT);
const CTRL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);
const CTRL_ALT: Modifiers = Modifiers::COMMAND.plus(Modifiers::ALT);

macro_rules! actions { ($(
    $menu:ident $part:literal:
    $($id:literal $title:literal $icon:ident [$($with:ident $key:ident),*] $enabled:path => $run:expr;)*
)*) => {
    /// The table.
    pub const ACTIONS: &[Action] = &[$($(Action {
        id: $id,
        title: $title,
        icon: $icon,
        menu: Menu::$menu,
        part: $part,
        keys: &[$(KeyboardShortcut::new($with, Key::$key)),*],
        enabled: $enabled,
        run: $run,
    },)*)*];
}}

actions! {
    File 0:
        "new" "New graph" ICON_ADD [CTRL N] always => App::new_tab;
        "open" "Open…" ICON_FOLDER_OPEN [CTRL O] always => App::ask_open;
        "open-path" "Open by path…" ICON_EDIT [] always => |app| app.ask_path(dialog::Want::Open);
        "templates" "Templates…" ICON_DASHBOARD [CTRL T] always => |app| app.show(Dialog::Templates);
    File 1:
        "save" "Save" ICON_SAVE [CTRL S] always => App::save;
        "save-as" "Save as…" ICON_SAVE_AS [CTRL_SHIFT S] always => App::ask_save;
        "save-path" "Save by path…" ICON_EDIT [] always => |app| app.ask_path(dialog::Want::Save);
        "export" "Export API form…" ICON_DATA_OBJECT [] has_nodes => App::ask_export;
    File 2:
        "close" "Close tab" ICON_CLOSE [CTRL W] always => |app| app.close(app.tab().number);
        "next-tab" "Next tab" ICON_SKIP_NEXT [CTRL PageDown] several_tabs => |app| app.turn(1);
        "last-tab" "Previous tab" ICON_SKIP_PREVIOUS [CTRL PageUp] several_tabs => |app| app.turn(-1);
    File 3:
        "settings" "Settings…" ICON_SETTINGS [CTRL Comma] always => |app| app.show(Dialog::Settings);
        "quit" "Quit" ICON_LOGOUT [CTRL Q] always => |app| app.ctx.send_viewport_cmd(ViewportCommand::Close);
    Edit 0:
        "undo" "Undo" ICON_UNDO [CTRL Z] undoes => App::undo;
        "redo" "Redo" ICON_REDO [CTRL Y, CTRL_SHIFT Z] redoes => App::redo;
    Edit 1:
        "cut" "Cut" ICON_CONTENT_CUT [CTRL X] has_part => App::cut;
        "copy" "Copy" ICON_CONTENT_COPY [CTRL C] has_part => App::copy;
        "paste" "Paste" ICON_CONTENT_PASTE [CTRL V] always => |app| app.ask_paste(false);
        "paste-linked" "Paste, keep incoming links" ICON_CONTENT_PASTE_GO [CTRL_SHIFT V] always
            => |app| app.ask_paste(true);
        "duplicate" "Duplicate" ICON_FILE_COPY [CTRL D] has_part => App::duplicate;
    Edit 2:
        "add-node" "Add a node…" ICON_ADD_CIRCLE [] always => App::ask_node;
        "add-note" "Add a note" ICON_STICKY_NOTE_2 [] always => App::add_note;
        "select-all" "Select all" ICON_SELECT_ALL [CTRL A] has_nodes => App::select_all;
        "leave-subgraph" "Leave the subgraph" ICON_LOGOUT [NONE Escape] inside => App::leave_subgraph;
        "deselect" "Clear the selection" ICON_DESELECT [NONE Escape] has_part => App::deselect;
    View 1:
        "fit" "Fit into view" ICON_FIT_SCREEN [NONE Period] has_nodes => App::fit;
        "link-style" "Another style of links" ICON_TIMELINE [] always => App::turn_links;
        "hide-links" "Hide or show links" ICON_VISIBILITY_OFF [] always => App::hide_links;
        "zoom-in" "Zoom in" ICON_ZOOM_IN [ALT Equals, ALT Plus] always
            => |app| app.tab_mut().canvas.zoom_by(1);
        "zoom-out" "Zoom out" ICON_ZOOM_OUT [ALT Minus] always
            => |app| app.tab_mut().canvas.zoom_by(-1);
        "minimap" "Map" ICON_MAP [ALT_SHIFT M] always => |app| app.tab_mut().canvas.minimap ^= true;
        "snap" "Snap to the grid" ICON_GRID_4X4 [] always => App::turn_snapping;
    View 2:
        "side" "Side panel" ICON_VIEW_SIDEBAR [] always => App::turn_side;
        "queue" "Queue and history" ICON_HISTORY [NONE Q] always => |app| app.look_at(Panel::Queue);
        "errors" "Errors" ICON_ERROR [] always => |app| app.look_at(Panel::Errors);
        "help" "Help" ICON_HELP [NONE F1] always => |app| app.look_at(Panel::Help);
        "theme" "Light or dark" ICON_DARK_MODE [] always => App::turn_theme;
    Node 0:
        "delete" "Delete" ICON_DELETE [NONE Delete, NONE Backspace] has_choice => App::delete;
        "dissolve" "Delete, keep links" ICON_LINK [CTRL_SHIFT X] has_selection
            => |app| app.change("Delete, keep links", |doc, ids| doc.dissolve(ids));
        "delete-contents" "Delete with all in it" ICON_DELETE_SWEEP [CTRL Delete] has_groups
            => App::delete_with_contents;
    Node 1:
        "open-node" "Open the node" ICON_KEYBOARD_RETURN [NONE Enter] opens => App::open_node;
        "rename" "Rename" ICON_EDIT [NONE F2] has_title => App::rename;
    Node 2:
        "mute" "Mute" ICON_BLOCK [CTRL M] has_selection
            => |app| app.change_file("Mute", |file, ids| file.toggle_mode(ids, Mode::Muted));
        "bypass" "Bypass" ICON_KEYBOARD_DOUBLE_ARROW_RIGHT [CTRL B] has_selection
            => |app| app.change_file("Bypass", |file, ids| file.toggle_mode(ids, Mode::Bypassed));
        "collapse" "Collapse" ICON_UNFOLD_LESS [ALT C] has_selection
            => |app| app.change("Collapse", |doc, ids| {
                let open = ids.iter().any(|id| doc.node(*id).is_some_and(|n| !n.collapsed));
                doc.set_collapsed(ids, open);
            });
        "pin" "Pin" ICON_PUSH_PIN [NONE P] has_selection
            => |app| app.change("Pin", |doc, ids| {
                let loose = ids.iter().any(|id| doc.node(*id).is_some_and(|n| !n.pinned));
                doc.set_pinned(ids, loose);
            });
    Node 3:
        "make-subgraph" "Make a subgraph" ICON_ACCOUNT_TREE [CTRL_SHIFT E] has_selection => App::make_subgraph;
        "enter-subgraph" "Enter the subgraph" ICON_LOGIN [] has_subgraph => App::enter_subgraph;
        "unpack-subgraph" "Unpack the subgraph" ICON_UNARCHIVE [] has_subgraph => App::unpack_subgraphs;
    Color 0:
        "color-none" "No colour" ICON_FORMAT_COLOR_RESET [] has_part => |app| app.color("");
    Color 1:
        "color-red" "Colour red" ICON_PALETTE [] has_part => |app| app.color("red");
        "color-brown" "Colour brown" ICON_PALETTE [] has_part => |app| app.color("brown");
        "color-green" "Colour green" ICON_PALETTE [] has_part => |app| app.color("green");
        "color-blue" "Colour blue" ICON_PALETTE [] has_part => |app| app.color("blue");
        "color-pale-blue" "Colour pale blue" ICON_PALETTE [] has_part => |app| app.color("pale blue");
        "color-cyan" "Colour cyan" ICON_PALETTE [] has_part => |app| app.color("cyan");
        "color-purple" "Colour purple" ICON_PALETTE [] has_part => |app| app.color("purple");
        "color-yellow" "Colour yellow" ICON_PALETTE [] has_part => |app| app.color("yellow");
        "color-black" "Colour black" ICON_PALETTE [] has_part => |app| app.color("black");
    Arrange 0:
        "arrange" "Arrange automatically" ICON_ACCOUNT_TREE [ALT L] has_nodes => App::arrange;
    Arrange 1:
        "align-left" "Align left" ICON_ALIGN_HORIZONTAL_LEFT [] has_two => |app| app.align(Line::Left);
        "align-center" "Align centres" ICON_ALIGN_HORIZONTAL_CENTER [] has_two
            => |app| app.align(Line::Center);
        "align-right" "Align right" ICON_ALIGN_HORIZONTAL_RIGHT [] has_two => |app| app.align(Line::Right);
        "align-top" "Align top" ICON_ALIGN_VERTICAL_TOP [] has_two => |app| app.align(Line::Top);
        "align-middle" "Align middles" ICON_ALIGN_VERTICAL_CENTER [] has_two
            => |app| app.align(Line::Middle);
        "align-bottom" "Align bottom" ICON_ALIGN_VERTICAL_BOTTOM [] has_two
            => |app| app.align(Line::Bottom);
    Arrange 2:
        "distribute-across" "Distribute horizontally" ICON_HORIZONTAL_DISTRIBUTE [] has_three
            => |app| app.distribute(Axis::Horizontal);
        "distribute-down" "Distribute vertically" ICON_VERTICAL_DISTRIBUTE [] has_three
            => |app| app.distribute(Axis::Vertical);
    Arrange 3:
        "group" "Group" ICON_AD_GROUP [CTRL G] has_part => App::group;
        "ungroup" "Ungroup" ICON_AD_GROUP_OFF [CTRL_SHIFT G] has_groups => App::ungroup;
        "fit-groups" "Fit to what is in it" ICON_CROP_FREE [ALT G] has_groups => App::fit_groups;
        "select-contents" "Select what is in it" ICON_SELECT [] has_groups => App::select_contents;
    Move 0:
        "move-left" "Left" ICON_ARROW_BACK [NONE ArrowLeft] has_part => |app| app.nudge(-GRID, 0.0);
        "move-right" "Right" ICON_ARROW_FORWARD [NONE ArrowRight] has_part => |app| app.nudge(GRID, 0.0);
        "move-up" "Up" ICON_ARROW_UPWARD [NONE ArrowUp] has_part => |app| app.nudge(0.0, -GRID);
        "move-down" "Down" ICON_ARROW_DOWNWARD [NONE ArrowDown] has_part => |app| app.nudge(0.0, GRID);
    Move 1:
        "nudge-left" "A little left" ICON_ARROW_BACK [SHIFT ArrowLeft] has_part => |app| app.nudge(-1.0, 0.0);
        "nudge-right" "A little right" ICON_ARROW_FORWARD [SHIFT ArrowRight] has_part
            => |app| app.nudge(1.0, 0.0);
        "nudge-up" "A little up" ICON_ARROW_UPWARD [SHIFT ArrowUp] has_part => |app| app.nudge(0.0, -1.0);
        "nudge-down" "A little down" ICON_ARROW_DOWNWARD [SHIFT ArrowDown] has_part
            => |app| app.nudge(0.0, 1.0);
    Move 2:
        "next-node" "To the next node" ICON_SKIP_NEXT [CTRL ArrowRight] has_nodes => |app| app.walk(1);
        "last-node" "To the previous node" ICON_SKIP_PREVIOUS [CTRL ArrowLeft] has_nodes
            => |app| app.walk(-1);
    Run 0:
        "run" "Run" ICON_PLAY_ARROW [CTRL Enter] has_nodes => |app| app.queue(false, &[]);
        "run-front" "Run next" ICON_FAST_FORWARD [CTRL_SHIFT Enter] has_nodes => |app| app.queue(true, &[]);
        "interrupt" "Stop what runs" ICON_STOP [CTRL_ALT Enter] runs => |app| app.runs.interrupt();
        "on-change" "Run on change" ICON_AUTORENEW [] always => |app| app.runs.on_change ^= true;
        "run-to" "Run up to the selection" ICON_KEYBOARD_TAB [] has_selection => App::run_to;
    Run 1:
        "clear-queue" "Clear the queue" ICON_CLEAR_ALL [] waits => |app| app.runs.clear_queue();
        "clear-history" "Clear the history" ICON_DELETE [] remembers => |app| app.runs.clear_history();
    Help 0:
        "commands" "All commands…" ICON_TERMINAL [CTRL_SHIFT P] always => |app| app.show(Dialog::Commands(Box::default()));
        "keys" "Keys" ICON_KEYBOARD [] always => |app| app.show(Dialog::Settings);
}

fn always(_: &App) -> bool {
    true
}
fn has_nodes(app: &App) -> bool {
    app.tab().history.doc().nodes().len() > 0
}
/// Nodes, or nodes in groups.
fn has_selection(app: &App) -> bool {
    let canvas = &app.tab().canvas;
    !canvas.selection.is_empty() || !canvas.part().nodes.is_empty()
}
fn has_groups(app: &App) -> bool {
    !app.tab().canvas.groups.is_empty()
}
fn has_two(app: &App) -> bool {
    app.tab().canvas.selection.len() > 1
}
fn has_three(app: &App) -> bool {
    app.tab().canvas.selection.len() > 2
}
fn has_title(app: &App) -> bool {
    let canvas = &app.tab().canvas;
    let node = canvas.only_node().and_then(|id| app.tab().history.doc().node(id));
    node.is_some_and(|node| !node.is_border()) || canvas.only_group().is_some()
}
/// A subgraph, or a node with something to type into.
fn opens(app: &App) -> bool {
    let tab = app.tab();
    let Some(id) = tab.canvas.only_node() else { return false };
    let widgets = || widgets(tab.history.doc(), id, &app.catalog.contract);
    tab.history.file().subgraph_name(id).is_some() || widgets().iter().any(|w| !w.linked)
}
fn undoes(app: &App) -> bool {
    app.tab().history.undoes().is_some()
}
fn redoes(app: &App) -> bool {
    app.tab().history.redoes().is_some()
}
fn has_choice(app: &App) -> bool {
    has_part(app) || !app.tab().canvas.reroutes.is_empty()
}
fn has_subgraph(app: &App) -> bool {
    app.selected_subgraphs().next().is_some()
}
fn inside(app: &App) -> bool {
    app.tab().history.file().path().next().is_some()
}
fn several_tabs(app: &App) -> bool {
    app.tabs.len() > 1
}
fn runs(app: &App) -> bool {
    app.runs.running().is_some()
}
fn waits(app: &App) -> bool {
    !app.runs.waiting().is_empty()
}
fn remembers(app: &App) -> bool {
    app.runs.all().iter().any(crate::runs::Run::over)
}

/// The action of that id; a panic if the table has none.
pub fn action(id: &str) -> &'static Action {
    let found = ACTIONS.iter().find(|action| action.id == id);
    found.unwrap_or_else(|| panic!("no action {id}"))
}

impl Action {
    /// Does it, if it can be done now.
    pub fn fire(&self, app: &mut App) {
        if (self.enabled)(app) {
            (self.run)(app);
        }
    }

    /// The key as people read it; empty if there is none.
    pub fn key(&self, ctx: &egui::Context) -> String {
        self.keys.first().map_or_else(String::new, |key| ctx.format_shortcut(key))
    }

    /// The title with the key.
    pub fn tooltip(&self, ctx: &egui::Context) -> String {
        match &*self.key(ctx) {
            "" => self.title.to_owned(),
            key => format!("{} ({key})", self.title.trim_end_matches('…')),
        }
    }

    fn has(&self, key: Key, modifiers: Modifiers) -> bool {
        self.keys.iter().any(|k| k.logical_key == key && modifiers.matches_exact(k.modifiers))
    }
}

/// Keys that mean the same while text is typed, as no text field uses them.
const WHILE_TYPING: &[&str] = &[
    "run",
    "run-front",
    "interrupt",
    "save",
    "save-as",
    "open",
    "new",
    "commands",
    "settings",
    "templates",
    "close",
    "next-tab",
    "last-tab",
    "quit",
    "help",
];

/// Keys by which egui moves what has the focus, or uses it.
const FOCUS_KEYS: &[Key] =
    &[Key::ArrowLeft, Key::ArrowRight, Key::ArrowUp, Key::ArrowDown, Key::Enter, Key::Escape];

/// Does what the keys pressed since the last frame ask for.
pub(crate) fn keys(app: &mut App) {
    if app.dialog.is_some() {
        return;
    }
    // A picture or a mask in the canvas's place has keys of its own.
    let typing = app.ctx.text_edit_focused() || app.overlay.is_some();
    if !typing {
        editing::take_clipboard(app);
    }
    let events = app.ctx.input_mut(|input| std::mem::take(&mut input.events));
    let left = events.into_iter().filter(|event| match meant(app, event, typing) {
        Some(action) => {
            action.fire(app);
            false
        }
        None => true,
    });
    let left: Vec<Event> = left.collect();
    app.ctx.input_mut(|input| input.events = left);
}

/// The action that a pressed key asks for, if it can be done; what no action takes is for others to see.
fn meant(app: &App, event: &Event, typing: bool) -> Option<&'static Action> {
    let Event::Key { key, pressed: true, modifiers, .. } = *event else { return None };
    // Escape has taken the focus away by now.
    let focused = app.ctx.memory(egui::Memory::focused).or(app.focused);
    let elsewhere = !app.tab().canvas.takes_keys(focused) || egui::Popup::is_any_open(&app.ctx);
    if elsewhere && modifiers.is_none() && FOCUS_KEYS.contains(&key) {
        return None;
    }
    let allowed = |a: &&Action| !typing || WHILE_TYPING.contains(&a.id);
    let mut actions = ACTIONS.iter().filter(allowed).filter(|a| a.has(key, modifiers));
    actions.find(|action| (action.enabled)(app))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::PAINTS;
    use std::collections::BTreeSet;

    #[test]
    fn every_paint_has_its_action() {
        for paint in &PAINTS {
            let id = format!("color-{}", paint.name.replace(' ', "-"));
            assert_eq!(action(&id).title, format!("Colour {}", paint.name));
        }
    }

    #[test]
    fn no_two_actions_have_one_id_title_or_key() {
        let ids: BTreeSet<_> = ACTIONS.iter().map(|action| action.id).collect();
        assert_eq!(ids.len(), ACTIONS.len());
        let titles: BTreeSet<_> = ACTIONS.iter().map(|action| action.title).collect();
        assert_eq!(titles.len(), ACTIONS.len());
        // Of several actions with one key the first that can be done is meant.
        let keys = ACTIONS.iter().flat_map(|action| action.keys);
        let keys: Vec<_> = keys.filter(|key| key.logical_key != Key::Escape).collect();
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{key:?}");
        }
    }
}
