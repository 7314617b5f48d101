"""Pictures, captions and masks for the inpainting variant (9 channels: noisy latent, mask, masked picture's latent)."""
import numpy as np
from PIL import Image, ImageDraw
import torch.nn.functional as F
import data
from data import pick, an


# ---------------------------------------------------------------- what ComfyUI's InpaintModelConditioning does
def grey_out(x, mask):
    """x: pictures in -1..1 [B,3,H,W]; mask [B,1,H,W]. Grey 0.5 in 0..1 is 0 here."""
    return x * (1 - mask.round())


def latent_mask(mask, h, w):
    """The mask at latent size as the 9-channel model gets it: bilinear without antialiasing, then rounded."""
    return F.interpolate(mask, (h, w), mode="bilinear").round()


# ---------------------------------------------------------------- masks
def object_box(img):
    """Box of what differs from the border colour, or None."""
    a = img.astype(int)
    edge = np.concatenate([a[:3].reshape(-1, 3), a[-3:].reshape(-1, 3), a[:, :3].reshape(-1, 3), a[:, -3:].reshape(-1, 3)])
    m = np.abs(a - np.median(edge, 0)).sum(-1) > 90
    ys, xs = np.where(m)
    if len(ys) < 40 or m.mean() > 0.6:
        return None
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


KINDS = ["object", "border", "rect", "ellipse", "brush", "all"]


