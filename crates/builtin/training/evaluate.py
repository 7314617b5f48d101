"""Samplers, contact sheets and the prompt-following measure (pixel statistics)."""
import numpy as np
import torch
from PIL import Image
import data, models

SHEET = [
    "a red circle on a blue background", "a yellow star on a night sky background", "a green heart on a white background",
    "a purple square on a yellow background", "a blue ring on a pink background", "a small white crescent on a black background",
    "a big orange diamond on a gray background", "black cross, green background", "a pink triangle on the left on a blue background",
    "a red circle left of a blue square on a white background", "a green star above a yellow heart on a black background",
    "a white circle on a red and orange striped background",
    "a yellow sun over green hills", "a red house under a blue sky", "a white moon in a night sky with stars",
    "a sailing boat with a red sail on the sea under a blue sky", "a pink tree on a hill under a blue sky", "a purple flower on a yellow background",
    "a happy yellow smiley face on a blue background", "an orange fish in the sea", "snowy mountains by a lake under a pink sky",
    "a red hot air balloon in a blue sky", "a red mushroom with white dots on green grass", "a red sun over purple hills at sunset",
]


def sigmas(n, acp):
    s = ((1 - acp) / acp).sqrt()
    t = torch.linspace(len(acp) - 1, 0, n)
    lo = t.floor().long()
    hi = (lo + 1).clamp(max=len(acp) - 1)
    ls = s.log()
    sg = (ls[lo] + (ls[hi] - ls[lo]) * (t - lo)).exp()
    return torch.cat([sg, torch.zeros(1)]), t


@torch.no_grad()
def sample(unet, cond, uncond, shape, steps=20, cfg=5.0, seed=0, method="euler", x=None, start=0, post=None):
    """k-diffusion samplers. x: starting latent (already noised) or None; post(x0, sigma, i) may edit the denoised prediction."""
    acp = models.alphas_cumprod()
    sg, ts = sigmas(steps, acp)
    if x is None:
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(shape, generator=g) * (sg[0] ** 2 + 1).sqrt()
    B = len(x)
    c = torch.cat([uncond.expand(B, -1, -1), cond])
    old = None
    for i in range(start, steps):
        s, s2 = sg[i], sg[i + 1]
        xin = x / (s * s + 1).sqrt()
        e = unet(torch.cat([xin, xin]), ts[i].expand(2 * B), c)
        eu, ec = e.chunk(2)
        e = eu + cfg * (ec - eu)
        x0 = x - s * e
        if post is not None:
            x0 = post(x0, s, i)
        if method == "euler":
            x = x + (x - x0) / s * (s2 - s)
        else:  # dpm++ 2m
            if s2 == 0:
                x = x0
            else:
                tt, tn = -s.log(), -s2.log()
                h = tn - tt
                if old is None or i == start:
                    d = x0
                else:
                    hl = tt - (-sg[i - 1].log())
                    r = hl / h
                    d = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * old
                x = (s2 / s) * x - (-h).expm1() * d
            old = x0
    return x


def to_img(x):
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


# ------------------------------------------------------------------ measuring
PAL = np.array([data.PALETTE[k] for k in data.PALETTE], float)
NAMES = list(data.PALETTE)


def nearest(c):
    return NAMES[int(np.abs(PAL - np.asarray(c, float)).sum(1).argmin())]


def norm_mask(m, n=32):
    ys, xs = np.where(m)
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    s = max(y1 - y0, x1 - x0)
    o = np.zeros((s, s), np.uint8)
    oy, ox = int(round(s / 2 - (y1 - y0) / 2)), int(round(s / 2 - (x1 - x0) / 2))
    o[oy:oy + y1 - y0, ox:ox + x1 - x0] = m[y0:y1, x0:x1]
    return np.asarray(Image.fromarray(o * 255).resize((n, n), Image.BILINEAR)) / 255.0


