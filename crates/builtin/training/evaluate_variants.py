"""Exports a variant's UNet, runs it as a ComfyUI user would and measures the pictures.

python evaluate_variants.py instruct|inpaint BASE.safetensors MERGES.TXT UNET.safetensors SHEETDIR [--n 120]
Euler, 20 steps, normal scheduler, full denoise; the fp16 weights are computed in fp32, with the file's own VAE."""
import os, json, time, argparse
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
import basefile, models, tok, data, edits, inpaint
import evaluate as E

SF = models.CONFIG["vae"]["scale_factor"]


class Model:
    def __init__(s, base, merges, unet):
        sd = basefile.load(base)
        s.vae, s.clip = basefile.vae(sd), basefile.clip(sd)
        s.unet = basefile.unet(basefile.part(basefile.load(unet), basefile.UNET))
        s.T = tok.Tokenizer(merges)

    @torch.no_grad()
    def cond(s, texts):
        return s.clip(torch.tensor([s.T(t) for t in texts]))

    @torch.no_grad()
    def encode(s, imgs):
        return torch.cat([s.vae.encode(x) for x in imgs.split(8)])

    @torch.no_grad()
    def decode(s, z):
        return np.concatenate([E.to_img(s.vae.decode(x)) for x in z.split(8)])

    @torch.no_grad()
    def sample(s, concat, texts, cfg, steps, seed, latent=None, mask=None):
        """concat goes to the positive and to the empty negative prompt. latent, mask: KSampler with a noise mask."""
        n = len(texts)
        sg, ts = E.sigmas(steps, models.alphas_cumprod())
        noise = torch.randn((n, 4, *concat.shape[2:]), generator=torch.Generator().manual_seed(seed))
        lat = torch.zeros_like(noise) if latent is None else latent
        x = lat + noise * (sg[0] ** 2 + 1).sqrt()
        c = torch.cat([s.cond([""]).expand(n, -1, -1), s.cond(texts)])
        for i in range(steps):
            a, b = sg[i], sg[i + 1]
            if mask is not None:
                x = x * mask + (lat + noise * a) * (1 - mask)
            xin = torch.cat([x / (a * a + 1).sqrt(), concat], 1)
            eu, ec = s.unet(torch.cat([xin, xin]), ts[i].expand(2 * n), c).chunk(2)
            x0 = x - a * (eu + cfg * (ec - eu))
            if mask is not None:
                x0 = x0 * mask + lat * (1 - mask)
            x = x + (x - x0) / a * (b - a)
        return x

    def edit(s, imgs, texts, cfg=3.0, steps=20, seed=0, batch=24):
        """InstructPix2Pix: the source's latent, unscaled, in the extra channels; starts from an empty latent."""
        out = []
        for i in range(0, len(imgs), batch):
            z = s.encode(to_x(imgs[i:i + batch])) / SF
            out.append(s.decode(s.sample(z, texts[i:i + batch], cfg, steps, seed + i)))
        return np.concatenate(out)

    def fill(s, imgs, masks, texts, cfg=3.0, steps=20, seed=0, noise_mask=True, batch=24):
        """InpaintModelConditioning + KSampler. masks uint8 [n,H,W], 1 = repaint."""
        out = []
        for i in range(0, len(imgs), batch):
            x, m = to_x(imgs[i:i + batch]), torch.from_numpy(np.array(masks[i:i + batch]))[:, None].float()
            h, w = x.shape[2] // 8, x.shape[3] // 8
            concat = torch.cat([inpaint.latent_mask(m, h, w), s.encode(inpaint.grey_out(x, m))], 1)
            soft = F.interpolate(m, (h, w), mode="bilinear") if noise_mask else None
            out.append(s.decode(s.sample(concat, texts[i:i + batch], cfg, steps, seed + i, s.encode(x), soft)))
        return np.concatenate(out)


def to_x(imgs):
    return torch.from_numpy(np.array(imgs)).permute(0, 3, 1, 2).float() / 127.5 - 1


# ---------------------------------------------------------------- instruct
PHRASES = {"color": ["make it {c}", "make the {s} {c}", "turn it {c}", "change the {s} to {c}", "paint it {c}"],
           "shape": ["turn it into {A}", "turn the {s} into {A}", "replace the {s} with {A}", "change it to {A}", "make it {A}"],
           "bg": ["make the background {b}", "change the background to {b}", "turn the background {b}"]}


