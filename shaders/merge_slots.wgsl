// merge_slots: where each token goes, by its rank among all tokens of its entry: the first `goes` go to
// their nearest destination, the others keep slots of their own behind these
//
//   nearest  [entries, tokens, 2]  likeness, destination
//   y        [entries, tokens]

struct Params {
    first: u32,
    count: u32,
    nearest_start: u32,
    y_start: u32,
    tokens: u32,
    goes: u32,
    merged: u32,
}

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> nearest: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn merge_slots(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + thread;
    if at >= p.count {
        return;
    }
    let i = p.first + at;
    let entry = i / p.tokens * p.tokens;
    let likeness = nearest[2u * i - p.nearest_start];
    var rank = 0u;
    for (var n = entry; n < entry + p.tokens; n += 1u) {
        let other = nearest[2u * n - p.nearest_start];
        rank += u32(other > likeness || (other == likeness && n < i));
    }
    let own = f32(max(rank, p.merged) - p.merged);
    y[i - p.y_start] = select(own, nearest[2u * i + 1u - p.nearest_start], rank < p.goes);
}
