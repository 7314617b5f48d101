//! A picture of the graph that carries the graph: whoever drops it on the window has it open.

use crate::{
    app::App,
    canvas::{Canvas, CanvasContext},
    doc::History,
    files::{Said, write_whole},
    pictures::{self, Picture},
    raster,
    thumbnails::SIDE,
};
use anyhow::{Context as _, Result};
use egui::{
    ClippedPrimitive, ColorImage, Context, Pos2, RawInput, Rect, TextureId, Vec2, ViewportId,
};
use graph::{Host, Json};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

/// What is around the graph, in points: links and words that hang over.
const MARGIN: f32 = 60.0;
/// No picture has more pixels than this: a large graph is shown smaller.
const MOST_PIXELS: f32 = 40e6;
/// Pixels a point, for small text to be sharp.
const SHARP: f32 = 2.0;

/// The graph as egui's triangles: what the window's thread has to do with it.
struct Drawn {
    primitives: Vec<ClippedPrimitive>,
    font: ColorImage,
    /// The pictures that nodes show.
    pictures: HashMap<TextureId, Picture>,
    size: [usize; 2],
    scale: f32,
    workflow: Json,
}

impl App {
    /// Writes a picture of the whole graph, with the graph in it.
    pub(crate) fn share(&mut self, path: &Path) {
        let (path, host) = (path.with_extension("png"), self.setup.host.clone());
        let drawn = self.drawn();
        self.answers.work(move || {
            let made = drawn.png(&*host).and_then(|png| write_whole(&path, &png));
            Some(Said::Copied(made.with_context(|| path.display().to_string()).map(|()| path)))
        });
    }

    /// Draws the graph in a window that nobody sees and that is as large as it.
    fn drawn(&mut self) -> Drawn {
        let workflow = self.tab().json();
        let mut file = self.tab().history.file().clone();
        while file.leave() {}
        let mut history = History::of(file);
        // States of nodes are those of the level that is looked at; the next frame looks where it was.
        self.runs.look(self.tab().number, &[]);
        let ctx = Context::default();
        egui_material_icons::initialize(&ctx);
        self.theme.apply(&ctx);
        let mut canvas = Canvas::default();
        canvas.minimap = false;
        // The first time only tells how large everything is.
        self.draw(&ctx, &mut canvas, &mut history, Vec2::splat(1000.0), 1.0);
        let room = canvas.bounds().map_or(Vec2::ZERO, |bounds| bounds.size());
        let points = (room + Vec2::splat(2.0 * MARGIN)).max(Vec2::splat(200.0)).ceil();
        let scale = SHARP.min((MOST_PIXELS / (points.x * points.y)).sqrt());
        canvas.fit(&Default::default());
        // And the second how wide each text is.
        self.draw(&ctx, &mut canvas, &mut history, points, scale);
        let primitives = self.draw(&ctx, &mut canvas, &mut history, points, scale);
        Drawn {
            primitives,
            font: ctx.fonts(|fonts| fonts.image()),
            pictures: self.runs.thumbnails.sources(),
            size: [points.x, points.y].map(|side| (side * scale).round() as usize),
            scale,
            workflow,
        }
    }

    fn draw(
        &self,
        ctx: &Context,
        canvas: &mut Canvas,
        history: &mut History,
        points: Vec2,
        scale: f32,
    ) -> Vec<ClippedPrimitive> {
        let mut input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, points)),
            ..RawInput::default()
        };
        input.viewports.entry(ViewportId::ROOT).or_default().native_pixels_per_point = Some(scale);
        let cx = CanvasContext {
            catalog: &self.catalog,
            theme: &self.theme,
            runs: &self.runs,
            able: &BTreeSet::new(),
        };
        let mut output = ctx.run_ui(input, |ui| drop(canvas.ui(ui, history, &cx)));
        // The whole atlas is taken at the end.
        output.textures_delta.clear();
        ctx.tessellate(output.shapes, scale)
    }
}

impl Drawn {
    fn png(&self, host: &dyn Host) -> Result<Vec<u8>> {
        let picture = |picture: &Picture| {
            let pixels = pictures::at_most(picture.read(host).ok()?, SIDE);
            Some(pictures::color_image(&pixels))
        };
        let read = self.pictures.iter().filter_map(|(id, source)| Some((*id, picture(source)?)));
        let mut textures: HashMap<TextureId, ColorImage> = read.collect();
        textures.insert(TextureId::default(), self.font.clone());
        let image = raster::paint(&self.primitives, &textures, self.size, self.scale);
        let rgb: Vec<u8> = image.pixels.iter().flat_map(|p| [p.r(), p.g(), p.b()]).collect();
        let size = [u32::try_from(self.size[0])?, u32::try_from(self.size[1])?];
        let texts = [("workflow".to_owned(), graph::chunk_text(&self.workflow))];
        graph::encode_png(&rgb, size, 3, &texts)
    }
}

#[cfg(test)]
mod tests {
    use crate::{app::tests::window, open, templates};
    use std::time::Instant;

    #[test]
    fn a_shared_picture_shows_the_graph_and_opens_as_it() {
        let (mut harness, state) = window(&templates::ALL[0].json());
        let app = harness.state_mut();
        let json = app.tab().json();
        let path = state.path().join("shared.png");
        app.share(&path);
        let began = Instant::now();
        while !path.exists() {
            assert!(began.elapsed().as_secs() < 60, "the picture is not written");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        if let Some(keep) = std::env::var_os("WEFT_KEEP_SHARED") {
            std::fs::copy(&path, keep).unwrap();
        }
        let picture = image::open(&path).unwrap().into_rgb8();
        let (width, height) = picture.dimensions();
        assert!(width > 1000 && height > 500, "{width} x {height}");
        let theme = &harness.state().theme;
        let count = |color: egui::Color32| {
            let [r, g, b, _] = color.to_array();
            picture.pixels().filter(|p| p.0 == [r, g, b]).count() as f32 / (width * height) as f32
        };
        assert!((0.1..0.9).contains(&count(theme.canvas)), "the canvas");
        assert!((0.05..0.8).contains(&count(theme.node)), "and nodes on it");
        open::dropped(harness.state_mut(), &path, None).unwrap();
        assert_eq!(harness.state().tab().json(), json);
    }
}
