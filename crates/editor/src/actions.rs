//! Everything a person can do, in one table. Menus, tooltips, keys and the command palette are its readers.

use crate::{
    app::App,
    dialog::{self, Dialog},
    doc::Mode,
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
    Run,
    Help,
}

impl Menu {
    pub const ALL: [Self; 6] =
        [Self::File, Self::Edit, Self::View, Self::Node, Self::Run, Self::Help];

    pub fn title(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Edit => "Edit",
            Self::View => "View",
            Self::Node => "Node",
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
        "undo" "Undo" ICON_UNDO [CTRL Z] always => App::undo;
        "redo" "Redo" ICON_REDO [CTRL Y, CTRL_SHIFT Z] always => App::redo;
    Edit 1:
        "add-node" "Add a node…" ICON_ADD_CIRCLE [] always => App::ask_node;
        "add-note" "Add a note" ICON_STICKY_NOTE_2 [] always => App::add_note;
        "select-all" "Select all" ICON_SELECT_ALL [CTRL A] has_nodes => App::select_all;
    View 1:
        "fit" "Fit into view" ICON_FIT_SCREEN [NONE Period] has_nodes => App::fit;
    View 2:
        "side" "Side panel" ICON_VIEW_SIDEBAR [] always => App::turn_side;
        "queue" "Queue and history" ICON_HISTORY [NONE Q] always => |app| app.look_at(Panel::Queue);
        "errors" "Errors" ICON_ERROR [] always => |app| app.look_at(Panel::Errors);
        "help" "Help" ICON_HELP [NONE F1] always => |app| app.look_at(Panel::Help);
        "theme" "Light or dark" ICON_DARK_MODE [] always => App::turn_theme;
    Node 0:
        "delete" "Delete" ICON_DELETE [NONE Delete, NONE Backspace] has_selection
            => |app| app.change("Delete", |doc, ids| doc.remove(ids));
        "dissolve" "Delete, keep links" ICON_LINK [] has_selection
            => |app| app.change("Delete, keep links", |doc, ids| doc.dissolve(ids));
    Node 1:
        "mute" "Mute" ICON_BLOCK [CTRL M] has_selection
            => |app| app.change("Mute", |doc, ids| doc.toggle_mode(ids, Mode::Muted));
        "bypass" "Bypass" ICON_KEYBOARD_DOUBLE_ARROW_RIGHT [CTRL B] has_selection
            => |app| app.change("Bypass", |doc, ids| doc.toggle_mode(ids, Mode::Bypassed));
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
    Run 0:
        "run" "Run" ICON_PLAY_ARROW [CTRL Enter] has_nodes => |app| app.queue(false, &[]);
        "run-front" "Run next" ICON_FAST_FORWARD [CTRL_SHIFT Enter] has_nodes => |app| app.queue(true, &[]);
        "interrupt" "Stop what runs" ICON_STOP [CTRL_ALT Enter] runs => |app| app.runs.interrupt();
        "on-change" "Run on change" ICON_AUTORENEW [] always => |app| app.runs.on_change ^= true;
        "previews" "Live previews on or off" ICON_VISIBILITY [] always => App::turn_previews;
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
fn has_selection(app: &App) -> bool {
    !app.tab().canvas.selection.is_empty()
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

/// Keys that mean the same while text is typed or a picture is worked on, which do not use them.
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

/// Does what the keys pressed since the last frame ask for.
pub(crate) fn keys(app: &mut App) {
    if app.dialog.is_some() {
        return;
    }
    // What lies over the graph has keys of its own, as text has.
    let typing = app.ctx.text_edit_focused() || app.overlay.is_some();
    for action in pressed(&app.ctx, typing) {
        action.fire(app);
    }
}

/// The actions whose keys were pressed; their events are taken, so that nothing else sees them.
fn pressed(ctx: &egui::Context, typing: bool) -> Vec<&'static Action> {
    let mut found = Vec::new();
    let meant = |key, modifiers| {
        let allowed = |a: &&Action| !typing || WHILE_TYPING.contains(&a.id);
        ACTIONS.iter().filter(allowed).find(|a| a.has(key, modifiers))
    };
    ctx.input_mut(|input| {
        input.events.retain(|event| match event {
            Event::Key { key, pressed: true, modifiers, .. } => {
                let action = meant(*key, *modifiers);
                found.extend(action);
                action.is_none()
            }
            _ => true,
        });
    });
    found
}
