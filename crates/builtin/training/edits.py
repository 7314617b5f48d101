"""Picture pairs with an editing instruction, drawn procedurally (for the InstructPix2Pix-style variant).

A group is one picture drawn several times with one thing changed; every ordered pair of its pictures that
differ in one thing is a training example.  Position, size and colour jitter stay the same because every
random number belongs to the place in data.py that asks for it (SiteRng), not to the order of asking."""
import sys
import zlib
import numpy as np
import data
from data import pick, an

M64 = (1 << 64) - 1


class SiteRng:
    """Random numbers that depend on the seed, the calling line and how often it asked, and on nothing else."""

    def __init__(s, seed):
        s.seed, s.count = int(seed) * 0x9E3779B97F4A7C15 & M64, {}

    def _u(s):
        f = sys._getframe(2)
        if f.f_code.co_name == "<genexpr>" or f.f_code.co_name == "<listcomp>":
            f = f.f_back
        site = (f.f_code.co_name, f.f_lasti)
        n = s.count.get(site, 0)
        s.count[site] = n + 1
        z = s.seed + zlib.crc32(f"{site[0]}:{site[1]}:{n}".encode()) * 0xBF58476D1CE4E5B9 & M64
        for m in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
            z = (z ^ (z >> 29)) * m & M64
        return (z ^ (z >> 32)) / 2.0 ** 64

    def random(s):
        return s._u()

    def uniform(s, a=0.0, b=1.0):
        return a + (b - a) * s._u()

    def integers(s, a, b):
        return a + int((b - a) * s._u())


def render(spec, seed):
    return data.draw(spec, SiteRng(seed))


# ---------------------------------------------------------------- single shapes
def single_group(rng):
    """Pictures of all eight mixes of two colours, two shapes and two backgrounds."""
    c = [str(x) for x in rng.permutation(data.SHAPE_COLORS)[:2]]
    s = [str(x) for x in rng.permutation(data.SHAPES)[:2]]
    b = [str(x) for x in rng.permutation([x for x in data.BG_COLORS if x not in c])[:2]]
    base = data.single_spec(rng, s[0], c[0], ("flat", b[0], b[0]))
    u = rng.random()
    other = pick(rng, [x for x in data.BG_COLORS if x not in c + b])
    kind = "flat" if u < 0.90 else "gradient" if u < 0.95 else "striped"
    seed = int(rng.integers(1 << 40))
    specs = []
    for k in range(8):
        i, j, l = k & 1, k >> 1 & 1, k >> 2 & 1
        bgk = kind if l == 0 else "flat"
        specs.append({**base, "color": c[i], "shape": s[j], "bgk": bgk, "b1": b[l], "b2": other})
    pairs = []
    for x in range(8):
        for y in range(8):
            d = x ^ y
            t = {1: "color", 2: "shape", 3: "both", 4: "bg"}.get(d)
            if t and not (t == "bg" and specs[y]["bgk"] != "flat"):
                pairs.append((x, y, t))
    return dict(type="single", specs=specs, seed=seed, pairs=pairs)


def an_maybe(rng, w):
    return an(w) if rng.random() < 0.9 else w


def single_instruction(rng, a, b, kind):
    """a, b: specs before and after."""
    full = a["color"] + " " + a["shape"]
    the = "the " + pick(rng, [a["shape"]] * 5 + [full] * 2 + ["shape"])
    obj = pick(rng, ["it", "it", the, the, the])
    c, s, g = b["color"], b["shape"], b["b1"]
    A = lambda w: an_maybe(rng, w)
    if kind == "color":
        return pick(rng, [f"make {obj} {c}"] * 5 + [
            f"turn {obj} {c}", f"turn {obj} {c}", f"change {obj} to {c}", f"change the color to {c}", f"change the color of {the} to {c}",
            f"change its color to {c}", f"color {obj} {c}", f"paint {obj} {c}", f"recolor {obj} to {c}", f"make {the} {c} instead of {a['color']}",
            f"turn {obj} into {A(c + ' ' + a['shape'])}", f"make it {A(c + ' ' + a['shape'])}", f"replace {the} with {A(c + ' ' + a['shape'])}",
            f"change {a['color']} to {c}", f"{obj} should be {c}", c])
    if kind == "shape":
        n = A(s)
        return pick(rng, [f"turn {obj} into {n}"] * 4 + [f"make {obj} {n}"] * 2 + [f"change {obj} to {n}", f"change {obj} into {n}"] + [
            f"replace {obj} with {n}"] * 3 + [f"swap {obj} for {n}", f"transform {obj} into {n}", f"make {obj} into {n}", f"change the shape to {n}",
            f"{obj} should be {n}", f"turn {obj} into {A(a['color'] + ' ' + s)}", f"draw {n} instead of {the}", f"draw {n} instead", n])
    if kind == "both":
        n = A(c + " " + s)
        return pick(rng, [f"turn {obj} into {n}", f"replace {obj} with {n}", f"make {obj} {n}", f"change {obj} to {n}", f"change {obj} into {n}",
                          f"make {obj} {c} and turn it into {A(s)}", f"turn {obj} into {A(s)} and make it {c}", n])
    return pick(rng, [f"make the background {g}"] * 5 + [f"change the background to {g}"] * 4 + [
        f"turn the background {g}", f"turn the background {g}", f"change the background color to {g}", f"set the background to {g}", f"paint the background {g}",
        f"color the background {g}", f"put {obj} on {A(g)} background", f"put {obj} on {A(g + ' background')}", f"give it {A(g + ' background')}",
        f"replace the background with {g}", f"replace the {a['b1']} background with {A(g)} one", f"make it have {A(g + ' background')}",
        f"{g} background", f"use {A(g + ' background')}", f"turn the {a['b1']} background {g}", f"the background should be {g}"])