def edit_cases(n, seed=77):
    """Random single-shape pictures on flat backgrounds and one plain instruction each."""
    rng, out = np.random.default_rng(seed), []
    for k in range(n):
        kind = ("color", "shape", "bg")[k % 3]
        c = [str(x) for x in rng.permutation(data.SHAPE_COLORS)[:2]]
        b = [str(x) for x in rng.permutation([x for x in data.BG_COLORS if x not in c])[:2]]
        sh = [str(x) for x in rng.permutation(data.SHAPES)[:2]]
        a = data.single_spec(rng, sh[0], c[0], ("flat", b[0], b[0]))
        want = {**a, **{"color": dict(color=c[1]), "shape": dict(shape=sh[1]), "bg": dict(b1=b[1], b2=b[1])}[kind]}
        text = edits.pick(rng, PHRASES[kind]).format(c=c[1], s=sh[0], A=data.an(sh[1]), b=b[1])
        sd = int(rng.integers(1 << 40))
        out.append(dict(kind=kind, src=a, want=want, text=text, img=edits.render(a, sd), truth=edits.render(want, sd)))
    return out


def background_pixels(img, other):
    """Pixels far from any object in either picture."""
    def obj(a):
        a = a.astype(float)
        e = np.concatenate([a[:4].reshape(-1, 3), a[-4:].reshape(-1, 3)])
        return np.abs(a - np.median(e, 0)).sum(-1) > 60
    m = torch.from_numpy((obj(img) | obj(other)).astype(np.float32))[None, None]
    return F.max_pool2d(m, 13, 1, 6)[0, 0].numpy() < 0.5


def judge_edit(c, img):
    """(did what it says, left the rest alone, details). The rest: the background's mean colour within 12 of 255 per
    channel of the source's (edits of the object), the object's colour and shape names (where not asked to change), and
    the centre of its box within 8 pixels and its size within 25 % of the true drawing's."""
    s, col, bg, box = E.analyse(img)
    ts, tc, tb, tbox = E.analyse(c["truth"])
    w = c["want"]
    did = {"color": col == w["color"], "shape": s == w["shape"], "bg": bg == w["b1"]}[c["kind"]]
    keep = {"color": s == w["shape"], "shape": col == w["color"], "bg": s == w["shape"] and col == w["color"]}[c["kind"]]
    d = 0.0
    if c["kind"] != "bg":
        p = background_pixels(c["img"], c["truth"])
        if p.sum() > 50:
            d = float(np.abs(img[p].astype(float).mean(0) - c["img"][p].astype(float).mean(0)).max())
        keep = keep and d <= 12
    if box is None or tbox is None:
        return did, False, (s, col, bg, d)
    mid = lambda q: np.array([q[0] + q[2], q[1] + q[3]]) / 2
    ext = lambda q: max(q[2] - q[0], q[3] - q[1]) + 1
    moved, size = float(np.abs(mid(box) - mid(tbox)).max()), ext(box) / ext(tbox)
    return did, bool(keep and moved <= 8 and 0.75 <= size <= 1.25), (s, col, bg, round(d, 1), round(moved, 1), round(size, 2))


SHOW_EDITS = [("red circle", ["make it blue", "make the circle green", "turn the circle into a star", "turn it into a heart", "make the background green", "change the background to yellow", "replace the circle with a square"]),
              ("house", ["make the sky orange", "make the roof red", "turn it to night", "make the house blue", "make the sky pink", "make the grass white", "make it yellow"]),
              ("tree", ["make the tree pink", "make the sky purple", "make it night", "make it sunset", "make the grass yellow", "turn the tree red", "make it orange"]),
              ("smiley", ["make it sad", "make the face green", "make the background blue", "turn it pink", "make it red", "change the background to black", "make the face white"]),
              ("boat", ["make the sail red", "make the boat blue", "turn it to night", "make the sky orange", "change the sail to yellow", "make it sunset", "make the sail green"])]


def show_sources():
    r = lambda s, k: edits.render(s, k)
    return {"red circle": r(dict(type="single", shape="circle", color="red", size="", pos="", bgk="flat", b1="white", b2="white"), 5),
            "house": r(dict(type="scene", kind="house", sky="blue", c="yellow", roof="brown", g="green"), 6),
            "tree": r(dict(type="scene", kind="tree", sky="blue", c="green", g="green"), 7),
            "smiley": r(dict(type="scene", kind="smiley", c="yellow", mood="happy", bg="purple"), 8),
            "boat": r(dict(type="scene", kind="boat", sky="blue", c="white", hull="brown"), 9)}


