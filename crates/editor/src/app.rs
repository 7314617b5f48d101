//! The window: what is open, what is asked, and one frame of it.

use crate::{
    actions, bar, breadcrumb, canvas,
    catalog::Catalog,
    dialog::Dialog,
    doc::{Doc, File, History, Id, Part},
    drops::Dropped,
    files::{Answers, Weights},
    history_panel,
    journal::Journal,
    overlay::Overlay,
    palette::Palette,
    runs::{self, Runs},
    session::{Local, Session, World},
    settings::{PreviewMethods, Settings},
    side,
    tabs::Tab,
    templates,
    theme::Theme,
    toasts::Toasts,
    transfer::Transfers,
};
use anyhow::{Result, anyhow};
use egui::{CentralPanel, Context, Frame, Ui, ViewportBuilder, vec2};
use graph::{Host, Json, NodeType, Services};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the program gives the editor to work with.
pub struct Setup {
    pub types: &'static [NodeType],
    pub host: Arc<dyn Host>,
    pub services: Services,
    /// What computes, in words.
    pub device: String,
    /// The folders that are searched, with what they are for.
    pub folders: Vec<(String, PathBuf)>,
    /// What a file of weights is.
    pub weights: Identify,
    pub previews: PreviewMethods,
    /// Where settings and unsaved graphs are kept.
    pub state_dir: PathBuf,
    /// The graph to begin with.
    pub open: Option<PathBuf>,
}

/// Says what a file of weights is.
pub type Identify = Box<dyn Fn(&Path) -> Result<Weights>>;

/// The editor.
pub struct App {
    pub ctx: Context,
    pub setup: Setup,
    pub catalog: Catalog,
    pub runs: Runs,
    pub settings: Settings,
    pub theme: Theme,
    pub tabs: Vec<Tab>,
    /// The tab that is seen. There is always one.
    pub active: usize,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) toasts: Toasts,
    pub(crate) answers: Answers,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) dropped: Dropped,
    pub(crate) transfers: Transfers,
    /// Whether the window closes without another question.
    pub(crate) leaving: bool,
    pub(crate) journal: Journal,
    /// Whether the next paste keeps the links into what is pasted.
    pub(crate) paste_linked: bool,
    /// What had the focus at the end of the last frame.
    pub(crate) focused: Option<egui::Id>,
    last_tab: runs::Tab,
}

/// Opens the window and stays until it is closed.
pub fn run(setup: Setup) -> Result<()> {
    let viewport = ViewportBuilder::default()
        .with_title("Weft")
        .with_app_id("weft")
        .with_inner_size([1600.0, 1000.0])
        .with_min_inner_size([640.0, 400.0])
        .with_drag_and_drop(true);
    let options = eframe::NativeOptions {
        viewport,
        persistence_path: Some(setup.state_dir.join("window.ron")),
        ..eframe::NativeOptions::default()
    };
    let open = move |cc: &eframe::CreationContext| {
        let world = World {
            types: setup.types,
            host: setup.host.clone(),
            services: setup.services.clone(),
        };
        let session = Local::start(world, runs::wake(&cc.egui_ctx));
        Ok(Box::new(App::new(setup, Box::new(session), &cc.egui_ctx)) as Box<dyn eframe::App>)
    };
    eframe::run_native("weft", options, Box::new(open)).map_err(|error| anyhow!("{error}"))
}

/// The triangles of a large graph are megabytes, made in every frame and given back after it. Getting their
/// pages from the system anew was nearly half of a frame's cost; with these bounds the C library keeps them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_pages() {
    // SAFETY: both are mere numbers of the allocator, the highest that it comes to by itself (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_pages() {}