# ---------------------------------------------------------------- scenes
COLORS = data.SHAPE_COLORS
SKIES = list(data.SKY)
# kind: what can change: key of the spec, values, words for it, whether "it" may mean it
SCENE_EDITS = {
    "sun": [("sky", SKIES[:4], ["sky"], 0), ("c", ["yellow", "red", "orange", "white", "pink", "green", "purple"], ["sun"], 1), ("g", list(data.GRASS), ["hills", "hills", "grass"], 0)],
    "house": [("sky", SKIES, ["sky"], 0), ("c", COLORS, ["house"], 1), ("roof", ["brown", "red", "black", "blue", "green", "yellow", "purple", "orange"], ["roof"], 0), ("g", ["green", "white", "yellow"], ["grass", "ground"], 0)],
    "moon": [("c", ["white", "yellow", "orange", "red", "pink", "green", "purple"], ["moon"], 1)],
    "boat": [("sky", SKIES, ["sky"], 0), ("c", [c for c in COLORS if c != "blue"], ["sail", "sail", "sails"], 0), ("hull", ["brown", "red", "black", "blue", "green", "yellow", "purple"], ["boat"], 1)],
    "tree": [("sky", SKIES, ["sky"], 0), ("c", ["green", "orange", "pink", "red", "yellow", "purple", "blue", "white"], ["tree"], 1), ("g", ["green", "yellow", "white"], ["hill", "grass"], 0)],
    "flower": [("c", ["red", "pink", "yellow", "purple", "white", "orange", "blue"], ["flower"], 1), ("mid", ["yellow", "orange", "brown", "white"], ["center"], 0), ("bg", data.BG_COLORS, ["background"], 0)],
    "smiley": [("c", ["yellow", "green", "orange", "pink", "blue", "red", "purple", "white"], ["face", "smiley", "smiley face"], 1), ("bg", data.BG_COLORS, ["background"], 0), ("mood", ["happy", "sad"], ["face", "smiley"], 1)],
    "fish": [("c", ["orange", "red", "yellow", "pink", "green", "purple", "white", "black"], ["fish"], 1)],
    "mountain": [("sky", SKIES, ["sky"], 0), ("c", ["gray", "blue", "purple", "brown"], ["mountains", "mountain"], 1)],
    "balloon": [("sky", SKIES, ["sky"], 0), ("c", COLORS, ["balloon", "hot air balloon"], 1)],
    "mushroom": [("sky", SKIES, ["sky"], 0), ("c", ["red", "brown", "purple", "orange", "blue", "yellow", "green", "pink"], ["mushroom"], 1), ("g", ["green", "brown"], ["ground", "grass"], 0)],
}
CLASH = {"flower": ("c", "bg", "mid"), "smiley": ("c", "bg"), "house": ("c", "roof")}  # must differ from each other


def allowed(s, key, v):
    if any(s[k] == v for k in CLASH.get(s["kind"], ()) if key in CLASH[s["kind"]] and k != key):
        return False
    if s["kind"] in ("sun", "balloon") and key in ("c", "sky") and v == s["sky" if key == "c" else "c"]:
        return False
    return not (s["kind"] == "flower" and key == "bg" and v == "green")


