// nearest_tokens: y[b, n] = the highest cosine of x[b, n] to x[b, destinations[d]] for all d, and that d
//
//   x             [entries, tokens, channels]
//   destinations  [destinations]  numbers of tokens
//   y             [entries, tokens, 2]
//
// One workgroup for TOKENS tokens of an entry; each thread compares them with every THREADS-th destination.

struct Params {
    first: u32,
    count: u32,
    x_start: u32,
    y_start: u32,
    tokens: u32,
    channels: u32,
    destinations: u32,
    unused: u32,
}

/// The likeness of a destination to itself: above every cosine.
const ITSELF: f32 = 2.0;

var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> destinations: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

/// Some channels of the tokens.
var<workgroup> part: array<f32, TOKENS * THREADS>;
var<workgroup> scores: array<f32, THREADS>;
var<workgroup> places: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn nearest_tokens(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // A workgroup past the end does the last tokens again, and so do tokens past the end.
    let per_entry = (p.tokens + TOKENS - 1u) / TOKENS;
    let at = min(group.y * groups.x + group.x, p.count * per_entry - 1u);
    let entry = p.first + at / per_entry;
    let token = at % per_entry * TOKENS;
    let x0 = entry * p.tokens * p.channels - p.x_start;

    var unit: array<f32, TOKENS>;
    var best: array<f32, TOKENS>;
    var place: array<u32, TOKENS>;
    for (var t = 0u; t < TOKENS; t += 1u) {
        var square = 0.0;
        for (var c = thread; c < p.channels; c += THREADS) {
            let v = x[x0 + min(token + t, p.tokens - 1u) * p.channels + c];
            square += v * v;
        }
        unit[t] = 1.0 / sqrt(sum_of_all(thread, square));
        best[t] = -3.4e38;
        place[t] = 0u;
    }

    for (var d0 = 0u; d0 < p.destinations; d0 += THREADS) {
        let d = min(d0 + thread, p.destinations - 1u);
        let destination = u32(destinations[d]);
        let row = x0 + destination * p.channels;
        var dots: array<f32, TOKENS>;
        for (var t = 0u; t < TOKENS; t += 1u) {
            dots[t] = 0.0;
        }
        var square = 0.0;
        for (var c0 = 0u; c0 < p.channels; c0 += THREADS) {
            let width = min(THREADS, p.channels - c0);
            workgroupBarrier();
            for (var t = 0u; t < TOKENS; t += 1u) {
                let begin = x0 + min(token + t, p.tokens - 1u) * p.channels + c0;
                part[t * THREADS + thread] = x[begin + min(thread, width - 1u)];
            }
            workgroupBarrier();
            for (var c = 0u; c < width; c += 1u) {
                let v = x[row + c0 + c];
                square += v * v;
                for (var t = 0u; t < TOKENS; t += 1u) {
                    dots[t] += v * part[t * THREADS + c];
                }
            }
        }
        let length = 1.0 / sqrt(square);
        for (var t = 0u; t < TOKENS; t += 1u) {
            let score = select(dots[t] * length * unit[t], ITSELF, destination == token + t);
            if score > best[t] {
                best[t] = score;
                place[t] = d;
            }
        }
    }

    for (var t = 0u; t < TOKENS; t += 1u) {
        workgroupBarrier();
        scores[thread] = best[t];
        places[thread] = place[t];
        for (var half = THREADS / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                let other = thread + half;
                let ties = scores[other] == scores[thread] && places[other] < places[thread];
                if scores[other] > scores[thread] || ties {
                    scores[thread] = scores[other];
                    places[thread] = places[other];
                }
            }
        }
        if thread == 0u && token + t < p.tokens {
            let to = 2u * (entry * p.tokens + token + t) - p.y_start;
            y[to] = scores[0];
            y[to + 1u] = f32(places[0]);
        }
    }
}