impl App {
    pub fn new(setup: Setup, session: Box<dyn Session>, ctx: &Context) -> Self {
        keep_freed_pages();
        egui_material_icons::initialize(ctx);
        // Zooming is the canvas's business.
        ctx.options_mut(|o| o.zoom_with_keyboard = false);
        let mut toasts = Toasts::default();
        let mut settings = Settings::load(&setup.state_dir).unwrap_or_else(|error| {
            toasts.error(&error);
            Settings::default()
        });
        if let Some(given) = setup.previews.given {
            settings.previews = setup.previews.names.iter().any(|(name, _)| *name == given);
            given.clone_into(&mut settings.preview_method);
        }
        let theme = settings.theme();
        let mut app = Self {
            ctx: ctx.clone(),
            catalog: Catalog::new(setup.types, setup.host.clone()),
            runs: Runs::new(session, setup.host.clone(), ctx),
            settings,
            theme,
            tabs: Vec::new(),
            active: 0,
            dialog: None,
            toasts,
            answers: Answers::new(ctx),
            overlay: None,
            dropped: Dropped::default(),
            transfers: Transfers::default(),
            leaving: false,
            journal: Journal::default(),
            paste_linked: false,
            focused: None,
            last_tab: 0,
            setup,
        };
        app.restore();
        app.apply_settings();
        if let Some(path) = app.setup.open.take() {
            app.open_path(&path);
        }
        if app.tabs.is_empty() {
            app.open_template(&templates::ALL[0]);
        }
        app
    }

    /// The tab that is seen.
    pub fn tab(&self) -> &Tab {
        &self.tabs[self.active]
    }

    pub fn tab_mut(&mut self) -> &mut Tab {
        &mut self.tabs[self.active]
    }

    /// Opens a graph in UI form in a tab of its own and shows it.
    pub fn open_json(&mut self, title: &str, json: &Json) -> Result<&mut Tab> {
        Ok(self.open_history(title, History::of(File::from_json(json)?), None))
    }

    /// Opens a graph with its history in a tab of its own, which has a new number unless one is given, and
    /// shows it.
    pub(crate) fn open_history(
        &mut self,
        title: &str,
        history: History,
        number: Option<runs::Tab>,
    ) -> &mut Tab {
        let number = number.unwrap_or(self.last_tab + 1);
        self.last_tab = self.last_tab.max(number);
        self.tabs.push(Tab::new(number, title, history));
        self.active = self.tabs.len() - 1;
        self.tell_unread();
        self.tab_mut()
    }

    pub(crate) fn new_tab(&mut self) {
        let empty = serde_json::json!({"nodes": [], "links": []});
        let opened = self.open_json("Untitled", &empty).map(drop);
        self.tell_error(opened);
    }

    pub(crate) fn open_template(&mut self, template: &templates::Template) {
        let opened = self.open_json(template.title, &template.json()).map(drop);
        self.tell_error(opened);
    }

    /// Closes a tab, without asking.
    pub(crate) fn drop_tab(&mut self, number: runs::Tab) {
        self.tabs.retain(|tab| tab.number != number);
        if self.tabs.is_empty() {
            self.new_tab();
        }
        self.active = self.active.min(self.tabs.len() - 1);
    }

    /// Tells what went wrong, if it did.
    pub(crate) fn tell_error(&mut self, done: Result<()>) {
        if let Err(error) = done {
            self.toasts.error(&error);
        }
    }

    /// Puts the graph that is seen into the queue, as often as the batch says.
    pub(crate) fn queue(&mut self, front: bool, targets: &[String]) {
        for _ in 0..self.runs.batch.max(1) {
            match self.order(targets) {
                Ok(order) => drop(self.runs.submit(order, front)),
                Err(error) => return self.toasts.error(&error),
            }
            let tab = &mut self.tabs[self.active];
            tab.history.adjust(|file| file.after_queue(&self.catalog.contract));
        }
        let tab = self.tab_mut();
        tab.ran = tab.history.revision();
    }

    fn order(&self, targets: &[String]) -> Result<runs::Order> {
        let tab = self.tab();
        let workflow = tab.json();
        let prompt = tab.history.file().to_api(&self.catalog.contract)?;
        let targets = targets.to_vec();
        Ok(runs::Order { tab: tab.number, title: tab.title.clone(), prompt, workflow, targets })
    }

    /// Runs the graph that is seen by itself if it has changed and nothing runs.
    fn queue_on_change(&mut self) {
        let idle = self.runs.running().is_none() && self.runs.waiting().is_empty();
        if self.runs.on_change && idle && self.tab().ran != self.tab().history.revision() {
            self.queue(false, &[]);
        }
    }