def make_mask(rng, h, w, box=None, kind=None):
    """uint8 [h,w], 1 = repaint"""
    kind = kind or pick(rng, KINDS, [0.30, 0.28, 0.14, 0.09, 0.12, 0.07])
    im = Image.new("L", (w, h), 0)
    d = ImageDraw.Draw(im)
    if kind == "all":
        return np.ones((h, w), np.uint8)
    if kind == "border":
        m = np.ones((h, w), np.uint8)
        side = lambda n: int(8 * rng.integers(2, n // 24 + 2)) if rng.random() < 0.7 else int(rng.integers(10, n // 3 + 8))
        pat = pick(rng, ["one", "opposite", "corner", "all"], [0.4, 0.2, 0.12, 0.28])
        on = {"one": [int(rng.integers(4))], "opposite": pick(rng, [[0, 1], [2, 3]]) if rng.random() < 1 else [],
              "corner": [int(rng.integers(2)), 2 + int(rng.integers(2))], "all": [0, 1, 2, 3]}[pat]
        l, r, t, b = (side(n) if i in on else 0 for i, n in enumerate((w, w, h, h)))
        m[t:h - b, l:w - r] = 0
        return m
    if kind == "object" and box is not None:
        x0, y0, x1, y1 = box
        a, b, c, e = rng.uniform(2, 18, 4)
        if rng.random() < 0.7:
            d.rectangle([x0 - a, y0 - b, x1 + c, y1 + e], fill=1)
        else:
            cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * 0.72 + a, (y1 - y0) * 0.72 + b
            d.ellipse([cx - rx, cy - ry, cx + rx, cy + ry], fill=1)
    elif kind in ("rect", "object", "ellipse"):
        mw, mh = rng.uniform(24, 0.8 * w), rng.uniform(24, 0.8 * h)
        x, y = rng.uniform(-8, w - mw + 8), rng.uniform(-8, h - mh + 8)
        (d.ellipse if kind == "ellipse" else d.rectangle)([x, y, x + mw, y + mh], fill=1)
    else:
        for _ in range(int(rng.integers(1, 4))):
            p = np.array([rng.uniform(0, w), rng.uniform(0, h)])
            wd, pts = rng.uniform(12, 34), []
            ang = rng.uniform(0, 6.28)
            for _ in range(int(rng.integers(2, 7))):
                pts.append(tuple(p))
                ang += rng.uniform(-1, 1)
                p = np.clip(p + rng.uniform(14, 34) * np.array([np.cos(ang), np.sin(ang)]), 0, [w, h])
            d.line(pts, fill=1, width=int(wd), joint="curve")
            for q in pts:
                d.ellipse([q[0] - wd / 2, q[1] - wd / 2, q[0] + wd / 2, q[1] + wd / 2], fill=1)
    return np.asarray(im)


# ---------------------------------------------------------------- pictures
def empty_background(rng, w, h):
    b = pick(rng, data.BG_COLORS)
    img = np.empty((h, w, 3), np.uint8)
    img[:] = data.jit(rng, data.PALETTE[b])
    caps = [f"{b} background", an(b) + " background", an(b) + " background", f"a plain {b} background", f"an empty {b} background", f"only {an(b)} background", f"a flat {b} background"]
    return img, [pick(rng, caps) for _ in range(4)]


class _Wide(data.Canvas):
    """A scene's canvas made wider: what spanned the old width spans the new one."""
    width, shift = 192, 32

    def __init__(s, w=128, h=128, bg=(255, 255, 255)):
        super().__init__(s.width, h, bg)

    def poly(s, pts, c):
        super().poly([(x + s.shift, y) for x, y in pts], c)

    def ell(s, cx, cy, rx, ry, c):
        super().ell(cx + s.shift, cy, rx, ry, c)

    def rect(s, x0, y0, x1, y1, c):
        full = x0 <= 0 and x1 >= 128
        super().rect(0 if full else x0 + s.shift, y0, s.width if full else x1 + s.shift, y1, c)

    def line(s, pts, c, w):
        super().line([(x + s.shift, y) for x, y in pts], c, w)

    def arc(s, cx, cy, rx, ry, *a):
        super().arc(cx + s.shift, cy, rx, ry, *a)


def wide_scene(rng, spec, w):
    old = data.Canvas
    _Wide.width, _Wide.shift = w, rng.uniform(0.25, 0.75) * (w - 128)
    data.Canvas = _Wide
    try:
        return data.draw_scene(spec, rng)
    finally:
        data.Canvas = old


def large_single(rng, spec, w, h):
    cv = data.Canvas(w, h)
    data.background(cv, rng, "flat", data.jit(rng, data.PALETTE[spec["b1"]]), None)
    cx, cy = w / 2 + rng.uniform(-0.5, 0.5) * (w - 120), h / 2 + rng.uniform(-0.5, 0.5) * (h - 120)
    data.draw_shape(cv, spec["shape"], cx, cy, rng.uniform(*data.RADII[spec["size"]]), data.jit(rng, data.PALETTE[spec["color"]]))
    return cv.done()


def picture(rng, w=128, h=128):
    """-> picture, four captions"""
    if rng.random() < 0.06:
        return empty_background(rng, w, h)
    if w == h == 128:
        spec = data.make_spec(rng, (0.58, 0.07, 0.35))
        img = data.draw(spec, rng)
    elif h == 128 and rng.random() < 0.55:
        spec = data.scene_spec(rng)
        img = wide_scene(rng, spec, w)
    else:
        spec = data.single_spec(rng)
        spec.update(pos="", bgk="flat")
        img = large_single(rng, spec, w, h)
    return img, [data.caption(spec, rng) for _ in range(4)]


def build(rng, n, w, h, masks):
    """-> pictures [n,h,w,3], masks [n,masks,h,w], captions"""
    imgs, ms, caps = np.empty((n, h, w, 3), np.uint8), np.empty((n, masks, h, w), np.uint8), []
    for i in range(n):
        imgs[i], c = picture(rng, w, h)
        box = object_box(imgs[i])
        for j in range(masks):
            ms[i, j] = make_mask(rng, h, w, box)
        caps.append(c)
    return imgs, ms, caps


if __name__ == "__main__":
    import sys
    rng = np.random.default_rng(0)
    out = []
    for w, h in ((128, 128), (192, 128), (128, 192)):
        imgs, ms, caps = build(rng, 10, w, h, 2)
        for i in range(10):
            print(caps[i][0])
            out += [imgs[i]] + [np.where(m[..., None] == 1, 128, imgs[i]).astype(np.uint8) for m in ms[i]]
    Image.fromarray(data.grid(out, 12)).save(sys.argv[1])
