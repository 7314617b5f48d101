//! What a graph needs that is not here: classes of nodes, and files.

use crate::{
    app::App,
    catalog::Catalog,
    dialog::{heading, scrolling},
    doc::{Doc, EDITORS_OWN, File, INPUTS, Node, Widget, widgets},
    theme::GAP,
};
use egui::{ComboBox, Id, RichText, Ui};
use std::{collections::BTreeMap, sync::Arc};

/// Everything that is missing.
#[derive(Default)]
pub struct Report {
    /// Classes that this program does not run, and how many nodes are of each.
    classes: BTreeMap<String, usize>,
    files: Vec<Missing>,
}

/// A file that is not there.
struct Missing {
    folder: &'static str,
    name: String,
    /// How many nodes want it.
    nodes: usize,
    /// Which folders were searched, in the host's words.
    why: String,
    near: Vec<String>,
    all: Vec<String>,
    /// Where the graph's maker says it can be had.
    source: Option<String>,
}

impl Report {
    /// What the graph that is seen lacks, on all its levels.
    pub fn of(app: &App) -> Self {
        let mut report = Self::default();
        let file = app.tab().history.file();
        for doc in file.docs() {
            for node in doc.nodes() {
                report.class(app, file, node);
                for (folder, widget) in named(&app.catalog, file, doc, node) {
                    report.file(app, folder, widget.value.as_str().unwrap_or_default(), node);
                }
            }
        }
        report
    }

    fn class(&mut self, app: &App, file: &File, node: &Node) {
        let own = EDITORS_OWN.iter().any(|own| own.class == node.class) || node.is_border();
        let known = own || app.catalog.get(&node.class).is_some();
        if !known && file.subgraph(&node.class).is_none() {
            *self.classes.entry(node.class.clone()).or_default() += 1;
        }
    }