    fn canvas(&mut self, ui: &mut Ui) {
        let able = actions::ACTIONS.iter().filter(|action| (action.enabled)(self));
        let able: BTreeSet<&str> = able.map(|action| action.id).collect();
        let tab = &mut self.tabs[self.active];
        tab.canvas.link_style = self.settings.link_style;
        tab.canvas.links_hidden = self.settings.hide_links;
        let cx = canvas::CanvasContext {
            catalog: &self.catalog,
            theme: &self.theme,
            runs: &self.runs,
            able: &able,
        };
        let place = ui.available_rect_before_wrap();
        for event in tab.canvas.ui(ui, &mut tab.history, &cx) {
            self.take_canvas(event);
        }
        breadcrumb::ui(self, ui, place);
    }

    fn take_canvas(&mut self, event: canvas::Event) {
        match event {
            canvas::Event::Action(id) => actions::action(id).fire(self),
            canvas::Event::EnterSubgraph(id) => {
                self.deselect();
                self.tab_mut().history.enter(id);
            }
            canvas::Event::Help(_) => self.look_at(side::Panel::Help),
            canvas::Event::OpenImage(id, at) => self.view_node(id, at),
            canvas::Event::EditMask(id) => self.edit_mask(id),
            canvas::Event::Outpaint(id) => self.outpaint(id),
            canvas::Event::Upload(id, input) => self.ask_picture(id, input),
            canvas::Event::OpenPalette { at, purpose, .. } => {
                self.show(Dialog::Nodes(Box::new(Palette::new(at, purpose))));
            }
        }
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        let path: Vec<Id> = self.tab().history.file().path().map(|(id, _)| id).collect();
        self.runs.look(self.tab().number, &path);
        self.runs.poll(&ctx);
        self.guard_window();
        self.take_answers();
        self.take_dropped();
        actions::keys(self);
        self.queue_on_change();
        bar::top(self, ui);
        bar::held(self, ui);
        bar::status(self, ui);
        side::ui(self, ui);
        CentralPanel::default().frame(Frame::NONE.fill(self.theme.canvas)).show(ui, |ui| {
            if !self.show_overlay(ui) {
                self.canvas(ui);
            }
        });
        self.show_dialog();
        self.toasts.ui(&ctx, &self.theme);
        self.focused = ctx.memory(egui::Memory::focused);
        self.keep();
    }

    fn persist_egui_memory(&self) -> bool {
        false
    }
}

/// Room between the parts of the window, in points.
pub(crate) const MARGIN: egui::Vec2 = vec2(10.0, 6.0);

impl App {
    /// What was asked for in the panel of runs.
    pub(crate) fn take_panel(&mut self, events: Vec<history_panel::Event>) {
        for event in events {
            match event {
                history_panel::Event::Jump { tab, node, input } => self.jump(tab, &node, input),
                history_panel::Event::Open { title, workflow, prompt } => {
                    self.open_run(&title, &workflow, &prompt);
                }
                history_panel::Event::View(pictures, at) => self.view(pictures, at),
            }
        }
    }

    /// Points at a node, `12:7` if it is within a subgraph, which is entered, or at one of its inputs.
    fn jump(&mut self, tab: runs::Tab, path: &str, input: Option<String>) {
        let Some(at) = self.tabs.iter().position(|t| t.number == tab) else { return };
        (self.active, self.overlay) = (at, None);
        self.go_to(path, input);
    }

    fn open_run(&mut self, title: &str, workflow: &Json, prompt: &serde_json::Map<String, Json>) {
        let opened = if workflow.is_null() {
            let text = serde_json::to_vec(prompt).map_err(anyhow::Error::from);
            text.and_then(|text| graph::read(&text)?.to_ui(&self.catalog.contract))
        } else {
            Ok(workflow.clone())
        };
        let opened = opened.and_then(|json| self.open_json(title, &json).map(drop));
        self.tell_error(opened);
    }

    pub(crate) fn undo(&mut self) {
        self.tab_mut().canvas.groups.clear();
        if let Some(what) = self.tab_mut().history.undo() {
            self.toasts.tell(format!("Undone: {what}"));
        }
    }

