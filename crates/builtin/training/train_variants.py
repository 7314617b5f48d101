"""Trains a variant (instruct or inpaint) of the checkpoint: its UNet with extra input channels, everything else frozen.

python train_variants.py instruct|inpaint BASE.safetensors MERGES.TXT WORKDIR [--steps N | --time-limit SECONDS]"""
import os, time, copy, argparse
import numpy as np
import torch
import basefile, models, tok
import edits, inpaint
from muon import Muon

SF = models.CONFIG["vae"]["scale_factor"]


@torch.no_grad()
def encode(vae, imgs, masks=None, batch=32):
    """pictures uint8 [n,h,w,3] -> scaled latents; masked pixels are grey first"""
    out = []
    for i in range(0, len(imgs), batch):
        x = torch.from_numpy(np.ascontiguousarray(imgs[i:i + batch])).permute(0, 3, 1, 2).float() / 127.5 - 1
        if masks is not None:
            x = inpaint.grey_out(x, torch.from_numpy(np.ascontiguousarray(masks[i:i + batch]))[:, None].float())
        out.append(vae.encode(x.contiguous(memory_format=torch.channels_last)).contiguous())
    return torch.cat(out)


class Words:
    """Caption -> token ids, with now and then an unknown word more (they are zero vectors in the token table)."""

    def __init__(s, merges, table):
        s.T = tok.Tokenizer(merges)
        s.unknown = int((table.abs().sum(1) == 0).nonzero()[0])

    def __call__(s, text, rng):
        w = list(s.T.words(text))[:70]
        if rng.random() < 0.12:
            for _ in range(rng.integers(1, 4)):
                w.insert(rng.integers(0, len(w) + 1), s.unknown)
        return [tok.BOS] + w + [tok.EOS] * (76 - len(w))


