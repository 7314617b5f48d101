//! What holds of every order, over random graphs.

use super::*;
use crate::doc::tests::Dice;

/// Boxes of all sizes anywhere, and links that lead from lower to higher ids.
fn graph(dice: &mut Dice, count: usize) -> (Frames, Vec<(Id, usize, Id, usize)>) {
    let frame = |dice: &mut Dice| {
        let [x, y, w, h] = [3000, 2000, 400, 600].map(|most| dice.below(most) as f32);
        [x, y, x + w + 20.0, y + h + 28.0]
    };
    let frames = (0..count).map(|i| (i as Id, frame(dice))).collect();
    let links = (0..dice.below(2 * count)).filter_map(|_| {
        let [a, b] = [dice.below(count), dice.below(count)];
        (a != b).then(|| (a.min(b) as Id, dice.below(3), a.max(b) as Id, dice.below(4)))
    });
    (frames, links.collect())
}

fn apart(frames: impl Iterator<Item = Frame>) -> bool {
    let frames: Vec<Frame> = frames.collect();
    frames.iter().enumerate().all(|(i, a)| frames[..i].iter().all(|b| !overlap(*a, *b)))
}

fn run(
    nodes: &Frames,
    groups: &GroupFrames,
    links: &[(Id, usize, Id, usize)],
    fixed: &[Frame],
) -> Arranged {
    layered(&Scope {
        nodes: nodes.clone(),
        groups: groups.clone(),
        links: links.to_vec(),
        fixed: fixed.to_vec(),
    })
}

#[test]
fn layers_overlap_nowhere_lead_rightwards_and_stay_when_made_again() {
    let mut dice = Dice(7);
    for _ in 0..60 {
        let count = 1 + dice.below(40);
        let (frames, links) = graph(&mut dice, count);
        let arranged = run(&frames, &BTreeMap::new(), &links, &[]);
        assert_eq!(arranged.nodes.len(), frames.len());
        assert!(apart(arranged.nodes.values().copied()));
        for (from, _, to, _) in &links {
            assert!(arranged.nodes[from][2] < arranged.nodes[to][0], "{from} feeds {to}");
        }
        for (id, frame) in &arranged.nodes {
            let close = |a: f32, b: f32| (a - b).abs() < 0.01;
            assert!(close(frame[2] - frame[0], frames[id][2] - frames[id][0]), "sizes stay");
        }
        let corner = |frames: &Frames| around(frames.values().copied()).map(|[l, t, ..]| [l, t]);
        assert_eq!(corner(&arranged.nodes), corner(&frames));
        assert_eq!(run(&arranged.nodes, &BTreeMap::new(), &links, &[]), arranged);
    }
}

#[test]
fn rings_in_a_file_do_no_harm() {
    let frames: Frames = (0..4).map(|i| (i, [0.0, 0.0, 100.0, 50.0])).collect();
    let links = [(0, 0, 1, 0), (1, 0, 2, 0), (2, 0, 0, 0), (3, 0, 3, 0)];
    assert!(apart(run(&frames, &BTreeMap::new(), &links, &[]).nodes.into_values()));
}

#[test]
fn groups_keep_their_nodes_and_no_others() {
    let mut dice = Dice(11);
    for _ in 0..60 {
        let count = 2 + dice.below(30);
        let (frames, links) = graph(&mut dice, count);
        let groups: GroupFrames = (0..dice.below(5))
            .map(|i| {
                let [x, y, w, h] = [2500, 1800, 1500, 1500].map(|most| dice.below(most) as f32);
                (i, [x, y, x + w + 200.0, y + h + 200.0])
            })
            .collect();
        let arranged = run(&frames, &groups, &links, &[]);
        assert!(apart(arranged.nodes.values().copied()));
        let home = |groups: &GroupFrames, f: Frame| smallest(groups, middle(f), None);
        for (id, frame) in &frames {
            let now = arranged.nodes[id];
            assert_eq!(home(&groups, *frame), home(&arranged.groups, now), "node {id}");
            for group in arranged.groups.values() {
                assert!(holds(*group, now) || !overlap(*group, now));
            }
        }
        let again = run(&arranged.nodes, &arranged.groups, &links, &[]);
        let all = again.frames().zip(arranged.frames());
        assert!(all.into_iter().all(|(a, b)| (0..4).all(|i| (a[i] - b[i]).abs() < 0.1)));
    }
}

#[test]
fn what_is_fixed_is_not_covered() {
    let mut dice = Dice(3);
    for _ in 0..30 {
        let (frames, links) = graph(&mut dice, 12);
        let (fixed, _) = graph(&mut dice, 6);
        let fixed: Vec<Frame> = fixed.into_values().collect();
        let arranged = run(&frames, &BTreeMap::new(), &links, &fixed);
        let covered = |a: &Frame| fixed.iter().any(|b| overlap(*a, *b));
        assert!(!arranged.nodes.values().any(covered));
    }
}

#[test]
fn the_first_input_is_fed_from_above_the_second() {
    let frames: Frames = (0..5).map(|i| (i, [0.0, 0.0, 200.0, 100.0])).collect();
    // Made in the other order than they are linked.
    let links = [(1, 0, 3, 0), (0, 0, 3, 1), (3, 0, 4, 0), (2, 0, 4, 1)];
    let new = run(&frames, &BTreeMap::new(), &links, &[]).nodes;
    assert!(new[&1][3] < new[&0][1]);
    assert_eq!(new[&2][0], new[&3][0], "what is needed late stands late");
}

