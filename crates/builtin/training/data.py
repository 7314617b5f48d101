"""Procedural captioned pictures (128x128, anti-aliased) for the tiny SD1.x checkpoint.

Every picture is a function of an integer seed; no outside image is used, so
the data set and everything trained on it can be CC0.
"""
import math
import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
SS = 4  # supersampling factor

PALETTE = {
    "red": (214, 40, 44), "orange": (244, 138, 30), "yellow": (250, 214, 50),
    "green": (52, 162, 72), "blue": (44, 92, 214), "purple": (134, 62, 176),
    "pink": (246, 146, 190), "brown": (128, 80, 46), "black": (24, 24, 28),
    "white": (248, 248, 246), "gray": (140, 142, 148),
}
SHAPE_COLORS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"]
BG_COLORS = ["white", "black", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink"]
SHAPES = ["circle", "square", "triangle", "star", "heart", "ring", "cross", "diamond", "crescent"]
SCENES = ["sun", "house", "moon", "boat", "tree", "flower", "smiley", "fish", "mountain", "balloon", "mushroom"]


def jit(rng, c, a=7):
    return tuple(int(np.clip(v + rng.integers(-a, a + 1), 0, 255)) for v in c)


def mix(a, b, t):
    return tuple(int(round(x + (y - x) * t)) for x, y in zip(a, b))


class Canvas:
    """Draws in 128x128 units on a supersampled image; w, h in units."""

    def __init__(self, w=SIZE, h=SIZE, bg=(255, 255, 255)):
        self.w, self.h = w, h
        self.im = Image.new("RGB", (w * SS, h * SS), bg)
        self.d = ImageDraw.Draw(self.im)

    def poly(self, pts, c):
        self.d.polygon([(x * SS, y * SS) for x, y in pts], fill=c)

    def ell(self, cx, cy, rx, ry, c):
        self.d.ellipse([(cx - rx) * SS, (cy - ry) * SS, (cx + rx) * SS - 1, (cy + ry) * SS - 1], fill=c)

    def rect(self, x0, y0, x1, y1, c):
        self.d.rectangle([x0 * SS, y0 * SS, x1 * SS - 1, y1 * SS - 1], fill=c)

    def line(self, pts, c, w):
        self.d.line([(x * SS, y * SS) for x, y in pts], fill=c, width=int(w * SS), joint="curve")

    def arc(self, cx, cy, rx, ry, a0, a1, c, w):
        self.d.arc([(cx - rx) * SS, (cy - ry) * SS, (cx + rx) * SS, (cy + ry) * SS], a0, a1, fill=c, width=int(w * SS))

    def vgrad(self, top, bot, y0=0, y1=None):
        y1 = self.h if y1 is None else y1
        n = int((y1 - y0) * SS)
        t = np.linspace(0, 1, n)[:, None]
        col = (np.array(top)[None] * (1 - t) + np.array(bot)[None] * t).round().astype(np.uint8)
        self.im.paste(Image.fromarray(np.repeat(col[:, None], self.w * SS, 1)), (0, int(y0 * SS)))
        self.d = ImageDraw.Draw(self.im)

    def done(self):
        return np.asarray(self.im.reduce(SS))


def crescent_pts(cx, cy, r):
    """Outer disc minus a disc shifted right."""
    off, r2 = 0.45 * r, 0.82 * r
    x = (r * r - r2 * r2 + off * off) / (2 * off)
    y = math.sqrt(max(r * r - x * x, 0))
    a = math.atan2(y, x)
    pts = [(cx + r * math.cos(t), cy + r * math.sin(t)) for t in np.linspace(a, 2 * math.pi - a, 48)]
    b = math.atan2(y, x - off)
    pts += [(cx + off + r2 * math.cos(t), cy + r2 * math.sin(t)) for t in np.linspace(2 * math.pi - b, b, 48)]
    return [(px + 0.2 * r, py) for px, py in pts]


def draw_shape(cv, kind, cx, cy, r, c):
    if kind == "circle":
        cv.ell(cx, cy, r, r, c)
    elif kind == "square":
        s = r * 0.88
        cv.rect(cx - s, cy - s, cx + s, cy + s, c)
    elif kind == "triangle":
        cv.poly([(cx, cy - r), (cx + 1.02 * r, cy + 0.8 * r), (cx - 1.02 * r, cy + 0.8 * r)], c)
    elif kind == "star":
        R = 1.12 * r
        cv.poly([(cx + (R if i % 2 == 0 else 0.45 * R) * math.sin(i * math.pi / 5),
                  cy - (R if i % 2 == 0 else 0.45 * R) * math.cos(i * math.pi / 5)) for i in range(10)], c)
    elif kind == "heart":
        t = np.linspace(0, 2 * math.pi, 80)
        x = 16 * np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        cv.poly([(cx + a * r / 16, cy + (b - 2) * r / 15.5) for a, b in zip(x, y)], c)
    elif kind == "ring":
        cv.arc(cx, cy, r, r, 0, 360, c, 0.36 * r)
    elif kind == "cross":
        a, b = r, 0.34 * r
        cv.rect(cx - a, cy - b, cx + a, cy + b, c)
        cv.rect(cx - b, cy - a, cx + b, cy + a, c)
    elif kind == "diamond":
        cv.poly([(cx, cy - 1.1 * r), (cx + 0.75 * r, cy), (cx, cy + 1.1 * r), (cx - 0.75 * r, cy)], c)
    elif kind == "crescent":
        cv.poly(crescent_pts(cx, cy, r), c)
    else:
        raise ValueError(kind)


def an(word):
    return ("an " if word[0] in "aeio" else "a ") + word


def pick(rng, seq, p=None):
    return seq[int(rng.choice(len(seq), p=p))]


# ---------------------------------------------------------------- backgrounds
def background(cv, rng, kind, c1, c2):
    if kind == "flat":
        cv.rect(0, 0, cv.w, cv.h, c1)
    elif kind == "gradient":
        cv.vgrad(c1, c2)
    elif kind == "striped":
        cv.rect(0, 0, cv.w, cv.h, c1)
        n = 16
        for i in range(0, cv.w // n + 1):
            if i % 2:
                cv.rect(i * n, 0, (i + 1) * n, cv.h, c2)
    elif kind == "night":
        cv.vgrad((12, 14, 44), (34, 40, 92))
        stars(cv, rng, 22)


def stars(cv, rng, n, h=1.0):
    for _ in range(n):
        x, y, r = rng.uniform(4, cv.w - 4), rng.uniform(4, cv.h * h - 4), rng.uniform(0.8, 1.9)
        cv.ell(x, y, r, r, (250, 246, 214))


def pick_bg(rng, avoid=()):
    k = pick(rng, ["flat", "gradient", "striped", "night"], [0.84, 0.06, 0.05, 0.05])
    opts = [c for c in BG_COLORS if c not in avoid]
    b1 = pick(rng, opts)
    b2 = pick(rng, [c for c in opts if c != b1])
    if k == "night" and ("blue" in avoid or "black" in avoid):
        k = "flat"
    return k, b1, b2


def bg_words(k, b1, b2):
    return {"flat": b1 + " background", "gradient": b1 + " and " + b2 + " gradient background",
            "striped": b1 + " and " + b2 + " striped background", "night": "night sky background"}[k]


# ---------------------------------------------------------------- shapes
def single_spec(rng, shape=None, color=None, bg=None):
    s = dict(type="single", shape=shape or pick(rng, SHAPES), color=color or pick(rng, SHAPE_COLORS))
    s["size"] = pick(rng, ["small", "", "big"], [0.22, 0.53, 0.25])
    s["pos"] = pick(rng, ["", "left", "right", "top", "bottom"], [0.68, 0.08, 0.08, 0.08, 0.08])
    if s["size"] == "big":
        s["pos"] = ""
    s["bgk"], s["b1"], s["b2"] = bg or pick_bg(rng, (s["color"],))
    return s


RADII = {"small": (17, 21), "": (30, 36), "big": (46, 52)}


def draw_single(s, rng):
    cv = Canvas()
    background(cv, rng, s["bgk"], jit(rng, PALETTE[s["b1"]]), jit(rng, PALETTE[s["b2"]]))
    r = rng.uniform(*RADII[s["size"]])
    cx, cy = 64 + rng.uniform(-4, 4), 64 + rng.uniform(-4, 4)
    if s["size"] != "big":
        off = (126 - 2 * r) / 2 - 3
        off = min(off, 36)
        dx, dy = {"": (0, 0), "left": (-off, 0), "right": (off, 0), "top": (0, -off), "bottom": (0, off)}[s["pos"]]
        cx += dx
        cy += dy
    draw_shape(cv, s["shape"], cx, cy, r, jit(rng, PALETTE[s["color"]]))
    return cv.done()


def cap_single(s, rng):
    obj = " ".join(x for x in (s["size"], s["color"], s["shape"]) if x)
    bg = bg_words(s["bgk"], s["b1"], s["b2"])
    pos = s["pos"]
    pw = {"": pick(rng, ["", "", "", "in the center", "in the middle"]), "left": pick(rng, ["on the left", "at the left"]),
          "right": pick(rng, ["on the right", "at the right"]), "top": "at the top", "bottom": "at the bottom"}[pos]
    k = rng.random()
    if k < 0.42:
        return " ".join(x for x in (an(obj), pw, "on", an(bg)) if x)
    if k < 0.56:
        pre = pick(rng, ["a picture of", "a drawing of", "an image of", "a photo of", "a painting of"])
        return " ".join(x for x in (pre, an(obj), pw, "on", an(bg)) if x)
    if k < 0.62:
        return an(bg) + " with " + an(obj) + (" " + pw if pw else "")
    if k < 0.68 and s["bgk"] == "flat":
        return " ".join(x for x in (an(obj), pw, "on", s["b1"]) if x)
    tags = [obj, bg] + ([pw] if pw else [])
    if rng.random() < 0.25:
        tags.append(pick(rng, ["flat design", "simple", "vector art", "minimal", "icon"]))
    rng.shuffle(tags)
    if k < 0.95:
        return ", ".join(tags)
    return an(obj) if k < 0.98 else obj


def pair_spec(rng):
    a = dict(shape=pick(rng, SHAPES), color=pick(rng, SHAPE_COLORS))
    b = dict(shape=pick(rng, SHAPES), color=pick(rng, [c for c in SHAPE_COLORS if c != a["color"]]))
    bg = pick_bg(rng, (a["color"], b["color"]))
    if bg[0] in ("striped",):
        bg = ("flat", bg[1], bg[2])
    return dict(type="pair", a=a, b=b, rel=pick(rng, ["h", "v"], [0.6, 0.4]), bgk=bg[0], b1=bg[1], b2=bg[2])


def draw_pair(s, rng):
    cv = Canvas()
    background(cv, rng, s["bgk"], jit(rng, PALETTE[s["b1"]]), jit(rng, PALETTE[s["b2"]]))
    for i, o in enumerate((s["a"], s["b"])):
        sg = -1 if i == 0 else 1
        dx, dy = (sg * 31, 0) if s["rel"] == "h" else (0, sg * 31)
        draw_shape(cv, o["shape"], 64 + dx + rng.uniform(-3, 3), 64 + dy + rng.uniform(-3, 3), rng.uniform(22, 26), jit(rng, PALETTE[o["color"]]))
    return cv.done()


def cap_pair(s, rng):
    a, b = (o["color"] + " " + o["shape"] for o in (s["a"], s["b"]))
    bg = bg_words(s["bgk"], s["b1"], s["b2"])
    k = rng.random()
    if s["rel"] == "h":
        if k < 0.30:
            body = an(a) + pick(rng, [" left of ", " to the left of "]) + an(b)
        elif k < 0.55:
            body = an(b) + pick(rng, [" right of ", " to the right of "]) + an(a)
        elif k < 0.75:
            body = an(a) + " next to " + an(b)
        else:
            body = an(a) + " on the left and " + an(b) + " on the right"
    else:
        if k < 0.4:
            body = an(a) + " above " + an(b)
        elif k < 0.7:
            body = an(b) + pick(rng, [" below ", " under "]) + an(a)
        else:
            body = an(a) + " at the top and " + an(b) + " at the bottom"
    k = rng.random()
    if k < 0.6:
        return body + " on " + an(bg)
    if k < 0.9:
        return body + ", " + bg
    return body


# ---------------------------------------------------------------- scenes
SKY = {"blue": ((96, 170, 238), (188, 222, 248)), "orange": ((236, 112, 52), (252, 206, 120)),
       "pink": ((222, 120, 176), (252, 206, 206)), "purple": ((96, 64, 156), (206, 150, 206)),
       "night": ((10, 12, 40), (38, 44, 98))}
GRASS = {"green": (86, 168, 70), "yellow": (226, 192, 78), "white": (238, 242, 248), "purple": (140, 96, 176), "brown": (150, 106, 66)}


def hills(cv, rng, c, y=86):
    dark = mix(c, (0, 0, 0), 0.16)
    cx = rng.uniform(20, 50)
    cv.ell(cx, y + 58, 74, 58, dark)
    cv.ell(cx + 70, y + 54, 78, 46, c)
    cv.ell(cx - 50, y + 76, 70, 56, mix(c, (255, 255, 255), 0.08))
    cv.rect(0, min(y + 34, cv.h - 2), cv.w, cv.h, mix(c, (255, 255, 255), 0.08))


def cloud(cv, x, y, s, c=(250, 251, 253)):
    cv.ell(x, y, 9 * s, 6 * s, c)
    cv.ell(x - 8 * s, y + 2.5 * s, 7 * s, 4.5 * s, c)
    cv.ell(x + 8 * s, y + 2.5 * s, 8 * s, 4.5 * s, c)


def scene_spec(rng, kind=None):
    k = kind or pick(rng, SCENES)
    s = dict(type="scene", kind=k, sky=pick(rng, ["blue", "orange", "pink", "purple", "night"], [0.5, 0.16, 0.14, 0.08, 0.12]))
    C = lambda *l: pick(rng, list(l))
    if k == "sun":
        s["sky"] = C("blue", "blue", "orange", "pink", "purple")
        s["c"] = C("yellow", "yellow", "red", "orange", "white")
        if s["c"] == "orange" and s["sky"] == "orange":
            s["c"] = "yellow"
        s["g"] = C("green", "green", "yellow", "white", "purple", "brown")
    elif k == "house":
        s["c"] = C("red", "yellow", "blue", "white", "pink", "green", "orange", "purple")
        s["roof"] = C("brown", "red", "black", "blue")
        if s["roof"] == s["c"]:
            s["roof"] = "brown"
        s["g"] = C("green", "green", "green", "white", "yellow")
    elif k == "moon":
        s["sky"] = "night"
        s["c"] = C("white", "yellow", "orange", "red", "pink")
        s["cres"] = bool(rng.random() < 0.5)
        s["hill"] = bool(rng.random() < 0.35)
    elif k == "boat":
        s["c"] = C("white", "red", "yellow", "pink", "orange", "green", "purple")
        s["hull"] = C("brown", "red", "black", "blue")
    elif k == "tree":
        s["c"] = C("green", "green", "orange", "pink", "red", "yellow")
        s["g"] = C("green", "green", "yellow", "white")
    elif k == "flower":
        s["c"] = C("red", "pink", "yellow", "purple", "white", "orange", "blue")
        s["mid"] = C(*[x for x in ("yellow", "orange", "brown", "white") if x != s["c"]])
        s["bg"] = C(*[x for x in BG_COLORS if x not in (s["c"], "green", "red", "orange")])
    elif k == "smiley":
        s["c"] = C("yellow", "yellow", "green", "orange", "pink", "blue", "red")
        s["mood"] = C("happy", "happy", "sad")
        s["bg"] = C(*[x for x in BG_COLORS if x != s["c"]])
    elif k == "fish":
        s["c"] = C("orange", "red", "yellow", "pink", "green", "purple", "white")
        s["dir"] = C("left", "right")
    elif k == "mountain":
        s["c"] = C("gray", "blue", "purple", "brown")
        s["snow"] = bool(rng.random() < 0.7)
        s["lake"] = bool(rng.random() < 0.4)
    elif k == "balloon":
        s["c"] = C("red", "yellow", "pink", "green", "purple", "orange", "white")
        if s["sky"] == "orange" and s["c"] == "orange":
            s["c"] = "red"
    elif k == "mushroom":
        s["c"] = C("red", "red", "brown", "purple", "orange", "blue")
        s["g"] = C("green", "green", "brown")
    return s


def draw_scene(s, rng):
    cv = Canvas()
    k = s["kind"]
    W = (250, 250, 250)

    def sky(name=None):
        top, bot = SKY[name or s["sky"]]
        cv.vgrad(jit(rng, top, 5), jit(rng, bot, 5))
        if (name or s["sky"]) == "night":
            stars(cv, rng, 20, 0.75)

    P = lambda n: jit(rng, PALETTE[n], 6)
    G = lambda n: jit(rng, GRASS[n], 6)
    if k == "sun":
        sky()
        cx, cy, r = rng.uniform(38, 90), rng.uniform(34, 52), rng.uniform(17, 22)
        cv.ell(cx, cy, r, r, P(s["c"]))
        hills(cv, rng, G(s["g"]))
    elif k == "house":
        sky()
        if s["sky"] != "night" and rng.random() < 0.6:
            cloud(cv, rng.uniform(18, 110), rng.uniform(14, 24), rng.uniform(0.9, 1.2))
        cv.rect(0, 100, 128, 128, G(s["g"]))
        cx = rng.uniform(56, 72)
        c, roof = P(s["c"]), P(s["roof"])
        cv.rect(cx + 15, 38, cx + 23, 60, mix(roof, (60, 40, 40), 0.4))
        cv.rect(cx - 30, 64, cx + 30, 108, c)
        cv.poly([(cx - 38, 66), (cx, 34), (cx + 38, 66)], roof)
        cv.rect(cx - 7, 84, cx + 7, 108, (96, 62, 40))
        win = (252, 226, 120) if s["sky"] == "night" else (200, 230, 248)
        for x in (cx - 19, cx + 19):
            cv.rect(x - 7, 74, x + 7, 88, W)
            cv.rect(x - 5.5, 75.5, x + 5.5, 86.5, win)
    elif k == "moon":
        sky()
        cx, cy, r = rng.uniform(46, 82), rng.uniform(40, 60), rng.uniform(21, 28)
        c = P(s["c"])
        if s["cres"]:
            cv.poly(crescent_pts(cx, cy, r), c)
        else:
            cv.ell(cx, cy, r, r, c)
            d = mix(c, (90, 90, 110), 0.18)
            for a, b, q in ((-.35, -.25, .22), (.35, .1, .16), (-.1, .45, .18)):
                cv.ell(cx + a * r, cy + b * r, q * r, q * r, d)
        if s["hill"]:
            hills(cv, rng, (26, 52, 48), 94)
    elif k == "boat":
        sky()
        sea = (34, 96, 168) if s["sky"] != "night" else (18, 36, 84)
        if rng.random() < 0.6:
            cv.ell(rng.uniform(20, 40) if rng.random() < 0.5 else rng.uniform(92, 110), 26, 10, 10, (252, 226, 110) if s["sky"] != "night" else (244, 240, 224))
        cv.rect(0, 84, 128, 128, jit(rng, sea))
        cx = rng.uniform(54, 72)
        cv.line([(cx, 28), (cx, 82)], (84, 56, 36), 2.5)
        c = P(s["c"])
        cv.poly([(cx + 3, 28), (cx + 3, 74), (cx + 34, 74)], c)
        cv.poly([(cx - 3, 36), (cx - 3, 74), (cx - 25, 74)], mix(c, (0, 0, 0), 0.12))
        cv.poly([(cx - 38, 80), (cx + 40, 80), (cx + 27, 97), (cx - 27, 97)], P(s["hull"]))
        lt = mix(sea, W, 0.25)
        for y in (102, 112, 121):
            o = rng.uniform(0, 24)
            for i in range(-1, 6):
                cv.rect(i * 26 + o, y, i * 26 + o + 13, y + 2, lt)
    elif k == "tree":
        sky()
        cv.ell(64, 150, 110, 50, G(s["g"]))
        cx = rng.uniform(52, 76)
        cv.poly([(cx - 5, 66), (cx + 5, 66), (cx + 8, 108), (cx - 8, 108)], (112, 74, 44))
        c = P(s["c"]) if s["c"] != "green" else jit(rng, (44, 130, 62), 6)
        dk = mix(c, (0, 0, 0), 0.14)
        for a, b, q in ((-18, 56, 20), (18, 56, 20), (0, 60, 22)):
            cv.ell(cx + a, b, q, q * 0.9, dk)
        for a, b, q in ((-11, 46, 19), (12, 45, 18), (0, 36, 19)):
            cv.ell(cx + a, b, q, q * 0.95, c)
    elif k == "flower":
        cv.rect(0, 0, 128, 128, P(s["bg"]))
        cx, cy = rng.uniform(58, 70), rng.uniform(46, 54)
        gr = jit(rng, (44, 140, 60), 6)
        cv.line([(cx, cy), (cx, 128)], gr, 5)
        cv.poly([(cx, 112), (cx + 12, 96), (cx + 30, 92), (cx + 20, 106)], gr)
        cv.poly([(cx, 118), (cx - 12, 102), (cx - 30, 98), (cx - 20, 112)], gr)
        c = P(s["c"])
        for i in range(6):
            a = i * math.pi / 3 + math.pi / 6
            cv.ell(cx + 20 * math.cos(a), cy + 20 * math.sin(a), 13.5, 13.5, c)
        cv.ell(cx, cy, 11.5, 11.5, P(s["mid"]))
    elif k == "smiley":
        cv.rect(0, 0, 128, 128, P(s["bg"]))
        cx, cy, r = 64 + rng.uniform(-4, 4), 64 + rng.uniform(-4, 4), rng.uniform(40, 47)
        cv.ell(cx, cy, r, r, P(s["c"]))
        k1 = (30, 28, 32)
        for sx in (-1, 1):
            cv.ell(cx + sx * 0.36 * r, cy - 0.26 * r, 0.11 * r, 0.17 * r, k1)
        if s["mood"] == "happy":
            cv.arc(cx, cy + 0.02 * r, 0.58 * r, 0.58 * r, 20, 160, k1, 4)
        else:
            cv.arc(cx, cy + 0.80 * r, 0.5 * r, 0.5 * r, 210, 330, k1, 4)
    elif k == "fish":
        cv.vgrad(jit(rng, (50, 140, 214), 6), jit(rng, (16, 66, 142), 6))
        cx, cy, sg = 64 + rng.uniform(-5, 5), 62 + rng.uniform(-6, 6), (-1 if s["dir"] == "left" else 1)
        c = P(s["c"])
        dk = mix(c, (0, 0, 0), 0.16)
        cv.poly([(cx - sg * 24, cy), (cx - sg * 50, cy - 21), (cx - sg * 43, cy), (cx - sg * 50, cy + 21)], dk)
        cv.poly([(cx - 12, cy - 16), (cx + 10, cy - 18), (cx - sg * 6, cy - 32)], dk)
        cv.ell(cx, cy, 36, 22, c)
        cv.ell(cx + sg * 20, cy - 6, 5.5, 5.5, W)
        cv.ell(cx + sg * 21, cy - 6, 2.8, 2.8, (20, 20, 24))
        cv.arc(cx + sg * 8, cy, 10, 15, *((-60, 60) if sg < 0 else (120, 240)), dk, 2.5)
        for _ in range(5):
            x, y, r = cx + sg * rng.uniform(30, 56), rng.uniform(10, 60), rng.uniform(2, 4.5)
            cv.ell(x, y, r, r, (150, 206, 240))
        cv.ell(30, 136, 60, 18, (214, 190, 130))
        cv.ell(100, 138, 60, 20, (224, 202, 146))
    elif k == "mountain":
        sky()
        if s["sky"] == "orange" or rng.random() < 0.3:
            cv.ell(rng.uniform(20, 108), 26, 10, 10, (252, 232, 140))
        c = {"gray": (120, 124, 134), "blue": (74, 104, 160), "purple": (112, 84, 150), "brown": (132, 96, 70)}[s["c"]]
        c = jit(rng, c, 6)
        cx = rng.uniform(44, 56)
        for x, top, wd, cc in ((cx + 44, 46, 46, mix(c, (0, 0, 0), 0.18)), (cx, 28, 54, c)):
            base = 104
            cv.poly([(x, top), (x + wd, base), (x - wd, base)], cc)
            if s["snow"]:
                f = 0.36
                yb = top + (base - top) * f
                cv.poly([(x, top), (x + wd * f, yb), (x + wd * f * .5, yb - 6), (x + wd * f * .15, yb + 2), (x - wd * f * .3, yb - 6), (x - wd * f, yb)], (246, 248, 252))
        if s["lake"]:
            cv.rect(0, 100, 128, 128, (62, 128, 186))
            for y in (108, 118):
                cv.rect(20, y, 52, y + 2, (140, 186, 222))
                cv.rect(72, y + 4, 108, y + 6, (140, 186, 222))
        else:
            cv.rect(0, 100, 128, 128, (78, 150, 74))
    elif k == "balloon":
        sky()
        if s["sky"] != "night":
            cloud(cv, rng.uniform(14, 34), rng.uniform(84, 104), 1.2)
            cloud(cv, rng.uniform(98, 114), rng.uniform(16, 104), 1.1)
        cx, cy = rng.uniform(54, 74), rng.uniform(44, 54)
        c = P(s["c"])
        lc = (90, 70, 56) if s["sky"] != "night" else (200, 180, 150)
        cv.line([(cx - 17, cy + 22), (cx - 7, cy + 50)], lc, 1.5)
        cv.line([(cx + 17, cy + 22), (cx + 7, cy + 50)], lc, 1.5)
        cv.poly([(cx - 25, cy + 15), (cx + 25, cy + 15), (cx + 8, cy + 40), (cx - 8, cy + 40)], c)
        cv.ell(cx, cy, 30, 31, c)
        l = mix(c, (255, 255, 255), 0.35) if s["c"] != "white" else (214, 90, 90)
        cv.ell(cx, cy, 11, 31, l)
        cv.poly([(cx - 10, cy + 12), (cx + 10, cy + 12), (cx + 3, cy + 40), (cx - 3, cy + 40)], l)
        cv.rect(cx - 8, cy + 49, cx + 8, cy + 61, (134, 88, 48))
    elif k == "mushroom":
        sky()
        cv.ell(64, 146, 120, 46, G(s["g"]))
        cx = rng.uniform(56, 72)
        cv.poly([(cx - 11, 62), (cx + 11, 62), (cx + 15, 110), (cx - 15, 110)], (244, 232, 208))
        cv.ell(cx, 110, 15, 5, (244, 232, 208))
        c = P(s["c"])
        pts = [(cx + 40 * math.cos(t), 66 - 44 * math.sin(t)) for t in np.linspace(0, math.pi, 40)]
        cv.poly(pts, c)
        cv.ell(cx, 66, 40, 7, c)
        for a, b, q in ((-20, 52, 6.5), (2, 40, 7.5), (22, 53, 6), (2, 61, 5)):
            cv.ell(cx + a, b, q, q, W)
    return cv.done()


def sky_words(rng, n):
    if n == "night":
        return pick(rng, ["at night", "under a night sky", "under a night sky with stars"])
    if n == "orange" and rng.random() < 0.4:
        return "at sunset"
    return pick(rng, ["under ", "under ", "with "]) + an(n + " sky")


def cap_scene(s, rng):
    k = s["kind"]
    sk = sky_words(rng, s["sky"])
    gn = {"white": "snowy"}
    g = gn.get(s.get("g"), s.get("g"))
    if k == "sun":
        b = an(s["c"] + " sun") + " over " + pick(rng, [g + " hills", "the " + g + " hills"])
        if rng.random() < 0.7:
            b += " " + sk
    elif k == "house":
        b = an(s["c"] + " house")
        u = rng.random()
        if u < 0.4:
            b += " with " + an(s["roof"] + " roof")
        if u > 0.25:
            b += " " + sk
        if rng.random() < 0.4:
            b += " on snow" if s["g"] == "white" else " on " + s["g"] + " grass"
    elif k == "moon":
        b = an((pick(rng, ["crescent moon", "crescent moon", "moon"]) if s["cres"] else pick(rng, ["full moon", "moon"])))
        b = an(s["c"] + " " + b.split(" ", 1)[1])
        b += pick(rng, [" in a night sky with stars", " in the night sky", " in a starry night sky"]) if not s["hill"] else pick(rng, [" over hills at night", " over dark hills, night sky with stars"])
    elif k == "boat":
        b = pick(rng, ["a sailing boat", "a boat", "a sailboat"])
        u = rng.random()
        if u < 0.5:
            b += " with " + pick(rng, ["", "a "]) + s["c"] + " sail"
        elif u < 0.8:
            b = an(s["hull"] + " boat with " + s["c"] + " sail")
        b += pick(rng, [" on the sea", " on the blue sea", " on the water"])
        if rng.random() < 0.7:
            b += " " + sk
    elif k == "tree":
        b = an(s["c"] + " tree") + pick(rng, ["", " on a " + g + " hill", " on a hill"])
        if rng.random() < 0.7:
            b += " " + sk
    elif k == "flower":
        b = an(s["c"] + " flower")
        if rng.random() < 0.5:
            b += " with " + an(s["mid"] + " center")
        b += pick(rng, [" on ", " on "]) + an(s["bg"] + " background") if rng.random() < 0.7 else ", " + s["bg"] + " background"
    elif k == "smiley":
        b = an(pick(rng, [s["c"] + " smiley face", s["mood"] + " " + s["c"] + " face", s["mood"] + " " + s["c"] + " smiley face"]) if s["mood"] == "happy" else pick(rng, ["sad " + s["c"] + " face", "sad " + s["c"] + " smiley face"]))
        b += " on " + an(s["bg"] + " background") if rng.random() < 0.7 else ", " + s["bg"] + " background"
    elif k == "fish":
        b = an(s["c"] + " fish") + pick(rng, [" in the sea", " in the blue sea", " under water", " swimming in the water", ""])
        if rng.random() < 0.25:
            b += ", facing " + s["dir"]
    elif k == "mountain":
        nm = pick(rng, ["mountains", "mountain landscape"])
        b = (pick(rng, ["snowy ", "snowy " + s["c"] + " "]) if s["snow"] else s["c"] + " ") + nm
        if nm != "mountains":
            b = an(b)
        if s["lake"] and rng.random() < 0.8:
            b += pick(rng, [" by a lake", " with a lake"])
        if rng.random() < 0.8:
            b += " " + sk
    elif k == "balloon":
        b = an(s["c"] + pick(rng, [" hot air balloon", " balloon"]))
        b += {"night": " in the night sky"}.get(s["sky"], " in " + an(s["sky"] + " sky"))
    elif k == "mushroom":
        b = an(s["c"] + " mushroom") + pick(rng, ["", " with white dots"]) + pick(rng, ["", " on " + ("green grass" if s["g"] == "green" else "brown ground")])
        if rng.random() < 0.6:
            b += " " + sk
    u = rng.random()
    if u < 0.12:
        b = pick(rng, ["a picture of ", "a drawing of ", "an image of ", "a painting of "]) + b
    elif u < 0.2:
        b += pick(rng, [", flat design", ", simple", ", vector art", ", illustration"])
    return b


# ---------------------------------------------------------------- top level
def make_spec(rng, kinds=(0.50, 0.15, 0.35)):
    t = pick(rng, ["single", "pair", "scene"], list(kinds))
    return {"single": single_spec, "pair": pair_spec, "scene": scene_spec}[t](rng)


def draw(spec, rng):
    return {"single": draw_single, "pair": draw_pair, "scene": draw_scene}[spec["type"]](spec, rng)


def caption(spec, rng):
    return {"single": cap_single, "pair": cap_pair, "scene": cap_scene}[spec["type"]](spec, rng)


def sample(seed, n_captions=4):
    rng = np.random.default_rng(seed)
    spec = make_spec(rng)
    img = draw(spec, rng)
    return spec, img, [caption(spec, rng) for _ in range(n_captions)]


def build(n, seed0=1_000_000, n_captions=4, log=None):
    imgs = np.empty((n, SIZE, SIZE, 3), np.uint8)
    specs, caps = [], []
    for i in range(n):
        s, imgs[i], c = sample(seed0 + i, n_captions)
        specs.append(s)
        caps.append(c)
        if log and i % 2000 == 0:
            log(f"data {i}/{n}")
    return imgs, specs, caps


def grid(imgs, cols, pad=4, bg=255):
    h = max(i.shape[0] for i in imgs)
    w = max(i.shape[1] for i in imgs)
    rows = (len(imgs) + cols - 1) // cols
    out = np.full((rows * (h + pad) + pad, cols * (w + pad) + pad, 3), bg, np.uint8)
    for k, im in enumerate(imgs):
        y, x = (k // cols) * (h + pad) + pad, (k % cols) * (w + pad) + pad
        out[y:y + im.shape[0], x:x + im.shape[1]] = im
    return out


if __name__ == "__main__":
    import sys, time
    t = time.time()
    imgs, specs, caps = build(96, seed0=5)
    print("ms per image", (time.time() - t) / 96 * 1000)
    for c in caps:
        print(c[:2])
    Image.fromarray(grid(list(imgs), 12)).save(sys.argv[1] if len(sys.argv) > 1 else "data.png")