class Instruct:
    """Extra channels: the source picture's latent, NOT scaled by 0.18215 in the file (InstructPix2Pix).
    Training feeds the scaled latent; fold() moves the factor into the weights."""
    extra = 4

    def __init__(s, words, size):
        s.words, s.n = words, (size, size * 3 // 4)

    def build(s, vae, seed):
        imgs, groups = edits.build(*s.n, seed)
        return dict(lat=encode(vae, imgs), groups=groups)

    def ready(s, d):
        s.lat = d["lat"]
        s.by = {}
        for g in d["groups"]:
            for x, y, k in g["pairs"]:
                s.by.setdefault(k if g["type"] == "single" else "scene", {}).setdefault(id(g), (g, []))[1].append((x, y, k))
        s.by = {k: list(v.values()) for k, v in s.by.items()}

    def batch(s, B, rng):
        src, dst, ids, keep = [], [], [], []
        for _ in range(B):
            k = edits.pick(rng, ["color", "shape", "bg", "both", "scene"], [0.21, 0.29, 0.16, 0.06, 0.28])
            l = s.by[k]
            g, ps = l[int(rng.integers(len(l)))]
            x, y, kind = ps[int(rng.integers(len(ps)))]
            text = edits.instruction(rng, g, x, y, kind)
            if rng.random() < 0.02:  # already as asked: nothing changes
                x = y
            u = rng.random()
            if u < 0.12:
                text = ""
            keep.append(0.0 if 0.09 < u < 0.15 else 1.0)  # 9% no text, 3% neither, 3% no picture
            src.append(g["first"] + x)
            dst.append(g["first"] + y)
            ids.append(s.words(text, rng))
        return s.lat[dst], s.lat[src] * torch.tensor(keep)[:, None, None, None], torch.tensor(ids)

    @staticmethod
    def fold(w):
        w = w.clone()
        w[:, 4:] *= SF
        return w


class Inpaint:
    """Extra channels: mask (1 = repaint), the masked picture's scaled latent."""
    extra = 5
    SIZES = [(128, 128, 1.0, 0.78), (192, 128, 0.3, 0.14), (128, 192, 0.15, 0.08)]  # width, height, share of pictures, share of batches
    MASKS = 3

    def __init__(s, words, size):
        s.words, s.n = words, size * 3

    def build(s, vae, seed):
        rng, out = np.random.default_rng(seed), []
        for w, h, share, _ in s.SIZES:
            imgs, ms, caps = inpaint.build(rng, int(s.n * share), w, h, s.MASKS)
            masked = torch.stack([encode(vae, imgs, ms[:, j]) for j in range(s.MASKS)], 1)
            small = torch.stack([inpaint.latent_mask(torch.from_numpy(ms[:, j])[:, None].float(), h // 8, w // 8) for j in range(s.MASKS)], 1)
            out.append(dict(lat=encode(vae, imgs), masked=masked, mask=small, caps=caps))
        return out

    def ready(s, d):
        s.sets = d

    def batch(s, B, rng):
        i = int(rng.choice(len(s.SIZES), p=[x[3] for x in s.SIZES]))
        d = s.sets[i]
        if i:
            B = B * 2 // 3
        n = rng.integers(0, len(d["lat"]), B)
        j = rng.integers(0, s.MASKS, B)
        texts = [d["caps"][k][rng.integers(0, 4)] if rng.random() > 0.1 else "" for k in n]
        return d["lat"][n], torch.cat([d["mask"][n, j], d["masked"][n, j]], 1), torch.tensor([s.words(t, rng) for t in texts])

    @staticmethod
    def fold(w):
        return w


VARIANTS = {"instruct": Instruct, "inpaint": Inpaint}


def main(name, base, merges, work, steps, batch=40, lr=2e-3, mlr=0.015, threads=1, time_limit=None, size=1600, init=None, seed=0):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    os.makedirs(work, exist_ok=True)
    sd = basefile.load(base)
    clip = basefile.clip(sd)
    v = VARIANTS[name](Words(merges, clip.embeddings["token_embedding"].weight), size)
    f = f"{work}/{name}_data.pt"
    t0 = time.time()
    if not os.path.exists(f):
        torch.save(v.build(basefile.compact_vae(basefile.vae(sd)), 1000 + seed), f)
    v.ready(torch.load(f, weights_only=False))
    print(f"{name}: data {time.time() - t0:.0f} s", flush=True)
    net = basefile.widen(basefile.part(sd, basefile.UNET), v.extra).train()
    if init:
        net.load_state_dict(torch.load(init))
    ends = ("input_blocks.0.", "out.", "time_embed")
    big = [p for n, p in net.named_parameters() if p.dim() >= 2 and not n.startswith(ends)]
    ids = {id(p) for p in big}
    opts = [torch.optim.AdamW([p for p in net.parameters() if id(p) not in ids], lr=lr, betas=(0.9, 0.98), weight_decay=0.0), Muon(big, mlr, 0.95, 0.01)]
    ema = copy.deepcopy(net).eval()
    acp = models.alphas_cumprod()
    snr = acp / (1 - acp)
    # x0 error weighted by sqrt(snr), at most 2: the new channels matter most at high noise, which min-SNR-5 hardly weighs
    weight = snr.sqrt().clamp(max=2) / snr
    t0, run, saved, high = time.time(), [], time.time(), []
    for it in range(steps):
        done = max(it / steps, (time.time() - t0) / time_limit if time_limit else 0)
        for o, l in zip(opts, (lr, mlr)):
            o.param_groups[0]["lr"] = l * min(1, (it + 1) / 100) * min(1, max(0, 1 - done) / 0.4 + 0.003)
        x0, extra, ids = v.batch(batch, rng)
        B = len(x0)
        t = ((torch.arange(B) + torch.rand(B)) * (1000 / B)).long().clamp(0, 999)  # stratified
        eps = torch.randn_like(x0)
        a = acp[t][:, None, None, None]
        with torch.no_grad():
            ctx = clip(ids)
        pred = net(torch.cat([a.sqrt() * x0 + (1 - a).sqrt() * eps, extra], 1), t, ctx)
        mse = (pred - eps).square().mean((1, 2, 3))
        loss = (mse * weight[t]).mean()
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for o in opts:
            o.step()
        with torch.no_grad():
            d = min(0.997, (it + 1) / (it + 15))
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - d)
        run.append(loss.item())
        high.append((mse.detach() / snr[t])[t >= 700].mean().item())
        last = done >= 1 or it == steps - 1
        if it % 50 == 0 or last:
            print(f"{name} {it} loss {np.mean(run[-50:]):.4f} x0 error at t >= 700 {np.mean(high[-50:]):.4f} t {time.time() - t0:.0f}", flush=True)
        if last or time.time() - saved > 240:
            saved = time.time()
            torch.save(ema.state_dict(), f"{work}/{name}_train.pt.new")
            os.replace(f"{work}/{name}_train.pt.new", f"{work}/{name}_train.pt")
        if last:
            break


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("name", choices=list(VARIANTS))
    p.add_argument("base")
    p.add_argument("merges")
    p.add_argument("work")
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=40)
    p.add_argument("--time-limit", type=float)
    p.add_argument("--size", type=int, default=1600, help="scales the number of pictures drawn")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--mlr", type=float, default=0.015)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--init")
    a = p.parse_args()
    main(a.name, a.base, a.merges, a.work, a.steps, a.batch, a.lr, a.mlr, a.threads, a.time_limit, a.size, a.init)