#[test]
fn aligned_edges_are_equal_and_the_other_axis_stays() {
    let mut dice = Dice(5);
    let lines = [Line::Left, Line::Center, Line::Right, Line::Top, Line::Middle, Line::Bottom];
    for (i, line) in lines.into_iter().enumerate() {
        let (frames, _) = graph(&mut dice, 9);
        let new = align(&frames, line);
        let edge =
            |f: &Frame| [f[0], (f[0] + f[2]) / 2.0, f[2], f[1], (f[1] + f[3]) / 2.0, f[3]][i];
        let first = edge(&new[&0]);
        assert!(new.values().all(|frame| (edge(frame) - first).abs() < 0.01), "{line:?}");
        let other = usize::from(i < 3);
        assert!(frames.iter().all(|(id, old)| old[other] == new[id][other]), "{line:?}");
        let again = align(&new, line);
        assert!(new.iter().all(|(id, a)| (0..4).all(|i| (a[i] - again[id][i]).abs() < 0.01)));
    }
    assert_eq!(align(&Frames::new(), Line::Left), Frames::new());
}

#[test]
fn distributed_gaps_are_equal_and_never_negative() {
    let mut dice = Dice(9);
    for axis in [Axis::Horizontal, Axis::Vertical] {
        for count in [2, 3, 12] {
            let (frames, _) = graph(&mut dice, count);
            let new = distribute(&frames, axis);
            let (from, to) = (axis as usize, axis as usize + 2);
            let mut sorted: Vec<Frame> = new.values().copied().collect();
            sorted.sort_by(|a, b| a[from].total_cmp(&b[from]));
            let gaps: Vec<f32> = sorted.windows(2).map(|two| two[1][from] - two[0][to]).collect();
            assert!(gaps.iter().all(|gap| *gap > NEAREST - 0.1 && (gap - gaps[0]).abs() < 0.1));
            let bounds = |frames: &Frames| around(frames.values().copied()).unwrap();
            assert_eq!(bounds(&frames)[from], bounds(&new)[from]);
            assert!(bounds(&new)[to] >= bounds(&frames)[to] - 0.1);
        }
    }
}

#[test]
fn links_that_need_not_cross_do_not() {
    // Made in an order in which the fourth stands above what it should stand below.
    for [h, s, f, i] in [[1, 2, 3, 4], [2, 1, 4, 3], [4, 3, 2, 1], [3, 4, 1, 2]] {
        let frames: Frames = (0..6).map(|i| (i, [0.0, 0.0, 200.0, 100.0])).collect();
        let links = [
            (0, 0, h, 0),
            (0, 0, s, 0),
            (0, 2, s, 1),
            (0, 2, f, 1),
            (h, 0, f, 0),
            (s, 0, i, 0),
            (f, 0, 5, 0),
        ];
        let new = run(&frames, &BTreeMap::new(), &links, &[]).nodes;
        assert_eq!(new[&h][1] < new[&s][1], new[&f][1] < new[&i][1], "{new:?}");
    }
}

#[test]
fn boxes_without_links_stand_in_columns_or_in_rows_below_the_graph() {
    let frames: Frames = (0..6).map(|i| (i, [0.0, 0.0, 200.0, 400.0])).collect();
    let corners = |links: &[(Id, usize, Id, usize)]| -> Vec<[f32; 2]> {
        let new = run(&frames, &BTreeMap::new(), links, &[]).nodes;
        new.values().map(|[l, t, ..]| [*l, *t]).collect()
    };
    let columns = corners(&[]);
    assert_eq!(columns[..3], [[0.0, 0.0], [0.0, 440.0], [240.0, 0.0]]);
    let rows = corners(&[(0, 0, 1, 0)]);
    assert_eq!(rows[2..], [[0.0, 480.0], [240.0, 480.0], [0.0, 920.0], [240.0, 920.0]]);
}

#[test]
fn pinned_nodes_and_their_groups_stay_and_a_group_grows_with_its_nodes() {
    let node = |id: Id, x: i64, pinned: bool| {
        serde_json::json!({"id": id, "type": "A", "pos": [x, 100], "size": [200, 100],
            "flags": {"pinned": pinned}, "inputs": [{"name": "x", "type": "X", "link": null}],
            "outputs": [{"name": "x", "type": "X", "links": []}]})
    };
    let nodes = [(1, 40), (2, 60), (3, 2000), (4, 2010), (5, 80)];
    let nodes = nodes.map(|(id, x)| node(id, x, id == 3));
    let groups = serde_json::json!([{"title": "a", "bounding": [0, 0, 400, 300]},
        {"title": "b", "bounding": [1900, 0, 400, 300]}]);
    let json = serde_json::json!({"nodes": nodes, "links": [], "groups": groups});
    let doc = crate::doc::Doc::from_json(&json).unwrap();
    let frames: Frames = doc.nodes().map(|node| (node.id, node.bounds())).collect();
    let mut all = doc.clone();
    all.arrange(&crate::doc::Part::default(), &frames);
    let x = |doc: &crate::doc::Doc, id| doc.node(id).unwrap().pos[0];
    assert_eq!((x(&all, 3), x(&all, 4)), (2000.0, 2010.0));
    assert_eq!(all.groups[1], doc.groups[1]);
    assert!(apart([1, 2, 5].into_iter().map(|id| all.node(id).unwrap().bounds())));
    let mut some = doc.clone();
    let part = crate::doc::Part { nodes: [1, 2].into(), ..Default::default() };
    some.arrange(&part, &frames);
    assert_eq!(x(&some, 5), 80.0);
    let group = some.groups[0].bounds();
    assert!([1, 2].iter().all(|id| holds(group, some.node(*id).unwrap().bounds())));
    assert!(group[3] > 300.0 && some.groups[1] == doc.groups[1]);
}