    fn file(&mut self, app: &App, folder: &'static str, name: &str, node: &Node) {
        let known = self.files.iter_mut().find(|file| file.folder == folder && file.name == name);
        if let Some(known) = known {
            known.nodes += 1;
            return;
        }
        let Err(error) = app.setup.host.find(folder, name) else { return };
        let all = app.setup.host.list(folder);
        let near = engine::nearest(name, all.iter().map(String::as_str));
        self.files.push(Missing {
            folder,
            name: name.to_owned(),
            nodes: 1,
            why: format!("{error:#}"),
            near: near.into_iter().map(str::to_owned).collect(),
            source: source(node, name),
            all,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.files.is_empty()
    }

    /// Draws it; whether the dialog is done.
    pub fn ui(&mut self, app: &mut App, ui: &mut Ui) -> bool {
        ui.set_width(560.0);
        let title = if self.is_empty() {
            "Everything that this graph needs is here"
        } else {
            "This graph needs what is not here"
        };
        heading(ui, title);
        let mut choice = None;
        scrolling(ui, "missing", |ui| {
            self.classes_ui(app, ui);
            for file in &self.files {
                let chosen = ui.push_id((file.folder, &file.name), |ui| file.ui(app, ui)).inner;
                choice = choice.take().or(chosen.map(|new| (file.folder, file.name.clone(), new)));
            }
        });
        if let Some((folder, old, new)) = choice {
            app.replace_file(folder, &old, &new);
            *self = Self::of(app);
        }
        ui.button("Close").clicked()
    }

    fn classes_ui(&self, app: &App, ui: &mut Ui) {
        if self.classes.is_empty() {
            return;
        }
        ui.label(RichText::new("Nodes that Weft does not have").strong());
        let about = "They stay in the graph as they are, with all their values and links.";
        ui.label(RichText::new(about).color(app.theme.dim));
        for (class, count) in &self.classes {
            ui.label(format!("{class}  × {count}"));
        }
        ui.add_space(GAP);
    }
}

impl Missing {
    /// Draws it; the name of the file to take instead, if one was chosen.
    fn ui(&self, app: &App, ui: &mut Ui) -> Option<String> {
        let dim = app.theme.dim;
        ui.label(RichText::new(&self.name).strong());
        let nodes = if self.nodes == 1 {
            "1 node wants it"
        } else {
            &*format!("{} nodes want it", self.nodes)
        };
        ui.label(RichText::new(format!("{nodes}: {}", self.why)).color(dim));
        if let Some(source) = &self.source {
            ui.hyperlink_to(format!("The graph's maker got it from {source}"), source);
        }
        let mut chosen = None;
        ui.horizontal_wrapped(|ui| {
            for near in &self.near {
                if ui.button(format!("Use {near}")).clicked() {
                    chosen = Some(near.clone());
                }
            }
            if !self.all.is_empty() {
                let list =
                    ComboBox::from_id_salt(Id::unique(&self.name)).selected_text("Choose another…");
                let list = list.show_ui(ui, |ui| {
                    let mut names = self.all.iter();
                    names.find(|name| ui.selectable_label(false, *name).clicked()).cloned()
                });
                let name = format!("Another file instead of {}", self.name);
                crate::bar::name(&list.response, &name);
                chosen = chosen.take().or(list.inner.flatten());
            }
        });
        ui.add_space(GAP);
        chosen
    }
}

impl App {
    /// Lets all nodes that want one file take another, as one step.
    fn replace_file(&mut self, folder: &str, old: &str, new: &str) {
        let tab = &mut self.tabs[self.active];
        let catalog = &self.catalog;
        tab.history.edit_file("Choose another file", |file| {
            let before = file.clone();
            for doc in file.docs_mut() {
                for (id, name) in wanting(catalog, &before, doc, folder, old) {
                    Arc::make_mut(doc).set_widget(id, &name, new.into(), &catalog.contract);
                }
            }
        });
    }
}

/// The widgets on one level that name a file: the nodes and the widgets' names.
fn wanting(
    catalog: &Catalog,
    file: &File,
    doc: &Doc,
    folder: &str,
    name: &str,
) -> Vec<(i64, String)> {
    let all = doc.nodes().flat_map(|node| {
        named(catalog, file, doc, node)
            .into_iter()
            .map(move |(folder, widget)| (node.id, folder, widget))
    });
    let those = all.filter(|(_, f, widget)| *f == folder && widget.value == name);
    those.map(|(id, _, widget)| (id, widget.name)).collect()
}

/// The widgets of a node that name files, with their folders.
fn named(catalog: &Catalog, file: &File, doc: &Doc, node: &Node) -> Vec<(&'static str, Widget)> {
    let all = widgets(doc, node.id, &catalog.contract).into_iter();
    let counting = all.filter(|w| !w.linked && w.value.is_string());
    counting.filter_map(|w| Some((folder(catalog, file, &node.class, &w.name, 0)?, w))).collect()
}

/// Subgraphs in subgraphs deeper than this are a mistake, or a ring.
const DEEPEST: usize = 16;

/// The folder of the files that an input names; those of subgraphs are those of the nodes inside.
fn folder(
    catalog: &Catalog,
    file: &File,
    class: &str,
    input: &str,
    depth: usize,
) -> Option<&'static str> {
    if let Some(ty) = catalog.get(class) {
        return ty.input(input)?.folder();
    }
    let inside = file.subgraph(class).filter(|_| depth < DEEPEST)?;
    let slot = inside.node(INPUTS)?.outputs.iter().position(|slot| slot.name == input)?;
    inside.links_from(INPUTS, slot).find_map(|link| {
        let link = inside.links.get(&link)?;
        let target = inside.node(link.to)?;
        let input = target.inputs.get(link.to_slot)?;
        let name = input.widget.as_deref().unwrap_or(&input.name);
        folder(catalog, file, &target.class, name, depth + 1)
    })
}

/// Graphs may say where each of their files can be had.
fn source(node: &Node, name: &str) -> Option<String> {
    let models = node.raw.0.get("properties")?["models"].as_array()?;
    let model = models.iter().find(|model| model["name"] == name)?;
    let url = model["url"].as_str()?;
    url.starts_with("https://").then(|| url.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::app::tests::window;
    use egui_kittest::kittest::Queryable as _;
    use serde_json::{Value as Json, json};

    /// Two loaders, one of them in a subgraph whose own widget says what it loads, and an unknown node.
    pub(crate) fn graph() -> Json {
        let class = "11111111-2222-3333-4444-555555555555";
        let loader = |id: i64, link: Option<i64>| {
            json!({"id": id, "type": "LoadImage", "pos": [0, id * 300], "size": [200, 100], "mode": 0,
                "inputs": [{"name": "image", "type": "COMBO", "widget": {"name": "image"}, "link": link}],
                "outputs": [], "widgets_values": ["lost.png", "image", 1, "fixed"],
                "properties": {"models": [{"name": "lost.png", "url": "https://example.org/lost.png"}]}})
        };
        let inside = json!({"id": class, "name": "sub", "nodes": [loader(5, Some(1))],
            "inputs": [{"id": "a", "name": "picture", "type": "COMBO", "linkIds": [1]}], "outputs": [],
            "inputNode": {"id": -10, "bounding": [0, 0, 10, 10]}, "outputNode": {"id": -20, "bounding": [0, 0, 10, 10]},
            "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0, "type": "COMBO"}]});
        json!({"nodes": [
            loader(1, None),
            {"id": 2, "type": class, "pos": [300, 0], "size": [200, 100], "mode": 0, "outputs": [],
             "inputs": [{"name": "picture", "type": "COMBO", "widget": {"name": "picture"}, "link": null}],
             "widgets_values": ["lost.png"]},
            {"id": 3, "type": "Elsewhere", "pos": [600, 0], "size": [200, 100], "mode": 0, "inputs": [], "outputs": []},
        ], "links": [], "definitions": {"subgraphs": [inside]}})
    }

    #[test]
    fn one_click_replaces_a_missing_file_everywhere() {
        let (mut harness, _state) = window(&graph());
        let app = harness.state_mut();
        // The folder exists only now, and its list is read when it is looked for.
        std::fs::create_dir_all(app.setup.host.folder("input").unwrap()).unwrap();
        std::fs::write(app.setup.host.folder("input").unwrap().join("last.png"), "x").unwrap();
        let report = Report::of(app);
        assert_eq!(report.classes.keys().collect::<Vec<_>>(), ["Elsewhere"]);
        assert_eq!((report.files.len(), report.files[0].nodes), (1, 2));
        app.show(crate::dialog::Dialog::Missing(report));
        harness.run_steps(2);
        harness.get_by_label_contains("https://example.org/lost.png");
        harness.get_by_label_contains("2 nodes want it");
        harness.get_by_label("Use last.png").click();
        harness.run_steps(3);
        let json = harness.state().tab().json();
        assert_eq!(json["nodes"][0]["widgets_values"][0], "last.png");
        assert_eq!(json["nodes"][1]["widgets_values"][0], "last.png");
        assert!(harness.query_by_label("Use last.png").is_none());
        harness.state_mut().undo();
        assert_eq!(
            harness.state().tab().json()["nodes"][1]["widgets_values"][0],
            "lost.png",
            "one step"
        );
    }
}
