//! A tidy place for each node: columns by depth, links run from left to right, nothing overlaps.

use std::collections::VecDeque;

/// Room between columns, and between nodes of a column, for links and title bars (30 pixels, which
/// stand above a node's body).
const GAP: [f64; 2] = [80.0, 70.0];

/// The left upper corner of each node, given their sizes and the links as (from, to).
pub(crate) fn place(sizes: &[[f64; 2]], links: &[(usize, usize)]) -> Vec<[f64; 2]> {
    let sources = sources(sizes.len(), links);
    let depths = depths(sizes.len(), links);
    let mut columns = vec![vec![]; depths.iter().max().map_or(0, |d| d + 1)];
    for (node, depth) in depths.iter().enumerate() {
        columns[*depth].push(node);
    }
    let mut places = vec![[0.0; 2]; sizes.len()];
    let mut x = 0.0;
    for column in &mut columns {
        sort_by_sources(column, &sources, sizes, &places);
        let mut y = 0.0;
        for &node in &*column {
            places[node] = [x, y];
            y += sizes[node][1] + GAP[1];
        }
        x += column.iter().map(|&n| sizes[n][0]).fold(0.0, f64::max) + GAP[0];
    }
    places
}

/// Nodes of a column in the order of the middle of what feeds them, so that links cross less.
fn sort_by_sources(
    column: &mut [usize],
    sources: &[Vec<usize>],
    sizes: &[[f64; 2]],
    places: &[[f64; 2]],
) {
    let middle = |node: usize| {
        let from = &sources[node];
        let sum: f64 = from.iter().map(|&s| places[s][1] + sizes[s][1] / 2.0).sum();
        sum / from.len().max(1) as f64
    };
    column.sort_by(|&a, &b| middle(a).total_cmp(&middle(b)));
}

fn sources(nodes: usize, links: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut sources = vec![vec![]; nodes];
    for &(from, to) in links {
        sources[to].push(from);
    }
    sources
}

/// The length of the longest path to each node. Nodes of a cycle, which have none, count from what
/// is known of them.
fn depths(nodes: usize, links: &[(usize, usize)]) -> Vec<usize> {
    let mut targets = vec![vec![]; nodes];
    let mut waiting = vec![0; nodes];
    for &(from, to) in links {
        targets[from].push(to);
        waiting[to] += 1;
    }
    let mut depths = vec![0; nodes];
    let mut ready: VecDeque<usize> = (0..nodes).filter(|&n| waiting[n] == 0).collect();
    while let Some(node) = ready.pop_front() {
        for &to in &targets[node] {
            depths[to] = depths[to].max(depths[node] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                ready.push_back(to);
            }
        }
    }
    depths
}