def scene_group(rng):
    """One scene; two other values of one thing and one other value of a second thing."""
    while True:
        s = data.scene_spec(rng)
        E = SCENE_EDITS[s["kind"]]
        p = np.array([2.0 if e[0] in ("sky", "c") else 1.2 if e[0] == "bg" else 0.8 for e in E])
        order = rng.choice(len(E), min(2, len(E)), replace=False, p=p / p.sum())
        key, vals = E[order[0]][:2]
        v = [x for x in rng.permutation(vals).tolist() if x != s[key] and allowed(s, key, x)][:2]
        if v:
            break
    specs = [s] + [{**s, key: x} for x in v]
    n = len(specs)
    pairs = [(i, j, int(order[0])) for i in range(n) for j in range(n) if i != j]
    if len(order) > 1:
        key, vals = E[order[1]][:2]
        v = [x for x in rng.permutation(vals).tolist() if x != s[key] and allowed(s, key, x)][:1]
        if v:
            specs.append({**s, key: v[0]})
            pairs += [(0, n, int(order[1])), (n, 0, int(order[1]))]
    return dict(type="scene", specs=specs, seed=int(rng.integers(1 << 40)), pairs=pairs)


def scene_instruction(rng, a, b, kind):
    key, _, words, it = SCENE_EDITS[a["kind"]][kind]
    v = b[key]
    if key == "sky":
        if v == "night":
            return pick(rng, ["turn it to night", "turn it to night", "make it night", "make it night", "change it to night", "make it night time", "turn the sky to night",
                              "make the sky a night sky", "change the sky to night", "change the sky to a night sky", "make it a night sky with stars", "put it at night", "turn day into night", "at night"])
        if v == "orange" and rng.random() < 0.35:
            return pick(rng, ["make it sunset", "turn it to sunset", "change it to sunset", "make the sky a sunset", "make it a sunset", "at sunset"])
        return pick(rng, [f"make the sky {v}"] * 5 + [f"change the sky to {v}"] * 3 + [f"turn the sky {v}", f"turn the sky {v}", f"make it {an(v)} sky", f"give it {an(v)} sky",
                    f"paint the sky {v}", f"color the sky {v}", f"put it under {an(v)} sky", f"change the color of the sky to {v}", f"replace the sky with {an(v)} sky", f"{v} sky"])
    if key == "mood":
        w = pick(rng, ["it", "the face", "the smiley", "the smiley face"])
        return pick(rng, [f"make {w} {v}", f"make {w} {v}", f"turn {w} {v}", f"make it look {v}", f"change {w} to {v}", f"make it {an(v)} face", f"turn it into {an(v)} face"])
    w = pick(rng, words)
    if key == "bg" and rng.random() < 0.7:
        return single_instruction(rng, {"color": a["c"], "shape": w, "b1": a["bg"]}, {"color": b["c"], "shape": w, "b1": v}, "bg").replace("on the background", "on it")
    if key == "g" and v == "white" and rng.random() < 0.5:
        return pick(rng, [f"make the {w} snowy", "make it snowy", "put snow on the ground", "add snow", f"put snow on the {w}", "cover it with snow", "turn it to snow"])
    obj = "it" if it and rng.random() < 0.25 else "the " + (w if rng.random() < 0.85 or key == "bg" else a[key] + " " + w)
    return pick(rng, [f"make {obj} {v}"] * 6 + [f"turn {obj} {v}", f"turn {obj} {v}", f"change {obj} to {v}", f"change {obj} to {v}", f"change the color of the {w} to {v}",
                      f"paint {obj} {v}", f"color {obj} {v}", f"turn {obj} into {an(v + ' ' + w)}", f"give it {an(v + ' ' + w)}", f"replace the {w} with {an(v + ' ' + w)}"])


def instruction(rng, group, x, y, kind):
    f = single_instruction if group["type"] == "single" else scene_instruction
    return f(rng, group["specs"][x], group["specs"][y], kind)


def build(n_single, n_scene, seed):
    """-> pictures, groups; group["first"] is the number of its first picture."""
    rng = np.random.default_rng(seed)
    imgs, groups = [], []
    for i in range(n_single + n_scene):
        g = single_group(rng) if i < n_single else scene_group(rng)
        g["first"] = len(imgs)
        imgs += [render(s, g["seed"]) for s in g["specs"]]
        groups.append(g)
    return np.stack(imgs), groups


if __name__ == "__main__":
    from PIL import Image
    rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    out = []
    for k in range(24):
        g = single_group(rng) if k < 8 else scene_group(rng)
        for _ in range(2):
            x, y, t = g["pairs"][int(rng.integers(len(g["pairs"])))]
            out += [render(g["specs"][x], g["seed"]), render(g["specs"][y], g["seed"])]
            print(k, t, "|", instruction(rng, g, x, y, t))
    Image.fromarray(data.grid(out, 12)).save(sys.argv[1])