def eval_instruct(m, out, n, cfg):
    R = {}
    cases = edit_cases(n)
    imgs = m.edit(np.stack([c["img"] for c in cases]), [c["text"] for c in cases], cfg=cfg, seed=900)
    miss, res = [], {}
    for c, im in zip(cases, imgs):
        did, kept, info = judge_edit(c, im)
        ctl = judge_edit(c, c["img"])
        tru = judge_edit(c, c["truth"])
        for k in (c["kind"], "all"):
            r = res.setdefault(k, np.zeros(6))
            r += [1, did, kept, did and kept, ctl[0], tru[0] and tru[1]]
        if not (did and kept):
            miss.append((c["text"], {k: c["src"][k] for k in ("color", "shape", "b1", "size", "pos")}, did, kept, info))
    for k, r in res.items():
        R[k] = dict(n=int(r[0]), did=r[1] / r[0], rest_kept=r[2] / r[0], both=r[3] / r[0], control_unedited_did=r[4] / r[0], control_true_drawing=r[5] / r[0])
    row = []
    for c, im in list(zip(cases, imgs))[:30]:
        row += [c["img"], im]
    save(row, 12, f"{out}/instruct_cases")
    row, src = [], show_sources()
    for name, texts in SHOW_EDITS:
        row += [src[name], *m.edit(np.stack([src[name]] * len(texts)), texts, cfg=cfg, seed=4)]
    save(row, 8, f"{out}/instruct_show")
    return R, miss