def templates():
    t = {}
    for k in data.SHAPES:
        cv = data.Canvas(128, 128, (0, 0, 0))
        data.draw_shape(cv, k, 64, 64, 44, (255, 255, 255))
        t[k] = norm_mask(cv.done()[..., 0] > 127)
    return t


TPL = templates()


def analyse(img):
    """(shape, colour, background colour, bounding box) by pixel statistics only."""
    a = img.astype(float)
    border = np.concatenate([a[:4].reshape(-1, 3), a[-4:].reshape(-1, 3), a[:, :4].reshape(-1, 3), a[:, -4:].reshape(-1, 3)])
    bg = np.median(border, 0)
    m = np.abs(a - bg).sum(-1) > 90
    if m.sum() < 40:
        return None, None, nearest(bg), None
    inner = m.copy()
    inner[1:-1, 1:-1] = m[1:-1, 1:-1] & m[:-2, 1:-1] & m[2:, 1:-1] & m[1:-1, :-2] & m[1:-1, 2:]
    px = a[inner] if inner.sum() > 20 else a[m]
    col = np.median(px, 0)
    near = m & (np.abs(a - col).sum(-1) < np.abs(a - bg).sum(-1))
    if near.sum() < 30:
        near = m
    q = norm_mask(near)
    iou = {k: np.minimum(q, t).sum() / np.maximum(q, t).sum() for k, t in TPL.items()}
    ys, xs = np.where(near)
    return max(iou, key=iou.get), nearest(col), nearest(bg), (xs.min(), ys.min(), xs.max(), ys.max())


def test_prompts(n, seed=123):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        c = data.pick(rng, data.SHAPE_COLORS)
        b = data.pick(rng, [x for x in data.BG_COLORS if x != c])
        s = data.pick(rng, data.SHAPES)
        out.append((c, s, b, f"{data.an(c)} {s} on {data.an(b)} background"))
    return out


def score(prompts, imgs):
    r = np.zeros(4)
    miss = []
    for (c, s, b, p), im in zip(prompts, imgs):
        gs, gc, gb, _ = analyse(im)
        ok = (gs == s, gc == c, gb == b)
        r += [*ok, all(ok)]
        if not all(ok):
            miss.append((p, gs, gc, gb))
    return r / len(prompts), miss


def gen(net, vae, cap, prompts, hw=16, **kw):
    out = []
    ids = torch.tensor([cap.encode(p) for p in prompts])
    with torch.no_grad():
        c = net["clip"](ids)
        u = net["clip"](torch.tensor([cap.encode("")]))
        h, w = (hw, hw) if isinstance(hw, int) else hw
        for i in range(0, len(prompts), 24):
            z = sample(net["unet"], c[i:i + 24], u, (len(c[i:i + 24]), 4, h, w), **{**kw, "seed": kw.get("seed", 0) + i})
            out.append(to_img(vae.decoder(z.contiguous(memory_format=torch.channels_last))))
    return np.concatenate(out)


def quick(work, net, vae, cap, tag, hw, n=24):
    im = gen(net, vae, cap, SHEET, hw, steps=20, cfg=5.0)
    Image.fromarray(data.grid(list(im), 8)).save(f"{work}/sheet_{tag}.png")
    if hw == 16 and n:
        pr = test_prompts(n)
        r, miss = score(pr, gen(net, vae, cap, [p[3] for p in pr], hw, steps=20, cfg=5.0, seed=5000))
        print(f"   {tag}: shape {r[0]:.2f} colour {r[1]:.2f} background {r[2]:.2f} all {r[3]:.2f}", flush=True)


if __name__ == "__main__":
    # the measure on real drawings
    rng = np.random.default_rng(3)
    pr, im = [], []
    for _ in range(300):
        s = data.single_spec(rng, bg=None)
        if s["bgk"] != "flat":
            continue
        pr.append((s["color"], s["shape"], s["b1"], str(s)))
        im.append(data.draw_single(s, rng))
    r, miss = score(pr, im)
    print("classifier on drawings:", r)
    for m in miss[:20]:
        print(m)
