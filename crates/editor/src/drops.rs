//! What comes from outside: files dropped on the window, pictures pasted into it.

use crate::{
    app::App,
    doc::{Id, widgets},
    files::write_new,
    open, runs,
};
use anyhow::{Context as _, Result, ensure};
use egui::{ColorImage, Event, Pos2};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Files that were dropped, until it is known where.
#[derive(Default)]
pub struct Dropped {
    files: Vec<PathBuf>,
    /// In egui's time.
    at: f64,
}

/// The widget for which a picture was asked, wherever a person has gone since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub tab: runs::Tab,
    /// The subgraph, as [`crate::doc::File::prefix`] tells it.
    pub level: String,
    pub node: Id,
    pub input: String,
}

/// While something is dragged over a window it hears nothing of the pointer; that comes right after the
/// drop, or not at all if the pointer rests.
const POINTER: Duration = Duration::from_millis(200);

impl App {
    /// Opens what was dropped on the window.
    pub(crate) fn take_dropped(&mut self) {
        let (new, now, moved) = self.ctx.input_mut(|i| {
            let moved = i.events.iter().any(|event| matches!(event, Event::PointerMoved(_)));
            (std::mem::take(&mut i.raw.dropped_files), i.time, moved)
        });
        if !new.is_empty() {
            self.dropped.at = now;
            self.dropped.files.extend(new.iter().map(|file| file.path().to_owned()));
        }
        if self.dropped.files.is_empty() {
            return;
        }
        if !moved && now - self.dropped.at < POINTER.as_secs_f64() {
            return self.ctx.request_repaint_after(POINTER);
        }
        let onto = self.ctx.pointer_latest_pos().and_then(|at| self.loader_at(at));
        for path in std::mem::take(&mut self.dropped.files) {
            let opened = open::dropped(self, &path, onto);
            self.tell_error(opened.with_context(|| path.display().to_string()));
        }
    }

