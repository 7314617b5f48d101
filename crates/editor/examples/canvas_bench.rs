//! What a frame of the window costs with large graphs: `cargo run -p editor --example canvas_bench`.
//!
//! Thread CPU time of one frame of the whole window at 1600x1000: layout and tessellation, without the
//! rasteriser. It is the thread's own time and not the clock's, so that other programs count little. Wanted:
//! 8 ms with 1,000 nodes, 33 ms with 10,000; `app/tests/frames.rs` fails above that.
//!
//! Medians in the dev profile on two cores of a busy Xeon server, November 2026. The first two columns are of
//! one hour, the last two of another, in which the same program took twice as long; only neighbours compare.
//!
//! | 1,000 nodes, 2,000 links | first | lists kept | | shared look-ups, kept pages |
//! |---|---|---|---|---|
//! | pan, all in view | 18.6 ms | 6.3 ms | 8.1 ms | 3.7 ms |
//! | pan, zoom 1, a dozen in view | 2.5 ms | 1.2 ms | 2.7 ms | 1.8 ms |
//! | move a node, zoom 1 | 7.4 ms | 2.3 ms | 4.4 ms | 2.8 ms |
//!
//! | 10,000 nodes, 20,000 links | first | lists kept | | shared look-ups, kept pages |
//! |---|---|---|---|---|
//! | pan, smallest zoom | 43 ms | 22 ms | 38 ms | 15 ms |
//! | pan, zoom 1 | 15 ms | 3.5 ms | 20 ms | 3.9 ms |
//! | move a node, zoom 1 | 70 ms | 15 ms | 58 ms | 16 ms |
//!
//! The largest terms were, in this order: the lines of links from afar (their number now follows the curve's
//! bend), round corners and sockets of nodes a few pixels large (now plain triangles), widgets and their lists
//! made anew in each frame (now once for each state of the document), keys of all layouts at each step of a
//! drag (now of what changed), and unoptimised code (the crate has opt-level 1 in the dev profile). Then: all
//! links gone through for each widget in view and each node that loads a picture (now a look-up), classes
//! looked at for each node at each change (now for nodes that changed), and the kernel handing out pages for
//! megabytes of triangles that were just given back (now kept by the allocator: 39 to 22 ms by itself).

mod shared;

use egui::{PointerButton, pos2};
use shared::{
    graph::large,
    played::Played,
    stage::{Cost, Stage},
};
use std::time::Duration;

const FRAMES: usize = 120;

fn main() -> anyhow::Result<()> {
    println!(
        "{:>7} {:>7}  {:<22} {:>9} {:>9} {:>9} {:>9}",
        "nodes", "links", "", "layout", "tessell.", "median", "95 %"
    );
    for nodes in [100, 1000, 10_000] {
        let mut stage = Stage::new(Box::new(Played::default()));
        let json = large(&stage.app.catalog, nodes, 2 * nodes, 1);
        let start = cpu_time::ThreadTime::now();
        stage.app.open_json("bench", &json)?;
        let read = start.elapsed();
        let first = stage.frame(Vec::new());
        println!("{nodes:>7} nodes: read in {read:.1?}, first frame in {:.1?}", first.sum());
        stage.settle();
        for (what, costs) in measured(&mut stage) {
            row(&stage, what, costs);
        }
    }
    Ok(())
}

/// What people do with a canvas, and the cost of each frame of it.
fn measured(stage: &mut Stage) -> Vec<(&'static str, Vec<Cost>)> {
    let middle = pos2(700.0, 500.0);
    let far = stage.drag(middle, PointerButton::Middle, FRAMES);
    let node = stage.app.tab().history.doc().nodes().nth(37).map(|n| n.id).expect("there are more");
    stage.app.tab_mut().canvas.scroll_to(node);
    let zoom = |stage: &mut Stage, to: f32| {
        while (stage.app.tab().canvas.view.zoom() - to).abs() > 0.07 {
            let step = if stage.app.tab().canvas.view.zoom() < to { 1 } else { -1 };
            stage.app.tab_mut().canvas.zoom_by(step);
        }
        stage.settle();
    };
    zoom(stage, 1.0);
    let near = stage.drag(middle, PointerButton::Middle, FRAMES);
    zoom(stage, 0.5);
    let half = stage.drag(middle, PointerButton::Middle, FRAMES);
    zoom(stage, 1.0);
    stage.app.tab_mut().canvas.scroll_to(node);
    let doc = stage.app.tab().history.doc();
    let [x, y] = doc.node(node).map(|n| n.pos).expect("it is there");
    let title = stage.app.tab().canvas.view.to_screen(pos2(x + 60.0, y - 10.0));
    let moved = stage.drag(title, PointerButton::Primary, FRAMES);
    vec![
        ("pan, fitted", far),
        ("pan, zoom 1", near),
        ("pan, zoom 0.5", half),
        ("move a node, zoom 1", moved),
    ]
}

fn row(stage: &Stage, what: &str, mut costs: Vec<Cost>) {
    let doc = stage.app.tab().history.doc();
    costs.sort_by_key(|cost| cost.sum());
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let (median, slow) = (costs[costs.len() / 2], costs[costs.len() * 95 / 100]);
    println!(
        "{:>7} {:>7}  {what:<22} {:>9} {:>9} {:>9} {:>9}",
        doc.nodes().len(),
        doc.links.len(),
        ms(median.layout),
        ms(median.tessellation),
        ms(median.sum()),
        ms(slow.sum())
    );
}