    pub(crate) fn redo(&mut self) {
        self.tab_mut().canvas.groups.clear();
        if let Some(what) = self.tab_mut().history.redo() {
            self.toasts.tell(format!("Done again: {what}"));
        }
    }

    /// Shows the tab `by` places further right.
    pub(crate) fn turn(&mut self, by: isize) {
        let tabs = self.tabs.len() as isize;
        self.active = (self.active as isize + by).rem_euclid(tabs) as usize;
    }

    pub(crate) fn look_at(&mut self, panel: side::Panel) {
        self.settings.side = !self.settings.side || self.settings.panel != panel;
        self.settings.panel = panel;
        self.take_settings();
    }

    pub(crate) fn turn_previews(&mut self) {
        self.settings.previews ^= true;
        self.take_settings();
    }

    pub(crate) fn turn_theme(&mut self) {
        self.settings.light ^= true;
        self.take_settings();
    }

    /// The settings have changed: they are kept and become true.
    pub(crate) fn take_settings(&mut self) {
        self.apply_settings();
        let kept = self.settings.save(&self.setup.state_dir);
        self.tell_error(kept);
    }

    fn apply_settings(&mut self) {
        self.theme = self.settings.theme();
        self.theme.apply(&self.ctx);
        self.runs.previews = self.settings.previews;
        let method = self.setup.previews.of(&self.settings).map(|(name, _)| name);
        (self.setup.previews.choose)(method.filter(|_| self.settings.previews));
        self.settings.keys.apply(&self.ctx);
        self.ctx.set_zoom_factor(self.settings.size.clamp(0.5, 4.0));
    }

    pub(crate) fn turn_side(&mut self) {
        self.settings.side ^= true;
        self.take_settings();
    }

    /// Where new things go.
    pub(crate) fn place(&self) -> [f32; 2] {
        self.tab().canvas.place(&self.ctx)
    }

    pub(crate) fn ask_node(&mut self) {
        let palette = Palette::new(self.place(), canvas::Purpose::Add);
        self.show(Dialog::Nodes(Box::new(palette)));
    }

    pub(crate) fn add_note(&mut self) {
        let at = self.place();
        self.tab_mut().history.edit("Add a note", |doc| doc.create_own("Note", at));
    }

    pub(crate) fn select_all(&mut self) {
        let tab = self.tab_mut();
        let doc = tab.history.doc();
        let groups = (0..doc.groups.len()).collect();
        tab.canvas.select(Part { nodes: doc.nodes().map(|node| node.id).collect(), groups });
    }

    /// Changes the selected nodes, and those in selected groups.
    pub(crate) fn change(&mut self, what: &'static str, change: fn(&mut Doc, &BTreeSet<Id>)) {
        let tab = self.tab_mut();
        let part = tab.canvas.part();
        tab.history.edit(what, |doc| change(doc, &part.nodes));
    }

    /// Changes the selected nodes, and what is in them.
    pub(crate) fn change_file(&mut self, what: &'static str, change: fn(&mut File, &BTreeSet<Id>)) {
        let tab = self.tab_mut();
        let part = tab.canvas.part();
        tab.history.edit_file(what, |file| change(file, &part.nodes));
    }

    pub(crate) fn turn_links(&mut self) {
        self.settings.link_style = self.settings.link_style.next();
        self.take_settings();
    }

    pub(crate) fn hide_links(&mut self) {
        self.settings.hide_links ^= true;
        self.take_settings();
    }

    /// Shows the selection whole, or the graph if nothing is selected.
    pub(crate) fn fit(&mut self) {
        let tab = self.tab_mut();
        let part = tab.canvas.part();
        tab.canvas.fit(&part.nodes);
    }

    /// Runs what the selected nodes need, and them.
    pub(crate) fn run_to(&mut self) {
        let tab = self.tab();
        let prefix = tab.history.file().prefix();
        let targets: Vec<String> =
            tab.canvas.part().nodes.iter().map(|id| format!("{prefix}{id}")).collect();
        self.queue(false, &targets);
    }
}

#[cfg(test)]
mod picture_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod widget_tests;