    /// A picture from the clipboard goes the way of one that was dropped.
    pub(crate) fn paste_picture(&mut self, image: &ColorImage) -> Result<()> {
        let [width, height] = image.size.map(|side| side as u32);
        let pixels = image.pixels.iter().flat_map(|color| color.to_srgba_unmultiplied()).collect();
        let picture = image::RgbaImage::from_raw(width, height, pixels)
            .context("it has fewer pixels than it says")?;
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png)?;
        let png = png.into_inner();
        let name = open::new_input(self, "pasted", "png", |path| write_new(path, &png))?;
        let onto = self.ctx.pointer_latest_pos().and_then(|at| self.loader_at(at));
        self.load_picture(&name, onto);
        Ok(())
    }

    /// Copies a picture into the input folder and lets the widget name it.
    pub(crate) fn upload(&mut self, target: &Target, path: &Path) -> Result<()> {
        let name = open::into_input(self, path)?;
        self.catalog.refresh();
        let contract = &self.catalog.contract;
        let mut tabs = self.tabs.iter_mut();
        let tab = tabs
            .find(|tab| tab.number == target.tab && tab.history.file().prefix() == target.level);
        let set = tab.is_some_and(|tab| {
            tab.history.edit("Load a picture", |doc| {
                doc.set_widget(target.node, &target.input, name.as_str().into(), contract)
            })
        });
        ensure!(set, "the node is no longer in view; the picture is in the input folder as {name}");
        self.toasts.tell(format!("{name} is in the input folder"));
        Ok(())
    }

    /// The node under a point of the screen, if it loads pictures.
    fn loader_at(&self, at: Pos2) -> Option<Id> {
        let tab = self.tab();
        let id = tab.canvas.node_at(at).filter(|_| self.overlay.is_none())?;
        let all = widgets(tab.history.doc(), id, &self.catalog.contract);
        let loads = all.iter().any(|widget| widget.spec.as_ref().is_some_and(|spec| spec.upload));
        loads.then_some(id)
    }

    /// Looks for files again, as for what was put into the folders while the program runs.
    pub(crate) fn refresh(&mut self) {
        self.catalog.refresh();
        self.toasts.tell("The lists of files are as the folders are now");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::{empty, window};
    use egui::{DroppedFile, vec2};
    use egui_kittest::{Harness, kittest::Queryable as _};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Given(PathBuf);

    impl DroppedFile for Given {
        fn path(&self) -> &Path {
            &self.0
        }
        fn bytes(&self) -> Result<Vec<u8>, String> {
            std::fs::read(&self.0).map_err(|error| error.to_string())
        }
    }

    fn drop_file(harness: &mut Harness<App>, path: &Path) {
        harness.input_mut().dropped_files.push(Arc::new(Given(path.to_owned())));
        harness.run_steps(20);
    }

    /// What the nodes load, in order.
    fn loaded(app: &App) -> Vec<String> {
        let doc = app.tab().history.doc();
        let image = |id| {
            let all = widgets(doc, id, &app.catalog.contract);
            all.into_iter()
                .find(|w| w.name == "image")
                .map(|w| w.value.as_str().unwrap().to_owned())
        };
        doc.nodes().filter_map(|node| image(node.id)).collect()
    }

    fn png(path: &Path) {
        image::RgbImage::new(2, 2).save(path).unwrap();
    }

    #[test]
    fn a_picture_dropped_on_a_loader_goes_into_it_and_beside_it_into_a_new_one() {
        let (mut harness, state) = window(&empty());
        let (first, second) = (state.path().join("first.png"), state.path().join("second.png"));
        png(&first);
        png(&second);
        let middle = egui::pos2(500.0, 400.0);
        harness.hover_at(middle);
        harness.step();
        drop_file(&mut harness, &first);
        assert_eq!(loaded(harness.state()), ["first.png"]);
        // New nodes have their upper left corner at the pointer.
        harness.hover_at(middle + vec2(40.0, 30.0));
        harness.step();
        drop_file(&mut harness, &second);
        assert_eq!(loaded(harness.state()), ["second.png"]);
        harness.hover_at(middle - vec2(300.0, 200.0));
        harness.step();
        let made = harness.state().tab().history.doc().nodes().map(|node| node.id).collect();
        harness.state_mut().tab_mut().canvas.selection = made;
        for path in [&first, &second] {
            harness.input_mut().dropped_files.push(Arc::new(Given(path.clone())));
        }
        harness.run_steps(20);
        // No file is written over, and what is selected is left alone.
        assert_eq!(loaded(harness.state()), ["second.png", "first_1.png", "second_1.png"]);
        let places: Vec<_> = harness.state().tab().history.doc().nodes().map(|n| n.pos).collect();
        assert_ne!(places[1], places[2]);
    }

    #[test]
    fn an_upload_finds_its_node_again_though_another_tab_is_seen() {
        let (mut harness, state) = window(&empty());
        let app = harness.state_mut();
        app.load_picture("x.png", None);
        let (tab, node) = (app.tab().number, app.tab().history.doc().nodes().next().unwrap().id);
        let mut target = Target { tab, level: String::new(), node, input: "image".into() };
        let file = state.path().join("up.png");
        png(&file);
        app.new_tab();
        app.upload(&target, &file).unwrap();
        app.active = app.tabs.iter().position(|t| t.number == tab).unwrap();
        assert_eq!(loaded(app), ["up.png"]);
        target.node = 99;
        let error = app.upload(&target, &file).unwrap_err().to_string();
        assert!(error.contains("up_1.png"), "{error}");
    }

    #[test]
    fn a_pasted_picture_is_a_new_file_each_time() {
        let (mut harness, _state) = window(&empty());
        let app = harness.state_mut();
        app.paste_picture(&ColorImage::filled([2, 1], egui::Color32::RED)).unwrap();
        app.tab_mut().canvas.selection.clear();
        app.paste_picture(&ColorImage::filled([3, 1], egui::Color32::RED)).unwrap();
        assert_eq!(loaded(app), ["pasted.png", "pasted_1.png"]);
        let folder = app.setup.host.folder("input").unwrap();
        let second = image::open(folder.join("pasted_1.png")).unwrap();
        assert_eq!((second.width(), second.height()), (3, 1));
    }

    #[test]
    fn dropped_weights_are_told_of_and_moved_where_they_belong() {
        let (mut harness, state) = window(&empty());
        let names = ["a.safetensors", "b.safetensors"];
        for name in names {
            std::fs::write(state.path().join(name), name).unwrap();
            drop_file(&mut harness, &state.path().join(name));
        }
        harness.get_by_label("b.safetensors");
        harness.query_all_by_label("Move it there").next().unwrap().click();
        harness.run_steps(2);
        let home = state.path().join("checkpoints").join("a.safetensors");
        let began = std::time::Instant::now();
        while harness.query_by_label_contains("is there now").is_none() {
            assert!(began.elapsed().as_secs() < 20, "it did not arrive");
            harness.step();
        }
        assert_eq!(std::fs::read_to_string(home).unwrap(), "a.safetensors");
        assert!(!state.path().join("a.safetensors").exists());
        harness.get_by_label("Close").click();
        harness.run_steps(2);
        assert!(harness.state().dialog.is_none() && state.path().join("b.safetensors").exists());
    }

    #[test]
    fn weights_that_could_run_code_are_refused_by_name() {
        let (mut harness, state) = window(&empty());
        let path = state.path().join("a.ckpt");
        std::fs::write(&path, "x").unwrap();
        let error = open::dropped(harness.state_mut(), &path, None).unwrap_err();
        assert!(error.to_string().contains("safetensors"), "{error}");
    }
}