# ---------------------------------------------------------------- inpaint
def eval_inpaint(m, out, n, cfg):
    R, miss, rng = {}, [], np.random.default_rng(55)
    # the object repainted: mask = its box with a margin; another colour and shape asked for on the same background
    specs, imgs, masks, texts = [], [], [], []
    for _ in range(n):
        c = [str(x) for x in rng.permutation(data.SHAPE_COLORS)[:2]]
        b = edits.pick(rng, [x for x in data.BG_COLORS if x not in c])
        sh = [str(x) for x in rng.permutation(data.SHAPES)[:2]]
        s = data.single_spec(rng, sh[0], c[0], ("flat", b, b))
        im = edits.render(s, int(rng.integers(1 << 40)))
        x0, y0, x1, y1 = inpaint.object_box(im)
        mk = np.zeros((128, 128), np.uint8)
        mk[max(y0 - 8, 0):y1 + 8, max(x0 - 8, 0):x1 + 8] = 1
        imgs.append(im), masks.append(mk), specs.append((s, c[1], sh[1], b)), texts.append(f"{data.an(c[1])} {sh[1]} on {data.an(b)} background")
    imgs, masks = np.stack(imgs), np.stack(masks)
    for tag, nm in (("repaint", True), ("repaint_no_noise_mask", False)):
        o = m.fill(imgs, masks, texts, cfg=cfg, seed=300, noise_mask=nm)
        r = np.zeros(4)
        for (s, c, sh, b), im, src, mk, t in zip(specs, o, imgs, masks, texts):
            gs, gc, gb, _ = E.analyse(im)
            far = F.max_pool2d(torch.from_numpy(mk)[None, None].float(), 9, 1, 4)[0, 0].numpy() < 0.5
            d = np.abs(im[far].astype(float) - src[far]).mean() if far.sum() > 50 else 0.0
            ok = (gc == c, gs == sh, d < 6)
            r += [*ok, all(ok)]
            if not all(ok):
                miss.append((tag, t, s["shape"], s["color"], s["size"], gs, gc, round(float(d), 1)))
        R[tag] = dict(zip(("colour", "shape", "outside_unchanged", "all"), (r / n).tolist()), n=n)
        if nm:
            row = []
            for k in range(min(16, n)):
                row += [imgs[k], np.where(masks[k][..., None] == 1, 128, imgs[k]).astype(np.uint8), o[k]]
            save(row, 12, f"{out}/inpaint_repaint")
    # the object erased
    k = n // 3
    er = m.fill(imgs[:k], masks[:k], [f"{data.an(s[3])} background" for s in specs[:k]], cfg=cfg, seed=400)
    good = 0
    for s, im, mk in zip(specs, er, masks):
        d = np.abs(im.astype(float) - np.array(data.PALETTE[s[3]])).sum(-1)[mk == 1]
        good += (d < 90).mean() > 0.97
    R["erase_to_background"] = dict(n=k, ok=good / k)
    row = []
    for j in range(min(8, k)):
        row += [np.where(masks[j][..., None] == 1, 128, imgs[j]).astype(np.uint8), er[j]]
    save(row, 8, f"{out}/inpaint_erase")
    # borders: everything outside the inner rectangle repainted; the background and object must continue
    good, dif, row = 0, [], []
    s_, i_, m_ = [], [], []
    for _ in range(n // 2):
        s = data.single_spec(rng)
        s.update(bgk="flat", size=edits.pick(rng, ["", "big"]), pos="")
        i_.append(edits.render(s, int(rng.integers(1 << 40))))
        m_.append(inpaint.make_mask(rng, 128, 128, kind="border"))
        s_.append(s)
    t_ = [f"{data.an(s['color'])} {s['shape']} on {data.an(s['b1'])} background" for s in s_]
    o = m.fill(np.stack(i_), np.stack(m_), t_, cfg=cfg, seed=500)
    for s, im, src, mk in zip(s_, o, i_, m_):
        bgm = (np.abs(src.astype(float) - np.median(src[:3].reshape(-1, 3), 0)).sum(-1) < 60) & (mk == 1)
        d = np.abs(im[bgm].astype(float).mean(0) - src[bgm].astype(float).mean(0)).max()
        far = np.abs(im.astype(float) - src)[bgm].sum(-1) > 90
        dif.append(float(d))
        gs, gc, gb, _ = E.analyse(im)
        ok = d <= 12 and far.mean() < 0.05 and gs == s["shape"] and gc == s["color"]
        good += ok
        if len(row) < 48:
            row += [src, np.where(mk[..., None] == 1, 128, src).astype(np.uint8), im]
    R["border"] = dict(n=len(o), background_continues_and_shape_completed=good / len(o), background_within_12=float(np.mean([d <= 12 for d in dif])), mean_background_difference=float(np.mean(dif)))
    save(row, 12, f"{out}/inpaint_border")
    # scenes: named parts repainted, borders, and a real outpainting from 128 to 192 wide
    src, row = show_sources(), []
    box = lambda x0, y0, x1, y1: np.pad(np.ones((y1 - y0, x1 - x0), np.uint8), ((y0, 128 - y1), (x0, 128 - x1)))
    edge = lambda a: 1 - np.pad(np.ones((128 - 2 * a, 128 - 2 * a), np.uint8), a)
    for name, mk, t in (("house", box(20, 28, 108, 108), "a blue house under a blue sky"), ("house", box(0, 0, 128, 64), "a yellow house under an orange sky"), ("house", edge(24), "a yellow house under a blue sky"),
                        ("tree", box(20, 8, 108, 84), "a pink tree on a hill under a blue sky"), ("tree", box(20, 8, 108, 110), "a red house under a blue sky"), ("tree", edge(24), "a green tree on a hill under a blue sky"),
                        ("smiley", box(8, 8, 120, 120), "a sad green face on a purple background"), ("boat", box(20, 20, 108, 100), "a boat with a red sail on the sea"), ("boat", edge(32), "a boat with a white sail on the sea under a blue sky"),
                        ("red circle", box(24, 24, 104, 104), "a blue star on a white background"), ("red circle", box(24, 24, 104, 104), "a white background"), ("red circle", box(24, 24, 104, 104), "")):
        row += [np.where(mk[..., None] == 1, 128, src[name]).astype(np.uint8), m.fill(src[name][None], mk[None], [t], cfg=cfg, seed=8)[0]]
    save(row, 8, f"{out}/inpaint_show")
    # a real outpainting, with and without the noise mask: with it the kept latents hold the edge against the grey padding
    rows = {True: [], False: []}
    for name, t in (("house", "a yellow house under a blue sky"), ("tree", "a green tree on a hill under a blue sky"), ("boat", "a boat with a white sail on the sea under a blue sky"),
                    ("red circle", "a red circle on a white background"), ("smiley", "a happy yellow smiley face on a purple background")):
        for l, r, tp, b in ((32, 32, 0, 0), (0, 64, 0, 0), (0, 0, 32, 32), (32, 32, 32, 32)):
            im = np.pad(src[name], ((tp, b), (l, r), (0, 0)), constant_values=128)
            mk = 1 - np.pad(np.ones((128, 128), np.uint8), ((tp, b), (l, r)))
            for nm in rows:
                rows[nm].append(m.fill(im[None], mk[None], [t], cfg=cfg, seed=3, noise_mask=nm)[0])
    save(rows[True], 4, f"{out}/inpaint_outpaint")
    save(rows[False], 4, f"{out}/inpaint_outpaint_no_noise_mask")
    return R, miss


def save(ims, cols, path):
    Image.fromarray(data.grid(list(ims), cols)).save(path + ".png")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("name", choices=["instruct", "inpaint"])
    p.add_argument("base")
    p.add_argument("merges")
    p.add_argument("unet")
    p.add_argument("out")
    p.add_argument("--n", type=int, default=120)
    p.add_argument("--cfg", type=float, default=3.0)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    os.makedirs(a.out, exist_ok=True)
    t = time.time()
    R, miss = {"instruct": eval_instruct, "inpaint": eval_inpaint}[a.name](Model(a.base, a.merges, a.unet), a.out, a.n, a.cfg)
    R["settings"] = f"euler, 20 steps, normal, cfg {a.cfg}, fp16 weights in fp32"
    json.dump(R, open(f"{a.out}/{a.name}.json", "w"), indent=1, default=float)
    open(f"{a.out}/{a.name}_misses.txt", "w").write("\n".join(map(str, miss)))
    print(json.dumps(R, indent=1, default=float))
    print(*miss[:40], sep="\n")
    print(f"{time.time() - t:.0f} s")
